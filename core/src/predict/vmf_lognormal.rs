//! Factorized predictor: direction ~ vMF(μ, κ), magnitude ~ LogNormal.
//!
//! The peer has four separate networks on raw inputs with hard clamps, and never applies its bias initialization. Ours has one
//! backbone under four linear heads: the first layer (window × dim inputs) is nearly all of the cost, and one shared by the
//! heads costs a quarter of four. Field names are the peer's checkpoint keys; its backbone is empty.

use std::sync::Arc;

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor};
use rand::rngs::StdRng;

use super::Prediction;
use super::cpu::Packed;
use super::network::{Bound, InputScaling, NetworkShape, Scaling, backbone, forward_backbone, forward_mlp, linear};
use super::von_mises_fisher::{Formula, LogNormalizer};
use crate::engine::compute::VonMisesFisherHead;
use crate::engine::is_cpu;

/// Intervals of the three scalar outputs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct VmfBounds {
    /// ln κ.
    pub(super) log_kappa: Bound,
    /// μ of ln‖Δ‖.
    pub(super) mu_logm: Bound,
    /// ln σ of ln‖Δ‖.
    pub(super) log_sigma_logm: Bound,
}

/// Ours: ln κ as the peer's; the magnitude in units of the training side's ln‖Δ‖ (σ at most twice its spread, so that the mean
/// e^{μ+σ²/2} cannot run away).
pub(super) const BOUNDS: VmfBounds =
    VmfBounds { log_kappa: Bound::Soft(-2.0, 12.0), mu_logm: Bound::Soft(-8.0, 8.0), log_sigma_logm: Bound::Soft(-5.0, 0.7) };
/// Where ln σ of the magnitude starts.
const LOG_SIGMA_START: f64 = -0.5;
/// κ starts at this part of D: a cosine of about .28 whatever D is (the peer's e³ at D = 64).
const KAPPA_START_PER_DIM: f64 = 0.31;

/// The trained part.
#[derive(Module, Debug)]
pub(super) struct VmfNet {
    pub(super) backbone: Vec<Linear>,
    pub(super) mu_dir: Vec<Linear>,
    pub(super) log_kappa: Vec<Linear>,
    pub(super) mu_logm: Vec<Linear>,
    pub(super) log_sigma_logm: Vec<Linear>,
}

/// Outputs of a forward pass after their bounds, in the network's units.
pub(super) struct VmfOutputs {
    /// Unit vectors, `[batch, dim]`
    pub(super) direction: Tensor<2>,
    /// `[batch, 1]` each
    pub(super) log_kappa: Tensor<2>,
    pub(super) mu_logm: Tensor<2>,
    pub(super) log_sigma_logm: Tensor<2>,
}

impl VmfNet {
    /// A fresh network of ours for `n_in` inputs and directions in R^dim.
    pub(super) fn init(rng: &mut StdRng, n_in: usize, dim: usize, shape: NetworkShape, device: &Device) -> Self {
        let NetworkShape { hidden_dim, n_hidden_layers, .. } = shape;
        let n_features = if n_hidden_layers == 0 { n_in } else { hidden_dim };
        let log_kappa = BOUNDS.log_kappa.invert((KAPPA_START_PER_DIM * dim as f64).ln());
        let log_sigma = BOUNDS.log_sigma_logm.invert(LOG_SIGMA_START);
        Self {
            backbone: backbone(rng, n_in, hidden_dim, n_hidden_layers, device),
            mu_dir: vec![linear(rng, n_features, dim, None, device)],
            log_kappa: vec![linear(rng, n_features, 1, Some(log_kappa), device)],
            mu_logm: vec![linear(rng, n_features, 1, Some(0.0), device)],
            log_sigma_logm: vec![linear(rng, n_features, 1, Some(log_sigma), device)],
        }
    }

    pub(super) fn forward(&self, inputs: Tensor<2>, bounds: &VmfBounds) -> VmfOutputs {
        let features = forward_backbone(&self.backbone, inputs);
        VmfOutputs::of(self.heads().map(|head| forward_mlp(head, features.clone())), bounds)
    }

    fn heads(&self) -> [&[Linear]; 4] {
        [&self.mu_dir, &self.log_kappa, &self.mu_logm, &self.log_sigma_logm]
    }
}

impl VmfOutputs {
    /// Of the four heads' raw outputs.
    fn of([raw, log_kappa, mu_logm, log_sigma_logm]: [Tensor<2>; 4], bounds: &VmfBounds) -> Self {
        let norm = raw.clone().square().sum_dim(1).sqrt().clamp_min(1e-8);
        Self {
            direction: raw / norm,
            log_kappa: bounds.log_kappa.apply(log_kappa),
            mu_logm: bounds.mu_logm.apply(mu_logm),
            log_sigma_logm: bounds.log_sigma_logm.apply(log_sigma_logm),
        }
    }
}

