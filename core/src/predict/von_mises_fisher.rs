//! The von Mises-Fisher distribution on the unit sphere of R^D, density `C_D(κ)·e^{κ·cos}`.
//!
//! ln C_D(κ) and its derivative in f64 for any D ≥ 2 and κ ≥ 0, the same as a table for f32 tensors (differentiable in ln κ),
//! and exact sampling (Wood 1994). Beside the exact normalizer stands the peer project's approximation, for its checkpoints.
//!
//! With ν = D/2−1: ln C_D = ν ln κ − (D/2) ln 2π − ln I_ν(κ). On the device `ln C_D(κ) + κ` is used together with
//! `κ·(cos − 1) = −κ/2·‖μ−d‖²`, so that no two large numbers cancel.

use std::f64::consts::{LN_2, PI};

use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt;
use rand::rngs::StdRng;
use rand_distr::{Beta, Distribution, StandardNormal};

use crate::engine::host_values;

/// Which ln C_D(κ).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Formula {
    /// To f64 precision.
    Exact,
    /// The peer's: leading uniform (Debye) term only, uniform below κ = 1e-4.
    Peer,
}

/// Radius √(ν²+κ²) from which the uniform expansion is used; below it the power series.
const DEBYE_RADIUS: f64 = 40.0;
/// Terms of the uniform expansion: at radius 40 the last one is below 1e-15.
const DEBYE_TERMS: usize = 12;

/// ln of the surface area of the unit sphere in R^dim, `2π^{D/2} / Γ(D/2)`.
pub fn log_sphere_area(dim: usize) -> f64 {
    LN_2 + dim as f64 / 2.0 * PI.ln() - log_gamma_half(dim)
}

/// ln C_D(κ), nats.
pub fn log_normalizer(dim: usize, kappa: f64) -> f64 {
    log_normalizer_plus_kappa(dim, kappa) - kappa
}

/// ln C_D(κ) + κ, which stays small and accurate where κ is large.
pub fn log_normalizer_plus_kappa(dim: usize, kappa: f64) -> f64 {
    let nu = dim as f64 / 2.0 - 1.0;
    let radius = nu.hypot(kappa);
    if radius < DEBYE_RADIUS {
        return kappa - log_sphere_area(dim) - bessel_series(nu, kappa).ln();
    }
    leading_debye(dim, kappa) - debye_correction(nu / radius, radius).ln()
}

/// A_D(κ) = I_{ν+1}(κ)/I_ν(κ) = −d ln C_D/dκ: the mean resultant length.
pub fn mean_resultant_length(dim: usize, kappa: f64) -> f64 {
    kappa / (2.0 * PI) * (log_normalizer_plus_kappa(dim, kappa) - log_normalizer_plus_kappa(dim + 2, kappa)).exp()
}

/// The peer's approximation of ln C_D(κ): within 3e-3 nats for D ≥ 64, nats off for small D and κ.
pub fn peer_log_normalizer(dim: usize, kappa: f64) -> f64 {
    if kappa < 1e-4 { -log_sphere_area(dim) } else { leading_debye(dim, kappa) - kappa }
}

/// ln Γ(n/2) by the recurrence Γ(x+1) = x·Γ(x).
fn log_gamma_half(n: usize) -> f64 {
    let (start, base) = if n.is_multiple_of(2) { (2, 0.0) } else { (1, PI.sqrt().ln()) };
    (start..n).step_by(2).map(|m| (m as f64 / 2.0).ln()).sum::<f64>() + base
}

/// ₀F₁(; ν+1; κ²/4) = Γ(ν+1)·(2/κ)^ν·I_ν(κ); every term is positive.
fn bessel_series(nu: f64, kappa: f64) -> f64 {
    let quarter = kappa * kappa / 4.0;
    let (mut term, mut sum, mut j) = (1.0, 1.0, 0.0);
    while term > sum * 1e-17 {
        j += 1.0;
        term *= quarter / (j * (nu + j));
        sum += term;
    }
    sum
}

/// ln C_D(κ) + κ with ln I_ν replaced by its leading uniform term `s + ν ln(κ/(ν+s)) − ½ ln 2πs`, s = √(ν²+κ²).
fn leading_debye(dim: usize, kappa: f64) -> f64 {
    let nu = dim as f64 / 2.0 - 1.0;
    let s = nu.hypot(kappa);
    // κ − s, without cancellation.
    let kappa_minus_s = if nu == 0.0 { 0.0 } else { -nu * nu / (s + kappa) };
    let log_2pi = (2.0 * PI).ln();
    let nu_term = if nu == 0.0 { 0.0 } else { nu * (nu + s).ln() };
    nu_term + kappa_minus_s + 0.5 * (log_2pi + s.ln()) - dim as f64 / 2.0 * log_2pi
}

