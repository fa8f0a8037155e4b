//! Layers of a network on the CPU: weights packed once, products that read them once.
//!
//! A general matrix product packs its operands anew in every call and divides its work for large squares. The weights of a
//! predictor or a codec stay the same for thousands of calls, of which some have one row and are bound by memory, others hundreds
//! and are bound by arithmetic. Packed in the order in which they are gone through, they are one contiguous stream for either:
//! panels of a few vectors' columns in groups, a group's panels side by side over some hundred inputs, then over the next.
//! Each group is one thread's at a time, and a row's sums are taken in the same order whatever other rows are there: the same
//! inputs give the same bytes in any batch and on any number of threads.
//! Rows may overlap, so a convolution in time is such a product too, and its input is never unfolded.
#![expect(clippy::inline_always, reason = "vector instructions reach only what is inlined")]

use std::ops::Range;

use faer::reborrow::ReborrowMut;
use faer::{Accum, MatMut};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::activation::{Activation, elu, gelu_tanh, identity};
use crate::gelu::gelu;
use crate::pages::Pages;
use crate::panel::{ACROSS, Tile, half_ahead, lanes, products, tiles};

/// Inputs of a panel that all rows go through before the next panel: a panel of this depth stays in the second-level cache.
const DEPTH: usize = 512;
/// Panels that are one task: few, so that tasks are many and even out.
const GROUP: usize = 2;
/// Products below this are not worth a second thread.
const PARALLEL_FROM: usize = 1 << 16;
/// Tasks for each thread, where there are rows enough: unequal ones even out.
const TASKS: usize = 4;
/// Rows below which a task does not pay for reading its weights again.
const TASK_ROWS: usize = 16;
/// Columns below which every output is a sum along its row, since most of a vector across them would be empty.
const NARROW: usize = 4;

/// Who does a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// The calling thread.
    Here,
    /// All threads of rayon's pool, where there is enough to do.
    Pool,
}

/// Rows `values[t·step .. t·step + n_in]`, which overlap where `step` is less than a layer's inputs.
#[derive(Clone, Copy, Debug)]
pub struct Windows<'a> {
    /// What the rows are taken from.
    pub values: &'a [f32],
    /// From the beginning of one to that of the next.
    pub step: usize,
}

/// `activation(rows · weights + bias)`.
#[derive(Clone, Debug)]
pub struct Dense {
    n_in: usize,
    n_out: usize,
    activation: Activation,
    /// Columns of a panel.
    width: usize,
    /// `[groups][blocks of inputs][panels][inputs of the block][width]`, zeros beyond the last column of the weights; of a narrow layer,
    /// `[n_out][n_in]`.
    packed: Pages,
    /// `[groups × panels × width]`, zeros beyond the last column.
    bias: Vec<f32>,
}

impl Dense {
    /// From `weights [n_in, n_out]`, row-major, and `bias [n_out]`.
    pub fn new(weights: &[f32], bias: &[f32], activation: Activation) -> Self {
        let n_out = bias.len();
        Self::pack([weights.len() / n_out.max(1), n_out], bias, activation, |i, o| weights[i * n_out + o])
    }

    /// From the weights of each output, `[n_out, n_in]` row-major, and `bias [n_out]`, or none.
    pub fn from_rows(weights: &[f32], n_in: usize, bias: &[f32], activation: Activation) -> Self {
        Self::pack([n_in, weights.len() / n_in.max(1)], bias, activation, |i, o| weights[o * n_in + i])
    }

    /// From the weight of each input for each output, however it is stored; `bias` `[n_out]`, or empty for none.
    pub fn pack([n_in, n_out]: [usize; 2], bias: &[f32], activation: Activation, weight: impl Fn(usize, usize) -> f32) -> Self {
        let mut padded = bias.to_vec();
        if n_out < NARROW {
            padded.resize(n_out, 0.0);
            let fill = |packed: &mut [f32]| (0..n_in * n_out).for_each(|at| packed[at] = weight(at % n_in, at / n_in));
            return Self { n_in, n_out, activation, width: 0, packed: Pages::new(n_in * n_out, fill), bias: padded };
        }
        let lanes = lanes();
        let width = if n_out <= lanes { lanes } else { ACROSS * lanes };
        let columns = GROUP * width;
        let n_groups = n_out.div_ceil(columns);
        // Of the panel's block that begins with an input and a column.
        let fill = |packed: &mut [f32], first: usize, start: usize| {
            for (i, packed) in packed.chunks_exact_mut(width).enumerate() {
                packed.iter_mut().zip(start..n_out).for_each(|(packed, o)| *packed = weight(first + i, o));
            }
        };
        let packed = Pages::new(n_groups * n_in * columns, |packed| {
            for (group, packed) in packed.chunks_mut((n_in * columns).max(1)).enumerate() {
                for (block, first) in packed.chunks_mut(DEPTH * columns).zip((0..n_in).step_by(DEPTH)) {
                    let panels = block.chunks_exact_mut(block.len() / GROUP);
                    panels.zip((group * columns..).step_by(width)).for_each(|(packed, start)| fill(packed, first, start));
                }
            }
        });
        padded.resize(n_groups * columns, 0.0);
        Self { n_in, n_out, activation, width, packed, bias: padded }
    }

