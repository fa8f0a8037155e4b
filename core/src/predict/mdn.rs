//! Mixture density network: a GELU backbone and three linear heads.
//!
//! The peer's network as it is (raw inputs, hard clamp on ln σ), and ours (standardized inputs, outputs in units of each
//! dimension's Δ standard deviation, soft bound). Field names are the peer's checkpoint keys.

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor, TensorData, activation};
use rand::rngs::StdRng;

use super::Prediction;
use super::mixture_loss::mean_mixture_nll;
use super::network::{Bound, InputScaling, NetworkShape, Scaling, backbone, forward_backbone, linear};
use super::prediction::mixture_nll;
use crate::engine::is_cpu;

/// Interval of our ln σ, in the network's units.
pub(super) const LOG_SIGMA: Bound = Bound::Soft(-7.0, 2.0);
/// Where ln σ starts.
const LOG_SIGMA_START: f64 = -1.0;

/// The trained part.
#[derive(Module, Debug)]
pub(super) struct MdnNet {
    pub(super) backbone: Vec<Linear>,
    pub(super) pi_head: Linear,
    pub(super) mu_head: Linear,
    pub(super) log_sigma_head: Linear,
}

impl MdnNet {
    /// A fresh network for `n_in` inputs and mixtures in R^dim.
    pub(super) fn init(rng: &mut StdRng, n_in: usize, dim: usize, shape: NetworkShape, device: &Device) -> Self {
        let NetworkShape { n_components, hidden_dim, n_hidden_layers } = shape;
        let n_features = if n_hidden_layers == 0 { n_in } else { hidden_dim };
        let start = LOG_SIGMA.invert(LOG_SIGMA_START);
        Self {
            backbone: backbone(rng, n_in, hidden_dim, n_hidden_layers, device),
            pi_head: linear(rng, n_features, n_components, None, device),
            mu_head: linear(rng, n_features, n_components * dim, None, device),
            log_sigma_head: linear(rng, n_features, n_components * dim, Some(start), device),
        }
    }

    /// Mean −ln p of `deltas [batch, dim]` in the network's units, `[1]`, for training.
    pub(super) fn loss(&self, inputs: Tensor<2>, deltas: Tensor<2>) -> Tensor<1> {
        if !is_cpu(&inputs.device()) {
            let (log_weights, means, log_sigmas) = self.forward(inputs, LOG_SIGMA);
            return mixture_nll(&log_weights, &means, &log_sigmas, &deltas).mean();
        }
        let features = forward_backbone(&self.backbone, inputs);
        let [logits, means, log_sigmas] = [&self.pi_head, &self.mu_head, &self.log_sigma_head].map(|head| head.forward(features.clone()));
        mean_mixture_nll(logits, means, log_sigmas, LOG_SIGMA, deltas)
    }

    /// ln weights `[batch, components]`, means and bounded ln σ `[batch, components, dim]`, in the network's units.
    pub(super) fn forward(&self, inputs: Tensor<2>, log_sigma: Bound) -> (Tensor<2>, Tensor<3>, Tensor<3>) {
        let features = forward_backbone(&self.backbone, inputs);
        let log_weights = activation::log_softmax(self.pi_head.forward(features.clone()), 1);
        let means = self.mu_head.forward(features.clone());
        let log_sigmas = log_sigma.apply(self.log_sigma_head.forward(features));
        let [batch, components] = log_weights.dims();
        let shape = [batch, components, means.dims()[1] / components];
        (log_weights, means.reshape(shape), log_sigmas.reshape(shape))
    }
}

/// A mixture of diagonal Gaussians over Δ.
#[derive(Clone, Debug)]
pub(super) struct Mdn {
    pub(super) net: MdnNet,
    pub(super) log_sigma: Bound,
    /// Ours only.
    scaled: Option<Units>,
}

/// The units of our network's inputs and outputs.
#[derive(Clone, Debug)]
struct Units {
    scaling: Scaling,
    inputs: InputScaling,
    /// Δ standard deviation, `[1, 1, dim]`
    delta_std: Tensor<3>,
    log_delta_std: Tensor<3>,
}

impl Mdn {
    /// The peer's: raw inputs and outputs.
    pub(super) fn raw(net: MdnNet, log_sigma: Bound) -> Self {
        Self { net, log_sigma, scaled: None }
    }

    /// Ours.
    pub(super) fn scaled(net: MdnNet, scaling: Scaling, window: usize, device: &Device) -> Self {
        let row = |values: Vec<f32>| {
            let n = values.len();
            Tensor::from_data(TensorData::new(values, [1, 1, n]), device)
        };
        let units = Units {
            inputs: InputScaling::new(&scaling.frame_mean, &scaling.frame_std, window, device),
            delta_std: row(scaling.delta_std.clone()),
            log_delta_std: row(scaling.delta_std.iter().map(|s| s.ln()).collect()),
            scaling,
        };
        Self { net, log_sigma: LOG_SIGMA, scaled: Some(units) }
    }

    /// Ours only: the statistics kept in the checkpoint.
    pub(super) fn scaling(&self) -> Option<&Scaling> {
        self.scaled.as_ref().map(|units| &units.scaling)
    }

    pub(super) fn predict(&self, windows: Tensor<2>) -> Prediction {
        let Some(units) = &self.scaled else {
            let (log_weights, means, log_sigmas) = self.net.forward(windows, self.log_sigma);
            return Prediction::Mixture { log_weights, means, log_sigmas };
        };
        let (log_weights, means, log_sigmas) = self.net.forward(units.inputs.apply(windows), self.log_sigma);
        Prediction::Mixture { log_weights, means: means * units.delta_std.clone(), log_sigmas: log_sigmas + units.log_delta_std.clone() }
    }
}