/// Σ u_k(t)/ν^k of the uniform expansion (DLMF 10.41.3), t = ν/s. With u_k(t) = t^k·P_k(t²) each term is P_k(t²)/s^k, finite at
/// ν = 0 too (there it is Hankel's expansion); the P_k follow from the recurrence DLMF 10.41.9.
fn debye_correction(t: f64, s: f64) -> f64 {
    let t2 = t * t;
    let mut coefficients = vec![1.0];
    let (mut sum, mut scale) = (1.0, 1.0);
    for k in 0..DEBYE_TERMS {
        let mut next = vec![0.0; k + 2];
        for (j, c) in coefficients.iter().enumerate() {
            let power = (k + 2 * j) as f64;
            next[j] += c * (power / 2.0 + 1.0 / (8.0 * (power + 1.0)));
            next[j + 1] -= c * (power / 2.0 + 5.0 / (8.0 * (power + 3.0)));
        }
        coefficients = next;
        scale /= s;
        sum += scale * coefficients.iter().rev().fold(0.0, |acc, c| acc * t2 + c);
    }
    sum
}

/// Range and step of the device table in ln κ; outside it the ends continue linearly.
const TABLE_LOW: f64 = -10.0;
const TABLE_HIGH: f64 = 13.0;
const TABLE_STEPS_PER_UNIT: usize = 16;

/// ln C_D(κ) + κ as a function of ln κ for f32 tensors: piecewise cubic with exact values and slopes at the knots.
#[derive(Clone, Debug)]
pub struct LogNormalizer {
    /// Dimensions of the space.
    pub dim: usize,
    /// Cubic coefficients of each cell, `[cells, 4]`, constant term first.
    cells: Tensor<2>,
    slope_high: f64,
}

impl LogNormalizer {
    /// Builds the table for one D (some hundred f64 evaluations).
    pub fn new(dim: usize, formula: Formula, device: &Device) -> Self {
        let n_cells = (TABLE_HIGH - TABLE_LOW) as usize * TABLE_STEPS_PER_UNIT;
        let step = 1.0 / TABLE_STEPS_PER_UNIT as f64;
        let knots: Vec<(f64, f64)> = (0..=n_cells).map(|i| knot(dim, formula, TABLE_LOW + step * i as f64)).collect();
        let mut cells = Vec::with_capacity(n_cells * 4);
        for pair in knots.windows(2) {
            let ((f0, d0), (f1, d1)) = (pair[0], pair[1]);
            let (d0, d1) = (d0 * step, d1 * step);
            cells.extend([f0, d0, 3.0 * (f1 - f0) - 2.0 * d0 - d1, 2.0 * (f0 - f1) + d0 + d1].map(|c| c as f32));
        }
        let cells = Tensor::from_data(TensorData::new(cells, [n_cells, 4]), device);
        Self { dim, cells, slope_high: knots[n_cells].1 }
    }

    /// Cells, the ln κ where they begin, cells in a unit of ln κ, and the slope for each cell beyond their end.
    pub(super) fn table(&self) -> (Vec<[f32; 4]>, f32, f32, f32) {
        let cells = host_values(self.cells.clone()).as_chunks::<4>().0.to_vec();
        let steps = TABLE_STEPS_PER_UNIT as f32;
        (cells, TABLE_LOW as f32, steps, self.slope_high as f32 / steps)
    }

    /// ln C_D(κ) + κ for `log_kappa [batch, 1]`, `[batch, 1]`; differentiable.
    pub fn plus_kappa(&self, log_kappa: Tensor<2>) -> Tensor<2> {
        let [n_cells, _] = self.cells.dims();
        let position = (log_kappa.clamp(TABLE_LOW - 8.0, TABLE_HIGH + 60.0) - TABLE_LOW) * TABLE_STEPS_PER_UNIT as f64; // [batch, 1]
        let inside = position.clone().clamp(0.0, n_cells as f64);
        let cell = inside.clone().detach().int().clamp(0, n_cells as i64 - 1); // [batch, 1]
        let t = inside.clone() - cell.clone().float();
        let c = self.cells.clone().select(0, cell.squeeze_dim(1)); // [batch, 4]
        let [c0, c1, c2, c3] = [0, 1, 2, 3].map(|i| c.clone().narrow(1, i, 1));
        let cubic = ((c3 * t.clone() + c2) * t.clone() + c1) * t + c0;
        // Below the table the value is flat to 1e-4; above it, it goes on as (D−1)/2 · ln κ.
        cubic + (position - inside).clamp_min(0.0) * (self.slope_high / TABLE_STEPS_PER_UNIT as f64)
    }
}

