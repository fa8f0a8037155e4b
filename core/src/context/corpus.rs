//! Utterances held in memory, each on one side of a split.
//!
//! This is what fits and measurements read. It does not know where the values came from beyond the hash in `source`.

use std::collections::BTreeSet;

use rayon::prelude::*;

use super::ahead::ReadAhead;
use crate::job::{Cancel, Cancelled, Progress};
use crate::latents::{CodecTag, Latents, Split, Store, StoreError, Utterance};

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
    /// No threads to read with.
    #[error("no threads could be started to read with ({0})")]
    Threads(#[from] rayon::ThreadPoolBuildError),
    /// Stopped.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl Corpus {
    /// Reads every utterance of `store`; split = the store's own, or every fourth speaker as eval when it has none. Utterances that
    /// cannot be read are left out and returned as problems, each naming its utterance.
    pub fn read(store: &Store) -> Result<(Self, Vec<StoreError>), CorpusError> {
        let (mut utterances, mut contents) = (Vec::new(), Contents::default());
        let problems = read_all(store, &ReadAhead::new()?, &Cancel::default(), &Progress::default(), |utterance| {
            contents.add(&utterance);
            utterances.push(utterance);
        })?;
        let (dim, frame_rate_hz, codec) = (store.dim(), store.frame_rate_hz(), store.codec().cloned());
        Ok((Self { utterances, dim, frame_rate_hz, source: contents.hash(), codec }, problems))
    }

    /// Utterances of one side.
    pub fn side(&self, side: Side) -> impl Iterator<Item = &CorpusUtterance> {
        self.utterances.iter().filter(move |u| u.side == side)
    }
}

/// Hands `each` every utterance of `store` that is on a side and can be read, in order; the others of the sides are the problems.
pub(super) fn read_all(
    store: &Store,
    ahead: &ReadAhead,
    cancel: &Cancel,
    progress: &Progress,
    mut each: impl FnMut(CorpusUtterance),
) -> Result<Vec<StoreError>, CorpusError> {
    let sides = sides(store)?;
    // An index that is wrong may name any number of frames.
    let total = sides.iter().fold(0_u64, |total, (u, _)| total.saturating_add(u.n_frames as u64));
    let n_bytes = |(u, _): &(&Utterance, Side)| u.n_frames.saturating_mul(store.dim() * size_of::<f32>());
    let (mut done, mut problems, mut has) = (0_u64, Vec::new(), [false; 2]);
    let read = |&(u, side): &(&Utterance, Side)| {
        let (latents, energy) = (store.read(&u.id)?, store.energy(&u.id)?);
        Ok(CorpusUtterance { id: u.id.clone(), speaker: u.speaker.clone(), latents, energy, side })
    };
    ahead.pass(&sides, n_bytes, read, |&(u, side), utterance| {
        cancel.check()?;
        match utterance {
            Ok(utterance) => {
                has[usize::from(side == Side::Eval)] = true;
                each(utterance);
            }
            Err(problem) => problems.push(problem),
        }
        done = done.saturating_add(u.n_frames as u64);
        progress.report("frames of the store", done, Some(total), "");
        Ok::<(), CorpusError>(())
    })?;
    for (has, name) in has.into_iter().zip(["train", "eval"]) {
        if !has {
            let why = match (problems.first(), store.split()) {
                (Some(first), _) => format!("; {} could not be read, first: {first}", problems.len()),
                (None, Some(_)) => "; the splits/ beside it may be those of another store".to_owned(),
                (None, None) => String::new(),
            };
            return Err(unusable(store, &format!("no utterance of a speaker on the {name} side{why}")));
        }
    }
    Ok(problems)
}

fn unusable(store: &Store, reason: &str) -> CorpusError {
    CorpusError::Unusable(format!("{}: {reason}", store.path().display()))
}

/// The utterances whose speaker is on a side, in index order.
fn sides(store: &Store) -> Result<Vec<(&Utterance, Side)>, CorpusError> {
    let split = if let Some(split) = store.split() {
        split.clone()
    } else {
        let speakers: BTreeSet<String> = store.utterances().iter().map(|u| u.speaker.clone()).collect();
        // Where both are wrong, the damage is the better news: it is what to mend first.
        let damage = || store.utterances().par_iter().find_map_first(|u| store.read(&u.id).err());
        Split::every_fourth(&speakers).map_err(|e| damage().map_or_else(|| unusable(store, &e.to_string()), CorpusError::Store))?
    };
    let side_of = |speaker: &str| {
        let is_train = split.train_speakers.contains(speaker).then_some(Side::Train);
        is_train.or_else(|| split.eval_speakers.contains(speaker).then_some(Side::Eval))
    };
    Ok(store.utterances().iter().filter_map(|u| Some((u, side_of(&u.speaker)?))).collect())
}

/// blake3 over ids, shapes and values in order; the same for every format the values are stored in.
#[derive(Default)]
pub(super) struct Contents(blake3::Hasher);

impl Contents {
    pub(super) fn add(&mut self, utterance: &CorpusUtterance) {
        let CorpusUtterance { id, latents, .. } = utterance;
        self.0.update(format!("{id}\0{}\0{}\0", latents.n_frames(), latents.dim).as_bytes());
        let mut bytes = [0; 1 << 14];
        for values in latents.values.chunks(bytes.len() / 4) {
            let bytes = &mut bytes[..4 * values.len()];
            bytes.as_chunks_mut().0.iter_mut().zip(values).for_each(|(bytes, value)| *bytes = value.to_le_bytes());
            self.0.update(bytes);
        }
    }

    /// Hex.
    pub(super) fn hash(self) -> String {
        self.0.finalize().to_hex().to_string()
    }
}
