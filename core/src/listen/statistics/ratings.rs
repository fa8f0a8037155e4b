//! Who rated what, and how far conditions differ.

use std::collections::BTreeMap;

use serde::Serialize;
use statrs::statistics::{Data, OrderStatistics};

use super::resample::{Cell, Draws, sorted_once};
use super::{Friedman, Interval, Resampling, StatisticsError, Wilcoxon, friedman, holm, wilcoxon};

/// One rating.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Rating {
    /// Index of the listener.
    pub listener: usize,
    /// Index of the item.
    pub item: usize,
    /// Index of the condition.
    pub condition: usize,
    /// 0 to 100 (BS.1534), 1.0 to 5.0 (BS.1116), or a difference grade.
    pub value: f64,
}

/// Ratings of a condition.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ConditionSummary {
    /// Index of the condition.
    pub condition: usize,
    /// Ratings.
    pub n_ratings: usize,
    /// Listeners.
    pub n_listeners: usize,
    /// Items.
    pub n_items: usize,
    /// Mean of all ratings.
    pub mean: f64,
    /// Lower quartile, median, upper quartile of all ratings (median-unbiased: definition 8 of Hyndman and Fan, Am. Stat. 50, 1996).
    pub quartiles: [f64; 3],
    /// Of the mean, by bootstrap over listeners and items; `None` with one of each.
    pub interval: Option<Interval>,
}

/// What counts as one independent value in a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// A listener, by their mean over items: says something about listeners.
    Listeners,
    /// An item, since there is one listener: a pilot, says something about this listener only.
    Items,
}

/// Two conditions compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// Index of the condition.
    pub condition: usize,
    /// Index of the condition it is compared with.
    pub with: usize,
    /// Mean of the paired differences, condition − with; a pair is a listener and an item.
    pub mean_difference: f64,
    /// Of that mean, by bootstrap over listeners and items; `None` with one of each.
    pub interval: Option<Interval>,
    /// What the test takes as one value.
    pub unit: Unit,
    /// Signed rank test of the differences.
    pub wilcoxon: Wilcoxon,
    /// Its p-value after Holm's correction over all comparisons made at once.
    pub p_holm: f64,
}

/// Mean, quartiles and interval of every condition, in rising order. Errors without ratings, where one is not finite, and where the
/// confidence is not between 0 and 1.
pub fn summarize(ratings: &[Rating], resampling: Resampling) -> Result<Vec<ConditionSummary>, StatisticsError> {
    let draws = draws(ratings, resampling)?;
    let mut by_condition: BTreeMap<usize, Vec<Cell>> = BTreeMap::new();
    for &Rating { listener, item, condition, value } in ratings {
        by_condition.entry(condition).or_default().push(Cell { listener, item, value });
    }
    let summary = |(condition, cells): (usize, Vec<Cell>)| {
        let mut values = Data::new(cells.iter().map(|cell| cell.value).collect::<Vec<_>>());
        ConditionSummary {
            condition,
            n_ratings: cells.len(),
            n_listeners: sorted_once(cells.iter().map(|cell| cell.listener).collect()).len(),
            n_items: sorted_once(cells.iter().map(|cell| cell.item).collect()).len(),
            mean: mean(cells.iter().map(|cell| cell.value)),
            quartiles: [0.25, 0.5, 0.75].map(|share| values.quantile(share)),
            interval: draws.interval(&cells),
        }
    };
    Ok(by_condition.into_iter().map(summary).collect())
}

/// Every other condition against `reference`, in rising order. Conditions that nobody rated on an item whose reference they rated are left
/// out. Errors as [`summarize`], and where nobody rated the reference.
pub fn compare_with(ratings: &[Rating], reference: usize, resampling: Resampling) -> Result<Vec<Comparison>, StatisticsError> {
    let conditions = conditions(ratings);
    if !ratings.is_empty() && !conditions.contains(&reference) {
        return Err(StatisticsError::TooFew {
            what: "a comparison with the reference",
            needed: 1,
            of: "ratings of the reference",
            found: 0,
        });
    }
    compare(ratings, conditions.iter().filter(|&&condition| condition != reference).map(|&condition| (condition, reference)), resampling)
}

/// Every pair of conditions, each with those before it. Pairs that nobody rated on the same item are left out. Errors as [`summarize`].
pub fn compare_pairs(ratings: &[Rating], resampling: Resampling) -> Result<Vec<Comparison>, StatisticsError> {
    let conditions = conditions(ratings);
    let pairs = conditions.iter().flat_map(|&a| conditions.iter().filter(move |&&b| b < a).map(move |&b| (a, b)));
    compare(ratings, pairs, resampling)
}

