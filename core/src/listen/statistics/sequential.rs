//! Was it heard? Wald's sequential probability ratio test: stop as soon as the answers so far decide between p = p₀ and p = p₁.
//!
//! After n trials with k right the logarithm of the likelihood ratio is k·ln(p₁/p₀) + (n−k)·ln((1−p₁)/(1−p₀)). "Heard" at
//! ln((1−β)/α) or above, "not heard" at ln(β/(1−α)) or below (Wald, Ann. Math. Stat. 16, 1945). The steps overshoot these bounds, so that
//! the true error rates are not α and β: [`Sequential::characteristic`] sums them exactly, over every path of answers. A Clopper-Pearson
//! interval of a test that ended when its answers said so is not exact: the proportion right leans to the side of the verdict.

use serde::Serialize;

use super::{StatisticsError, between};

/// A sum of logarithms that equals its bound but for rounding has reached it.
const ROUNDING: f64 = 1e-12;

/// A sequential test of p = `p0` against p = `p1` > `p0`, which ends undecided after `max_trials`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Sequential {
    p0: f64,
    p1: f64,
    alpha: f64,
    beta: f64,
    max_trials: u32,
}

/// Where a sequential test stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Go on.
    Continue,
    /// p₁ rather than p₀.
    Heard,
    /// p₀ rather than p₁: p₁ is ruled out, which is not "the same".
    NotHeard,
    /// No decision after as many trials as were planned.
    Undecided,
}

/// Counts that end the test after a number of trials.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Boundary {
    /// Trials.
    pub n_trials: u32,
    /// Right answers from which on it is heard; `None` where all right is not enough.
    pub heard_from: Option<u32>,
    /// Right answers up to which it is not heard; `None` where none right is not enough.
    pub not_heard_to: Option<u32>,
}

/// What the test does to a listener with a given true proportion of right answers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Characteristic {
    /// True proportion of right answers.
    pub p_true: f64,
    /// Chance of "heard".
    pub heard: f64,
    /// Chance of "not heard".
    pub not_heard: f64,
    /// Chance of no decision; 0 in Wald's approximation.
    pub undecided: f64,
    /// Expected number of trials.
    pub expected_trials: f64,
}

impl Sequential {
    /// `p0` < `p1`, all of `p0`, `p1`, `alpha`, `beta` strictly between 0 and 1 and `alpha` + `beta` < 1; at least one trial. Else an
    /// error.
    pub fn new(p0: f64, p1: f64, alpha: f64, beta: f64, max_trials: u32) -> Result<Self, StatisticsError> {
        between("p0", p0, 0.0, 1.0)?;
        between("p1", p1, p0, 1.0)?;
        between("alpha", alpha, 0.0, 1.0)?;
        between("beta", beta, 0.0, 1.0 - alpha)?;
        if max_trials == 0 { Err(StatisticsError::NoTrials) } else { Ok(Self { p0, p1, alpha, beta, max_trials }) }
    }

    /// Trials at most.
    pub fn max_trials(&self) -> u32 {
        self.max_trials
    }

    /// Where the test stands after `n_trials` with `n_right` right, had it not ended before. For a log use [`Sequential::replay`].
    pub fn verdict(&self, n_right: u32, n_trials: u32) -> Verdict {
        let ratio = self.log_likelihood_ratio(n_right, n_trials);
        if ratio >= self.heard_at() - ROUNDING {
            Verdict::Heard
        } else if ratio <= self.not_heard_at() + ROUNDING {
            Verdict::NotHeard
        } else if n_trials >= self.max_trials {
            Verdict::Undecided
        } else {
            Verdict::Continue
        }
    }

    /// The verdict of answers in their order, and the number of trials after which it fell (all of them where it has not). Answers after
    /// the end do not count.
    pub fn replay(&self, right: &[bool]) -> (Verdict, u32) {
        let (mut n_right, mut n_trials) = (0, 0);
        for &is_right in right {
            n_trials += 1;
            n_right += u32::from(is_right);
            let verdict = self.verdict(n_right, n_trials);
            if verdict != Verdict::Continue {
                return (verdict, n_trials);
            }
        }
        (Verdict::Continue, n_trials)
    }

    /// The counts that end the test after `n_trials`.
    pub fn boundary(&self, n_trials: u32) -> Boundary {
        let ends = |n_right: &u32, as_what| self.verdict(*n_right, n_trials) == as_what;
        Boundary {
            n_trials,
            heard_from: (0..=n_trials).find(|k| ends(k, Verdict::Heard)),
            not_heard_to: (0..=n_trials).rev().find(|k| ends(k, Verdict::NotHeard)),
        }
    }

