//! Residual blocks of SEANet, as frames arrive.

use driftscope_numerics::activation::{Activation, extend_elu};
use driftscope_numerics::dense::{Dense, Windows, Workers};
use driftscope_numerics::linear::Accum;
use rayon::prelude::*;

use super::conv::{Bias, Conv, Padding, Shape, Start, bias_of, kernel_of};
use super::weights::Weights;
use crate::codec::CodecError;

/// Values of a residual block worked on at once, which stay in a core's own cache.
const TILE: usize = 1 << 14;
/// Frames below which another thread is not worth waking.
const TILE_FRAMES: usize = 16;

/// What leads around a residual block.
#[derive(Debug)]
pub(in crate::codec) enum Shortcut {
    /// The input itself.
    Identity,
    /// A product for every frame.
    Product(Dense),
}

/// `ELU(shortcut(x) + W·ELU(conv(ELU(x))))`: the residual block of SEANet (Tagliasacchi et al. 2020) and the activation that always
/// follows it.
#[derive(Debug)]
pub(in crate::codec) struct Residual {
    first: Conv,
    /// Hidden values to channels, with the biases of this product and of the shortcut.
    second: Dense,
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
            Ok((kernel_of(weights, name, [channels, input, 1])?, bias_of(weights, name, channels, Bias::Learned)?))
        };
        let (second, mut bias) = product(weights, &format!("{name}.block.3.conv"), hidden)?;
        let around = format!("{name}.shortcut.conv");
        let shortcut = if weights.has(&format!("{around}.bias")) {
            let (weight, beside) = product(weights, &around, channels)?;
            bias.iter_mut().zip(&beside).for_each(|(b, beside)| *b += beside);
            Shortcut::Product(Dense::from_rows(&weight, channels, &[], Activation::Identity))
        } else {
            Shortcut::Identity
        };
        let second = Dense::from_rows(&second, hidden, &bias, Activation::Elu);
        Ok(Self { first, second, shortcut, channels })
    }

    pub(super) fn start(&self, line: &mut Vec<f32>) -> Start {
        self.first.start(line)
    }

    pub(super) fn first(&self) -> &Conv {
        &self.first
    }

    /// Hidden values to channels.
    pub(super) fn second(&self) -> &Dense {
        &self.second
    }

    /// The product that leads around, where it is not the input itself.
    pub(super) fn shortcut(&self) -> Option<&Dense> {
        match &self.shortcut {
            Shortcut::Identity => None,
            Shortcut::Product(layer) => Some(layer),
        }
    }

    pub(super) fn reach(&self) -> usize {
        self.first.reach()
    }

    pub(super) fn output(&self) -> usize {
        self.channels
    }

    pub(super) fn n_weights(&self) -> usize {
        self.first.taps().n_weights() + self.second.n_weights()
    }

    pub(super) fn push(&self, start: &mut Start, line: &mut Vec<f32>, out: &mut Vec<f32>) {
        let channels = self.channels;
        let n = self.first.outputs(start, line);
        if n == 0 {
            return;
        }
        let from = out.len();
        out.resize(from + n * channels, 0.0);
        // As many for each thread.
        let n_tiles = n.div_ceil((TILE / channels).max(1)).next_multiple_of(rayon::current_num_threads());
        let tile = n.div_ceil(n_tiles).max(TILE_FRAMES);
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
        self.first.close(start, line);
        self.push(start, line, out);
    }

    /// As many frames as `out` takes; `x` begins with the frames before them that the first convolution sees.
    fn tile(&self, work: &mut Tile, x: &[f32], out: &mut [f32]) {
        let (channels, hidden, before) = (self.channels, self.first.output(), self.first.course().left());
        let n = out.len() / channels;
        let x = &x[..(n + before) * channels];
        work.activated.clear();
        extend_elu(&mut work.activated, x);
        work.hidden.resize(n * hidden, 0.0);
        let here = |layer: &Dense, out: &mut [f32], accumulate: Accum, values: &[f32], step: usize| {
            layer.run(out, accumulate, Windows { values, step }, Workers::Here);
        };
        here(self.first.taps(), &mut work.hidden, Accum::Replace, &work.activated, channels);
        let around = &x[before * channels..];
        match &self.shortcut {
            Shortcut::Identity => out.copy_from_slice(around),
            Shortcut::Product(layer) => here(layer, out, Accum::Replace, around, channels),
        }
        here(&self.second, out, Accum::Add, &work.hidden, hidden);
    }
}
