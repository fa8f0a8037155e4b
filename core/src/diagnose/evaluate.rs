//! Teacher-forced evaluation at several horizons, with nulls and robust tails.

use super::{Band, Summary};
use crate::context::{Corpus, Slice};
use crate::job::JobCtx;
use crate::predict::Predictor;
use crate::rollout::RolloutError;

/// How the evaluation runs.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvaluateConfig {
    /// Which frames count.
    pub slice: Slice,
    /// Ridge penalty of the nulls.
    pub lambda: f64,
    /// Bootstrap resamples.
    pub n_resamples: usize,
}

impl Default for EvaluateConfig {
    fn default() -> Self {
        Self { slice: Slice::All, lambda: 100.0, n_resamples: 1000 }
    }
}

/// Metrics of one side at one horizon.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct SideMetrics {
    /// −ln p(Δ), density over Δ.
    pub nll: Summary,
    /// Shared Gaussian baseline.
    pub nll_baseline: Summary,
    /// Paired difference.
    pub dnll: Summary,
    /// The peer's factored ΔNLL.
    pub dnll_factored: Summary,
    /// Cosine of E[Δ].
    pub cos: Summary,
    /// The peer's R² of ln‖E[Δ]‖.
    pub logmag_r2: Option<f64>,
    /// R² of the state x[t] = x[t−k] window's prediction.
    pub state_r2: Option<f64>,
    /// Bands by speaker: "cos", "dnll".
    pub bands: std::collections::BTreeMap<String, Option<Band>>,
    /// Highest NLL: (utterance id, frame, nats).
    pub worst: Vec<(String, usize, f64)>,
}

/// One horizon.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct HorizonReport {
    /// k.
    pub horizon: usize,
    /// Family.
    pub kind: String,
    /// Training side.
    pub train: SideMetrics,
    /// Evaluation side.
    pub eval: SideMetrics,
    /// Cosine of the shuffled-time null on the evaluation side.
    pub null_cos: f64,
    /// Cosine and state R² of an honest ridge on the evaluation side.
    pub ridge_cos: f64,
    /// State R² of the ridge.
    pub ridge_state_r2: f64,
}

/// All horizons.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Evaluation {
    /// One a horizon.
    pub horizons: Vec<HorizonReport>,
}

impl Evaluation {
    /// The peer's JSON list with ours beside it.
    pub fn to_json(&self) -> serde_json::Value {
        todo!()
    }
}

/// Evaluates each predictor at its own horizon on both sides.
pub fn evaluate(ctx: &JobCtx, corpus: &Corpus, predictors: &[Predictor], config: &EvaluateConfig) -> Result<Evaluation, RolloutError> {
    let _ = (ctx, corpus, predictors, config);
    todo!()
}
