//! Forward passes on the CPU, past burn's tensors: weights packed once, rows through reused buffers.
//!
//! What a rollout asks of a mixture (−ln p of one Δ, the mean) is 513 numbers a row; the heads it follows from are 8192. As tensor
//! operations those are written, read and copied some ten times by one core: of the full-size injection's 1.76 s that was a third.
//! Here each block of rows goes through [`Dense`] layers and a single sweep over the heads on all cores, in memory that is kept for
//! the next call: an answer allocates nothing. The price is a second copy of the weights. `network` and `prediction` are the same
//! formulas as tensors, for training and for other devices.
#![expect(clippy::inline_always, reason = "vector instructions reach only what is inlined")]

use std::ops::Range;
use std::sync::Mutex;

use burn::nn::Linear;
use burn::tensor::{Tensor, TensorData};
use driftscope_numerics::dense::{Activation, Dense};
use driftscope_numerics::gelu::exp;
use driftscope_numerics::simd::vectorized;
use rayon::prelude::*;

use super::MagnitudeRule;
use super::linear::Ridge;
use super::mixture_loss::{LANES, log_sum_exp};
use super::network::{Bound, Scaling, hard};
use super::prediction::LOG_2PI;
use crate::engine::compute::{VonMisesFisherHead, von_mises_fisher};
use crate::engine::{HostTensor, host_values};

/// Rows that go through the network together: the heads' outputs stay in the last-level cache.
const BLOCK_ROWS: usize = 384;
/// Windows that one task copies at least: waking another costs as much as a few.
const FILLED_TOGETHER: usize = 16;

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

    /// Outputs of a row.
    fn n_out(&self) -> usize {
        self.0.last().map_or(0, Dense::n_out)
    }

    /// Where [`Self::forward_into`] of at least one layer left the outputs.
    fn result<'a>(&self, buffers: &'a [Vec<f32>; 2]) -> &'a [f32] {
        &buffers[self.0.len() % 2]
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

/// Rows that are asked about: where a predictor reads what its caller keeps.
pub(crate) trait Rows: Sync {
    /// Raw window of a row, `[window × dim]`.
    fn window(&self, row: usize) -> &[f32];
    /// The Δ that its density is taken at, `[dim]`.
    fn delta(&self, row: usize) -> &[f32];
    /// The random numbers of its sample, see `prediction::draw_for_mixture` and its sibling; asked for by rule "sample" only.
    fn draw(&self, row: usize) -> &[f32];
}

/// Rows of matrices.
pub(super) struct Matrices<'a> {
    /// `[n, window × dim]`
    pub(super) windows: &'a [f32],
    /// `[n, dim]`
    pub(super) deltas: &'a [f32],
    /// `[n, draw width]`, or nothing.
    pub(super) draws: &'a [f32],
    pub(super) n: usize,
}

impl Matrices<'_> {
    fn row<'a>(&self, values: &'a [f32], row: usize) -> &'a [f32] {
        let width = values.len() / self.n.max(1);
        &values[row * width..(row + 1) * width]
    }
}

impl Rows for Matrices<'_> {
    fn window(&self, row: usize) -> &[f32] {
        self.row(self.windows, row)
    }

    fn delta(&self, row: usize) -> &[f32] {
        self.row(self.deltas, row)
    }

    fn draw(&self, row: usize) -> &[f32] {
        self.row(self.draws, row)
    }
}

/// How the state advances.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Advance {
    pub(crate) rule: MagnitudeRule,
    /// Spread of samples.
    pub(crate) temperature: f32,
}

/// Answers for each row, in memory that is kept for the next call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answers {
    /// −ln p(Δ) and the peer's factored number, `[batch]`
    pub(crate) nll: Vec<f32>,
    pub(crate) nll_factored: Vec<f32>,
    /// E\[Δ\] and the Δ̂ that the state advances by, `[batch, dim]`
    pub(crate) mean: Vec<f32>,
    pub(crate) advance: Vec<f32>,
}

impl Answers {
    /// With room for `n` rows.
    pub(crate) fn for_rows(n: usize, dim: usize) -> Self {
        let mut answers = Self::default();
        answers.resize(n, dim);
        answers
    }

    /// As many as there are rows.
    fn resize(&mut self, n: usize, dim: usize) {
        self.nll.resize(n, 0.0);
        self.nll_factored.resize(n, 0.0);
        self.mean.resize(n * dim, 0.0);
        self.advance.resize(n * dim, 0.0);
    }

    /// Points without a density.
    pub(super) fn set_points(&mut self, n: usize, dim: usize, point: impl Fn(usize, &mut [f32]) + Sync) {
        self.resize(n, dim);
        self.rows(0..n, dim).for_each(|(row, likelihoods, [mean, advance])| {
            likelihoods.into_iter().for_each(|nll| *nll = f32::NAN);
            point(row, mean);
            advance.copy_from_slice(mean);
        });
    }

