//! Sounds laid out for VERSA (<https://github.com/wavlab-speech/versa>), which has the measures that need large models: predicted opinion
//! scores, speaker similarity, distances of learned units. What needs none is measured by this program (`perceive`).
//!
//! A folder a condition, with its sounds and a Kaldi list of them (`wav.scp`: a key and a file a line). Keys and file names are the same
//! in every folder, so that the lists (`--io soundfile`) and the folders themselves (`--io dir`) both pair a sound with its reference.
//! Sounds are as the plan has them, without its gains: VERSA brings every sound to one level itself.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};

use super::plan::Role;
use super::test::{PlanError, Test};
use crate::audio::{AudioClip, AudioError, write_wav};
use crate::disk;

/// Why the folder could not be written.
#[derive(Debug, thiserror::Error)]
pub enum VersaError {
    /// Something else lies there.
    #[error("{0}: is there already; name a new folder")]
    Exists(PathBuf),
    /// Adaptive tests render most of their sounds while somebody listens.
    #[error("the plan has no sounds yet, so there is nothing to score")]
    Empty,
    /// A sound that has no reference.
    #[error("\"{sound}\" of \"{set}\" has no reference of the same name")]
    Unpaired {
        /// The set.
        set: String,
        /// The sound.
        sound: String,
    },
    /// A sound of the plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A sound that could not be written.
    #[error(transparent)]
    Audio(#[from] AudioError),
    /// A file could not be written.
    #[error("{path}: {source}")]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Sounds made under one condition.
#[derive(Clone, Debug)]
pub struct Set {
    /// The condition.
    pub name: String,
    /// By a key that the set's reference has too; unique in the set.
    pub sounds: Vec<(String, AudioClip)>,
}

/// The measures: those that VERSA installs by itself and that need models. Which compare with a reference are passed over without one.
const SCORES: &str = "\
# Predicted opinion scores.
- name: pseudo_mos
  predictor_types: [utmos, dnsmos, plcmos]
  predictor_args:
    utmos: {fs: 16000}
    dnsmos: {fs: 16000}
    plcmos: {fs: 16000}
- name: sheet_ssqa
- name: squim_no_ref
# Beside the reference: opinion score, speaker, learned units.
- name: squim_ref
- name: speaker
  model_tag: default
- name: discrete_speech
# These need more than VERSA's own installation:
# - name: scoreq_nr
# - name: scoreq_ref
";

/// Lays out a test's sounds, its reference as `reference`; gives the folders, the reference's first.
pub fn export_versa(test: &Test, folder: &Path) -> Result<Vec<PathBuf>, VersaError> {
    let plan = test.plan();
    let mut sets = Vec::new();
    for (idx, condition) in plan.conditions.iter().enumerate() {
        let mut sounds = Vec::new();
        for item in &plan.items {
            if let Some(Some(stimulus)) = item.stimuli.get(idx) {
                sounds.push((item.id.clone(), test.sound(stimulus)?));
            }
        }
        if !sounds.is_empty() {
            sets.push(Set { name: condition.name.clone(), sounds });
        }
    }
    let has_reference = plan.conditions.first().is_some_and(|c| c.role == Role::Reference) && !sets.is_empty();
    let reference = has_reference.then(|| sets.remove(0));
    write_sets(reference.as_ref(), &sets, folder)
}

/// Lays out sets of sounds, each sound beside that of the same key in the reference. Whole or not at all; nothing may be there before.
pub fn write_sets(reference: Option<&Set>, sets: &[Set], folder: &Path) -> Result<Vec<PathBuf>, VersaError> {
    if folder.exists() {
        return Err(VersaError::Exists(folder.to_owned()));
    }
    if sets.iter().all(|set| set.sounds.is_empty()) {
        return Err(VersaError::Empty);
    }
    if let Some(reference) = reference {
        let keys: BTreeSet<&str> = reference.sounds.iter().map(|(key, _)| key.as_str()).collect();
        for set in sets {
            if let Some((sound, _)) = set.sounds.iter().find(|(key, _)| !keys.contains(key.as_str())) {
                return Err(VersaError::Unpaired { set: set.name.clone(), sound: sound.clone() });
            }
        }
    }
    // Keys get their plain names in the order of all sets together, so that they are the same everywhere.
    let mut keys = Plain::default();
    let mut folders = Plain::default();
    let mut written = Vec::new();
    let beside = disk::name_beside(folder);
    let mut write = || -> Result<(), VersaError> {
        let failed = |source| VersaError::Io { path: folder.to_owned(), source };
        for set in reference.into_iter().chain(sets) {
            let is_reference = written.is_empty() && reference.is_some();
            let name = folders.of(if is_reference { "reference" } else { &set.name });
            let mut list = String::new();
            for (key, clip) in &set.sounds {
                let key = keys.of(key);
                write_wav(&beside.join(&name).join(format!("{key}.wav")), clip)?;
                list.push_str(&format!("{key} {name}/{key}.wav\n"));
            }
            std::fs::create_dir_all(beside.join(&name)).map_err(failed)?;
            std::fs::write(beside.join(&name).join("wav.scp"), list).map_err(failed)?;
            written.push(name);
        }
        std::fs::write(beside.join("score.yaml"), SCORES).map_err(failed)?;
        std::fs::write(beside.join("score.sh"), script(reference.is_some(), &written)).map_err(failed)?;
        std::fs::rename(&beside, folder).map_err(failed)
    };
    write().inspect_err(|_| {
        // What is left is of no use; why it is, is what is said.
        let _ = std::fs::remove_dir_all(&beside);
    })?;
    Ok(written.iter().map(|name| folder.join(name)).collect())
}

fn script(has_reference: bool, folders: &[String]) -> String {
    let (gt, predicted) = if has_reference { (" --gt reference/wav.scp", &folders[1..]) } else { ("", folders) };
    let mut script = "#!/usr/bin/env bash\n# Scores every condition: score.sh FOLDER-OF-VERSA\nset -euo pipefail\n\
                      versa=$(realpath \"${1:?name the folder of VERSA}\")\ncd \"$(dirname \"$0\")\"\n"
        .to_owned();
    for name in predicted {
        script.push_str(&format!(
            "python \"$versa/versa/bin/scorer.py\" --score_config score.yaml{gt} --pred {name}/wav.scp --output_file {name}/scores.txt --io soundfile\n"
        ));
    }
    script
}

/// Names in which nothing has to be quoted, each given once: a list's keys end at the first space.
#[derive(Default)]
struct Plain {
    given: Vec<(String, String)>,
}

impl Plain {
    fn of(&mut self, name: &str) -> String {
        if let Some((_, plain)) = self.given.iter().find(|(known, _)| known == name) {
            return plain.clone();
        }
        let letters: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '_' }).collect();
        let letters = letters.trim_start_matches(['.', '-']);
        let letters = if letters.is_empty() { "_" } else { letters };
        // Case is not told apart everywhere.
        let is_free = |plain: &str| !self.given.iter().any(|(_, other)| other.eq_ignore_ascii_case(plain));
        let mut plain = letters.to_owned();
        let mut n = 2;
        while !is_free(&plain) {
            plain = format!("{letters}_{n}");
            n += 1;
        }
        self.given.push((name.to_owned(), plain.clone()));
        plain
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip(level: f32) -> AudioClip {
        AudioClip { samples: vec![level; 160], sample_rate_hz: 16_000 }
    }

    fn set(name: &str, keys: &[&str]) -> Set {
        Set { name: name.to_owned(), sounds: keys.iter().enumerate().map(|(n, key)| ((*key).to_owned(), clip(0.1 * n as f32))).collect() }
    }

    #[test]
    fn lists_pair_every_sound_with_its_reference() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("scores");
        let sets = [set("α .75 / hot", &["b c", "a"]), set("α .75 ? hot", &["a", "b_c"]), set("Reference", &["b c"])];
        let folders = write_sets(Some(&set("truth", &["a", "b c", "b_c"])), &sets, &out).unwrap();
        let names: Vec<_> = folders.iter().map(|f| f.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["reference", "__.75___hot", "__.75___hot_2", "Reference_2"]);
        let list = |name: &str| std::fs::read_to_string(out.join(name).join("wav.scp")).unwrap();
        assert_eq!(list("reference"), "a reference/a.wav\nb_c reference/b_c.wav\nb_c_2 reference/b_c_2.wav\n");
        assert_eq!(list("__.75___hot"), "b_c __.75___hot/b_c.wav\na __.75___hot/a.wav\n");
        assert_eq!(list("__.75___hot_2"), "a __.75___hot_2/a.wav\nb_c_2 __.75___hot_2/b_c_2.wav\n");
        for line in names.iter().flat_map(|name| list(name).lines().map(str::to_owned).collect::<Vec<_>>()) {
            let (_, file) = line.split_once(' ').unwrap();
            assert!(out.join(file).is_file(), "{file}");
        }
        let scores: Vec<serde_json::Value> = serde_saphyr::from_str(&std::fs::read_to_string(out.join("score.yaml")).unwrap()).unwrap();
        assert!(scores.iter().all(|score| score["name"].is_string()), "a list of names with settings");
        let script = std::fs::read_to_string(out.join("score.sh")).unwrap();
        assert_eq!(script.matches("--gt reference/wav.scp --pred").count(), 3);
        assert!(matches!(write_sets(None, &sets, &out), Err(VersaError::Exists(_))));
    }

    #[test]
    fn refusals_leave_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("scores");
        let unpaired = write_sets(Some(&set("truth", &["a"])), &[set("x", &["a", "b"])], &out).unwrap_err();
        assert_eq!(unpaired.to_string(), "\"b\" of \"x\" has no reference of the same name");
        assert!(matches!(write_sets(None, &[], &out), Err(VersaError::Empty)));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