/// Value of ln C_D + κ and its slope in ln κ.
fn knot(dim: usize, formula: Formula, log_kappa: f64) -> (f64, f64) {
    let kappa = log_kappa.exp();
    match formula {
        Formula::Exact => (log_normalizer_plus_kappa(dim, kappa), kappa * (1.0 - mean_resultant_length(dim, kappa))),
        Formula::Peer if kappa < 1e-4 => (kappa - log_sphere_area(dim), kappa),
        Formula::Peer => {
            let nu = dim as f64 / 2.0 - 1.0;
            let s = nu.hypot(kappa);
            (leading_debye(dim, kappa), kappa * (1.0 + kappa / s * (0.5 / s - s / (nu + s))))
        }
    }
}

/// Draws a unit vector around the unit vector `mean [dim]` with concentration `kappa ≥ 0` into `out [dim]` (Wood 1994, in f64).
/// NaN in gives NaN out; an infinite κ gives the mean.
pub fn sample(rng: &mut StdRng, mean: &[f32], kappa: f64, out: &mut [f32]) {
    if kappa.is_infinite() {
        out.copy_from_slice(mean);
        return;
    }
    if kappa.is_nan() || mean.iter().any(|m| m.is_nan()) {
        out.fill(f32::NAN);
        return;
    }
    let mut propose = proposals(mean.len());
    let angle = angle(mean.len(), kappa, std::iter::repeat_with(|| propose(rng)));
    turn(mean, angle, mean.iter().map(|_| StandardNormal.sample(rng)).collect(), out);
}

/// [`sample`] with its random numbers drawn beforehand: pairs for [`proposals`], of which the last is taken where none is accepted, and a
/// normal for each dimension.
pub(super) fn sample_drawn(proposals: &[f32], normals: &[f32], mean: &[f32], kappa: f64, out: &mut [f32]) {
    if kappa.is_infinite() {
        out.copy_from_slice(mean);
        return;
    }
    let proposals = proposals.as_chunks::<2>().0.iter().map(|&[z, log_uniform]| (f64::from(z), f64::from(log_uniform)));
    turn(mean, angle(mean.len(), kappa, proposals), normals.iter().map(|&t| f64::from(t)).collect(), out);
}

/// The unit vector `mean` turned by an angle towards `tangent`, as far as that is orthogonal to it.
fn turn(mean: &[f32], (cos, sin): (f64, f64), mut tangent: Vec<f64>, out: &mut [f32]) {
    let along: f64 = tangent.iter().zip(mean).map(|(t, &m)| t * f64::from(m)).sum();
    tangent.iter_mut().zip(mean).for_each(|(t, &m)| *t -= along * f64::from(m));
    let norm = tangent.iter().map(|t| t * t).sum::<f64>().sqrt().max(f64::MIN_POSITIVE);
    for ((o, t), &m) in out.iter_mut().zip(&tangent).zip(mean) {
        *o = (cos * f64::from(m) + sin * t / norm) as f32;
    }
}

/// What [`angle`] chooses from: a Beta((D−1)/2, (D−1)/2) variate and the logarithm of a uniform one, whatever κ is.
pub(super) fn proposals(dim: usize) -> impl FnMut(&mut StdRng) -> (f64, f64) {
    let shape = (dim as f64 - 1.0) / 2.0;
    let beta = Beta::new(shape, shape).expect("D ≥ 2 makes both shapes positive");
    move |rng| (beta.sample(rng), rng.random::<f64>().ln())
}

