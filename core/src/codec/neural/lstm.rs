//! A stack of LSTM layers with a connection around it, as frames arrive.

use driftscope_numerics::activation::{Activation, activate, lstm_cell};
use driftscope_numerics::dense::{Dense, Windows, Workers};
use driftscope_numerics::linear::Accum;

use super::weights::Weights;
use crate::codec::CodecError;

/// The most frames that one layer works on while the layer behind it works on those before.
const BLOCK: usize = 16;

/// `activation(x + LSTM(x))`.
#[derive(Debug)]
pub(in crate::codec) struct Lstm {
    layers: Vec<Layer>,
    dim: usize,
    activation: Activation,
}

#[derive(Debug)]
struct Layer {
    /// `dim` to `4 · dim`, with both biases.
    input: Dense,
    /// `dim` to `4 · dim`.
    recurrent: Dense,
}

/// What one layer of one stream remembers.
#[derive(Clone, Debug)]
pub(in crate::codec) struct Cell {
    cell: Vec<f32>,
    hidden: Vec<f32>,
}

impl Lstm {
    /// Takes `name.{weight,bias}_{ih,hh}_l*`.
    pub(in crate::codec) fn load(
        weights: &mut Weights,
        name: &str,
        dim: usize,
        n_layers: usize,
        activation: Activation,
    ) -> Result<Self, CodecError> {
        let layer = |i: usize| -> Result<Layer, CodecError> {
            let mut bias = weights.take(&format!("{name}.bias_ih_l{i}"), &[4 * dim])?;
            let other = weights.take(&format!("{name}.bias_hh_l{i}"), &[4 * dim])?;
            bias.iter_mut().zip(other).for_each(|(b, other)| *b += other);
            let mut product = |which: &str, bias: &[f32]| -> Result<Dense, CodecError> {
                let weight = weights.take(&format!("{name}.weight_{which}_l{i}"), &[4 * dim, dim])?;
                Ok(Dense::from_rows(&weight, dim, bias, Activation::Identity))
            };
            Ok(Layer { input: product("ih", &bias)?, recurrent: product("hh", &[])? })
        };
        Ok(Self { layers: (0..n_layers).map(layer).collect::<Result<_, _>>()?, dim, activation })
    }

    pub(super) fn start(&self) -> Vec<Cell> {
        vec![Cell { cell: vec![0.0; self.dim], hidden: vec![0.0; self.dim] }; self.layers.len()]
    }

    pub(super) fn output(&self) -> usize {
        self.dim
    }

    pub(super) fn push(&self, cells: &mut [Cell], line: &mut Vec<f32>, out: &mut Vec<f32>) {
        if line.is_empty() {
            return;
        }
        let through = self.run(&self.layers, cells, line);
        let from = out.len();
        out.append(line);
        let fresh = &mut out[from..];
        fresh.iter_mut().zip(through).for_each(|(x, y)| *x += y);
        activate(fresh, &[], self.activation);
    }

    /// The layers over `x` `[n, dim]`, each on a thread of its own, a block of frames behind the one before it.
    fn run(&self, layers: &[Layer], cells: &mut [Cell], x: &[f32]) -> Vec<f32> {
        let (Some((last, before)), Some((cell, cells))) = (layers.split_last(), cells.split_last_mut()) else { return x.to_vec() };
        if before.is_empty() {
            return last.run(cell, x);
        }
        let mut out = Vec::with_capacity(x.len());
        let mut ready: Vec<f32> = Vec::new();
        let block = (x.len() / self.dim / 4).clamp(1, BLOCK);
        for block in x.chunks(block * self.dim).map(Some).chain([None]) {
            let (done, next) = rayon::join(|| last.run(cell, &ready), || block.map_or_else(Vec::new, |b| self.run(before, cells, b)));
            out.extend(done);
            ready = next;
        }
        out
    }
}

impl Layer {
    fn run(&self, state: &mut Cell, x: &[f32]) -> Vec<f32> {
        let dim = state.hidden.len();
        let mut gates = vec![0.0; x.len() * 4];
        self.input.run(&mut gates, Accum::Replace, Windows { values: x, step: dim }, Workers::Here);
        let mut out = Vec::with_capacity(x.len());
        for gates in gates.chunks_exact_mut(4 * dim) {
            self.recurrent.run(gates, Accum::Add, Windows { values: &state.hidden, step: dim }, Workers::Here);
            lstm_cell(gates, &mut state.cell, &mut state.hidden);
            out.extend_from_slice(&state.hidden);
        }
        out
    }
}
