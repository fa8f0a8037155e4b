//! What is asked of a predictor on the CPU, and where its answers go.

use std::ops::Range;

use rayon::prelude::*;

use crate::predict::MagnitudeRule;

/// Rows that are asked about: where a predictor reads what its caller keeps.
pub(crate) trait Rows: Sync {
    /// Raw window of a row, `[window × dim]`.
    fn window(&self, row: usize) -> &[f32];
    /// The Δ that its density is taken at, `[dim]`.
    fn delta(&self, row: usize) -> &[f32];
    /// The random numbers of its sample, see `prediction::draw_for_mixture` and its sibling; asked for by rule "sample" only.
    fn draw(&self, row: usize) -> &[f32];
}

/// Rows of matrices.
pub(in crate::predict) struct Matrices<'a> {
    /// `[n, window × dim]`
    pub(in crate::predict) windows: &'a [f32],
    /// `[n, dim]`
    pub(in crate::predict) deltas: &'a [f32],
    /// `[n, draw width]`, or nothing.
    pub(in crate::predict) draws: &'a [f32],
    pub(in crate::predict) n: usize,
}

impl Matrices<'_> {
    fn row<'a>(&self, values: &'a [f32], row: usize) -> &'a [f32] {
        let width = values.len() / self.n.max(1);
        &values[row * width..(row + 1) * width]
    }
}

impl Rows for Matrices<'_> {
    fn window(&self, row: usize) -> &[f32] {
        self.row(self.windows, row)
    }

    fn delta(&self, row: usize) -> &[f32] {
        self.row(self.deltas, row)
    }

    fn draw(&self, row: usize) -> &[f32] {
        self.row(self.draws, row)
    }
}

/// How the state advances.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Advance {
    pub(crate) rule: MagnitudeRule,
    /// Spread of samples.
    pub(crate) temperature: f32,
}

/// Answers for each row, in memory that is kept for the next call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    /// −ln p(Δ) and the peer's factored number, `[batch]`
    pub(crate) nll: Vec<f32>,
    pub(crate) nll_factored: Vec<f32>,
    /// E\[Δ\] and the Δ̂ that the state advances by, `[batch, dim]`
    pub(crate) mean: Vec<f32>,
    pub(crate) advance: Vec<f32>,
}

impl Answers {
    /// With room for `n` rows.
    pub(crate) fn for_rows(n: usize, dim: usize) -> Self {
        let mut answers = Self::default();
        answers.resize(n, dim);
        answers
    }

    /// As many as there are rows.
    pub(super) fn resize(&mut self, n: usize, dim: usize) {
        self.nll.resize(n, 0.0);
        self.nll_factored.resize(n, 0.0);
        self.mean.resize(n * dim, 0.0);
        self.advance.resize(n * dim, 0.0);
    }

    /// Points without a density.
    pub(in crate::predict) fn set_points(&mut self, n: usize, dim: usize, point: impl Fn(usize, &mut [f32]) + Sync) {
        self.resize(n, dim);
        self.rows(0..n, dim).for_each(|(row, likelihoods, [mean, advance])| {
            likelihoods.into_iter().for_each(|nll| *nll = f32::NAN);
            point(row, mean);
            advance.copy_from_slice(mean);
        });
    }

    /// Number, both likelihoods, mean and advance of each of some rows.
    pub(super) fn rows(
        &mut self,
        rows: Range<usize>,
        dim: usize,
    ) -> impl IndexedParallelIterator<Item = (usize, [&mut f32; 2], [&mut [f32]; 2])> {
        let values = rows.start * dim..rows.end * dim;
        let likelihoods = self.nll[rows.clone()].par_iter_mut().zip(&mut self.nll_factored[rows.clone()]);
        let points = self.mean[values.clone()].par_chunks_mut(dim).zip(self.advance[values].par_chunks_mut(dim));
        let each = rows.into_par_iter().zip(likelihoods.zip(points));
        each.map(|(row, ((nll, factored), (mean, advance)))| (row, [nll, factored], [mean, advance]))
    }
}
