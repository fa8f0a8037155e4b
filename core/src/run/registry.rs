//! The folder that runs are recorded in.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::manifest::{Ending, Line, RunRecord, records};
use super::{Environment, Timestamp};
use crate::disk;

/// Why a run could not be recorded or listed.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Reading or writing failed.
    #[error("{path}: cannot {action} ({source}); name a writable folder for the records of runs")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// "write", "read", …
        action: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
}

impl RunError {
    fn io(path: &Path, action: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::Io { path: path.to_owned(), action, source }
    }
}

/// A folder with `manifest.jsonl` and one subfolder a run.
#[derive(Clone, Debug)]
pub struct Registry {
    folder: PathBuf,
}

impl Registry {
    /// Names the folder; nothing is made before the first run starts.
    pub fn at(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Makes the run's folder with `run.json` (config as run, environment) in it, then appends the start line.
    pub fn start(&self, experiment: &str, config: &serde_json::Value, environment: &Environment) -> Result<Run, RunError> {
        fs::create_dir_all(&self.folder).map_err(RunError::io(&self.folder, "make the folder"))?;
        let now = Timestamp::now();
        let (run_id, folder) = self.make_run_folder(&now.compact())?;
        let run = Run { registry: self.clone(), run_id, folder, experiment: experiment.to_owned(), began: Instant::now() };
        let description = serde_json::json!({
            "experiment": experiment, "run_id": run.run_id, "start_time": now.iso(), "config": config, "environment": environment,
        });
        run.write("run.json", &description)?;
        let pid = Some(std::process::id());
        self.append(&Line { status: "started".into(), timestamp: now.iso(), pid, ..run.line() })?;
        Ok(run)
    }

    /// Every run of the manifest, oldest first, and what could not be read of it. No manifest means no runs.
    pub fn list(&self) -> Result<(Vec<RunRecord>, Vec<String>), RunError> {
        let path = self.folder.join("manifest.jsonl");
        match fs::read(&path) {
            Ok(bytes) => Ok(records(&String::from_utf8_lossy(&bytes), is_alive)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok((Vec::new(), Vec::new())),
            Err(error) => Err(RunError::io(&path, "read")(error)),
        }
    }

    /// Two runs started within one second get different folders.
    fn make_run_folder(&self, stem: &str) -> Result<(String, PathBuf), RunError> {
        let mut run_id = stem.to_owned();
        for attempt in 2.. {
            let folder = self.folder.join(&run_id);
            match fs::create_dir(&folder) {
                Ok(()) => return Ok((run_id, folder)),
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => run_id = format!("{stem}-{attempt}"),
                Err(error) => return Err(RunError::io(&folder, "make the folder")(error)),
            }
        }
        unreachable!("attempts are unbounded")
    }

    fn append(&self, line: &Line) -> Result<(), RunError> {
        let path = self.folder.join("manifest.jsonl");
        let mut text = serde_json::to_string(line).map_err(|e| RunError::io(&path, "write")(e.into()))?;
        text.push('\n');
        // One write of one line, so that lines of runs side by side do not mix.
        let mut file = fs::OpenOptions::new().append(true).create(true).open(&path).map_err(RunError::io(&path, "open"))?;
        file.write_all(text.as_bytes()).map_err(RunError::io(&path, "write"))
    }
}

/// A run that has started. Dropping it without [`Run::finish`] leaves a start without an end, as a crash does.
#[derive(Debug)]
pub struct Run {
    registry: Registry,
    run_id: String,
    folder: PathBuf,
    experiment: String,
    began: Instant,
}

impl Run {
    /// Name of the run and of its folder.
    pub fn run_id(&self) -> &str {
        &self.run_id
    }

    /// Where the run may leave its metrics and figures.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Writes a JSON file into the run's folder, beside and renamed.
    pub fn write(&self, name: &str, value: &serde_json::Value) -> Result<(), RunError> {
        let path = self.folder.join(name);
        disk::write_beside(&path, |file| writeln!(file, "{value:#}")).map_err(RunError::io(&path, "write"))
    }

    /// Appends the end line.
    pub fn finish(self, ending: &Ending, key_metrics: serde_json::Value) -> Result<(), RunError> {
        let (status, error) = match ending {
            Ending::Completed => ("completed", None),
            Ending::Failed(reason) => ("failed", Some(reason.clone())),
            Ending::Stopped => ("stopped", None),
        };
        let duration_sec = Some((self.began.elapsed().as_secs_f64() * 1e3).round() / 1e3);
        let timestamp = Timestamp::now().iso();
        self.registry.append(&Line { status: status.into(), timestamp, duration_sec, error, key_metrics, ..self.line() })
    }

    fn line(&self) -> Line {
        Line { experiment: self.experiment.clone(), run_id: self.run_id.clone(), output_dir: self.folder.clone(), ..Line::default() }
    }
}

/// Whether a process of this machine is alive. Where that cannot be asked without a system call, nobody is.
fn is_alive(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::RunState;

    #[test]
    fn a_run_leaves_a_folder_and_two_lines_and_a_crash_one() {
        let folder = tempfile::tempdir().unwrap();
        let registry = Registry::at(&folder.path().join("runs"));
        assert_eq!(registry.list().unwrap(), (vec![], vec![]));
        let environment = Environment::current("CPU");
        let config = serde_json::json!({ "seed": 7 });
        let first = registry.start("fit mdn", &config, &environment).unwrap();
        let second = registry.start("inject", &config, &environment).unwrap();
        assert_ne!(first.folder(), second.folder());
        let described: serde_json::Value = serde_json::from_slice(&fs::read(first.folder().join("run.json")).unwrap()).unwrap();
        assert_eq!(described["config"]["seed"], 7);
        first.finish(&Ending::Completed, serde_json::json!({ "loss": 2.0 })).unwrap();
        drop(second);
        let (records, problems) = registry.list().unwrap();
        assert!(problems.is_empty());
        assert_eq!(records.iter().map(|r| r.state).collect::<Vec<_>>(), [RunState::Completed, RunState::Running]);
        assert_eq!(records[0].key_metrics["loss"], 2.0);
    }

    #[test]
    fn an_unwritable_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, "not a folder").unwrap();
        let error = Registry::at(&file).start("fit", &serde_json::Value::Null, &Environment::current("CPU")).unwrap_err();
        assert!(error.to_string().contains("file"), "{error}");
        assert_eq!(fs::read(&file).unwrap(), b"not a folder");
    }
}
