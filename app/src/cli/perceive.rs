//! `perceive`: everything that is measured of a sound against its reference.

use std::path::PathBuf;

use driftscope_core::audio;
use driftscope_core::perceive::{Better, Scores, scores};
use serde_json::Value;

use super::session::Session;
use super::table::{number, table};
use super::{JsonArg, Report};

/// Measure a sound against its reference
#[derive(Clone, Debug, serde::Serialize, clap::Args)]
pub(super) struct Args {
    /// The sound as it should be
    #[arg(long, value_name = "A.wav")]
    reference: PathBuf,
    /// The sound to measure; it is brought to the rate of the reference, and both are cut to the shorter
    #[arg(long, value_name = "B.wav")]
    degraded: PathBuf,
    #[command(flatten)]
    pub(super) json: JsonArg,
}

pub(super) fn run(args: &Args, session: &Session) -> anyhow::Result<Report> {
    let (reference, degraded) = (audio::read(&args.reference)?, audio::read(&args.degraded)?);
    let scores = scores(&reference, &degraded)?;
    for (path, sec) in [&args.reference, &args.degraded].into_iter().zip(scores.left_out_sec).filter(|(_, sec)| *sec > 0.0) {
        session.console.notice(&format!("{}: the last {sec:.2} s have nothing to be compared with and are left out", path.display()));
    }
    let Value::Object(mut json) = scores.to_json() else { unreachable!("scores are written as an object") };
    json.insert("reference".into(), serde_json::json!(args.reference));
    json.insert("degraded".into(), serde_json::json!(args.degraded));
    Ok(Report { text: text(&scores), json: json.into(), key_metrics: scores.values().into() })
}

fn text(scores: &Scores) -> String {
    let mut rows = vec![["", "value", "unit", "n", "better"].map(str::to_owned).to_vec()];
    let mut reasons = String::new();
    for (measure, score) in &scores.all {
        let better = match measure.better() {
            Better::Higher => "higher",
            Better::Lower => "lower",
            Better::NearZero => "near 0",
        };
        let (value, n) = match score {
            Ok(score) => (number(Some(score.value)), score.n.to_string()),
            Err(error) => {
                reasons.push_str(&format!("{error}\n"));
                (number(None), String::new())
            }
        };
        rows.push([measure.name(), &value, measure.unit(), &n, better].map(str::to_owned).to_vec());
    }
    format!("{}{reasons}", table(&rows))
}