    /// Columns of a group.
    fn columns(&self) -> usize {
        if self.width == 0 { self.n_out } else { GROUP * self.width }
    }

    /// Weights of a group, packed; of the first behind the last.
    fn group(&self, group: usize) -> &[f32] {
        let n = self.n_in * self.columns();
        &self.packed[group % self.n_out.div_ceil(self.columns()) * n..][..n]
    }

    /// Inputs of a row.
    pub fn n_in(&self) -> usize {
        self.n_in
    }

    /// Weights that a product reads.
    pub fn n_weights(&self) -> usize {
        self.n_in * self.n_out
    }

    /// Outputs of a row.
    pub fn n_out(&self) -> usize {
        self.n_out
    }

    /// What it was packed from: `[n_in, n_out]`, row-major.
    pub fn weights(&self) -> Vec<f32> {
        let Self { n_in, n_out, width, .. } = *self;
        let columns = self.columns();
        let weight = |i: usize, o: usize| {
            if width == 0 {
                return self.packed[o * n_in + i];
            }
            let first = i / DEPTH * DEPTH;
            let (panel, depth) = (o % columns / width, DEPTH.min(n_in - first));
            self.group(o / columns)[first * columns + (panel * depth + i - first) * width + o % width]
        };
        (0..n_in * n_out).map(|at| weight(at / n_out, at % n_out)).collect()
    }

    /// `[n_out]`, zeros where it was packed without one.
    pub fn bias(&self) -> &[f32] {
        &self.bias[..self.n_out]
    }

    /// What follows the sums.
    pub fn activation(&self) -> Activation {
        self.activation
    }

    /// `rows [n, n_in]` to `out [n, n_out]`, row-major.
    ///
    /// # Panics
    /// If the lengths of `rows` and `out` are not those of the same number of rows.
    pub fn forward(&self, rows: &[f32], out: &mut [f32]) {
        let n = out.len() / self.n_out.max(1);
        assert!(rows.len() == n * self.n_in, "rows and out are of different lengths");
        self.run(out, Accum::Replace, Windows { values: rows, step: self.n_in }, Workers::Pool);
    }

    /// `out = activation(windows · weights + bias)`, or `activation(out + windows · weights + bias)`; `out` is `[n, n_out]`, row-major.
    ///
    /// # Panics
    /// If `out` is no whole rows, or there are fewer windows than rows.
    pub fn run(&self, out: &mut [f32], accumulate: Accum, windows: Windows<'_>, workers: Workers) {
        if out.is_empty() {
            return;
        }
        let Self { n_in, n_out, .. } = *self;
        let (n, Windows { values, step }) = (out.len() / n_out, windows);
        assert!(out.len() == n * n_out, "out is no whole rows of {n_out}");
        assert!((n - 1) * step + n_in <= values.len(), "{n} windows of {n_in} every {step} do not fit {} values", values.len());
        let columns = self.columns();
        let work = |rows: &[f32], group: usize, out: MatMut<'_, f32>| {
            let windows = Windows { values: rows, step };
            Arch::new().dispatch(Task { layer: self, windows, accumulate, group, out });
        };
        let mut whole = MatMut::from_row_major_slice_mut(out, n, n_out);
        if workers == Workers::Here || n * n_in * n_out < PARALLEL_FROM {
            for (group, start) in (0..n_out).step_by(columns).enumerate() {
                work(values, group, whole.rb_mut().subcols_mut(start, columns.min(n_out - start)));
            }
            return;
        }
        let blocks = (TASKS * rayon::current_num_threads()).div_ceil(n_out.div_ceil(columns));
        let height = n.div_ceil(blocks).max(TASK_ROWS).next_multiple_of(TASK_ROWS);
        whole.par_row_chunks_mut(height).enumerate().for_each(|(block, out)| {
            let rows = &values[block * height * step..];
            out.par_col_chunks_mut(columns).enumerate().for_each(|(group, out)| work(rows, group, out));
        });
    }
}

