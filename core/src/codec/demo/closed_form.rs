//! The linear codec in closed form: principal components of patches, a ridge from latents in context back to patches, and a
//! ridge from mel bands to bins. It is the floor that the trained network is compared with, and what it starts from.

use driftscope_numerics::linear::{Accum, Mat, MatRef, multiply, solve_positive_definite, symmetric_eigen};

use super::features::{FRAMES_PER_LATENT, N_MELS, PATCH};
use super::network::NetworkConfig;

/// Ridge penalty, on sums over all training frames of values near 1.
const LAMBDA: f64 = 0.1;

/// Features of one utterance, already divided by the scale.
pub(super) struct Example {
    /// `[n_latents, 640]`
    pub(super) patches: Vec<f32>,
    /// `[8 · n_latents, n_bins]`
    pub(super) targets: Vec<f32>,
}

/// Weights of the linear codec; matrices are `[input, output]` row-major.
pub(super) struct LinearWeights {
    pub(super) encoder: Vec<f32>,
    pub(super) encoder_bias: Vec<f32>,
    pub(super) decoder: Vec<f32>,
    pub(super) decoder_bias: Vec<f32>,
    pub(super) spread: Vec<f32>,
}

/// Fits all three parts; whitened latents in order of variance.
pub(super) fn fit_linear(examples: &[Example], config: &NetworkConfig) -> Result<LinearWeights, String> {
    let dim = config.latent_dim;
    let (mean, components, variance) = principal_components(examples, dim)?;
    let mut encoder = vec![0_f32; PATCH * dim];
    let mut encoder_bias = vec![0_f32; dim];
    for d in 0..dim {
        let scale = 1.0 / variance[d].max(1e-12).sqrt();
        for p in 0..PATCH {
            encoder[p * dim + d] = (components[(p, d)] * scale) as f32;
        }
        encoder_bias[d] = -(0..PATCH).map(|p| components[(p, d)] * scale * mean[p]).sum::<f64>() as f32;
    }
    let context = (config.past_latents + 2) * dim;
    let mut to_patch = Ridge::new(context + 1, PATCH);
    let mut to_bins = Ridge::new(N_MELS, config.n_bins);
    for example in examples {
        let latents = project(&example.patches, &encoder, &encoder_bias);
        let rows = with_context(&latents, dim, config.past_latents);
        to_patch.add(&rows, &example.patches);
        to_bins.add(&example.patches, &example.targets);
    }
    let decoder = to_patch.solve()?;
    let (weights, bias) = decoder.split_at(context * PATCH);
    Ok(LinearWeights { encoder, encoder_bias, decoder: weights.to_vec(), decoder_bias: bias.to_vec(), spread: to_bins.solve()? })
}

/// Standard deviation of all patch values: the one scale of the codec.
pub(super) fn patch_scale<'a>(patches: impl Iterator<Item = &'a [f32]>) -> f32 {
    let (mut n, mut sum, mut squares) = (0_u64, 0_f64, 0_f64);
    for &value in patches.flatten() {
        n += 1;
        sum += f64::from(value);
        squares += f64::from(value).powi(2);
    }
    let n = n.max(1) as f64;
    (squares / n - (sum / n).powi(2)).max(1e-12).sqrt() as f32
}

