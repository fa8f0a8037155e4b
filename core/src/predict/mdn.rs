//! Mixture density network: a GELU backbone and three linear heads.
//!
//! The peer's network as it is (raw inputs, hard clamp on ln σ), and ours (standardized inputs, outputs in units of each
//! dimension's Δ standard deviation, soft bound). Field names are the peer's checkpoint keys.

use std::sync::Arc;

use burn::module::Module;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor, TensorData, activation};
use rand::rngs::StdRng;

use super::Prediction;
use super::cpu::Packed;
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
        let (log_weights, means, log_sigmas) = mixture(self.outputs(inputs), LOG_SIGMA);
        mixture_nll(&log_weights, &means, &log_sigmas, &deltas).mean()
    }

    /// The network packed for the CPU, where its weights are there.
    fn packed(&self, log_sigma: Bound, scaling: Option<(&Scaling, usize)>) -> Option<Arc<Packed>> {
        is_cpu(&self.pi_head.weight.val().device()).then(|| Arc::new(Packed::mixture(&self.backbone, self.heads(), log_sigma, scaling)))
    }

    /// The heads' raw outputs: means, ln σ, logits.
    fn outputs(&self, inputs: Tensor<2>) -> [Tensor<2>; 3] {
        let features = forward_backbone(&self.backbone, inputs);
        self.heads().map(|head| head.forward(features.clone()))
    }

    fn heads(&self) -> [&Linear; 3] {
        [&self.mu_head, &self.log_sigma_head, &self.pi_head]
    }
}

/// ln weights `[batch, components]`, means and bounded ln σ `[batch, components, dim]` of the heads' outputs, in the network's units.
fn mixture([means, log_sigmas, logits]: [Tensor<2>; 3], log_sigma: Bound) -> (Tensor<2>, Tensor<3>, Tensor<3>) {
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
    pub(super) packed: Option<Arc<Packed>>,
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
    use crate::predict::cpu::{Advance, Answers, Matrices};
    use crate::predict::prediction::draw_for_mixture;
    use crate::predict::{MagnitudeRule, Reading};
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
            for rule in [MagnitudeRule::Mean, MagnitudeRule::Median, MagnitudeRule::Mode, MagnitudeRule::Sample] {
                let packed = answer(&mdn, windows.clone(), deltas.clone(), rule);
                for prediction in [tensors.predict(windows.clone()), mdn.predict(windows.clone())] {
                    let reference = Reading::of(&prediction, &deltas, rule, 0.7, &mut StdRng::seed_from_u64(7));
                    assert_close(&packed.nll, &host_values(reference.nll));
                    assert_close(&packed.nll_factored, &host_values(reference.nll_factored));
                    assert_close(&packed.mean, &host_values(reference.mean));
                    assert_close(&packed.advance, &host_values(reference.advance));
                }
            }
        }
    }

    fn answer(mdn: &Mdn, windows: Tensor<2>, deltas: Tensor<2>, rule: MagnitudeRule) -> Answers {
        let n = deltas.dims()[0];
        let draws = draw_for_mixture(n, DIM, &mut StdRng::seed_from_u64(7));
        let (windows, deltas) = (host_values(windows), host_values(deltas));
        let rows = Matrices { windows: &windows, deltas: &deltas, draws: &draws, n };
        let mut answers = Answers::default();
        mdn.packed.as_ref().unwrap().answer(&rows, n, Advance { rule, temperature: 0.7 }, &mut answers);
        answers
    }

    fn assert_close(got: &[f32], want: &[f32]) {
        assert_eq!(got.len(), want.len());
        for (got, want) in got.iter().zip(want) {
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
            let Answers { nll, mean, .. } = answer(&mdn, windows.clone(), deltas.clone(), MagnitudeRule::Median);
            for row in [0, 8, 210, ROWS - 1] {
                let [windows, deltas] = [&windows, &deltas].map(|rows| rows.clone().narrow(0, row, 1));
                let alone = answer(&mdn, windows, deltas, MagnitudeRule::Median);
                assert_eq!(alone.nll, nll[row..=row]);
                assert_eq!(alone.mean, mean[row * DIM..(row + 1) * DIM]);
            }
            let not_finite: Vec<usize> = (0..ROWS).filter(|&row| !nll[row].is_finite()).collect();
            assert_eq!(not_finite, [7, 9]);
            assert!(nll[7].is_nan() && mean[7 * DIM].is_nan() && nll[9] == f32::INFINITY);
        }
    }
}
