//! The mixture loss with its gradient in closed form, in one pass over memory.
//!
//! As tensor operations the loss of a full-size mixture (256 × 8 × 512 outputs) is some forty sweeps over four megabytes,
//! each on one CPU core: a third of a training step. Here one sweep on all cores gives value and gradient.
//! `prediction::mixture_nll` is the reference.
#![expect(clippy::inline_always, reason = "vector instructions reach only what is inlined")]

use burn::tensor::Tensor;
use driftscope_numerics::gelu::exp;
use driftscope_numerics::simd::vectorized;
use rayon::prelude::*;

use super::network::Bound;
use crate::engine::HostTensor;

/// Values side by side in the sums over dimensions.
pub(super) const LANES: usize = 16;

/// Mean −ln Σ_k w_k N(Δ; μ_k, σ_k) over the batch, `[1]`, and its derivatives by the three heads' raw outputs, on a CPU device and
/// outside any graph: logits `[batch, components]`, means and unbounded ln σ `[batch, components × dim]`; `deltas [batch, dim]`.
pub(super) fn mixture_slopes(heads: [Tensor<2>; 3], bound: Bound, deltas: Tensor<2>) -> (Tensor<1>, [Tensor<2>; 3]) {
    let ([batch, dim], components, device) = (deltas.dims(), heads[0].dims()[1], deltas.device());
    let mut rows = Rows { dim, components, bound, scale: 1.0 / batch as f32, losses: vec![0.0; batch] };
    let [mut logits, mut means, mut log_sigmas] = heads.map(HostTensor::take);
    rows.replace_by_slopes(logits.values_mut(), means.values_mut(), log_sigmas.values_mut(), HostTensor::take(deltas).values());
    let loss = rows.losses.iter().map(|&l| f64::from(l)).sum::<f64>() / batch as f64;
    (Tensor::full([1], loss, &device), [logits, means, log_sigmas].map(|slopes| slopes.into_tensor(&device)))
}

struct Rows {
    dim: usize,
    components: usize,
    bound: Bound,
    scale: f32,
    losses: Vec<f32>,
}

impl Rows {
    /// Turns the heads' outputs, in place, into the derivatives of the mean loss by them.
    fn replace_by_slopes(&mut self, logits: &mut [f32], means: &mut [f32], log_sigmas: &mut [f32], deltas: &[f32]) {
        let (dim, width, bound, scale) = (self.dim, self.dim * self.components, self.bound, self.scale);
        let heads = logits.par_chunks_mut(self.components).zip(means.par_chunks_mut(width)).zip(log_sigmas.par_chunks_mut(width));
        heads.zip(deltas.par_chunks(dim)).zip(&mut self.losses).for_each(|((((logits, means), log_sigmas), delta), loss)| {
            let exponents: Vec<f32> = means
                .chunks_exact_mut(dim)
                .zip(log_sigmas.chunks_exact_mut(dim))
                .map(|(means, log_sigmas)| component_slopes(means, log_sigmas, delta, bound))
                .collect();
            let log_norm = log_sum_exp(logits.iter().copied());
            let log_p = log_sum_exp(logits.iter().zip(&exponents).map(|(l, e)| l - log_norm - e));
            *loss = 0.5 * dim as f32 * std::f32::consts::TAU.ln() - log_p;
            let components = means.chunks_exact_mut(dim).zip(log_sigmas.chunks_exact_mut(dim)).zip(&exponents);
            for (logit, ((means, log_sigmas), exponent)) in logits.iter_mut().zip(components) {
                let weight = (*logit - log_norm).exp();
                let responsibility = (*logit - log_norm - exponent - log_p).exp();
                *logit = (weight - responsibility) * scale;
                let factor = responsibility * scale;
                means.iter_mut().for_each(|slope| *slope *= factor);
                log_sigmas.iter_mut().for_each(|slope| *slope *= factor);
            }
        });
    }
}

