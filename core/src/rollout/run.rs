//! The one loop.

use super::{Schedule, Segment};
use crate::context::Corpus;
use crate::job::{Cancelled, JobCtx};
use crate::predict::{Baselines, MagnitudeRule, Predictor};

/// How a rollout advances.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RolloutConfig {
    /// Steps, K.
    pub n_steps: usize,
    /// Which point of the distribution advances the state.
    pub rule: MagnitudeRule,
    /// Factor on every predicted Δ.
    pub alpha: f32,
    /// True state after every N steps, whatever the schedule says.
    pub reanchor_every: Option<usize>,
    /// Spread of samples (rule = sample).
    pub temperature: f32,
    /// SD of Gaussian noise added to the state after each step, in units of the median ‖Δ‖/√D.
    pub noise_sigma: f32,
}

impl Default for RolloutConfig {
    fn default() -> Self {
        Self { n_steps: 16, rule: MagnitudeRule::Median, alpha: 1.0, reanchor_every: None, temperature: 1.0, noise_sigma: 0.0 }
    }
}

/// One schedule's outcome for every segment. Per-step matrices are `[n_segments, n_steps]`, row-major, and may hold NaN or Inf
/// where the rollout left the numbers; whoever averages counts those.
#[derive(Clone, Debug)]
pub struct Rollout {
    /// What was done.
    pub schedule: Schedule,
    /// Segments, in row order.
    pub segments: Vec<Segment>,
    /// Steps.
    pub n_steps: usize,
    /// Dimensions of a frame.
    pub dim: usize,
    /// State after each step and its injection, `[n_segments, n_steps, dim]`.
    pub states: Vec<f32>,
    /// −ln p(Δ true), density over Δ, nats.
    pub nll: Vec<f32>,
    /// The peer's factored number (equal to `nll` but for vMF×LogNormal).
    pub nll_factored: Vec<f32>,
    /// The shared Gaussian baseline's −ln p(Δ true).
    pub nll_baseline: Vec<f32>,
    /// The peer's factored baseline (equal to `nll_baseline` but for vMF×LogNormal).
    pub nll_baseline_factored: Vec<f32>,
    /// Cosine of E[Δ] with the true Δ.
    pub cos: Vec<f32>,
    /// ‖E[Δ]‖ / ‖Δ true‖.
    pub mag_ratio: Vec<f32>,
    /// ‖Δ̂ the state advanced by‖ / ‖Δ true‖.
    pub advance_ratio: Vec<f32>,
    /// ‖x̂[t−1] − x[t−1]‖ before the step, raw units (the peer's `state_err`).
    pub state_err_before: Vec<f32>,
    /// ‖x̂[t] − x[t]‖ after the step and before any injection, raw units.
    pub state_err_after: Vec<f32>,
}

/// Why a rollout could not run.
#[derive(Debug, thiserror::Error)]
pub enum RolloutError {
    /// Corpus, predictor or starts that do not fit each other.
    #[error("{0}")]
    Input(String),
    /// Stopped.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// Runs every schedule from every segment, batched; `progress` counts steps.
pub fn rollout(
    ctx: &JobCtx,
    corpus: &Corpus,
    predictor: &Predictor,
    baselines: &Baselines,
    segments: &[Segment],
    schedules: &[Schedule],
    config: &RolloutConfig,
) -> Result<Vec<Rollout>, RolloutError> {
    let _ = (ctx, corpus, predictor, baselines, segments, schedules, config);
    todo!()
}
