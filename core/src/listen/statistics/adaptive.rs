//! Which level next? Levitt's staircase and the Bayesian psi method, as a function of the answers so far: a session resumes by replay.

use std::f64::consts::FRAC_1_SQRT_2;

use super::{Posterior, StatisticsError, Threshold, between};
use crate::listen::Method;

/// Reversals before the staircase is where it is going: they are not averaged.
const N_APPROACH: usize = 2;
/// Fewer reversals say little.
const FEWEST_AVERAGED: usize = 4;

/// An adaptive test under way.
#[derive(Clone, Debug)]
pub struct Adaptive {
    posterior: Posterior,
    method: Method,
    history: Vec<(usize, bool)>,
    staircase: Staircase,
}

/// Levitt's own estimate, beside that of the posterior for the same proportion.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct StaircaseEstimate {
    /// Mean of the last even number of reversals after the first two, in the axis' unit.
    pub reversal_mean: f64,
    /// Reversals averaged.
    pub n_reversals: usize,
    /// After those two the staircase was held at an end of the axis, which pulls the mean inwards.
    pub was_held: bool,
    /// Where 70.7 % are right by the posterior, and the interval: one made of the spread of reversals, which depend on each other, holds
    /// the true level much more seldom than it says.
    pub threshold: Threshold,
}

impl Adaptive {
    /// Before the first trial; `levels` in rising order of audibility. Errors as [`super::Axis::new`] does.
    pub fn new(levels: &[f64], method: Method) -> Result<Self, StatisticsError> {
        let posterior = Posterior::new(levels)?;
        Ok(Self { posterior, method, history: Vec::new(), staircase: Staircase::new(levels.len() - 1) })
    }

    /// After the trials of `history`: level index, and whether the answer was right.
    pub fn replay(levels: &[f64], method: Method, history: &[(usize, bool)]) -> Result<Self, StatisticsError> {
        let mut adaptive = Self::new(levels, method)?;
        history.iter().try_for_each(|&(level_idx, right)| adaptive.push(level_idx, right))?;
        Ok(adaptive)
    }

    /// Takes an answer in, at whatever level it was given. Errors where the axis has no such level.
    pub fn push(&mut self, level_idx: usize, right: bool) -> Result<(), StatisticsError> {
        self.posterior.push(level_idx, right)?;
        self.history.push((level_idx, right));
        if let Method::TwoDownOneUp { first_step } = self.method {
            self.staircase.push(level_idx, right, first_step.max(1) as usize);
        }
        Ok(())
    }

    /// Index of the level that the next trial should have. A staircase starts at the last level, the most audible one.
    pub fn next_level(&self) -> usize {
        match self.method {
            Method::TwoDownOneUp { .. } => self.staircase.level_idx,
            Method::Bayesian => self.posterior.most_informative_level(),
        }
    }

    /// The trials taken in.
    pub fn history(&self) -> &[(usize, bool)] {
        &self.history
    }

    /// What the answers say, by the one estimator for all methods.
    pub fn posterior(&self) -> &Posterior {
        &self.posterior
    }

    /// Level indices at which the staircase turned; empty for the Bayesian method.
    pub fn reversals(&self) -> &[usize] {
        &self.staircase.reversals
    }

    /// Levitt's estimate, with an interval at `confidence` (.95). `None` for the Bayesian method, and before four reversals after the first
    /// two. Errors where `confidence` is not between 0 and 1.
    pub fn staircase_estimate(&self, confidence: f64) -> Result<Option<StaircaseEstimate>, StatisticsError> {
        between("the confidence", confidence, 0.0, 1.0)?;
        let settled = self.staircase.reversals.get(N_APPROACH..).unwrap_or_default();
        let averaged = &settled[settled.len() % 2..];
        if averaged.len() < FEWEST_AVERAGED {
            return Ok(None);
        }
        let mean = averaged.iter().sum::<usize>() as f64 / averaged.len() as f64;
        Ok(self.posterior.axis().level(mean).zip(Some(self.posterior.threshold(FRAC_1_SQRT_2, confidence)?)).map(
            |(reversal_mean, threshold)| StaircaseEstimate {
                reversal_mean,
                n_reversals: averaged.len(),
                was_held: self.staircase.was_held,
                threshold,
            },
        ))
    }
}

