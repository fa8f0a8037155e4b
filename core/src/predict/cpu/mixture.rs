//! One row of a mixture's outputs, in a single sweep over them.
#![expect(clippy::inline_always, reason = "vector instructions reach only what is inlined")]

use driftscope_numerics::gelu::exp;
use driftscope_numerics::simd::vectorized;

use super::Advance;
use crate::predict::MagnitudeRule;
use crate::predict::mixture_loss::{LANES, log_sum_exp};
use crate::predict::network::{Bound, hard};
use crate::predict::prediction::LOG_2PI;

/// One row of a mixture's outputs.
pub(super) struct MixtureRow<'a> {
    /// Logits, replaced by ln of each component's part in p(Δ).
    pub(super) log_parts: &'a mut [f32],
    pub(super) means: &'a [f32],
    pub(super) log_sigmas: &'a [f32],
    pub(super) delta: &'a [f32],
    /// Unit of the outputs and its logarithm, `[dim]` each.
    pub(super) units: [&'a [f32]; 2],
}

impl MixtureRow<'_> {
    /// Writes mean and advance, gives −ln p(Δ).
    pub(super) fn answer(self, bound: Bound, advance: Advance, draw: &[f32], points: [&mut [f32]; 2]) -> f32 {
        vectorized(
            #[inline(always)]
            || match bound {
                Bound::Hard(low, high) => {
                    let (low, high) = (low as f32, high as f32);
                    self.sweep(advance, draw, points, |x| hard(x, low, high))
                }
                Bound::Soft(low, high) => {
                    let (mid, half) = (f64::midpoint(low, high) as f32, ((high - low) / 2.0) as f32);
                    let inverse = 1.0 / half;
                    self.sweep(advance, draw, points, |x| {
                        let u = (x - mid) * inverse;
                        u / (u * u + 1.0).sqrt() * half + mid
                    })
                }
            },
        )
    }

    #[inline(always)]
    fn sweep(self, how: Advance, draw: &[f32], [mean, advance]: [&mut [f32]; 2], bounded: impl Fn(f32) -> f32) -> f32 {
        let Self { log_parts, means, log_sigmas, delta, units: [unit, log_unit] } = self;
        let dim = delta.len();
        let whole = dim - dim % LANES;
        let log_norm = log_sum_exp(log_parts.iter().copied());
        let chosen = match how.rule {
            MagnitudeRule::Sample => pick(log_parts, log_norm, draw[0]),
            _ => (1..log_parts.len()).fold(0, |best, k| if log_parts[k] > log_parts[best] { k } else { best }),
        };
        mean.fill(0.0);
        for k in 0..log_parts.len() {
            let (means, log_sigmas) = (&means[k * dim..(k + 1) * dim], &log_sigmas[k * dim..(k + 1) * dim]);
            let columns = [means, log_sigmas, delta, unit, log_unit];
            let log_weight = log_parts[k] - log_norm;
            let weight = log_weight.exp();
            let exponent = add_component::<LANES>(columns.map(|c| &c[..whole]), weight, &mut mean[..whole], &bounded)
                + add_component::<1>(columns.map(|c| &c[whole..]), weight, &mut mean[whole..], &bounded);
            log_parts[k] = log_weight - exponent;
        }
        let component = chosen * dim..(chosen + 1) * dim;
        let (means, log_sigmas) = (&means[component.clone()], &log_sigmas[component]);
        match how.rule {
            MagnitudeRule::Mean | MagnitudeRule::Median => advance.copy_from_slice(mean),
            MagnitudeRule::Mode => advance.iter_mut().zip(means).zip(unit).for_each(|((out, mean), unit)| *out = mean * unit),
            MagnitudeRule::Sample => {
                let moments = means.iter().zip(log_sigmas).zip(unit.iter().zip(log_unit));
                advance.iter_mut().zip(moments).zip(&draw[1..]).for_each(|((out, ((mean, log_sigma), (unit, log_unit))), z)| {
                    *out = mean * unit + exp(bounded(*log_sigma) + log_unit) * (z * how.temperature);
                });
            }
        }
        0.5 * dim as f32 * LOG_2PI as f32 - log_sum_exp(log_parts.iter().copied())
    }
}

/// The component that `uniform` (0 ..= 1) falls on.
fn pick(logits: &[f32], log_norm: f32, uniform: f32) -> usize {
    let weights = logits.iter().map(|logit| (logit - log_norm).exp());
    let mut left = uniform * weights.clone().sum::<f32>();
    let chosen = weights.clone().position(|weight| {
        left -= weight;
        left < 0.0
    });
    chosen.unwrap_or(logits.len() - 1)
}

/// Σ_d ½z² + ln σ over columns (μ, ln σ, Δ, unit, ln unit) of a multiple of `L` dimensions; adds `weight · μ` to `mean`.
#[inline(always)]
fn add_component<const L: usize>(columns: [&[f32]; 5], weight: f32, mean: &mut [f32], bounded: &impl Fn(f32) -> f32) -> f32 {
    let [means, log_sigmas, deltas, units, log_units] = columns.map(|column| column.as_chunks::<L>().0);
    let mut sums = [0.0; L];
    for (i, mean) in mean.as_chunks_mut::<L>().0.iter_mut().enumerate() {
        let (mu, log_sigma, delta, unit, log_unit) = (&means[i], &log_sigmas[i], &deltas[i], &units[i], &log_units[i]);
        for lane in 0..L {
            let mu = mu[lane] * unit[lane];
            let log_sigma = bounded(log_sigma[lane]) + log_unit[lane];
            let z = (delta[lane] - mu) * exp(-log_sigma);
            sums[lane] += 0.5 * z * z + log_sigma;
            mean[lane] += weight * mu;
        }
    }
    sums.iter().sum()
}
