//! The layers of a stack as burn's tensors, for a GPU.
//!
//! Seconds of a sound go through a layer at once, so time is the batch and no other sound is waited for. What a layer keeps between two
//! pieces is what the processor's keeps (see [`super::conv`]), so that a long sound needs no more memory than a piece of it. An LSTM
//! stays on the processor: each of its frames waits for the one before, and a GPU would be launched for every one.
//! Every piece has the same length, the last one silence behind it, and attention sees as much before the first one as before any
//! other: burn tunes a product for each of its sizes, which takes a while, so there are to be few.
//! Sums are taken in another order than on the processor, and in another for every length of a piece: what is equal there to the bit is
//! equal here to some 1e-6 of its root mean square.

use std::sync::Arc;

use burn::tensor::{Bool, Device, Int, Tensor, TensorData, activation, module};
use driftscope_numerics::activation::Activation;
use driftscope_numerics::dense::Dense;

use super::conv::{Course, Pad, Shape, Start};
use super::lstm::{Cell, Lstm};
use super::stack::{self, Stack};
use super::transformer::{self, TransformerConfig};
use crate::engine::host_values;

/// Queries of a transformer that are worked on at once: each meets the keys of all.
const BLOCK: usize = 1024;

/// A stack on a device.
#[derive(Debug)]
pub(super) struct Layers {
    layers: Vec<Layer>,
    /// Values of a frame that goes in, and of one that comes out.
    sizes: [usize; 2],
    /// Frames that go in at once.
    n_at_once: usize,
    device: Device,
}

/// `activation(rows · weights + bias)`.
#[derive(Debug)]
struct Product {
    /// `[n_in, n_out]`.
    weights: Tensor<2>,
    /// `[1, n_out]`.
    bias: Tensor<2>,
    activation: Activation,
}

#[derive(Debug)]
enum Layer {
    Conv(Product, Course),
    /// Two frames to `stride`.
    Transposed(Product, Shape),
    Residual(Box<Residual>),
    Upsample(Upsample),
    Transformer(Box<Transformer>),
    Lstm(Arc<Lstm>),
}

#[derive(Debug)]
struct Residual {
    first: Product,
    course: Course,
    second: Product,
    shortcut: Option<Product>,
}

#[derive(Debug)]
struct Upsample {
    /// Of the newer frame and of the older one, `[1, stride, channels]`.
    weights: [Tensor<3>; 2],
    stride: usize,
}

#[derive(Debug)]
struct Transformer {
    config: TransformerConfig,
    frequencies: Vec<f32>,
    layers: Vec<TransformerLayer>,
}

#[derive(Debug)]
struct TransformerLayer {
    attention_norm: [Tensor<1>; 2],
    qkv: Product,
    out: Product,
    feedforward_norm: [Tensor<1>; 2],
    up: Product,
    down: Product,
}

/// One stream through a stack on a device.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    layers: Arc<Layers>,
    states: Vec<State>,
    /// What is not enough for a piece yet.
    waiting: Vec<f32>,
    /// Values that went in, and that came out.
    n_values: [usize; 2],
}

/// What a layer keeps of one stream.
#[derive(Clone, Debug)]
struct State {
    /// Frames that are still needed, `[n, channels]`.
    line: Option<Tensor<2>>,
    start: Start,
    /// Of the first frame, and of the next one.
    positions: [usize; 2],
    /// Keys and values that each layer of a transformer may still see, `[heads, context - 1, dim of a head]`.
    seen: Vec<[Tensor<3>; 2]>,
    cells: Vec<Cell>,
}

impl Layers {
    /// A copy of `stack` on `device`, through which `n_at_once` frames go at once.
    pub(super) fn new(stack: &Stack, n_at_once: usize, device: &Device) -> Self {
        let layers = stack.layers().map(|layer| Layer::new(layer, device)).collect();
        Self { layers, sizes: [stack.input(), stack.output()], n_at_once, device: device.clone() }
    }

    /// Frames that go in at once.
    pub(super) fn n_at_once(&self) -> usize {
        self.n_at_once
    }

