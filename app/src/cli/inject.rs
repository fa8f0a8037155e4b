//! `inject`: modes A-D (or any) step by step, with their reference lines.

use std::path::PathBuf;

use driftscope_core::context::Corpus;
use driftscope_core::diagnose::{InjectionConfig, InjectionReport, ReferenceConfig, StepReport, inject, references};
use driftscope_core::figure::{self, Provenance};
use driftscope_core::predict::Predictor;
use driftscope_core::rollout::{Schedule, Segment, SegmentConfig, read_starts, sample_segments};
use serde_json::json;

use super::evaluate::predictors;
use super::input::{self, StoreArg};
use super::output::{ForceArg, writable_folder};
use super::schedules::{RolloutArgs, schedule};
use super::session::Session;
use super::table::{number, table};
use super::{JsonArg, Report};
use crate::window::curves::{Metric, table_steps};

/// The injection diagnostic: how each mode departs from truth, step by step
#[derive(Clone, Debug, serde::Serialize, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    store: StoreArg,
    /// Checkpoint to roll out
    #[arg(long, value_name = "CKPT")]
    predictor: PathBuf,
    /// Checkpoints (or folders of them) trained directly for longer horizons: the skyline
    #[arg(long, value_name = "CKPT")]
    direct: Vec<PathBuf>,
    /// Recorded starts, `[{"utterance_id": …, "t0": [..]}]`, instead of seeded ones
    #[arg(long, value_name = "FILE.json")]
    starts: Option<PathBuf>,
    /// Modes: A (state and window always true), B (truth put back after every 4th step), C (after step 1), D (own frames
    /// alone), or after:3+7 (truth after steps 3 and 7)
    #[arg(long, value_name = "MODE,…", value_delimiter = ',', default_value = "A,B,C,D")]
    modes: Vec<String>,
    #[command(flatten)]
    rollout: RolloutArgs,
    /// Evaluation utterances drawn
    #[arg(long, value_name = "N", default_value_t = 16)]
    utterances: usize,
    /// Starts drawn in each
    #[arg(long, value_name = "N", default_value_t = 8)]
    segments: usize,
    /// Bootstrap resamples of the bands
    #[arg(long, value_name = "N", default_value_t = 1000)]
    resamples: usize,
    /// Folder for the curves as PDF, SVG, PNG and CSV
    #[arg(long, value_name = "DIR")]
    figures: Option<PathBuf>,
    #[command(flatten)]
    force: ForceArg,
    #[command(flatten)]
    pub(super) json: JsonArg,
}

pub(super) fn run(args: &Args, session: &Session) -> anyhow::Result<Report> {
    let rollout = args.rollout.config()?;
    let schedules = args.modes.iter().map(|m| schedule(m, rollout.n_steps)).collect::<Result<Vec<Schedule>, _>>()?;
    let (store, corpus) = input::corpus(&args.store, session)?;
    let predictor = input::predictor(&args.predictor, &corpus, session)?;
    if let Some(folder) = &args.figures {
        args.force.check(&folder.join(format!("injection-{}.svg", predictor.info.kind)))?;
        writable_folder(folder)?;
    }
    let mut direct = predictors(&args.direct, &[], &corpus, session)?;
    // At its own horizon the predictor is its own skyline.
    direct.push(predictor.clone());
    let segments = if let Some(path) = &args.starts {
        read_starts(path, &corpus)?
    } else {
        let drawn = SegmentConfig { n_utterances: args.utterances, segments_per_utterance: args.segments, ..SegmentConfig::default() };
        let info = &predictor.info;
        sample_segments(&corpus, info.window, info.horizon, rollout.n_steps, &drawn, session.seed)?
    };
    let config = InjectionConfig { rollout, n_resamples: args.resamples };
    let report = diagnose(session, &corpus, &predictor, &direct, &segments, &schedules, &config)?;
    if let Some(folder) = &args.figures {
        let provenance = Provenance {
            store: corpus.source.clone(),
            checkpoint: predictor.info.hash.clone(),
            codec: store.codec().map_or_else(String::new, |c| c.weights_hash.clone()),
            seed: session.seed,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            definitions: crate::report::metric_definitions(),
        };
        figure::write(&crate::report::injection(&predictor.info, &report, provenance), folder)?;
    }
    let last = report.modes.iter().map(|m| (m.name.clone(), json!(m.per_step.last().and_then(|s| s.cos.mean))));
    let key_metrics = serde_json::Value::Object(last.collect());
    let mut text = text(&report, &predictor);
    if let Some(folder) = &args.figures {
        text.push_str(&format!("\n{}\n", folder.join(format!("injection-{}.pdf (.svg, .png, .csv)", predictor.info.kind)).display()));
    }
    Ok(Report { text, json: report.to_json(), key_metrics })
}