    /// Number, both likelihoods, mean and advance of each of some rows.
    fn rows(&mut self, rows: Range<usize>, dim: usize) -> impl IndexedParallelIterator<Item = (usize, [&mut f32; 2], [&mut [f32]; 2])> {
        let values = rows.start * dim..rows.end * dim;
        let likelihoods = self.nll[rows.clone()].par_iter_mut().zip(&mut self.nll_factored[rows.clone()]);
        let points = self.mean[values.clone()].par_chunks_mut(dim).zip(self.advance[values].par_chunks_mut(dim));
        let each = rows.into_par_iter().zip(likelihoods.zip(points));
        each.map(|(row, ((nll, factored), (mean, advance)))| (row, [nll, factored], [mean, advance]))
    }
}

/// A network and the head that reads it.
#[derive(Debug)]
pub(super) struct Packed {
    dim: usize,
    /// Mean and 1/σ of the inputs, `[window × dim]`; empty where they are raw.
    input_scaling: [Vec<f32>; 2],
    backbone: Stack,
    /// What the head reads, each a stack of its own after the backbone.
    outputs: Vec<Stack>,
    head: PackedHead,
    /// Buffers of calls that have ended.
    idle: Mutex<Vec<Buffers>>,
}

#[derive(Debug)]
enum PackedHead {
    /// Outputs: means and, where there are any, ln σ and logits.
    Mixture { n_components: usize, bound: Bound, delta_std: Vec<f32>, log_delta_std: Vec<f32> },
    /// Outputs: direction, ln κ, μ and ln σ of ln‖Δ‖.
    VonMisesFisher(VonMisesFisherHead),
}

/// Outputs that a head reads at most.
const MOST_OUTPUTS: usize = 4;

#[derive(Debug, Default)]
struct Buffers {
    inputs: Vec<f32>,
    hidden: [Vec<f32>; 2],
    outputs: [[Vec<f32>; 2]; MOST_OUTPUTS],
    /// ln of each component's part in p(Δ), and zeros for the outputs that no layer writes.
    log_parts: Vec<f32>,
    zeros: Vec<f32>,
}

impl Packed {
    fn new(scaling: Option<(&Scaling, usize)>, backbone: Stack, outputs: Vec<Stack>, head: PackedHead, dim: usize) -> Self {
        let input_scaling = scaling.map_or_else(Default::default, |(scaling, window)| {
            let inverse: Vec<f32> = scaling.frame_std.iter().map(|s| 1.0 / s).collect();
            [scaling.frame_mean.repeat(window), inverse.repeat(window)]
        });
        Self { dim, input_scaling, backbone, outputs, head, idle: Mutex::default() }
    }

    /// A mixture density network of a backbone and heads of means, ln σ and logits.
    pub(super) fn mixture(backbone: &[Linear], heads: [&Linear; 3], bound: Bound, scaling: Option<(&Scaling, usize)>) -> Self {
        let [means, log_sigmas, logits] = heads.map(|head| Stack(vec![dense(head, Activation::Identity)]));
        let n_components = logits.n_out();
        let dim = means.n_out() / n_components.max(1);
        let delta_std = scaling.map_or_else(|| vec![1.0; dim], |(scaling, _)| scaling.delta_std.clone());
        let log_delta_std = delta_std.iter().map(|s| s.ln()).collect();
        let head = PackedHead::Mixture { n_components, bound, delta_std, log_delta_std };
        Self::new(scaling, Stack::backbone(backbone), vec![means, log_sigmas, logits], head, dim)
    }

    /// A Gaussian whose mean is a linear map of the standardized window.
    pub(super) fn linear(ridge: &Ridge, window: usize) -> Self {
        let dim = ridge.bias.len();
        let head = PackedHead::Mixture {
            n_components: 1,
            bound: Bound::Hard(0.0, 0.0),
            delta_std: vec![1.0; dim],
            log_delta_std: ridge.residual_variance.iter().map(|v| 0.5 * v.ln()).collect(),
        };
        let means = Stack(vec![Dense::new(&ridge.weights, &ridge.bias, Activation::Identity)]);
        let inverse: Vec<f32> = ridge.input_std.iter().map(|s| 1.0 / s).collect();
        let packed = Self::new(None, Stack(Vec::new()), vec![means], head, dim);
        Self { input_scaling: [ridge.input_mean.repeat(window), inverse.repeat(window)], ..packed }
    }

