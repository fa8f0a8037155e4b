//! What a network does to each number between two products, vectorized for the processor that runs it.
//!
//! Everything is made of [`exp`], a polynomial that compilers can vectorize.
//! Long slices are shared among rayon's threads.
#![expect(clippy::inline_always, reason = "vector instructions reach only what is inlined")]

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::gelu::{exp, exp_below, gelu};

/// Values a thread is worth waking for.
const SHARE: usize = 1 << 15;

/// What follows a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    Identity,
    /// `x` above zero, `eˣ − 1` below (Clevert et al. 2015, α = 1).
    Elu,
    /// `x·Φ(x)` (Hendrycks, Gimpel 2016).
    Gelu,
    /// The same with `tanh` in the place of the error function.
    GeluTanh,
}

/// Adds `bias` to every row of `values` (nothing where it is empty) and applies `activation`.
pub fn activate(values: &mut [f32], bias: &[f32], activation: Activation) {
    let rows = SHARE.div_ceil(bias.len().max(1)) * bias.len().max(1);
    if values.len() > 2 * rows {
        values.par_chunks_mut(rows).for_each(|part| activate_part(part, bias, activation));
    } else {
        activate_part(values, bias, activation);
    }
}

fn activate_part(values: &mut [f32], bias: &[f32], activation: Activation) {
    let arch = pulp::Arch::new();
    match activation {
        Activation::Identity if bias.is_empty() => {}
        Activation::Identity => arch.dispatch(Each { values, bias, f: identity }),
        Activation::Elu => arch.dispatch(Each { values, bias, f: elu }),
        Activation::Gelu => arch.dispatch(Each { values, bias, f: gelu }),
        Activation::GeluTanh => arch.dispatch(Each { values, bias, f: gelu_tanh }),
    }
}

/// Everything that is done to numbers in a row is a struct like this: its method is compiled for each kind of processor, which a closure
/// is only where the compiler happens to inline it.
struct Each<'a, F> {
    values: &'a mut [f32],
    bias: &'a [f32],
    f: F,
}

impl<F: Fn(f32) -> f32> WithSimd for Each<'_, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let Self { values, bias, f } = self;
        match bias {
            [] => values.iter_mut().for_each(|v| *v = f(*v)),
            [bias] => values.iter_mut().for_each(|v| *v = f(*v + bias)),
            _ => {
                for row in values.chunks_exact_mut(bias.len()) {
                    for (v, b) in row.iter_mut().zip(bias) {
                        *v = f(*v + b);
                    }
                }
            }
        }
    }
}

/// Appends ELU of `from` to `to`.
pub fn extend_elu(to: &mut Vec<f32>, from: &[f32]) {
    let start = to.len();
    to.extend_from_slice(from);
    activate(&mut to[start..], &[], Activation::Elu);
}

/// Turns scores into weights that sum to one.
pub fn softmax(scores: &mut [f32]) {
    pulp::Arch::new().dispatch(Softmax(scores));
}

struct Softmax<'a>(&'a mut [f32]);

impl WithSimd for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let Self(scores) = self;
        let mut lanes = [f32::NEG_INFINITY; 16];
        let chunks = scores.chunks_exact(16);
        let rest = chunks.remainder().iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b));
        for chunk in chunks {
            lanes.iter_mut().zip(chunk).for_each(|(lane, &v)| *lane = if v > *lane { v } else { *lane });
        }
        let max = lanes.iter().fold(rest, |a, &b| a.max(b));
        scores.iter_mut().for_each(|v| *v = exp_below(*v - max));
        let scale = 1.0 / sum(scores, |v| v);
        scores.iter_mut().for_each(|v| *v *= scale);
    }
}

/// Layer normalization (Ba et al. 2016) of every row of `from`, into `to`.
pub fn layer_norm(to: &mut [f32], from: &[f32], weight: &[f32], bias: &[f32], epsilon: f32) {
    let arch = pulp::Arch::new();
    let rows = SHARE.div_ceil(weight.len()) * weight.len();
    if to.len() > 2 * rows {
        let parts = to.par_chunks_mut(rows).zip(from.par_chunks(rows));
        parts.for_each(|(to, from)| arch.dispatch(LayerNorm { to, from, weight, bias, epsilon }));
    } else {
        arch.dispatch(LayerNorm { to, from, weight, bias, epsilon });
    }
}

struct LayerNorm<'a> {
    to: &'a mut [f32],
    from: &'a [f32],
    weight: &'a [f32],
    bias: &'a [f32],
    epsilon: f32,
}

impl WithSimd for LayerNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let Self { to, from, weight, bias, epsilon } = self;
        let dim = weight.len();
        for (to, from) in to.chunks_exact_mut(dim).zip(from.chunks_exact(dim)) {
            let mean = sum(from, |v| v) / dim as f32;
            let variance = sum(from, |v| (v - mean) * (v - mean)) / dim as f32;
            let scale = 1.0 / (variance + epsilon).sqrt();
            for (((to, from), w), b) in to.iter_mut().zip(from).zip(weight).zip(bias) {
                *to = (from - mean) * scale * w + b;
            }
        }
    }
}

