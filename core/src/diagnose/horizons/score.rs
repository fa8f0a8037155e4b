//! How well ridges do.

use driftscope_numerics::linear::MatRef;

use super::HorizonRidge;
use crate::diagnose::frames::Frames;
use crate::represent::Normalizer;

/// Rows scored at once.
const SCORE_ROWS: usize = 256;

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
pub(in crate::diagnose) struct Scorer<'a> {
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
    pub(in crate::diagnose) fn new(ridge: &'a HorizonRidge, normalizer: &Normalizer) -> Self {
        let dim = normalizer.std.len();
        let scale = normalizer.std.iter().map(|&s| f64::from(s)).collect();
        Self { ridge, scale, windows: Vec::new(), targets: Vec::new(), n: 0, raw: Score::new(dim), standardized: Score::new(dim) }
    }

    /// Adds the rows of an utterance with these targets; each must leave room for the window.
    pub(in crate::diagnose) fn add(&mut self, frames: &Frames, targets: &[usize]) {
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
        let predicted = self.ridge.predict(windows);
        for (row, frames) in self.targets.chunks_exact(2 * dim).enumerate() {
            let predicted: Vec<f64> = predicted.row(row).iter().copied().collect();
            let (before, now) = frames.split_at(dim);
            self.raw.add(&predicted, now, before, &self.scale);
            self.standardized.add(&predicted, now, before, &ones);
        }
        self.windows.clear();
        self.targets.clear();
    }

    pub(in crate::diagnose) fn score(mut self) -> RidgeScore {
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
