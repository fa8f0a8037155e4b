//! The lines of `manifest.jsonl` and what they add up to.

use std::path::PathBuf;

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It did what was asked.
    Completed,
    /// It failed, with this sentence.
    Failed(String),
    /// Its user stopped it.
    Stopped,
}

/// How a run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// Started, not ended, and its process is alive.
    Running,
    /// Did what was asked.
    Completed,
    /// Failed.
    Failed,
    /// Stopped by its user.
    Stopped,
    /// Started and never ended: the process died, or (on another machine) may still be at work.
    Unfinished,
}

/// One run, from its one or two lines.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct RunRecord {
    /// Folder name of the run.
    pub run_id: String,
    /// What ran ("fit mdn", or the peer's experiment name).
    pub experiment: String,
    /// How it stands.
    pub state: RunState,
    /// ISO 8601.
    pub started: String,
    /// Seconds, once it ended.
    pub duration_sec: Option<f64>,
    /// The run's folder.
    pub output_dir: PathBuf,
    /// A few numbers, where the run gave any.
    pub key_metrics: serde_json::Value,
    /// Why it failed.
    pub error: Option<String>,
}

/// One line, at the start or at the end of a run. Unknown fields (the peer's `git_commit`, …) are ignored.
#[derive(Clone, Debug, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub(super) struct Line {
    pub(super) experiment: String,
    pub(super) run_id: String,
    pub(super) status: String,
    pub(super) timestamp: String,
    pub(super) output_dir: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) duration_sec: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<String>,
    #[serde(skip_serializing_if = "serde_json::Value::is_null")]
    pub(super) key_metrics: serde_json::Value,
}

/// Adds the lines up to one record a run, in order of their start; a line that cannot be read is named among the problems.
pub(super) fn records(text: &str, is_alive: impl Fn(u32) -> bool) -> (Vec<RunRecord>, Vec<String>) {
    let (mut records, mut problems): (Vec<RunRecord>, Vec<String>) = (Vec::new(), Vec::new());
    for (index, text) in text.lines().enumerate().filter(|(_, l)| !l.trim().is_empty()) {
        let line: Line = match serde_json::from_str(text) {
            Ok(line) => line,
            Err(error) => {
                problems.push(format!("line {} is no manifest entry ({error})", index + 1));
                continue;
            }
        };
        let known = records.iter_mut().rev().find(|r| r.run_id == line.run_id && r.experiment == line.experiment);
        match known {
            Some(record) if line.status != "started" => {
                record.state = ended_state(&line.status);
                record.duration_sec = line.duration_sec;
                record.key_metrics = line.key_metrics;
                record.error = line.error;
            }
            _ => records.push(RunRecord {
                state: match line.status.as_str() {
                    "started" if line.pid.is_some_and(&is_alive) => RunState::Running,
                    "started" => RunState::Unfinished,
                    ended => ended_state(ended),
                },
                run_id: line.run_id,
                experiment: line.experiment,
                started: line.timestamp,
                duration_sec: line.duration_sec,
                output_dir: line.output_dir,
                key_metrics: line.key_metrics,
                error: line.error,
            }),
        }
    }
    (records, problems)
}

fn ended_state(status: &str) -> RunState {
    match status {
        "completed" => RunState::Completed,
        "stopped" => RunState::Stopped,
        _ => RunState::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_add_up_to_runs() {
        let text = r#"{"experiment":"fit mdn","run_id":"a","status":"started","timestamp":"t0","output_dir":"runs/a","pid":1}
{"experiment":"fit mdn","run_id":"b","status":"started","timestamp":"t1","output_dir":"runs/b","pid":2}
{"experiment":"exp9_vae","run_id":"c","status":"started","timestamp":"t2","git_commit":"34acb4f","config_path":"x","output_dir":"o"}
{"experiment":"fit mdn","run_id":"a","status":"completed","timestamp":"t3","duration_sec":2.5,"output_dir":"runs/a","key_metrics":{"loss":1.0}}
{"experiment":"inject","run_id":"d","status":"started","timestamp":"t4","output_dir":"runs/d","pid":3}
{"experiment":"inject","run_id":"d","status":"failed","timestamp":"t5","duration_sec":0.1,"output_dir":"runs/d","error":"no such store"}
{"experiment":"inject","run_id":"e","sta"#;
        let (records, problems) = records(text, |pid| pid == 2);
        let states: Vec<_> = records.iter().map(|r| (r.run_id.as_str(), r.state)).collect();
        use RunState::{Completed, Failed, Running, Unfinished};
        assert_eq!(states, [("a", Completed), ("b", Running), ("c", Unfinished), ("d", Failed)]);
        assert_eq!(records[0].duration_sec, Some(2.5));
        assert_eq!(records[3].error.as_deref(), Some("no such store"));
        assert_eq!(problems.len(), 1);
        assert!(problems[0].starts_with("line 7 "), "{problems:?}");
    }
}
