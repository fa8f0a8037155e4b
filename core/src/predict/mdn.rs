//! Mixture density network: a GELU backbone and three linear heads.
//!
//! The peer's network as it is (raw inputs, hard clamp on ln σ), and ours (standardized inputs, outputs in units of each
//! dimension's Δ standard deviation, soft bound). Field names are the peer's checkpoint keys.

use std::sync::Arc;

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor, TensorData, activation};
use rand::rngs::StdRng;

use super::cpu::{MixtureAnswers, PackedMixture};
use super::network::{Bound, InputScaling, NetworkShape, Scaling, backbone, forward_backbone, linear};
use super::prediction::mixture_nll;
use super::{MagnitudeRule, Prediction, Reading};
use crate::engine::{HostTensor, is_cpu};

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
        let (log_weights, means, log_sigmas) = mixture(self.outputs(inputs), LOG_SIGMA);
        mixture_nll(&log_weights, &means, &log_sigmas, &deltas).mean()
    }

    /// The network packed for the CPU, where its weights are there.
    fn packed(&self, log_sigma: Bound, scaling: Option<(&Scaling, usize)>) -> Option<Arc<PackedMixture>> {
        let heads = [&self.pi_head, &self.mu_head, &self.log_sigma_head];
        is_cpu(&self.pi_head.weight.val().device()).then(|| Arc::new(PackedMixture::new(&self.backbone, heads, log_sigma, scaling)))
    }

    /// The heads' raw outputs: logits, means, ln σ.
    fn outputs(&self, inputs: Tensor<2>) -> [Tensor<2>; 3] {
        let features = forward_backbone(&self.backbone, inputs);
        [&self.pi_head, &self.mu_head, &self.log_sigma_head].map(|head| head.forward(features.clone()))
    }
}

/// ln weights `[batch, components]`, means and bounded ln σ `[batch, components, dim]` of the heads' outputs, in the network's units.
fn mixture([logits, means, log_sigmas]: [Tensor<2>; 3], log_sigma: Bound) -> (Tensor<2>, Tensor<3>, Tensor<3>) {
    let log_weights = activation::log_softmax(logits, 1);
    let [batch, components] = log_weights.dims();
    let shape = [batch, components, means.dims()[1] / components];
    (log_weights, means.reshape(shape), log_sigma.apply(log_sigmas).reshape(shape))
}

