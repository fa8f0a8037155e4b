//! Products of overlapping windows with a matrix: convolutions in time without their input being unfolded.
//!
//! Row `t` of such a product is `x[t·step .. t·step + width]`. Of a signal `[frames, channels]`, `step` and `width` are multiples of its
//! channels; a product with every frame for itself has `step = width = channels`.

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};
use rayon::prelude::*;

use crate::activation::{Activation, activate};

/// Multiplications below which a product is done by the calling thread alone: waking another costs more.
const SHARE: usize = 1 << 19;
/// Weights that stay in a core's own cache.
const CACHED: usize = 1 << 18;
/// Results that do.
const TILE: usize = 1 << 14;
/// Rows below which a tile is not worth packing its weights for.
const TILE_ROWS: usize = 64;

/// Who does a product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workers {
    /// The calling thread.
    Here,
    /// All threads of rayon's pool, where there is enough to do.
    Pool,
}

/// `out = weights · windows of x`, or added to it. `out` is `[n, n_out]`, `weights` `[width, n_out]`, all row-major. Panics where `x` is
/// too short for `n` windows.
#[expect(unsafe_code, reason = "rows that overlap cannot be told to faer in any other way; they are only read")]
pub fn multiply_windows(out: &mut [f32], accumulate: Accum, x: &[f32], step: usize, weights: &[f32], n_out: usize, workers: Workers) {
    let (n, width) = (out.len() / n_out, weights.len() / n_out);
    if n == 0 || width == 0 {
        return;
    }
    assert!((n - 1) * step + width <= x.len(), "{n} windows of {width} every {step} do not fit {} values", x.len());
    // SAFETY: element (t, j) lies at t·step + j <= (n - 1)·step + width - 1, inside `x` by the assertion, and nothing writes to `x`
    // while the view lives.
    let windows = unsafe { MatRef::from_raw_parts(x.as_ptr(), n, width, step as isize, 1) };
    let weights = MatRef::from_row_major_slice(weights, width, n_out);
    multiply(MatMut::from_row_major_slice_mut(out, n, n_out), accumulate, windows, weights, workers);
}

/// `out = a·b`, or added to it.
pub fn multiply(out: MatMut<'_, f32>, accumulate: Accum, a: MatRef<'_, f32>, b: MatRef<'_, f32>, workers: Workers) {
    let alone = workers == Workers::Here || a.nrows() * a.ncols() * b.ncols() < SHARE;
    matmul(out, accumulate, a, b, 1.0, if alone { Par::Seq } else { Par::rayon(0) });
}

/// `out = activation(weights · windows of x + bias)`, as [`multiply_windows`]; `bias` is repeated over a row, or empty.
pub fn convolve(out: &mut [f32], x: &[f32], step: usize, weights: &[f32], n_out: usize, bias: &[f32], activation: Activation) {
    let rows = (TILE / n_out).max(TILE_ROWS);
    if weights.len() > CACHED || out.len() <= rows * n_out {
        multiply_windows(out, Accum::Replace, x, step, weights, n_out, Workers::Pool);
        activate(out, bias, activation);
        return;
    }
    out.par_chunks_mut(rows * n_out).enumerate().for_each(|(i, out)| {
        multiply_windows(out, Accum::Replace, &x[i * rows * step..], step, weights, n_out, Workers::Here);
        activate(out, bias, activation);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against sums written out, below and above every threshold.
    #[test]
    fn windows_are_sums_over_taps() {
        for (n, channels, kernel, stride, n_out) in [(1, 1, 7, 1, 3), (5, 3, 4, 2, 2), (3000, 4, 3, 1, 8), (70, 64, 8, 4, 600)] {
            let x: Vec<f32> = (0..((n - 1) * stride + kernel) * channels).map(|i| ((i * 37) % 101) as f32 / 50.0 - 1.0).collect();
            let weights: Vec<f32> = (0..kernel * channels * n_out).map(|i| ((i * 53) % 89) as f32 / 44.0 - 1.0).collect();
            let bias: Vec<f32> = (0..n_out).map(|i| i as f32 / 8.0).collect();
            let mut out = vec![f32::NAN; n * n_out];
            convolve(&mut out, &x, stride * channels, &weights, n_out, &bias, Activation::Identity);
            for t in [0, n / 2, n - 1] {
                for o in [0, n_out - 1] {
                    let window = &x[t * stride * channels..][..kernel * channels];
                    let sum: f64 = window.iter().zip(weights[o..].iter().step_by(n_out)).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum();
                    let difference = f64::from(out[t * n_out + o]) - sum - f64::from(bias[o]);
                    assert!(difference.abs() < 1e-3, "{n} {channels} {kernel} {stride}: row {t}, column {o} is off by {difference}");
                }
            }
        }
    }
}
