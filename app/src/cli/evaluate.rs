//! `evaluate`: teacher-forced metrics at each predictor's horizon, with nulls and robust tails.

use std::fmt::Write as _;
use std::path::PathBuf;

use anyhow::bail;
use driftscope_core::context::Source;
use driftscope_core::diagnose::{EvaluateConfig, Evaluation, evaluate};
use driftscope_core::predict::Predictor;
use serde_json::json;

use super::input::{self, StoreArg};
use super::session::Session;
use super::table::{number, table};
use super::{JsonArg, Report};

/// Teacher-forced metrics: ΔNLL, cosine with its null, log-magnitude R², robust tails
#[derive(Clone, Debug, serde::Serialize, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    store: StoreArg,
    /// Checkpoint, or a folder of checkpoints; each is measured at the horizon it was trained for
    #[arg(long, value_name = "CKPT", required = true)]
    predictor: Vec<PathBuf>,
    /// Only these horizons
    #[arg(long, value_name = "K,…", value_delimiter = ',')]
    horizons: Vec<usize>,
    /// Latents held in memory, in MB; those of a larger store are read again in each pass
    #[arg(long, value_name = "MB", default_value_t = 256)]
    memory: usize,
    #[command(flatten)]
    pub(super) json: JsonArg,
}

pub(super) fn run(args: &Args, session: &Session) -> anyhow::Result<Report> {
    let corpus = input::stored_corpus(&args.store, args.memory, session)?;
    let predictors = predictors(&args.predictor, &args.horizons, &corpus, session)?;
    let evaluation = evaluate(&session.job()?, &corpus, &predictors, &EvaluateConfig::default())?;
    let eval = evaluation.horizons.iter().map(|h| (format!("k{}", h.horizon), json!(h.eval.cos.mean)));
    let key_metrics = serde_json::Value::Object(eval.collect());
    Ok(Report { text: text(&evaluation), json: evaluation.to_json(), key_metrics })
}

/// Loads checkpoints (those of folders in name order), those of the wanted horizons, ordered by horizon.
pub(super) fn predictors<'a>(
    paths: &[PathBuf],
    horizons: &[usize],
    latents: impl Into<Source<'a>>,
    session: &Session,
) -> anyhow::Result<Vec<Predictor>> {
    let latents = latents.into();
    let mut predictors = Vec::new();
    for path in paths {
        for file in crate::open::checkpoints(path)? {
            predictors.push(input::predictor(&file, latents, session)?);
        }
    }
    if let Some(horizon) = horizons.iter().find(|k| predictors.iter().all(|p| p.info.horizon != **k)) {
        bail!("no predictor was given for horizon {horizon}; fit one with --set horizon={horizon}");
    }
    predictors.retain(|p| horizons.is_empty() || horizons.contains(&p.info.horizon));
    predictors.sort_by_key(|p| p.info.horizon);
    Ok(predictors)
}

fn text(evaluation: &Evaluation) -> String {
    let header =
        ["k", "family", "n", "cos", "95 %", "null", "ridge", "state R²", "ridge state R²", "ΔNLL median", "trimmed mean", "log‖Δ‖ R²"];
    let mut rows = vec![header.map(str::to_owned).to_vec()];
    for h in &evaluation.horizons {
        let band = h.eval.bands.get("cos").copied().flatten();
        rows.push(vec![
            h.horizon.to_string(),
            h.kind.clone(),
            h.eval.cos.n.to_string(),
            number(h.eval.cos.mean),
            band.map_or_else(|| number(None), |b| format!("{:.3}…{:.3}", b.low, b.high)),
            number(Some(h.null_cos)),
            number(Some(h.ridge_cos)),
            number(h.eval.state_r2),
            number(Some(h.ridge_state_r2)),
            number(h.eval.dnll.median),
            number(h.eval.dnll.trimmed_mean),
            number(h.eval.logmag_r2),
        ]);
    }
    let note =
        "a predictor has a state R² at k = 1 only, where its Δ continues the last frame that it sees; the ridge has one of x[t] at any k";
    let mut text = format!("evaluation side, teacher-forced, one-step Δ\n{}{note}\n", table(&rows));
    for h in &evaluation.horizons {
        if h.eval.nll.n_nonfinite > 0 {
            let _ = writeln!(text, "k = {}: {} of {} likelihoods are not finite and left out", h.horizon, h.eval.nll.n_nonfinite, {
                h.eval.nll.n + h.eval.nll.n_nonfinite
            });
        }
    }
    text
}
