//! Layers one after another, as frames arrive.
//!
//! Between two layers lies a line: the second layer's input. Whole sounds are pushed through in pieces as well, so memory is bounded and
//! whatever is true of a whole is true of a stream. Layers at the rate of the sound work on short pieces, which stay in the caches;
//! layers near the latents on all there is, because each piece costs them a reading of their weights.

use std::ops::Range;
use std::sync::Arc;

use super::StageOutput;
use super::conv::{Conv, Start, Transposed, Upsample};
use super::lstm::{Cell, Lstm};
use super::residual::Residual;
use super::tensors;
use super::transformer::{Memory, Transformer};

/// Samples that go through light layers at once.
const PIECE: usize = 1 << 12;
/// Weights of a layer that are read again for each piece without being noticed.
const LIGHT: usize = 1 << 19;

/// One layer.
#[derive(Debug)]
pub(in crate::codec) enum Layer {
    Conv(Conv),
    Transposed(Transposed),
    Upsample(Upsample),
    Residual(Residual),
    Transformer(Transformer),
    Lstm(Arc<Lstm>),
}

/// What a layer keeps of one stream, besides its line.
#[derive(Clone, Debug)]
enum State {
    Start(Start),
    Line,
    Transformer(Memory),
    Lstm(Vec<Cell>),
}

/// Layers by name.
#[derive(Debug)]
pub(in crate::codec) struct Stack {
    /// Values of one frame that goes in.
    input: usize,
    layers: Vec<(String, Layer)>,
}

/// One stream through a stack.
#[derive(Clone, Debug)]
pub(super) enum Flow {
    /// On the processor.
    Here(Lines),
    /// On a device.
    There(tensors::Flow),
}

/// What lies between the layers, and in them.
#[derive(Clone, Debug)]
pub(super) struct Lines {
    states: Vec<State>,
    /// The input of each layer.
    lines: Vec<Vec<f32>>,
}

impl Stack {
    pub(in crate::codec) fn new(input: usize) -> Self {
        Self { input, layers: Vec::new() }
    }

    pub(in crate::codec) fn add(&mut self, name: impl Into<String>, layer: Layer) {
        self.layers.push((name.into(), layer));
    }

    pub(in crate::codec) fn append(&mut self, other: Self) {
        self.layers.extend(other.layers);
    }

    pub(super) fn layers(&self) -> impl Iterator<Item = &Layer> {
        self.layers.iter().map(|(_, layer)| layer)
    }

    /// Values of one frame that goes in.
    pub(super) fn input(&self) -> usize {
        self.input
    }

    /// Values of one frame that comes out.
    pub(super) fn output(&self) -> usize {
        self.layers.last().map_or(self.input, |(_, layer)| layer.output())
    }

    /// Frames that come of `n`, if none of their values depends on how the end is padded.
    pub(super) fn outputs_unpadded(&self, n: usize) -> Option<usize> {
        self.layers().try_fold(n, |n, layer| match layer {
            Layer::Conv(conv) => conv.course().outputs_unpadded(n),
            Layer::Residual(block) => block.first().course().outputs_unpadded(n),
            Layer::Transposed(_) | Layer::Upsample(_) | Layer::Transformer(_) | Layer::Lstm(_) => Some(n * layer.stretch()),
        })
    }

    /// Outputs behind the first one touched by a frame that may change with it; `usize::MAX` where that never ends.
    pub(super) fn reach(&self) -> usize {
        Self::reach_of(&self.layers)
    }

    /// The same of what the last layer with a long memory gives.
    pub(super) fn reach_behind_memory(&self) -> usize {
        Self::reach_of(&self.layers[self.n_to_memory()..])
    }

    /// Layers up to the last one with a long memory.
    fn n_to_memory(&self) -> usize {
        let remembers = |(_, layer): &(String, Layer)| matches!(layer, Layer::Transformer(_) | Layer::Lstm(_));
        self.layers.iter().rposition(remembers).map_or(0, |last| last + 1)
    }

