//! A test's folder: `plan.json`, the stimuli it names, and one log a listener.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::check::check;
use super::plan::{Plan, Stimulus};
use crate::audio::{self, AudioClip};
use crate::disk;

/// Why a plan, or what it names, cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is no plan.
    #[error("{path}: is no plan of a listening test ({reason})")]
    NotAPlan {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        reason: String,
    },
    /// A plan of which no test can be made.
    #[error("{path}: {}", sentences.join("; "))]
    Unsound {
        /// The file.
        path: PathBuf,
        /// Each that is wrong, and what would be right.
        sentences: Vec<String>,
    },
    /// A test is there already.
    #[error("{path}: a plan is there already, and logs may belong to it; name another folder")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// A stimulus is not the one that the plan was made of.
    #[error("{path}: is not the sound that the plan was made of (its BLAKE3 is {found}, not {planned}); make the test again")]
    Changed {
        /// The file.
        path: PathBuf,
        /// In the plan.
        planned: String,
        /// Of the file.
        found: String,
    },
    /// A stimulus holds no sound that can be read.
    #[error(transparent)]
    Audio(#[from] audio::AudioError),
}

/// A sound plan as it lies on disk. From here on it does not change.
#[derive(Clone, Debug)]
pub struct Test {
    folder: PathBuf,
    plan: Arc<Plan>,
    hash: String,
}

impl Test {
    /// Writes `plan.json` into `folder` (made when missing). Fails where the plan is unsound and where there is one already.
    pub fn create(folder: &Path, plan: &Plan) -> Result<Self, PlanError> {
        let path = folder.join("plan.json");
        if path.exists() {
            return Err(PlanError::Exists { path });
        }
        refuse_unsound(plan, &path)?;
        let mut bytes = serde_json::to_vec_pretty(plan).map_err(|e| PlanError::Io { path: path.clone(), source: e.into() })?;
        bytes.push(b'\n');
        disk::write_beside(&path, |file| file.write_all(&bytes)).map_err(|source| PlanError::Io { path, source })?;
        Self::open(folder)
    }

    /// Opens a test by its folder or its `plan.json`.
    pub fn open(path: &Path) -> Result<Self, PlanError> {
        let path = if path.is_dir() { path.join("plan.json") } else { path.to_owned() };
        let bytes = fs::read(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => {
                let reason = "there is no such file; name a test's folder, or its plan.json".to_owned();
                PlanError::NotAPlan { path: path.clone(), reason }
            }
            _ => PlanError::Io { path: path.clone(), source },
        })?;
        let plan: Plan = serde_json::from_slice(&bytes).map_err(|e| PlanError::NotAPlan { path: path.clone(), reason: e.to_string() })?;
        refuse_unsound(&plan, &path)?;
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        Ok(Self { folder, plan: Arc::new(plan), hash: blake3::hash(&bytes).to_hex().to_string() })
    }

    /// Where `plan.json` lies.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What is in it, without an error that [`check`] knows.
    pub fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    /// BLAKE3 of the bytes of `plan.json`, hex.
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// Where a listener's log lies. The name of the file holds the letters and digits of the listener's, and tells names apart that differ
    /// in other characters only.
    pub fn log_path(&self, listener: &str) -> PathBuf {
        let plain: String = listener.chars().map(|c| if c.is_alphanumeric() || c == '-' { c } else { '_' }).take(40).collect();
        let mark = if plain == listener { String::new() } else { format!("-{}", &blake3::hash(listener.as_bytes()).to_hex()[..8]) };
        self.folder.join(format!("log-{plain}{mark}.jsonl"))
    }

    /// The logs in the folder, in the order of their names.
    pub fn log_paths(&self) -> io::Result<Vec<PathBuf>> {
        let folder = if self.folder.as_os_str().is_empty() { Path::new(".") } else { &self.folder };
        let mut paths: Vec<PathBuf> = fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
        paths.retain(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("log-") && name.ends_with(".jsonl")
        });
        paths.sort();
        Ok(paths)
    }

    /// Reads a stimulus, without its gain, and makes sure that it is the plan's.
    pub fn sound(&self, stimulus: &Stimulus) -> Result<AudioClip, PlanError> {
        let path = self.folder.join(&stimulus.file);
        let bytes = fs::read(&path).map_err(|source| PlanError::Io { path: path.clone(), source })?;
        let found = blake3::hash(&bytes).to_hex().to_string();
        if found != stimulus.hash {
            return Err(PlanError::Changed { path, planned: stimulus.hash.clone(), found });
        }
        Ok(audio::read_bytes(&bytes, &path.to_string_lossy())?)
    }
}

