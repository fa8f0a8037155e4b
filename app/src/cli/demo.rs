//! `demo`: the whole showcase on the embedded demo, as a page, figures and numbers.

use std::path::{Path, PathBuf};

use anyhow::bail;
use driftscope_core::figure;
use serde_json::json;

use super::output::{ForceArg, writable_folder, write_beside};
use super::session::Session;
use super::table::number;
use super::{JsonArg, Report};
use crate::showcase::{self, Showcase, ShowcaseConfig};
use crate::{demo, report};

/// Run the whole showcase on the embedded demo: report.html, figures/, metrics.json
#[derive(Clone, Debug, serde::Serialize, clap::Args)]
pub(super) struct Args {
    /// Folder to write
    #[arg(long, value_name = "DIR")]
    pub(super) out: PathBuf,
    #[command(flatten)]
    pub(super) force: ForceArg,
    #[command(flatten)]
    pub(super) json: JsonArg,
}

pub(super) fn run(args: &Args, session: &Session) -> anyhow::Result<Report> {
    if args.out.is_file() {
        bail!("{} is a file; name a folder", args.out.display());
    }
    for name in ["report.html", "metrics.json", "figures"] {
        args.force.check(&args.out.join(name))?;
    }
    writable_folder(&args.out)?;
    let job = session.job()?;
    let demo = demo::load(&job.device)?;
    let showcase = showcase::run(&job, &demo, ShowcaseConfig::default())?;
    let specs = report::figures(&showcase, &demo, session.seed);
    let figures = args.out.join("figures");
    for (index, spec) in specs.iter().enumerate() {
        session.cancel.check()?;
        figure::write(spec, &figures)?;
        job.progress.report("figures", index as u64 + 1, Some(specs.len() as u64), "");
    }
    let json = metrics(&showcase, &demo);
    write_beside(&args.out.join("metrics.json"), format!("{json:#}\n").as_bytes())?;
    let command = format!("driftscope demo --out {} --seed {}", args.out.display(), session.seed);
    let page = report::page(&showcase, &demo, &specs, &session.device()?.description, &command)?;
    let path = args.out.join("report.html");
    write_beside(&path, page.as_bytes())?;
    Ok(Report { text: text(&showcase, &path), key_metrics: json!({ "report": path }), json })
}

/// Everything measured, as JSON.
fn metrics(showcase: &Showcase, demo: &demo::Demo) -> serde_json::Value {
    let injections = showcase.injections.iter().map(|(info, report)| (info.kind.clone(), report.to_json()));
    let sounds = showcase.voices.iter().map(|voice| {
        let distances = voice.sounds.iter().map(|s| (s.name.clone(), json!(s.mel_distance)));
        json!({ "utterance_id": voice.utterance_id, "t0": voice.t0, "mel_distance": serde_json::Value::Object(distances.collect()) })
    });
    json!({
        "version": env!("CARGO_PKG_VERSION"), "codec": demo.codec.tag(), "latents": demo.corpus.source,
        "predictors": demo.predictors.iter().map(|p| &p.info).collect::<Vec<_>>(), "config": showcase.config,
        "injection": serde_json::Value::Object(injections.collect()), "evaluation": showcase.evaluation.to_json(),
        "sounds": sounds.collect::<Vec<_>>(),
    })
}

fn text(showcase: &Showcase, path: &Path) -> String {
    let mut text = String::new();
    for (info, report) in &showcase.injections {
        let of = |name: &str| report.modes.iter().find(|m| m.name == name);
        let (Some(teacher), Some(free)) = (of("A_teacher"), of("D_rollout")) else { continue };
        let (Some(first), Some(last)) = (teacher.per_step.first(), free.per_step.last()) else { continue };
        let at_last = |values: &[f64]| number(values.get(last.step - 1).copied());
        text.push_str(&format!(
            "{}: cosine {} teacher-forced (null {}), {} after {} free steps (null {}, skyline {})\n",
            showcase::family(&info.kind),
            number(first.cos.mean),
            number(report.references.null_cos.first().copied()),
            number(last.cos.mean),
            last.step,
            at_last(&report.references.null_cos),
            number(report.references.skyline_cos.get(last.step - 1).copied().flatten())
        ));
    }
    text.push_str(&format!("{}\n", path.display()));
    text
}
