//! Which of a pair is preferred?

use std::collections::BTreeMap;

use serde::Serialize;

use super::binomial::clopper_pearson;
use super::resample::{Cell, Draws};
use super::{Interval, Resampling, StatisticsError, Tally, holm};

/// Half a win for either side.
const TIE: f64 = 0.5;

/// An answer to "A or B?".
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Preferred {
    /// The first of the pair.
    First,
    /// The second of the pair.
    Second,
    /// No preference.
    Neither,
}

/// One answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// Index of the listener.
    pub listener: usize,
    /// Index of the item.
    pub item: usize,
    /// The two conditions, in either order.
    pub pair: (usize, usize),
    /// Which of `pair`.
    pub preferred: Preferred,
}

/// What was preferred of a pair.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PairResult {
    /// The two conditions, the lower index first.
    pub pair: (usize, usize),
    /// Answers for the first.
    pub n_first: u32,
    /// Answers for the second.
    pub n_second: u32,
    /// Answers for neither.
    pub n_ties: u32,
    /// (n_first + n_ties / 2) / all answers.
    pub win_rate: f64,
    /// Clopper-Pearson interval of the win rate, ties split, as if every answer were independent.
    pub interval: Interval,
    /// Exact two-sided binomial test of ½, ties split; an odd one goes to the side that is behind.
    pub p_value: f64,
    /// After Holm's correction over all pairs.
    pub p_holm: f64,
    /// Bootstrap of the win rate over listeners and items; `None` with one of each.
    pub resampled: Option<Interval>,
}

/// Every pair that was asked for, in rising order. Errors without choices, where a condition is paired with itself, and where the
/// confidence is not between 0 and 1.
pub fn preferences(choices: &[Choice], resampling: Resampling) -> Result<Vec<PairResult>, StatisticsError> {
    if choices.is_empty() {
        return Err(StatisticsError::NoTrials);
    }
    if let Some(choice) = choices.iter().find(|choice| choice.pair.0 == choice.pair.1) {
        return Err(StatisticsError::PairedWithItself { condition: choice.pair.0 });
    }
    let of = |index: fn(&Choice) -> usize| choices.iter().map(index).collect();
    let draws = Draws::new(of(|choice| choice.listener), of(|choice| choice.item), resampling)?;
    let mut by_pair: BTreeMap<(usize, usize), Vec<Cell>> = BTreeMap::new();
    for &Choice { listener, item, pair, preferred } in choices {
        let value = match preferred {
            Preferred::Neither => TIE,
            Preferred::First => f64::from(pair.0 < pair.1),
            Preferred::Second => f64::from(pair.1 < pair.0),
        };
        by_pair.entry((pair.0.min(pair.1), pair.0.max(pair.1))).or_default().push(Cell { listener, item, value });
    }
    let mut results: Vec<PairResult> =
        by_pair.into_iter().map(|(pair, cells)| pair_result(pair, &cells, &draws, resampling.confidence)).collect::<Result<_, _>>()?;
    let adjusted = holm(&results.iter().map(|result| result.p_value).collect::<Vec<_>>());
    results.iter_mut().zip(adjusted).for_each(|(result, p)| result.p_holm = p);
    Ok(results)
}

