//! Layers of a network on the CPU: weights packed once, products that read them once.
//!
//! A general matrix product packs its operands anew in every call and divides its work for large squares. A predictor's weights
//! stay the same for thousands of calls, of which some have one row and are bound by memory, others hundreds and are bound by
//! arithmetic. Packed in the order in which they are gone through, they are one contiguous stream for either: panels of a few
//! vectors' columns in groups, a group's panels side by side over some hundred inputs, then over the next.
//! Each group is one thread's at a time, and a row's sums are taken in the same order whatever other rows are there: the same
//! inputs give the same bytes in any batch and on any number of threads.
#![expect(clippy::inline_always, reason = "vector instructions reach only what is inlined")]

use faer::reborrow::ReborrowMut;
use faer::{Mat, MatMut};
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

use crate::gelu::gelu;

/// Vectors across a panel.
const ACROSS: usize = 2;
/// Rows that are multiplied together: both their sums stay in registers, and a panel's values are used as often as they are read.
const DOWN: usize = 6;
/// Inputs that are gone through before the next rows: a group of panels of this depth stays in the second-level cache.
const DEPTH: usize = 512;
/// Inputs that are summed before their sum is added to the others': with it rounding grows a third as fast as in one long sum.
const SPAN: usize = 64;
/// Panels that one task goes through side by side, so that rows are read from the first-level cache.
const GROUP: usize = 4;
/// Products below this are not worth a second thread.
const PARALLEL_FROM: usize = 1 << 16;

/// What is done with a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    Identity,
    /// Exact GELU.
    Gelu,
}

/// `activation(rows · weights + bias)`.
#[derive(Clone, Debug)]
pub struct Dense {
    n_in: usize,
    n_out: usize,
    activation: Activation,
    /// Columns of a panel.
    width: usize,
    /// A group in each column, which begins with a cache line: `[blocks of inputs][panels][inputs of the block][width]`; zeros beyond
    /// the last column of the weights.
    groups: Mat<f32>,
    /// `[groups × panels × width]`, zeros beyond the last column.
    bias: Vec<f32>,
}

impl Dense {
    /// From `weights [n_in, n_out]`, row-major, and `bias [n_out]`.
    pub fn new(weights: &[f32], bias: &[f32], activation: Activation) -> Self {
        let n_out = bias.len();
        let n_in = weights.len() / n_out.max(1);
        let width = ACROSS * Arch::new().dispatch(Lanes);
        let columns = GROUP * width;
        let n_groups = n_out.div_ceil(columns);
        let mut groups = Mat::zeros(n_in * columns, n_groups);
        for group in 0..n_groups {
            let blocks = groups.col_as_slice_mut(group).chunks_mut(DEPTH * columns).zip(weights.chunks(DEPTH * n_out));
            for (block, rows) in blocks {
                let depth = block.len() / columns;
                for (panel, packed) in block.chunks_exact_mut(depth * width).enumerate() {
                    let start = n_out.min(group * columns + panel * width);
                    let end = n_out.min(start + width);
                    for (row, packed) in rows.chunks_exact(n_out).zip(packed.chunks_exact_mut(width)) {
                        packed[..end - start].copy_from_slice(&row[start..end]);
                    }
                }
            }
        }
        let mut padded = bias.to_vec();
        padded.resize(n_groups * columns, 0.0);
        Self { n_in, n_out, activation, width, groups, bias: padded }
    }

    /// Inputs of a row.
    pub fn n_in(&self) -> usize {
        self.n_in
    }

    /// Outputs of a row.
    pub fn n_out(&self) -> usize {
        self.n_out
    }

    /// `rows [n, n_in]` to `out [n, n_out]`, row-major.
    ///
    /// # Panics
    /// If the lengths of `rows` and `out` are not those of the same number of rows.
    pub fn forward(&self, rows: &[f32], out: &mut [f32]) {
        let n = out.len() / self.n_out.max(1);
        assert!(rows.len() == n * self.n_in && out.len() == n * self.n_out, "rows and out are of different lengths");
        if out.is_empty() {
            return;
        }
        let columns = GROUP * self.width;
        let mut out = MatMut::from_row_major_slice_mut(out, n, self.n_out);
        let task = |(group, out): (usize, MatMut<'_, f32>)| {
            Arch::new().dispatch(Task { layer: self, rows, group, out });
        };
        if n * self.n_in * self.n_out < PARALLEL_FROM {
            for (group, start) in (0..self.n_out).step_by(columns).enumerate() {
                task((group, out.rb_mut().subcols_mut(start, columns.min(self.n_out - start))));
            }
        } else {
            out.par_col_chunks_mut(columns).enumerate().for_each(task);
        }
    }
}

struct Lanes;

impl WithSimd for Lanes {
    type Output = usize;
    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> usize {
        S::F32_LANES
    }
}

