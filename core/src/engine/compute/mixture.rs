//! A mixture of diagonal Gaussians over Δ from the heads' outputs.

use super::Step;
use super::network::{MixtureHead, Order};

/// The shader.
pub const WGSL: &str = include_str!("../../../../shaders/compute/mixture.wgsl");

/// `Mixture` of the shader.
#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Uniforms {
    n_components: u32,
    stride: u32,
    is_soft: u32,
    bound: [f32; 2],
}

impl Uniforms {
    pub(super) fn of(head: &MixtureHead) -> Self {
        let (is_soft, bound) = head.log_sigma.parts();
        Self { n_components: head.n_components as u32, stride: (head.n_components * (2 * head.delta_std.len() + 1)) as u32, is_soft, bound }
    }
}

/// CPU twin: `heads [n_rows, n_columns]`, `truth [n_segments, length, dim]` and, for samples, `draws [_, 1 + dim]` (a uniform, and a
/// normal for each dimension) to `readings [n_rows, 2 · dim + 2]`.
pub fn mixture(step: &Step, head: &MixtureHead, heads: &[f32], truth: &[f32], orders: &[Order], draws: &[f32], readings: &mut [f32]) {
    let (dim, n) = (step.dim as usize, head.n_components);
    for (row, (outputs, reading)) in heads.chunks_exact(n * (2 * dim + 1)).zip(readings.chunks_exact_mut(2 * dim + 2)).enumerate() {
        let (means, rest) = outputs.split_at(n * dim);
        let (log_sigmas, logits) = rest.split_at(n * dim);
        let mean = |k: usize, d: usize| means[k * dim + d] * head.delta_std[d];
        let log_sigma = |k: usize, d: usize| head.log_sigma.apply(log_sigmas[k * dim + d]) + head.log_delta_std[d];
        let log_norm = log_sum_exp(logits);
        let weights: Vec<f32> = logits.iter().map(|logit| (logit - log_norm).exp()).collect();
        let after = step.true_after(row);
        let log_parts: Vec<f32> = (0..n)
            .map(|k| {
                let exponent = (0..dim).map(|d| {
                    let z = (truth[after + d] - truth[after - dim + d] - mean(k, d)) * (-log_sigma(k, d)).exp();
                    0.5 * z * z + log_sigma(k, d)
                });
                logits[k] - log_norm - exponent.sum::<f32>()
            })
            .collect();
        let nll = HALF_LOG_2PI * dim as f32 - log_sum_exp(&log_parts);
        reading[2 * dim..].fill(nll);
        let draw = orders[step.order(row)].draw as usize + row % step.n_segments as usize;
        let draw = if step.rule == 3 { &draws[draw * (1 + dim)..][..=dim] } else { &[] };
        let chosen = draw.first().map_or_else(|| heaviest(logits), |&uniform| pick(&weights, uniform));
        for d in 0..dim {
            reading[d] = (0..n).map(|k| weights[k] * mean(k, d)).sum();
            reading[dim + d] = match step.rule {
                0 | 1 => reading[d],
                2 => mean(chosen, d),
                _ => mean(chosen, d) + log_sigma(chosen, d).exp() * (draw[1 + d] * step.temperature),
            };
        }
    }
}

/// ½ ln 2π
pub(super) const HALF_LOG_2PI: f32 = 0.918_938_5;

fn heaviest(logits: &[f32]) -> usize {
    (1..logits.len()).fold(0, |best, k| if logits[k] > logits[best] { k } else { best })
}

/// The component that `uniform` (0 ..= 1) falls on.
fn pick(weights: &[f32], uniform: f32) -> usize {
    let mut left = uniform * weights.iter().sum::<f32>();
    let chosen = weights.iter().position(|weight| {
        left -= weight;
        left < 0.0
    });
    chosen.unwrap_or(weights.len() - 1)
}

/// ln Σ e^v; −∞ of nothing but −∞, NaN with any NaN.
fn log_sum_exp(values: &[f32]) -> f32 {
    let pivot = values.iter().copied().fold(f32::MIN, f32::max);
    pivot + values.iter().map(|v| (v - pivot).exp()).sum::<f32>().ln()
}