/// Mean, leading eigenvectors `[640, dim]` and eigenvalues of the patches' covariance.
fn principal_components(examples: &[Example], dim: usize) -> Result<(Vec<f64>, Mat<f64>, Vec<f64>), String> {
    let mut moments = Mat::<f64>::zeros(PATCH, PATCH);
    let (mut n, mut mean) = (0_usize, vec![0_f64; PATCH]);
    for example in examples {
        let x = matrix(&example.patches, PATCH);
        multiply(moments.as_mut(), Accum::Add, x.transpose(), x.as_ref(), 1.0);
        n += x.nrows();
        for row in example.patches.chunks_exact(PATCH) {
            mean.iter_mut().zip(row).for_each(|(m, &v)| *m += f64::from(v));
        }
    }
    if n <= dim {
        return Err(format!("{n} latents of sound are too few to fit {dim} components; give at least a minute of speech"));
    }
    mean.iter_mut().for_each(|m| *m /= n as f64);
    let covariance = Mat::from_fn(PATCH, PATCH, |i, j| moments[(i, j)] / n as f64 - mean[i] * mean[j]);
    let (values, vectors) = symmetric_eigen(covariance.as_ref()).ok_or("the features hold numbers that are not finite")?;
    let components = Mat::from_fn(PATCH, dim, |p, d| {
        let column = vectors.col(PATCH - 1 - d);
        let largest = column.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap_or(1.0);
        column[p] * largest.signum()
    });
    Ok((mean, components, (0..dim).map(|d| values[PATCH - 1 - d]).collect()))
}

fn project(patches: &[f32], encoder: &[f32], bias: &[f32]) -> Vec<f32> {
    let dim = bias.len();
    let x = matrix(patches, PATCH);
    let mut z = Mat::zeros(x.nrows(), dim);
    multiply(z.as_mut(), Accum::Replace, x.as_ref(), matrix(encoder, dim).as_ref(), 1.0);
    (0..z.nrows()).flat_map(|t| (0..dim).map(move |d| (t, d))).map(|(t, d)| z[(t, d)] as f32 + bias[d]).collect()
}

/// Rows `[z[t − past], …, z[t + 1], 1]`, zeros beyond the ends: the order of [`super::network::in_context`].
fn with_context(latents: &[f32], dim: usize, past: usize) -> Vec<f32> {
    let n = latents.len() / dim;
    let mut rows = Vec::with_capacity(n * ((past + 2) * dim + 1));
    for t in 0..n {
        for source in t as isize - past as isize..=t as isize + 1 {
            match usize::try_from(source).ok().filter(|&s| s < n) {
                Some(s) => rows.extend_from_slice(&latents[s * dim..(s + 1) * dim]),
                None => rows.extend(std::iter::repeat_n(0.0, dim)),
            }
        }
        rows.push(1.0);
    }
    rows
}

fn matrix(values: &[f32], columns: usize) -> Mat<f64> {
    Mat::from_fn(values.len() / columns, columns, |i, j| f64::from(values[i * columns + j]))
}

/// Normal equations of a ridge regression.
struct Ridge {
    inputs: Mat<f64>,
    outputs: Mat<f64>,
}

impl Ridge {
    fn new(n_inputs: usize, n_outputs: usize) -> Self {
        Self { inputs: Mat::zeros(n_inputs, n_inputs), outputs: Mat::zeros(n_inputs, n_outputs) }
    }

    fn add(&mut self, x: &[f32], y: &[f32]) {
        let (x, y) = (matrix(x, self.inputs.nrows()), matrix(y, self.outputs.ncols()));
        multiply(self.inputs.as_mut(), Accum::Add, x.transpose(), x.as_ref(), 1.0);
        multiply(self.outputs.as_mut(), Accum::Add, x.transpose(), y.as_ref(), 1.0);
    }

    /// Weights `[n_inputs, n_outputs]` row-major.
    fn solve(mut self) -> Result<Vec<f32>, String> {
        for i in 0..self.inputs.nrows() {
            self.inputs[(i, i)] += LAMBDA;
        }
        let weights = solve_positive_definite(self.inputs.as_ref(), self.outputs.as_ref())
            .ok_or("no ridge solution: the features repeat each other")?;
        Ok(row_major(weights.as_ref()))
    }
}

fn row_major(m: MatRef<'_, f64>) -> Vec<f32> {
    (0..m.nrows()).flat_map(|i| (0..m.ncols()).map(move |j| (i, j))).map(|(i, j)| m[(i, j)] as f32).collect()
}

const _: () = assert!(PATCH == FRAMES_PER_LATENT * N_MELS);