/// Cosine and sine of the angle between a draw and the mean direction, by rejection from a transformed Beta.
fn angle(dim: usize, kappa: f64, proposals: impl Iterator<Item = (f64, f64)>) -> (f64, f64) {
    let m = dim as f64 - 1.0;
    let b = m / (2.0 * kappa + (4.0 * kappa * kappa + m * m).sqrt());
    let x0 = (1.0 - b) / (1.0 + b);
    let c = kappa * x0 + m * (4.0 * b / (1.0 + b).powi(2)).ln();
    let mut found = (1.0, 0.0);
    for (z, log_uniform) in proposals {
        let denominator = 1.0 - (1.0 - b) * z;
        let one_minus_w = 2.0 * b * z / denominator;
        let w = 1.0 - one_minus_w;
        found = (w, (one_minus_w * (1.0 + w)).max(0.0).sqrt());
        if kappa * w + m * (1.0 - x0 * w).ln() - c >= log_uniform {
            break;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn derivative_is_the_resultant_length() {
        for dim in [2, 3, 8, 64, 512] {
            for kappa in [0.01_f64, 1.0, 39.0, 41.0, 300.0, 2e4] {
                let h = kappa * 1e-4;
                let slope = -(log_normalizer(dim, kappa + h) - log_normalizer(dim, kappa - h)) / (2.0 * h);
                let a = mean_resultant_length(dim, kappa);
                assert!((slope - a).abs() < 2e-6 * (1.0 + a), "D={dim} κ={kappa}: slope {slope}, A {a}");
            }
        }
    }

    #[test]
    fn three_dimensions_in_closed_form() {
        // C_3(κ) = κ / (4π sinh κ).
        for kappa in [1e-4_f64, 0.3, 5.0, 39.9, 40.1, 200.0, 1e5] {
            let log_sinh = kappa + (-(-2.0 * kappa).exp_m1()).ln() - LN_2;
            let exact = kappa.ln() - (4.0 * PI).ln() - log_sinh;
            assert!((log_normalizer(3, kappa) - exact).abs() <= 1e-12 * exact.abs().max(1.0), "κ={kappa}");
        }
    }

    #[test]
    fn device_table_follows_f64() {
        let device = Device::flex();
        for dim in [2, 3, 8, 32, 64, 128, 512] {
            for (formula, exact) in [(Formula::Exact, log_normalizer as fn(usize, f64) -> f64), (Formula::Peer, peer_log_normalizer)] {
                let table = LogNormalizer::new(dim, formula, &device);
                let log_kappas: Vec<f32> = (0..400).map(|i| -8.9 + 21.0 * i as f32 / 400.0).collect();
                let got = table.plus_kappa(Tensor::from_data(TensorData::new(log_kappas.clone(), [400, 1]), &device));
                let got: Vec<f32> = got.into_data_as::<f32>().try_into_vec().unwrap();
                for (l, g) in log_kappas.iter().zip(got) {
                    let kappa = f64::from(*l).exp();
                    let want = exact(dim, kappa) + kappa;
                    assert!((f64::from(g) - want).abs() < 3e-4, "D={dim} {formula:?} ln κ={l}: {g} for {want}");
                }
            }
        }
    }

    #[test]
    fn samples_have_the_expected_resultant() {
        let mut rng = StdRng::seed_from_u64(7);
        for (dim, kappa) in [(2, 0.5), (3, 10.0), (16, 0.0), (16, 30.0), (64, 13.0), (512, 1000.0), (8, 1e5)] {
            let mut mean = vec![0.0_f32; dim];
            mean[dim - 1] = 1.0;
            let (n, mut sum, mut draw) = (4000, vec![0.0_f64; dim], vec![0.0_f32; dim]);
            for _ in 0..n {
                sample(&mut rng, &mean, kappa, &mut draw);
                let norm: f64 = draw.iter().map(|&v| f64::from(v).powi(2)).sum();
                assert!((norm - 1.0).abs() < 1e-5);
                sum.iter_mut().zip(&draw).for_each(|(s, &d)| *s += f64::from(d));
            }
            let along = sum[dim - 1] / f64::from(n);
            let expected = mean_resultant_length(dim, kappa);
            assert!(
                (along - expected).abs() < 4.0 / f64::from(n).sqrt() * (1.0 - expected * expected).sqrt().max(1e-3),
                "D={dim} κ={kappa}: {along} for {expected}"
            );
        }
    }

    #[test]
    fn nan_in_nan_out() {
        let mut out = [0.0; 2];
        sample(&mut StdRng::seed_from_u64(1), &[f32::NAN, 1.0], 3.0, &mut out);
        assert!(out.iter().all(|v| v.is_nan()));
        sample(&mut StdRng::seed_from_u64(1), &[0.0, 1.0], f64::NAN, &mut out);
        assert!(out.iter().all(|v| v.is_nan()));
    }
}
