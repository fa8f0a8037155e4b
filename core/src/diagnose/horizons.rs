//! Ridges of Δ\[t\] and x\[t\] from windows that end at t−h, for every horizon h at once.
//!
//! In standardized coordinates the normal equations of all horizons are sums of lag products `S_l = Σ_t z[t] z[t+l]ᵀ`: one
//! pass over the frames gives every block of the Gram matrix and of every cross product, after which windows that stick out of
//! an utterance are taken away again (they are few). Frames lie padded with zeros between utterances, so that lag products
//! never mix two utterances and windows are overlapping views of one buffer. Everything is f64.

use std::collections::BTreeMap;

use driftscope_numerics::linear::{Accum, Mat, MatRef, multiply, solve_positive_definite};

use crate::context::Corpus;
use crate::job::{Cancelled, JobCtx};
use crate::represent::Normalizer;

/// Rows scored at once.
const SCORE_ROWS: usize = 1024;

/// Standardized frames of some utterances, with zeros before, between and after them.
pub(super) struct Frames {
    values: Vec<f64>,
    dim: usize,
    gap: usize,
    /// Corpus index → first frame in `values` and number of frames.
    spans: BTreeMap<usize, (usize, usize)>,
}

impl Frames {
    /// Standardizes the utterances at `indices`; `gap` zero frames stand around each.
    pub(super) fn new(corpus: &Corpus, indices: &[usize], normalizer: &Normalizer, gap: usize) -> Self {
        let dim = corpus.dim;
        let mut values = vec![0.0; gap * dim];
        let mut spans = BTreeMap::new();
        for &index in indices {
            let latents = &corpus.utterances[index].latents;
            spans.insert(index, (values.len() / dim, latents.n_frames()));
            for frame in latents.values.chunks_exact(dim) {
                let standardized = frame.iter().zip(&normalizer.mean).zip(&normalizer.std);
                values.extend(standardized.map(|((x, m), s)| (f64::from(*x) - f64::from(*m)) / f64::from(*s)));
            }
            values.resize(values.len() + gap * dim, 0.0);
        }
        Self { values, dim, gap, spans }
    }

    /// `n` rows of `width` frames each, `[n, width × dim]`; row r starts at frame `first + r`: a view, rows overlap.
    fn rows(&self, first: usize, n: usize, width: usize) -> MatRef<'_, f64> {
        let from = &self.values[first * self.dim..(first + n - 1 + width) * self.dim];
        MatRef::from_row_major_slice_with_stride(from, n, width * self.dim, self.dim)
    }

    fn frame(&self, index: usize) -> &[f64] {
        &self.values[index * self.dim..(index + 1) * self.dim]
    }
}

/// A ridge of one horizon, in standardized coordinates: outputs are Δ then state.
pub(super) struct HorizonRidge {
    pub(super) horizon: usize,
    window: usize,
    weights: Mat<f64>, // [window × dim, 2 × dim]
    bias: Vec<f64>,    // [2 × dim]
}

/// Sums over the rows of the current horizon.
struct Moments<'a> {
    frames: &'a Frames,
    window: usize,
    gram: Mat<f64>,        // Σ c cᵀ, [window × dim, window × dim]
    context_sum: Vec<f64>, // Σ c
    n_rows: usize,
}

/// Fits ridges with penalty `lambda` (bias not penalized) at each of `horizons` (ascending) on every row of `frames`.
pub(super) fn fit_horizons(
    ctx: &JobCtx,
    frames: &Frames,
    window: usize,
    horizons: &[usize],
    lambda: f64,
) -> Result<Vec<HorizonRidge>, Cancelled> {
    let last = horizons.last().copied().unwrap_or(0);
    let dim = frames.dim;
    assert!(frames.gap >= window + last, "the gap keeps lag products inside one utterance");
    let lags = lag_products(frames, window + last);
    let heads = sticking_out(frames, window, Edge::Start);
    let mut moments = Moments::start(frames, window, &lags, &heads);
    // Σ c x[t−h+…]ᵀ of the target h frames after the window's last, over the rows that have one; h = 0 is the window's own last frame.
    let mut cross_before = moments.gram.as_ref().subcols((window - 1) * dim, dim).to_owned();
    let mut ridges = Vec::with_capacity(horizons.len());
    for horizon in 1..=last {
        ctx.cancel.check()?;
        ctx.progress.report("reference ridges", horizon as u64, Some(last as u64), "");
        let cross = cross_products(frames, window, horizon, &lags, &heads);
        moments.drop_last_rows(horizon, &mut cross_before);
        if horizons.contains(&horizon) {
            ridges.push(moments.solve(horizon, &cross, &cross_before, lambda));
        }
        cross_before = cross;
    }
    Ok(ridges)
}

