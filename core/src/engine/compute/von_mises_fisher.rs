//! Direction ~ vMF(μ, κ) and magnitude ~ LogNormal from the heads' outputs.

use super::Step;
use super::mixture::HALF_LOG_2PI;
use super::network::{Bound, Order, Rule, VonMisesFisherHead};

/// The shader.
pub const WGSL: &str = include_str!("../../../../shaders/compute/von_mises_fisher.wgsl");

/// Proposals that an angle is chosen from. Each is accepted with a probability of at least 0.65, whatever D and κ are: one draw in
/// 10¹⁴ has to take the last.
pub const PROPOSALS: usize = 32;

#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
struct BoundUniforms {
    is_soft: u32,
    bound: [f32; 2],
    padding: u32,
}

impl std::convert::From<Bound> for BoundUniforms {
    fn from(bound: Bound) -> Self {
        let (is_soft, bound) = bound.parts();
        Self { is_soft, bound, padding: 0 }
    }
}

/// `VonMisesFisher` of the shader.
#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub(super) struct Uniforms {
    bounds: [BoundUniforms; 3],
    mean: f32,
    std: f32,
    table_low: f32,
    table_steps: f32,
    table_slope: f32,
    n_cells: u32,
    padding: [u32; 2],
}

impl Uniforms {
    pub(super) fn of(head: &VonMisesFisherHead) -> Self {
        Self {
            bounds: [head.log_kappa, head.mu_logm, head.log_sigma_logm].map(BoundUniforms::from),
            mean: head.log_magnitude.0,
            std: head.log_magnitude.1,
            table_low: head.table_low,
            table_steps: head.table_steps,
            table_slope: head.table_slope,
            n_cells: head.table.len() as u32,
            padding: [0; 2],
        }
    }
}

/// CPU twin: `heads [n_rows, dim + 3]`, `truth [n_segments, length, dim]` and, for samples, `draws [_, 2 · PROPOSALS + 1 + dim]`
/// (proposals as a Beta((D−1)/2, (D−1)/2) variate and the logarithm of a uniform, a normal for the magnitude, and one for each
/// dimension) to `readings [n_rows, 2 · dim + 2]`.
pub fn von_mises_fisher(
    step: &Step,
    head: &VonMisesFisherHead,
    heads: &[f32],
    truth: &[f32],
    orders: &[Order],
    draws: &[f32],
    readings: &mut [f32],
) {
    let dim = step.dim as usize;
    let width = 2 * PROPOSALS + 1 + dim;
    for (row, (outputs, reading)) in heads.chunks_exact(dim + 3).zip(readings.chunks_exact_mut(2 * dim + 2)).enumerate() {
        let after = step.true_after(row);
        let delta: Vec<f32> = (0..dim).map(|d| truth[after + d] - truth[after - dim + d]).collect();
        let (direction, scalars) = outputs.split_at(dim);
        let outputs = Outputs { direction, log_kappa: scalars[0], mu_logm: scalars[1], log_sigma_logm: scalars[2] };
        let draw = orders[step.order(row)].draw as usize + row % step.n_segments as usize;
        let draw = if step.rule == Rule::Sample as u32 { &draws[draw * width..][..width] } else { &[] };
        let rule = [Rule::Mean, Rule::Median, Rule::Mode, Rule::Sample][step.rule as usize];
        let (points, likelihoods) = reading.split_at_mut(2 * dim);
        let (mean, advance) = points.split_at_mut(dim);
        likelihoods.copy_from_slice(&read(head, &outputs, &delta, rule, step.temperature, draw, [mean, advance]));
    }
}

/// The network's outputs for one row.
#[derive(Clone, Copy, Debug)]
pub struct Outputs<'a> {
    /// `[dim]`
    pub direction: &'a [f32],
    /// ln κ.
    pub log_kappa: f32,
    /// μ of ln‖Δ‖.
    pub mu_logm: f32,
    /// ln σ of it.
    pub log_sigma_logm: f32,
}

