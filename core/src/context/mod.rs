//! Utterances with their split, in memory or read in passes, and the pairs of context window and target Δ cut from them.
//!
//! `spec` of a pair at frame t and horizon k: the window is `x[t−k−W+1 ..= t−k]`, flattened oldest first, frame-major; the
//! target is always the one-step `Δ[t] = x[t] − x[t−1]`. Valid t ≥ max(1, W−1+k).

mod ahead;
mod corpus;
mod pairs;
mod source;

pub use corpus::{Corpus, CorpusError, CorpusUtterance, Side};
pub use pairs::{Pairs, Slice, first_target};
pub(crate) use pairs::{Targets, target_frames};
pub use source::{Outline, Source, StoredCorpus};