    /// A stream that begins with frame `first`.
    pub(super) fn start(self: &Arc<Self>, stack: &Stack, first: usize) -> Flow {
        let mut position = first;
        let start = |(layer, on_host): (&Layer, &stack::Layer)| {
            let state = layer.start(position, &self.device);
            position *= on_host.stretch();
            state
        };
        let states = self.layers.iter().zip(stack.layers()).map(start).collect();
        Flow { states, layers: Arc::clone(self), waiting: Vec::new(), n_values: [0; 2] }
    }
}

impl Flow {
    /// More frames `[n, input]`; appends to `out` what comes of whole pieces.
    pub(super) fn push(&mut self, frames: &[f32], out: &mut Vec<f32>) {
        self.n_values[0] += frames.len();
        self.waiting.extend(frames);
        let piece = self.layers.n_at_once * self.layers.sizes[0];
        while self.waiting.len() >= piece {
            let rest = self.waiting.split_off(piece);
            self.piece(out);
            self.waiting = rest;
        }
    }

    /// Through all layers with what waits.
    fn piece(&mut self, out: &mut Vec<f32>) {
        let Layers { layers, sizes, device, .. } = &*self.layers;
        let given = matrix(&std::mem::take(&mut self.waiting), sizes[0], device);
        if let Some(given) = layers.iter().zip(&mut self.states).try_fold(given, |given, (layer, state)| layer.push(state, Some(given))) {
            self.n_values[1] += given.shape().num_elements();
            out.extend(host_values(given));
        }
    }

    /// The rest, padded layer by layer where that tells.
    pub(super) fn finish(&mut self, stack: &Stack, out: &mut Vec<f32>) {
        let of = Arc::clone(&self.layers);
        let Layers { layers, sizes: [n_in, n_out], n_at_once, device } = &*of;
        let waiting = std::mem::take(&mut self.waiting);
        if let Some(n) = stack.outputs_unpadded(self.n_values[0] / n_in) {
            // What follows changes nothing before it.
            let missing = n * n_out - self.n_values[1];
            self.waiting = waiting;
            let end = out.len() + missing;
            while out.len() < end {
                self.waiting.resize(n_at_once * n_in, 0.0);
                self.piece(out);
            }
            return out.truncate(end);
        }
        let given = (!waiting.is_empty()).then(|| matrix(&waiting, *n_in, device));
        let step = |given: Option<Tensor<2>>, (layer, state): (&Layer, &mut State)| {
            let more = layer.push(state, given);
            joined(more, layer.finish(state))
        };
        if let Some(given) = layers.iter().zip(&mut self.states).fold(given, step) {
            out.extend(host_values(given));
        }
    }
}

impl Product {
    fn new(layer: &Dense, device: &Device) -> Self {
        let [weights, bias] = [&layer.weights(), layer.bias()].map(|values| matrix(values, layer.n_out(), device));
        Self { weights, bias, activation: layer.activation() }
    }

    /// Of `rows` `[n, n_in]`.
    fn of(&self, rows: Tensor<2>) -> Tensor<2> {
        self.activate(rows.matmul(self.weights.clone()))
    }

    /// The same of what is added to `sum`.
    fn added(&self, sum: Tensor<2>, rows: Tensor<2>) -> Tensor<2> {
        self.activate(sum + rows.matmul(self.weights.clone()))
    }

    fn activate(&self, sums: Tensor<2>) -> Tensor<2> {
        let sums = sums + self.bias.clone();
        match self.activation {
            Activation::Identity => sums,
            Activation::Elu => activation::elu(sums, 1.0),
            Activation::Gelu => activation::gelu(sums),
            Activation::GeluTanh => activation::gelu_approximate(sums),
        }
    }
}

