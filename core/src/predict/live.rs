//! Predictors as plain networks, and kept on a GPU: what whole rollouts there are made of.
//!
//! The third form of the same formulas, beside burn's tensors (`network`, `prediction`) and the packed layers of the CPU (`cpu`). The
//! price is a second copy of the weights on the device, and one in memory.

use std::sync::{Arc, Mutex};

use burn::nn::Linear;
use burn::tensor::Device;
use rand::rngs::StdRng;

use super::linear::LinearGaussian;
use super::mdn::Mdn;
use super::network::{Bound, Scaling};
use super::prediction::{draw_for_mixture, draw_for_vmf};
use super::vmf_lognormal::VmfLogNormal;
use super::{MagnitudeRule, Model, Predictor};
use crate::engine::compute::{self, Activation, From, Gpu, Head, Layer, LivePath, MOST_COMPONENTS, MixtureHead, Network, PROPOSALS, To};
use crate::engine::host_values;

/// A predictor's place on a GPU, made when it is first rolled there and shared by its clones.
#[derive(Clone, Debug, Default)]
pub(super) struct LiveSlot(Arc<Mutex<Option<Arc<LivePath>>>>);

impl Predictor {
    /// This predictor on `gpu`; `None` for those without a network, and where the device has no room for it.
    pub(crate) fn live(&self, gpu: &Gpu) -> Option<Arc<LivePath>> {
        let mut slot = self.live.0.lock().ok()?;
        if slot.as_ref().is_none_or(|live| !live.is_on(gpu)) {
            *slot = LivePath::new(gpu, self.network()?).map(Arc::new);
        }
        slot.clone()
    }

    /// Random numbers for `n` rows of rule "sample" on the live path, `[n, draw width]`: those that [`Self::read`] would draw.
    pub(crate) fn draw(&self, n: usize, rng: &mut StdRng) -> Vec<f32> {
        match &self.model {
            Model::VmfLogNormal(_) => draw_for_vmf(n, self.info.dim, rng),
            Model::Linear(_) | Model::Mdn(_) => draw_for_mixture(n, self.info.dim, rng),
            Model::Persistence | Model::Climatology { .. } => Vec::new(),
        }
    }

    /// Values that [`Self::draw`] gives for a row.
    pub(crate) fn draw_width(&self) -> usize {
        match &self.model {
            Model::VmfLogNormal(_) => 2 * PROPOSALS + 1 + self.info.dim,
            Model::Linear(_) | Model::Mdn(_) => 1 + self.info.dim,
            Model::Persistence | Model::Climatology { .. } => 0,
        }
    }

    /// What it computes, in plain arrays; `None` where there is nothing to multiply.
    fn network(&self) -> Option<Network> {
        let (dim, window) = (self.info.dim, self.info.window);
        let (scaling, layers, head) = match &self.on(&Device::flex()).model {
            Model::Persistence | Model::Climatology { .. } => return None,
            Model::Linear(linear) => of_linear(linear),
            Model::Mdn(mdn) => of_mdn(mdn, dim)?,
            Model::VmfLogNormal(vmf) => of_vmf(vmf, dim)?,
        };
        let (frame_mean, frame_std) = scaling.unwrap_or_else(|| (vec![0.0; dim], vec![1.0; dim]));
        Some(Network { dim, window, frame_mean, frame_inverse_std: frame_std.iter().map(|s| 1.0 / s).collect(), layers, head })
    }
}

/// Mean and standard deviation of frames, layers, head.
type Parts = (Option<(Vec<f32>, Vec<f32>)>, Vec<Layer>, Head);

/// A mixture of one component: the layer writes its mean, and its ln σ and its logit stay 0, in units of the residual.
fn of_linear(LinearGaussian { ridge, .. }: &LinearGaussian) -> Parts {
    let layer = Layer {
        n_in: ridge.weights.len() / ridge.bias.len().max(1),
        weights: ridge.weights.clone(),
        bias: ridge.bias.clone(),
        activation: Activation::Identity,
        from: From::Window,
        to: To::Heads(0),
    };
    let head = MixtureHead {
        n_components: 1,
        log_sigma: compute::Bound::Hard(0.0, 0.0),
        delta_std: vec![1.0; ridge.bias.len()],
        log_delta_std: ridge.residual_variance.iter().map(|v| 0.5 * v.ln()).collect(),
    };
    (Some((ridge.input_mean.clone(), ridge.input_std.clone())), vec![layer], Head::Mixture(head))
}

