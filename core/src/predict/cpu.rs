//! Forward passes on the CPU, past burn's tensors: weights packed once, rows through reused buffers.
//!
//! What a rollout asks of a mixture (−ln p of one Δ, the mean) is 513 numbers a row; the heads it follows from are 8192. As tensor
//! operations those are written, read and copied some ten times by one core: of the full-size injection's 1.76 s that was a third.
//! Here each block of rows goes through [`Dense`] layers and a single sweep over the heads on all cores, in memory that is kept for
//! the next call: an answer allocates nothing. The price is a second copy of the weights. `network` and `prediction` are the same
//! formulas as tensors, for training and for other devices.

mod answers;
mod mixture;

use std::sync::Mutex;

use burn::nn::Linear;
use burn::tensor::{Tensor, TensorData};
use driftscope_numerics::activation::Activation;
use driftscope_numerics::dense::Dense;
use rayon::prelude::*;

use mixture::MixtureRow;

use super::MagnitudeRule;
use super::linear::Ridge;
use super::network::{Bound, Scaling};
use crate::engine::compute::{VonMisesFisherHead, von_mises_fisher};
use crate::engine::{HostTensor, host_values};

pub(super) use answers::Matrices;
pub(crate) use answers::{Advance, Answers, Rows};

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
