//! Forward passes on the CPU, past burn's tensors: weights packed once, rows through reused buffers.
//!
//! What a rollout asks of a mixture (−ln p of one Δ, the mean) is 513 numbers a row; the heads it follows from are 8192. As tensor
//! operations those are written, read and copied some ten times by one core: of the full-size injection's 1.76 s that was a third.
//! Here each block of rows goes through [`Dense`] layers and a single sweep over the heads on all cores, in memory that is kept for
//! the next call. The price is a second copy of the weights. `network` and `prediction` are the same formulas as tensors, for
//! training and for other devices.
#![expect(clippy::inline_always, reason = "vector instructions reach only what is inlined")]

use std::sync::Mutex;

use burn::nn::Linear;
use burn::tensor::{Tensor, TensorData};
use driftscope_numerics::dense::{Activation, Dense};
use driftscope_numerics::gelu::exp;
use driftscope_numerics::simd::vectorized;
use rayon::prelude::*;

use super::mixture_loss::{LANES, log_sum_exp};
use super::network::{Bound, Scaling, hard};
use super::prediction::LOG_2PI;
use crate::engine::{HostTensor, host_values};

/// Rows that go through the network together: the heads' outputs stay in the last-level cache.
const BLOCK_ROWS: usize = 384;

/// Packed layers, one after the other.
#[derive(Clone, Debug)]
pub(super) struct Stack(Vec<Dense>);

impl Stack {
    /// With a GELU after each.
    pub(super) fn backbone(layers: &[Linear]) -> Self {
        Self(layers.iter().map(|layer| dense(layer, Activation::Gelu)).collect())
    }

    /// With a GELU between them and none after the last.
    pub(super) fn mlp(layers: &[Linear]) -> Self {
        let activation = |i: usize| if i + 1 == layers.len() { Activation::Identity } else { Activation::Gelu };
        Self(layers.iter().enumerate().map(|(i, layer)| dense(layer, activation(i))).collect())
    }

    /// `rows [batch, inputs]` to `[batch, outputs]`, on a CPU device.
    pub(super) fn forward(&self, rows: Tensor<2>) -> Tensor<2> {
        self.0.iter().fold(rows, |rows, layer| forward(layer, rows))
    }

    /// `n` rows through all layers; the outputs lie in one of the two buffers.
    fn forward_into<'a>(&self, rows: &'a [f32], n: usize, buffers: &'a mut [Vec<f32>; 2]) -> &'a [f32] {
        let [mut from, mut to] = buffers.each_mut();
        for (i, layer) in self.0.iter().enumerate() {
            to.resize(n * layer.n_out(), 0.0);
            layer.forward(if i == 0 { rows } else { from }, to);
            std::mem::swap(&mut from, &mut to);
        }
        if self.0.is_empty() { rows } else { from }
    }
}

/// `rows [batch, inputs]` to `[batch, outputs]`, on a CPU device.
pub(super) fn forward(layer: &Dense, rows: Tensor<2>) -> Tensor<2> {
    let (device, shape) = (rows.device(), [rows.dims()[0], layer.n_out()]);
    let mut out = vec![0.0; shape[0] * shape[1]];
    layer.forward(HostTensor::take(rows).values(), &mut out);
    Tensor::from_data(TensorData::new(out, shape), &device)
}

/// A layer of burn's, packed.
fn dense(layer: &Linear, activation: Activation) -> Dense {
    let bias = layer.bias.as_ref().map_or_else(|| vec![0.0; layer.weight.dims()[1]], |bias| host_values(bias.val()));
    Dense::new(&host_values(layer.weight.val()), &bias, activation)
}

/// A mixture density network.
#[derive(Debug)]
pub(super) struct PackedMixture {
    backbone: Stack,
    logits: Dense,
    means: Dense,
    log_sigmas: Dense,
    bound: Bound,
    units: Units,
    /// Buffers of calls that have ended.
    idle: Mutex<Vec<Buffers>>,
}

/// What brings raw windows to the network's inputs and its outputs to raw Δ.
#[derive(Clone, Debug)]
struct Units {
    /// `[window × dim]`; empty where inputs are raw.
    input_mean: Vec<f32>,
    input_inverse_std: Vec<f32>,
    /// `[dim]`
    delta_std: Vec<f32>,
    log_delta_std: Vec<f32>,
}

#[derive(Debug, Default)]
struct Buffers {
    inputs: Vec<f32>,
    hidden: [Vec<f32>; 2],
    logits: Vec<f32>,
    means: Vec<f32>,
    log_sigmas: Vec<f32>,
}

