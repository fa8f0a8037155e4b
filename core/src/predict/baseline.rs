//! The unconditional baselines that ΔNLL is taken against.

use super::super::context::Pairs;

/// Diagonal Gaussian over Δ, fitted on training pairs: the shared baseline of every family.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct GaussianBaseline {
    /// `[dim]`
    pub mean: Vec<f32>,
    /// `[dim]`, n−1, floored at 1e-6
    pub variance: Vec<f32>,
}

/// The peer's factored baseline: uniform direction, LogNormal magnitude.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct LogMagnitudeBaseline {
    /// Mean of ln‖Δ‖.
    pub mean: f64,
    /// Variance of ln‖Δ‖ (n−1, floored at 1e-6).
    pub variance: f64,
    /// Dimensions.
    pub dim: usize,
}

/// Both baselines, fitted on the same pairs.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Baselines {
    /// Over Δ.
    pub gaussian: GaussianBaseline,
    /// The peer's, over direction × magnitude.
    pub log_magnitude: LogMagnitudeBaseline,
}

impl Baselines {
    /// Fits both on training pairs.
    pub fn fit(pairs: &Pairs) -> Self {
        let _ = pairs;
        todo!()
    }

    /// −ln p under the Gaussian baseline of one Δ, nats.
    pub fn gaussian_nll(&self, delta: &[f32]) -> f64 {
        let _ = delta;
        todo!()
    }

    /// The peer's factored baseline NLL of one Δ, nats.
    pub fn factored_nll(&self, delta: &[f32]) -> f64 {
        let _ = delta;
        todo!()
    }
}
