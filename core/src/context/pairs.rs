//! Teacher-forced pairs as flat matrices.

use super::Corpus;

/// Which frames count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Slice {
    /// All valid frames.
    #[default]
    All,
    /// Energy above the median of the training frames.
    HighEnergy,
    /// `0.17 ≤ t / n_frames ≤ 0.83`.
    UtteranceMedial,
}

/// First valid target frame for window length `window` and horizon `horizon`.
pub fn first_target(window: usize, horizon: usize) -> usize {
    (window - 1 + horizon).max(1)
}

/// Pairs of one side at one horizon; rows in corpus order.
#[derive(Clone, Debug, Default)]
pub struct Pairs {
    /// `[n, window × dim]`
    pub contexts: Vec<f32>,
    /// `[n, dim]`
    pub deltas: Vec<f32>,
    /// Utterance (index into the corpus) and target frame of each row, `[n]`.
    pub origins: Vec<(usize, usize)>,
    /// Dimensions of a frame.
    pub dim: usize,
    /// Frames in a window.
    pub window: usize,
}

impl Pairs {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.origins.len()
    }

    /// No rows.
    pub fn is_empty(&self) -> bool {
        self.origins.is_empty()
    }

    /// Cuts pairs from the utterances at `utterance_indices` (indices into `corpus.utterances`).
    pub fn cut(corpus: &Corpus, utterance_indices: &[usize], window: usize, horizon: usize, slice: Slice) -> Self {
        let _ = (corpus, utterance_indices, window, horizon, slice);
        todo!()
    }
}
