//! What one forward pass gives, and the questions that may be asked of it.

use burn::tensor::Tensor;
use rand::rngs::StdRng;

/// How a point is chosen from a predicted distribution to advance the state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MagnitudeRule {
    /// The mean: e^{μ+σ²/2} of a LogNormal magnitude.
    Mean,
    /// The median: e^μ. For a Gaussian mixture, the mean.
    #[default]
    Median,
    /// The mode: e^{μ−σ²}. For a Gaussian mixture, the mean of the heaviest component.
    Mode,
    /// A seeded draw.
    Sample,
}

/// Distributions over Δ, one for each row of a batch, in raw latent units.
#[derive(Clone, Debug)]
pub enum Prediction {
    /// Mixture of diagonal Gaussians.
    Mixture {
        /// `[batch, components]`
        log_weights: Tensor<2>,
        /// `[batch, components, dim]`
        means: Tensor<3>,
        /// ln σ, `[batch, components, dim]`
        log_sigmas: Tensor<3>,
    },
    /// Direction ~ vMF(μ, κ), magnitude ~ LogNormal.
    VmfLogNormal {
        /// Unit mean directions, `[batch, dim]`
        direction: Tensor<2>,
        /// ln κ, `[batch, 1]`
        log_kappa: Tensor<2>,
        /// μ of ln‖Δ‖, `[batch, 1]`
        log_magnitude: Tensor<2>,
        /// ln σ of ln‖Δ‖, `[batch, 1]`
        log_sigma: Tensor<2>,
    },
    /// A single point without a density (persistence, climatology): likelihood is NaN by definition.
    Point {
        /// `[batch, dim]`
        mean: Tensor<2>,
    },
}

impl Prediction {
    /// −ln p(Δ) as a density over Δ ∈ R^D, in nats, `[batch]`. (vMF×LogNormal includes the (D−1)·ln‖Δ‖ Jacobian.)
    pub fn nll(&self, deltas: &Tensor<2>) -> Tensor<1> {
        let _ = deltas;
        todo!()
    }

    /// The peer's factored number for vMF×LogNormal (density over direction × magnitude, no Jacobian); equal to `nll` for others.
    pub fn nll_factored(&self, deltas: &Tensor<2>) -> Tensor<1> {
        let _ = deltas;
        todo!()
    }

    /// E[Δ] as the peer's `expected_mean` (vMF: μ·e^{μ_m+σ²/2}), `[batch, dim]`: what cosine and magnitude ratio are taken of.
    pub fn mean(&self) -> Tensor<2> {
        todo!()
    }

    /// The Δ̂ that a rollout advances by, `[batch, dim]`. `temperature` scales the spread of samples only.
    pub fn advance(&self, rule: MagnitudeRule, temperature: f32, rng: &mut StdRng) -> Tensor<2> {
        let _ = (rule, temperature, rng);
        todo!()
    }
}