    /// Exact chances of every verdict and expected number of trials, truncation included, by dynamic programming over the paths that
    /// have not ended. `p_true` is taken into 0..=1.
    pub fn characteristic(&self, p_true: f64) -> Characteristic {
        let p = p_true.clamp(0.0, 1.0);
        let mut sum = Characteristic { p_true: p, heard: 0.0, not_heard: 0.0, undecided: 0.0, expected_trials: 0.0 };
        // Chances of having k right and not having ended, k from `fewest` on: between the bounds there are few.
        let (mut fewest, mut under_way) = (0, vec![1.0]);
        for n_trials in 1..=self.max_trials {
            let going_on: f64 = under_way.iter().sum();
            if going_on == 0.0 {
                break;
            }
            sum.expected_trials += going_on;
            let mut next = vec![0.0; under_way.len() + 1];
            for (place, chance) in under_way.iter().enumerate() {
                next[place] += chance * (1.0 - p);
                next[place + 1] += chance * p;
            }
            let mut n_too_few = 0;
            under_way.clear();
            for (n_right, chance) in (fewest..).zip(next) {
                match self.verdict(n_right, n_trials) {
                    Verdict::Continue => under_way.push(chance),
                    Verdict::Heard => sum.heard += chance,
                    Verdict::Undecided => sum.undecided += chance,
                    Verdict::NotHeard => {
                        sum.not_heard += chance;
                        n_too_few += 1;
                    }
                }
            }
            fewest += n_too_few;
        }
        sum
    }

    /// Wald's approximation of the same, without truncation and overshoot: with the h ≠ 0 at which E\[e^(h·z)\] = 1, z the step of one
    /// trial, P(not heard) = (e^(h·a) − 1) / (e^(h·a) − e^(h·b)) between the bounds b < 0 < a, and E\[n\] = E\[sum at the end\] / E\[z\].
    pub fn wald(&self, p_true: f64) -> Characteristic {
        let p = p_true.clamp(0.0, 1.0);
        let (right, wrong) = (self.step_right(), self.step_wrong());
        let (upper, lower) = (self.heard_at(), self.not_heard_at());
        let drift = p * right + (1.0 - p) * wrong;
        let h = self.wald_exponent(p, drift);
        let (not_heard, expected_trials) = if h.abs() < 1e-6 {
            let variance = p * right * right + (1.0 - p) * wrong * wrong;
            (upper / (upper - lower), -upper * lower / variance)
        } else {
            // Divided by the greater exponential: neither overflows.
            let not_heard = if h > 0.0 {
                -(-h * upper).exp_m1() / -(h * (lower - upper)).exp_m1()
            } else {
                ((h * (upper - lower)).exp() - (-h * lower).exp()) / (h * (upper - lower)).exp_m1()
            };
            (not_heard, (not_heard * lower + (1.0 - not_heard) * upper) / drift)
        };
        Characteristic { p_true: p, heard: 1.0 - not_heard, not_heard, undecided: 0.0, expected_trials }
    }

    /// The root h ≠ 0 of p·e^(h·right) + (1−p)·e^(h·wrong) = 1, on the side that the drift leaves; ±40 where it is farther out or absent.
    fn wald_exponent(&self, p: f64, drift: f64) -> f64 {
        let (right, wrong) = (self.step_right(), self.step_wrong());
        if drift == 0.0 {
            return 0.0;
        }
        let side = -drift.signum();
        let excess = |h: f64| p * (side * h * right).exp() + (1.0 - p) * (side * h * wrong).exp() - 1.0;
        let (mut inside, mut outside) = (0.0, 40.0);
        for _ in 0..100 {
            let middle = f64::midpoint(inside, outside);
            *if excess(middle) <= 0.0 { &mut inside } else { &mut outside } = middle;
        }
        side * inside
    }

    fn log_likelihood_ratio(&self, n_right: u32, n_trials: u32) -> f64 {
        f64::from(n_right) * self.step_right() + f64::from(n_trials.saturating_sub(n_right)) * self.step_wrong()
    }

    fn step_right(&self) -> f64 {
        (self.p1 / self.p0).ln()
    }

    fn step_wrong(&self) -> f64 {
        ((1.0 - self.p1) / (1.0 - self.p0)).ln()
    }

