//! What one forward pass gives, and the questions that may be asked of it.
//!
//! Everything is computed on the prediction's device in f32, in forms that neither overflow nor cancel; NaN in gives NaN out.
//! Only samples are drawn on the host, from the generator passed in.

use burn::tensor::{Int, Tensor, TensorData};
use rand::RngExt;
use rand::rngs::StdRng;
use rand_distr::{Distribution, StandardNormal};

use super::von_mises_fisher::{self, LogNormalizer};
use crate::engine::compute::PROPOSALS;
use crate::engine::host_values;

pub(super) const LOG_2PI: f64 = 1.837_877_066_409_345_3;
/// Below this norm a Δ has no direction (the peer's floor).
const MIN_NORM: f32 = 1e-8;

/// How a point is chosen from a predicted distribution to advance the state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MagnitudeRule {
    /// The mean: e^{μ+σ²/2} of a LogNormal magnitude.
    Mean,
    /// The median: e^μ. For a Gaussian mixture, the mean.
    #[default]
    Median,
    /// The mode: e^{μ−σ²}. For a Gaussian mixture, the mean of the heaviest component.
    Mode,
    /// A seeded draw.
    Sample,
}

/// Distributions over Δ, one for each row of a batch, in raw latent units.
#[derive(Clone, Debug)]
pub enum Prediction {
    /// Mixture of diagonal Gaussians.
    Mixture {
        /// `[batch, components]`
        log_weights: Tensor<2>,
        /// `[batch, components, dim]`
        means: Tensor<3>,
        /// ln σ, `[batch, components, dim]`
        log_sigmas: Tensor<3>,
    },
    /// Direction ~ vMF(μ, κ), magnitude ~ LogNormal.
    VmfLogNormal {
        /// Unit mean directions, `[batch, dim]`
        direction: Tensor<2>,
        /// ln κ, `[batch, 1]`
        log_kappa: Tensor<2>,
        /// μ of ln‖Δ‖, `[batch, 1]`
        log_magnitude: Tensor<2>,
        /// ln σ of ln‖Δ‖, `[batch, 1]`
        log_sigma: Tensor<2>,
        /// ln C_D(κ) + κ, exact or the peer's.
        normalizer: LogNormalizer,
    },
    /// A single point without a density (persistence, climatology): likelihood is NaN by definition.
    Point {
        /// `[batch, dim]`
        mean: Tensor<2>,
    },
}

/// A forward pass, read at one Δ for each row.
#[derive(Clone, Debug)]
pub struct Reading {
    /// [`Prediction::nll`], `[batch]`
    pub nll: Tensor<1>,
    /// [`Prediction::nll_factored`], `[batch]`
    pub nll_factored: Tensor<1>,
    /// [`Prediction::mean`], `[batch, dim]`
    pub mean: Tensor<2>,
    /// [`Prediction::advance`], `[batch, dim]`
    pub advance: Tensor<2>,
}

impl Reading {
    /// Reads `prediction` at `deltas [batch, dim]`; the state advances by `rule`.
    pub fn of(prediction: &Prediction, deltas: &Tensor<2>, rule: MagnitudeRule, temperature: f32, rng: &mut StdRng) -> Self {
        let nll = prediction.nll(deltas);
        let nll_factored = match prediction {
            Prediction::VmfLogNormal { .. } => prediction.nll_factored(deltas),
            Prediction::Mixture { .. } | Prediction::Point { .. } => nll.clone(),
        };
        let mean = prediction.mean();
        // The mean is the costly part of a mixture: where the rule asks for it again it is not computed again.
        let advance = match (prediction, rule) {
            (_, MagnitudeRule::Mean) | (Prediction::Mixture { .. }, MagnitudeRule::Median) | (Prediction::Point { .. }, _) => mean.clone(),
            (_, rule) => prediction.advance(rule, temperature, rng),
        };
        Self { nll, nll_factored, mean, advance }
    }
}

