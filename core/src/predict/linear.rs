//! Ridge regression from standardized windows, in closed form.

use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use driftscope_numerics::linear::{Accum, Mat, MatMut, MatRef, add_gram_lower, multiply, multiply_f32, solve_positive_definite};

use super::Prediction;
use super::cpu::Packed;
use super::network::InputScaling;
use crate::engine::is_cpu;
use crate::job::{Cancelled, JobCtx};
use crate::represent::Normalizer;

/// Rows that are standardized and accumulated at once.
const BLOCK_ROWS: usize = 512;

/// `y = ((window − mean) / std) · weights + bias`, per-dimension residual variance kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Ridge {
    /// Frame mean used to standardize inputs, `[dim]`.
    pub input_mean: Vec<f32>,
    /// Frame standard deviation, `[dim]`.
    pub input_std: Vec<f32>,
    /// `[window × dim, outputs]`
    pub weights: Vec<f32>,
    /// `[outputs]`
    pub bias: Vec<f32>,
    /// Residual variance on the training rows, `[outputs]`.
    pub residual_variance: Vec<f32>,
}

impl Ridge {
    /// Fits `targets [n, outputs]` from `contexts [n, window × dim]` with penalty `lambda` on standardized inputs
    /// (bias not penalized); normal equations in f64, accumulated block by block. NaN in the data gives NaN weights.
    pub fn fit(ctx: &JobCtx, contexts: &[f32], targets: &[f32], n: usize, dim: usize, lambda: f64) -> Result<Self, Cancelled> {
        fit_rows(ctx, &Matrices { contexts, targets, n, dim }, lambda)
    }

    /// Predicted targets `[n, outputs]` for `contexts [n, window × dim]`.
    pub fn apply(&self, contexts: &[f32], n: usize) -> Vec<f32> {
        let (q, dim) = (self.bias.len(), self.input_mean.len());
        let p = self.weights.len() / q.max(1);
        let weights = MatRef::from_row_major_slice(&self.weights, p, q);
        let mut out = self.bias.repeat(n);
        for (context, out) in contexts.chunks(BLOCK_ROWS * p.max(1)).zip(out.chunks_mut(BLOCK_ROWS * q.max(1))) {
            let rows = out.len() / q.max(1);
            let z = Mat::from_fn(rows, p, |i, j| (context[i * p + j] - self.input_mean[j % dim]) / self.input_std[j % dim]);
            multiply_f32(MatMut::from_row_major_slice_mut(out, rows, q), Accum::Add, z.as_ref(), weights, 1.0);
        }
        out
    }
}

/// Training rows, read one at a time so that windows need not lie in memory as a matrix.
pub(super) trait Rows {
    /// Rows, dimensions of a frame, inputs (window × dim) and outputs.
    fn sizes(&self) -> (usize, usize, usize, usize);
    /// Copies one row out.
    fn read(&self, row: usize, context: &mut [f32], target: &mut [f32]);
}

/// Rows that do lie in memory.
struct Matrices<'a> {
    contexts: &'a [f32],
    targets: &'a [f32],
    n: usize,
    dim: usize,
}

impl Rows for Matrices<'_> {
    fn sizes(&self) -> (usize, usize, usize, usize) {
        (self.n, self.dim, self.contexts.len() / self.n.max(1), self.targets.len() / self.n.max(1))
    }

    fn read(&self, row: usize, context: &mut [f32], target: &mut [f32]) {
        context.copy_from_slice(&self.contexts[row * context.len()..(row + 1) * context.len()]);
        target.copy_from_slice(&self.targets[row * target.len()..(row + 1) * target.len()]);
    }
}

/// Sums over all rows, gathered in a first pass.
struct Moments {
    frame: Normalizer,
    /// Means of the standardized inputs and of the targets.
    inputs: Vec<f64>,
    targets: Vec<f64>,
}

impl Moments {
    fn of(rows: &impl Rows) -> Self {
        let (n, dim, p, q) = rows.sizes();
        let (mut context, mut target) = (vec![0.0; p], vec![0.0; q]);
        let (mut sums, mut squares, mut targets) = (vec![0.0; p], vec![0.0; dim], vec![0.0; q]);
        for row in 0..n {
            rows.read(row, &mut context, &mut target);
            for (frame, sums) in context.chunks_exact(dim).zip(sums.chunks_exact_mut(dim)) {
                for ((&x, sum), square) in frame.iter().zip(sums).zip(&mut squares) {
                    *sum += f64::from(x);
                    *square += f64::from(x).powi(2);
                }
            }
            targets.iter_mut().zip(&target).for_each(|(sum, &y)| *sum += f64::from(y));
        }
        let (n, n_frames) = (n.max(1) as f64, (n * p / dim.max(1)).max(1) as f64);
        let mean: Vec<f64> = (0..dim).map(|d| sums.iter().skip(d).step_by(dim).sum::<f64>() / n_frames).collect();
        let std: Vec<f64> = squares.iter().zip(&mean).map(|(s, m)| (s / n_frames - m * m).max(0.0).sqrt().max(1e-4)).collect();
        Self {
            inputs: sums.iter().enumerate().map(|(j, s)| (s / n - mean[j % dim]) / std[j % dim]).collect(),
            targets: targets.iter().map(|s| s / n).collect(),
            frame: Normalizer { mean: mean.iter().map(|&m| m as f32).collect(), std: std.iter().map(|&s| s as f32).collect() },
        }
    }
}

