//! Ridges from many rows: normal equations of the inputs, `[W·D, W·D]`, of which the blocks share their sums.
//!
//! Block (i, j) is `C[i, j] = Σ_s z[s+i] z[s+j]ᵀ` over the frames s at which a row begins, so block row 0 holds lag products, and
//! moving both frames by one changes each utterance at its ends only: `C[i+1, j+1] = C[i, j] + E[i, j]`, where E sums `z[e+i] z[e+j]ᵀ`
//! at the first span that no longer fits (e = n − W − h + 1) less that at 0. Lag products are taken once for all horizons, from which
//! frames that begin no row at a longer horizon are taken away again (they are few). What is held does not grow with the number of
//! utterances.

use std::ops::Range;

use driftscope_numerics::linear::{Accum, Mat, MatRef, multiply};

use super::{HorizonRidge, Map, add_rows, n_rows, solve_or_nan};
use crate::diagnose::DiagnoseError;
use crate::diagnose::frames::{Frames, Reader};

/// Values that wait for a product, at most.
const BLOCK_VALUES: usize = 1 << 21;

/// [`super::fit_horizons`] in one pass a horizon.
pub(super) fn fit(
    reader: Reader,
    stage: &str,
    indices: &[usize],
    window: usize,
    horizons: &[usize],
    lambda: f64,
) -> Result<Vec<HorizonRidge>, DiagnoseError> {
    let dim = reader.source.dim();
    let mut lags = LagProducts::new(dim, window + horizons.last().copied().unwrap_or(0));
    let mut ridges = Vec::with_capacity(horizons.len());
    for (i, &horizon) in horizons.iter().enumerate() {
        let mut edges = Edges::new(dim, window, horizon);
        reader.pass(&format!("{stage} k={horizon}"), indices, |frames| {
            let n = n_rows(frames.n(), window, horizon);
            if i == 0 {
                lags.add(frames);
            }
            let n_before = if i == 0 { frames.n() } else { n_rows(frames.n(), window, horizons[i - 1]) };
            lags.take_away(frames, n..n_before);
            edges.add(frames, n);
            Ok(())
        })?;
        lags.flush();
        edges.flush();
        ridges.push(edges.solve(&lags, lambda));
    }
    Ok(ridges)
}

/// Σ z\[s\] z\[s+l\]ᵀ for every lag l, and Σ z\[s\], over the frames s at which a row begins.
struct LagProducts {
    dim: usize,
    n_lags: usize,
    products: Mat<f64>, // [dim, n_lags × dim]
    sum: Vec<f64>,      // [dim]
    /// Frames to come, each utterance with `n_lags` zero frames behind it, so that no product mixes two utterances.
    added: Vec<f64>,
    /// Frames to be taken away, each with the frames after it.
    taken: Vec<f64>, // [frames, n_lags × dim]
}

impl LagProducts {
    fn new(dim: usize, n_lags: usize) -> Self {
        Self { dim, n_lags, products: Mat::zeros(dim, n_lags * dim), sum: vec![0.0; dim], added: Vec::new(), taken: Vec::new() }
    }

    fn add(&mut self, frames: &Frames) {
        let n = frames.n();
        for first in (0..n).step_by((BLOCK_VALUES / self.dim).max(1)) {
            let before = self.added.len();
            frames.write(first..n.min(first + (BLOCK_VALUES / self.dim).max(1)), &mut self.added);
            add_rows(&mut self.sum, &self.added[before..], 1.0);
            if self.added.len() >= BLOCK_VALUES {
                self.flush();
            }
        }
        self.added.resize(self.added.len() + self.n_lags * self.dim, 0.0);
    }

    fn take_away(&mut self, frames: &Frames, starts: Range<usize>) {
        let width = self.n_lags * self.dim;
        for start in starts {
            let (row, n) = (self.taken.len(), self.n_lags.min(frames.n() - start));
            frames.write(start..start + n, &mut self.taken);
            self.taken.resize(row + width, 0.0);
            add_rows(&mut self.sum, &self.taken[row..row + self.dim], -1.0);
            if self.taken.len() >= BLOCK_VALUES {
                self.flush();
            }
        }
    }

    fn flush(&mut self) {
        let (dim, width) = (self.dim, self.n_lags * self.dim);
        // The last frames wait for those that follow.
        let n = (self.added.len() / dim).saturating_sub(self.n_lags);
        if n > 0 {
            let rows = |width| MatRef::from_row_major_slice_with_stride(&self.added[..(n - 1) * dim + width], n, width, dim);
            multiply(self.products.as_mut(), Accum::Add, rows(dim).transpose(), rows(width), 1.0);
            self.added.drain(..n * dim);
        }
        let taken = MatRef::from_row_major_slice(&self.taken, self.taken.len() / width, width);
        multiply(self.products.as_mut(), Accum::Add, taken.subcols(0, dim).transpose(), taken, -1.0);
        self.taken.clear();
    }
}