impl Prediction {
    /// −ln p(Δ) as a density over Δ ∈ R^D, in nats, `[batch]`. (vMF×LogNormal includes the (D−1)·ln‖Δ‖ Jacobian.)
    pub fn nll(&self, deltas: &Tensor<2>) -> Tensor<1> {
        match self {
            Self::VmfLogNormal { normalizer, .. } => {
                let (_, log_norm) = split_polar(deltas);
                self.nll_factored(deltas) + log_norm.squeeze_dim(1) * (normalizer.dim as f64 - 1.0)
            }
            _ => self.nll_factored(deltas),
        }
    }

    /// The peer's factored number for vMF×LogNormal (density over direction × magnitude, no Jacobian); equal to `nll` for others.
    pub fn nll_factored(&self, deltas: &Tensor<2>) -> Tensor<1> {
        match self {
            Self::Mixture { log_weights, means, log_sigmas } => mixture_nll(log_weights, means, log_sigmas, deltas),
            Self::VmfLogNormal { direction, log_kappa, log_magnitude, log_sigma, normalizer } => {
                let (unit, log_norm) = split_polar(deltas);
                direction_nll(direction, log_kappa, normalizer, unit) + magnitude_nll(log_magnitude, log_sigma, log_norm)
            }
            Self::Point { mean } => Tensor::full([mean.dims()[0]], f32::NAN, &mean.device()),
        }
    }

    /// E[Δ] as the peer's `expected_mean` (vMF: μ·e^{μ_m+σ²/2}), `[batch, dim]`: what cosine and magnitude ratio are taken of.
    pub fn mean(&self) -> Tensor<2> {
        match self {
            Self::Mixture { log_weights, means, .. } => match log_weights.dims()[1] {
                1 => means.clone().squeeze_dim(1),
                _ => (log_weights.clone().exp().unsqueeze_dim::<3>(2) * means.clone()).sum_dim(1).squeeze_dim(1),
            },
            Self::VmfLogNormal { direction, log_magnitude, log_sigma, .. } => {
                direction.clone() * (log_magnitude.clone() + (log_sigma.clone() * 2.0).exp() * 0.5).exp()
            }
            Self::Point { mean } => mean.clone(),
        }
    }

    /// The Δ̂ that a rollout advances by, `[batch, dim]`. `temperature` scales the spread of samples only.
    pub fn advance(&self, rule: MagnitudeRule, temperature: f32, rng: &mut StdRng) -> Tensor<2> {
        match (self, rule) {
            (Self::Point { .. }, _) | (_, MagnitudeRule::Mean) | (Self::Mixture { .. }, MagnitudeRule::Median) => self.mean(),
            (Self::Mixture { log_weights, means, .. }, MagnitudeRule::Mode) => {
                pick_component(means, log_weights.clone().argmax(1).squeeze_dim(1))
            }
            (Self::Mixture { log_weights, means, log_sigmas }, MagnitudeRule::Sample) => {
                sample_mixture(log_weights, means, log_sigmas, temperature, rng)
            }
            (Self::VmfLogNormal { direction, log_magnitude, .. }, MagnitudeRule::Median) => direction.clone() * log_magnitude.clone().exp(),
            (Self::VmfLogNormal { direction, log_magnitude, log_sigma, .. }, MagnitudeRule::Mode) => {
                direction.clone() * (log_magnitude.clone() - (log_sigma.clone() * 2.0).exp()).exp()
            }
            (Self::VmfLogNormal { direction, log_kappa, log_magnitude, log_sigma, .. }, MagnitudeRule::Sample) => {
                sample_vmf(direction, log_kappa, log_magnitude, log_sigma, temperature, rng)
            }
        }
    }
}

/// Unit direction `[batch, dim]` and ln‖Δ‖ `[batch, 1]`, the norm floored so that a zero Δ stays finite.
pub(super) fn split_polar(deltas: &Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    let norm = deltas.clone().square().sum_dim(1).sqrt().clamp_min(MIN_NORM);
    (deltas.clone() / norm.clone(), norm.log())
}