/// Standardized, centered rows `start..start + count` in f64: inputs and targets.
fn centered_block(rows: &impl Rows, moments: &Moments, start: usize, count: usize) -> (Mat<f64>, Mat<f64>) {
    let (_, dim, p, q) = rows.sizes();
    let (mut context, mut target) = (vec![0.0; p], vec![0.0; q]);
    let (mut z, mut y) = (Mat::zeros(count, p), Mat::zeros(count, q));
    for i in 0..count {
        rows.read(start + i, &mut context, &mut target);
        for (j, &x) in context.iter().enumerate() {
            let (mean, std) = (f64::from(moments.frame.mean[j % dim]), f64::from(moments.frame.std[j % dim]));
            z[(i, j)] = (f64::from(x) - mean) / std - moments.inputs[j];
        }
        target.iter().enumerate().for_each(|(j, &t)| y[(i, j)] = f64::from(t) - moments.targets[j]);
    }
    (z, y)
}

/// The fit itself: two passes over the rows, memory for one block and the `(window × dim)²` Gram matrix.
pub(super) fn fit_rows(ctx: &JobCtx, rows: &impl Rows, lambda: f64) -> Result<Ridge, Cancelled> {
    let (n, _, p, q) = rows.sizes();
    let moments = Moments::of(rows);
    let mut gram = Mat::<f64>::zeros(p, p);
    let mut cross = Mat::<f64>::zeros(p, q);
    let mut target_squares = vec![0.0; q];
    for start in (0..n).step_by(BLOCK_ROWS) {
        ctx.cancel.check()?;
        ctx.progress.report("fit ridge", start as u64, Some(n as u64), "");
        let (z, y) = centered_block(rows, &moments, start, BLOCK_ROWS.min(n - start));
        add_gram_lower(gram.as_mut(), z.as_ref());
        multiply(cross.as_mut(), Accum::Add, z.transpose(), y.as_ref(), 1.0);
        target_squares.iter_mut().enumerate().for_each(|(j, squares)| *squares += y.col(j).squared_norm_l2());
    }
    ctx.cancel.check()?;
    let lambda = effective_penalty(&gram, lambda);
    let weights = solve(gram, &cross, lambda);

    let dot = |a: &Mat<f64>, b: &Mat<f64>, j: usize| (0..p).map(|i| a[(i, j)] * b[(i, j)]).sum::<f64>();
    // ‖y − Zw‖² = yᵀy − wᵀZᵀy − λ‖w‖², since (ZᵀZ + λ)w = Zᵀy.
    let residual = |j: usize| (target_squares[j] - dot(&weights, &cross, j) - lambda * dot(&weights, &weights, j)) / n.max(1) as f64;
    let bias = |j: usize| moments.targets[j] - (0..p).map(|i| moments.inputs[i] * weights[(i, j)]).sum::<f64>();
    Ok(Ridge {
        bias: (0..q).map(|j| bias(j) as f32).collect(),
        residual_variance: (0..q).map(|j| floored(residual(j)) as f32).collect(),
        weights: (0..p * q).map(|i| weights[(i / q, i % q)] as f32).collect(),
        input_mean: moments.frame.mean,
        input_std: moments.frame.std,
    })
}

/// λ, but at least 1e-9 of the Gram matrix's mean diagonal, so that inputs that repeat each other do not break the factorization.
fn effective_penalty(gram: &Mat<f64>, lambda: f64) -> f64 {
    let p = gram.nrows();
    let trace: f64 = (0..p).map(|i| gram[(i, i)]).sum();
    lambda.max(1e-9 * trace / p.max(1) as f64).max(f64::MIN_POSITIVE)
}

/// `(gram + λ)⁻¹ · cross` from the lower triangle of `gram`; one that is not finite gives NaN.
fn solve(mut gram: Mat<f64>, cross: &Mat<f64>, lambda: f64) -> Mat<f64> {
    let p = gram.nrows();
    (0..p).for_each(|i| gram[(i, i)] += lambda);
    solve_positive_definite(gram.as_ref(), cross.as_ref()).unwrap_or_else(|| Mat::from_fn(p, cross.ncols(), |_, _| f64::NAN))
}

fn floored(variance: f64) -> f64 {
    if variance < 1e-6 { 1e-6 } else { variance }
}