/// Direction and magnitude of Δ, independent given the window.
#[derive(Clone, Debug)]
pub(super) struct VmfLogNormal {
    pub(super) net: VmfNet,
    pub(super) bounds: VmfBounds,
    pub(super) packed: Option<Arc<Packed>>,
    normalizer: LogNormalizer,
    /// Ours only: the statistics kept in the checkpoint, and the inputs standardized by them.
    scaled: Option<(Scaling, InputScaling)>,
}

impl VmfLogNormal {
    /// The peer's: raw inputs, its own approximation of ln C_D(κ).
    pub(super) fn raw(net: VmfNet, bounds: VmfBounds, dim: usize, device: &Device) -> Self {
        Self { net, bounds, packed: None, normalizer: LogNormalizer::new(dim, Formula::Peer, device), scaled: None }.packed(0, device)
    }

    /// Ours.
    pub(super) fn scaled(net: VmfNet, scaling: Scaling, window: usize, device: &Device) -> Self {
        let normalizer = LogNormalizer::new(scaling.frame_mean.len(), Formula::Exact, device);
        let inputs = InputScaling::new(&scaling.frame_mean, &scaling.frame_std, window, device);
        Self { net, bounds: BOUNDS, packed: None, normalizer, scaled: Some((scaling, inputs)) }.packed(window, device)
    }

    /// With its network packed, where the weights are on the CPU.
    fn packed(self, window: usize, device: &Device) -> Self {
        let packed = is_cpu(device).then(|| {
            let scaling = self.scaling().map(|scaling| (scaling, window));
            Arc::new(Packed::von_mises_fisher(&self.net.backbone, self.net.heads(), self.head(), scaling, self.normalizer.dim))
        });
        Self { packed, ..self }
    }

    /// What the outputs mean, in plain numbers.
    pub(super) fn head(&self) -> VonMisesFisherHead {
        let (table, table_low, table_steps, table_slope) = self.normalizer.table();
        let log_magnitude = self.scaling().map_or((0.0, 1.0), |scaling| scaling.log_magnitude);
        VonMisesFisherHead {
            log_kappa: self.bounds.log_kappa.into(),
            mu_logm: self.bounds.mu_logm.into(),
            log_sigma_logm: self.bounds.log_sigma_logm.into(),
            log_magnitude: (log_magnitude.0 as f32, log_magnitude.1 as f32),
            table,
            table_low,
            table_steps,
            table_slope,
        }
    }

    /// Ours only: the statistics kept in the checkpoint.
    pub(super) fn scaling(&self) -> Option<&Scaling> {
        self.scaled.as_ref().map(|(scaling, _)| scaling)
    }

    pub(super) fn predict(&self, windows: Tensor<2>) -> Prediction {
        let (inputs, (mean, std)) = match &self.scaled {
            Some((scaling, inputs)) => (inputs.apply(windows), scaling.log_magnitude),
            None => (windows, (0.0, 1.0)),
        };
        let out = match &self.packed {
            Some(packed) => VmfOutputs::of(packed.outputs(inputs), &self.bounds),
            None => self.net.forward(inputs, &self.bounds),
        };
        Prediction::VmfLogNormal {
            direction: out.direction,
            log_kappa: out.log_kappa,
            log_magnitude: out.mu_logm * std + mean,
            log_sigma: out.log_sigma_logm + std.ln(),
            normalizer: self.normalizer.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::host_values;
    use burn::tensor::TensorData;
    use rand::{RngExt, SeedableRng};

    #[test]
    fn packed_is_what_the_tensors_give() {
        let (device, mut rng) = (Device::flex(), StdRng::seed_from_u64(6));
        let (dim, window, n) = (19, 2, 40);
        let ours = VmfNet::init(&mut rng, window * dim, dim, NetworkShape { n_components: 0, hidden_dim: 33, n_hidden_layers: 2 }, &device);
        let mut mlp = |n_out| {
            let hidden = backbone(&mut rng, window * dim, 17, 1, &device);
            hidden.into_iter().chain([linear(&mut rng, 17, n_out, None, &device)]).collect::<Vec<_>>()
        };
        let peers = VmfNet { backbone: Vec::new(), mu_dir: mlp(dim), log_kappa: mlp(1), mu_logm: mlp(1), log_sigma_logm: mlp(1) };
        let values: Vec<f32> = (0..n * window * dim).map(|_| rng.random_range(-2.0..2.0)).collect();
        let inputs = Tensor::<2>::from_data(TensorData::new(values, [n, window * dim]), &device);
        for net in [ours, peers] {
            let vmf = VmfLogNormal::raw(net, BOUNDS, dim, &device);
            let got = VmfOutputs::of(vmf.packed.as_ref().unwrap().outputs(inputs.clone()), &BOUNDS);
            let want = vmf.net.forward(inputs.clone(), &BOUNDS);
            for (got, want) in [
                (got.direction, want.direction),
                (got.log_kappa, want.log_kappa),
                (got.mu_logm, want.mu_logm),
                (got.log_sigma_logm, want.log_sigma_logm),
            ] {
                assert_eq!(got.dims(), want.dims());
                assert!(host_values(got).iter().zip(host_values(want)).all(|(got, want)| (got - want).abs() <= 1e-5 * want.abs().max(1.0)));
            }
        }
    }
}