/// −ln Σ_k w_k N(Δ; μ_k, σ_k), `[batch]`.
pub(super) fn mixture_nll(log_weights: &Tensor<2>, means: &Tensor<3>, log_sigmas: &Tensor<3>, deltas: &Tensor<2>) -> Tensor<1> {
    let dim = means.dims()[2] as f64;
    let z = (deltas.clone().unsqueeze_dim::<3>(1) - means.clone()) * log_sigmas.clone().neg().exp();
    let exponent = (z.square() * 0.5 + log_sigmas.clone()).sum_dim(2).squeeze_dim::<2>(2); // [batch, components]
    let log_joint = log_weights.clone() - exponent;
    // A finite pivot keeps −∞ (a Δ of zero density) from turning into NaN.
    let pivot = log_joint.clone().detach().max_dim(1).clamp(f32::MIN, f32::MAX); // [batch, 1]
    let log_p = (log_joint - pivot.clone()).exp().sum_dim(1).log() + pivot;
    log_p.squeeze_dim::<1>(1).neg() + 0.5 * dim * LOG_2PI
}

/// −ln vMF(d; μ, κ), `[batch]`; κ(cos−1) as −κ/2·‖μ−d‖², exact where the two almost agree.
pub(super) fn direction_nll(direction: &Tensor<2>, log_kappa: &Tensor<2>, normalizer: &LogNormalizer, unit: Tensor<2>) -> Tensor<1> {
    let half_square = (direction.clone() - unit).square().sum_dim(1) * 0.5; // [batch, 1]
    (log_kappa.clone().exp() * half_square - normalizer.plus_kappa(log_kappa.clone())).squeeze_dim(1)
}

/// −ln LogNormal(‖Δ‖; μ, σ), `[batch]`.
pub(super) fn magnitude_nll(log_magnitude: &Tensor<2>, log_sigma: &Tensor<2>, log_norm: Tensor<2>) -> Tensor<1> {
    let z = (log_norm.clone() - log_magnitude.clone()) * log_sigma.clone().neg().exp();
    (log_norm + log_sigma.clone() + z.square() * 0.5 + 0.5 * LOG_2PI).squeeze_dim(1)
}

/// Random numbers for `n` samples of a mixture in R^dim: a uniform that chooses the component, and a normal for each dimension,
/// `[n, 1 + dim]`.
pub(super) fn draw_for_mixture(n: usize, dim: usize, rng: &mut StdRng) -> Vec<f32> {
    let mut draws = Vec::with_capacity(n * (1 + dim));
    for _ in 0..n {
        draws.push(rng.random());
        draws.extend(normals(dim, rng));
    }
    draws
}

/// Random numbers for `n` samples of a vMF×LogNormal in R^dim: proposals of an angle, a normal for the magnitude, and one for each
/// dimension, `[n, 2 · PROPOSALS + 1 + dim]`.
pub(super) fn draw_for_vmf(n: usize, dim: usize, rng: &mut StdRng) -> Vec<f32> {
    let mut propose = von_mises_fisher::proposals(dim);
    let mut draws = Vec::with_capacity(n * (2 * PROPOSALS + 1 + dim));
    for _ in 0..n {
        for _ in 0..PROPOSALS {
            let (z, log_uniform) = propose(rng);
            draws.extend([z as f32, log_uniform as f32]);
        }
        draws.extend(normals(1 + dim, rng));
    }
    draws
}

fn normals(n: usize, rng: &mut StdRng) -> impl Iterator<Item = f32> {
    StandardNormal.sample_iter(rng).take(n)
}