    fn reach_of(layers: &[(String, Layer)]) -> usize {
        layers.iter().fold(0, |reach, (_, layer)| match layer {
            Layer::Conv(conv) => reach.saturating_add(conv.reach()),
            Layer::Residual(block) => reach.saturating_add(block.reach()),
            Layer::Transposed(conv) => reach.saturating_mul(conv.stride()).saturating_add(2 * conv.stride() - 1),
            Layer::Upsample(conv) => reach.saturating_mul(conv.stride()).saturating_add(2 * conv.stride() - 1),
            Layer::Transformer(layers) => reach.saturating_add(layers.reach()),
            Layer::Lstm(_) => usize::MAX,
        })
    }

    /// A stream that begins with frame `first`: positions are turned by the angles of the whole.
    pub(super) fn start(&self, first: usize) -> Flow {
        let mut lines = vec![Vec::new(); self.layers.len()];
        let mut position = first;
        let start = |((_, layer), line): (&(String, Layer), &mut Vec<f32>)| {
            let state = layer.start(line, position);
            position *= layer.stretch();
            state
        };
        let states = self.layers.iter().zip(&mut lines).map(start).collect();
        Flow::Here(Lines { states, lines })
    }

    /// The same on a device that has these layers.
    pub(super) fn start_on(&self, layers: &Arc<tensors::Layers>, first: usize) -> Flow {
        Flow::There(layers.start(self, first))
    }

    /// More frames `[n, input]`; appends to `out` what comes of them.
    pub(super) fn push(&self, flow: &mut Flow, frames: &[f32], out: &mut Vec<f32>) {
        match flow {
            // On one of the threads that share the products: from elsewhere each of them would wait for a thread to wake.
            Flow::Here(flow) => rayon::scope(|_| self.push_here(flow, frames, out)),
            Flow::There(flow) => flow.push(frames, out),
        }
    }

    fn push_here(&self, flow: &mut Lines, frames: &[f32], out: &mut Vec<f32>) {
        let light = self.light();
        let mut between = Vec::new();
        let frames = if light.start == 0 {
            frames
        } else {
            flow.lines[0].extend_from_slice(frames);
            (0..light.start - 1).for_each(|i| self.step(i, flow, out));
            let last = light.start - 1;
            self.layers[last].1.push(&mut flow.states[last], &mut flow.lines[last], &mut between);
            &between
        };
        let (channels, samples) = self.layers[..light.start].last().map_or((self.input, 1), |(_, layer)| {
            let stretch: usize = self.layers[light.clone()].iter().map(|(_, layer)| layer.stretch()).product();
            (layer.output(), stretch)
        });
        for piece in frames.chunks((PIECE / samples).max(1) * channels) {
            flow.lines[light.start].extend_from_slice(piece);
            light.clone().for_each(|i| self.step(i, flow, out));
        }
        (light.end..self.layers.len()).for_each(|i| self.step(i, flow, out));
    }

    /// More frames `[n, input]`, of which nothing is wanted but what later ones need of them: the layers behind the last long memory, which
    /// are most of the work, begin after them.
    pub(super) fn remember(&self, flow: &mut Flow, frames: &[f32]) {
        let n = self.n_to_memory();
        if n == 0 {
            return;
        }
        let Flow::Here(flow) = flow else { unreachable!("a device runs through everything") };
        rayon::scope(|_| {
            flow.lines[0].extend_from_slice(frames);
            let mut unwanted = Vec::new();
            (0..n - 1).for_each(|i| self.step(i, flow, &mut unwanted));
            self.layers[n - 1].1.push(&mut flow.states[n - 1], &mut flow.lines[n - 1], &mut unwanted);
        });
    }

    /// The layers at the end of the sound that have few weights; at least one.
    fn light(&self) -> Range<usize> {
        let is_light = |(_, layer): &(String, Layer)| layer.n_weights() <= LIGHT;
        let n = self.layers.len();
        let leading = self.layers.iter().take_while(|layer| is_light(layer)).count();
        if self.input == 1 {
            return 0..leading.max(1);
        }
        n - self.layers.iter().rev().take_while(|layer| is_light(layer)).count().max(1)..n
    }

