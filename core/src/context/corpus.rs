//! Utterances held in memory, each on one side of a split.

use crate::latents::{Latents, Store, StoreError};

/// Which side of the split.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Fits may see it.
    Train,
    /// Only measurements see it.
    Eval,
}

/// One utterance in memory.
#[derive(Clone, Debug)]
pub struct CorpusUtterance {
    /// Utterance id.
    pub id: String,
    /// Speaker, as text.
    pub speaker: String,
    /// The latents.
    pub latents: Latents,
    /// RMS per frame, where known.
    pub energy: Option<Vec<f32>>,
    /// Side of the split.
    pub side: Side,
}

/// A store read into memory with its split applied.
#[derive(Clone, Debug)]
pub struct Corpus {
    /// In index order; utterances whose speaker is on no side are left out.
    pub utterances: Vec<CorpusUtterance>,
    /// Dimensions of a frame.
    pub dim: usize,
    /// Frames per second.
    pub frame_rate_hz: f64,
    /// blake3 (hex) over ids, shapes and values in order, or the toy's name and parameters.
    pub source: String,
}

/// Why a corpus could not be made.
#[derive(Debug, thiserror::Error)]
pub enum CorpusError {
    /// From the store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing on a side.
    #[error("{0}")]
    Unusable(String),
}

impl Corpus {
    /// Reads every utterance of `store`; split = the store's own, or every fourth speaker as eval when it has none. Utterances that
    /// cannot be read are left out and returned as problems, each naming its utterance.
    pub fn read(store: &Store) -> Result<(Self, Vec<StoreError>), CorpusError> {
        let _ = store;
        todo!()
    }

    /// Utterances of one side.
    pub fn side(&self, side: Side) -> impl Iterator<Item = &CorpusUtterance> {
        self.utterances.iter().filter(move |u| u.side == side)
    }
}
