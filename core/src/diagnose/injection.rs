//! The injection diagnostic: how each mode departs from truth, step by step.

use super::{Band, References, Summary};
use crate::context::Corpus;
use crate::job::JobCtx;
use crate::predict::{Baselines, Predictor};
use crate::rollout::{Rollout, RolloutConfig, RolloutError, Schedule, Segment};

/// How the diagnostic runs.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct InjectionConfig {
    /// How rollouts advance.
    pub rollout: RolloutConfig,
    /// Bootstrap resamples (0: no bands).
    pub n_resamples: usize,
}

/// One step of one mode, over all segments.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct StepReport {
    /// 1-based.
    pub step: usize,
    /// Cosine of E[Δ] with the true Δ.
    pub cos: Summary,
    /// ‖E[Δ]‖ / ‖Δ‖.
    pub mag_ratio: Summary,
    /// ‖Δ̂ advanced by‖ / ‖Δ‖.
    pub advance_ratio: Summary,
    /// −ln p(Δ), density over Δ, nats.
    pub nll: Summary,
    /// The shared baseline's.
    pub nll_baseline: Summary,
    /// `nll − nll_baseline`, paired.
    pub dnll: Summary,
    /// The peer's factored ΔNLL.
    pub dnll_factored: Summary,
    /// State error before the step, raw (the peer's).
    pub state_err: Summary,
    /// State error after the step / median ‖Δ‖.
    pub state_err_after: Summary,
    /// Bands by speaker of the means, by metric name ("cos", "dnll", "mag_ratio", "state_err_after").
    pub bands: std::collections::BTreeMap<String, Option<Band>>,
}

/// One mode.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct ModeReport {
    /// JSON key of the mode.
    pub name: String,
    /// One entry a step.
    pub per_step: Vec<StepReport>,
}

/// The whole diagnostic.
#[derive(Clone, Debug)]
pub struct InjectionReport {
    /// One a schedule, in the order given.
    pub modes: Vec<ModeReport>,
    /// The lines to read them against.
    pub references: References,
    /// The raw outcome behind the means.
    pub rollouts: Vec<Rollout>,
    /// Distinct utterances used.
    pub n_utterances: usize,
}

impl InjectionReport {
    /// The peer's JSON shape with ours beside it (blueprint §5); no bare NaN.
    pub fn to_json(&self) -> serde_json::Value {
        todo!()
    }
}

/// Runs the schedules and reads them against `references`.
pub fn inject(
    ctx: &JobCtx,
    corpus: &Corpus,
    predictor: &Predictor,
    baselines: &Baselines,
    segments: &[Segment],
    schedules: &[Schedule],
    references: References,
    config: &InjectionConfig,
) -> Result<InjectionReport, RolloutError> {
    let _ = (ctx, corpus, predictor, baselines, segments, schedules, references, config);
    todo!()
}