impl Layer {
    fn new(layer: &stack::Layer, device: &Device) -> Self {
        match layer {
            stack::Layer::Conv(conv) => Self::Conv(Product::new(conv.taps(), device), conv.course()),
            stack::Layer::Transposed(conv) => Self::Transposed(Product::new(conv.taps(), device), conv.shape()),
            stack::Layer::Residual(block) => Self::Residual(Box::new(Residual {
                first: Product::new(block.first().taps(), device),
                course: block.first().course(),
                second: Product::new(block.second(), device),
                shortcut: block.shortcut().map(|layer| Product::new(layer, device)),
            })),
            stack::Layer::Upsample(conv) => {
                let (now, before) = conv.weights().split_at(conv.weights().len() / 2);
                let weights = [now, before].map(|part| matrix(part, conv.output(), device).unsqueeze_dim(0));
                Self::Upsample(Upsample { weights, stride: conv.stride() })
            }
            stack::Layer::Transformer(transformer) => Self::Transformer(Box::new(Transformer {
                config: transformer.config(),
                frequencies: transformer.frequencies().to_vec(),
                layers: transformer.layers().iter().map(|layer| TransformerLayer::new(layer, device)).collect(),
            })),
            stack::Layer::Lstm(lstm) => Self::Lstm(Arc::clone(lstm)),
        }
    }

    fn start(&self, position: usize, device: &Device) -> State {
        let mut state = State { line: None, start: Start::default(), positions: [position; 2], seen: Vec::new(), cells: Vec::new() };
        match self {
            // What stands before the first of two frames.
            Self::Transposed(_, Shape { input: channels, .. }) => state.line = Some(Tensor::zeros([1, *channels], device)),
            Self::Upsample(conv) => state.line = Some(Tensor::zeros([1, conv.weights[0].dims()[2]], device)),
            Self::Transformer(transformer) => {
                let TransformerConfig { dim, n_heads, context, .. } = transformer.config;
                let nothing = || Tensor::zeros([n_heads, context - 1, dim / n_heads], device);
                state.seen = transformer.layers.iter().map(|_| [nothing(), nothing()]).collect();
            }
            Self::Lstm(lstm) => state.cells = lstm.start(),
            Self::Conv(..) | Self::Residual(_) => {}
        }
        state
    }

    /// What comes of the line with `given` behind it.
    fn push(&self, state: &mut State, given: Option<Tensor<2>>) -> Option<Tensor<2>> {
        state.line = joined(state.line.take(), given);
        match self {
            Self::Conv(taps, course) => {
                let (line, n) = state.open(*course)?;
                let Shape { kernel, stride, .. } = course.shape();
                state.keep_from(n * stride);
                Some(taps.of(windows(line, n, kernel, stride)))
            }
            Self::Residual(block) => {
                let (line, n) = state.open(block.course)?;
                state.keep_from(n);
                Some(block.of(line, n))
            }
            Self::Transposed(taps, Shape { stride, output, .. }) => {
                let (line, n) = state.pairs()?;
                Some(taps.of(windows(line, n, 2, 1)).reshape([n * stride, *output]))
            }
            Self::Upsample(conv) => {
                let (line, n) = state.pairs()?;
                let [newer, older] = [1, 0].map(|from| line.clone().narrow(0, from, n).unsqueeze_dim::<3>(1));
                let [now, before] = conv.weights.clone();
                let channels = line.dims()[1];
                Some((newer * now + older * before).reshape([n * conv.stride, channels]))
            }
            Self::Transformer(transformer) => {
                let blocks = state.line.take()?.split(BLOCK, 0).into_iter().map(|block| transformer.push(state, block));
                Some(Tensor::cat(blocks.collect(), 0))
            }
            Self::Lstm(lstm) => {
                let line = state.line.take()?;
                let ([_, channels], device) = (line.dims(), line.device());
                let mut out = Vec::new();
                lstm.push(&mut state.cells, &mut host_values(line), &mut out);
                Some(matrix(&out, channels, &device))
            }
        }
    }

    /// What comes of the padded rest of the line.
    fn finish(&self, state: &mut State) -> Option<Tensor<2>> {
        let course = match self {
            Self::Conv(_, course) => *course,
            Self::Residual(block) => block.course,
            _ => return None,
        };
        let line = state.line.take()?;
        state.line = Some(match course.close(&mut state.start, line.dims()[0]) {
            Some(pad) => padded(line, &pad),
            None => line,
        });
        self.push(state, None)
    }
}

