//! Which speakers a fit may see.
//!
//! A split is two sets of speakers, kept in the text files that the peer reads and writes. It knows nothing of latents.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::Path;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::disk;

/// Share of the train utterances that `train_utt_ids_val.txt` names, as the peer's.
const VALIDATION_FRACTION: f64 = 0.1;

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
    /// Missing, unreadable or unwritable file; says which and why.
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
        let speakers = |name: &str| {
            let path = folder.join(name);
            let text = fs::read_to_string(&path).map_err(|e| SplitError::Read(format!("{}: {e}", path.display())))?;
            Ok(text.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned).collect::<BTreeSet<_>>())
        };
        let split = Self { train_speakers: speakers("train_speakers.txt")?, eval_speakers: speakers("eval_speakers.txt")? };
        match split.train_speakers.intersection(&split.eval_speakers).next() {
            Some(speaker) => Err(SplitError::Overlap(speaker.clone())),
            None => Ok(split),
        }
    }

    /// Writes the peer's six text files and `metadata.json`; `utterances` are `(utterance_id, speaker_id)`. A tenth of the train
    /// utterances, drawn by `seed`, are named for validation. A folder that is not there yet appears whole or not at all.
    pub fn write(&self, folder: &Path, utterances: &[(String, String)], seed: u64) -> Result<(), SplitError> {
        disk::remove_unfinished(folder);
        disk::remove_all_unfinished(folder);
        if folder.exists() {
            return self.write_files(folder, utterances, seed);
        }
        let part = disk::name_beside(folder);
        let written = self.write_files(&part, utterances, seed).and_then(|()| {
            fs::rename(&part, folder).map_err(|e| SplitError::Read(format!("{}: cannot be written ({e})", folder.display())))
        });
        if written.is_err() {
            // The error that ended the writing is the one to report.
            let _ = fs::remove_dir_all(&part);
        }
        written
    }

    /// Whether the lists in `folder` name exactly these utterances, each on its speaker's side.
    pub fn lists(&self, folder: &Path, utterances: &[(String, String)]) -> bool {
        let is_listed = |name: &str, speakers: &BTreeSet<String>| {
            let text = fs::read_to_string(folder.join(name)).unwrap_or_default();
            let listed: BTreeSet<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
            listed == utterances.iter().filter(|(_, s)| speakers.contains(s)).map(|(id, _)| id.as_str()).collect()
        };
        is_listed("train_utt_ids.txt", &self.train_speakers) && is_listed("eval_utt_ids.txt", &self.eval_speakers)
    }

    fn write_files(&self, folder: &Path, utterances: &[(String, String)], seed: u64) -> Result<(), SplitError> {
        let ids_of = |speakers: &BTreeSet<String>| {
            utterances.iter().filter(|(_, s)| speakers.contains(s)).map(|(id, _)| id.clone()).collect::<BTreeSet<_>>()
        };
        let (train, eval) = (ids_of(&self.train_speakers), ids_of(&self.eval_speakers));
        let mut shuffled: Vec<&String> = train.iter().collect();
        shuffled.shuffle(&mut StdRng::seed_from_u64(seed));
        let n_val = (train.len() as f64 * VALIDATION_FRACTION) as usize;
        let val: BTreeSet<String> = shuffled[..n_val].iter().map(|&id| id.clone()).collect();
        let fitted: BTreeSet<String> = train.difference(&val).cloned().collect();
        let metadata = serde_json::json!({
            "n_train_speakers": self.train_speakers.len(),
            "n_eval_speakers": self.eval_speakers.len(),
            "n_train_utterances": train.len(),
            "n_eval_utterances": eval.len(),
            "n_train_utt_train": fitted.len(),
            "n_train_utt_val": val.len(),
        });
        let files = [
            ("train_speakers.txt", lines(in_order(&self.train_speakers))),
            ("eval_speakers.txt", lines(in_order(&self.eval_speakers))),
            ("train_utt_ids.txt", lines(&train)),
            ("eval_utt_ids.txt", lines(&eval)),
            ("train_utt_ids_train.txt", lines(&fitted)),
            ("train_utt_ids_val.txt", lines(&val)),
            ("metadata.json", format!("{metadata:#}\n")),
        ];
        for (name, text) in files {
            let path = folder.join(name);
            disk::write_beside(&path, |file| file.write_all(text.as_bytes()))
                .map_err(|e| SplitError::Read(format!("{}: cannot be written ({e})", path.display())))?;
        }
        Ok(())
    }

    /// Seeded: speakers sorted (numerically where all are numbers), shuffled, the first `eval_fraction` (≥ 1) are eval.
    pub fn seeded(speakers: &BTreeSet<String>, eval_fraction: f64, seed: u64) -> Result<Self, SplitError> {
        let mut order = splittable(speakers)?;
        order.shuffle(&mut StdRng::seed_from_u64(seed));
        let n_eval = ((order.len() as f64 * eval_fraction).round() as usize).clamp(1, order.len() - 1);
        Ok(Self::of(&order, |position| position < n_eval))
    }

    /// Every fourth speaker (first, fifth, …, in numeric order where all are numbers) is eval.
    pub fn every_fourth(speakers: &BTreeSet<String>) -> Result<Self, SplitError> {
        Ok(Self::of(&splittable(speakers)?, |position| position % 4 == 0))
    }

    fn of(order: &[&String], is_eval: impl Fn(usize) -> bool) -> Self {
        let mut split = Self::default();
        for (position, &speaker) in order.iter().enumerate() {
            let side = if is_eval(position) { &mut split.eval_speakers } else { &mut split.train_speakers };
            side.insert(speaker.clone());
        }
        split
    }
}

