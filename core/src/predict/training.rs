//! What the fit loop needs to know to train a predictor: its loss and its batches.

use std::path::Path;

use super::{CheckpointError, Predictor};
use crate::context::Corpus;
use crate::job::JobCtx;

/// Which family to fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PredictorKind {
    /// Mixture density network.
    #[default]
    Mdn,
    /// vMF × LogNormal.
    Vmf,
    /// Ridge in closed form.
    Linear,
}

/// How to fit a predictor.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PredictorConfig {
    /// Family.
    pub kind: PredictorKind,
    /// Frames in the window, W.
    pub window: usize,
    /// Horizon k.
    pub horizon: usize,
    /// Mixture components (mdn).
    pub n_components: usize,
    /// Hidden width.
    pub hidden_dim: usize,
    /// Hidden layers, as the peer counts them.
    pub n_hidden_layers: usize,
    /// Ridge penalty (linear).
    pub lambda: f64,
    /// Batch rows.
    pub batch: usize,
    /// Optimizer steps.
    pub max_steps: u64,
    /// Learning rate.
    pub learning_rate: f64,
    /// AdamW weight decay.
    pub weight_decay: f64,
    /// Gradient-norm clip.
    pub clip_norm: f32,
    /// Store weights as f16.
    pub half_precision: bool,
}

impl Default for PredictorConfig {
    fn default() -> Self {
        Self {
            kind: PredictorKind::Mdn,
            window: 8,
            horizon: 1,
            n_components: 8,
            hidden_dim: 1024,
            n_hidden_layers: 2,
            lambda: 100.0,
            batch: 256,
            max_steps: 25_000,
            learning_rate: 1e-3,
            weight_decay: 1e-4,
            clip_norm: 1.0,
            half_precision: false,
        }
    }
}

/// Fits a predictor on the training side of `corpus`; `checkpoint` keeps the state for exact resume.
pub fn fit_predictor(
    ctx: &JobCtx,
    corpus: &Corpus,
    config: &PredictorConfig,
    checkpoint: Option<&Path>,
) -> Result<Predictor, CheckpointError> {
    let _ = (ctx, corpus, config, checkpoint);
    todo!()
}
