//! What would a listener with this hearing answer? For planning a test, and for testing the tests.

use std::f64::consts::SQRT_2;

use rand::RngExt;
use rand::rngs::StdRng;
use statrs::distribution::{ContinuousCDF, Normal};

use super::{Adaptive, Psychometric, StatisticsError};
use crate::listen::Method;

/// P(right) of an unbiased listener with sensitivity d′ between two intervals: Φ(d′/√2) (Macmillan and Creelman 2005), lapses included:
/// λ + (1 − 2λ)·Φ, which reaches 1 − λ.
pub fn p_right_2afc(d_prime: f64, lapse: f64) -> f64 {
    lapse + (1.0 - 2.0 * lapse) * Normal::standard().cdf(d_prime / SQRT_2)
}

/// `n_trials` answers of a listener who is right with probability `p_right` (½ guesses).
pub fn answers(p_right: f64, n_trials: usize, rng: &mut StdRng) -> Vec<bool> {
    (0..n_trials).map(|_| rng.random::<f64>() < p_right).collect()
}

/// An adaptive test of `n_trials` with this listener, whose threshold and slope are in the audibility coordinate of [`super::Axis`].
pub fn adaptive(
    listener: Psychometric,
    levels: &[f64],
    method: Method,
    n_trials: usize,
    rng: &mut StdRng,
) -> Result<Adaptive, StatisticsError> {
    carry_on(Adaptive::new(levels, method)?, listener, n_trials, rng)
}

/// `n_trials` more of an adaptive test with this listener.
pub fn carry_on(mut adaptive: Adaptive, listener: Psychometric, n_trials: usize, rng: &mut StdRng) -> Result<Adaptive, StatisticsError> {
    for _ in 0..n_trials {
        let level_idx = adaptive.next_level();
        adaptive.push(level_idx, rng.random::<f64>() < listener.p_right(level_idx as f64))?;
    }
    Ok(adaptive)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;

    #[test]
    fn sensitivity_gives_the_proportions_of_scipy() {
        for (d_prime, lapse, expected) in [
            (0.0, 0.0, 0.5),
            (1.0, 0.0, 0.760_249_938_906_523_3),
            (2.0, 0.0, 0.921_350_396_474_857_4),
            (-1.0, 0.0, 0.239_750_061_093_476_7),
            (0.0, 0.05, 0.5),
            (50.0, 0.05, 0.95),
        ] {
            assert!((p_right_2afc(d_prime, lapse) - expected).abs() < 1e-9, "d' {d_prime}");
        }
    }

    #[test]
    fn simulated_listeners_are_right_as_often_as_asked() {
        let mut rng = StdRng::seed_from_u64(5);
        for p_right in [0.0, 0.5, 0.8, 1.0] {
            let right = answers(p_right, 20_000, &mut rng).into_iter().filter(|right| *right).count() as f64 / 20_000.0;
            assert!((right - p_right).abs() <= 4.0 * (p_right * (1.0 - p_right) / 20_000.0).sqrt(), "{right} of {p_right}");
        }
    }
}