    /// Direction and magnitude, of a backbone and stacks of direction, ln κ, μ and ln σ of ln‖Δ‖.
    pub(super) fn von_mises_fisher(
        backbone: &[Linear],
        stacks: [&[Linear]; 4],
        head: VonMisesFisherHead,
        scaling: Option<(&Scaling, usize)>,
        dim: usize,
    ) -> Self {
        let head = PackedHead::VonMisesFisher(head);
        Self::new(scaling, Stack::backbone(backbone), stacks.map(Stack::mlp).into(), head, dim)
    }

    /// The raw outputs for `inputs [batch, window × dim]` in the network's units, in the order of the constructors.
    pub(super) fn outputs<const N: usize>(&self, inputs: Tensor<2>) -> [Tensor<2>; N] {
        let features = self.backbone.forward(inputs);
        std::array::from_fn(|i| self.outputs[i].forward(features.clone()))
    }

    /// Answers for `n` rows.
    pub(super) fn answer(&self, rows: &impl Rows, n: usize, advance: Advance, answers: &mut Answers) {
        answers.resize(n, self.dim);
        let mut buffers = self.idle.lock().ok().and_then(|mut idle| idle.pop()).unwrap_or_default();
        // Blocks of about the same size.
        let block = n.div_ceil(n.div_ceil(BLOCK_ROWS).max(1)).max(1);
        for first in (0..n).step_by(block) {
            let some = Block { rows, first, n: block.min(n - first) };
            self.compute(&some, &mut buffers);
            self.read(&some, advance, &mut buffers, answers);
        }
        if let Ok(mut idle) = self.idle.lock() {
            idle.push(buffers);
        }
    }

    /// The raw outputs of a block.
    fn compute(&self, block: &Block<'_, impl Rows>, buffers: &mut Buffers) {
        let Buffers { inputs, hidden, outputs, .. } = buffers;
        let width = block.rows.window(block.first).len();
        inputs.resize(block.n * width, 0.0);
        let [mean, inverse_std] = &self.input_scaling;
        let fill = |(row, inputs): (usize, &mut [f32])| {
            let window = block.rows.window(block.first + row);
            if mean.is_empty() {
                inputs.copy_from_slice(window);
            } else {
                let statistics = mean.iter().zip(inverse_std);
                inputs.iter_mut().zip(window).zip(statistics).for_each(|((out, x), (mean, inverse))| *out = (x - mean) * inverse);
            }
        };
        inputs.par_chunks_mut(width.max(1)).enumerate().with_min_len(FILLED_TOGETHER).for_each(fill);
        let features = self.backbone.forward_into(inputs, block.n, hidden);
        for (stack, buffers) in self.outputs.iter().zip(outputs) {
            let out = stack.forward_into(features, block.n, buffers);
            debug_assert_eq!(out.len(), block.n * stack.n_out());
        }
    }

    /// What the outputs of a block say.
    fn read(&self, block: &Block<'_, impl Rows>, advance: Advance, buffers: &mut Buffers, answers: &mut Answers) {
        let (dim, first) = (self.dim, block.first);
        let Buffers { outputs, log_parts, zeros, .. } = buffers;
        let values = |output: usize| self.outputs.get(output).map(|stack| (stack.result(&outputs[output]), stack.n_out()));
        let answered = answers.rows(first..first + block.n, dim);
        match &self.head {
            PackedHead::Mixture { n_components, bound, delta_std, log_delta_std } => {
                zeros.resize(n_components * dim, 0.0);
                log_parts.resize(block.n * n_components, 0.0);
                let [means, log_sigmas, logits] = [0, 1, 2].map(values);
                // All rows share the zeros.
                let zeros = (&zeros[..], 0);
                let [means, log_sigmas, logits] = [means, log_sigmas, logits].map(|output| output.unwrap_or(zeros));
                answered.zip(log_parts.par_chunks_mut(*n_components)).for_each(|((row, nll, points), log_parts)| {
                    let at = row - first;
                    log_parts.copy_from_slice(&of_row(logits, at)[..*n_components]);
                    let mixture = MixtureRow {
                        log_parts,
                        means: of_row(means, at),
                        log_sigmas: of_row(log_sigmas, at),
                        delta: block.rows.delta(row),
                        units: [delta_std, log_delta_std],
                    };
                    let draw = if advance.rule == MagnitudeRule::Sample { block.rows.draw(row) } else { &[] };
                    let value = mixture.answer(*bound, advance, draw, points);
                    nll.into_iter().for_each(|nll| *nll = value);
                });
            }
            PackedHead::VonMisesFisher(head) => {
                let [direction, log_kappa, mu, log_sigma] = [0, 1, 2, 3].map(|output| values(output).map_or(&[][..], |(values, _)| values));
                answered.for_each(|(row, [nll, factored], [mean, point])| {
                    let at = row - first;
                    let outputs = &von_mises_fisher::Outputs {
                        direction: &direction[at * dim..(at + 1) * dim],
                        log_kappa: log_kappa[at],
                        mu_logm: mu[at],
                        log_sigma_logm: log_sigma[at],
                    };
                    let draw = if advance.rule == MagnitudeRule::Sample { block.rows.draw(row) } else { &[] };
                    [*nll, *factored] = von_mises_fisher::read(
                        head,
                        outputs,
                        block.rows.delta(row),
                        advance.rule.into(),
                        advance.temperature,
                        draw,
                        [mean, point],
                    );
                });
            }
        }
    }
}

