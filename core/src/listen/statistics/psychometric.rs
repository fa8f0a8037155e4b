//! P(right) as a function of the level.
//!
//! P(right) = ½ + (½ − λ)·F(u), F(u) = 1 / (1 + exp(−slope·(u − threshold))), with the lapse rate λ, a guess rate of ½, and the audibility
//! coordinate u of [`super::Axis`].

use serde::Serialize;
use statrs::function::logistic::{checked_logit, logistic};

/// P(right) over the audibility coordinate u.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Psychometric {
    /// u at which F is ½.
    pub threshold: f64,
    /// Per unit of u: at the threshold, F rises by a quarter of it per level.
    pub slope: f64,
    /// 1 − λ is the most that this listener reaches.
    pub lapse: f64,
}

impl Psychometric {
    /// P(right) at u.
    pub fn p_right(&self, position: f64) -> f64 {
        0.5 + (0.5 - self.lapse) * self.audibility(position)
    }

    /// F(u): the part of the way from guessing to the listener's best.
    pub fn audibility(&self, position: f64) -> f64 {
        logistic(self.slope * (position - self.threshold))
    }

    /// u at which P(right) is `p_right`; +∞ where lapses keep it from being reached, −∞ at ½ and below.
    pub fn position_at(&self, p_right: f64) -> f64 {
        let audibility = (p_right - 0.5) / (0.5 - self.lapse);
        if audibility <= 0.0 {
            f64::NEG_INFINITY
        } else if audibility >= 1.0 {
            f64::INFINITY
        } else {
            self.threshold + checked_logit(audibility).unwrap_or(f64::NAN) / self.slope
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_function_and_its_inverse_have_the_values_of_their_formula() {
        let clear = Psychometric { threshold: 3.0, slope: 2.0, lapse: 0.0 };
        assert_eq!(clear.p_right(3.0), 0.75);
        assert!((clear.p_right(4.0) - (0.5 + 0.5 / (1.0 + (-2.0_f64).exp()))).abs() < 1e-15);
        assert_eq!(clear.position_at(0.75), 3.0);
        let lapsing = Psychometric { lapse: 0.1, ..clear };
        for p_right in [0.55, 0.7, 0.75, 0.89] {
            assert!((lapsing.p_right(lapsing.position_at(p_right)) - p_right).abs() < 1e-12);
        }
        assert_eq!((lapsing.position_at(0.9), lapsing.position_at(0.5)), (f64::INFINITY, f64::NEG_INFINITY));
        assert!((lapsing.p_right(1e6), lapsing.p_right(-1e6)) == (0.9, 0.5));
    }
}