/// The sum in a fixed order of sixteen partial sums.
#[inline(always)]
fn sum(values: &[f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut sums = [0.0_f32; 16];
    let chunks = values.chunks_exact(16);
    let rest: f32 = chunks.remainder().iter().map(|v| f(*v)).sum();
    for chunk in chunks {
        sums.iter_mut().zip(chunk).for_each(|(sum, v)| *sum += f(*v));
    }
    sums.iter().sum::<f32>() + rest
}

/// One step of an LSTM (Hochreiter, Schmidhuber 1997): `gates` `[4·hidden]` are the sums for input, forget, cell and output; `cell` and
/// `hidden` `[hidden]` are updated.
pub fn lstm_cell(gates: &[f32], cell: &mut [f32], hidden: &mut [f32]) {
    pulp::Arch::new().dispatch(LstmCell { gates, cell, hidden });
}

struct LstmCell<'a> {
    gates: &'a [f32],
    cell: &'a mut [f32],
    hidden: &'a mut [f32],
}

impl WithSimd for LstmCell<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _simd: S) {
        let Self { gates, cell, hidden } = self;
        let n = hidden.len();
        let (input, rest) = gates.split_at(n);
        let (forget, rest) = rest.split_at(n);
        let (candidate, output) = rest.split_at(n);
        for (((((c, h), i), f), g), o) in cell.iter_mut().zip(hidden).zip(input).zip(forget).zip(candidate).zip(output) {
            *c = sigmoid(*f) * *c + sigmoid(*i) * tanh(*g);
            *h = sigmoid(*o) * tanh(*c);
        }
    }
}

#[inline(always)]
pub(crate) fn identity(x: f32) -> f32 {
    x
}

#[inline(always)]
pub(crate) fn elu(x: f32) -> f32 {
    // Not a number is not greater, and goes through.
    let below = exp_below(if x > 0.0 { 0.0 } else { x }) - 1.0;
    if x > 0.0 { x } else { below }
}

#[inline(always)]
fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

#[inline(always)]
fn tanh(x: f32) -> f32 {
    1.0 - 2.0 / (exp(2.0 * x) + 1.0)
}

#[inline(always)]
pub(crate) fn gelu_tanh(x: f32) -> f32 {
    0.5 * x * (1.0 + tanh(0.797_884_6 * (x + 0.044_715 * x * x * x)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the formulas in f64, over all that matters of the line.
    #[test]
    fn activations_are_their_formulas() {
        let xs: Vec<f32> = (-40_000..40_000).map(|i| i as f32 * 5e-4).collect();
        let tanh_gelu = |x: f64| 0.5 * x * (1.0 + ((2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3))).tanh());
        let cases: [(Activation, &dyn Fn(f64) -> f64); 4] = [
            (Activation::Identity, &|x| x),
            (Activation::Elu, &|x| if x > 0.0 { x } else { x.exp_m1() }),
            (Activation::Gelu, &|x| x * normal_cdf(x)),
            (Activation::GeluTanh, &tanh_gelu),
        ];
        for (activation, formula) in cases {
            let mut ys = xs.clone();
            activate(&mut ys, &[], activation);
            for (x, y) in xs.iter().zip(&ys) {
                let expected = formula(f64::from(*x));
                assert!((f64::from(*y) - expected).abs() < 4e-7 * (1.0 + x.abs() as f64), "{activation:?} of {x}: {y}, not {expected}");
            }
        }
    }

    /// Simpson's rule over the density.
    fn normal_cdf(x: f64) -> f64 {
        let n = 400;
        let h = x / n as f64;
        let density = |t: f64| (-t * t / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let sum: f64 = (0..=n).map(|i| density(i as f64 * h) * if i == 0 || i == n { 1.0 } else { 2.0 + 2.0 * (i % 2) as f64 }).sum();
        0.5 + sum * h / 3.0
    }

    #[test]
    fn bias_is_added_to_every_row_however_long() {
        let bias = [1.0, -2.0, 3.0];
        let mut values: Vec<f32> = (0..3 * 100_001).map(|i| (i / 3) as f32).collect();
        activate(&mut values, &bias, Activation::Identity);
        assert!(values.iter().enumerate().all(|(i, v)| *v == (i / 3) as f32 + bias[i % 3]));
    }

    #[test]
    fn softmax_and_norm_are_their_formulas() {
        let mut scores: Vec<f32> = (0..37).map(|i| ((i * 7) % 11) as f32 - 5.0).collect();
        let exact: Vec<f64> = scores.iter().map(|s| f64::from(*s).exp()).collect();
        let sum: f64 = exact.iter().sum();
        softmax(&mut scores);
        assert!(scores.iter().zip(&exact).all(|(s, e)| (f64::from(*s) - e / sum).abs() < 1e-7));

        let rows: Vec<f32> = (0..80).map(|i| ((i * 13) % 17) as f32).collect();
        let mut normed = vec![0.0; 80];
        layer_norm(&mut normed, &rows, &[2.0; 40], &[1.0; 40], 0.0);
        for row in normed.chunks(40) {
            let (mean, square) = row.iter().fold((0.0, 0.0), |(m, s), v| (m + v / 40.0, s + (v - 1.0) * (v - 1.0) / 40.0));
            assert!((mean - 1.0).abs() < 1e-5 && (square - 4.0).abs() < 1e-4);
        }
    }
}
