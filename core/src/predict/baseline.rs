//! The unconditional baselines that ΔNLL is taken against.

use super::von_mises_fisher::log_sphere_area;
use crate::context::Pairs;

const LOG_2PI: f64 = 1.837_877_066_409_345_3;
/// Smallest variance (the peer's floor).
const MIN_VARIANCE: f64 = 1e-6;
/// Smallest ‖Δ‖ whose logarithm is taken (the peer's floor).
const MIN_NORM: f64 = 1e-8;

/// Diagonal Gaussian over Δ, fitted on training pairs: the shared baseline of every family.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct GaussianBaseline {
    /// `[dim]`
    pub mean: Vec<f32>,
    /// `[dim]`, n−1, floored at 1e-6
    pub variance: Vec<f32>,
}

/// The peer's factored baseline: uniform direction, LogNormal magnitude.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct LogMagnitudeBaseline {
    /// Mean of ln‖Δ‖.
    pub mean: f64,
    /// Variance of ln‖Δ‖ (n−1, floored at 1e-6).
    pub variance: f64,
    /// Dimensions.
    pub dim: usize,
}

/// Both baselines, fitted on the same pairs.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Baselines {
    /// Over Δ.
    pub gaussian: GaussianBaseline,
    /// The peer's, over direction × magnitude.
    pub log_magnitude: LogMagnitudeBaseline,
}

impl Baselines {
    /// Fits both on training pairs.
    pub fn fit(pairs: &Pairs) -> Self {
        let mut sums = BaselineSums::new(pairs.dim);
        pairs.deltas.chunks_exact(pairs.dim.max(1)).for_each(|delta| sums.add(delta));
        sums.baselines()
    }

    /// −ln p under the Gaussian baseline of one Δ, nats.
    pub fn gaussian_nll(&self, delta: &[f32]) -> f64 {
        let terms = delta.iter().zip(&self.gaussian.mean).zip(&self.gaussian.variance).map(|((&d, &m), &v)| {
            let v = f64::from(v);
            (f64::from(d) - f64::from(m)).powi(2) / v + v.ln() + LOG_2PI
        });
        0.5 * terms.sum::<f64>()
    }

    /// The peer's factored baseline NLL of one Δ, nats.
    pub fn factored_nll(&self, delta: &[f32]) -> f64 {
        let LogMagnitudeBaseline { mean, variance, dim } = self.log_magnitude;
        let log_norm = log_norm_of(delta);
        log_sphere_area(dim) + log_norm + 0.5 * (variance.ln() + (log_norm - mean).powi(2) / variance + LOG_2PI)
    }
}

/// Sums over training Δ as they come by.
#[derive(Debug)]
pub(crate) struct BaselineSums {
    delta: Welford,
    log_norm: Welford,
}

impl BaselineSums {
    pub(crate) fn new(dim: usize) -> Self {
        Self { delta: Welford::new(dim), log_norm: Welford::new(1) }
    }

    /// Adds a Δ, `[dim]`.
    pub(crate) fn add(&mut self, delta: &[f32]) {
        self.delta.add(delta.iter().map(|&v| f64::from(v)));
        self.log_norm.add(std::iter::once(log_norm_of(delta)));
    }

    /// Both baselines.
    pub(crate) fn baselines(&self) -> Baselines {
        let variance = self.delta.variance();
        Baselines {
            gaussian: GaussianBaseline {
                mean: self.delta.mean.iter().map(|&m| m as f32).collect(),
                variance: variance.iter().map(|&v| v as f32).collect(),
            },
            log_magnitude: LogMagnitudeBaseline {
                mean: self.log_norm.mean[0],
                variance: self.log_norm.variance()[0],
                dim: self.delta.mean.len(),
            },
        }
    }
}

fn log_norm_of(delta: &[f32]) -> f64 {
    let norm = delta.iter().map(|&v| f64::from(v).powi(2)).sum::<f64>().sqrt();
    // Not f64::max: that would hide a NaN.
    if norm < MIN_NORM { MIN_NORM.ln() } else { norm.ln() }
}

/// Running mean and sum of squared deviations per dimension (Welford 1962).
#[derive(Debug)]
struct Welford {
    n: f64,
    mean: Vec<f64>,
    squares: Vec<f64>,
}

impl Welford {
    fn new(dim: usize) -> Self {
        Self { n: 0.0, mean: vec![0.0; dim], squares: vec![0.0; dim] }
    }

    fn add(&mut self, row: impl Iterator<Item = f64>) {
        self.n += 1.0;
        for ((mean, squares), value) in self.mean.iter_mut().zip(&mut self.squares).zip(row) {
            let before = value - *mean;
            *mean += before / self.n;
            *squares += before * (value - *mean);
        }
    }

    /// With n−1, floored.
    fn variance(&self) -> Vec<f64> {
        let floored = |v: f64| if v < MIN_VARIANCE { MIN_VARIANCE } else { v };
        self.squares.iter().map(|s| floored(s / (self.n - 1.0).max(1.0))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_and_variance_with_floor() {
        let deltas = vec![1.0, 5.0, 3.0, 5.0, 8.0, 5.0];
        let pairs = Pairs { deltas, origins: vec![(0, 1), (0, 2), (0, 3)], dim: 2, ..Pairs::default() };
        let fitted = Baselines::fit(&pairs);
        assert_eq!(fitted.gaussian.mean, [4.0, 5.0]);
        assert_eq!(fitted.gaussian.variance, [13.0, 1e-6]);
        let zero = fitted.factored_nll(&[0.0, 0.0]);
        assert!(zero.is_finite());
        assert!(fitted.gaussian_nll(&[f32::NAN, 0.0]).is_nan() && fitted.factored_nll(&[f32::NAN, 0.0]).is_nan());
    }

    #[test]
    fn factored_baseline_plus_jacobian_is_a_density() {
        let baselines = Baselines {
            gaussian: GaussianBaseline { mean: vec![0.0; 2], variance: vec![1.0; 2] },
            log_magnitude: LogMagnitudeBaseline { mean: 0.2, variance: 0.3, dim: 2 },
        };
        let (n, half) = (400_usize, 12.0_f32);
        let step = 2.0 * half / n as f32;
        let mut mass = 0.0;
        for i in 0..n * n {
            let delta = [((i % n) as f32 + 0.5) * step - half, ((i / n) as f32 + 0.5) * step - half];
            mass += (-baselines.factored_nll(&delta) - log_norm_of(&delta)).exp() * f64::from(step * step);
        }
        assert!((mass - 1.0).abs() < 2e-3, "{mass}");
    }
}