    fn heard_at(&self) -> f64 {
        ((1.0 - self.beta) / self.alpha).ln()
    }

    fn not_heard_at(&self) -> f64 {
        (self.beta / (1.0 - self.alpha)).ln()
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::listen::statistics::{BinomialTest, simulate};

    fn usual(max_trials: u32) -> Sequential {
        Sequential::new(0.5, 0.8, 0.05, 0.2, max_trials).unwrap()
    }

    #[test]
    fn the_boundaries_are_those_of_the_design() {
        let test = usual(100);
        for (n_trials, heard_from, not_heard_to) in [
            (1, None, None),
            (2, None, Some(0)),
            (5, None, Some(2)),
            (6, Some(6), Some(2)),
            (8, Some(8), Some(4)),
            (10, Some(9), Some(5)),
            (15, Some(12), Some(8)),
        ] {
            assert_eq!(test.boundary(n_trials), Boundary { n_trials, heard_from, not_heard_to });
        }
    }

    #[test]
    fn a_log_is_replayed_to_its_end_and_no_further() {
        let test = usual(16);
        assert_eq!(test.replay(&[true; 20]), (Verdict::Heard, 6));
        assert_eq!(test.replay(&[false; 20]), (Verdict::NotHeard, 2));
        assert_eq!(test.replay(&[]), (Verdict::Continue, 0));
        let undecided: Vec<bool> = (0..16).map(|i| i % 3 != 1).collect();
        assert_eq!(test.replay(&undecided[..15]), (Verdict::Continue, 15));
        assert_eq!(test.replay(&undecided), (Verdict::Undecided, 16));
    }

    #[test]
    fn chances_sum_to_one_and_errors_stay_below_their_level() {
        for (alpha, beta) in [(0.05, 0.2), (0.05, 0.1), (0.01, 0.1), (0.1, 0.1)] {
            for p1 in [0.65, 0.7, 0.75, 0.8, 0.9] {
                for max_trials in [16, 40, 300] {
                    let test = Sequential::new(0.5, p1, alpha, beta, max_trials).unwrap();
                    for p in [0.0, 0.3, 0.5, 0.62, p1, 1.0] {
                        let exact = test.characteristic(p);
                        assert!((exact.heard + exact.not_heard + exact.undecided - 1.0).abs() < 1e-12);
                    }
                    let (null, present) = (test.characteristic(0.5), test.characteristic(p1));
                    assert!(null.heard <= alpha, "false positives at p1 {p1}, alpha {alpha}, beta {beta}: {}", null.heard);
                    // Wald's bound; truncation only takes decisions away.
                    assert!(present.not_heard <= beta / (1.0 - alpha), "misses at p1 {p1}: {}", present.not_heard);
                }
            }
        }
    }

    #[test]
    fn exact_simulated_and_approximate_lengths_agree() {
        let test = usual(2000);
        for (p_true, seed) in [(0.5, 1), (0.65, 2), (0.8, 3), (0.95, 4)] {
            let (exact, wald) = (test.characteristic(p_true), test.wald(p_true));
            let mut rng = StdRng::seed_from_u64(seed);
            let n_runs = 20_000;
            let runs: Vec<(Verdict, u32)> = (0..n_runs).map(|_| test.replay(&simulate::answers(p_true, 300, &mut rng))).collect();
            let n = f64::from(n_runs);
            let mean = runs.iter().map(|run| f64::from(run.1)).sum::<f64>() / n;
            let sd = (runs.iter().map(|run| (f64::from(run.1) - mean).powi(2)).sum::<f64>() / n).sqrt();
            let heard = runs.iter().filter(|run| run.0 == Verdict::Heard).count() as f64 / n;
            assert!((mean - exact.expected_trials).abs() < 4.0 * sd / n.sqrt(), "p {p_true}: {mean}, exact {}", exact.expected_trials);
            assert!((heard - exact.heard).abs() < 4.0 * (0.25 / n).sqrt(), "p {p_true}: {heard}, exact {}", exact.heard);
            // Wald leaves out the overshoot: at most a step a bound, and his test is the shorter one.
            assert!(
                wald.expected_trials < exact.expected_trials && exact.expected_trials < 1.6 * wald.expected_trials,
                "{exact:?} {wald:?}"
            );
            assert!((wald.heard - exact.heard).abs() < 0.07, "{exact:?} {wald:?}");
        }
    }

    #[test]
    fn the_approximation_has_its_closed_forms() {
        let test = usual(100);
        assert!((test.wald(0.5).heard - 0.05).abs() < 1e-9);
        assert!((test.wald(0.8).not_heard - 0.2).abs() < 1e-9);
        // All right: the bound over the step.
        assert!((test.wald(1.0).expected_trials - 16.0_f64.ln() / 1.6_f64.ln()).abs() < 1e-6 && test.wald(1.0).heard > 1.0 - 1e-9);
        assert!(
            (test.wald(0.0).expected_trials - (0.2_f64 / 0.95).ln() / 0.4_f64.ln()).abs() < 1e-6 && test.wald(0.0).not_heard > 1.0 - 1e-9
        );
        // Without drift, and without a jump on either side of it.
        let (right, wrong) = (1.6_f64.ln(), 0.4_f64.ln());
        let no_drift = -wrong / (right - wrong);
        let [before, at, after] = [-1e-4, 0.0, 1e-4].map(|away| test.wald(no_drift + away));
        assert!((before.heard - at.heard).abs() < 1e-3 && (after.heard - at.heard).abs() < 1e-3);
        assert!((before.expected_trials - at.expected_trials).abs() < 0.01 && (after.expected_trials - at.expected_trials).abs() < 0.01);
    }

    #[test]
    fn small_steps_come_near_the_approximation() {
        // p₁ near p₀: the overshoot vanishes.
        let test = Sequential::new(0.5, 0.53, 0.05, 0.2, 12_000).unwrap();
        let (exact, wald) = (test.characteristic(0.53), test.wald(0.53));
        assert!((exact.expected_trials / wald.expected_trials - 1.0).abs() < 0.03, "{exact:?} {wald:?}");
        assert!((exact.heard - 0.8).abs() < 0.02);
    }

    #[test]
    fn it_is_shorter_than_a_test_of_equal_power() {
        let fixed = BinomialTest::detection(0.05).unwrap().n_for_power(0.8, 0.8).unwrap();
        let test = usual(100);
        assert!(test.characteristic(0.8).heard >= 0.8);
        assert!(
            test.characteristic(0.5).expected_trials < 0.7 * f64::from(fixed)
                && test.characteristic(0.8).expected_trials < 0.8 * f64::from(fixed)
        );
    }

    #[test]
    fn peeking_at_a_fixed_test_inflates_its_errors_as_the_design_says() {
        let test = BinomialTest::detection(0.05).unwrap();
        let mut under_way = vec![1.0];
        let mut stopped = 0.0;
        let mut by_trial = Vec::new();
        for n in 1..=100_u32 {
            let mut next = vec![0.0; under_way.len() + 1];
            for (k, chance) in under_way.iter().enumerate() {
                next[k] += chance / 2.0;
                next[k + 1] += chance / 2.0;
            }
            if let Some(needed) = test.critical_count(n).filter(|_| n >= 5) {
                stopped += next[needed as usize..].iter_mut().map(std::mem::take).sum::<f64>();
            }
            by_trial.push(stopped);
            under_way = next;
        }
        for (n, percent) in [(16, 8.8), (30, 12.9), (100, 20.2)] {
            assert!((100.0 * by_trial[n - 1] - percent).abs() < 0.05, "by trial {n}: {}", by_trial[n - 1]);
        }
    }

    #[test]
    fn what_is_no_test_is_an_error() {
        for (p0, p1, alpha, beta, name) in [
            (0.5, 0.5, 0.05, 0.2, "p1"),
            (0.5, 0.4, 0.05, 0.2, "p1"),
            (0.5, 1.0, 0.05, 0.2, "p1"),
            (0.0, 0.8, 0.05, 0.2, "p0"),
            (0.5, 0.8, 0.0, 0.2, "alpha"),
            (0.5, 0.8, 0.5, 0.5, "beta"),
            (0.5, f64::NAN, 0.05, 0.2, "p1"),
        ] {
            match Sequential::new(p0, p1, alpha, beta, 40) {
                Err(StatisticsError::OutOfRange { name: found, .. }) => assert_eq!(found, name),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(Sequential::new(0.5, 0.8, 0.05, 0.2, 0), Err(StatisticsError::NoTrials));
        // No end in sight is no endless sum.
        assert!((usual(u32::MAX).characteristic(0.8).heard - usual(2000).characteristic(0.8).heard).abs() < 1e-12);
    }
}
