//! Causal transformers with a window, as frames arrive (Vaswani et al. 2017; rotary positions after Su et al. 2021).
//!
//! Pre-norm layers without biases in their products and with a learned scale per channel on what they add. Keys and values of the window
//! are kept, and longer than it by the block of queries that is worked on: the oldest key is there for the first query of a block too.

use driftscope_numerics::activation::{Activation, activate, layer_norm, softmax};
use driftscope_numerics::linear::{Accum, MatMut, MatRef};
use driftscope_numerics::windows::{Workers, multiply, multiply_windows};
use rayon::prelude::*;

use super::config::Found;
use super::weights::{Weights, transposed};
use crate::codec::CodecError;

/// Queries worked on at once: long enough for the products, short enough that little of what the window hides is computed.
const BLOCK: usize = 128;

/// Sizes of a transformer.
#[derive(Clone, Copy, Debug)]
pub(in crate::codec) struct TransformerConfig {
    pub(in crate::codec) dim: usize,
    pub(in crate::codec) n_heads: usize,
    pub(in crate::codec) n_layers: usize,
    pub(in crate::codec) feedforward: usize,
    /// Frames that a frame sees, itself among them.
    pub(in crate::codec) context: usize,
    pub(in crate::codec) rope_theta: f32,
    pub(in crate::codec) norm_epsilon: f32,
    pub(in crate::codec) gelu: Activation,
}

impl TransformerConfig {
    /// One sentence where the sizes make no network.
    pub(in crate::codec) fn check<T>(&self, found: &Found<T>) -> Result<(), CodecError> {
        let heads = self.n_heads > 0 && self.dim.is_multiple_of(2 * self.n_heads) && self.dim > 0;
        found.require(heads, || format!("{} dimensions cannot be shared among {} heads in pairs", self.dim, self.n_heads))?;
        let sizes = self.n_layers > 0 && self.feedforward > 0 && self.context > 0;
        found.require(sizes, || "a transformer needs layers, a feedforward size and a context".to_owned())
    }
}

/// Layers and the frequencies of their positions.
#[derive(Debug)]
pub(in crate::codec) struct Transformer {
    config: TransformerConfig,
    layers: Vec<Layer>,
    /// Radians per frame, `[head_dim / 2]`.
    frequencies: Vec<f32>,
}

#[derive(Debug)]
struct Layer {
    attention_norm: [Vec<f32>; 2],
    /// `[dim, 3 · dim]`: queries (already divided by √head_dim), keys, values.
    qkv: Vec<f32>,
    /// `[dim, dim]`, times the layer's scale.
    out: Vec<f32>,
    feedforward_norm: [Vec<f32>; 2],
    /// `[dim, feedforward]`.
    up: Vec<f32>,
    /// `[feedforward, dim]`, times the layer's scale.
    down: Vec<f32>,
}

/// What one stream keeps.
#[derive(Clone, Debug)]
pub(in crate::codec) struct Memory {
    /// Frames that went through.
    position: usize,
    layers: Vec<KeysValues>,
    work: Work,
}

/// Rows `first..` of both are the window's.
#[derive(Clone, Debug, Default)]
struct KeysValues {
    keys: Vec<f32>,
    values: Vec<f32>,
    first: usize,
}

/// Space for one block.
#[derive(Clone, Debug, Default)]
struct Work {
    normed: Vec<f32>,
    qkv: Vec<f32>,
    scores: Vec<f32>,
    mixed: Vec<f32>,
    wide: Vec<f32>,
    turns: Vec<[f32; 2]>,
}

/// Which dimensions of a head are turned together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pairing {
    /// `i` and `i + head_dim / 2`, as transformers does it and as it is computed here.
    Halves,
    /// `2i` and `2i + 1`, as moshi and pocket-tts do it.
    Neighbors,
}

impl Transformer {
    /// Takes `name.layers.*`. Files with one matrix for queries, keys and values turn neighboring dimensions, files with three turn halves.
    pub(in crate::codec) fn load(weights: &mut Weights, name: &str, config: TransformerConfig) -> Result<Self, CodecError> {
        let pairing = if weights.has(&format!("{name}.layers.0.self_attn.in_proj.weight")) { Pairing::Neighbors } else { Pairing::Halves };
        let layers = (0..config.n_layers).map(|i| Layer::load(weights, &format!("{name}.layers.{i}"), config, pairing));
        let head_dim = config.dim / config.n_heads;
        Ok(Self { config, layers: layers.collect::<Result<_, _>>()?, frequencies: frequencies(config.rope_theta, head_dim, pairing) })
    }

    pub(super) fn start(&self) -> Memory {
        Memory { position: 0, layers: vec![KeysValues::default(); self.layers.len()], work: Work::default() }
    }