impl State {
    /// The line, padded once that can be, and the outputs that it is enough for; `None` where there are none.
    fn open(&mut self, course: Course) -> Option<(Tensor<2>, usize)> {
        let line = self.line.take()?;
        let line = match course.open(&mut self.start, line.dims()[0]) {
            Some(pad) => padded(line, &pad),
            None => line,
        };
        self.line = Some(line.clone());
        let n = course.outputs(self.start, line.dims()[0]);
        (n > 0).then_some((line, n))
    }

    /// The line and how often two frames follow each other in it; the last one stays.
    fn pairs(&mut self) -> Option<(Tensor<2>, usize)> {
        let line = self.line.clone()?;
        let n = line.dims()[0] - 1;
        self.keep_from(n);
        (n > 0).then_some((line, n))
    }

    /// Drops the first `n` frames of the line.
    fn keep_from(&mut self, n: usize) {
        self.line = self.line.take().and_then(|line| rest(line, n));
    }
}

impl Residual {
    fn of(&self, line: Tensor<2>, n: usize) -> Tensor<2> {
        let around = line.clone().narrow(0, self.course.left(), n);
        let activated = activation::elu(line, 1.0);
        let hidden = self.first.of(windows(activated, n, self.course.shape().kernel, 1));
        let around = match &self.shortcut {
            Some(shortcut) => shortcut.of(around),
            None => around,
        };
        self.second.added(around, hidden)
    }
}

impl TransformerLayer {
    fn new(layer: &transformer::Layer, device: &Device) -> Self {
        let norm = |norm: &[Vec<f32>; 2]| norm.each_ref().map(|values| vector(values, device));
        let product = |layer: &Dense| Product::new(layer, device);
        let transformer::Layer { attention_norm, qkv, out, feedforward_norm, up, down } = layer;
        Self {
            attention_norm: norm(attention_norm),
            qkv: product(qkv),
            out: product(out),
            feedforward_norm: norm(feedforward_norm),
            up: product(up),
            down: product(down),
        }
    }
}

impl Transformer {
    fn push(&self, state: &mut State, mut x: Tensor<2>) -> Tensor<2> {
        let TransformerConfig { dim, n_heads, context, norm_epsilon, .. } = self.config;
        let ([n, _], device) = (x.dims(), x.device());
        let turns = self.turns(state.positions[1], n, &device);
        let hidden = self.hidden(state.positions, n, &device);
        let normed = |x: &Tensor<2>, [scale, shift]: &[Tensor<1>; 2]| {
            module::layer_norm(x.clone(), scale.clone(), Some(shift.clone()), f64::from(norm_epsilon))
        };
        for (layer, seen) in self.layers.iter().zip(&mut state.seen) {
            let qkv = layer.qkv.of(normed(&x, &layer.attention_norm)).reshape([n, 3, n_heads, dim / n_heads]);
            // [heads, n, dim of a head]
            let part = |part: usize| qkv.clone().narrow(1, part, 1).squeeze_dim::<3>(1).swap_dims(0, 1);
            let (queries, new) = (turned(part(0), &turns), [turned(part(1), &turns), part(2)]);
            let [keys, values] = std::array::from_fn(|i| Tensor::cat(vec![seen[i].clone(), new[i].clone()], 1));
            *seen = [&keys, &values].map(|all| all.clone().narrow(1, n, context - 1));
            let scores = queries.matmul(keys.swap_dims(1, 2)).mask_fill(hidden.clone(), f32::NEG_INFINITY);
            let mixed = activation::softmax(scores, 2).matmul(values);
            x = layer.out.added(x, mixed.swap_dims(0, 1).reshape([n, dim]));
            let wide = layer.up.of(normed(&x, &layer.feedforward_norm));
            x = layer.down.added(x, wide);
        }
        state.positions[1] += n;
        x
    }

