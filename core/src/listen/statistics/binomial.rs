//! Was it heard? The exact binomial test of a number of trials that was decided before, what it can find, and what a null rules out.
//!
//! Every trial is answered right with the same probability p, independently of the others. Tails and intervals are exact, by the
//! incomplete beta function.

use serde::Serialize;
use statrs::distribution::{Beta, Binomial, ContinuousCDF, DiscreteCDF};

use super::{Interval, StatisticsError, between};

/// Trials beyond which nobody listens; [`BinomialTest::n_for_power`] looks no further.
const MAX_TRIALS: u32 = 2000;
/// A p-value that equals the level but for rounding is at most the level.
const ROUNDING: f64 = 1.0 + 1e-12;
/// Power at which a difference counts as one that would have been found.
const FOUND: f64 = 0.8;

/// Right answers of scored trials, of which there is at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Tally {
    n_right: u32,
    n_trials: u32,
}

impl Tally {
    /// `n_right` of `n_trials`. Errors without trials, and with more right answers than trials.
    pub fn new(n_right: u32, n_trials: u32) -> Result<Self, StatisticsError> {
        if n_trials == 0 {
            Err(StatisticsError::NoTrials)
        } else if n_right > n_trials {
            Err(StatisticsError::TooManyRight { n_right, n_trials })
        } else {
            Ok(Self { n_right, n_trials })
        }
    }

    /// Right answers.
    pub fn n_right(self) -> u32 {
        self.n_right
    }

    /// Scored trials.
    pub fn n_trials(self) -> u32 {
        self.n_trials
    }

    /// Right answers as a proportion of the trials.
    pub fn proportion(self) -> f64 {
        f64::from(self.n_right) / f64::from(self.n_trials)
    }

    /// Exact interval of the true proportion at `confidence` (.95): every p that neither one-sided test at half the rest would reject
    /// (Clopper and Pearson, Biometrika 26, 1934). Holds p at least as often as it says, for a number of trials decided before. Errors
    /// where `confidence` is not between 0 and 1.
    pub fn clopper_pearson(self, confidence: f64) -> Result<Interval, StatisticsError> {
        between("the confidence", confidence, 0.0, 1.0)?;
        Ok(clopper_pearson(f64::from(self.n_right), f64::from(self.n_trials), confidence))
    }

    /// Exact two-sided p-value of p = ½: twice the smaller tail, at most 1.
    pub fn two_sided_p(self) -> f64 {
        let fewer = self.n_right.min(self.n_trials - self.n_right);
        (2.0 * at_most(fewer, self.n_trials, 0.5)).min(1.0)
    }
}

/// Clopper-Pearson for a count that may end in a half (split ties); `n` ≥ `count` ≥ 0.
pub(super) fn clopper_pearson(count: f64, n: f64, confidence: f64) -> Interval {
    let half = (1.0 - confidence) / 2.0;
    let low = if count <= 0.0 { 0.0 } else { beta_quantile(count, n - count + 1.0, half) };
    let high = if count >= n { 1.0 } else { 1.0 - beta_quantile(n - count, count + 1.0, half) };
    Interval { low, high }
}

/// Which outcomes speak against the null hypothesis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Tail {
    /// Many right answers: p > p₀.
    Upper,
    /// Few right answers: p < p₀.
    Lower,
}

/// A one-sided exact binomial test of p = p₀ at a level.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct BinomialTest {
    p0: f64,
    alpha: f64,
    tail: Tail,
}

impl BinomialTest {
    /// Against p = `p0`, at level `alpha`; both strictly between 0 and 1, else an error.
    pub fn new(p0: f64, alpha: f64, tail: Tail) -> Result<Self, StatisticsError> {
        Ok(Self { p0: between("p0", p0, 0.0, 1.0)?, alpha: between("alpha", alpha, 0.0, 1.0)?, tail })
    }

    /// Is it heard at all? p₀ = ½, upper tail.
    pub fn detection(alpha: f64) -> Result<Self, StatisticsError> {
        Self::new(0.5, alpha, Tail::Upper)
    }

