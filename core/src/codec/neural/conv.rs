//! Convolutions in time over channel-last frames, as they arrive.
//!
//! A layer reads from a line: the frames `[n, channels]` that it still needs, older ones first. What a causal convolution pads on the
//! left is what its line holds at the start, and what a later push needs of an earlier one simply stays in the line.

use driftscope_numerics::activation::Activation;
use driftscope_numerics::dense::{Dense, Windows, Workers};
use driftscope_numerics::linear::Accum;

use super::weights::{Weights, transposed};
use crate::codec::CodecError;

/// What stands before the first frame, and behind the last where the stride needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::codec) enum Padding {
    /// Silence.
    Zeros,
    /// The nearest frame.
    Replicate,
    /// The frames in reverse, without the nearest. The first output waits for as many frames as are mirrored.
    Reflect,
}

/// Whether a layer has a bias.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::codec) enum Bias {
    /// One value a channel.
    Learned,
    /// None.
    Absent,
}

/// Shape of a convolution.
#[derive(Clone, Copy, Debug)]
pub(in crate::codec) struct Shape {
    pub(in crate::codec) input: usize,
    pub(in crate::codec) output: usize,
    pub(in crate::codec) kernel: usize,
    pub(in crate::codec) stride: usize,
}

/// How a causal convolution goes over its line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Course {
    shape: Shape,
    padding: Padding,
}

/// What stands before and behind the frames of a line: one of them each, or silence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pad {
    pub(super) before: Vec<Option<usize>>,
    pub(super) after: Vec<Option<usize>>,
}

/// What a convolution knows besides its line: whether the padding on the left is in it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Start {
    padded: bool,
}

impl Course {
    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    /// Frames of padding on the left.
    pub(super) fn left(&self) -> usize {
        self.shape.kernel - self.shape.stride
    }

    /// The frame that stands `left - i` before the first.
    fn mirrored(&self, i: usize) -> usize {
        if self.padding == Padding::Reflect { self.left() - i } else { 0 }
    }

    /// The frame that stands `i` behind the last of `n`.
    fn continued(&self, n: usize, i: usize) -> usize {
        if self.padding == Padding::Reflect { n - 2 - i } else { n - 1 }
    }

    /// What is put around the `n` frames of a line that has not begun, once they are enough to tell.
    pub(super) fn open(&self, start: &mut Start, n: usize) -> Option<Pad> {
        let left = self.left();
        let frame = |i: usize| (self.padding != Padding::Zeros).then(|| self.mirrored(i));
        if start.padded || left > 0 && frame(0).is_some_and(|first| n <= first) {
            return None;
        }
        start.padded = true;
        Some(Pad { before: (0..left).map(frame).collect(), after: Vec::new() })
    }

    /// Output frames that a line of `n` frames is enough for.
    pub(super) fn outputs(&self, start: Start, n: usize) -> usize {
        let Shape { kernel, stride, .. } = self.shape;
        if start.padded && n >= kernel { (n - kernel) / stride + 1 } else { 0 }
    }

    /// Output frames of `n` in all, if neither what is put before them nor what behind them depends on their end.
    pub(super) fn outputs_unpadded(&self, n: usize) -> Option<usize> {
        let enough = self.padding != Padding::Reflect || n > self.left();
        (enough && n.is_multiple_of(self.shape.stride)).then_some(n / self.shape.stride)
    }

    /// What is put around the last `n` frames of a line, so that none is left over.
    pub(super) fn close(&self, start: &mut Start, n: usize) -> Option<Pad> {
        let Shape { stride, .. } = self.shape;
        let left = self.left();
        if start.padded {
            let behind = |i: usize| (self.padding != Padding::Zeros).then(|| self.continued(n, i));
            return (n > left).then(|| Pad { before: Vec::new(), after: (0..stride - (n - left)).map(behind).collect() });
        }
        if n == 0 {
            return None;
        }
        // A sound that is not longer than what is mirrored: silence is appended before mirroring and as much cut off after it, which is
        // what transformers does.
        start.padded = true;
        let extra = n.next_multiple_of(stride) - n;
        let silence = (left.max(extra) + 1).saturating_sub(n);
        let frame = |i: usize| (i < n).then_some(i);
        let before = (0..left).map(|i| frame(self.mirrored(i))).collect();
        let behind = (0..extra).map(|i| frame(self.continued(n + silence, i)));
        let after = std::iter::repeat_n(None, silence).chain(behind).take(extra).collect();
        Some(Pad { before, after })
    }
}

