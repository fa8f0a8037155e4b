//! Utterances held in memory, each on one side of a split.
//!
//! This is what fits and measurements read. It does not know where the values came from beyond the hash in `source`.

use std::collections::BTreeSet;

use rayon::prelude::*;

use crate::latents::{CodecTag, Latents, Split, Store, StoreError};

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
    /// Which codec made the latents, where that is known.
    pub codec: Option<CodecTag>,
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
        let unusable = |reason: String| CorpusError::Unusable(format!("{}: {reason}", store.path().display()));
        let split = if let Some(split) = store.split() {
            split.clone()
        } else {
            let speakers: BTreeSet<String> = store.utterances().iter().map(|u| u.speaker.clone()).collect();
            // Where both are wrong, the damage is the better news: it is what to mend first.
            let damage = || store.utterances().par_iter().find_map_first(|u| store.read(&u.id).err());
            Split::every_fourth(&speakers).map_err(|e| damage().map_or_else(|| unusable(e.to_string()), CorpusError::Store))?
        };
        let side_of = |speaker: &str| {
            let is_train = split.train_speakers.contains(speaker).then_some(Side::Train);
            is_train.or_else(|| split.eval_speakers.contains(speaker).then_some(Side::Eval))
        };
        let read: Vec<Result<CorpusUtterance, StoreError>> = store
            .utterances()
            .par_iter()
            .filter_map(|u| side_of(&u.speaker).map(|side| (u, side)))
            .map(|(u, side)| {
                let (latents, energy) = (store.read(&u.id)?, store.energy(&u.id)?);
                Ok(CorpusUtterance { id: u.id.clone(), speaker: u.speaker.clone(), latents, energy, side })
            })
            .collect();
        let (mut utterances, mut problems) = (Vec::with_capacity(read.len()), Vec::new());
        for result in read {
            match result {
                Ok(utterance) => utterances.push(utterance),
                Err(problem) => problems.push(problem),
            }
        }
        for (side, name) in [(Side::Train, "train"), (Side::Eval, "eval")] {
            if !utterances.iter().any(|u| u.side == side) {
                let why = match (problems.first(), store.split()) {
                    (Some(first), _) => format!("; {} could not be read, first: {first}", problems.len()),
                    (None, Some(_)) => "; the splits/ beside it may be those of another store".to_owned(),
                    (None, None) => String::new(),
                };
                return Err(unusable(format!("no utterance of a speaker on the {name} side{why}")));
            }
        }
        let source = content_hash(&utterances);
        Ok((Self { utterances, dim: store.dim(), frame_rate_hz: store.frame_rate_hz(), source, codec: store.codec().cloned() }, problems))
    }

    /// Utterances of one side.
    pub fn side(&self, side: Side) -> impl Iterator<Item = &CorpusUtterance> {
        self.utterances.iter().filter(move |u| u.side == side)
    }
}

/// blake3 over ids, shapes and values in order, hex; the same for every format the values are stored in.
fn content_hash(utterances: &[CorpusUtterance]) -> String {
    let mut hasher = blake3::Hasher::new();
    for u in utterances {
        hasher.update(format!("{}\0{}\0{}\0", u.id, u.latents.n_frames(), u.latents.dim).as_bytes());
        let bytes: Vec<u8> = u.latents.values.iter().flat_map(|v| v.to_le_bytes()).collect();
        hasher.update(&bytes);
    }
    hasher.finalize().to_hex().to_string()
}