/// Two right answers in a row at a level make it harder, a wrong one makes it easier (Levitt, J. Acoust. Soc. Am. 49, 1971).
#[derive(Clone, Debug)]
struct Staircase {
    /// Of the next trial.
    level_idx: usize,
    last_idx: usize,
    was_right_here: bool,
    direction: Option<Direction>,
    reversals: Vec<usize>,
    /// A step after the approach would have left the axis.
    was_held: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Direction {
    Harder,
    Easier,
}

impl Staircase {
    fn new(last_idx: usize) -> Self {
        Self { level_idx: last_idx, last_idx, was_right_here: false, direction: None, reversals: Vec::new(), was_held: false }
    }

    /// `level_idx` is at most `last_idx`.
    fn push(&mut self, level_idx: usize, right: bool, first_step: usize) {
        if level_idx != self.level_idx {
            (self.level_idx, self.was_right_here) = (level_idx, false);
        }
        if right && !self.was_right_here {
            self.was_right_here = true;
            return;
        }
        self.was_right_here = false;
        let direction = if right { Direction::Harder } else { Direction::Easier };
        if self.direction.is_some_and(|last| last != direction) {
            self.reversals.push(level_idx);
        }
        self.direction = Some(direction);
        let step = if self.reversals.len() < N_APPROACH { first_step } else { 1 };
        let room = if right { level_idx } else { self.last_idx - level_idx };
        self.was_held |= step > room && self.reversals.len() >= N_APPROACH;
        self.level_idx = if right { level_idx - step.min(room) } else { level_idx + step.min(room) };
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};
    use rayon::iter::{IntoParallelIterator, ParallelIterator};

    use super::*;
    use crate::listen::statistics::{Psychometric, simulate};

    const LEVELS: [f64; 9] = [1.0, 0.95, 0.9, 0.8, 0.7, 0.6, 0.5, 0.25, 0.0];
    const STAIRCASE: Method = Method::TwoDownOneUp { first_step: 3 };

    #[test]
    fn a_staircase_goes_the_way_of_its_rule() {
        // Answer, level it was given at, level after.
        let mut adaptive = Adaptive::new(&LEVELS, STAIRCASE).unwrap();
        for (right, at, after) in [
            (true, 8, 8),
            (true, 8, 5),
            (true, 5, 5),
            (true, 5, 2),
            (true, 2, 2),
            (false, 2, 5), // first reversal
            (true, 5, 5),
            (true, 5, 4), // second: single steps
            (false, 4, 5),
            (false, 5, 6),
            (true, 6, 6),
            (true, 6, 5),
            (true, 5, 5),
            (false, 5, 6),
            (true, 6, 6),
            (true, 6, 5),
        ] {
            assert_eq!(adaptive.next_level(), at);
            adaptive.push(at, right).unwrap();
            assert_eq!(adaptive.next_level(), after, "after {} trials", adaptive.history().len());
        }
        assert_eq!(adaptive.reversals(), [2, 5, 4, 6, 5, 6]);
        let estimate = adaptive.staircase_estimate(0.95).unwrap().unwrap();
        // Mean place 5.25: a quarter of the way from .6 to .5.
        assert!((estimate.reversal_mean - 0.575).abs() < 1e-12 && (estimate.n_reversals, estimate.was_held) == (4, false), "{estimate:?}");
    }

    #[test]
    fn the_ends_of_the_axis_hold_a_staircase_and_it_says_so() {
        for (right, at) in [(true, 0), (false, 8)] {
            let mut adaptive = Adaptive::new(&LEVELS, STAIRCASE).unwrap();
            for _ in 0..20 {
                adaptive.push(adaptive.next_level(), right).unwrap();
            }
            assert_eq!((adaptive.next_level(), adaptive.reversals().len()), (at, 0));
            assert_eq!(adaptive.staircase_estimate(0.95), Ok(None));
        }
        let mut guessing = Adaptive::new(&LEVELS, STAIRCASE).unwrap();
        for trial in 0..60 {
            guessing.push(guessing.next_level(), trial % 4 < 2).unwrap();
        }
        let estimate = guessing.staircase_estimate(0.95).unwrap().unwrap();
        assert!(estimate.was_held && matches!(estimate.threshold, Threshold::Above { .. }), "{estimate:?}");
    }

    #[test]
    fn a_session_resumes_by_replay() {
        let listener = Psychometric { threshold: 3.5, slope: 2.0, lapse: 0.02 };
        for method in [STAIRCASE, Method::Bayesian] {
            let whole = simulate::adaptive(listener, &LEVELS, method, 24, &mut StdRng::seed_from_u64(9)).unwrap();
            for stop in [0, 1, 11, 23] {
                let resumed = Adaptive::replay(&LEVELS, method, &whole.history()[..stop]).unwrap();
                assert_eq!(resumed.next_level(), whole.history()[stop].0, "{method:?} after {stop}");
            }
            let same = Adaptive::replay(&LEVELS, method, whole.history()).unwrap();
            assert_eq!((same.next_level(), same.reversals()), (whole.next_level(), whole.reversals()));
            assert_eq!(same.posterior().threshold(0.75, 0.95), whole.posterior().threshold(0.75, 0.95));
        }
        assert_eq!(
            Adaptive::replay(&LEVELS, STAIRCASE, &[(9, true)]).map(|adaptive| adaptive.next_level()),
            Err(StatisticsError::NoSuchLevel { level_idx: 9, n_levels: 9 })
        );
    }

