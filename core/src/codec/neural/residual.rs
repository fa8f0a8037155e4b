//! Residual blocks of SEANet, as frames arrive.

use driftscope_numerics::activation::{Activation, activate, extend_elu};
use driftscope_numerics::linear::Accum;
use driftscope_numerics::windows::{Workers, multiply_windows};
use rayon::prelude::*;

use super::conv::{Bias, Conv, Padding, Shape, Start, bias_of, kernel_of};
use super::weights::{Weights, transposed};
use crate::codec::CodecError;

/// Values of a residual block worked on at once, which stay in a core's own cache.
const TILE: usize = 1 << 14;
/// Frames below which that is not worth it.
const TILE_FRAMES: usize = 64;

/// What leads around a residual block.
#[derive(Debug)]
pub(in crate::codec) enum Shortcut {
    /// The input itself.
    Identity,
    /// A product for every frame, `[channels, channels]`.
    Product(Vec<f32>),
}

/// `ELU(shortcut(x) + W·ELU(conv(ELU(x))))`: the residual block of SEANet (Tagliasacchi et al. 2020) and the activation that always
/// follows it.
#[derive(Debug)]
pub(in crate::codec) struct Residual {
    first: Conv,
    /// `[hidden, channels]`.
    second: Vec<f32>,
    /// Of the second product and of the shortcut together.
    bias: Vec<f32>,
    shortcut: Shortcut,
    channels: usize,
}

/// Space for one tile.
#[derive(Debug, Default)]
struct Tile {
    activated: Vec<f32>,
    hidden: Vec<f32>,
}

impl Residual {
    /// Takes `name.block.1`, `name.block.3` and, where there is one, `name.shortcut`.
    pub(in crate::codec) fn load(
        weights: &mut Weights,
        name: &str,
        channels: usize,
        hidden: usize,
        kernel: usize,
        padding: Padding,
    ) -> Result<Self, CodecError> {
        let shape = Shape { input: channels, output: hidden, kernel, stride: 1 };
        let first = Conv::load(weights, &format!("{name}.block.1.conv"), shape, Bias::Learned, padding, Activation::Elu)?;
        let product = |weights: &mut Weights, name: &str, input: usize| -> Result<(Vec<f32>, Vec<f32>), CodecError> {
            let weight = kernel_of(weights, name, [channels, input, 1])?;
            Ok((transposed(&weight, input), bias_of(weights, name, channels, Bias::Learned)?))
        };
        let (second, mut bias) = product(weights, &format!("{name}.block.3.conv"), hidden)?;
        let around = format!("{name}.shortcut.conv");
        let shortcut = if weights.has(&format!("{around}.bias")) {
            let (weight, beside) = product(weights, &around, channels)?;
            bias.iter_mut().zip(&beside).for_each(|(b, beside)| *b += beside);
            Shortcut::Product(weight)
        } else {
            Shortcut::Identity
        };
        Ok(Self { first, second, bias, shortcut, channels })
    }

    pub(super) fn start(&self, line: &mut Vec<f32>) -> Start {
        self.first.start(line)
    }

    pub(super) fn reach(&self) -> usize {
        self.first.reach()
    }

    pub(super) fn output(&self) -> usize {
        self.channels
    }

    pub(super) fn n_weights(&self) -> usize {
        self.first.weight().len() + self.second.len()
    }

    pub(super) fn push(&self, start: &mut Start, line: &mut Vec<f32>, out: &mut Vec<f32>) {
        let channels = self.channels;
        let n = self.first.outputs(start, line);
        if n == 0 {
            return;
        }
        let from = out.len();
        out.resize(from + n * channels, 0.0);
        let tile = (TILE / channels).max(TILE_FRAMES);
        let fresh = &mut out[from..];
        if n <= tile {
            self.tile(&mut Tile::default(), line, fresh);
        } else {
            let tiles = fresh.par_chunks_mut(tile * channels).enumerate();
            tiles.for_each_init(Tile::default, |work, (i, out)| self.tile(work, &line[i * tile * channels..], out));
        }
        line.drain(..n * channels);
    }

    pub(super) fn finish(&self, start: &mut Start, line: &mut Vec<f32>, out: &mut Vec<f32>) {
        self.first.pad_end(start, line);
        self.push(start, line, out);
    }

    /// As many frames as `out` takes; `x` begins with the frames before them that the first convolution sees.
    fn tile(&self, work: &mut Tile, x: &[f32], out: &mut [f32]) {
        let (channels, hidden, before) = (self.channels, self.first.output(), self.first.left());
        let n = out.len() / channels;
        let x = &x[..(n + before) * channels];
        work.activated.clear();
        extend_elu(&mut work.activated, x);
        work.hidden.resize(n * hidden, 0.0);
        multiply_windows(&mut work.hidden, Accum::Replace, &work.activated, channels, self.first.weight(), hidden, Workers::Here);
        activate(&mut work.hidden, self.first.bias(), Activation::Elu);
        let around = &x[before * channels..];
        match &self.shortcut {
            Shortcut::Identity => out.copy_from_slice(around),
            Shortcut::Product(weight) => multiply_windows(out, Accum::Replace, around, channels, weight, channels, Workers::Here),
        }
        multiply_windows(out, Accum::Add, &work.hidden, hidden, &self.second, channels, Workers::Here);
        activate(out, &self.bias, Activation::Elu);
    }
}