impl Pad {
    /// The frames of `line` `[n, channels]` with these around them.
    fn put(&self, line: &mut Vec<f32>, channels: usize) {
        let frames = |line: &[f32], which: &[Option<usize>]| -> Vec<f32> {
            let silence = vec![0.0; channels];
            let frame = |at: &Option<usize>| at.map_or(&silence[..], |at| &line[at * channels..(at + 1) * channels]).to_vec();
            which.iter().flat_map(frame).collect()
        };
        let [before, after] = [&self.before, &self.after].map(|which| frames(line, which));
        line.splice(..0, before);
        line.extend(after);
    }
}

/// A causal convolution and the activation behind it.
#[derive(Debug)]
pub(in crate::codec) struct Conv {
    /// `kernel · input` to `output`.
    taps: Dense,
    course: Course,
}

impl Conv {
    /// Takes `name.weight` (or its parts) `[output, input, kernel]` and `name.bias`.
    pub(in crate::codec) fn load(
        weights: &mut Weights,
        name: &str,
        shape: Shape,
        bias: Bias,
        padding: Padding,
        activation: Activation,
    ) -> Result<Self, CodecError> {
        let Shape { input, output, kernel, .. } = shape;
        let raw = kernel_of(weights, name, [output, input, kernel])?;
        let bias = bias_of(weights, name, output, bias)?;
        let taps = Dense::pack([kernel * input, output], &bias, activation, |i, o| raw[(o * input + i % input) * kernel + i / input]);
        Ok(Self { taps, course: Course { shape, padding } })
    }

    /// The line of a new stream.
    pub(super) fn start(&self, line: &mut Vec<f32>) -> Start {
        line.clear();
        let mut start = Start::default();
        self.open(&mut start, line);
        start
    }

    fn open(&self, start: &mut Start, line: &mut Vec<f32>) {
        let channels = self.course.shape.input;
        if let Some(pad) = self.course.open(start, line.len() / channels) {
            pad.put(line, channels);
        }
    }

    pub(super) fn course(&self) -> Course {
        self.course
    }

    /// How many frames behind a changed one change with it.
    pub(super) fn reach(&self) -> usize {
        self.course.shape.kernel - 1
    }

    pub(super) fn output(&self) -> usize {
        self.course.shape.output
    }

    /// The product of every window with the taps.
    pub(super) fn taps(&self) -> &Dense {
        &self.taps
    }

    pub(super) fn push(&self, start: &mut Start, line: &mut Vec<f32>, out: &mut Vec<f32>) {
        let Shape { input, output, stride, .. } = self.course.shape;
        let n = self.outputs(start, line);
        let from = out.len();
        out.resize(from + n * output, 0.0);
        self.taps.run(&mut out[from..], Accum::Replace, Windows { values: line, step: stride * input }, Workers::Pool);
        line.drain(..n * stride * input);
    }

    /// Output frames that the line is enough for.
    pub(super) fn outputs(&self, start: &mut Start, line: &mut Vec<f32>) -> usize {
        self.open(start, line);
        self.course.outputs(*start, line.len() / self.course.shape.input)
    }

    /// Pads what does not fill a stride, and pushes it.
    pub(super) fn finish(&self, start: &mut Start, line: &mut Vec<f32>, out: &mut Vec<f32>) {
        self.close(start, line);
        self.push(start, line, out);
    }

    pub(super) fn close(&self, start: &mut Start, line: &mut Vec<f32>) {
        let channels = self.course.shape.input;
        if let Some(pad) = self.course.close(start, line.len() / channels) {
            pad.put(line, channels);
        }
    }
}

/// A causal transposed convolution whose kernel is two strides long, and the activation behind it.
///
/// Each of its frames becomes `stride` output frames that depend on it and on the one before: one product with rows of two frames.
#[derive(Debug)]
pub(in crate::codec) struct Transposed {
    /// `2 · input`, the older frame first, to `stride · output`.
    taps: Dense,
    shape: Shape,
}