/// −ln p of `delta` and the factored number; writes E\[Δ\] and what the state advances by, `[dim]` each. `draw` is asked for by rule
/// "sample" only.
pub fn read(
    head: &VonMisesFisherHead,
    outputs: &Outputs,
    delta: &[f32],
    rule: Rule,
    temperature: f32,
    draw: &[f32],
    [mean, advance]: [&mut [f32]; 2],
) -> [f32; 2] {
    let dim = delta.len();
    let delta_norm = norm(delta);
    let raw_norm = norm(outputs.direction);
    mean.iter_mut().zip(outputs.direction).for_each(|(out, x)| *out = x / raw_norm);
    let half_square = 0.5 * sum(dim, |d| (mean[d] - delta[d] / delta_norm).powi(2));
    let log_kappa = head.log_kappa.apply(outputs.log_kappa);
    let log_magnitude = head.mu_logm.apply(outputs.mu_logm) * head.log_magnitude.1 + head.log_magnitude.0;
    let log_sigma = head.log_sigma_logm.apply(outputs.log_sigma_logm) + head.log_magnitude.1.ln();
    let z = (delta_norm.ln() - log_magnitude) * (-log_sigma).exp();
    let direction_nll = log_kappa.exp() * half_square - log_normalizer_plus_kappa(head, log_kappa);
    let factored = direction_nll + (delta_norm.ln() + log_sigma + 0.5 * z * z + HALF_LOG_2PI);
    let variance = (2.0 * log_sigma).exp();
    let mean_size = (log_magnitude + 0.5 * variance).exp();
    let size = match rule {
        Rule::Mean => mean_size,
        Rule::Median => log_magnitude.exp(),
        Rule::Mode => (log_magnitude - variance).exp(),
        Rule::Sample => (log_magnitude + log_sigma.exp() * (draw[2 * PROPOSALS] * temperature)).exp(),
    };
    if rule == Rule::Sample {
        let (proposals, normals) = draw.split_at(2 * PROPOSALS);
        turn(mean, log_kappa.exp(), temperature, proposals, &normals[1..], advance);
    } else {
        advance.copy_from_slice(mean);
    }
    advance.iter_mut().for_each(|x| *x *= size);
    mean.iter_mut().for_each(|x| *x *= mean_size);
    [factored + delta_norm.ln() * (dim as f32 - 1.0), factored]
}

/// At least 1e-8; NaN stays.
fn norm(values: &[f32]) -> f32 {
    let norm = sum(values.len(), |d| values[d] * values[d]).sqrt();
    if norm < 1e-8 { 1e-8 } else { norm }
}

/// Σ of `n` terms, sixteen sums side by side: in one long sum rounding would grow faster.
fn sum(n: usize, term: impl Fn(usize) -> f32) -> f32 {
    let mut lanes = [0.0; 16];
    (0..n).for_each(|i| lanes[i % 16] += term(i));
    lanes.iter().sum()
}

fn log_normalizer_plus_kappa(head: &VonMisesFisherHead, log_kappa: f32) -> f32 {
    let position = (log_kappa - head.table_low) * head.table_steps;
    let inside = position.clamp(0.0, head.table.len() as f32);
    let cell = (inside as usize).min(head.table.len() - 1);
    let (t, [c0, c1, c2, c3]) = (inside - cell as f32, head.table[cell]);
    ((c3 * t + c2) * t + c1) * t + c0 + (position - inside).max(0.0) * head.table_slope
}

/// Writes `direction` turned by an angle from the proposals towards the normals; temperature T makes the concentration κ/T².
fn turn(direction: &[f32], kappa: f32, temperature: f32, proposals: &[f32], normals: &[f32], turned: &mut [f32]) {
    let squared = temperature * temperature;
    let apart = if squared > 0.0 { one_minus_cos(direction.len(), kappa / squared, proposals) } else { 0.0 };
    let (cos, sin) = (1.0 - apart, (apart * (2.0 - apart)).max(0.0).sqrt());
    let along = sum(direction.len(), |d| normals[d] * direction[d]);
    turned.iter_mut().zip(normals).zip(direction).for_each(|((tangent, t), m)| *tangent = t - along * m);
    let across = sum(turned.len(), |d| turned[d] * turned[d]).sqrt().max(1e-30);
    turned.iter_mut().zip(direction).for_each(|(tangent, m)| *tangent = cos * m + sin * *tangent / across);
}

/// 1 − cos of the angle to the mean direction, by rejection from a transformed Beta (Wood 1994).
fn one_minus_cos(dim: usize, kappa: f32, proposals: &[f32]) -> f32 {
    let m = dim as f32 - 1.0;
    let b = m / (2.0 * kappa + (4.0 * kappa * kappa + m * m).sqrt());
    let mut found = 0.0;
    for &[z, log_uniform] in proposals.as_chunks::<2>().0 {
        let q = 1.0 - (1.0 - b) * z;
        found = 2.0 * b * z / q;
        // ln of target over proposal at 1 − found, against its largest value: large terms have canceled on paper.
        let log_ratio = kappa * 2.0 * b * (1.0 - 2.0 * z) / ((1.0 + b) * q) + m * ((1.0 + b) / (2.0 * q)).ln();
        if log_ratio >= log_uniform {
            break;
        }
    }
    found
}
