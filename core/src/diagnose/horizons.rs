//! Ridges of Δ\[t\] and x\[t\] from windows that end at t−h, in passes over the utterances.
//!
//! In standardized coordinates a row of horizon h is a span of W + h frames: the window, and the target at its end. Block (i, j) of the
//! normal equations is `C[i, j] = Σ_s z[s+i] z[s+j]ᵀ` over the frames s at which a row begins, so block row 0 holds lag products, and
//! moving both frames by one changes each utterance at its ends only: `C[i+1, j+1] = C[i, j] + E[i, j]`, where E sums `z[e+i] z[e+j]ᵀ`
//! at the first span that no longer fits (e = n − W − h + 1) less that at 0. Lag products are taken once for all horizons, from which
//! frames that begin no row at a longer horizon are taken away again (they are few). Everything is f64; what is held does not grow
//! with the number of utterances.

use std::ops::Range;

use driftscope_numerics::linear::{Accum, Mat, MatRef, multiply, solve_positive_definite};

use super::DiagnoseError;
use super::frames::{Frames, Reader};
use crate::represent::Normalizer;

/// Rows scored at once.
const SCORE_ROWS: usize = 256;
/// Values that wait for a product, at most.
const BLOCK_VALUES: usize = 1 << 21;

/// A ridge of one horizon, in standardized coordinates: outputs are Δ then state.
pub(super) struct HorizonRidge {
    pub(super) horizon: usize,
    window: usize,
    weights: Mat<f64>, // [window × dim, 2 × dim]
    bias: Vec<f64>,    // [2 × dim]
}

