//! Is it the same, to within a margin? The exact test with the null hypothesis turned round: p ≥ margin, to be rejected by few right
//! answers.
//!
//! "Not heard" is no evidence of sameness; this is. The margin is the proportion of right answers that still counts as the same: with .75 a
//! listener who hears every second difference and guesses otherwise is just not the same.

use serde::Serialize;

use super::{BinomialTest, Interval, StatisticsError, Tail, Tally, between};

/// "The same" is p ≤ alpha of a one-sided exact binomial test with p₀ = margin, lower tail.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct EquivalenceTest {
    below_margin: BinomialTest,
}

impl EquivalenceTest {
    /// `margin` strictly between ½ and 1, `alpha` strictly between 0 and 1, else an error.
    pub fn new(margin: f64, alpha: f64) -> Result<Self, StatisticsError> {
        between("the margin", margin, 0.5, 1.0)?;
        Ok(Self { below_margin: BinomialTest::new(margin, alpha, Tail::Lower)? })
    }

    /// Most right answers that still show it is the same; `None` where no outcome of so few trials would.
    pub fn critical_count(&self, n_trials: u32) -> Option<u32> {
        self.below_margin.critical_count(n_trials)
    }

    /// Chance of showing that it is the same, where the true proportion is `p_true` (½ for a listener who hears nothing).
    pub fn power(&self, n_trials: u32, p_true: f64) -> f64 {
        self.below_margin.power(n_trials, p_true)
    }

    /// The smallest number of trials with at least this power at a true proportion; see [`BinomialTest::n_for_power`].
    pub fn n_for_power(&self, p_true: f64, power: f64) -> Result<u32, StatisticsError> {
        self.below_margin.n_for_power(p_true, power)
    }

    /// What `tally` says.
    pub fn result(&self, tally: Tally) -> Result<EquivalenceResult, StatisticsError> {
        let n_trials = tally.n_trials();
        Ok(EquivalenceResult {
            tally,
            proportion: tally.proportion(),
            interval: tally.clopper_pearson(0.95)?,
            margin: self.below_margin.p0(),
            alpha: self.below_margin.alpha(),
            p_value: self.below_margin.p_value(tally),
            at_most: self.critical_count(n_trials),
            same: self.below_margin.is_shown(tally),
            p_heard: BinomialTest::detection(self.below_margin.alpha())?.p_value(tally),
            power_if_guessing: self.power(n_trials, 0.5),
        })
    }
}

/// What an equivalence test says.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct EquivalenceResult {
    /// Right answers and trials.
    pub tally: Tally,
    /// Right answers as a proportion.
    pub proportion: f64,
    /// Clopper-Pearson, 95 %.
    pub interval: Interval,
    /// Proportion of right answers that still counts as the same.
    pub margin: f64,
    /// Level of the test.
    pub alpha: f64,
    /// One-sided, of p = margin.
    pub p_value: f64,
    /// Right answers at most for "the same"; `None` where no outcome of so few trials would show it.
    pub at_most: Option<u32>,
    /// Whether it is the same to within the margin: p ≤ alpha. Otherwise nothing was shown.
    pub same: bool,
    /// One-sided p-value of guessing, for completeness: something can be heard and still lie below the margin.
    pub p_heard: f64,
    /// Chance of "the same" that so many trials give to a listener who hears nothing.
    pub power_if_guessing: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_powers_are_those_of_scipy() {
        let test = EquivalenceTest::new(0.75, 0.05).unwrap();
        // n, most right answers, power at .5 and .6, false positives at the margin.
        for (n, at_most, powers) in [
            (5, 1, [0.1875, 0.08704, 0.015_625]),
            (10, 4, [0.376_953, 0.166_239, 0.019_728]),
            (16, 8, [0.598_19, 0.283_937, 0.027_13]),
            (40, 24, [0.923_07, 0.559_78, 0.026_245]),
        ] {
            assert_eq!(test.critical_count(n), Some(at_most));
            for (p_true, power) in [0.5, 0.6, 0.75].into_iter().zip(powers) {
                assert!((test.power(n, p_true) - power).abs() < 6e-7, "{n} trials at {p_true}");
            }
        }
        assert_eq!((test.n_for_power(0.5, 0.8), test.n_for_power(0.5, 0.9), test.n_for_power(0.6, 0.8)), (Ok(26), Ok(33), Ok(62)));
        assert!(matches!(test.n_for_power(0.75, 0.8), Err(StatisticsError::NoSampleSize { .. })));
    }

    #[test]
    fn sameness_at_the_margin_and_above_is_shown_no_more_often_than_the_level() {
        for margin in [0.6, 0.7, 0.75, 0.9] {
            for alpha in [0.01, 0.05, 0.1] {
                let test = EquivalenceTest::new(margin, alpha).unwrap();
                for n in 1..=120 {
                    for p_true in [margin, f64::midpoint(margin, 1.0)] {
                        assert!(test.power(n, p_true) <= alpha + 1e-12, "margin {margin}, {n} trials, p {p_true}");
                    }
                }
            }
        }
    }

    #[test]
    fn few_right_answers_are_the_same_and_not_enough_trials_are_nothing() {
        let test = EquivalenceTest::new(0.75, 0.05).unwrap();
        let result = |k, n| test.result(Tally::new(k, n).unwrap()).unwrap();
        assert!(result(24, 40).same && !result(25, 40).same && !result(1, 2).same);
        // Heard, and below the margin all the same.
        let both = result(115, 200);
        assert!(both.same && both.p_heard < 0.05, "{both:?}");
        assert_eq!((result(8, 16).at_most, result(0, 2).at_most), (Some(8), None));
        for margin in [0.5, 1.0, f64::NAN] {
            assert!(matches!(EquivalenceTest::new(margin, 0.05), Err(StatisticsError::OutOfRange { name: "the margin", .. })));
        }
    }
}
