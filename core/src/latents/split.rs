//! Which speakers a fit may see.

use std::collections::BTreeSet;
use std::path::Path;

/// A split by speaker: no speaker is on both sides.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Split {
    /// Speakers that fits see.
    pub train_speakers: BTreeSet<String>,
    /// Speakers that only measurements see.
    pub eval_speakers: BTreeSet<String>,
}

/// Why a split could not be had.
#[derive(Debug, thiserror::Error)]
pub enum SplitError {
    /// Missing or unreadable text file.
    #[error("{0}")]
    Read(String),
    /// A speaker on both sides.
    #[error("speaker {0} is in train_speakers.txt and in eval_speakers.txt; a speaker may be on one side only")]
    Overlap(String),
    /// Too few speakers to split.
    #[error("{found} speakers cannot be split into train and eval; at least {needed} are needed")]
    TooFew {
        /// Speakers there are.
        found: usize,
        /// Speakers there should be.
        needed: usize,
    },
}

impl Split {
    /// Reads `train_speakers.txt` and `eval_speakers.txt` from a `splits/` folder.
    pub fn read(folder: &Path) -> Result<Self, SplitError> {
        let _ = folder;
        todo!()
    }

    /// Writes the peer's six text files and `metadata.json`; `utterances` are `(utterance_id, speaker_id)`.
    pub fn write(&self, folder: &Path, utterances: &[(String, String)], seed: u64) -> Result<(), SplitError> {
        let _ = (folder, utterances, seed);
        todo!()
    }

    /// Seeded: speakers sorted (numerically where all are numbers), shuffled, the first `eval_fraction` (≥ 1) are eval.
    pub fn seeded(speakers: &BTreeSet<String>, eval_fraction: f64, seed: u64) -> Result<Self, SplitError> {
        let _ = (speakers, eval_fraction, seed);
        todo!()
    }

    /// Every fourth speaker (first, fifth, …, in numeric order where all are numbers) is eval.
    pub fn every_fourth(speakers: &BTreeSet<String>) -> Result<Self, SplitError> {
        let _ = speakers;
        todo!()
    }
}