/// Row `i` of the result is `values[i, index[i], :]`, `[batch, dim]`.
fn pick_component(values: &Tensor<3>, index: Tensor<1, Int>) -> Tensor<2> {
    let [batch, components, dim] = values.dims();
    let rows = Tensor::<1, Int>::arange(0..batch as i64, &values.device()) * components as i64 + index;
    values.clone().reshape([batch * components, dim]).select(0, rows)
}

fn sample_mixture(log_weights: &Tensor<2>, means: &Tensor<3>, log_sigmas: &Tensor<3>, temperature: f32, rng: &mut StdRng) -> Tensor<2> {
    let [batch, components, dim] = means.dims();
    let weights: Vec<f32> = host_values(log_weights.clone().exp());
    let draws = draw_for_mixture(batch, dim, rng);
    let index = weights.chunks_exact(components).zip(draws.chunks_exact(1 + dim)).map(|(row, draw)| {
        let mut left = draw[0] * row.iter().sum::<f32>();
        let chosen = row.iter().position(|w| {
            left -= w;
            left < 0.0
        });
        chosen.unwrap_or(components - 1) as i64
    });
    let index = Tensor::<1, Int>::from_data(TensorData::new(index.collect::<Vec<i64>>(), [batch]), &means.device());
    let normals: Vec<f32> = draws.chunks_exact(1 + dim).flat_map(|draw| &draw[1..]).map(|z| z * temperature).collect();
    let mean = pick_component(means, index.clone());
    let sigma = pick_component(log_sigmas, index).exp();
    mean + sigma * Tensor::from_data(TensorData::new(normals, [batch, dim]), &means.device())
}