/// `S_l` for l in 0..n_lags side by side, `[dim, n_lags × dim]`.
fn lag_products(frames: &Frames, n_lags: usize) -> Mat<f64> {
    let n = frames.values.len() / frames.dim - n_lags;
    let mut products = Mat::zeros(frames.dim, n_lags * frames.dim);
    multiply(products.as_mut(), Accum::Replace, frames.rows(0, n, 1).transpose(), frames.rows(0, n, n_lags), 1.0);
    products
}

/// Which end of an utterance windows stick out of.
#[derive(Clone, Copy)]
enum Edge {
    Start,
    End,
}

/// Windows (zero-padded) that stick out of one edge of each utterance; those of the start with the frames that follow them.
fn sticking_out(frames: &Frames, window: usize, edge: Edge) -> Mat<f64> {
    let width = match edge {
        Edge::Start => frames.gap,
        Edge::End => window,
    };
    let starts = frames.spans.values().flat_map(|&(start, n)| {
        let first = match edge {
            Edge::Start => start + 1 - window,
            Edge::End => start + n + 1 - window,
        };
        first..first + window - 1
    });
    gather(frames, &starts.collect::<Vec<_>>(), width)
}

/// Rows of `width` frames starting at each of `starts`, `[starts, width × dim]`.
fn gather(frames: &Frames, starts: &[usize], width: usize) -> Mat<f64> {
    let dim = frames.dim;
    Mat::from_fn(starts.len(), width * dim, |row, column| frames.values[starts[row] * dim + column])
}

/// Σ c x[t]ᵀ over windows with a target `horizon` frames later, `[window × dim, dim]`.
fn cross_products(frames: &Frames, window: usize, horizon: usize, lags: &Mat<f64>, heads: &Mat<f64>) -> Mat<f64> {
    let dim = frames.dim;
    let mut cross = Mat::zeros(window * dim, dim);
    for i in 0..window {
        let lag = horizon + window - 1 - i;
        cross.submatrix_mut(i * dim, 0, dim, dim).copy_from(lags.subcols(lag * dim, dim));
    }
    let targets = heads.subcols((window - 1 + horizon) * dim, dim);
    multiply(cross.as_mut(), Accum::Add, heads.subcols(0, window * dim).transpose(), targets, -1.0);
    cross
}

impl<'a> Moments<'a> {
    /// Horizon 0: every window that lies inside an utterance.
    fn start(frames: &'a Frames, window: usize, lags: &Mat<f64>, heads: &Mat<f64>) -> Self {
        let dim = frames.dim;
        let mut gram = Mat::zeros(window * dim, window * dim);
        for i in 0..window {
            for j in i..window {
                let lag = lags.subcols((j - i) * dim, dim);
                gram.submatrix_mut(i * dim, j * dim, dim, dim).copy_from(lag);
                gram.submatrix_mut(j * dim, i * dim, dim, dim).copy_from(lag.transpose());
            }
        }
        let heads = heads.subcols(0, window * dim);
        let tails = sticking_out(frames, window, Edge::End);
        multiply(gram.as_mut(), Accum::Add, heads.transpose(), heads, -1.0);
        multiply(gram.as_mut(), Accum::Add, tails.transpose(), tails.as_ref(), -1.0);
        let mut context_sum = vec![0.0; window * dim];
        let mut n_rows = 0;
        for &(start, n) in frames.spans.values() {
            let n_windows = n + 1 - window;
            n_rows += n_windows;
            for (i, sum) in context_sum.chunks_exact_mut(dim).enumerate() {
                for t in 0..n_windows {
                    sum.iter_mut().zip(frames.frame(start + i + t)).for_each(|(s, x)| *s += x);
                }
            }
        }
        Self { frames, window, gram, context_sum, n_rows }
    }

