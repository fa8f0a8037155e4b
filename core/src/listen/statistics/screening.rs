//! Whom to believe: the post-screening of BS.1534-3 and BS.1116-3.

use std::collections::BTreeMap;

use serde::Serialize;
use statrs::stats_tests::ttest_onesample::ttest_onesample;
use statrs::stats_tests::{Alternative, NaNPolicy};

use super::ratings::check;
use super::{Rating, StatisticsError, between};

/// A reference rated below this was not recognized, and an anchor rated above it neither.
const EXCELLENT: f64 = 90.0;
/// On more than this part of the items, percent.
const TOLERATED_PERCENT: usize = 15;

/// What BS.1534-3 screens by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screening {
    /// The hidden reference.
    pub reference: usize,
    /// The mid anchor (7 kHz), if the test had one.
    pub mid_anchor: Option<usize>,
}

/// Why a listener is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Reason {
    /// The hidden reference was rated below 90 on more than 15 % of the items.
    ReferenceRatedLow {
        /// On so many items.
        n_items: usize,
        /// Of so many.
        of: usize,
    },
    /// The mid anchor was rated above 90 on more than 15 % of the items.
    AnchorRatedHigh {
        /// On so many items.
        n_items: usize,
        /// Of so many.
        of: usize,
    },
}

/// A listener and why their ratings are left out; kept where there is no reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Screened {
    /// Index of the listener.
    pub listener: usize,
    /// None is kept.
    pub reasons: Vec<Reason>,
}

/// Post-screening of BS.1534-3, a listener each in rising order. Errors without ratings and where one is not finite.
pub fn screen(ratings: &[Rating], screening: Screening) -> Result<Vec<Screened>, StatisticsError> {
    check(ratings)?;
    let screened = by_listener(ratings).into_iter().map(|(listener, ratings)| {
        let failed = |condition: usize, fails: fn(f64) -> bool| {
            let values = || ratings.iter().filter(|rating| rating.condition == condition);
            let (n_items, of) = (values().filter(|rating| fails(rating.value)).count(), values().count());
            (100 * n_items > TOLERATED_PERCENT * of).then_some((n_items, of))
        };
        let low = failed(screening.reference, |value| value < EXCELLENT).map(|(n_items, of)| Reason::ReferenceRatedLow { n_items, of });
        let anchor = screening.mid_anchor.and_then(|anchor| failed(anchor, |value| value > EXCELLENT));
        let high = anchor.map(|(n_items, of)| Reason::AnchorRatedHigh { n_items, of });
        Screened { listener, reasons: low.into_iter().chain(high).collect() }
    });
    Ok(screened.collect())
}

/// The ratings of those who are kept.
pub fn without(ratings: &[Rating], screened: &[Screened]) -> Vec<Rating> {
    let is_out = |listener| screened.iter().any(|screened| screened.listener == listener && !screened.reasons.is_empty());
    ratings.iter().copied().filter(|rating| !is_out(rating.listener)).collect()
}

/// The two grades of one triple-stimulus trial.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct DoubleGrade {
    /// Index of the listener.
    pub listener: usize,
    /// Index of the item.
    pub item: usize,
    /// Index of the condition of the object.
    pub condition: usize,
    /// Grade of the object, 1.0 to 5.0.
    pub object: f64,
    /// Grade of the hidden reference in the same trial, 1.0 to 5.0.
    pub reference: f64,
}

/// Difference grades of BS.1116-3, object − hidden reference of the same trial: 0 for "not told apart", −4 for "very annoying"; above 0
/// where the reference was taken for the object.
pub fn difference_grades(grades: &[DoubleGrade]) -> Vec<Rating> {
    let difference =
        |&DoubleGrade { listener, item, condition, object, reference }: &_| Rating { listener, item, condition, value: object - reference };
    grades.iter().map(difference).collect()
}

/// Whether a listener tells objects from the reference.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Expertise {
    /// Index of the listener.
    pub listener: usize,
    /// Difference grades.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// One-sided t-test of a mean below 0; `None` with fewer than two grades.
    pub p_value: Option<f64>,
    /// p ≤ alpha.
    pub expert: bool,
}

