//! Pairs of context window and target Δ, cut from utterances.
//!
//! `spec` of a pair at frame t and horizon k: the window is `x[t−k−W+1 ..= t−k]`, flattened oldest first, frame-major; the
//! target is always the one-step `Δ[t] = x[t] − x[t−1]`. Valid t ≥ max(1, W−1+k).

mod corpus;
mod pairs;

pub use corpus::{Corpus, CorpusError, CorpusUtterance, Side};
pub(crate) use pairs::target_frames;
pub use pairs::{Pairs, Slice, first_target};