    /// Takes away the windows that have no target at `horizon` (each utterance loses one), from the cross products with the
    /// target before too.
    fn drop_last_rows(&mut self, horizon: usize, cross_before: &mut Mat<f64>) {
        let dim = self.frames.dim;
        let still_in = |n: usize| n >= self.window + horizon - 1;
        let ends: Vec<usize> = self.frames.spans.values().filter(|s| still_in(s.1)).map(|&(start, n)| start + n).collect();
        let starts: Vec<usize> = ends.iter().map(|end| end - horizon + 1 - self.window).collect();
        let windows = gather(self.frames, &starts, self.window);
        let targets = gather(self.frames, &ends.iter().map(|end| end - 1).collect::<Vec<_>>(), 1);
        multiply(self.gram.as_mut(), Accum::Add, windows.transpose(), windows.as_ref(), -1.0);
        multiply(cross_before.as_mut(), Accum::Add, windows.transpose(), targets.as_ref(), -1.0);
        for start in &starts {
            let window = &self.frames.values[start * dim..(start + self.window) * dim];
            self.context_sum.iter_mut().zip(window).for_each(|(s, x)| *s -= x);
        }
        self.n_rows -= starts.len();
    }

    /// Ridge of [Δ, state] at `horizon`, from Σ c x[t]ᵀ and Σ c x[t−1]ᵀ over the same rows.
    fn solve(&self, horizon: usize, cross: &Mat<f64>, cross_before: &Mat<f64>, lambda: f64) -> HorizonRidge {
        let (dim, p) = (self.frames.dim, self.gram.nrows());
        let n = self.n_rows.max(1) as f64;
        let context_mean: Vec<f64> = self.context_sum.iter().map(|s| s / n).collect();
        let target_mean: Vec<f64> = self.target_sums(horizon).iter().map(|s| s / n).collect();
        let centered =
            Mat::from_fn(p, p, |i, j| self.gram[(i, j)] - n * context_mean[i] * context_mean[j] + if i == j { lambda } else { 0.0 });
        let right = Mat::from_fn(p, 2 * dim, |i, j| {
            let product = if j < dim { cross[(i, j)] - cross_before[(i, j)] } else { cross[(i, j - dim)] };
            product - n * context_mean[i] * target_mean[j]
        });
        // λ > 0 makes the matrix positive definite; when it is not, the latents hold NaN or λ is 0 with too few rows.
        let weights =
            solve_positive_definite(centered.as_ref(), right.as_ref()).unwrap_or_else(|| Mat::from_fn(p, 2 * dim, |_, _| f64::NAN));
        let bias = (0..2 * dim).map(|j| target_mean[j] - (0..p).map(|i| context_mean[i] * weights[(i, j)]).sum::<f64>()).collect();
        HorizonRidge { horizon, window: self.window, weights, bias }
    }