impl Transposed {
    /// Takes `name.weight` (or its parts) `[input, output, 2 · stride]` and `name.bias`.
    pub(in crate::codec) fn load(weights: &mut Weights, name: &str, shape: Shape, activation: Activation) -> Result<Self, CodecError> {
        let Shape { input, output, kernel, stride } = shape;
        let raw = kernel_of(weights, name, [input, output, kernel])?;
        let bias = bias_of(weights, name, output, Bias::Learned)?.repeat(stride);
        let taps = Dense::pack([2 * input, stride * output], &bias, activation, |i, o| {
            let age = 1 - i / input;
            raw[(i % input * output + o % output) * kernel + age * stride + o / output]
        });
        Ok(Self { taps, shape })
    }

    pub(super) fn start(&self, line: &mut Vec<f32>) {
        line.clear();
        line.resize(self.shape.input, 0.0);
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    pub(super) fn stride(&self) -> usize {
        self.shape.stride
    }

    pub(super) fn output(&self) -> usize {
        self.shape.output
    }

    pub(super) fn taps(&self) -> &Dense {
        &self.taps
    }

    pub(super) fn push(&self, line: &mut Vec<f32>, out: &mut Vec<f32>) {
        let Shape { input, output, stride, .. } = self.shape;
        let n = (line.len() / input).saturating_sub(1);
        let from = out.len();
        out.resize(from + n * stride * output, 0.0);
        self.taps.run(&mut out[from..], Accum::Replace, Windows { values: line, step: input }, Workers::Pool);
        line.drain(..n * input);
    }
}

/// A causal transposed convolution of every channel for itself, without bias; its kernel is two strides long.
#[derive(Debug)]
pub(in crate::codec) struct Upsample {
    /// `[2 · stride, channels]`.
    weight: Vec<f32>,
    channels: usize,
    stride: usize,
}

impl Upsample {
    /// Takes `name.weight` `[channels, 1, 2 · stride]`.
    pub(in crate::codec) fn load(weights: &mut Weights, name: &str, channels: usize, stride: usize) -> Result<Self, CodecError> {
        let raw = weights.take(&format!("{name}.weight"), &[channels, 1, 2 * stride])?;
        Ok(Self { weight: transposed(&raw, 2 * stride), channels, stride })
    }

    pub(super) fn start(&self, line: &mut Vec<f32>) {
        line.clear();
        line.resize(self.channels, 0.0);
    }

    /// `[2 · stride, channels]`: of the newer frame, then of the older one.
    pub(super) fn weights(&self) -> &[f32] {
        &self.weight
    }

    pub(super) fn stride(&self) -> usize {
        self.stride
    }

    pub(super) fn output(&self) -> usize {
        self.channels
    }

    pub(super) fn push(&self, line: &mut Vec<f32>, out: &mut Vec<f32>) {
        let (channels, stride) = (self.channels, self.stride);
        let n = (line.len() / channels).saturating_sub(1);
        out.reserve(n * stride * channels);
        let (now, before) = self.weight.split_at(stride * channels);
        for (older, newer) in line.chunks_exact(channels).zip(line[channels..].chunks_exact(channels)) {
            for (now, before) in now.chunks_exact(channels).zip(before.chunks_exact(channels)) {
                out.extend(older.iter().zip(newer).zip(now.iter().zip(before)).map(|((o, n), (now, before))| n * now + o * before));
            }
        }
        line.drain(..n * channels);
    }
}

pub(super) fn bias_of(weights: &mut Weights, name: &str, n: usize, bias: Bias) -> Result<Vec<f32>, CodecError> {
    match bias {
        Bias::Learned => weights.take(&format!("{name}.bias"), &[n]),
        Bias::Absent => Ok(Vec::new()),
    }
}

/// `name.weight`, or what weight normalization (Salimans, Kingma 2016) makes of `name.weight_g` and `name.weight_v`: every row of the
/// first dimension has the length that `g` says.
pub(super) fn kernel_of(weights: &mut Weights, name: &str, shape: [usize; 3]) -> Result<Vec<f32>, CodecError> {
    let direction = format!("{name}.weight_v");
    if !weights.has(&direction) {
        return weights.take(&format!("{name}.weight"), &shape);
    }
    let mut values = weights.take(&direction, &shape)?;
    let lengths = weights.take(&format!("{name}.weight_g"), &[shape[0], 1, 1])?;
    for (row, length) in values.chunks_exact_mut(shape[1] * shape[2]).zip(lengths) {
        let norm = row.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>().sqrt();
        let scale = (f64::from(length) / norm) as f32;
        row.iter_mut().for_each(|v| *v *= scale);
    }
    Ok(values)
}