fn pair_result(pair: (usize, usize), cells: &[Cell], draws: &Draws, confidence: f64) -> Result<PairResult, StatisticsError> {
    let count = |value: f64| cells.iter().filter(|cell| cell.value == value).count() as u32;
    let (n_first, n_second, n_ties) = (count(1.0), count(0.0), count(TIE));
    let n = n_first + n_second + n_ties;
    let wins = f64::from(n_first) + f64::from(n_ties) / 2.0;
    // The odd tie weighs against a difference: it is never what shows one.
    let ahead = n_first.max(n_second) + n_ties / 2;
    Ok(PairResult {
        pair,
        n_first,
        n_second,
        n_ties,
        win_rate: wins / f64::from(n),
        interval: clopper_pearson(wins, f64::from(n), confidence),
        p_value: Tally::new(ahead, n)?.two_sided_p(),
        p_holm: 1.0,
        resampled: draws.interval(cells),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choices(pair: (usize, usize), counts: [(Preferred, usize); 3]) -> Vec<Choice> {
        let all = counts.into_iter().flat_map(|(preferred, n)| std::iter::repeat_n(preferred, n));
        all.enumerate().map(|(trial, preferred)| Choice { listener: trial % 4, item: trial / 4, pair, preferred }).collect()
    }

    fn counted(pair: (usize, usize), n_first: usize, n_second: usize, n_ties: usize) -> Vec<Choice> {
        choices(pair, [(Preferred::First, n_first), (Preferred::Second, n_second), (Preferred::Neither, n_ties)])
    }

    #[test]
    fn wins_are_counted_for_the_pair_whichever_way_it_was_asked() {
        let both_ways = [counted((0, 1), 9, 3, 0), counted((1, 0), 1, 3, 0), counted((2, 0), 5, 5, 0)].concat();
        let results = preferences(&both_ways, Resampling::default()).unwrap();
        assert_eq!((results[0].pair, results[0].n_first, results[0].n_second), ((0, 1), 12, 4));
        assert!((results[0].win_rate - 0.75).abs() < 1e-12 && (results[0].p_value - 0.076_812_744_140_625).abs() < 1e-12);
        assert!((results[0].interval.low - 0.476_229_180_103_872_4).abs() < 1e-9);
        assert_eq!((results[1].pair, results[1].p_value, results[1].p_holm), ((0, 2), 1.0, 1.0));
        assert!((results[0].p_holm - 2.0 * results[0].p_value).abs() < 1e-12);
    }

    #[test]
    fn ties_are_split_and_an_odd_one_shows_nothing() {
        let result =
            |n_first, n_second, n_ties| preferences(&counted((0, 1), n_first, n_second, n_ties), Resampling::default()).unwrap().remove(0);
        let (even, odd) = (result(10, 2, 4), result(11, 2, 3));
        assert_eq!((even.n_ties, even.win_rate), (4, 0.75));
        assert!((even.p_value - 0.076_812_744_140_625).abs() < 1e-12);
        assert!((odd.win_rate - 12.5 / 16.0).abs() < 1e-12);
        // 12 of 16, not 13.
        assert!((odd.p_value - 0.076_812_744_140_625).abs() < 1e-12);
        assert_eq!(result(3, 3, 1).p_value, 1.0);
        assert_eq!(result(0, 0, 5).win_rate, 0.5);
        // Between the intervals of 12 and 13 wins.
        let [twelve, thirteen] = [12, 13].map(|k| Tally::new(k, 16).unwrap().clopper_pearson(0.95).unwrap());
        assert!(
            twelve.low < odd.interval.low
                && odd.interval.low < thirteen.low
                && twelve.high < odd.interval.high
                && odd.interval.high < thirteen.high
        );
    }

    #[test]
    fn without_preference_it_is_shown_no_more_often_than_the_level() {
        // Every outcome of n answers that are ties with chance t, and else either side with equal chance.
        for n in [5_u32, 12, 20] {
            for t in [0.0_f64, 0.1, 0.4] {
                let chance = |a: u32, b: u32| {
                    let factorial = |n: u32| (1..=n).map(f64::from).product::<f64>();
                    let ties = n - a - b;
                    factorial(n) / (factorial(a) * factorial(b) * factorial(ties))
                        * ((1.0 - t) / 2.0).powi((a + b) as i32)
                        * t.powi(ties as i32)
                };
                let no_intervals = Resampling { n_resamples: 0, ..Resampling::default() };
                let shown = |a: u32, b: u32| {
                    let choices = counted((0, 1), a as usize, b as usize, (n - a - b) as usize);
                    preferences(&choices, no_intervals).unwrap()[0].p_value <= 0.05
                };
                let outcomes = (0..=n).flat_map(|a| (0..=n - a).map(move |b| (a, b)));
                let rate: f64 = outcomes.filter(|&(a, b)| shown(a, b)).map(|(a, b)| chance(a, b)).sum();
                assert!(rate <= 0.05 && (n < 12 || t > 0.0 || rate > 0.01), "{n} answers, ties {t}: {rate}");
            }
        }
    }

    #[test]
    fn listeners_who_disagree_widen_the_interval() {
        // Four listeners, ten items: two always for the first, two always for the second.
        let split: Vec<Choice> = (0..40)
            .map(|trial| Choice {
                listener: trial % 4,
                item: trial / 4,
                pair: (0, 1),
                preferred: if trial % 4 < 2 { Preferred::First } else { Preferred::Second },
            })
            .collect();
        let result = &preferences(&split, Resampling::default()).unwrap()[0];
        let resampled = result.resampled.unwrap();
        assert!(resampled.high - resampled.low > 2.0 * (result.interval.high - result.interval.low), "{result:?}");
        assert_eq!(preferences(&split, Resampling { n_resamples: 0, ..Resampling::default() }).unwrap()[0].resampled, None);
    }

    #[test]
    fn what_is_no_preference_is_an_error() {
        assert_eq!(preferences(&[], Resampling::default()), Err(StatisticsError::NoTrials));
        assert_eq!(preferences(&counted((2, 2), 1, 0, 0), Resampling::default()), Err(StatisticsError::PairedWithItself { condition: 2 }));
        let no_confidence = Resampling { confidence: 1.0, ..Resampling::default() };
        assert!(matches!(preferences(&counted((0, 1), 1, 0, 0), no_confidence), Err(StatisticsError::OutOfRange { .. })));
    }
}
