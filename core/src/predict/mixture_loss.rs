//! The mixture loss with its gradient in closed form, in one pass over memory.
//!
//! As tensor operations the loss of a full-size mixture (256 × 8 × 512 outputs) is some forty sweeps over four megabytes,
//! each on one CPU core: a third of a training step. Here one sweep on all cores gives value and gradient. Backpropagation is
//! handed the gradient through `Σ outputs · gradient`, whose derivative it is. `prediction::mixture_nll` is the reference.

use burn::tensor::{Tensor, TensorData};
use rayon::prelude::*;

use super::network::Bound;
use crate::engine::host_values;

/// Mean −ln Σ_k w_k N(Δ; μ_k, σ_k) over the batch, `[1]`, from the three heads' raw outputs on a CPU device: logits
/// `[batch, components]`, means and unbounded ln σ `[batch, components × dim]`; `deltas [batch, dim]`.
pub(super) fn mean_mixture_nll(logits: Tensor<2>, means: Tensor<2>, log_sigmas: Tensor<2>, bound: Bound, deltas: Tensor<2>) -> Tensor<1> {
    let [batch, dim] = deltas.dims();
    let components = logits.dims()[1];
    let mut rows = Rows { dim, components, bound, scale: 1.0 / batch as f32, losses: vec![0.0; batch] };
    let values = |t: &Tensor<2>| host_values(t.clone().inner());
    let (mut logit_slopes, mut mean_slopes, mut log_sigma_slopes) = (values(&logits), values(&means), values(&log_sigmas));
    rows.replace_by_slopes(&mut logit_slopes, &mut mean_slopes, &mut log_sigma_slopes, &host_values(deltas.inner()));
    let loss = rows.losses.iter().map(|&l| f64::from(l)).sum::<f64>() / batch as f64;

    let device = logits.device();
    let carried = [(logits, logit_slopes), (means, mean_slopes), (log_sigmas, log_sigma_slopes)].map(|(outputs, slopes)| {
        let shape = outputs.dims();
        (outputs * Tensor::from_data(TensorData::new(slopes, shape), &device)).sum()
    });
    let [a, b, c] = carried;
    let carried = a + b + c;
    // The value is the loss, the derivative that of `carried`.
    carried.clone() - carried.detach() + loss
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
    let mut exponent = 0.0;
    for ((mean, log_sigma), delta) in means.iter_mut().zip(log_sigmas).zip(delta) {
        let (bounded, slope) = bound.value_and_slope(*log_sigma);
        let inverse = (-bounded).exp();
        let z = (delta - *mean) * inverse;
        exponent += 0.5 * z * z + bounded;
        *mean = -z * inverse;
        *log_sigma = (1.0 - z * z) * slope;
    }
    exponent
}

fn log_sum_exp(values: impl Iterator<Item = f32> + Clone) -> f32 {
    let pivot = values.clone().fold(f32::MIN, f32::max);
    pivot + values.map(|v| (v - pivot).exp()).sum::<f32>().ln()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predict::prediction::mixture_nll;
    use burn::tensor::{Device, activation};
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    #[test]
    fn value_and_gradient_are_those_of_the_graph() {
        let (batch, components, dim) = (5, 3, 4);
        let device = Device::flex().autodiff();
        let mut rng = StdRng::seed_from_u64(2);
        let mut draw = |width: usize| {
            let values: Vec<f32> = (0..batch * width).map(|_| rng.random_range(-2.0..2.0)).collect();
            Tensor::<2>::from_data(TensorData::new(values, [batch, width]), &device).require_grad()
        };
        let heads = [draw(components), draw(components * dim), draw(components * dim)];
        let deltas = draw(dim).detach();
        for bound in [Bound::Soft(-1.0, 1.5), Bound::Hard(-1.0, 1.5)] {
            let [logits, means, log_sigmas] = heads.clone();
            let fused = mean_mixture_nll(logits.clone(), means.clone(), log_sigmas.clone(), bound, deltas.clone());
            let shape = [batch, components, dim];
            let bounded = bound.apply(log_sigmas).reshape(shape);
            let graph = mixture_nll(&activation::log_softmax(logits, 1), &means.reshape(shape), &bounded, &deltas).mean();
            let (value, reference): (f32, f32) = (fused.clone().into_scalar(), graph.clone().into_scalar());
            assert!((value - reference).abs() < 1e-5, "{value} for {reference}");
            let (fused, graph) = (fused.backward(), graph.backward());
            for head in &heads {
                let [got, want] = [&fused, &graph].map(|g| host_values(head.grad(g).unwrap()));
                assert!(got.iter().zip(&want).all(|(g, w)| (g - w).abs() < 1e-5), "{bound:?}: {got:?} for {want:?}");
            }
        }
    }
}