/// Answers for each row: −ln p(Δ) `[batch]`, E\[Δ\] and the heaviest component's mean, `[batch, dim]`.
#[derive(Debug, Default)]
pub(super) struct MixtureAnswers {
    pub(super) nll: Vec<f32>,
    pub(super) mean: Vec<f32>,
    pub(super) mode: Vec<f32>,
}

impl PackedMixture {
    /// Of a backbone and the heads of ln weights, means and ln σ; `scaling` where the network has units of its own.
    pub(super) fn new(backbone: &[Linear], heads: [&Linear; 3], bound: Bound, scaling: Option<(&Scaling, usize)>) -> Self {
        let [logits, means, log_sigmas] = heads.map(|head| dense(head, Activation::Identity));
        let dim = means.n_out() / logits.n_out().max(1);
        let raw =
            || Units { input_mean: Vec::new(), input_inverse_std: Vec::new(), delta_std: vec![1.0; dim], log_delta_std: vec![0.0; dim] };
        let units = scaling.map_or_else(raw, |(scaling, window)| Units {
            input_mean: scaling.frame_mean.repeat(window),
            input_inverse_std: scaling.frame_std.iter().map(|s| 1.0 / s).collect::<Vec<f32>>().repeat(window),
            delta_std: scaling.delta_std.clone(),
            log_delta_std: scaling.delta_std.iter().map(|s| s.ln()).collect(),
        });
        Self { backbone: Stack::backbone(backbone), logits, means, log_sigmas, bound, units, idle: Mutex::default() }
    }

    /// The heads' raw outputs for `inputs [batch, window × dim]` in the network's units: logits, means, ln σ.
    pub(super) fn outputs(&self, inputs: Tensor<2>) -> [Tensor<2>; 3] {
        let features = self.backbone.forward(inputs);
        [&self.logits, &self.means, &self.log_sigmas].map(|head| forward(head, features.clone()))
    }

    /// Reads the mixtures after `windows [batch, window × dim]` at `deltas [batch, dim]`.
    pub(super) fn answer(&self, windows: &[f32], deltas: &[f32]) -> MixtureAnswers {
        // From inside the pool no product waits for the caller's thread to fall asleep and to be woken again.
        rayon::scope(|_| self.answer_in_pool(windows, deltas))
    }

    fn answer_in_pool(&self, windows: &[f32], deltas: &[f32]) -> MixtureAnswers {
        let dim = self.means.n_out() / self.logits.n_out().max(1);
        let (n, width) = (deltas.len() / dim.max(1), windows.len() * dim / deltas.len().max(1));
        let mut answers = MixtureAnswers { nll: vec![0.0; n], mean: vec![0.0; n * dim], mode: vec![0.0; n * dim] };
        let mut buffers = self.idle.lock().ok().and_then(|mut idle| idle.pop()).unwrap_or_default();
        // Blocks of about the same size.
        let rows = n.div_ceil(n.div_ceil(BLOCK_ROWS).max(1)).max(1);
        let blocks = windows.chunks(rows * width.max(1)).zip(deltas.chunks(rows * dim.max(1)));
        let outputs = answers.nll.chunks_mut(rows).zip(answers.mean.chunks_mut(rows * dim)).zip(answers.mode.chunks_mut(rows * dim));
        for ((windows, deltas), ((nll, mean), mode)) in blocks.zip(outputs) {
            self.heads(windows, nll.len(), &mut buffers);
            let Buffers { logits, means, log_sigmas, .. } = &mut buffers;
            let heads = logits.par_chunks_mut(self.logits.n_out()).zip(means.par_chunks(self.means.n_out()));
            let heads = heads.zip(log_sigmas.par_chunks(self.log_sigmas.n_out()));
            let rows = nll.par_iter_mut().zip(mean.par_chunks_mut(dim)).zip(mode.par_chunks_mut(dim));
            rows.zip(heads.zip(deltas.par_chunks(dim))).for_each(|(((nll, mean), mode), (((logits, means), log_sigmas), delta))| {
                let row = MixtureRow { logits, means, log_sigmas, delta, units: &self.units };
                *nll = row.answer(self.bound, mean, mode);
            });
        }
        if let Ok(mut idle) = self.idle.lock() {
            idle.push(buffers);
        }
        answers
    }