/// Post-screening of BS.1116-3: a listener whose difference grades are not below 0 by a one-sided t-test at `alpha` (.05) may have guessed.
/// Errors without grades, where one is not finite, and where `alpha` is not between 0 and 1.
pub fn expertise(difference_grades: &[Rating], alpha: f64) -> Result<Vec<Expertise>, StatisticsError> {
    check(difference_grades)?;
    between("alpha", alpha, 0.0, 1.0)?;
    let listeners = by_listener(difference_grades).into_iter().map(|(listener, ratings)| {
        let values: Vec<f64> = ratings.iter().map(|rating| rating.value).collect();
        let (n, mean) = (values.len(), values.iter().sum::<f64>() / values.len() as f64);
        let p_value = if values.iter().all(|value| *value == values[0]) {
            // No spread, and no t.
            (n > 1).then_some(if mean < 0.0 { 0.0 } else { 1.0 })
        } else {
            ttest_onesample(values, 0.0, Alternative::Less, NaNPolicy::Error).ok().map(|(_, p_value)| p_value)
        };
        Expertise { listener, n, mean, p_value, expert: p_value.is_some_and(|p_value| p_value <= alpha) }
    });
    Ok(listeners.collect())
}

fn by_listener(ratings: &[Rating]) -> BTreeMap<usize, Vec<Rating>> {
    let mut listeners: BTreeMap<usize, Vec<Rating>> = BTreeMap::new();
    for rating in ratings {
        listeners.entry(rating.listener).or_default().push(*rating);
    }
    listeners
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rated(listener: usize, condition: usize, n_below: usize, n_above: usize, edge: (f64, f64)) -> Vec<Rating> {
        let values = std::iter::repeat_n(edge.0, n_below).chain(std::iter::repeat_n(edge.1, n_above));
        values.enumerate().map(|(item, value)| Rating { listener, item, condition, value }).collect()
    }

    #[test]
    fn listeners_who_miss_the_reference_or_praise_the_anchor_are_left_out() {
        let screening = Screening { reference: 0, mid_anchor: Some(2) };
        let edge = (89.9, 90.0);
        let ratings = [
            rated(0, 0, 3, 17, edge),        // 15 % of 20: not more than 15 %
            rated(1, 0, 4, 16, edge),        // 20 %
            rated(2, 0, 0, 10, edge),        // none, and an anchor too good twice in ten
            rated(2, 2, 8, 2, (90.0, 90.1)), // exactly 90 is not above
            rated(3, 0, 2, 4, edge),         // both
            rated(3, 2, 0, 3, (90.0, 100.0)),
        ]
        .concat();
        let screened = screen(&ratings, screening).unwrap();
        let reasons: Vec<Vec<Reason>> = screened.iter().map(|screened| screened.reasons.clone()).collect();
        assert_eq!(
            reasons,
            [
                vec![],
                vec![Reason::ReferenceRatedLow { n_items: 4, of: 20 }],
                vec![Reason::AnchorRatedHigh { n_items: 2, of: 10 }],
                vec![Reason::ReferenceRatedLow { n_items: 2, of: 6 }, Reason::AnchorRatedHigh { n_items: 3, of: 3 }],
            ]
        );
        assert!(without(&ratings, &screened).iter().all(|rating| rating.listener == 0) && without(&ratings, &screened).len() == 20);
        let no_anchor = screen(&ratings, Screening { mid_anchor: None, ..screening }).unwrap();
        assert!(no_anchor[2].reasons.is_empty());
        assert_eq!(screen(&[], screening), Err(StatisticsError::NoTrials));
    }

    #[test]
    fn expertise_is_the_t_test_of_scipy() {
        let graded = |listener: usize, values: &[f64]| -> Vec<DoubleGrade> {
            let grade = |(item, value): (usize, &f64)| DoubleGrade { listener, item, condition: 1, object: 4.0 + value, reference: 4.0 };
            values.iter().enumerate().map(grade).collect()
        };
        let grades = [
            graded(0, &[-0.5, -1.0, 0.2, -0.3, -1.4, 0.0, -0.8]),
            graded(1, &[-0.5, 1.0, 0.2, -0.3, 0.4]),
            graded(2, &[-1.0]),
            graded(3, &[0.0, 0.0, 0.0]),
            graded(4, &[-1.0, -1.0]),
        ]
        .concat();
        let experts = expertise(&difference_grades(&grades), 0.05).unwrap();
        for (found, (p_value, expert)) in experts.iter().zip([
            (Some(0.022_014_519_951_728_595), true),
            (Some(0.710_234_341_944_345_1), false),
            (None, false),
            (Some(1.0), false),
            (Some(0.0), true),
        ]) {
            assert_eq!((found.expert, found.p_value.is_some()), (expert, p_value.is_some()));
            assert!((found.p_value.unwrap_or(0.0) - p_value.unwrap_or(0.0)).abs() < 1e-9, "{found:?}");
        }
        assert!((experts[0].mean + 3.8 / 7.0).abs() < 1e-12);
        assert!(matches!(expertise(&difference_grades(&grades), 5.0), Err(StatisticsError::OutOfRange { name: "alpha", .. })));
    }
}