    /// Cosines and sines `[1, n, half a head]`, as the processor computes them.
    fn turns(&self, position: usize, n: usize, device: &Device) -> [Tensor<3>; 2] {
        let angles = || (position..position + n).flat_map(|t| self.frequencies.iter().map(move |f| t as f32 * f));
        let tensor = |values: Vec<f32>| matrix(&values, self.frequencies.len(), device).unsqueeze_dim(0);
        [tensor(angles().map(f32::cos).collect()), tensor(angles().map(f32::sin).collect())]
    }

    /// What each of the next `n` queries does not see of `context - 1` keys before them and theirs, `[heads, n, context - 1 + n]`.
    fn hidden(&self, [first, next]: [usize; 2], n: usize, device: &Device) -> Tensor<3, Bool> {
        let TransformerConfig { n_heads, context, .. } = self.config;
        let n_keys = context - 1 + n;
        // Counted from the oldest key.
        let (context, n_queries) = (context as i64, n as i64);
        let queries = Tensor::<1, Int>::arange(context - 1..context - 1 + n_queries, device).reshape([1, n, 1]);
        let keys = Tensor::<1, Int>::arange(0..n_keys as i64, device).reshape([1, 1, n_keys]);
        let keys = keys.expand([n_heads, n, n_keys]);
        let age = queries.expand([n_heads, n, n_keys]) - keys.clone();
        let begun = context - 1 - (next - first) as i64;
        age.clone().lower_elem(0).bool_or(age.greater_equal_elem(context)).bool_or(keys.lower_elem(begun))
    }
}

/// Turns each dimension of the first half with that of the second.
fn turned(x: Tensor<3>, [cos, sin]: &[Tensor<3>; 2]) -> Tensor<3> {
    let half = cos.dims()[2];
    let [real, imaginary] = [0, half].map(|from| x.clone().narrow(2, from, half));
    let [cos, sin] = [cos.clone(), sin.clone()];
    let turned = [real.clone() * cos.clone() - imaginary.clone() * sin.clone(), imaginary * cos + real * sin];
    Tensor::cat(turned.to_vec(), 2)
}

/// The first `n` windows of `kernel` frames, `stride` apart: `[n, kernel · channels]`.
fn windows(line: Tensor<2>, n: usize, kernel: usize, stride: usize) -> Tensor<2> {
    let [_, channels] = line.dims();
    let line = line.narrow(0, 0, (n - 1) * stride + kernel);
    if kernel == 1 && stride == 1 {
        return line;
    }
    line.unfold::<3, _>(0, kernel, stride).swap_dims(1, 2).reshape([n, kernel * channels])
}

fn padded(line: Tensor<2>, pad: &Pad) -> Tensor<2> {
    let ([n, channels], device) = (line.dims(), line.device());
    let with_silence = Tensor::cat(vec![line.clone(), Tensor::zeros([1, channels], &device)], 0);
    let frames = |which: &[Option<usize>]| -> Option<Tensor<2>> {
        let at: Vec<i64> = which.iter().map(|frame| frame.unwrap_or(n) as i64).collect();
        let n = at.len();
        let at = || Tensor::<1, Int>::from_data(TensorData::new(at.clone(), [n]), &device);
        (n > 0).then(|| with_silence.clone().select(0, at()))
    };
    let around = [frames(&pad.before), Some(line), frames(&pad.after)];
    Tensor::cat(around.into_iter().flatten().collect(), 0)
}

/// Frames after `n`; `None` where there are none.
fn rest(line: Tensor<2>, n: usize) -> Option<Tensor<2>> {
    let [all, _] = line.dims();
    (all > n).then(|| line.narrow(0, n, all - n))
}

fn joined(before: Option<Tensor<2>>, behind: Option<Tensor<2>>) -> Option<Tensor<2>> {
    match (before, behind) {
        (Some(before), Some(behind)) => Some(Tensor::cat(vec![before, behind], 0)),
        (before, behind) => before.or(behind),
    }
}

fn matrix(values: &[f32], n_columns: usize, device: &Device) -> Tensor<2> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len() / n_columns, n_columns]), device)
}

fn vector(values: &[f32], device: &Device) -> Tensor<1> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}