/// Friedman's test over all conditions there are; blocks are listeners (mean over the items for which they rated every condition), or items
/// where there is one listener. Errors as [`summarize`] and [`friedman`].
pub fn friedman_of(ratings: &[Rating]) -> Result<(Friedman, Unit), StatisticsError> {
    check(ratings)?;
    let conditions = conditions(ratings);
    let cells = cells(ratings);
    let complete: BTreeMap<(usize, usize), Vec<f64>> = cells
        .iter()
        .filter_map(|(&place, by_condition)| Some((place, conditions.iter().map(|c| by_condition.get(c).copied()).collect::<Option<_>>()?)))
        .collect();
    let unit = unit(complete.keys().copied());
    let mut blocks: BTreeMap<usize, Vec<&Vec<f64>>> = BTreeMap::new();
    for (place, values) in &complete {
        blocks.entry(unit.of(*place)).or_default().push(values);
    }
    let block = |rows: &Vec<&Vec<f64>>| (0..conditions.len()).map(|i| mean(rows.iter().map(|row| row[i]))).collect();
    Ok((friedman(&blocks.values().map(block).collect::<Vec<_>>())?, unit))
}

impl Unit {
    fn of(self, (listener, item): (usize, usize)) -> usize {
        match self {
            Self::Listeners => listener,
            Self::Items => item,
        }
    }
}

fn compare(
    ratings: &[Rating],
    pairs: impl Iterator<Item = (usize, usize)>,
    resampling: Resampling,
) -> Result<Vec<Comparison>, StatisticsError> {
    let draws = draws(ratings, resampling)?;
    let cells = cells(ratings);
    let mut comparisons = Vec::new();
    for (condition, with) in pairs {
        let difference = |by_condition: &BTreeMap<usize, f64>| Some(by_condition.get(&condition)? - by_condition.get(&with)?);
        let paired: Vec<Cell> = cells
            .iter()
            .filter_map(|(&(listener, item), by_condition)| Some(Cell { listener, item, value: difference(by_condition)? }))
            .collect();
        if paired.is_empty() {
            continue;
        }
        let unit = unit(paired.iter().map(|cell| (cell.listener, cell.item)));
        let mut by_unit: BTreeMap<usize, Vec<f64>> = BTreeMap::new();
        for cell in &paired {
            by_unit.entry(unit.of((cell.listener, cell.item))).or_default().push(cell.value);
        }
        let test = wilcoxon(&by_unit.into_values().map(|values| mean(values.into_iter())).collect::<Vec<_>>())?;
        let mean_difference = mean(paired.iter().map(|cell| cell.value));
        comparisons.push(Comparison {
            condition,
            with,
            mean_difference,
            interval: draws.interval(&paired),
            unit,
            wilcoxon: test,
            p_holm: 1.0,
        });
    }
    let adjusted = holm(&comparisons.iter().map(|comparison| comparison.wilcoxon.p_value).collect::<Vec<_>>());
    comparisons.iter_mut().zip(adjusted).for_each(|(comparison, p)| comparison.p_holm = p);
    Ok(comparisons)
}

/// Listeners where there are two of them.
fn unit(places: impl Iterator<Item = (usize, usize)>) -> Unit {
    if sorted_once(places.map(|place| place.0).collect()).len() > 1 { Unit::Listeners } else { Unit::Items }
}

/// Ratings by listener and item, then by condition; those given twice are averaged.
fn cells(ratings: &[Rating]) -> BTreeMap<(usize, usize), BTreeMap<usize, f64>> {
    let mut sums: BTreeMap<(usize, usize), BTreeMap<usize, (f64, f64)>> = BTreeMap::new();
    for rating in ratings {
        let (sum, n) = sums.entry((rating.listener, rating.item)).or_default().entry(rating.condition).or_default();
        (*sum, *n) = (*sum + rating.value, *n + 1.0);
    }
    sums.into_iter().map(|(place, conditions)| (place, conditions.into_iter().map(|(c, (sum, n))| (c, sum / n)).collect())).collect()
}

fn conditions(ratings: &[Rating]) -> Vec<usize> {
    sorted_once(ratings.iter().map(|rating| rating.condition).collect())
}

fn draws(ratings: &[Rating], resampling: Resampling) -> Result<Draws, StatisticsError> {
    check(ratings)?;
    let of = |index: fn(&Rating) -> usize| ratings.iter().map(index).collect();
    Draws::new(of(|rating| rating.listener), of(|rating| rating.item), resampling)
}

