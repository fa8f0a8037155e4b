//! Reference lines: null, chance, skyline, persistence, climatology, √2·σ.

use crate::context::Corpus;
use crate::job::JobCtx;
use crate::predict::Predictor;
use crate::rollout::{RolloutError, Segment};

/// How reference lines are computed.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReferenceConfig {
    /// Ridge penalty of null and linear skyline.
    pub lambda: f64,
    /// Frames in the window.
    pub window: usize,
}

impl Default for ReferenceConfig {
    fn default() -> Self {
        Self { lambda: 100.0, window: 8 }
    }
}

/// Lines that every rollout curve is drawn with. Vectors are per step, `[n_steps]`.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct References {
    /// Cosine of a ridge refitted and tested on frames shuffled within each utterance.
    pub null_cos: Vec<f64>,
    /// SD of the cosine of random directions, 1/√D.
    pub chance_cos_sd: f64,
    /// Cosine of predictors trained directly for horizon h = step (1-based).
    pub skyline_cos: Vec<f64>,
    /// State error / median ‖Δ‖ of predictors of x[t] trained directly for horizon h.
    pub skyline_state_err: Vec<f64>,
    /// What the skyline is ("ridge", or "mdn k=1,2,4,8,16; ridge between").
    pub skyline_kind: String,
    /// State error / median ‖Δ‖ of standing still at x[t0−1].
    pub persistence_state_err: Vec<f64>,
    /// State error / median ‖Δ‖ of the training mean.
    pub climatology_state_err: f64,
    /// State error / median ‖Δ‖ of two independent draws, √2·σ.
    pub sqrt2_sigma_state_err: f64,
    /// Median ‖Δ‖ of the training side, raw units: divides every state error shown.
    pub median_delta_norm: f64,
}

/// Computes the lines at the given segments; `direct` are predictors trained for horizons > 1, used for the skyline where present.
pub fn references(
    ctx: &JobCtx,
    corpus: &Corpus,
    segments: &[Segment],
    n_steps: usize,
    direct: &[Predictor],
    config: &ReferenceConfig,
) -> Result<References, RolloutError> {
    let _ = (ctx, corpus, segments, n_steps, direct, config);
    todo!()
}