/// Fits ridges with penalty `lambda` (bias not penalized) at each of `horizons` (ascending) on every row of the utterances at
/// `indices`; one pass a horizon.
pub(super) fn fit_horizons(
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
        let n_rows = |frames: &Frames, horizon: usize| (frames.n() + 1).saturating_sub(window + horizon);
        let mut edges = Edges::new(dim, window, horizon);
        reader.pass(&format!("{stage} k={horizon}"), indices, |frames| {
            let n = n_rows(frames, horizon);
            if i == 0 {
                lags.add(frames);
            }
            let n_before = if i == 0 { frames.n() } else { n_rows(frames, horizons[i - 1]) };
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

/// `sum += sign · Σ rows`, where a row is as long as `sum`.
fn add_rows(sum: &mut [f64], rows: &[f64], sign: f64) {
    for row in rows.chunks_exact(sum.len()) {
        sum.iter_mut().zip(row).for_each(|(s, x)| *s += sign * x);
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
        // λ > 0 makes the matrix positive definite; when it is not, the latents hold NaN or λ is 0 with too few rows.
        let weights = solve_positive_definite(gram.as_ref(), right.as_ref()).unwrap_or_else(|| Mat::from_fn(p, 2 * dim, |_, _| f64::NAN));
        let bias = (0..2 * dim).map(|j| target_mean[j] - (0..p).map(|i| means[i] * weights[(i, j)]).sum::<f64>()).collect();
        HorizonRidge { horizon, window, weights, bias }
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

/// How a ridge does on some rows. Raw: in the latents' own units. Standardized: every dimension divided by its training SD.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize)]
pub struct RidgeScore {
    /// Rows.
    pub n: usize,
    /// Mean cosine of predicted and true Δ, raw.
    pub cos: f64,
    /// The same, standardized.
    pub cos_standardized: f64,
    /// R² of x\[t\] about the mean of these rows, raw, pooled over dimensions.
    pub state_r2: f64,
    /// The same, standardized.
    pub state_r2_standardized: f64,
    /// Mean ‖x̂\[t\] − x\[t\]‖, raw.
    pub state_err: f64,
}

/// Scores a ridge as utterances come by.
pub(super) struct Scorer<'a> {
    ridge: &'a HorizonRidge,
    /// Training SD of each dimension.
    scale: Vec<f64>,
    /// Of the rows that wait for the next product.
    windows: Vec<f64>, // [rows, window × dim]
    targets: Vec<f64>, // [rows, 2 × dim]: the frame before and the target
    n: usize,
    raw: Score,
    standardized: Score,
}

impl<'a> Scorer<'a> {
    pub(super) fn new(ridge: &'a HorizonRidge, normalizer: &Normalizer) -> Self {
        let dim = normalizer.std.len();
        let scale = normalizer.std.iter().map(|&s| f64::from(s)).collect();
        Self { ridge, scale, windows: Vec::new(), targets: Vec::new(), n: 0, raw: Score::new(dim), standardized: Score::new(dim) }
    }

    /// Adds the rows of an utterance with these targets; each must leave room for the window.
    pub(super) fn add(&mut self, frames: &Frames, targets: &[usize]) {
        for &t in targets {
            let after = t + 1 - self.ridge.horizon;
            frames.write(after - self.ridge.window..after, &mut self.windows);
            frames.write(t - 1..t + 1, &mut self.targets);
            self.n += 1;
            if self.n.is_multiple_of(SCORE_ROWS) {
                self.flush();
            }
        }
    }

    fn flush(&mut self) {
        let (dim, ones) = (self.scale.len(), vec![1.0; self.scale.len()]);
        let n = self.targets.len() / (2 * dim);
        let windows = MatRef::from_row_major_slice(&self.windows, n, self.ridge.window * dim);
        let mut predicted = Mat::from_fn(n, 2 * dim, |_, j| self.ridge.bias[j]);
        multiply(predicted.as_mut(), Accum::Add, windows, self.ridge.weights.as_ref(), 1.0);
        for (row, frames) in self.targets.chunks_exact(2 * dim).enumerate() {
            let predicted: Vec<f64> = predicted.row(row).iter().copied().collect();
            let (before, now) = frames.split_at(dim);
            self.raw.add(&predicted, now, before, &self.scale);
            self.standardized.add(&predicted, now, before, &ones);
        }
        self.windows.clear();
        self.targets.clear();
    }

    pub(super) fn score(mut self) -> RidgeScore {
        self.flush();
        let n = self.n.max(1) as f64;
        RidgeScore {
            n: self.n,
            cos: self.raw.cos / n,
            cos_standardized: self.standardized.cos / n,
            state_r2: self.raw.r2(n),
            state_r2_standardized: self.standardized.r2(n),
            state_err: self.raw.error / n,
        }
    }
}

/// Sums over scored rows in one scale.
struct Score {
    cos: f64,
    error: f64,
    squared_error: f64,
    sum: Vec<f64>,
    squared: f64,
}

impl Score {
    fn new(dim: usize) -> Self {
        Self { cos: 0.0, error: 0.0, squared_error: 0.0, sum: vec![0.0; dim], squared: 0.0 }
    }

    fn add(&mut self, predicted: &[f64], now: &[f64], before: &[f64], scale: &[f64]) {
        let dim = now.len();
        let (mut dot, mut p2, mut y2, mut error2) = (0.0, 0.0, 0.0, 0.0);
        for d in 0..dim {
            let (p, y) = (predicted[d] * scale[d], (now[d] - before[d]) * scale[d]);
            dot += p * y;
            p2 += p * p;
            y2 += y * y;
            error2 += ((predicted[dim + d] - now[d]) * scale[d]).powi(2);
            self.sum[d] += now[d] * scale[d];
            self.squared += (now[d] * scale[d]).powi(2);
        }
        self.cos += dot / (p2.sqrt().max(1e-8) * y2.sqrt().max(1e-8));
        self.error += error2.sqrt();
        self.squared_error += error2;
    }

    fn r2(&self, n: f64) -> f64 {
        1.0 - self.squared_error / (self.squared - self.sum.iter().map(|s| s * s).sum::<f64>() / n)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::context::{Corpus, Side, Source};
    use crate::diagnose::frames::Time;
    use crate::diagnose::toy::{Toy, toy_corpus};
    use crate::job::JobCtx;

    /// Utterances of different lengths: one holds a window but no target at the largest horizon.
    fn corpus() -> Corpus {
        let mut corpus = toy_corpus(Toy::StableAr1 { a: 0.7 }, 8, 30, 2, 1);
        for (utterance, n_frames) in corpus.utterances.iter_mut().zip([30, 12, 4, 20, 3, 9, 7, 30]) {
            utterance.latents.values.truncate(n_frames * 2);
        }
        corpus
    }

    /// The same ridge from rows written out one by one, with an explicit bias column that carries no penalty.
    fn from_rows(corpus: &Corpus, indices: &[usize], normalizer: &Normalizer, window: usize, horizon: usize, lambda: f64) -> Mat<f64> {
        let (dim, mut contexts, mut targets) = (corpus.dim, Vec::new(), Vec::new());
        let z = |u: usize, t: usize, d: usize| {
            let x = f64::from(corpus.utterances[u].latents.frame(t)[d]);
            (x - f64::from(normalizer.mean[d])) / f64::from(normalizer.std[d])
        };
        for &u in indices {
            for t in window - 1 + horizon..corpus.utterances[u].latents.n_frames() {
                let frames = t + 1 - horizon - window..=t - horizon;
                contexts.push(frames.flat_map(|f| (0..dim).map(move |d| z(u, f, d))).chain([1.0]).collect::<Vec<f64>>());
                let delta = (0..dim).map(|d| z(u, t, d) - z(u, t - 1, d));
                targets.push(delta.chain((0..dim).map(|d| z(u, t, d))).collect::<Vec<f64>>());
            }
        }
        let x = Mat::from_fn(contexts.len(), window * dim + 1, |i, j| contexts[i][j]);
        let y = Mat::from_fn(targets.len(), 2 * dim, |i, j| targets[i][j]);
        let mut gram = x.transpose() * &x;
        (0..window * dim).for_each(|i| gram[(i, i)] += lambda);
        solve_positive_definite(gram.as_ref(), (x.transpose() * y).as_ref()).unwrap()
    }

    #[test]
    fn lag_products_give_the_ridge_of_the_rows_themselves() {
        let corpus = corpus();
        let indices: Vec<usize> = (0..8).filter(|&i| corpus.utterances[i].side == Side::Train || i == 3).collect();
        let normalizer = Normalizer::fit(corpus.utterances.iter().flat_map(|u| u.latents.values.chunks_exact(2)), 2);
        let ctx = JobCtx::quiet(Device::flex(), 0);
        let reader = Reader { ctx: &ctx, source: Source::from(&corpus), normalizer: &normalizer, time: Time::True };
        for (window, horizons) in [(3, [1, 2, 5, 6]), (1, [2, 3, 4, 8]), (4, [1, 7, 9, 12])] {
            let ridges = fit_horizons(reader, "ridge", &indices, window, &horizons, 2.5).unwrap();
            for (ridge, horizon) in ridges.iter().zip(horizons) {
                let expected = from_rows(&corpus, &indices, &normalizer, window, horizon, 2.5);
                for j in 0..4 {
                    for i in 0..window * 2 {
                        let (found, expected) = (ridge.weights[(i, j)], expected[(i, j)]);
                        assert!(
                            (found - expected).abs() < 1e-9,
                            "W {window}, h {horizon}, weight [{i}, {j}]: {found}, expected {expected}"
                        );
                    }
                    let (found, expected) = (ridge.bias[j], expected[(window * 2, j)]);
                    assert!((found - expected).abs() < 1e-9, "W {window}, h {horizon}, bias {j}: {found}, expected {expected}");
                }
            }
        }
    }
}
