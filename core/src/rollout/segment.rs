//! Where rollouts start.

use std::path::Path;

use super::RolloutError;
use crate::context::Corpus;

/// A rollout's start: the first predicted frame is `t0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Segment {
    /// Index into [`Corpus::utterances`].
    pub utterance: usize,
    /// First predicted frame.
    pub t0: usize,
}

/// How starts are drawn.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SegmentConfig {
    /// Evaluation utterances drawn.
    pub n_utterances: usize,
    /// Starts in each.
    pub segments_per_utterance: usize,
    /// Only the first frames of an utterance are used.
    pub max_frames: usize,
}

impl Default for SegmentConfig {
    fn default() -> Self {
        Self { n_utterances: 16, segments_per_utterance: 8, max_frames: 2000 }
    }
}

/// Draws starts from the evaluation side, seeded, without replacement; utterances too short for `window + n_steps` are named in the error only if none is left.
pub fn sample_segments(
    corpus: &Corpus,
    window: usize,
    horizon: usize,
    n_steps: usize,
    config: &SegmentConfig,
    seed: u64,
) -> Result<Vec<Segment>, RolloutError> {
    let _ = (corpus, window, horizon, n_steps, config, seed);
    todo!()
}

/// Reads recorded starts: `[{"utterance_id": …, "t0": [..]}]`.
pub fn read_starts(path: &Path, corpus: &Corpus) -> Result<Vec<Segment>, RolloutError> {
    let _ = (path, corpus);
    todo!()
}