/// A mixture of diagonal Gaussians over Δ.
#[derive(Clone, Debug)]
pub(super) struct Mdn {
    pub(super) net: MdnNet,
    pub(super) log_sigma: Bound,
    /// Ours only.
    scaled: Option<Units>,
    /// On the CPU: the same, packed.
    packed: Option<Arc<PackedMixture>>,
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
        let packed = net.packed(log_sigma, None);
        Self { net, log_sigma, scaled: None, packed }
    }

    /// Ours.
    pub(super) fn scaled(net: MdnNet, scaling: Scaling, window: usize, device: &Device) -> Self {
        let row = |values: Vec<f32>| {
            let n = values.len();
            Tensor::from_data(TensorData::new(values, [1, 1, n]), device)
        };
        let packed = net.packed(LOG_SIGMA, Some((&scaling, window)));
        let units = Units {
            inputs: InputScaling::new(&scaling.frame_mean, &scaling.frame_std, window, device),
            delta_std: row(scaling.delta_std.clone()),
            log_delta_std: row(scaling.delta_std.iter().map(|s| s.ln()).collect()),
            scaling,
        };
        Self { net, log_sigma: LOG_SIGMA, scaled: Some(units), packed }
    }

    /// Ours only: the statistics kept in the checkpoint.
    pub(super) fn scaling(&self) -> Option<&Scaling> {
        self.scaled.as_ref().map(|units| &units.scaling)
    }

    /// Values that a row has in all means of its components, or in a hidden layer where that is wider.
    pub(super) fn widest_row(&self) -> usize {
        let layers = self.net.backbone.iter().chain([&self.net.mu_head]);
        layers.map(|layer| layer.weight.val().dims()[1]).max().unwrap_or(0)
    }

    /// [`Reading::of`] the prediction; on the CPU without its parameters in between, unless they are sampled from.
    pub(super) fn read(&self, windows: Tensor<2>, deltas: &Tensor<2>, rule: MagnitudeRule, temperature: f32, rng: &mut StdRng) -> Reading {
        let Some(packed) = self.packed.as_ref().filter(|_| rule != MagnitudeRule::Sample) else {
            return Reading::of(&self.predict(windows), deltas, rule, temperature, rng);
        };
        let (shape, device) = (deltas.dims(), windows.device());
        let MixtureAnswers { nll, mean, mode } =
            packed.answer(HostTensor::take(windows).values(), HostTensor::take(deltas.clone()).values());
        let rows = |values: Vec<f32>| Tensor::<2>::from_data(TensorData::new(values, shape), &device);
        let nll = Tensor::<1>::from_data(TensorData::new(nll, [shape[0]]), &device);
        let mean = rows(mean);
        let advance = if rule == MagnitudeRule::Mode { rows(mode) } else { mean.clone() };
        Reading { nll_factored: nll.clone(), nll, mean, advance }
    }

    pub(super) fn predict(&self, windows: Tensor<2>) -> Prediction {
        let outputs = |inputs| match &self.packed {
            Some(packed) => packed.outputs(inputs),
            None => self.net.outputs(inputs),
        };
        let Some(units) = &self.scaled else {
            let (log_weights, means, log_sigmas) = mixture(outputs(windows), self.log_sigma);
            return Prediction::Mixture { log_weights, means, log_sigmas };
        };
        let (log_weights, means, log_sigmas) = mixture(outputs(units.inputs.apply(windows)), self.log_sigma);
        Prediction::Mixture { log_weights, means: means * units.delta_std.clone(), log_sigmas: log_sigmas + units.log_delta_std.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::host_values;
    use rand::{RngExt, SeedableRng};

    const DIM: usize = 19;
    const WINDOW: usize = 2;
    /// More than one block of the packed network.
    const ROWS: usize = 400;

    fn rows(rng: &mut StdRng, width: usize) -> Tensor<2> {
        let values: Vec<f32> = (0..ROWS * width).map(|_| rng.random_range(-2.0..2.0)).collect();
        Tensor::from_data(TensorData::new(values, [ROWS, width]), &Device::flex())
    }

    fn networks(rng: &mut StdRng) -> [Mdn; 2] {
        let device = Device::flex();
        let shape = NetworkShape { n_components: 3, hidden_dim: 33, n_hidden_layers: 2 };
        let net = MdnNet::init(rng, WINDOW * DIM, DIM, shape, &device);
        let ramp = |from: f32| (0..DIM).map(|d| from + 0.1 * d as f32).collect::<Vec<f32>>();
        let scaling = Scaling { frame_mean: ramp(-0.5), frame_std: ramp(0.4), delta_std: ramp(0.2), log_magnitude: (0.0, 1.0) };
        [Mdn::raw(net.clone(), Bound::Hard(-1.1, -0.9)), Mdn::scaled(net, scaling, WINDOW, &device)]
    }

    #[test]
    fn packed_is_what_the_tensors_give() {
        let mut rng = StdRng::seed_from_u64(4);
        for mdn in networks(&mut rng) {
            let (windows, deltas) = (rows(&mut rng, WINDOW * DIM), rows(&mut rng, DIM));
            let tensors = Mdn { packed: None, ..mdn.clone() };
            assert!(mdn.packed.is_some());
            for rule in [MagnitudeRule::Mean, MagnitudeRule::Median, MagnitudeRule::Mode] {
                let packed = mdn.read(windows.clone(), &deltas, rule, 1.0, &mut rng);
                for prediction in [tensors.predict(windows.clone()), mdn.predict(windows.clone())] {
                    let reference = Reading::of(&prediction, &deltas, rule, 1.0, &mut rng);
                    for (got, want) in [(&packed.nll, &reference.nll), (&packed.nll_factored, &reference.nll_factored)] {
                        assert_close(host_values(got.clone()), host_values(want.clone()));
                    }
                    for (got, want) in [(&packed.mean, &reference.mean), (&packed.advance, &reference.advance)] {
                        assert_close(host_values(got.clone()), host_values(want.clone()));
                    }
                }
            }
            let [a, b] = [&mdn, &tensors].map(|mdn| {
                let reading = mdn.read(windows.clone(), &deltas, MagnitudeRule::Sample, 1.0, &mut StdRng::seed_from_u64(7));
                host_values(reading.advance)
            });
            assert_close(a, b);
        }
    }

    fn assert_close(got: Vec<f32>, want: Vec<f32>) {
        assert_eq!(got.len(), want.len());
        for (got, want) in got.iter().zip(&want) {
            assert!((got - want).abs() <= 1e-5 * want.abs().max(1.0), "{got} for {want}");
        }
    }

    #[test]
    fn a_row_is_the_same_bytes_in_any_batch_and_what_is_no_number_stays_in_its_row() {
        let mut rng = StdRng::seed_from_u64(5);
        for mdn in networks(&mut rng) {
            let (windows, deltas) = (rows(&mut rng, WINDOW * DIM), rows(&mut rng, DIM));
            let nan = Tensor::full([1, WINDOW * DIM], f32::NAN, &windows.device());
            let far = Tensor::full([1, DIM], 1e30, &windows.device());
            let (windows, deltas) = (windows.slice_assign([7..8, 0..WINDOW * DIM], nan), deltas.slice_assign([9..10, 0..DIM], far));
            let mut read = |windows, deltas: &Tensor<2>| mdn.read(windows, deltas, MagnitudeRule::Median, 1.0, &mut rng);
            let all = read(windows.clone(), &deltas);
            let (nll, mean) = (host_values(all.nll), host_values(all.mean));
            for row in [0, 8, 210, ROWS - 1] {
                let alone = read(windows.clone().narrow(0, row, 1), &deltas.clone().narrow(0, row, 1));
                assert_eq!(host_values(alone.nll), nll[row..=row]);
                assert_eq!(host_values(alone.mean), mean[row * DIM..(row + 1) * DIM]);
            }
            let not_finite: Vec<usize> = (0..ROWS).filter(|&row| !nll[row].is_finite()).collect();
            assert_eq!(not_finite, [7, 9]);
            assert!(nll[7].is_nan() && mean[7 * DIM].is_nan() && nll[9] == f32::INFINITY);
        }
    }
}