    /// The heads' raw outputs for `n` windows.
    fn heads(&self, windows: &[f32], n: usize, buffers: &mut Buffers) {
        let Buffers { inputs, hidden, logits, means, log_sigmas } = buffers;
        let Units { input_mean, input_inverse_std, .. } = &self.units;
        let inputs: &[f32] = if input_mean.is_empty() {
            windows
        } else {
            inputs.resize(windows.len(), 0.0);
            let rows = windows.par_chunks(input_mean.len()).zip(inputs.par_chunks_mut(input_mean.len()));
            rows.for_each(|(window, row)| {
                let statistics = input_mean.iter().zip(input_inverse_std);
                row.iter_mut().zip(window).zip(statistics).for_each(|((out, x), (mean, inverse))| *out = (x - mean) * inverse);
            });
            inputs
        };
        let features = self.backbone.forward_into(inputs, n, hidden);
        for (head, out) in [(&self.logits, logits), (&self.means, means), (&self.log_sigmas, log_sigmas)] {
            out.resize(n * head.n_out(), 0.0);
            head.forward(features, out);
        }
    }
}

/// One row of the heads.
struct MixtureRow<'a> {
    /// Replaced by ln of each component's part in p(Δ).
    logits: &'a mut [f32],
    means: &'a [f32],
    log_sigmas: &'a [f32],
    delta: &'a [f32],
    units: &'a Units,
}

impl MixtureRow<'_> {
    /// Writes mean and mode, gives −ln p(Δ).
    fn answer(self, bound: Bound, mean: &mut [f32], mode: &mut [f32]) -> f32 {
        vectorized(
            #[inline(always)]
            || match bound {
                Bound::Hard(low, high) => {
                    let (low, high) = (low as f32, high as f32);
                    self.sweep(mean, mode, |x| hard(x, low, high))
                }
                Bound::Soft(low, high) => {
                    let (mid, half) = (f64::midpoint(low, high) as f32, ((high - low) / 2.0) as f32);
                    let inverse = 1.0 / half;
                    self.sweep(mean, mode, |x| {
                        let u = (x - mid) * inverse;
                        u / (u * u + 1.0).sqrt() * half + mid
                    })
                }
            },
        )
    }

    #[inline(always)]
    fn sweep(self, mean: &mut [f32], mode: &mut [f32], bounded: impl Fn(f32) -> f32) -> f32 {
        let dim = self.delta.len();
        let whole = dim - dim % LANES;
        let log_norm = log_sum_exp(self.logits.iter().copied());
        let heaviest = self.logits.iter().enumerate().fold(0, |best, (k, logit)| if *logit > self.logits[best] { k } else { best });
        for k in 0..self.logits.len() {
            let (means, log_sigmas) = (&self.means[k * dim..(k + 1) * dim], &self.log_sigmas[k * dim..(k + 1) * dim]);
            let columns = [means, log_sigmas, self.delta, &self.units.delta_std, &self.units.log_delta_std];
            let log_weight = self.logits[k] - log_norm;
            let weight = log_weight.exp();
            let exponent = add_component::<LANES>(columns.map(|c| &c[..whole]), weight, &mut mean[..whole], &bounded)
                + add_component::<1>(columns.map(|c| &c[whole..]), weight, &mut mean[whole..], &bounded);
            self.logits[k] = log_weight - exponent;
            if k == heaviest {
                mode.iter_mut().zip(means).zip(&self.units.delta_std).for_each(|((out, mean), unit)| *out = mean * unit);
            }
        }
        0.5 * dim as f32 * LOG_2PI as f32 - log_sum_exp(self.logits.iter().copied())
    }
}

/// Σ_d ½z² + ln σ over columns (μ, ln σ, Δ, unit, ln unit) of a multiple of `L` dimensions; adds `weight · μ` to `mean`.
#[inline(always)]
fn add_component<const L: usize>(columns: [&[f32]; 5], weight: f32, mean: &mut [f32], bounded: &impl Fn(f32) -> f32) -> f32 {
    let [means, log_sigmas, deltas, units, log_units] = columns.map(|column| column.as_chunks::<L>().0);
    let mut sums = [0.0; L];
    for (i, mean) in mean.as_chunks_mut::<L>().0.iter_mut().enumerate() {
        let (mu, log_sigma, delta, unit, log_unit) = (&means[i], &log_sigmas[i], &deltas[i], &units[i], &log_units[i]);
        for lane in 0..L {
            let mu = mu[lane] * unit[lane];
            let log_sigma = bounded(log_sigma[lane]) + log_unit[lane];
            let z = (delta[lane] - mu) * exp(-log_sigma);
            sums[lane] += 0.5 * z * z + log_sigma;
            mean[lane] += weight * mu;
        }
    }
    sums.iter().sum()
}