/// There are ratings, and all are finite.
pub(super) fn check(ratings: &[Rating]) -> Result<(), StatisticsError> {
    if ratings.is_empty() {
        return Err(StatisticsError::NoTrials);
    }
    match ratings.iter().find(|rating| !rating.value.is_finite()) {
        Some(&Rating { listener, item, condition, .. }) => Err(StatisticsError::NotFinite { listener, item, condition }),
        None => Ok(()),
    }
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let n = values.len() as f64;
    values.sum::<f64>() / n
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use rand_distr::{Distribution, Normal};

    use super::*;

    fn rating(listener: usize, item: usize, condition: usize, value: f64) -> Rating {
        Rating { listener, item, condition, value }
    }

    /// Three listeners, two items, conditions 0 to 2.
    fn small() -> Vec<Rating> {
        let values = [
            [[90.0, 60.0, 30.0], [100.0, 70.0, 20.0]],
            [[95.0, 55.0, 35.0], [85.0, 75.0, 25.0]],
            [[100.0, 50.0, 40.0], [90.0, 80.0, 10.0]],
        ];
        let mut ratings = Vec::new();
        for (listener, items) in values.iter().enumerate() {
            for (item, conditions) in items.iter().enumerate() {
                ratings.extend(conditions.iter().enumerate().map(|(condition, &value)| rating(listener, item, condition, value)));
            }
        }
        ratings
    }

    /// Ratings with effects of condition, listener and item, and with noise; seeded.
    fn drawn(n_listeners: usize, n_items: usize, of_conditions: &[f64], rng: &mut StdRng) -> Vec<Rating> {
        let mut draw = |sd: f64| Normal::new(0.0, sd).unwrap().sample(rng);
        let listeners: Vec<Vec<f64>> = (0..n_listeners).map(|_| of_conditions.iter().map(|_| draw(6.0)).collect()).collect();
        let items: Vec<Vec<f64>> = (0..n_items).map(|_| of_conditions.iter().map(|_| draw(4.0)).collect()).collect();
        let mut ratings = Vec::new();
        for (listener, of_listener) in listeners.iter().enumerate() {
            for (item, of_item) in items.iter().enumerate() {
                for (condition, of_condition) in of_conditions.iter().enumerate() {
                    ratings.push(rating(listener, item, condition, of_condition + of_listener[condition] + of_item[condition] + draw(8.0)));
                }
            }
        }
        ratings
    }

    #[test]
    fn a_summary_counts_and_averages() {
        let summaries = summarize(&small(), Resampling::default()).unwrap();
        let reference = &summaries[0];
        assert_eq!((reference.condition, reference.n_ratings, reference.n_listeners, reference.n_items), (0, 6, 3, 2));
        assert!((reference.mean - 560.0 / 6.0).abs() < 1e-12);
        assert_eq!(reference.quartiles[1], 92.5);
        let interval = reference.interval.unwrap();
        assert!(interval.low < reference.mean && reference.mean < interval.high, "{interval:?}");
        // The quartiles of numpy's "median_unbiased".
        let values = [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0].into_iter().enumerate().map(|(item, value)| rating(0, item, 0, value));
        let quartiles = summarize(&values.collect::<Vec<_>>(), Resampling::default()).unwrap()[0].quartiles;
        for (found, expected) in quartiles.into_iter().zip([17.0 / 12.0, 3.5, 67.0 / 12.0]) {
            assert!((found - expected).abs() < 1e-12, "{quartiles:?}");
        }
    }

    #[test]
    fn comparisons_are_paired_and_corrected() {
        let comparisons = compare_with(&small(), 0, Resampling::default()).unwrap();
        assert_eq!(
            comparisons.iter().map(|c| (c.condition, c.with, c.unit)).collect::<Vec<_>>(),
            [(1, 0, Unit::Listeners), (2, 0, Unit::Listeners)]
        );
        assert!((comparisons[0].mean_difference + 170.0 / 6.0).abs() < 1e-12);
        // Three listeners who agree: 2 / 2³, and twice that for two comparisons.
        assert_eq!((comparisons[0].wilcoxon.n, comparisons[0].wilcoxon.p_value, comparisons[0].p_holm), (3, 0.25, 0.5));
        let pairs = compare_pairs(&small(), Resampling::default()).unwrap();
        assert_eq!(pairs.iter().map(|c| (c.condition, c.with, c.p_holm)).collect::<Vec<_>>(), [(1, 0, 0.75), (2, 0, 0.75), (2, 1, 0.75)]);
        assert_eq!(pairs[0].interval, comparisons[0].interval);
    }

    #[test]
    fn one_listener_is_a_pilot_over_items() {
        let alone: Vec<Rating> = small().into_iter().filter(|rating| rating.listener == 1).collect();
        let comparison = &compare_with(&alone, 0, Resampling::default()).unwrap()[0];
        assert_eq!((comparison.unit, comparison.wilcoxon.n), (Unit::Items, 2));
        assert_eq!(friedman_of(&alone).unwrap().1, Unit::Items);
        let once: Vec<Rating> = alone.into_iter().filter(|rating| rating.item == 0).collect();
        assert_eq!(compare_with(&once, 0, Resampling::default()).unwrap()[0].interval, None);
        assert_eq!(summarize(&once, Resampling::default()).unwrap()[0].interval, None);
        assert!(matches!(friedman_of(&once), Err(StatisticsError::TooFew { of: "blocks", found: 1, .. })));
    }

    #[test]
    fn friedman_takes_listeners_that_rated_everything() {
        let (all, unit) = friedman_of(&small()).unwrap();
        // Perfect agreement: n (k − 1).
        assert_eq!((all.n_blocks, unit), (3, Unit::Listeners));
        assert!((all.statistic - 6.0).abs() < 1e-12);
        let mut torn = small();
        torn.retain(|rating| rating.listener != 2 || rating.condition != 1);
        assert_eq!(friedman_of(&torn).unwrap().0.n_blocks, 2);
    }

    #[test]
    fn what_was_not_rated_together_is_left_out() {
        let apart = [rating(0, 0, 0, 90.0), rating(0, 1, 1, 50.0), rating(1, 0, 0, 80.0), rating(1, 0, 2, 20.0)];
        let comparisons = compare_pairs(&apart, Resampling::default()).unwrap();
        assert_eq!(comparisons.iter().map(|c| (c.condition, c.with)).collect::<Vec<_>>(), [(2, 0)]);
        assert!(matches!(
            compare_with(&apart, 7, Resampling::default()),
            Err(StatisticsError::TooFew { of: "ratings of the reference", .. })
        ));
        assert_eq!(summarize(&[], Resampling::default()), Err(StatisticsError::NoTrials));
        assert_eq!(
            summarize(&[rating(3, 2, 1, f64::NAN)], Resampling::default()),
            Err(StatisticsError::NotFinite { listener: 3, item: 2, condition: 1 })
        );
    }

    #[test]
    fn a_seed_is_a_result() {
        let ratings = drawn(6, 5, &[70.0, 60.0], &mut StdRng::seed_from_u64(2));
        let of = |seed| summarize(&ratings, Resampling { seed, ..Resampling::default() }).unwrap();
        assert_eq!(of(1), of(1));
        assert_ne!(of(1)[0].interval, of(2)[0].interval);
    }

    #[test]
    fn intervals_hold_the_true_difference_and_tests_keep_their_level() {
        let mut rng = StdRng::seed_from_u64(17);
        let resampling = Resampling { n_resamples: 400, ..Resampling::default() };
        let n_runs = 600;
        let (mut n_held, mut n_summary, mut n_friedman, mut n_any) = (0, 0, 0, 0);
        for _ in 0..n_runs {
            let shifted = drawn(10, 8, &[70.0, 62.0], &mut rng);
            let interval = compare_with(&shifted, 0, resampling).unwrap()[0].interval.unwrap();
            n_held += usize::from(interval.low <= -8.0 && -8.0 <= interval.high);
            let interval = summarize(&shifted, resampling).unwrap()[0].interval.unwrap();
            n_summary += usize::from(interval.low <= 70.0 && 70.0 <= interval.high);
            // An item each, so that listeners are independent; nothing is better for all: any pair shown is a false positive of the family.
            let equal: Vec<Rating> =
                drawn(10, 10, &[50.0; 3], &mut rng).into_iter().filter(|rating| rating.item == rating.listener).collect();
            n_friedman += usize::from(friedman_of(&equal).unwrap().0.p_value <= 0.05);
            let pairs = compare_pairs(&equal, Resampling { n_resamples: 0, ..resampling }).unwrap();
            n_any += usize::from(pairs.iter().any(|pair| pair.p_holm <= 0.05));
        }
        assert!(n_held * 100 >= n_runs * 93 && n_summary * 100 >= n_runs * 93, "differences {n_held}, means {n_summary} of {n_runs}");
        // 5 % and three standard errors.
        let most = (0.05 + 3.0 * (0.05 * 0.95 / n_runs as f64).sqrt()) * n_runs as f64;
        assert!((n_friedman as f64) < most && (n_any as f64) < most, "Friedman {n_friedman}, pairs {n_any} of {n_runs}");
    }
}