/// Baselines, reference lines and the modes themselves.
fn diagnose(
    session: &Session,
    corpus: &Corpus,
    predictor: &Predictor,
    direct: &[Predictor],
    segments: &[Segment],
    schedules: &[Schedule],
    config: &InjectionConfig,
) -> anyhow::Result<InjectionReport> {
    let job = session.job()?;
    let baselines = crate::open::baselines(corpus, predictor);
    let lines = ReferenceConfig { window: predictor.info.window, ..ReferenceConfig::default() };
    let references = references(&job, corpus, segments, config.rollout.n_steps, direct, &lines)?;
    Ok(inject(&job, corpus, predictor, &baselines, segments, schedules, references, config)?)
}

fn text(report: &InjectionReport, predictor: &Predictor) -> String {
    let n_steps = report.modes.first().map_or(0, |m| m.per_step.len());
    let n_segments = report.rollouts.first().map_or(0, |r| r.segments.len());
    let steps = table_steps(n_steps);
    let mut text = format!(
        "{} (k {}) from {n_segments} starts of {} utterances, {n_steps} steps\n",
        predictor.info.kind, predictor.info.horizon, report.n_utterances
    );
    let lines = &report.references;
    let line = |name: &str, values: &dyn Fn(usize) -> Option<f64>| {
        let cells = steps.iter().map(|s| number(values(s - 1)));
        std::iter::once(name.to_owned()).chain(cells).collect::<Vec<_>>()
    };
    let at = |values: &[f64], step: usize| values.get(step).copied();
    for (title, metric) in METRICS {
        let mut rows = vec![std::iter::once(title.to_owned()).chain(steps.iter().map(|s| format!("step {s}"))).collect::<Vec<_>>()];
        for mode in &report.modes {
            rows.push(line(&mode.name, &|s| mode.per_step.get(s).and_then(metric)));
        }
        match title {
            COSINE => {
                rows.push(line("time-shuffled null", &|s| at(&lines.null_cos, s)));
                rows.push(line("skyline (trained directly)", &|s| lines.skyline_cos.get(s).copied().flatten()));
                rows.push(line("ridge (fitted directly)", &|s| at(&lines.ridge_cos, s)));
            }
            STATE_ERROR => {
                rows.push(line("ridge (fitted directly)", &|s| at(&lines.ridge_state_err, s)));
                rows.push(line("persistence", &|s| at(&lines.persistence_state_err, s)));
                rows.push(line("climatology", &|_| Some(lines.climatology_state_err)));
                rows.push(line("√2·σ", &|_| Some(lines.sqrt2_sigma_state_err)));
            }
            _ => {}
        }
        text.push('\n');
        text.push_str(&table(&rows));
    }
    let nonfinite: usize = report.modes.iter().flat_map(|m| &m.per_step).map(|s| s.nll.n_nonfinite + s.state_err_after.n_nonfinite).sum();
    if nonfinite > 0 {
        text.push_str(&format!("\n{nonfinite} values are not finite: counted here, left out of every average\n"));
    }
    text
}

const COSINE: &str = "cosine, mean over starts";
const STATE_ERROR: &str = "state error / median ‖Δ‖, mean over starts";

type Value = fn(&StepReport) -> Option<f64>;

/// The same points as the curves'.
const METRICS: [(&str, Value); 4] = [
    (COSINE, |s| Metric::Cosine.center(s)),
    (STATE_ERROR, |s| Metric::StateError.center(s)),
    ("magnitude ratio, median over starts", |s| Metric::MagnitudeRatio.center(s)),
    ("ΔNLL, nats, median over starts", |s| Metric::DeltaNll.center(s)),
];