/// One draw for each row, `[batch, dim]`, its direction on the host; temperature T makes the concentration κ/T².
fn sample_vmf(
    direction: &Tensor<2>,
    log_kappa: &Tensor<2>,
    log_magnitude: &Tensor<2>,
    log_sigma: &Tensor<2>,
    temperature: f32,
    rng: &mut StdRng,
) -> Tensor<2> {
    let [batch, dim] = direction.dims();
    let (means, log_kappas) = (host_values(direction.clone()), host_values(log_kappa.clone()));
    let draws = draw_for_vmf(batch, dim, rng);
    let (mut directions, mut normals) = (vec![0.0_f32; batch * dim], Vec::with_capacity(batch));
    let rows = directions.chunks_exact_mut(dim).zip(means.chunks_exact(dim)).zip(log_kappas);
    for (((drawn, mean), log_kappa), draw) in rows.zip(draws.chunks_exact(2 * PROPOSALS + 1 + dim)) {
        let (proposals, rest) = draw.split_at(2 * PROPOSALS);
        let kappa = f64::from(log_kappa).exp() / f64::from(temperature).powi(2);
        von_mises_fisher::sample_drawn(proposals, &rest[1..], mean, kappa, drawn);
        normals.push(rest[0] * temperature);
    }
    let device = direction.device();
    let normals = Tensor::<2>::from_data(TensorData::new(normals, [batch, 1]), &device);
    let size = (log_magnitude.clone() + log_sigma.clone().exp() * normals).exp();
    Tensor::<2>::from_data(TensorData::new(directions, [batch, dim]), &device) * size
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::predict::von_mises_fisher::Formula;
    use burn::tensor::Device;
    use rand::SeedableRng;

    fn rows<const D: usize>(values: &[f32], shape: [usize; D]) -> Tensor<D> {
        Tensor::from_data(TensorData::new(values.to_vec(), shape), &Device::flex())
    }

    fn vmf(direction: &[f32], log_kappa: f32, log_magnitude: f32, log_sigma: f32) -> Prediction {
        let dim = direction.len();
        Prediction::VmfLogNormal {
            direction: rows(direction, [1, dim]),
            log_kappa: rows(&[log_kappa], [1, 1]),
            log_magnitude: rows(&[log_magnitude], [1, 1]),
            log_sigma: rows(&[log_sigma], [1, 1]),
            normalizer: LogNormalizer::new(dim, Formula::Exact, &Device::flex()),
        }
    }

    #[test]
    fn both_families_are_densities_over_delta() {
        // Integrated over a grid of R², each gives 1; a vMF without the Jacobian would not.
        let mixture = Prediction::Mixture {
            log_weights: rows(&[0.3_f32.ln(), 0.7_f32.ln()], [1, 2]),
            means: rows(&[0.5, 0.0, -0.5, 1.0], [1, 2, 2]),
            log_sigmas: rows(&[-0.5, 0.1, 0.0, -0.3], [1, 2, 2]),
        };
        for prediction in [mixture, vmf(&[0.6, 0.8], 1.0, 0.3, -0.7)] {
            let (n, half) = (240_usize, 9.0_f32);
            let step = 2.0 * half / n as f32;
            let grid: Vec<f32> = (0..n * n).flat_map(|i| [(i % n) as f32 + 0.5, (i / n) as f32 + 0.5]).map(|v| v * step - half).collect();
            let p = host_values(prediction.repeat(n * n).nll(&rows(&grid, [n * n, 2])).neg().exp());
            let mass: f64 = p.iter().map(|&p| f64::from(p * step * step)).sum();
            assert!((mass - 1.0).abs() < 2e-3, "{mass}");
        }
    }

    impl Prediction {
        /// The only row, `n` times.
        fn repeat(&self, n: usize) -> Self {
            match self {
                Self::Mixture { log_weights, means, log_sigmas } => Self::Mixture {
                    log_weights: log_weights.clone().repeat_dim(0, n),
                    means: means.clone().repeat_dim(0, n),
                    log_sigmas: log_sigmas.clone().repeat_dim(0, n),
                },
                Self::VmfLogNormal { direction, log_kappa, log_magnitude, log_sigma, normalizer } => Self::VmfLogNormal {
                    direction: direction.clone().repeat_dim(0, n),
                    log_kappa: log_kappa.clone().repeat_dim(0, n),
                    log_magnitude: log_magnitude.clone().repeat_dim(0, n),
                    log_sigma: log_sigma.clone().repeat_dim(0, n),
                    normalizer: normalizer.clone(),
                },
                Self::Point { mean } => Self::Point { mean: mean.clone().repeat_dim(0, n) },
            }
        }
    }

    #[test]
    fn magnitude_rules() {
        let p = vmf(&[0.0, 1.0], 2.0, 0.5, -1.0);
        let variance = (-2.0_f32).exp();
        let mut rng = StdRng::seed_from_u64(1);
        for (rule, want) in [
            (MagnitudeRule::Mean, (0.5 + variance / 2.0).exp()),
            (MagnitudeRule::Median, 0.5_f32.exp()),
            (MagnitudeRule::Mode, (0.5 - variance).exp()),
        ] {
            let got = host_values(p.advance(rule, 1.0, &mut rng));
            assert!(got[0].abs() < 1e-6 && (got[1] - want).abs() < 1e-5, "{rule:?}: {got:?}");
        }
    }

    #[test]
    fn samples_follow_the_distribution() {
        let mut rng = StdRng::seed_from_u64(3);
        let mixture = Prediction::Mixture {
            log_weights: rows(&[0.25_f32.ln(), 0.75_f32.ln()], [1, 2]),
            means: rows(&[-2.0, 4.0], [1, 2, 1]),
            log_sigmas: rows(&[-1.0, -1.0], [1, 2, 1]),
        };
        let draws = host_values(mixture.repeat(4000).advance(MagnitudeRule::Sample, 1.0, &mut rng));
        let mean = draws.iter().sum::<f32>() / 4000.0;
        assert!((mean - 2.5).abs() < 0.15, "{mean}");
        let cold = host_values(mixture.repeat(100).advance(MagnitudeRule::Sample, 0.0, &mut rng));
        assert!(cold.iter().all(|&d| d == -2.0 || d == 4.0));
        assert_eq!(host_values(mixture.advance(MagnitudeRule::Mode, 1.0, &mut rng)), [4.0]);

        let log_norms: Vec<f32> = host_values(vmf(&[0.6, 0.8], 2.0, 1.5, -0.5).repeat(4000).advance(MagnitudeRule::Sample, 1.0, &mut rng))
            .chunks_exact(2)
            .map(|d| d[0].hypot(d[1]).ln())
            .collect();
        let mean = log_norms.iter().sum::<f32>() / 4000.0;
        let sd = (log_norms.iter().map(|l| (l - mean).powi(2)).sum::<f32>() / 4000.0).sqrt();
        assert!((mean - 1.5).abs() < 0.05 && (sd - (-0.5_f32).exp()).abs() < 0.05, "{mean} {sd}");
    }

    /// −ln vMF in f64 from the same f32 numbers.
    fn direction_nll_f64(mean: &[f32], unit: &[f32], log_kappa: f32) -> f64 {
        let (kappa, dim) = (f64::from(log_kappa).exp(), mean.len());
        let square: f64 = mean.iter().zip(unit).map(|(m, u)| (f64::from(*m) - f64::from(*u)).powi(2)).sum();
        let norm = |v: &[f32]| v.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
        let (a, b) = (norm(mean), norm(unit));
        // 1 − cos from the chord, without cancellation.
        let one_minus_cos = (square - (a - b).powi(2)) / (2.0 * a * b);
        kappa * one_minus_cos - von_mises_fisher::log_normalizer_plus_kappa(dim, kappa)
    }

    #[test]
    fn direction_nll_in_f32_is_within_a_thousandth_nat() {
        let mut rng = StdRng::seed_from_u64(9);
        for dim in [2, 3, 8, 32, 64, 128, 512] {
            let normalizer = LogNormalizer::new(dim, Formula::Exact, &Device::flex());
            for kappa in [1e-4_f64, 1e-2, 0.5, 5.0, 50.0, 400.0, 3e3, 2e4, 1e5] {
                let log_kappa = kappa.ln() as f32;
                let mut mean = vec![0.0; dim];
                let mut unit = vec![0.0; dim];
                let mut pole = vec![0.0; dim];
                pole[0] = 1.0;
                von_mises_fisher::sample(&mut rng, &pole, 0.0, &mut mean);
                for _ in 0..8 {
                    von_mises_fisher::sample(&mut rng, &mean, kappa, &mut unit);
                    let row = |v: &[f32]| rows(v, [1, dim]);
                    let got = host_values(direction_nll(&row(&mean), &rows(&[log_kappa], [1, 1]), &normalizer, row(&unit)))[0];
                    let want = direction_nll_f64(&mean, &unit, log_kappa);
                    assert!((f64::from(got) - want).abs() < 1e-3, "D={dim} κ={kappa}: {got} for {want}");
                }
            }
        }
    }

    #[test]
    fn zero_density_is_infinite_and_nan_stays_nan() {
        let mixture = Prediction::Mixture {
            log_weights: rows(&[0.5_f32.ln(); 2], [1, 2]),
            means: rows(&[0.0; 4], [1, 2, 2]),
            log_sigmas: rows(&[-7.0; 4], [1, 2, 2]),
        };
        let far = host_values(mixture.nll(&rows(&[1e30, 0.0], [1, 2])));
        assert_eq!(far, [f32::INFINITY]);
        let mut rng = StdRng::seed_from_u64(1);
        for p in [mixture, vmf(&[f32::NAN, 1.0], 2.0, 0.5, -1.0)] {
            assert!(host_values(p.nll(&rows(&[f32::NAN, 0.0], [1, 2])))[0].is_nan());
        }
        let draw = host_values(vmf(&[f32::NAN; 2], f32::NAN, f32::NAN, f32::NAN).advance(MagnitudeRule::Sample, 1.0, &mut rng));
        assert!(draw.iter().all(|d| d.is_nan()));
    }
}