/// Rows through one group of panels.
struct Task<'a> {
    layer: &'a Dense,
    windows: Windows<'a>,
    accumulate: Accum,
    group: usize,
    /// Its rows and columns of the output.
    out: MatMut<'a, f32>,
}

impl WithSimd for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        match self.layer.width / S::F32_LANES {
            0 => self.narrow(),
            1 => self.panels::<S, 1>(simd),
            _ => self.panels::<S, ACROSS>(simd),
        }
    }
}

impl Task<'_> {
    #[inline(always)]
    fn narrow(&mut self) {
        let (layer, Windows { values, step }) = (self.layer, self.windows);
        for t in 0..self.out.nrows() {
            let row = &values[t * step..][..layer.n_in];
            for o in 0..self.out.ncols() {
                let sum = dot(row, &layer.packed[o * layer.n_in..][..layer.n_in]);
                let out = std::slice::from_mut(&mut self.out[(t, o)]);
                finish(out, &[sum], &layer.bias[o..=o], self.accumulate, Some(layer.activation));
            }
        }
    }

    #[inline(always)]
    fn panels<S: Simd, const A: usize>(&mut self, simd: S) {
        let (n, n_in, width) = (self.out.nrows(), self.layer.n_in, self.layer.width);
        for start in (0..n_in.max(1)).step_by(DEPTH) {
            let inputs = start..n_in.min(start + DEPTH);
            for panel in 0..self.out.ncols().div_ceil(width) {
                tiles(simd, n, &mut Block::<A> { task: self, inputs: inputs.clone(), panel });
            }
        }
    }
}

/// A block of a panel, which is `A` vectors wide.
struct Block<'a, 'b, const A: usize> {
    task: &'a mut Task<'b>,
    inputs: Range<usize>,
    panel: usize,
}

impl<const A: usize> Tile for Block<'_, '_, A> {
    #[inline(always)]
    fn tile<S: Simd, const R: usize>(&mut self, simd: S, from: usize) {
        let Self { task, inputs, panel } = self;
        let Task { layer, windows: Windows { values, step }, group, .. } = **task;
        let width = layer.width;
        let accumulate = if inputs.start == 0 { task.accumulate } else { Accum::Add };
        let then = (inputs.end == layer.n_in).then_some(layer.activation);
        let rows: [&[f32]; R] = std::array::from_fn(|r| &values[(from + r) * step..][inputs.clone()]);
        let packed = &layer.group(group)[(inputs.start * GROUP + *panel * inputs.len()) * width..];
        let (packed, beyond) = packed.split_at(inputs.len() * width);
        let next = if beyond.is_empty() { layer.group(group + 1) } else { beyond };
        let ahead = half_ahead(next, packed.len(), from);
        let sums = products::<S, R, A>(simd, rows, packed, ahead);
        let bias = &layer.bias[(group * GROUP + *panel) * width..][..width];
        let n_columns = width.min(task.out.ncols() - *panel * width);
        for (r, sums) in sums.iter().enumerate() {
            let mut out = task.out.rb_mut().row_mut(from + r);
            let out = out.rb_mut().subcols_mut(*panel * width, n_columns);
            let Some(out) = out.try_as_row_major_mut() else { unreachable!("rows of a row-major matrix are contiguous") };
            finish(out.as_slice_mut(), pulp::bytemuck::cast_slice(sums), bias, accumulate, then);
        }
    }
}

/// Adds what was there, and after the last input the bias and the activation.
#[inline(always)]
fn finish(out: &mut [f32], sums: &[f32], bias: &[f32], accumulate: Accum, then: Option<Activation>) {
    match then {
        None if accumulate == Accum::Add => out.iter_mut().zip(sums).for_each(|(out, sum)| *out += sum),
        None => out.copy_from_slice(&sums[..out.len()]),
        Some(Activation::Identity) => each(out, sums, bias, accumulate, identity),
        Some(Activation::Elu) => each(out, sums, bias, accumulate, elu),
        Some(Activation::Gelu) => each(out, sums, bias, accumulate, gelu),
        Some(Activation::GeluTanh) => each(out, sums, bias, accumulate, gelu_tanh),
    }
}