    /// Level of the test.
    pub fn alpha(&self) -> f64 {
        self.alpha
    }

    /// Proportion of the null hypothesis.
    pub fn p0(&self) -> f64 {
        self.p0
    }

    /// Probability, were p = p₀, of an outcome at least as far out as this one.
    pub fn p_value(&self, tally: Tally) -> f64 {
        self.tail_of(tally.n_right, tally.n_trials, self.p0)
    }

    /// Whether the p-value is at most the level.
    pub fn is_shown(&self, tally: Tally) -> bool {
        self.p_value(tally) <= self.alpha * ROUNDING
    }

    /// The count of right answers from which on (upper tail) or down to which (lower tail) it is shown; `None` where no outcome of so few
    /// trials would show it.
    pub fn critical_count(&self, n_trials: u32) -> Option<u32> {
        let is_shown = |k: u32| self.tail_of(k, n_trials, self.p0) <= self.alpha * ROUNDING;
        // The tail grows with the count, or falls.
        let (mut shown, mut not_shown) = match self.tail {
            Tail::Upper => (n_trials, 0),
            Tail::Lower => (0, n_trials),
        };
        if n_trials == 0 || !is_shown(shown) {
            return None;
        }
        while shown.abs_diff(not_shown) > 1 {
            let middle = u32::midpoint(shown, not_shown);
            *if is_shown(middle) { &mut shown } else { &mut not_shown } = middle;
        }
        Some(shown)
    }

    /// Chance of showing it with so many trials where the true proportion is `p_true` (taken into 0..=1).
    pub fn power(&self, n_trials: u32, p_true: f64) -> f64 {
        self.critical_count(n_trials).map_or(0.0, |k| self.tail_of(k, n_trials, p_true.clamp(0.0, 1.0)))
    }

    /// The smallest number of trials with at least this power at a true proportion. Power over trials is a saw: a few more trials can have
    /// less. Errors where `power` is not between 0 and 1, or no number up to 2,000 is enough.
    pub fn n_for_power(&self, p_true: f64, power: f64) -> Result<u32, StatisticsError> {
        between("the power", power, 0.0, 1.0)?;
        let right_side = match self.tail {
            Tail::Upper => p_true > self.p0,
            Tail::Lower => p_true < self.p0,
        };
        // On the other side of p₀ the power never passes the level.
        let found = (right_side || power <= self.alpha).then(|| (1..=MAX_TRIALS).find(|&n| self.power(n, p_true) >= power)).flatten();
        found.ok_or(StatisticsError::NoSampleSize { max_trials: MAX_TRIALS, power })
    }

    /// The true proportion at which so many trials have this power: what a null rules out ("not heard in 16 trials rules out p > .8").
    /// `None` where no outcome would show it. Errors where `power` is not between 0 and 1.
    pub fn ruled_out(&self, n_trials: u32, power: f64) -> Result<Option<f64>, StatisticsError> {
        between("the power", power, 0.0, 1.0)?;
        let (n, k) = (f64::from(n_trials), self.critical_count(n_trials).map(f64::from));
        Ok(k.map(|k| match self.tail {
            Tail::Upper => beta_quantile(k, n - k + 1.0, power),
            Tail::Lower => 1.0 - beta_quantile(n - k, k + 1.0, power),
        }))
    }

    fn tail_of(&self, k: u32, n_trials: u32, p: f64) -> f64 {
        match self.tail {
            Tail::Upper => at_least(k, n_trials, p),
            Tail::Lower => at_most(k, n_trials, p),
        }
    }
}

