//! Ridge regression from standardized windows, in closed form.

use super::super::job::{Cancelled, JobCtx};

/// `y = ((window − mean) / std) · weights + bias`, per-dimension residual variance kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Ridge {
    /// Frame mean used to standardize inputs, `[dim]`.
    pub input_mean: Vec<f32>,
    /// Frame standard deviation, `[dim]`.
    pub input_std: Vec<f32>,
    /// `[window × dim, outputs]`
    pub weights: Vec<f32>,
    /// `[outputs]`
    pub bias: Vec<f32>,
    /// Residual variance on the training rows, `[outputs]`.
    pub residual_variance: Vec<f32>,
}

impl Ridge {
    /// Fits `targets [n, outputs]` from `contexts [n, window × dim]` with penalty `lambda` on standardized inputs
    /// (bias not penalized); normal equations in f64.
    pub fn fit(ctx: &JobCtx, contexts: &[f32], targets: &[f32], n: usize, dim: usize, lambda: f64) -> Result<Self, Cancelled> {
        let _ = (ctx, contexts, targets, n, dim, lambda);
        todo!()
    }

    /// Predicted targets `[n, outputs]` for `contexts [n, window × dim]`.
    pub fn apply(&self, contexts: &[f32], n: usize) -> Vec<f32> {
        let _ = (contexts, n);
        todo!()
    }
}