#[inline(always)]
fn each(out: &mut [f32], sums: &[f32], bias: &[f32], accumulate: Accum, f: impl Fn(f32) -> f32) {
    let all = out.iter_mut().zip(sums).zip(bias);
    match accumulate {
        Accum::Replace => all.for_each(|((out, sum), bias)| *out = f(sum + bias)),
        Accum::Add => all.for_each(|((out, sum), bias)| *out = f(*out + sum + bias)),
    }
}

/// The sum of products in a fixed order of sixteen partial sums.
#[inline(always)]
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0_f32; 16];
    let (a_chunks, a_rest) = a.as_chunks::<16>();
    let (b_chunks, b_rest) = b.as_chunks::<16>();
    for (a, b) in a_chunks.iter().zip(b_chunks) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    sums.iter().sum::<f32>() + a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::panel::values;

    #[test]
    fn any_shape_is_the_product_of_its_sums_and_any_batch_the_same_rows() {
        let shapes =
            [(1, 3, 1), (5, 40, 33), (29, 700, 70), (13, 1030, 130), (300, 64, 8), (2, 0, 4), (0, 4, 4), (70, 37, 3), (90, 96, 16)];
        for (n, n_in, n_out) in shapes {
            let (rows, weights, bias) = (values(n * n_in, 1), values(n_in * n_out, 2), values(n_out, 3));
            for activation in [Activation::Identity, Activation::Gelu] {
                let layer = Dense::new(&weights, &bias, activation);
                assert!(layer.weights() == weights && layer.bias() == bias, "{n_in}×{n_out} unpacked");
                let mut out = vec![f32::NAN; n * n_out];
                layer.forward(&rows, &mut out);
                for r in 0..n {
                    for j in 0..n_out {
                        let sum: f64 = (0..n_in).map(|i| f64::from(rows[r * n_in + i]) * f64::from(weights[i * n_out + j])).sum();
                        let sum = (sum + f64::from(bias[j])) as f32;
                        let want = if activation == Activation::Gelu { gelu(sum) } else { sum };
                        let got = out[r * n_out + j];
                        assert!(
                            (got - want).abs() < 2e-6 * (n_in as f32).sqrt().max(4.0),
                            "{n}×{n_in}×{n_out} {activation:?} [{r}, {j}]: {got} for {want}"
                        );
                    }
                    let mut alone = vec![f32::NAN; n_out];
                    layer.forward(&rows[r * n_in..(r + 1) * n_in], &mut alone);
                    assert_eq!(alone, out[r * n_out..(r + 1) * n_out], "{n}×{n_in}×{n_out} row {r}");
                }
            }
        }
    }

    /// Against sums written out, of overlapping rows, alone and on all threads, added to what was there.
    #[test]
    fn windows_are_sums_over_taps() {
        for (n, channels, kernel, stride, n_out) in
            [(1, 1, 7, 1, 3), (5, 3, 4, 2, 5), (3000, 4, 3, 1, 8), (70, 64, 8, 4, 600), (2000, 64, 3, 1, 1)]
        {
            let x = values(((n - 1) * stride + kernel) * channels, 4);
            let (weights, bias, before) = (values(kernel * channels * n_out, 5), values(n_out, 6), values(n * n_out, 7));
            let layer = Dense::new(&weights, &bias, Activation::Elu);
            let windows = Windows { values: &x, step: stride * channels };
            let [mut replaced, mut added, mut here] = [vec![f32::NAN; n * n_out], before.clone(), before.clone()];
            layer.run(&mut replaced, Accum::Replace, windows, Workers::Pool);
            layer.run(&mut added, Accum::Add, windows, Workers::Pool);
            layer.run(&mut here, Accum::Add, windows, Workers::Here);
            assert_eq!(added, here, "{n} {channels} {kernel} {stride}");
            for at in [0, n_out - 1, n / 2 * n_out, n * n_out - 1] {
                let (t, o) = (at / n_out, at % n_out);
                let window = &x[t * stride * channels..][..kernel * channels];
                let sum: f64 = window.iter().zip(weights[o..].iter().step_by(n_out)).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
                for (got, before) in [(replaced[at], 0.0), (added[at], f64::from(before[at]))] {
                    let sum = sum + f64::from(bias[o]) + before;
                    let want = if sum > 0.0 { sum } else { sum.exp_m1() };
                    assert!((f64::from(got) - want).abs() < 1e-4, "{n} {channels} {kernel} {stride}: [{t}, {o}] is {got}, not {want}");
                }
            }
        }
    }
}
