//! Ridges of Δ\[t\] and x\[t\] from windows that end at t−h, in passes over the utterances.
//!
//! In standardized coordinates a row of horizon h is a span of W + h frames: the window, and the target at its end. Everything is f64.

mod lags;
mod rows;
mod score;

use std::sync::Arc;

use driftscope_numerics::linear::{Accum, Mat, MatRef, multiply, solve_positive_definite};

use rows::Spans;
pub use score::RidgeScore;
pub(super) use score::Scorer;

use super::DiagnoseError;
use super::frames::Reader;

/// A ridge of one horizon, in standardized coordinates: outputs are Δ then state.
pub(super) struct HorizonRidge {
    pub(super) horizon: usize,
    window: usize,
    map: Map,
    bias: Vec<f64>, // [2 × dim]
}

/// What a window is multiplied with.
enum Map {
    /// The weights, `[window × dim, 2 × dim]`.
    Weights(Mat<f64>),
    /// The windows of the training rows, and then the share that each has in the outputs, `[windows, 2 × dim]`. Of few rows this is less
    /// work than forming the weights would be, and a part of their memory.
    Rows(Arc<Spans>, Mat<f64>),
}

impl HorizonRidge {
    /// From the map of centered rows, and the means that were taken off windows and targets.
    fn new(horizon: usize, window: usize, map: Map, window_mean: &[f64], target_mean: &[f64]) -> Self {
        let mut ridge = Self { horizon, window, map, bias: vec![0.0; target_mean.len()] };
        let at_mean = ridge.predict(MatRef::from_row_major_slice(window_mean, 1, window_mean.len()));
        ridge.bias = target_mean.iter().enumerate().map(|(j, mean)| mean - at_mean[(0, j)]).collect();
        ridge
    }

    /// Outputs `[n, 2 × dim]` for `windows [n, window × dim]`.
    fn predict(&self, windows: MatRef<'_, f64>) -> Mat<f64> {
        let mut outputs = Mat::from_fn(windows.nrows(), self.bias.len(), |_, j| self.bias[j]);
        match &self.map {
            Map::Weights(weights) => multiply(outputs.as_mut(), Accum::Add, windows, weights.as_ref(), 1.0),
            Map::Rows(spans, shares) => {
                let mut products = Mat::zeros(windows.nrows(), shares.nrows());
                multiply(products.as_mut(), Accum::Replace, windows, spans.windows().transpose(), 1.0);
                multiply(outputs.as_mut(), Accum::Add, products.as_ref(), shares.as_ref(), 1.0);
            }
        }
        outputs
    }
}

/// Fits ridges with penalty `lambda` (bias not penalized) at each of `horizons` (ascending) on every row of the utterances at
/// `indices`. Few rows are solved for among themselves, many for their inputs: the numbers are the same.
pub(super) fn fit_horizons(
    reader: Reader,
    stage: &str,
    indices: &[usize],
    window: usize,
    horizons: &[usize],
    lambda: f64,
) -> Result<Vec<HorizonRidge>, DiagnoseError> {
    let shortest = horizons.first().copied().unwrap_or(0);
    let lengths = indices.iter().map(|&index| reader.source.outline(index).n_frames);
    let n_frames: usize = lengths.filter(|&n| n_rows(n, window, shortest) > 0).sum();
    // From there on multiplying with all rows costs what the smaller system saves. Without a penalty a system of few rows has no one solution.
    let are_few = 2 * n_frames <= window * reader.source.dim() && lambda > 0.0;
    let fit = if are_few { rows::fit } else { lags::fit };
    fit(reader, stage, indices, window, horizons, lambda)
}

/// Rows that an utterance of `n_frames` holds.
fn n_rows(n_frames: usize, window: usize, horizon: usize) -> usize {
    (n_frames + 1).saturating_sub(window + horizon)
}

/// `matrix⁻¹ · right`. λ > 0 makes the matrix positive definite; when it is not, the latents hold NaN or λ is 0 with too few rows, and so
/// does the solution.
fn solve_or_nan(matrix: &Mat<f64>, right: &Mat<f64>) -> Mat<f64> {
    solve_positive_definite(matrix.as_ref(), right.as_ref()).unwrap_or_else(|| Mat::from_fn(right.nrows(), right.ncols(), |_, _| f64::NAN))
}

