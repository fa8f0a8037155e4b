//! Where rollouts start.

use std::path::Path;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::{SliceRandom, index};

use super::RolloutError;
use crate::context::{Corpus, Side, first_target};

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

/// Draws starts from the evaluation side, seeded, without replacement. An utterance too short for `window + n_steps` is passed
/// over and another drawn in its place; the error names the longest one when none is left.
pub fn sample_segments(
    corpus: &Corpus,
    window: usize,
    horizon: usize,
    n_steps: usize,
    config: &SegmentConfig,
    seed: u64,
) -> Result<Vec<Segment>, RolloutError> {
    let first = first_target(window, horizon);
    let n_frames = |utterance: usize| corpus.utterances[utterance].latents.n_frames().min(config.max_frames);
    let mut eval: Vec<usize> = (0..corpus.utterances.len()).filter(|&u| corpus.utterances[u].side == Side::Eval).collect();
    let Some(&longest) = eval.iter().max_by_key(|&&u| n_frames(u)) else {
        return Err(RolloutError::Input("the evaluation side has no utterance; give the store a split with evaluation speakers".into()));
    };
    let mut rng = StdRng::seed_from_u64(seed);
    eval.shuffle(&mut rng);
    eval.retain(|&u| n_frames(u) >= first + n_steps);
    let mut segments = Vec::new();
    for &utterance in eval.iter().take(config.n_utterances) {
        let n_starts = n_frames(utterance) - n_steps - first + 1;
        let chosen = index::sample(&mut rng, n_starts, config.segments_per_utterance.min(n_starts));
        segments.extend(chosen.into_iter().map(|start| Segment { utterance, t0: first + start }));
    }
    if segments.is_empty() {
        return Err(RolloutError::Input(format!(
            "no evaluation utterance is long enough: a window of {window} at horizon {horizon} and {n_steps} steps need {} frames, the longest ({}) has {}",
            first + n_steps,
            corpus.utterances[longest].id,
            n_frames(longest)
        )));
    }
    Ok(segments)
}

/// One entry of a starts file.
#[derive(serde::Deserialize)]
struct Starts {
    utterance_id: String,
    t0: Vec<usize>,
}

/// Reads recorded starts: `[{"utterance_id": …, "t0": [..]}]`. Whether a start leaves room for window and steps is for
/// [`rollout`](super::rollout) to say.
pub fn read_starts(path: &Path, corpus: &Corpus) -> Result<Vec<Segment>, RolloutError> {
    let bad = |reason: String| RolloutError::Input(format!("{}: {reason}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|e| bad(e.to_string()))?;
    let starts: Vec<Starts> =
        serde_json::from_str(&text).map_err(|e| bad(format!("not a list of {{\"utterance_id\": …, \"t0\": [..]}} ({e})")))?;
    let mut segments = Vec::new();
    for entry in starts {
        let utterance =
            corpus.utterances.iter().position(|u| u.id == entry.utterance_id).ok_or_else(|| {
                bad(format!("no utterance {} in the store (or its speaker is on no side of the split)", entry.utterance_id))
            })?;
        let n_frames = corpus.utterances[utterance].latents.n_frames();
        if let Some(t0) = entry.t0.iter().find(|&&t0| t0 == 0 || t0 >= n_frames) {
            return Err(bad(format!(
                "start t0 = {t0} is outside utterance {}, whose frames are 0 to {}",
                entry.utterance_id,
                n_frames - 1
            )));
        }
        segments.extend(entry.t0.into_iter().map(|t0| Segment { utterance, t0 }));
    }
    if segments.is_empty() {
        return Err(bad("no start in it".into()));
    }
    Ok(segments)
}