/// A row's part of outputs of a width; all of those without one.
fn of_row((values, width): (&[f32], usize), row: usize) -> &[f32] {
    if width == 0 { values } else { &values[row * width..(row + 1) * width] }
}

/// Some of the rows that are asked about.
struct Block<'a, R> {
    rows: &'a R,
    first: usize,
    n: usize,
}

/// One row of a mixture's outputs.
struct MixtureRow<'a> {
    /// Logits, replaced by ln of each component's part in p(Δ).
    log_parts: &'a mut [f32],
    means: &'a [f32],
    log_sigmas: &'a [f32],
    delta: &'a [f32],
    /// Unit of the outputs and its logarithm, `[dim]` each.
    units: [&'a [f32]; 2],
}

impl MixtureRow<'_> {
    /// Writes mean and advance, gives −ln p(Δ).
    fn answer(self, bound: Bound, advance: Advance, draw: &[f32], points: [&mut [f32]; 2]) -> f32 {
        vectorized(
            #[inline(always)]
            || match bound {
                Bound::Hard(low, high) => {
                    let (low, high) = (low as f32, high as f32);
                    self.sweep(advance, draw, points, |x| hard(x, low, high))
                }
                Bound::Soft(low, high) => {
                    let (mid, half) = (f64::midpoint(low, high) as f32, ((high - low) / 2.0) as f32);
                    let inverse = 1.0 / half;
                    self.sweep(advance, draw, points, |x| {
                        let u = (x - mid) * inverse;
                        u / (u * u + 1.0).sqrt() * half + mid
                    })
                }
            },
        )
    }

    #[inline(always)]
    fn sweep(self, how: Advance, draw: &[f32], [mean, advance]: [&mut [f32]; 2], bounded: impl Fn(f32) -> f32) -> f32 {
        let Self { log_parts, means, log_sigmas, delta, units: [unit, log_unit] } = self;
        let dim = delta.len();
        let whole = dim - dim % LANES;
        let log_norm = log_sum_exp(log_parts.iter().copied());
        let chosen = match how.rule {
            MagnitudeRule::Sample => pick(log_parts, log_norm, draw[0]),
            _ => (1..log_parts.len()).fold(0, |best, k| if log_parts[k] > log_parts[best] { k } else { best }),
        };
        mean.fill(0.0);
        for k in 0..log_parts.len() {
            let (means, log_sigmas) = (&means[k * dim..(k + 1) * dim], &log_sigmas[k * dim..(k + 1) * dim]);
            let columns = [means, log_sigmas, delta, unit, log_unit];
            let log_weight = log_parts[k] - log_norm;
            let weight = log_weight.exp();
            let exponent = add_component::<LANES>(columns.map(|c| &c[..whole]), weight, &mut mean[..whole], &bounded)
                + add_component::<1>(columns.map(|c| &c[whole..]), weight, &mut mean[whole..], &bounded);
            log_parts[k] = log_weight - exponent;
        }
        let component = chosen * dim..(chosen + 1) * dim;
        let (means, log_sigmas) = (&means[component.clone()], &log_sigmas[component]);
        match how.rule {
            MagnitudeRule::Mean | MagnitudeRule::Median => advance.copy_from_slice(mean),
            MagnitudeRule::Mode => advance.iter_mut().zip(means).zip(unit).for_each(|((out, mean), unit)| *out = mean * unit),
            MagnitudeRule::Sample => {
                let moments = means.iter().zip(log_sigmas).zip(unit.iter().zip(log_unit));
                advance.iter_mut().zip(moments).zip(&draw[1..]).for_each(|((out, ((mean, log_sigma), (unit, log_unit))), z)| {
                    *out = mean * unit + exp(bounded(*log_sigma) + log_unit) * (z * how.temperature);
                });
            }
        }
        0.5 * dim as f32 * LOG_2PI as f32 - log_sum_exp(log_parts.iter().copied())
    }
}

/// The component that `uniform` (0 ..= 1) falls on.
fn pick(logits: &[f32], log_norm: f32, uniform: f32) -> usize {
    let weights = logits.iter().map(|logit| (logit - log_norm).exp());
    let mut left = uniform * weights.clone().sum::<f32>();
    let chosen = weights.clone().position(|weight| {
        left -= weight;
        left < 0.0
    });
    chosen.unwrap_or(logits.len() - 1)
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