/// What the ends of utterances add to the sums of one horizon when a span moves on by a frame.
struct Edges {
    dim: usize,
    window: usize,
    horizon: usize,
    n_rows: usize,
    products: Mat<f64>, // E, [(window − 1) × dim, (span − 1) × dim]
    sum: Vec<f64>,      // [(span − 1) × dim]
    /// The first and the last frames of each utterance.
    heads: Vec<f64>, // [utterances, (span − 1) × dim]
    tails: Vec<f64>,
}

impl Edges {
    fn new(dim: usize, window: usize, horizon: usize) -> Self {
        let width = (window + horizon - 1) * dim;
        let products = Mat::zeros((window - 1) * dim, width);
        Self { dim, window, horizon, n_rows: 0, products, sum: vec![0.0; width], heads: Vec::new(), tails: Vec::new() }
    }

    /// Adds an utterance in which `n_rows` rows begin.
    fn add(&mut self, frames: &Frames, n_rows: usize) {
        if n_rows == 0 {
            return;
        }
        self.n_rows += n_rows;
        frames.write(0..self.window + self.horizon - 1, &mut self.heads);
        frames.write(n_rows..frames.n(), &mut self.tails);
        if self.heads.len() >= BLOCK_VALUES {
            self.flush();
        }
    }

    fn flush(&mut self) {
        for (rows, sign) in [(&mut self.tails, 1.0), (&mut self.heads, -1.0)] {
            add_rows(&mut self.sum, rows, sign);
            let ends = MatRef::from_row_major_slice(rows, rows.len() / self.sum.len(), self.sum.len());
            let within = ends.subcols(0, self.products.nrows());
            multiply(self.products.as_mut(), Accum::Add, within.transpose(), ends, sign);
            rows.clear();
        }
    }

    /// Ridge of [Δ, state].
    fn solve(self, lags: &LagProducts, lambda: f64) -> HorizonRidge {
        let (dim, window, horizon) = (self.dim, self.window, self.horizon);
        let (p, target, n) = (window * dim, window + horizon - 1, self.n_rows.max(1) as f64);
        let mut means: Vec<f64> = lags.sum.iter().map(|sum| sum / n).collect(); // of each frame of the span, [span × dim]
        for (i, edge) in self.sum.iter().enumerate() {
            means.push(means[i] + edge / n);
        }
        let change = |j: usize| means[target * dim + j] - means[(target - 1) * dim + j];
        let target_mean: Vec<f64> = (0..dim).map(change).chain(means[target * dim..].iter().copied()).collect();

        let mut gram = Mat::zeros(p, p); // the lower triangle
        for lag in 0..window {
            self.diagonal(lags, lag, |i, block| {
                if i + lag < window {
                    gram.submatrix_mut((i + lag) * dim, i * dim, dim, dim).copy_from(block.transpose());
                }
            });
        }
        let mut right = Mat::zeros(p, 2 * dim); // Σ c Δ[t]ᵀ, Σ c x[t]ᵀ
        for lag in target - window..=target {
            self.diagonal(lags, lag, |i, block| {
                let mut change = right.submatrix_mut(i * dim, 0, dim, dim);
                if i + lag == target {
                    change += block;
                    right.submatrix_mut(i * dim, dim, dim, dim).copy_from(block);
                } else if i + lag == target - 1 {
                    change -= block;
                }
            });
        }
        drop(self.products);
        for j in 0..p {
            (j..p).for_each(|i| gram[(i, j)] -= n * means[i] * means[j]);
            gram[(j, j)] += lambda;
        }
        for j in 0..2 * dim {
            (0..p).for_each(|i| right[(i, j)] -= n * means[i] * target_mean[j]);
        }
        HorizonRidge::new(horizon, window, Map::Weights(solve_or_nan(&gram, &right)), &means[..p], &target_mean)
    }

    /// Hands `each` the blocks `C[i, i + lag]` of the window's frames i.
    fn diagonal(&self, lags: &LagProducts, lag: usize, mut each: impl FnMut(usize, MatRef<'_, f64>)) {
        let dim = self.dim;
        let mut block = lags.products.subcols(lag * dim, dim).to_owned();
        for i in 0..self.window.min(self.window + self.horizon - lag) {
            each(i, block.as_ref());
            if i + 1 < self.window && i + lag + 1 < self.window + self.horizon {
                block += self.products.submatrix(i * dim, (i + lag) * dim, dim, dim);
            }
        }
    }
}