/// What an ABX test with a number of trials decided before says.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct AbxResult {
    /// Right answers and trials.
    pub tally: Tally,
    /// Right answers as a proportion.
    pub proportion: f64,
    /// Clopper-Pearson, 95 %.
    pub interval: Interval,
    /// One-sided, of guessing.
    pub p_value: f64,
    /// Level of the test.
    pub alpha: f64,
    /// Right answers that were needed; `None` where all right would not have been enough.
    pub needed: Option<u32>,
    /// Whether it was heard: p ≤ alpha. Not heard is not "the same".
    pub heard: bool,
    /// True proportions above this one are ruled out by these answers: the one-sided upper limit (Clopper-Pearson) at `1 − alpha`.
    pub rules_out_above: f64,
    /// A listener at this true proportion would have been found with a chance of 80 %: what so many trials can show, whatever was answered.
    pub found_with_power: Option<f64>,
}

/// The result of `tally` at level `alpha`. Errors where `alpha` is not between 0 and 1.
pub fn abx(tally: Tally, alpha: f64) -> Result<AbxResult, StatisticsError> {
    let test = BinomialTest::detection(alpha)?;
    Ok(AbxResult {
        tally,
        proportion: tally.proportion(),
        interval: tally.clopper_pearson(0.95)?,
        p_value: test.p_value(tally),
        alpha,
        needed: test.critical_count(tally.n_trials),
        heard: test.is_shown(tally),
        // The upper end of a two-sided interval with twice the error.
        rules_out_above: tally.clopper_pearson((1.0 - 2.0 * alpha).max(f64::EPSILON))?.high,
        found_with_power: test.ruled_out(tally.n_trials, FOUND)?,
    })
}

/// P(X ≥ k) of n trials at p.
fn at_least(k: u32, n: u32, p: f64) -> f64 {
    if k == 0 { 1.0 } else { Binomial::new(p, u64::from(n)).map_or(f64::NAN, |binomial| binomial.sf(u64::from(k - 1))) }
}

/// P(X ≤ k) of n trials at p.
fn at_most(k: u32, n: u32, p: f64) -> f64 {
    Binomial::new(p, u64::from(n)).map_or(f64::NAN, |binomial| binomial.cdf(u64::from(k)))
}