    /// Σ Δ[t] and Σ x[t] over the rows of `horizon`, `[2 × dim]`.
    fn target_sums(&self, horizon: usize) -> Vec<f64> {
        let dim = self.frames.dim;
        let mut sums = vec![0.0; 2 * dim];
        let first_target = self.window - 1 + horizon;
        for &(start, n) in self.frames.spans.values().filter(|s| s.1 > first_target) {
            let (before, last) = (self.frames.frame(start + first_target - 1), self.frames.frame(start + n - 1));
            (0..dim).for_each(|d| sums[d] += last[d] - before[d]);
            for t in first_target..n {
                sums[dim..].iter_mut().zip(self.frames.frame(start + t)).for_each(|(s, x)| *s += x);
            }
        }
        sums
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

impl HorizonRidge {
    /// Scores the ridge at rows (corpus index, t) of `frames`; each t must leave room for the window.
    pub(super) fn score(&self, frames: &Frames, rows: &[(usize, usize)], normalizer: &Normalizer) -> RidgeScore {
        let mut raw = Score::new(frames.dim);
        let mut standardized = Score::new(frames.dim);
        let scale: Vec<f64> = normalizer.std.iter().map(|&s| f64::from(s)).collect();
        let ones = vec![1.0; frames.dim];
        for some in rows.chunks(SCORE_ROWS) {
            let at: Vec<usize> = some.iter().map(|(utterance, t)| frames.spans[utterance].0 + t).collect();
            let starts: Vec<usize> = at.iter().map(|t| t + 1 - self.horizon - self.window).collect();
            let width = self.window * frames.dim;
            let mut windows = Vec::with_capacity(starts.len() * width);
            starts.iter().for_each(|start| windows.extend_from_slice(&frames.values[start * frames.dim..start * frames.dim + width]));
            let windows = MatRef::from_row_major_slice(&windows, starts.len(), width);
            let mut predicted = Mat::from_fn(at.len(), self.bias.len(), |_, j| self.bias[j]);
            multiply(predicted.as_mut(), Accum::Add, windows, self.weights.as_ref(), 1.0);
            for (row, &t) in at.iter().enumerate() {
                let predicted: Vec<f64> = predicted.row(row).iter().copied().collect();
                raw.add(&predicted, frames.frame(t), frames.frame(t - 1), &scale);
                standardized.add(&predicted, frames.frame(t), frames.frame(t - 1), &ones);
            }
        }
        let n = rows.len().max(1) as f64;
        RidgeScore {
            n: rows.len(),
            cos: raw.cos / n,
            cos_standardized: standardized.cos / n,
            state_r2: raw.r2(n),
            state_r2_standardized: standardized.r2(n),
            state_err: raw.error / n,
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
    use crate::context::Side;
    use crate::diagnose::toy::{Toy, toy_corpus};

    const WINDOW: usize = 3;

    /// Utterances of different lengths: one holds a window but no target at the largest horizon.
    fn corpus() -> Corpus {
        let mut corpus = toy_corpus(Toy::StableAr1 { a: 0.7 }, 8, 30, 2, 1);
        for (utterance, n_frames) in corpus.utterances.iter_mut().zip([30, 12, 4, 20, 3, 9, 7, 30]) {
            utterance.latents.values.truncate(n_frames * 2);
        }
        corpus
    }

    /// The same ridge from rows written out one by one, with an explicit bias column that carries no penalty.
    fn from_rows(corpus: &Corpus, indices: &[usize], normalizer: &Normalizer, horizon: usize, lambda: f64) -> Mat<f64> {
        let (dim, mut contexts, mut targets) = (corpus.dim, Vec::new(), Vec::new());
        let z = |u: usize, t: usize, d: usize| {
            let x = f64::from(corpus.utterances[u].latents.frame(t)[d]);
            (x - f64::from(normalizer.mean[d])) / f64::from(normalizer.std[d])
        };
        for &u in indices {
            for t in WINDOW - 1 + horizon..corpus.utterances[u].latents.n_frames() {
                let frames = t + 1 - horizon - WINDOW..=t - horizon;
                contexts.push(frames.flat_map(|f| (0..dim).map(move |d| z(u, f, d))).chain([1.0]).collect::<Vec<f64>>());
                let delta = (0..dim).map(|d| z(u, t, d) - z(u, t - 1, d));
                targets.push(delta.chain((0..dim).map(|d| z(u, t, d))).collect::<Vec<f64>>());
            }
        }
        let x = Mat::from_fn(contexts.len(), WINDOW * dim + 1, |i, j| contexts[i][j]);
        let y = Mat::from_fn(targets.len(), 2 * dim, |i, j| targets[i][j]);
        let mut gram = x.transpose() * &x;
        (0..WINDOW * dim).for_each(|i| gram[(i, i)] += lambda);
        solve_positive_definite(gram.as_ref(), (x.transpose() * y).as_ref()).unwrap()
    }

    #[test]
    fn lag_products_give_the_ridge_of_the_rows_themselves() {
        let corpus = corpus();
        let indices: Vec<usize> = (0..8).filter(|&i| corpus.utterances[i].side == Side::Train || i == 3).collect();
        let normalizer = Normalizer::fit(corpus.utterances.iter().flat_map(|u| u.latents.values.chunks_exact(2)), 2);
        let horizons = [1, 2, 5, 6];
        let frames = Frames::new(&corpus, &indices, &normalizer, WINDOW + 6);
        let ctx = JobCtx::quiet(Device::flex(), 0);
        let ridges = fit_horizons(&ctx, &frames, WINDOW, &horizons, 2.5).unwrap();
        for (ridge, horizon) in ridges.iter().zip(horizons) {
            let expected = from_rows(&corpus, &indices, &normalizer, horizon, 2.5);
            for j in 0..4 {
                for i in 0..WINDOW * 2 {
                    let (found, expected) = (ridge.weights[(i, j)], expected[(i, j)]);
                    assert!((found - expected).abs() < 1e-9, "h {horizon}, weight [{i}, {j}]: {found}, expected {expected}");
                }
                let expected = expected[(WINDOW * 2, j)];
                assert!((ridge.bias[j] - expected).abs() < 1e-9, "h {horizon}, bias {j}: {}, expected {expected}", ridge.bias[j]);
            }
        }
    }
}