/// A ridge on a device: a Gaussian with the residual's variance in each dimension.
#[derive(Clone, Debug)]
pub(super) struct LinearGaussian {
    pub(super) ridge: Ridge,
    inputs: InputScaling,
    /// `[window × dim, outputs]` and `[1, outputs]`
    map: (Tensor<2>, Tensor<2>),
    log_sigma: Tensor<3>,
    /// On the CPU: the same, packed.
    pub(super) packed: Option<Arc<Packed>>,
}

impl LinearGaussian {
    pub(super) fn new(ridge: Ridge, window: usize, device: &Device) -> Self {
        let q = ridge.bias.len();
        let log_sigma = ridge.residual_variance.iter().map(|v| 0.5 * v.ln()).collect::<Vec<f32>>();
        let weights = TensorData::new(ridge.weights.clone(), [ridge.weights.len() / q.max(1), q]);
        let bias = TensorData::new(ridge.bias.clone(), [1, q]);
        Self {
            inputs: InputScaling::new(&ridge.input_mean, &ridge.input_std, window, device),
            map: (Tensor::from_data(weights, device), Tensor::from_data(bias, device)),
            log_sigma: Tensor::from_data(TensorData::new(log_sigma, [1, 1, q]), device),
            packed: is_cpu(device).then(|| Arc::new(Packed::linear(&ridge, window))),
            ridge,
        }
    }

    pub(super) fn predict(&self, windows: Tensor<2>) -> Prediction {
        let inputs = self.inputs.apply(windows);
        let mean = match &self.packed {
            Some(packed) => {
                let [mean] = packed.outputs(inputs);
                mean
            }
            None => inputs.matmul(self.map.0.clone()) + self.map.1.clone(),
        };
        let [batch, _] = mean.dims();
        Prediction::Mixture {
            log_weights: Tensor::zeros([batch, 1], &mean.device()),
            means: mean.unsqueeze_dim(1),
            log_sigmas: self.log_sigma.clone().repeat_dim(0, batch),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    fn data(n: usize, p: usize) -> Vec<f32> {
        let mut rng = StdRng::seed_from_u64(5);
        (0..n * p).map(|_| rng.random::<f32>() * 4.0 - 1.0).collect()
    }

    fn quiet() -> JobCtx {
        JobCtx::quiet(Device::flex(), 0)
    }

    #[test]
    fn recovers_an_affine_map_and_its_noise() {
        let (n, p, dim) = (3000, 6, 3);
        let contexts = data(n, p);
        let mut rng = StdRng::seed_from_u64(6);
        let targets: Vec<f32> = contexts
            .chunks_exact(p)
            .flat_map(|x| {
                let noise = (rng.random::<f32>() - 0.5) * 12.0_f32.sqrt() * 0.3;
                [2.0 * x[0] - x[5] + 7.0, x[2] + noise]
            })
            .collect();
        let ridge = Ridge::fit(&quiet(), &contexts, &targets, n, dim, 1e-6).unwrap();
        let fitted = ridge.apply(&contexts, n);
        for (got, want) in fitted.chunks_exact(2).zip(targets.chunks_exact(2)) {
            assert!((got[0] - want[0]).abs() < 1e-4, "{got:?} for {want:?}");
        }
        assert!((ridge.residual_variance[1] - 0.09).abs() < 0.006, "{:?}", ridge.residual_variance);

        let on_device = LinearGaussian::new(ridge, 2, &Device::flex());
        let windows = Tensor::from_data(TensorData::new(contexts, [n, p]), &Device::flex());
        let mean = crate::engine::host_values(on_device.predict(windows).mean());
        assert!(mean.iter().zip(&fitted).all(|(a, b)| (a - b).abs() < 1e-4));
    }

    #[test]
    fn a_penalty_shrinks_towards_the_mean_and_spares_the_bias() {
        let (n, p) = (500, 2);
        let contexts = data(n, p);
        let targets: Vec<f32> = contexts.chunks_exact(p).map(|x| 3.0 * x[0] + 100.0).collect();
        let mean = targets.iter().sum::<f32>() / n as f32;
        let ridge = Ridge::fit(&quiet(), &contexts, &targets, n, 2, 1e12).unwrap();
        assert!(ridge.apply(&contexts, n).iter().all(|y| (y - mean).abs() < 1e-2));
    }

    #[test]
    fn degenerate_data_does_not_panic() {
        let same = vec![1.0_f32; 40];
        let ridge = Ridge::fit(&quiet(), &same, &same[..10], 10, 2, 0.0).unwrap();
        assert!(ridge.apply(&same, 10).iter().all(|y| (y - 1.0).abs() < 1e-5));
        let mut poisoned = data(10, 4);
        poisoned[3] = f32::NAN;
        let ridge = Ridge::fit(&quiet(), &poisoned, &same[..10], 10, 2, 1.0).unwrap();
        assert!(ridge.apply(&poisoned, 10).iter().all(|y| y.is_nan()));
    }

    #[test]
    fn stops_when_asked() {
        let ctx = quiet();
        ctx.cancel.cancel();
        assert!(Ridge::fit(&ctx, &data(10, 2), &data(10, 1), 10, 2, 1.0).is_err());
    }
}
