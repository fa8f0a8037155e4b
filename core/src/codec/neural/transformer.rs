//! Causal transformers with a window, as frames arrive (Vaswani et al. 2017; rotary positions after Su et al. 2021).
//!
//! Pre-norm layers without biases in their products and with a learned scale per channel on what they add.

use driftscope_numerics::activation::{Activation, layer_norm};
use driftscope_numerics::attention::Head;
use driftscope_numerics::dense::{Dense, Windows, Workers};
use driftscope_numerics::linear::{Accum, MatMut};
use rayon::prelude::*;

use super::config::Found;
use super::weights::Weights;
use crate::codec::CodecError;

/// Queries worked on at once: long enough for the products, short enough that little of what the window hides is computed.
const BLOCK: usize = 128;

/// Positions below which one head of them is not worth another thread.
const HEADS_TOGETHER: usize = 8;

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
pub(super) struct Layer {
    pub(super) attention_norm: [Vec<f32>; 2],
    /// To queries (already divided by √head_dim), keys, values.
    pub(super) qkv: Dense,
    /// Times the layer's scale.
    pub(super) out: Dense,
    pub(super) feedforward_norm: [Vec<f32>; 2],
    /// `dim` to `feedforward`.
    pub(super) up: Dense,
    /// `feedforward` to `dim`, times the layer's scale.
    pub(super) down: Dense,
}

/// What one stream keeps.
#[derive(Clone, Debug)]
pub(in crate::codec) struct Memory {
    /// Of the next frame.
    position: usize,
    /// Of each layer.
    layers: Vec<Vec<Head>>,
    work: Work,
}

/// Space for one block.
#[derive(Clone, Debug, Default)]
struct Work {
    normed: Vec<f32>,
    qkv: Vec<f32>,
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

    pub(super) fn start(&self, position: usize) -> Memory {
        let TransformerConfig { dim, n_heads, context, .. } = self.config;
        let heads = vec![Head::new(dim / n_heads, context, position); n_heads];
        Memory { position, layers: vec![heads; self.layers.len()], work: Work::default() }
    }

    pub(super) fn config(&self) -> TransformerConfig {
        self.config
    }

    /// Radians per frame, `[head_dim / 2]`.
    pub(super) fn frequencies(&self) -> &[f32] {
        &self.frequencies
    }

    pub(super) fn layers(&self) -> &[Layer] {
        &self.layers
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
        let TransformerConfig { dim, norm_epsilon, feedforward, .. } = self.config;
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
        for (layer, heads) in self.layers.iter().zip(layers) {
            layer_norm(&mut work.normed, x, &layer.attention_norm[0], &layer.attention_norm[1], norm_epsilon);
            layer.qkv.forward(&work.normed, &mut work.qkv);
            self.turn(&mut work.qkv, &work.turns);
            self.attend(heads, work);
            layer.out.run(x, Accum::Add, Windows { values: &work.mixed, step: dim }, Workers::Pool);
            layer_norm(&mut work.normed, x, &layer.feedforward_norm[0], &layer.feedforward_norm[1], norm_epsilon);
            layer.up.forward(&work.normed, &mut work.wide);
            layer.down.run(x, Accum::Add, Windows { values: &work.wide, step: feedforward }, Workers::Pool);
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

    /// What each head makes of queries, keys and values of all of them.
    fn attend(&self, heads: &mut [Head], work: &mut Work) {
        let TransformerConfig { dim, n_heads, .. } = self.config;
        let head_dim = dim / n_heads;
        let n = work.mixed.len() / dim;
        let mixed = MatMut::from_row_major_slice_mut(&mut work.mixed, n, dim).par_col_chunks_mut(head_dim);
        let few = HEADS_TOGETHER.div_ceil(n).min(n_heads);
        heads.par_iter_mut().zip(mixed).enumerate().with_min_len(few).for_each(|(head, (window, mixed))| {
            let of_part = |part: usize| Windows { values: &work.qkv[part * dim + head * head_dim..], step: 3 * dim };
            window.attend([0, 1, 2].map(of_part), mixed);
        });
    }
}

impl Layer {
    fn load(weights: &mut Weights, name: &str, config: TransformerConfig, pairing: Pairing) -> Result<Self, CodecError> {
        let TransformerConfig { dim, n_heads, feedforward, gelu, .. } = config;
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
        let qkv = Dense::from_rows(&rows, dim, &[], Activation::Identity);
        let mut scaled = |which: &str, input: usize, scale: &str| -> Result<Dense, CodecError> {
            let mut weight = weights.take(&format!("{name}.{which}.weight"), &[dim, input])?;
            let scale = weights.take(&format!("{name}.{scale}.scale"), &[dim])?;
            weight.chunks_exact_mut(input).zip(scale).for_each(|(row, s)| row.iter_mut().for_each(|w| *w *= s));
            Ok(Dense::from_rows(&weight, input, &[], Activation::Identity))
        };
        let out = scaled("self_attn.o_proj", dim, "self_attn_layer_scale")?;
        let down = scaled("mlp.fc2", feedforward, "mlp_layer_scale")?;
        let up = Dense::from_rows(&weights.take(&format!("{name}.mlp.fc1.weight"), &[feedforward, dim])?, dim, &[], gelu);
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
