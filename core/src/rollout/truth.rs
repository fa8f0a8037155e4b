//! The true frames that a rollout starts from, is compared with, and is reset to.

use std::collections::VecDeque;

use burn::tensor::{Device, Tensor, TensorData};

use super::Segment;
use crate::context::{Corpus, Side};

/// True frames around each segment, on the device: index j is frame `t0 − k − W + 1 + j`.
pub(super) struct Truth {
    frames: Tensor<3>, // [segments, window + horizon + n_steps − 1, dim]
    window: usize,
    horizon: usize,
    n_segments: usize,
    dim: usize,
    /// ‖Δ true‖ of every segment and step, `[segments × n_steps]`.
    pub(super) delta_norms: Vec<f64>,
}

impl Truth {
    /// Gathers the frames of `segments`, whose ranges were checked.
    pub(super) fn gather(corpus: &Corpus, segments: &[Segment], window: usize, horizon: usize, n_steps: usize, device: &Device) -> Self {
        let (dim, length) = (corpus.dim, window + horizon + n_steps - 1);
        let values = true_frames(corpus, segments, window, horizon, n_steps);
        let frames = Tensor::from_data(TensorData::new(values, [segments.len(), length, dim]), device);
        Self { frames, window, horizon, n_segments: segments.len(), dim, delta_norms: delta_norms(corpus, segments, n_steps) }
    }

    /// True windows of `step` (1-based), `[segments, 1, window × dim]`: they end at frame `t0 + step − 1 − k`.
    pub(super) fn windows(&self, step: usize) -> Tensor<3> {
        self.frames.clone().narrow(1, step - 1, self.window).reshape([self.n_segments, 1, self.window * self.dim])
    }

    /// Frames of the true windows of step 1, oldest first, each `[1, segments, dim]`.
    pub(super) fn first_window(&self) -> VecDeque<Tensor<3>> {
        (0..self.window).map(|index| self.at(index)).collect()
    }

    /// The true frame that the window of `step + 1` ends with, `[1, segments, dim]`.
    pub(super) fn next_window_frame(&self, step: usize) -> Tensor<3> {
        self.at(self.window + step - 1)
    }

    /// The true frame `t0 + step − 1` that `step` predicts, `[1, segments, dim]`; step 0 is the frame before the start.
    pub(super) fn state(&self, step: usize) -> Tensor<3> {
        self.at(self.window + self.horizon - 2 + step)
    }

    /// True states after steps `first..first + n`, `[segments, n, dim]`.
    pub(super) fn states(&self, first: usize, n: usize) -> Tensor<3> {
        self.frames.clone().narrow(1, self.window + self.horizon - 2 + first, n)
    }

    fn at(&self, index: usize) -> Tensor<3> {
        self.frames.clone().narrow(1, index, 1).reshape([1, self.n_segments, self.dim])
    }
}

/// True frames around each segment, `[segments, window + horizon + n_steps − 1, dim]`: index j is frame `t0 − k − W + 1 + j`.
pub(super) fn true_frames(corpus: &Corpus, segments: &[Segment], window: usize, horizon: usize, n_steps: usize) -> Vec<f32> {
    let length = (window + horizon + n_steps - 1) * corpus.dim;
    let frames = segments.iter().flat_map(|segment| {
        let first = (segment.t0 + 1 - horizon - window) * corpus.dim;
        &corpus.utterances[segment.utterance].latents.values[first..first + length]
    });
    frames.copied().collect()
}

/// ‖Δ true‖ of every segment and step, `[segments × n_steps]`.
pub(super) fn delta_norms(corpus: &Corpus, segments: &[Segment], n_steps: usize) -> Vec<f64> {
    let frames = segments.iter().flat_map(|s| (s.t0..s.t0 + n_steps).map(|t| (&corpus.utterances[s.utterance].latents, t)));
    frames.map(|(latents, t)| distance(latents.frame(t), latents.frame(t - 1))).collect()
}

/// ‖a − b‖, summed in f64.
pub(super) fn distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum::<f64>().sqrt()
}

/// Median ‖Δ‖ over every frame of the training side, raw units; 0 when there is none.
pub fn median_delta_norm(corpus: &Corpus) -> f64 {
    let mut norms: Vec<f64> = corpus
        .side(Side::Train)
        .flat_map(|u| (1..u.latents.n_frames()).map(|t| distance(u.latents.frame(t), u.latents.frame(t - 1))))
        .collect();
    if norms.is_empty() {
        return 0.0;
    }
    let upper = norms.len() / 2;
    let is_even = norms.len().is_multiple_of(2);
    let (below, middle, _) = norms.select_nth_unstable_by(upper, f64::total_cmp);
    match below.iter().copied().max_by(f64::total_cmp) {
        Some(lower) if is_even => f64::midpoint(lower, *middle),
        _ => *middle,
    }
}