/// Quantile of a beta distribution with positive shapes.
fn beta_quantile(a: f64, b: f64, probability: f64) -> f64 {
    Beta::new(a, b).map_or(f64::NAN, |beta| beta.inverse_cdf(probability))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(n_right: u32, n_trials: u32) -> Tally {
        Tally::new(n_right, n_trials).unwrap()
    }

    fn near(found: f64, expected: f64, name: &str) {
        assert!((found / expected - 1.0).abs() < 1e-9 || (found - expected).abs() < 1e-15, "{name}: {found}, expected {expected}");
    }

    #[test]
    fn the_table_of_abx_has_its_counts_p_values_and_powers() {
        // n, needed at .05, its exact p, needed at .01, power at .7 .8 .9 in percent; the power from scipy.
        let table = [
            (8, 7, 0.035_156_25, 8, [0.2553, 0.5033, 0.8131]),
            (10, 9, 0.010_742_187_5, 10, [0.1493, 0.3758, 0.7361]),
            (12, 10, 0.019_287_109_375, 11, [0.2528, 0.5583, 0.8891]),
            (16, 12, 0.038_406_372_070_312_5, 14, [0.4499, 0.7982, 0.983]),
            (20, 15, 0.020_694_732_666_015_625, 16, [0.4164, 0.8042, 0.9887]),
            (24, 17, 0.031_957_328_319_549_56, 19, [0.5647, 0.9108, 0.9983]),
            (32, 22, 0.025_051_229_866_221_547, 24, [0.644, 0.9589, 0.9998]),
            (40, 26, 0.040_345_233_875_996_2, 28, [0.8074, 0.9921, 1.0]),
        ];
        let (five, one) = (BinomialTest::detection(0.05).unwrap(), BinomialTest::detection(0.01).unwrap());
        for (n, needed, p_value, needed_one, power) in table {
            assert_eq!((five.critical_count(n), one.critical_count(n)), (Some(needed), Some(needed_one)), "{n} trials");
            near(five.p_value(tally(needed, n)), p_value, "p");
            assert!(five.is_shown(tally(needed, n)) && !five.is_shown(tally(needed - 1, n)));
            for (p_true, expected) in [0.7, 0.8, 0.9].into_iter().zip(power) {
                assert!((five.power(n, p_true) - expected).abs() < 5.1e-5, "power of {n} at {p_true}");
            }
        }
    }

    #[test]
    fn tails_are_those_of_scipy() {
        for (k, n, p0, tail, expected) in [
            (0, 8, 0.5, Tail::Upper, 1.0),
            (26, 40, 0.5, Tail::Upper, 0.040_345_233_875_996_2),
            (8, 16, 0.75, Tail::Lower, 0.027_129_956_288_263_2),
            (20, 40, 0.75, Tail::Lower, 0.000_572_431_107_176_138_6),
            (0, 5, 0.75, Tail::Lower, 0.000_976_562_5),
            (700, 1000, 0.75, Tail::Lower, 0.000_193_590_321_949_075_8),
            (5, 5, 0.75, Tail::Lower, 1.0),
        ] {
            near(BinomialTest::new(p0, 0.05, tail).unwrap().p_value(tally(k, n)), expected, &format!("{k} of {n}"));
        }
        for (k, n, expected) in
            [(12, 16, 0.076_812_744_140_625), (4, 16, 0.076_812_744_140_625), (8, 16, 1.0), (33, 50, 0.032_839_137_564_268_484)]
        {
            near(tally(k, n).two_sided_p(), expected, &format!("two-sided {k} of {n}"));
        }
    }

    #[test]
    fn intervals_are_those_of_scipy() {
        for (k, n, confidence, low, high) in [
            (0, 16, 0.95, 0.0, 0.205_907_214_207_823_12),
            (1, 16, 0.95, 0.001_581_111_722_765_887, 0.302_320_738_434_560_53),
            (12, 16, 0.95, 0.476_229_180_103_872_4, 0.927_337_961_747_117_8),
            (16, 16, 0.95, 0.794_092_785_792_176_2, 1.0),
            (26, 40, 0.9, 0.508_054_476_553_901_5, 0.774_467_548_109_277_8),
            (5, 10, 0.99, 0.128_310_553_935_083_28, 0.871_689_446_064_916_7),
            (3, 2000, 0.95, 0.000_309_442_949_079_216_5, 0.004_377_320_104_663_236),
            (1, 1, 0.95, 0.025, 1.0),
        ] {
            let interval = tally(k, n).clopper_pearson(confidence).unwrap();
            near(interval.low, low, &format!("low of {k} of {n}"));
            near(interval.high, high, &format!("high of {k} of {n}"));
        }
    }

    #[test]
    fn intervals_hold_the_true_proportion_as_often_as_they_say_or_more() {
        for n in [1, 5, 16, 40] {
            let intervals: Vec<Interval> = (0..=n).map(|k| tally(k, n).clopper_pearson(0.95).unwrap()).collect();
            for p in (1..100).map(|percent| f64::from(percent) / 100.0) {
                let inside = (0..=n).filter(|&k| intervals[k as usize].low <= p && p <= intervals[k as usize].high);
                let coverage: f64 = inside.map(|k| at_most(k, n, p) - if k == 0 { 0.0 } else { at_most(k - 1, n, p) }).sum();
                assert!(coverage >= 0.95 - 1e-9, "{n} trials at {p}: {coverage}");
            }
        }
    }

    #[test]
    fn false_positives_are_at_most_the_level() {
        for n in 1..=200 {
            for (p0, alpha, tail) in
                [(0.5, 0.05, Tail::Upper), (0.5, 0.01, Tail::Upper), (0.75, 0.05, Tail::Lower), (0.6, 0.1, Tail::Lower)]
            {
                let test = BinomialTest::new(p0, alpha, tail).unwrap();
                let rate = test.power(n, p0);
                assert!(rate <= alpha * ROUNDING, "{n} trials, {tail:?} of {p0}: {rate}");
                // One right answer nearer would already be too many.
                let nearer = test.critical_count(n).map(|k| if tail == Tail::Upper { k - 1 } else { k + 1 });
                assert!(nearer.is_none_or(|k| test.p_value(tally(k, n)) > alpha));
            }
        }
    }

    #[test]
    fn a_p_value_equal_to_the_level_counts() {
        // (1/2)^n, exactly.
        for n in 1..30 {
            assert_eq!(BinomialTest::detection(0.5_f64.powi(n as i32)).unwrap().critical_count(n), Some(n));
        }
    }

    #[test]
    fn trials_for_a_power_are_those_of_a_search_with_scipy() {
        for (p0, alpha, tail, p_true, power, expected) in [
            (0.5, 0.05, Tail::Upper, 0.8, 0.8, 18),
            (0.5, 0.05, Tail::Upper, 0.7, 0.8, 37),
            (0.5, 0.05, Tail::Upper, 0.9, 0.8, 8),
            (0.5, 0.01, Tail::Upper, 0.8, 0.9, 35),
            (0.75, 0.05, Tail::Lower, 0.5, 0.8, 26),
            (0.6, 0.05, Tail::Lower, 0.5, 0.8, 158),
        ] {
            assert_eq!(BinomialTest::new(p0, alpha, tail).unwrap().n_for_power(p_true, power), Ok(expected));
        }
        let test = BinomialTest::detection(0.05).unwrap();
        for hopeless in [0.5, 0.4, 0.501] {
            assert_eq!(test.n_for_power(hopeless, 0.8), Err(StatisticsError::NoSampleSize { max_trials: MAX_TRIALS, power: 0.8 }));
        }
    }

    #[test]
    fn a_null_rules_out_what_would_have_been_found() {
        let test = BinomialTest::detection(0.05).unwrap();
        for (n, expected) in [(8, 0.895_627_173_593_867_2), (16, 0.800_585_602_258_288_9), (40, 0.698_095_280_833_410_3)] {
            let p = test.ruled_out(n, 0.8).unwrap().unwrap();
            near(p, expected, &format!("{n} trials"));
            near(test.power(n, p), 0.8, "power there");
        }
        assert_eq!(test.ruled_out(4, 0.8), Ok(None));
        let below = BinomialTest::new(0.75, 0.05, Tail::Lower).unwrap();
        let p = below.ruled_out(40, 0.8).unwrap().unwrap();
        near(below.power(40, p), 0.8, "lower tail");
    }

    #[test]
    fn a_result_says_what_was_needed_and_what_is_ruled_out() {
        let result = abx(tally(11, 16), 0.05).unwrap();
        assert_eq!((result.needed, result.heard, result.found_with_power.map(|p| (100.0 * p).round())), (Some(12), false, Some(80.0)));
        // At the limit, so few right answers come with a probability of alpha: 11 of 16 do not rule out .8, and 8 of 16 rule out .75.
        near(at_most(11, 16, result.rules_out_above), 0.05, "upper limit");
        assert!(result.rules_out_above > 0.8);
        assert!(abx(tally(8, 16), 0.05).unwrap().rules_out_above < 0.73);
        assert!(abx(tally(12, 16), 0.05).unwrap().heard);
        let hopeless = abx(tally(4, 4), 0.05).unwrap();
        assert_eq!((hopeless.needed, hopeless.heard, hopeless.found_with_power), (None, false, None));
    }

    #[test]
    fn what_cannot_be_is_an_error() {
        assert_eq!(Tally::new(0, 0), Err(StatisticsError::NoTrials));
        assert_eq!(Tally::new(5, 4), Err(StatisticsError::TooManyRight { n_right: 5, n_trials: 4 }));
        for alpha in [0.0, 1.0, -0.1, f64::NAN] {
            assert!(matches!(abx(tally(1, 2), alpha), Err(StatisticsError::OutOfRange { name: "alpha", .. })));
        }
        assert!(matches!(tally(1, 2).clopper_pearson(95.0), Err(StatisticsError::OutOfRange { name: "the confidence", .. })));
        assert!(BinomialTest::detection(0.05).unwrap().power(10, f64::NAN).is_nan());
    }
}