    fn step(&self, i: usize, flow: &mut Lines, out: &mut Vec<f32>) {
        let (line, rest) = flow.lines[i..].split_first_mut().expect("a line for every layer");
        self.layers[i].1.push(&mut flow.states[i], line, rest.first_mut().unwrap_or(out));
    }

    /// Pads and flushes layer after layer.
    pub(super) fn finish(&self, flow: &mut Flow, out: &mut Vec<f32>) {
        let flow = match flow {
            Flow::Here(flow) => flow,
            Flow::There(flow) => return flow.finish(self, out),
        };
        for i in 0..self.layers.len() {
            self.step(i, flow, out);
            let (line, rest) = flow.lines[i..].split_first_mut().expect("a line for every layer");
            self.layers[i].1.finish(&mut flow.states[i], line, rest.first_mut().unwrap_or(out));
        }
    }

    /// What every layer makes of a whole, by name, with the values of one of its frames.
    pub(super) fn stages(&self, frames: &[f32]) -> Vec<StageOutput> {
        let mut input = frames.to_vec();
        let run = |(name, layer): &(String, Layer)| {
            let (mut line, mut out) = (Vec::new(), Vec::new());
            let mut state = layer.start(&mut line, 0);
            line.append(&mut input);
            layer.push(&mut state, &mut line, &mut out);
            layer.finish(&mut state, &mut line, &mut out);
            input.clone_from(&out);
            StageOutput { name: name.clone(), dim: layer.output(), values: out }
        };
        self.layers.iter().map(run).collect()
    }
}

impl Layer {
    /// Output frames per input frame where these are more.
    pub(super) fn stretch(&self) -> usize {
        match self {
            Self::Transposed(layer) => layer.stride(),
            Self::Upsample(layer) => layer.stride(),
            _ => 1,
        }
    }

    /// Weights that each push reads; of layers that are never light, many.
    fn n_weights(&self) -> usize {
        match self {
            Self::Conv(layer) => layer.taps().n_weights(),
            Self::Transposed(layer) => layer.taps().n_weights(),
            Self::Residual(layer) => layer.n_weights(),
            Self::Upsample(_) | Self::Transformer(_) | Self::Lstm(_) => usize::MAX,
        }
    }

    fn output(&self) -> usize {
        match self {
            Self::Conv(layer) => layer.output(),
            Self::Transposed(layer) => layer.output(),
            Self::Upsample(layer) => layer.output(),
            Self::Residual(layer) => layer.output(),
            Self::Transformer(layer) => layer.output(),
            Self::Lstm(layer) => layer.output(),
        }
    }

    fn start(&self, line: &mut Vec<f32>, position: usize) -> State {
        match self {
            Self::Conv(layer) => return State::Start(layer.start(line)),
            Self::Residual(layer) => return State::Start(layer.start(line)),
            Self::Transformer(layer) => return State::Transformer(layer.start(position)),
            Self::Lstm(layer) => return State::Lstm(layer.start()),
            Self::Transposed(layer) => layer.start(line),
            Self::Upsample(layer) => layer.start(line),
        }
        State::Line
    }

    fn push(&self, state: &mut State, line: &mut Vec<f32>, out: &mut Vec<f32>) {
        match (self, state) {
            (Self::Conv(layer), State::Start(start)) => layer.push(start, line, out),
            (Self::Residual(layer), State::Start(start)) => layer.push(start, line, out),
            (Self::Transformer(layer), State::Transformer(memory)) => layer.push(memory, line, out),
            (Self::Lstm(layer), State::Lstm(cells)) => layer.push(cells, line, out),
            (Self::Transposed(layer), _) => layer.push(line, out),
            (Self::Upsample(layer), _) => layer.push(line, out),
            _ => unreachable!("a state is made by its layer"),
        }
    }

    fn finish(&self, state: &mut State, line: &mut Vec<f32>, out: &mut Vec<f32>) {
        match (self, state) {
            (Self::Conv(layer), State::Start(start)) => layer.finish(start, line, out),
            (Self::Residual(layer), State::Start(start)) => layer.finish(start, line, out),
            _ => {}
        }
    }
}
