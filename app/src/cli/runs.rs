//! `runs`: what ran, with what, how it ended.

use std::fmt::Write as _;

use driftscope_core::run::{RunRecord, RunState};
use serde_json::json;

use super::session::Session;
use super::{JsonArg, Report};

/// List the registry: what ran, with what, how it ended
#[derive(Clone, Debug, serde::Serialize, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    pub(super) json: JsonArg,
}

pub(super) fn run(_args: &Args, session: &Session) -> anyhow::Result<Report> {
    let (records, problems) = session.registry.list()?;
    let manifest = session.registry.folder().join("manifest.jsonl");
    for problem in &problems {
        session.console.notice(&format!("{}: {problem}", manifest.display()));
    }
    let json = json!({ "folder": session.registry.folder(), "runs": records, "problems": problems });
    Ok(Report { text: table(&records, session), json, ..Report::default() })
}

fn table(records: &[RunRecord], session: &Session) -> String {
    if records.is_empty() {
        return format!("no runs recorded in {}\n", session.registry.folder().display());
    }
    let width = records.iter().map(|r| r.experiment.chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for record in records {
        let duration = record.duration_sec.map_or(String::from("–"), |s| format!("{s:.1} s"));
        let end = match record.state {
            RunState::Unfinished => "no end: crashed, or at work on another machine".to_owned(),
            RunState::Failed => format!("failed: {}", record.error.as_deref().unwrap_or("no reason recorded")),
            RunState::Completed => format!("completed {}", numbers(&record.key_metrics)),
            RunState::Running => "running".to_owned(),
            RunState::Stopped => "stopped".to_owned(),
        };
        let _ = writeln!(text, "{}  {:20}  {:width$}  {duration:>9}  {}", record.run_id, record.started, record.experiment, end.trim_end());
    }
    text
}

/// `{"loss": 1.25}` as `loss 1.250`.
fn numbers(metrics: &serde_json::Value) -> String {
    let Some(metrics) = metrics.as_object() else { return String::new() };
    let each = metrics.iter().map(|(name, value)| match value.as_f64() {
        Some(number) if !value.is_u64() => format!("{name} {number:.3}"),
        _ => format!("{name} {value}"),
    });
    each.collect::<Vec<_>>().join(", ")
}