    /// Thresholds, widths between F = .1 and .9 in levels, lapse rates: from a step to nearly flat.
    const LISTENERS: [(f64, f64, f64); 5] = [(4.3, 3.0, 0.0), (2.3, 1.0, 0.02), (6.1, 3.0, 0.03), (5.2, 5.0, 0.05), (3.3, 5.0, 0.0)];

    /// Of each of `n_tests` simulated tests and its listener, what `of` says.
    fn simulated<T: Send>(n_tests: usize, method: Method, n_trials: usize, of: impl Fn(&Adaptive, Psychometric) -> T + Sync) -> Vec<T> {
        let start = Adaptive::new(&LEVELS, method).unwrap();
        let run = |run: usize| {
            let (threshold, width, lapse) = LISTENERS[run % LISTENERS.len()];
            let listener = Psychometric { threshold, slope: 2.0 * 9.0_f64.ln() / width, lapse };
            let test = simulate::carry_on(start.clone(), listener, n_trials, &mut StdRng::seed_from_u64(run as u64)).unwrap();
            of(&test, listener)
        };
        (0..n_tests).into_par_iter().map(run).collect()
    }

    fn holds(threshold: Threshold, truth: f64) -> bool {
        // The levels fall as audibility rises.
        let (from, to) = match threshold {
            Threshold::Within { from, to, .. } => (from, to),
            Threshold::Below { to } => (None, to),
            Threshold::Above { from } => (from, None),
        };
        from.is_none_or(|from| from >= truth) && to.is_none_or(|to| truth >= to)
    }

    #[test]
    fn intervals_hold_the_true_threshold_and_medians_come_near_with_either_method() {
        for (method, n_trials) in [(Method::Bayesian, 30), (STAIRCASE, 50)] {
            let found = simulated(1000, method, n_trials, |test, listener| {
                let axis = test.posterior().axis();
                [0.75, FRAC_1_SQRT_2].map(|p_right| {
                    let (threshold, truth) = (test.posterior().threshold(p_right, 0.95).unwrap(), listener.position_at(p_right));
                    let miss = match threshold {
                        Threshold::Within { level, .. } => Some((axis.position(level).unwrap() - truth).powi(2)),
                        Threshold::Below { .. } | Threshold::Above { .. } => None,
                    };
                    (holds(threshold, axis.level(truth).unwrap()), miss)
                })
            });
            for place in [0, 1] {
                let held = found.iter().filter(|tests| tests[place].0).count();
                let misses: Vec<f64> = found.iter().filter_map(|tests| tests[place].1).collect();
                let miss = (misses.iter().sum::<f64>() / misses.len() as f64).sqrt();
                assert!((930..=995).contains(&held), "{method:?}: {held} of 1000");
                assert!(misses.len() > 930 && miss < 1.2, "{method:?}: {miss} levels off, root mean square of {}", misses.len());
            }
        }
    }

    #[test]
    fn a_staircase_of_small_steps_converges_to_seventy_percent() {
        let mut rng = StdRng::seed_from_u64(11);
        for threshold in [30.0, 45.5] {
            let listener = Psychometric { threshold, slope: 0.25, lapse: 0.01 };
            let mut staircase = Staircase::new(80);
            for _ in 0..20_000 {
                staircase.push(staircase.level_idx, rng.random::<f64>() < listener.p_right(staircase.level_idx as f64), 8);
            }
            let mean = staircase.reversals.iter().sum::<usize>() as f64 / staircase.reversals.len() as f64;
            assert!((listener.p_right(mean) - FRAC_1_SQRT_2).abs() < 0.01 && !staircase.was_held, "{}", listener.p_right(mean));
        }
    }

    #[test]
    fn the_fit_is_rejected_no_more_often_than_its_level() {
        let rejected = simulated(300, STAIRCASE, 40, |test, _| test.posterior().goodness_of_fit(3).unwrap().p_value <= 0.05);
        let n_rejected = rejected.iter().filter(|rejected| **rejected).count();
        assert!(n_rejected <= 15, "{n_rejected} of 300");
    }
}