/// All rows through one group of panels.
struct Task<'a> {
    layer: &'a Dense,
    rows: &'a [f32],
    group: usize,
    /// Its columns of the output.
    out: MatMut<'a, f32>,
}

impl WithSimd for Task<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let n = self.out.nrows();
        let n_tiles = n.div_ceil(DOWN);
        for start in (0..self.layer.n_in.max(1)).step_by(DEPTH) {
            // Tiles of about the same height.
            for tile in 0..n_tiles {
                let (from, to) = (tile * n / n_tiles, (tile + 1) * n / n_tiles);
                match to - from {
                    1 => self.tile::<S, 1>(simd, start, from),
                    2 => self.tile::<S, 2>(simd, start, from),
                    3 => self.tile::<S, 3>(simd, start, from),
                    4 => self.tile::<S, 4>(simd, start, from),
                    5 => self.tile::<S, 5>(simd, start, from),
                    _ => self.tile::<S, DOWN>(simd, start, from),
                }
            }
        }
    }
}

impl Task<'_> {
    /// `R` rows from row `from` through inputs from `start` of every panel of the group.
    #[inline(always)]
    fn tile<S: Simd, const R: usize>(&mut self, simd: S, start: usize, from: usize) {
        let (n_in, width) = (self.layer.n_in, self.layer.width);
        let depth = DEPTH.min(n_in - start);
        let is_last = start + depth == n_in;
        let rows: [&[f32]; R] = std::array::from_fn(|r| &self.rows[(from + r) * n_in + start..][..depth]);
        let block = &self.layer.groups.col_as_slice(self.group)[start * GROUP * width..];
        for panel in 0..self.out.ncols().div_ceil(width) {
            let column = panel * width;
            let n_columns = width.min(self.out.ncols() - column);
            let packed = &block[panel * depth * width..][..depth * width];
            let sums = products::<S, R>(simd, rows, packed);
            let bias = &self.layer.bias[(self.group * GROUP + panel) * width..][..width];
            for (r, sums) in sums.iter().enumerate() {
                let mut out = self.out.rb_mut().row_mut(from + r);
                let out = out.rb_mut().subcols_mut(column, n_columns);
                let Some(out) = out.try_as_row_major_mut() else { unreachable!("rows of a row-major matrix are contiguous") };
                let sums: &[f32] = pulp::bytemuck::cast_slice(sums);
                finish(out.as_slice_mut(), sums, bias, start > 0, is_last.then_some(self.layer.activation));
            }
        }
    }
}

/// Adds what earlier inputs gave, and after the last the bias and the activation.
#[inline(always)]
fn finish(out: &mut [f32], sums: &[f32], bias: &[f32], has_earlier: bool, activation: Option<Activation>) {
    for ((out, &sum), &bias) in out.iter_mut().zip(sums).zip(bias) {
        let sum = if has_earlier { *out + sum } else { sum };
        *out = match activation {
            None => sum,
            Some(Activation::Identity) => sum + bias,
            Some(Activation::Gelu) => gelu(sum + bias),
        };
    }
}

/// `rows · packed` for a block of one panel.
#[inline(always)]
fn products<S: Simd, const R: usize>(simd: S, rows: [&[f32]; R], packed: &[f32]) -> [[S::f32s; ACROSS]; R] {
    let (vectors, _) = S::as_simd_f32s(packed);
    let (vectors, _) = vectors.as_chunks::<ACROSS>();
    let n = vectors.len();
    let rows = rows.map(|row| &row[..n]);
    let zeros = [[simd.splat_f32s(0.0); ACROSS]; R];
    let mut total = zeros;
    for start in (0..n).step_by(SPAN) {
        let mut sums = zeros;
        for i in start..n.min(start + SPAN) {
            for r in 0..R {
                let x = simd.splat_f32s(rows[r][i]);
                for v in 0..ACROSS {
                    sums[r][v] = simd.mul_add_e_f32s(x, vectors[i][v], sums[r][v]);
                }
            }
        }
        for r in 0..R {
            for v in 0..ACROSS {
                total[r][v] = simd.add_f32s(total[r][v], sums[r][v]);
            }
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(n: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut draw = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..n).map(|_| draw()).collect()
    }

    #[test]
    fn any_shape_is_the_product_of_its_sums_and_any_batch_the_same_rows() {
        for (n, n_in, n_out) in [(1, 3, 1), (5, 40, 33), (29, 700, 70), (13, 1030, 130), (300, 64, 8), (2, 0, 4), (0, 4, 4)] {
            let (rows, weights, bias) = (values(n * n_in, 1), values(n_in * n_out, 2), values(n_out, 3));
            for activation in [Activation::Identity, Activation::Gelu] {
                let layer = Dense::new(&weights, &bias, activation);
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
}
