//! Ridges from few rows: a system of the rows, `[n, n]`, which is smaller than that of the inputs.
//!
//! For centered windows C and targets Y, `(CᵀC + λ)⁻¹CᵀY = Cᵀ(CCᵀ + λ)⁻¹Y`. Windows are the same at every horizon, a longer one only has
//! fewer of them; so their products are taken once, centered anew for each horizon. Frames of all utterances lie one after the other,
//! and a window is taken at each, also where it runs into the next utterance: such windows belong to no row and get no share.

use std::sync::Arc;

use driftscope_numerics::linear::{Mat, MatRef, add_gram_lower};

use super::{HorizonRidge, Map, add_rows, n_rows, solve_or_nan};
use crate::diagnose::DiagnoseError;
use crate::diagnose::frames::Reader;

/// [`super::fit_horizons`] in one pass; all frames that hold a row are in memory.
pub(super) fn fit(
    reader: Reader,
    stage: &str,
    indices: &[usize],
    window: usize,
    horizons: &[usize],
    lambda: f64,
) -> Result<Vec<HorizonRidge>, DiagnoseError> {
    let mut spans = Spans { dim: reader.source.dim(), window, frames: Vec::new(), n_after: Vec::new() };
    let shortest = horizons.first().copied().unwrap_or(0);
    reader.pass(&format!("{stage}, reading"), indices, |frames| {
        if n_rows(frames.n(), window, shortest) > 0 {
            frames.write(0..frames.n(), &mut spans.frames);
            spans.n_after.extend((0..frames.n()).rev());
        }
        Ok(())
    })?;
    let spans = Arc::new(spans);
    let products = spans.products();
    let mut ridges = Vec::with_capacity(horizons.len());
    for &horizon in horizons {
        reader.ctx.cancel.check()?;
        reader.ctx.progress.report(format!("{stage} k={horizon}"), ridges.len() as u64, Some(horizons.len() as u64), "");
        ridges.push(spans.ridge(&products, horizon, lambda));
    }
    Ok(ridges)
}

/// Frames of all utterances, and a window that begins at each.
pub(super) struct Spans {
    dim: usize,
    window: usize,
    frames: Vec<f64>, // [frames, dim]
    /// Of each frame: frames of its utterance that come after it.
    n_after: Vec<usize>,
}

impl Spans {
    /// The windows `[n, window × dim]`: those at the end, which are not whole, are left out.
    pub(super) fn windows(&self) -> MatRef<'_, f64> {
        let n = (self.n_after.len() + 1).saturating_sub(self.window);
        MatRef::from_row_major_slice_with_stride(&self.frames, n, self.window * self.dim, self.dim)
    }

    fn frame(&self, t: usize) -> &[f64] {
        &self.frames[t * self.dim..(t + 1) * self.dim]
    }

    /// Products of each window with each before it.
    fn products(&self) -> Mat<f64> {
        let windows = self.windows();
        let mut products = Mat::zeros(windows.nrows(), windows.nrows());
        add_gram_lower(products.as_mut(), windows.transpose());
        products
    }

    /// Ridge of [Δ, state].
    fn ridge(self: &Arc<Self>, products: &Mat<f64>, horizon: usize, lambda: f64) -> HorizonRidge {
        let (dim, windows) = (self.dim, self.windows());
        let starts: Vec<usize> = (0..windows.nrows()).filter(|&s| self.n_after[s] + 1 >= self.window + horizon).collect();
        let n = starts.len().max(1) as f64;
        let mut window_sum = vec![0.0; windows.ncols()];
        let (mut targets, mut target_sum) = (Mat::zeros(starts.len(), 2 * dim), vec![0.0; 2 * dim]);
        for (row, &start) in starts.iter().enumerate() {
            add_rows(&mut window_sum, &self.frames[start * dim..(start + self.window) * dim], 1.0);
            let t = start + self.window + horizon - 1;
            for (d, (now, before)) in self.frame(t).iter().zip(self.frame(t - 1)).enumerate() {
                (targets[(row, d)], targets[(row, dim + d)]) = (now - before, *now);
                target_sum[d] += now - before;
                target_sum[dim + d] += now;
            }
        }
        let mean = |sums: Vec<f64>| sums.into_iter().map(|sum| sum / n).collect::<Vec<f64>>();
        let (window_mean, target_mean) = (mean(window_sum), mean(target_sum));
        for (j, mean) in target_mean.iter().enumerate() {
            (0..starts.len()).for_each(|row| targets[(row, j)] -= mean);
        }
        let mut system = centered(products, &starts);
        (0..starts.len()).for_each(|row| system[(row, row)] += lambda);
        let solution = solve_or_nan(&system, &targets);
        let mut shares = Mat::zeros(windows.nrows(), 2 * dim);
        for j in 0..2 * dim {
            starts.iter().enumerate().for_each(|(row, &start)| shares[(start, j)] = solution[(row, j)]);
        }
        HorizonRidge::new(horizon, self.window, Map::Rows(Arc::clone(self), shares), &window_mean, &target_mean)
    }
}

/// Products of the windows at `starts` after their mean is taken off each.
fn centered(products: &Mat<f64>, starts: &[usize]) -> Mat<f64> {
    let n = starts.len();
    let full = Mat::from_fn(n, n, |i, j| products[(starts[i.max(j)], starts[i.min(j)])]);
    let with_mean: Vec<f64> = (0..n).map(|j| full.col(j).iter().sum::<f64>() / n as f64).collect();
    let of_mean = with_mean.iter().sum::<f64>() / n.max(1) as f64;
    Mat::from_fn(n, n, |i, j| full[(i, j)] - with_mean[i] - with_mean[j] + of_mean)
}