/// Replaces μ and raw ln σ of one component by the derivatives of its exponent `Σ_d ½z² + ln σ` and gives the exponent.
fn component_slopes(means: &mut [f32], log_sigmas: &mut [f32], delta: &[f32], bound: Bound) -> f32 {
    let whole = delta.len() - delta.len() % LANES;
    let ((means, last_means), (log_sigmas, last_log_sigmas)) = (means.split_at_mut(whole), log_sigmas.split_at_mut(whole));
    vectorized(
        #[inline(always)]
        || {
            slopes_by_lanes::<LANES>(means, log_sigmas, &delta[..whole], bound)
                + slopes_by_lanes::<1>(last_means, last_log_sigmas, &delta[whole..], bound)
        },
    )
}

/// [`component_slopes`] of a multiple of `L` dimensions.
#[inline(always)]
fn slopes_by_lanes<const L: usize>(means: &mut [f32], log_sigmas: &mut [f32], delta: &[f32], bound: Bound) -> f32 {
    let mut sums = [0.0; L];
    let (means, log_sigmas, delta) = (means.as_chunks_mut::<L>().0, log_sigmas.as_chunks_mut::<L>().0, delta.as_chunks::<L>().0);
    for ((means, log_sigmas), delta) in means.iter_mut().zip(log_sigmas).zip(delta) {
        for lane in 0..L {
            let (bounded, slope) = bound.value_and_slope(log_sigmas[lane]);
            let inverse = exp(-bounded);
            let z = (delta[lane] - means[lane]) * inverse;
            sums[lane] += 0.5 * z * z + bounded;
            means[lane] = -z * inverse;
            log_sigmas[lane] = (1.0 - z * z) * slope;
        }
    }
    sums.iter().sum()
}

/// ln Σ e^v; −∞ of nothing but −∞, NaN with any NaN.
pub(super) fn log_sum_exp(values: impl Iterator<Item = f32> + Clone) -> f32 {
    let pivot = values.clone().fold(f32::MIN, f32::max);
    pivot + values.map(|v| (v - pivot).exp()).sum::<f32>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::host_values;
    use crate::predict::prediction::mixture_nll;
    use burn::tensor::{Device, TensorData, activation};
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    #[test]
    fn value_and_gradient_are_those_of_the_graph() {
        let (batch, components, dim) = (5, 3, LANES + 4);
        let device = Device::flex().autodiff();
        let mut rng = StdRng::seed_from_u64(2);
        let mut draw = |width: usize| {
            let values: Vec<f32> = (0..batch * width).map(|_| rng.random_range(-2.0..2.0)).collect();
            Tensor::<2>::from_data(TensorData::new(values, [batch, width]), &device).require_grad()
        };
        let heads = [draw(components), draw(components * dim), draw(components * dim)];
        let deltas = draw(dim).detach();
        for bound in [Bound::Soft(-1.0, 1.5), Bound::Hard(-1.0, 1.5)] {
            let (value, slopes) = mixture_slopes(heads.clone().map(Tensor::inner), bound, deltas.clone().inner());
            let [logits, means, log_sigmas] = heads.clone();
            let shape = [batch, components, dim];
            let bounded = bound.apply(log_sigmas).reshape(shape);
            let graph = mixture_nll(&activation::log_softmax(logits, 1), &means.reshape(shape), &bounded, &deltas).mean();
            let (value, reference): (f32, f32) = (value.into_scalar(), graph.clone().into_scalar());
            assert!((value - reference).abs() < 1e-5 * reference.abs().max(1.0), "{value} for {reference}");
            let graph = graph.backward();
            for (head, slopes) in heads.iter().zip(slopes) {
                let (got, want) = (host_values(slopes), host_values(head.grad(&graph).unwrap()));
                assert!(got.iter().zip(&want).all(|(g, w)| (g - w).abs() < 1e-5 * w.abs().max(1.0)), "{bound:?}: {got:?} for {want:?}");
            }
        }
    }
}