fn splittable(speakers: &BTreeSet<String>) -> Result<Vec<&String>, SplitError> {
    if speakers.len() < 2 {
        return Err(SplitError::TooFew { found: speakers.len(), needed: 2 });
    }
    Ok(in_order(speakers))
}

/// Numeric order where all are numbers, else as text.
fn in_order(speakers: &BTreeSet<String>) -> Vec<&String> {
    let mut order: Vec<&String> = speakers.iter().collect();
    let numbers: Option<Vec<u64>> = order.iter().map(|s| s.parse().ok()).collect();
    if numbers.is_some() {
        order.sort_by_key(|s| s.parse::<u64>().unwrap_or_default());
    }
    order
}

fn lines<'a>(items: impl IntoIterator<Item = &'a String>) -> String {
    items.into_iter().map(|item| format!("{item}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(items: &[&str]) -> BTreeSet<String> {
        items.iter().map(|&s| s.to_owned()).collect()
    }

    #[test]
    fn numbers_are_counted_as_numbers() {
        let split = Split::every_fourth(&set(&["2", "10", "9", "100", "1000", "3"])).unwrap();
        assert_eq!(split.eval_speakers, set(&["2", "100"]).union(&set(&["2"])).cloned().collect());
        let text = Split::every_fourth(&set(&["b", "a", "10", "9", "c"])).unwrap();
        assert_eq!(text.eval_speakers, set(&["10", "c"]));
    }

    #[test]
    fn seeded_is_repeatable_and_complete() {
        let speakers: BTreeSet<String> = (0..40).map(|i| i.to_string()).collect();
        let split = Split::seeded(&speakers, 0.25, 7).unwrap();
        assert_eq!(split, Split::seeded(&speakers, 0.25, 7).unwrap());
        assert_ne!(split, Split::seeded(&speakers, 0.25, 8).unwrap());
        assert_eq!((split.eval_speakers.len(), split.train_speakers.len()), (10, 30));
        assert!(split.eval_speakers.is_disjoint(&split.train_speakers));
        let few = Split::seeded(&set(&["a", "b"]), 0.0, 1).unwrap();
        assert_eq!((few.eval_speakers.len(), few.train_speakers.len()), (1, 1));
    }

    #[test]
    fn written_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let split = Split { train_speakers: set(&["103", "20"]), eval_speakers: set(&["7"]) };
        let utterances: Vec<(String, String)> = (0..30).map(|i| (format!("u{i:02}"), ["103", "20", "7"][i % 3].to_owned())).collect();
        split.write(folder.path(), &utterances, 42).unwrap();
        assert_eq!(Split::read(folder.path()).unwrap(), split);
        assert!(split.lists(folder.path(), &utterances) && !split.lists(folder.path(), &utterances[1..]));
        let text = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(text("train_speakers.txt"), "20\n103\n");
        let count = |name: &str| text(name).lines().count();
        assert_eq!((count("train_utt_ids.txt"), count("eval_utt_ids.txt")), (20, 10));
        assert_eq!((count("train_utt_ids_train.txt"), count("train_utt_ids_val.txt")), (18, 2));
        let metadata: serde_json::Value = serde_json::from_str(&text("metadata.json")).unwrap();
        assert_eq!((&metadata["n_train_utt_train"], &metadata["n_train_utt_val"]), (&18.into(), &2.into()));
    }

    #[test]
    fn bad_splits_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let missing = Split::read(folder.path()).unwrap_err().to_string();
        assert!(missing.contains("train_speakers.txt: No such file"), "{missing}");
        fs::write(folder.path().join("train_speakers.txt"), "1\n2\n").unwrap();
        fs::write(folder.path().join("eval_speakers.txt"), "\n2\n").unwrap();
        assert!(Split::read(folder.path()).unwrap_err().to_string().starts_with("speaker 2 is in train_speakers.txt and in"));
        let one = Split::every_fourth(&set(&["1"])).unwrap_err().to_string();
        assert_eq!(one, "1 speakers cannot be split into train and eval; at least 2 are needed");
    }
}