    /// How many frames behind a changed one change with it.
    pub(super) fn reach(&self) -> usize {
        self.layers.len() * (self.config.context - 1)
    }

    pub(super) fn output(&self) -> usize {
        self.config.dim
    }

    pub(super) fn push(&self, memory: &mut Memory, line: &mut Vec<f32>, out: &mut Vec<f32>) {
        let from = out.len();
        out.append(line);
        for block in out[from..].chunks_mut(BLOCK * self.config.dim) {
            self.block(memory, block);
        }
    }

    /// `x` `[n <= BLOCK, dim]`, changed in place.
    fn block(&self, memory: &mut Memory, x: &mut [f32]) {
        let TransformerConfig { dim, context, norm_epsilon, feedforward, gelu, .. } = self.config;
        let n = x.len() / dim;
        let Memory { position, layers, work } = memory;
        work.turns.clear();
        work.turns.extend((*position..*position + n).flat_map(|t| {
            self.frequencies.iter().map(move |f| {
                let (sin, cos) = (t as f32 * f).sin_cos();
                [cos, sin]
            })
        }));
        work.normed.resize(n * dim, 0.0);
        work.qkv.resize(n * 3 * dim, 0.0);
        work.mixed.resize(n * dim, 0.0);
        work.wide.resize(n * feedforward, 0.0);
        for (layer, window) in self.layers.iter().zip(layers) {
            layer_norm(&mut work.normed, x, &layer.attention_norm[0], &layer.attention_norm[1], norm_epsilon);
            multiply_windows(&mut work.qkv, Accum::Replace, &work.normed, dim, &layer.qkv, 3 * dim, Workers::Pool);
            self.turn(&mut work.qkv, &work.turns);
            window.push(&work.qkv, dim, context);
            self.attend(window, work);
            multiply_windows(x, Accum::Add, &work.mixed, dim, &layer.out, dim, Workers::Pool);
            layer_norm(&mut work.normed, x, &layer.feedforward_norm[0], &layer.feedforward_norm[1], norm_epsilon);
            multiply_windows(&mut work.wide, Accum::Replace, &work.normed, dim, &layer.up, feedforward, Workers::Pool);
            activate(&mut work.wide, &[], gelu);
            multiply_windows(x, Accum::Add, &work.wide, feedforward, &layer.down, dim, Workers::Pool);
        }
        *position += n;
    }

    /// Turns queries and keys by their position.
    fn turn(&self, qkv: &mut [f32], turns: &[[f32; 2]]) {
        let dim = self.config.dim;
        let half = self.frequencies.len();
        for (row, turns) in qkv.chunks_exact_mut(3 * dim).zip(turns.chunks_exact(half)) {
            for head in row[..2 * dim].chunks_exact_mut(2 * half) {
                let (real, imaginary) = head.split_at_mut(half);
                for ((re, im), [cos, sin]) in real.iter_mut().zip(imaginary).zip(turns) {
                    (*re, *im) = (*re * cos - *im * sin, *im * cos + *re * sin);
                }
            }
        }
    }

    /// The mean of the values that each query sees, weighted by how its query meets their keys.
    fn attend(&self, window: &KeysValues, work: &mut Work) {
        let TransformerConfig { dim, n_heads, context, .. } = self.config;
        let head_dim = dim / n_heads;
        let n = work.mixed.len() / dim;
        let (keys, values) = (&window.keys[window.first * dim..], &window.values[window.first * dim..]);
        let n_keys = keys.len() / dim;
        let (queries, keys) = (MatRef::from_row_major_slice(&work.qkv, n, 3 * dim), MatRef::from_row_major_slice(keys, n_keys, dim));
        let values = MatRef::from_row_major_slice(values, n_keys, dim);
        let mut mixed = MatMut::from_row_major_slice_mut(&mut work.mixed, n, dim);
        work.scores.resize(n * n_keys, 0.0);
        for head in (0..dim).step_by(head_dim) {
            let scores = MatMut::from_row_major_slice_mut(&mut work.scores, n, n_keys);
            let (query, key) = (queries.subcols(head, head_dim), keys.subcols(head, head_dim));
            multiply(scores, Accum::Replace, query, key.transpose(), Workers::Pool);
            let weigh = |(i, scores): (usize, &mut [f32])| {
                let last = n_keys - n + i;
                let first = (last + 1).saturating_sub(context);
                softmax(&mut scores[first..=last]);
                scores[..first].fill(0.0);
                scores[last + 1..].fill(0.0);
            };
            if n < 32 {
                work.scores.chunks_exact_mut(n_keys).enumerate().for_each(weigh);
            } else {
                work.scores.par_chunks_exact_mut(n_keys).enumerate().with_min_len(16).for_each(weigh);
            }
            let scores = MatRef::from_row_major_slice(&work.scores, n, n_keys);
            multiply(mixed.as_mut().subcols_mut(head, head_dim), Accum::Replace, scores, values.subcols(head, head_dim), Workers::Pool);
        }
    }
}

