//! Utterances that are read in passes: all of a corpus in memory, or a store of which memory holds a part.
//!
//! What is known of an utterance without its values (speaker, side, length, energy) is always at hand; values come in order, one
//! utterance at a time. It does not say what a pass is for.

use super::ahead::ReadAhead;
use super::corpus::{Contents, read_all};
use super::{Corpus, CorpusError, Side};
use crate::job::{Cancel, Progress};
use crate::latents::{CodecTag, Latents, Store, StoreError};

/// A store with its split applied, of which as much is in memory as may be; the rest is read again in each pass.
#[derive(Debug)]
pub struct StoredCorpus {
    store: Store,
    ahead: ReadAhead,
    /// In index order; utterances whose speaker is on no side are left out.
    utterances: Vec<StoredUtterance>,
    source: String,
}

#[derive(Debug)]
struct StoredUtterance {
    id: String,
    speaker: String,
    side: Side,
    n_frames: usize,
    energy: Option<Vec<f32>>,
    /// Where it found room.
    latents: Option<Latents>,
}

impl StoredCorpus {
    /// Reads `store` once, as [`Corpus::read`] does, and holds `memory_bytes` of its latents. Utterances that cannot be read are left
    /// out and returned as problems.
    pub fn open(store: Store, memory_bytes: usize, cancel: &Cancel, progress: &Progress) -> Result<(Self, Vec<StoreError>), CorpusError> {
        let (ahead, mut contents, mut utterances, mut room) = (ReadAhead::new()?, Contents::default(), Vec::new(), memory_bytes);
        let problems = read_all(&store, &ahead, cancel, progress, |utterance| {
            contents.add(&utterance);
            let n_bytes = size_of_val(utterance.latents.values.as_slice());
            let fits = n_bytes <= room;
            room = if fits { room - n_bytes } else { 0 };
            utterances.push(StoredUtterance {
                id: utterance.id,
                speaker: utterance.speaker,
                side: utterance.side,
                n_frames: utterance.latents.n_frames(),
                energy: utterance.energy,
                latents: fits.then_some(utterance.latents),
            });
        })?;
        Ok((Self { store, ahead, utterances, source: contents.hash() }, problems))
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }
}

/// Utterances to be read in passes.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// All in memory.
    Memory(&'a Corpus),
    /// In a store.
    Stored(&'a StoredCorpus),
}

impl<'a> From<&'a Corpus> for Source<'a> {
    fn from(corpus: &'a Corpus) -> Self {
        Self::Memory(corpus)
    }
}

impl<'a> From<&'a StoredCorpus> for Source<'a> {
    fn from(corpus: &'a StoredCorpus) -> Self {
        Self::Stored(corpus)
    }
}

/// What is known of an utterance without its latents.
#[derive(Clone, Copy, Debug)]
pub struct Outline<'a> {
    /// Utterance id.
    pub id: &'a str,
    /// Speaker, as text.
    pub speaker: &'a str,
    /// Side of the split.
    pub side: Side,
    /// Frames.
    pub n_frames: usize,
    /// RMS per frame, where known.
    pub energy: Option<&'a [f32]>,
}

impl<'a> Source<'a> {
    /// Utterances on both sides.
    pub fn n_utterances(self) -> usize {
        match self {
            Self::Memory(corpus) => corpus.utterances.len(),
            Self::Stored(corpus) => corpus.utterances.len(),
        }
    }

    /// Dimensions of a frame.
    pub fn dim(self) -> usize {
        match self {
            Self::Memory(corpus) => corpus.dim,
            Self::Stored(corpus) => corpus.store.dim(),
        }
    }

    /// The codec that made the latents, where that is known.
    pub fn codec(self) -> Option<&'a CodecTag> {
        match self {
            Self::Memory(corpus) => corpus.codec.as_ref(),
            Self::Stored(corpus) => corpus.store.codec(),
        }
    }

    /// Identity of the values, as [`Corpus::source`].
    pub fn identity(self) -> &'a str {
        match self {
            Self::Memory(corpus) => &corpus.source,
            Self::Stored(corpus) => &corpus.source,
        }
    }

    /// The utterance at `index`.
    pub fn outline(self, index: usize) -> Outline<'a> {
        match self {
            Self::Memory(corpus) => {
                let u = &corpus.utterances[index];
                Outline { id: &u.id, speaker: &u.speaker, side: u.side, n_frames: u.latents.n_frames(), energy: u.energy.as_deref() }
            }
            Self::Stored(corpus) => {
                let u = &corpus.utterances[index];
                Outline { id: &u.id, speaker: &u.speaker, side: u.side, n_frames: u.n_frames, energy: u.energy.as_deref() }
            }
        }
    }

    /// Every utterance, in order.
    pub fn outlines(self) -> impl Iterator<Item = Outline<'a>> {
        (0..self.n_utterances()).map(move |index| self.outline(index))
    }

    /// Indices of one side's utterances, in order.
    pub fn side(self, side: Side) -> Vec<usize> {
        (0..self.n_utterances()).filter(|&index| self.outline(index).side == side).collect()
    }

    /// Hands `each` the utterances at `indices` in that order; ends with the first error, be it that an utterance can no longer be read.
    pub fn pass<E: From<StoreError>>(self, indices: &[usize], mut each: impl FnMut(usize, &Latents) -> Result<(), E>) -> Result<(), E> {
        let corpus = match self {
            Self::Memory(corpus) => return indices.iter().try_for_each(|&index| each(index, &corpus.utterances[index].latents)),
            Self::Stored(corpus) => corpus,
        };
        let absent = |index: &usize| Some(&corpus.utterances[*index]).filter(|u| u.latents.is_none());
        let n_bytes = |index: &usize| absent(index).map_or(0, |u| u.n_frames * corpus.store.dim() * size_of::<f32>());
        let read = |index: &usize| absent(index).map(|u| corpus.store.read(&u.id));
        corpus.ahead.pass(indices, n_bytes, read, |&index, read| match (read, &corpus.utterances[index].latents) {
            (Some(read), _) => each(index, &read?),
            (None, Some(held)) => each(index, held),
            (None, None) => unreachable!("what is not held is read"),
        })
    }
}
