//! The JSON of injection and evaluation: the peer's shape and names, ours beside them. A number that is not finite is `null`,
//! and how many there were stands beside it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{Evaluation, HorizonReport, InjectionReport, ModeReport, SideMetrics, StepReport, Summary};

impl InjectionReport {
    /// The peer's JSON shape with ours beside it (blueprint §5); no bare NaN.
    pub fn to_json(&self) -> Value {
        let references = &self.references;
        let modes: Map<String, Value> = self.modes.iter().map(|mode| (mode.name.clone(), mode_json(mode))).collect();
        json!({
            "n_utterances": self.n_utterances,
            "n_segments": self.rollouts.first().map_or(0, |r| r.segments.len()),
            "horizon_k": self.predictor.horizon,
            "window_size": self.predictor.window,
            "k_steps": self.config.rollout.n_steps,
            "modes": modes,
            "null": { "cos": references.null_cos, "teacher_cos": references.null_cos.first(), "kind": "ridge refitted and tested on frames shuffled within each utterance" },
            "chance": { "cos_sd": references.chance_cos_sd },
            "skyline": { "cos": references.skyline_cos, "predictors": references.skyline, "kind": "predictors trained directly for horizon h; null where none was given" },
            "ridge": { "cos": references.ridge_cos, "state_err_after": references.ridge_state_err, "kind": "ridge fitted directly for horizon h on this store's training side" },
            "persistence": { "state_err_after": references.persistence_state_err },
            "climatology": { "state_err_after": references.climatology_state_err },
            "sqrt2_sigma": { "state_err_after": references.sqrt2_sigma_state_err },
            "median_delta_norm": references.median_delta_norm,
            "bands": { "level": 0.95, "resampled": "speakers", "n_resamples": self.config.n_resamples },
            "rollout": self.config.rollout,
            "predictor": self.predictor,
            "definitions": definitions(),
        })
    }
}

impl Evaluation {
    /// The peer's JSON list with ours beside it.
    pub fn to_json(&self) -> Value {
        self.horizons.iter().map(|h| horizon_json(h, &self.slice_name)).collect()
    }
}

/// What each number is, in the file itself.
fn definitions() -> Value {
    json!({
        "nll": "-ln p(true delta) as a density over delta, nats; mean of the finite values",
        "nll_factored": "the peer's number: vMF x LogNormal as a density over direction x magnitude, without the (D-1) ln|delta| Jacobian",
        "dnll": "nll - nll_baseline; negative is better than a diagonal Gaussian fitted on the training deltas",
        "cos": "cosine of E[delta] with the true delta",
        "mag_ratio": "|E[delta]| / |true delta|",
        "advance_ratio": "|delta the state advanced by| / |true delta|",
        "state_err": "|state - truth| before the step, raw latent units (the peer's)",
        "state_err_after": "|state - truth| after the step and before injection, divided by median_delta_norm",
    })
}

fn mode_json(mode: &ModeReport) -> Value {
    let mut out = step_json(&mode.overall);
    out.insert(
        "per_step".into(),
        mode.per_step
            .iter()
            .map(|step| {
                let mut entry = Map::from_iter([("step".to_owned(), json!(step.step))]);
                entry.append(&mut step_json(step));
                Value::Object(entry)
            })
            .collect(),
    );
    Value::Object(out)
}

fn step_json(step: &StepReport) -> Map<String, Value> {
    let peers = [
        ("nll", &step.nll),
        ("nll_baseline", &step.nll_baseline),
        ("dnll", &step.dnll),
        ("cos", &step.cos),
        ("mag_ratio", &step.mag_ratio),
        ("state_err", &step.state_err),
    ];
    let ours = [
        ("state_err_after", &step.state_err_after),
        ("advance_ratio", &step.advance_ratio),
        ("nll_factored", &step.nll_factored),
        ("nll_baseline_factored", &step.nll_baseline_factored),
        ("dnll_factored", &step.dnll_factored),
    ];
    let all: Vec<(&str, &Summary)> = peers.into_iter().chain(ours).collect();
    let mut out = Map::from_iter([("n".to_owned(), json!(step.cos.n + step.cos.n_nonfinite))]);
    out.extend(all.iter().map(|(name, summary)| ((*name).to_owned(), json!(summary.mean))));
    out.insert("n_nonfinite".into(), counts(&all));
    out.insert("robust".into(), robust(&all));
    out.insert("bands".into(), json!(step.bands));
    out
}

/// Metrics that had non-finite values, and how many.
fn counts(metrics: &[(&str, &Summary)]) -> Value {
    let found: BTreeMap<&str, usize> = metrics.iter().filter(|(_, s)| s.n_nonfinite > 0).map(|(name, s)| (*name, s.n_nonfinite)).collect();
    json!(found)
}

fn robust(metrics: &[(&str, &Summary)]) -> Value {
    let entry = |s: &Summary| json!({ "n": s.n, "median": s.median, "trimmed_mean": s.trimmed_mean, "q05": s.q05, "q95": s.q95 });
    Value::Object(metrics.iter().map(|(name, s)| ((*name).to_owned(), entry(s))).collect())
}

fn horizon_json(report: &HorizonReport, slice_name: &str) -> Value {
    json!({
        "horizon_k": report.horizon,
        "slice_name": slice_name,
        "model_type": report.kind,
        "train": side_json(&report.train, report.dim),
        "eval": side_json(&report.eval, report.dim),
        "rollout": Value::Null,
        "null": { "direction_cosine": report.null_cos, "ridge": report.null },
        "ridge": { "direction_cosine": report.ridge_cos, "state_r2": report.ridge_state_r2, "ridge": report.ridge },
    })
}

fn side_json(side: &SideMetrics, dim: usize) -> Value {
    let per_dim = |s: &Summary| s.mean.map(|m| m / dim as f64);
    let all = [
        ("nll", &side.nll),
        ("nll_baseline", &side.nll_baseline),
        ("dnll", &side.dnll),
        ("nll_factored", &side.nll_factored),
        ("nll_baseline_factored", &side.nll_baseline_factored),
        ("dnll_factored", &side.dnll_factored),
        ("direction_cosine", &side.cos),
        ("direction_cosine_standardized", &side.cos_standardized),
    ];
    json!({
        "n": side.cos.n + side.cos.n_nonfinite,
        "nll": side.nll.mean,
        "nll_per_dim": per_dim(&side.nll),
        "nll_baseline": side.nll_baseline.mean,
        "nll_baseline_per_dim": per_dim(&side.nll_baseline),
        "dnll": side.dnll.mean,
        "dnll_per_dim": per_dim(&side.dnll),
        "direction_cosine": side.cos.mean,
        "logmag_mse": side.logmag_mse,
        "logmag_r2": side.logmag_r2,
        "nll_factored": side.nll_factored.mean,
        "nll_baseline_factored": side.nll_baseline_factored.mean,
        "dnll_factored": side.dnll_factored.mean,
        "direction_cosine_standardized": side.cos_standardized.mean,
        "state_r2": side.state_r2,
        "n_nonfinite": counts(&all),
        "robust": robust(&all),
        "bands": side.bands,
        "worst": side.worst.iter().map(|(id, t, nll)| json!({ "utterance_id": id, "t": t, "nll": nll })).collect::<Vec<_>>(),
    })
}