fn of_mdn(mdn: &Mdn, dim: usize) -> Option<Parts> {
    let heads = [&mdn.net.mu_head, &mdn.net.log_sigma_head, &mdn.net.pi_head].map(arrays);
    let n_components = heads[2].1.len();
    if n_components > MOST_COMPONENTS {
        return None;
    }
    let (mut layers, from) = backbone(&mdn.net.backbone);
    layers.push(Layer::side_by_side(mdn.net.pi_head.weight.dims()[0], &heads, from, To::Heads(0)));
    let delta_std = mdn.scaling().map_or_else(|| vec![1.0; dim], |scaling| scaling.delta_std.clone());
    let log_delta_std = delta_std.iter().map(|s| s.ln()).collect();
    let head = MixtureHead { n_components, log_sigma: mdn.log_sigma.into(), delta_std, log_delta_std };
    Some((mdn.scaling().map(frames), layers, Head::Mixture(head)))
}

fn of_vmf(vmf: &VmfLogNormal, dim: usize) -> Option<Parts> {
    let heads = [&vmf.net.mu_dir, &vmf.net.log_kappa, &vmf.net.mu_logm, &vmf.net.log_sigma_logm];
    let (mut layers, from) = backbone(&vmf.net.backbone);
    if let [[direction], [log_kappa], [mu], [log_sigma]] = heads.map(Vec::as_slice) {
        let arrays = [direction, log_kappa, mu, log_sigma].map(arrays);
        layers.push(Layer::side_by_side(direction.weight.dims()[0], &arrays, from, To::Heads(0)));
    } else if layers.is_empty() {
        // The peer's: four networks of their own.
        for (stack, column) in heads.into_iter().zip([0, dim, dim + 1, dim + 2]) {
            let (last, hidden) = stack.split_last()?;
            let (hidden, from) = backbone(hidden);
            layers.extend(hidden);
            layers.push(Layer::side_by_side(last.weight.dims()[0], &[arrays(last)], from, To::Heads(column)));
        }
    } else {
        return None;
    }
    Some((vmf.scaling().map(frames), layers, Head::VonMisesFisher(vmf.head())))
}

/// Layers with a GELU after each, and what the next one reads.
fn backbone(layers: &[Linear]) -> (Vec<Layer>, From) {
    let from = |i: usize| if i == 0 { From::Window } else { From::Hidden };
    let hidden = |(i, layer): (usize, &Linear)| {
        let (weights, bias) = arrays(layer);
        Layer { n_in: layer.weight.dims()[0], weights, bias, activation: Activation::Gelu, from: from(i), to: To::Hidden }
    };
    (layers.iter().enumerate().map(hidden).collect(), from(layers.len()))
}

/// Weights `[n_in, n_out]` and bias `[n_out]`.
fn arrays(layer: &Linear) -> (Vec<f32>, Vec<f32>) {
    let bias = layer.bias.as_ref().map_or_else(|| vec![0.0; layer.weight.dims()[1]], |bias| host_values(bias.val()));
    (host_values(layer.weight.val()), bias)
}

fn frames(scaling: &Scaling) -> (Vec<f32>, Vec<f32>) {
    (scaling.frame_mean.clone(), scaling.frame_std.clone())
}

impl std::convert::From<MagnitudeRule> for compute::Rule {
    fn from(rule: MagnitudeRule) -> Self {
        match rule {
            MagnitudeRule::Mean => Self::Mean,
            MagnitudeRule::Median => Self::Median,
            MagnitudeRule::Mode => Self::Mode,
            MagnitudeRule::Sample => Self::Sample,
        }
    }
}

impl std::convert::From<Bound> for compute::Bound {
    fn from(bound: Bound) -> Self {
        match bound {
            Bound::Hard(low, high) => Self::Hard(low as f32, high as f32),
            Bound::Soft(low, high) => Self::Soft(f64::midpoint(low, high) as f32, ((high - low) / 2.0) as f32),
        }
    }
}