impl KeysValues {
    /// Appends keys and values of a block, and forgets what none of its queries sees.
    fn push(&mut self, qkv: &[f32], dim: usize, context: usize) {
        let kept = (self.keys.len() / dim - self.first).min(context - 1);
        self.first = self.keys.len() / dim - kept;
        // Moving what is kept only once in a while costs nothing for each frame.
        if self.first > 2 * context + BLOCK {
            self.keys.drain(..self.first * dim);
            self.values.drain(..self.first * dim);
            self.first = 0;
        }
        for row in qkv.chunks_exact(3 * dim) {
            self.keys.extend_from_slice(&row[dim..2 * dim]);
            self.values.extend_from_slice(&row[2 * dim..]);
        }
    }
}

impl Layer {
    fn load(weights: &mut Weights, name: &str, config: TransformerConfig, pairing: Pairing) -> Result<Self, CodecError> {
        let TransformerConfig { dim, n_heads, feedforward, .. } = config;
        let head_dim = dim / n_heads;
        let norm = |weights: &mut Weights, which: &str| -> Result<[Vec<f32>; 2], CodecError> {
            Ok([weights.take(&format!("{name}.{which}.weight"), &[dim])?, weights.take(&format!("{name}.{which}.bias"), &[dim])?])
        };
        let attention_norm = norm(weights, "input_layernorm")?;
        let feedforward_norm = norm(weights, "post_attention_layernorm")?;
        let mut rows = match pairing {
            Pairing::Neighbors => weights.take(&format!("{name}.self_attn.in_proj.weight"), &[3 * dim, dim])?,
            Pairing::Halves => {
                let mut rows = Vec::with_capacity(3 * dim * dim);
                for part in ["q", "k", "v"] {
                    rows.extend(weights.take(&format!("{name}.self_attn.{part}_proj.weight"), &[dim, dim])?);
                }
                rows
            }
        };
        if pairing == Pairing::Neighbors {
            rows[..2 * dim * dim].chunks_exact_mut(head_dim * dim).for_each(|head| apart(head, dim));
        }
        let scale = 1.0 / (head_dim as f32).sqrt();
        rows[..dim * dim].iter_mut().for_each(|w| *w *= scale);
        let qkv = transposed(&rows, dim);
        let mut scaled = |which: &str, input: usize, scale: &str| -> Result<Vec<f32>, CodecError> {
            let mut weight = weights.take(&format!("{name}.{which}.weight"), &[dim, input])?;
            let scale = weights.take(&format!("{name}.{scale}.scale"), &[dim])?;
            weight.chunks_exact_mut(input).zip(scale).for_each(|(row, s)| row.iter_mut().for_each(|w| *w *= s));
            Ok(transposed(&weight, input))
        };
        let out = scaled("self_attn.o_proj", dim, "self_attn_layer_scale")?;
        let down = scaled("mlp.fc2", feedforward, "mlp_layer_scale")?;
        let up = transposed(&weights.take(&format!("{name}.mlp.fc1.weight"), &[feedforward, dim])?, dim);
        Ok(Self { attention_norm, qkv, out, feedforward_norm, up, down })
    }
}

/// Rows `0, 1, 2, 3, …` of a head to `0, 2, …, 1, 3, …`: scores of queries and keys stay what they were, and neighbors become halves.
fn apart(head: &mut [f32], dim: usize) {
    let rows: Vec<f32> = head.to_vec();
    let half = head.len() / dim / 2;
    for (to, row) in head.chunks_exact_mut(dim).enumerate() {
        let from = 2 * (to % half) + to / half;
        row.copy_from_slice(&rows[from * dim..(from + 1) * dim]);
    }
}

/// In the single precision, and by the formula, of the program whose files these are: over thousands of frames it can be told apart.
fn frequencies(theta: f32, head_dim: usize, pairing: Pairing) -> Vec<f32> {
    let half = head_dim / 2;
    let neighbors = (-f64::from(theta).ln() * 2.0 / head_dim as f64) as f32;
    let frequency = |i: usize| match pairing {
        Pairing::Halves => 1.0 / (f64::from(theta).powf(f64::from(2.0 * i as f32 / head_dim as f32)) as f32),
        Pairing::Neighbors => f64::from(i as f32 * neighbors).exp() as f32,
    };
    (0..half).map(frequency).collect()
}