/// `sum += sign · Σ rows`, where a row is as long as `sum`.
fn add_rows(sum: &mut [f64], rows: &[f64], sign: f64) {
    for row in rows.chunks_exact(sum.len()) {
        sum.iter_mut().zip(row).for_each(|(s, x)| *s += sign * x);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use burn::tensor::Device;

    use super::*;
    use crate::context::{Corpus, Side, Source};
    use crate::diagnose::frames::Time;
    use crate::diagnose::toy::{Toy, toy_corpus};
    use crate::job::{Cancel, JobCtx, Progress};
    use crate::represent::Normalizer;

    type Fit = fn(Reader, &str, &[usize], usize, &[usize], f64) -> Result<Vec<HorizonRidge>, DiagnoseError>;

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
    fn both_systems_give_the_ridge_of_the_rows_themselves() {
        let corpus = corpus();
        let train: Vec<usize> = (0..8).filter(|&i| corpus.utterances[i].side == Side::Train || i == 3).collect();
        let normalizer = Normalizer::fit(corpus.utterances.iter().flat_map(|u| u.latents.values.chunks_exact(2)), 2);
        let ctx = JobCtx::quiet(Device::flex(), 0);
        let reader = Reader { ctx: &ctx, source: Source::from(&corpus), normalizer: &normalizer, time: Time::True };
        // More rows than inputs and fewer, from several utterances and from one.
        let cases: [(&[usize], usize, [usize; 4]); 6] = [
            (&train, 3, [1, 2, 5, 6]),
            (&train, 1, [2, 3, 4, 8]),
            (&train, 4, [1, 7, 9, 12]),
            (&[0, 3], 12, [1, 2, 5, 6]),
            (&[3, 5], 8, [1, 2, 3, 9]),
            (&[3], 12, [1, 2, 5, 6]),
        ];
        for (indices, window, horizons) in cases {
            for (system, fit) in [("inputs", lags::fit as Fit), ("rows", rows::fit), ("either", fit_horizons)] {
                let ridges = fit(reader, "ridge", indices, window, &horizons, 2.5).unwrap();
                for (ridge, horizon) in ridges.iter().zip(horizons) {
                    let expected = from_rows(&corpus, indices, &normalizer, window, horizon, 2.5);
                    // Of single inputs, and in the last row of none.
                    let outputs = ridge.predict(Mat::from_fn(window * 2 + 1, window * 2, |i, j| f64::from(u8::from(i == j))).as_ref());
                    let found = |i: usize, j: usize| if i < window * 2 { outputs[(i, j)] - ridge.bias[j] } else { outputs[(i, j)] };
                    for (i, j) in (0..=window * 2).flat_map(|i| (0..4).map(move |j| (i, j))) {
                        let (found, expected) = (found(i, j), expected[(i, j)]);
                        let place = format!("{system} of {indices:?}, W {window}, h {horizon}, weight [{i}, {j}]");
                        assert!((found - expected).abs() < 1e-9, "{place}: {found}, expected {expected}");
                    }
                }
            }
        }
    }

    #[test]
    fn few_rows_are_solved_for_among_themselves_and_end_when_asked() {
        let corpus = corpus();
        let normalizer = Normalizer { mean: vec![0.0; 2], std: vec![1.0; 2] };
        let stages = |indices: &[usize], lambda: f64, stop_at: &'static str| {
            let (told, cancel) = (Arc::new(Mutex::new(Vec::new())), Cancel::default());
            let (sink, stop) = (Arc::clone(&told), cancel.clone());
            let progress = Progress::new(move |event| {
                if event.stage == stop_at {
                    stop.cancel();
                }
                sink.lock().unwrap().push(event.stage.into_owned());
            });
            let ctx = JobCtx { cancel, progress, ..JobCtx::quiet(Device::flex(), 0) };
            let reader = Reader { ctx: &ctx, source: Source::from(&corpus), normalizer: &normalizer, time: Time::True };
            let ridges = fit_horizons(reader, "ridge", indices, 20, &[1, 2], lambda);
            let mut told = told.lock().unwrap().clone();
            told.dedup();
            (told, ridges.map(|ridges| ridges.len()).map_err(|e| matches!(e, DiagnoseError::Cancelled(_))))
        };
        let few = ["ridge, reading", "ridge k=1", "ridge k=2"].map(String::from);
        assert_eq!(stages(&[3, 4], 1.0, ""), (few.to_vec(), Ok(2)), "20 frames, 40 inputs; the utterance of 3 frames holds no row");
        assert_eq!(stages(&[0], 1.0, ""), (few[1..].to_vec(), Ok(2)), "30 frames");
        assert_eq!(stages(&[3], 0.0, ""), (few[1..].to_vec(), Ok(2)), "no penalty");
        assert_eq!(stages(&[3], 1.0, "ridge k=1"), (few[..2].to_vec(), Err(true)));
    }
}