fn refuse_unsound(plan: &Plan, path: &Path) -> Result<(), PlanError> {
    let sentences = check(plan).errors;
    if sentences.is_empty() { Ok(()) } else { Err(PlanError::Unsound { path: path.to_owned(), sentences }) }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};

    use super::super::fixture::{golden_ear, plan};
    use super::super::order::Order;
    use super::super::plan::{Design, Method, Role, Stop};
    use super::*;

    #[test]
    fn a_plan_is_read_as_it_was_written_and_hashed_as_a_file() {
        let folder = tempfile::tempdir().unwrap();
        let mut written = plan(Design::Abx { stop: Stop::Fixed { n_trials: 16 }, alpha: 0.05 }, &[Role::Reference, Role::Tested], 2);
        written.conditions[1].level = Some(0.1 + 0.2);
        let test = Test::create(folder.path(), &written).unwrap();
        let path = folder.path().join("plan.json");
        let bytes = fs::read(&path).unwrap();
        assert_eq!(test.hash(), blake3::hash(&bytes).to_hex().as_str());
        assert_eq!((Test::open(&path).unwrap().hash(), test.plan().conditions.len()), (test.hash(), 2));
        let sentence = Test::create(folder.path(), &written).unwrap_err().to_string();
        assert!(sentence.contains("a plan is there already"), "{sentence}");
        fs::write(&path, String::from_utf8(bytes).unwrap().replace("\"n_training\"", "\"n_trainings\"")).unwrap();
        let sentence = Test::open(&path).unwrap_err().to_string();
        assert!(sentence.contains("is no plan of a listening test (unknown field `n_trainings`"), "{sentence}");
    }

    /// Whatever is in a plan, it is refused in a sentence or gives its trials.
    #[test]
    fn damaged_plans_do_no_harm() {
        let folder = tempfile::tempdir().unwrap();
        let roles = [Role::Reference, Role::Tested, Role::Tested, Role::Tested];
        let designs = [
            (Design::Abx { stop: Stop::Sequential { p1: 0.8, beta: 0.2, max_trials: 20 }, alpha: 0.05 }, &roles[..]),
            (Design::Threshold { method: Method::TwoDownOneUp { first_step: 2 }, n_trials: 9 }, &roles[..]),
            (Design::Preference { n_trials: 4, ties: true }, &roles[1..]),
            (Design::Mushra, &roles[..]),
        ];
        let path = folder.path().join("plan.json");
        let mut n_opened = 0;
        for (design, roles) in designs {
            let whole = serde_json::to_vec(&plan(design, roles, 2)).unwrap();
            for seed in 0..300 {
                let mut rng = StdRng::seed_from_u64(seed);
                let mut bytes = whole.clone();
                for _ in 0..rng.random_range(1..3) {
                    let at = rng.random_range(0..bytes.len());
                    match rng.random_range(0..3) {
                        0 => bytes[at] = b"0123456789-.e\"[{,"[rng.random_range(0..17)],
                        1 => drop(bytes.remove(at)),
                        _ => bytes.insert(at, b"0123456789"[rng.random_range(0..10)]),
                    }
                }
                fs::write(&path, &bytes).unwrap();
                match Test::open(&path) {
                    Ok(test) => {
                        let mut order = Order::new(&test, "Ann");
                        while let Some(trial) = order.trial().cloned() {
                            order.answered(&golden_ear(&trial));
                        }
                        n_opened += 1;
                    }
                    Err(error) => assert!((10..2_000).contains(&error.to_string().len()), "{error}"),
                }
            }
        }
        assert!(n_opened > 50, "{n_opened}");
    }
}
