//! Rank tests of paired and blocked values, and Holm's correction for many of them.

use serde::Serialize;
use statrs::distribution::{ChiSquared, ContinuousCDF, Normal};
use statrs::statistics::{Data, OrderStatistics, RankTieBreaker};

use super::StatisticsError;

/// Differences up to which the distribution itself is summed.
const EXACT_UP_TO: usize = 50;

/// Wilcoxon's signed rank test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Wilcoxon {
    /// Sum of the ranks of positive differences.
    pub w_plus: f64,
    /// Sum of the ranks of negative differences.
    pub w_minus: f64,
    /// Differences that are not 0.
    pub n: usize,
    /// Two-sided.
    pub p_value: f64,
    /// Whether the p-value sums the distribution itself (up to 50 differences) or is by the normal approximation.
    pub exact: bool,
}

/// Two-sided signed rank test of differences around 0 (Wilcoxon, Biometrics Bull. 1, 1945). Zeros are left out; ties share their mean rank.
/// Up to 50 differences the p-value is exact given the ranks, ties included; beyond by the normal approximation with tie correction. With
/// no difference left p is 1. Errors without differences, and where one is not finite.
pub fn wilcoxon(differences: &[f64]) -> Result<Wilcoxon, StatisticsError> {
    if differences.is_empty() {
        return Err(StatisticsError::TooFew { what: "a signed rank test", needed: 1, of: "differences", found: 0 });
    }
    if let Some(position) = differences.iter().position(|difference| !difference.is_finite()) {
        return Err(StatisticsError::NotANumber { what: "difference", position });
    }
    let nonzero: Vec<f64> = differences.iter().copied().filter(|&difference| difference != 0.0).collect();
    let ranks = mean_ranks(nonzero.iter().map(|difference| difference.abs()).collect());
    let sum = |keep: fn(&f64) -> bool| nonzero.iter().zip(&ranks).filter(|(difference, _)| keep(difference)).map(|(_, rank)| rank).sum();
    let (w_plus, w_minus): (f64, f64) = (sum(|&difference| difference > 0.0), sum(|&difference| difference < 0.0));
    let exact = ranks.len() <= EXACT_UP_TO;
    let smaller = w_plus.min(w_minus);
    let p_value = if exact { 2.0 * exact_lower_tail(&ranks, smaller) } else { 2.0 * normal_lower_tail(&ranks, smaller) };
    Ok(Wilcoxon { w_plus, w_minus, n: ranks.len(), p_value: p_value.min(1.0), exact })
}

/// P(W ≤ w) when every rank has either sign with probability ½.
fn exact_lower_tail(ranks: &[f64], w: f64) -> f64 {
    // Mean ranks are whole or half.
    let doubled: Vec<usize> = ranks.iter().map(|rank| (2.0 * rank).round() as usize).collect();
    let mut chances = vec![0.0; doubled.iter().sum::<usize>() + 1];
    chances[0] = 1.0;
    for rank in doubled {
        for sum in (0..chances.len()).rev() {
            chances[sum] = 0.5 * (chances[sum] + if sum >= rank { chances[sum - rank] } else { 0.0 });
        }
    }
    chances.iter().take((2.0 * w).round() as usize + 1).sum()
}

/// The same in the limit. Σ rank² carries the correction for ties.
fn normal_lower_tail(ranks: &[f64], w: f64) -> f64 {
    let mean = ranks.iter().sum::<f64>() / 2.0;
    let variance = ranks.iter().map(|rank| rank * rank).sum::<f64>() / 4.0;
    Normal::standard().cdf((w - mean) / variance.sqrt())
}

/// Friedman's test.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Friedman {
    /// χ², corrected for ties.
    pub statistic: f64,
    /// Conditions − 1.
    pub degrees_of_freedom: usize,
    /// Blocks.
    pub n_blocks: usize,
    /// By the χ² distribution.
    pub p_value: f64,
}

/// Whether conditions differ: ranks within each block (one value a condition) against equal mean ranks (Friedman, J. Am. Stat. Assoc. 32,
/// 1937). Errors with fewer than two blocks or three conditions, where blocks differ in length, and where a value is not finite.
pub fn friedman(blocks: &[Vec<f64>]) -> Result<Friedman, StatisticsError> {
    let n_conditions = blocks.first().map_or(0, Vec::len);
    let too_few = |needed, of, found| Err(StatisticsError::TooFew { what: "Friedman's test", needed, of, found });
    if blocks.len() < 2 {
        return too_few(2, "blocks", blocks.len());
    }
    if n_conditions < 3 {
        return too_few(3, "conditions", n_conditions);
    }
    let mut rank_sums = vec![0.0; n_conditions];
    let mut squares = 0.0;
    for (block, values) in blocks.iter().enumerate() {
        if values.len() != n_conditions {
            return Err(StatisticsError::UnequalBlocks { block, found: values.len(), expected: n_conditions });
        }
        if !values.iter().all(|value| value.is_finite()) {
            return Err(StatisticsError::NotANumber { what: "value of block", position: block });
        }
        for (sum, rank) in rank_sums.iter_mut().zip(mean_ranks(values.clone())) {
            *sum += rank;
            squares += rank * rank;
        }
    }
    let (n, k) = (blocks.len() as f64, n_conditions as f64);
    let expected = n * (k + 1.0) / 2.0;
    let between = rank_sums.iter().map(|sum| (sum - expected).powi(2)).sum::<f64>() / n;
    // Ties shrink the ranks' variance within blocks, and the statistic is measured in it.
    let within = (squares - n * k * (k + 1.0).powi(2) / 4.0) / (n * (k - 1.0));
    let statistic = if within > 0.0 { between / within } else { 0.0 };
    let p_value = ChiSquared::new(k - 1.0).map_or(f64::NAN, |chi_squared| chi_squared.sf(statistic));
    Ok(Friedman { statistic, degrees_of_freedom: n_conditions - 1, n_blocks: blocks.len(), p_value })
}

/// Adjusted p-values in the order given: rejecting those at most alpha rejects any true null hypothesis with a chance of at most alpha
/// (Holm, Scand. J. Stat. 6, 1979).
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut adjusted = vec![0.0; p_values.len()];
    let mut greatest: f64 = 0.0;
    for (place, &index) in order.iter().enumerate() {
        greatest = greatest.max((p_values.len() - place) as f64 * p_values[index]).min(1.0);
        adjusted[index] = greatest;
    }
    adjusted
}

fn mean_ranks(values: Vec<f64>) -> Vec<f64> {
    Data::new(values).ranks(RankTieBreaker::Average)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signed_ranks_are_those_of_scipy() {
        let uneven: Vec<f64> = (0..50).map(|i| f64::from((i * 37) % 61 - 25) / 5.0 + 0.013 * f64::from(i)).collect();
        let many_ties: Vec<f64> = (0..61).map(|i| (f64::from((i * 37) % 61 - 25) / 5.0).round_ties_even()).collect();
        for (differences, smaller, p_value, exact) in [
            (&[1.5, -0.5, 2.25, 3.0, -1.0, 4.5, 0.75, 2.0][..], 4.0, 0.054_687_5, true),
            (&[-3.1, -2.2, 0.4, -5.0, -1.3, -0.9, 2.6, -4.4, -0.2, -6.1, -7.3, -1.7], 9.0, 0.016_113_281_25, true),
            (&[1.0, 2.0, 3.0, 4.0, 5.0], 0.0, 0.0625, true),
            // Ties and zeros: counted over all 2⁹ signs.
            (&[5.0, -5.0, 10.0, 10.0, 0.0, 15.0, -5.0, 20.0, 5.0, 0.0, 10.0], 5.0, 0.042_968_75, true),
            (&uneven, 418.0, 0.033_687_793_845_592_395, true),
            (&many_ties, 543.5, 0.037_284_028_960_279_84, false),
        ] {
            let test = wilcoxon(differences).unwrap();
            assert_eq!((test.w_plus.min(test.w_minus), test.exact), (smaller, exact));
            assert!((test.p_value - p_value).abs() < 1e-9, "{} expected {p_value}", test.p_value);
            let turned = wilcoxon(&differences.iter().map(|difference| -difference).collect::<Vec<_>>()).unwrap();
            assert_eq!((turned.w_plus, turned.w_minus, turned.p_value), (test.w_minus, test.w_plus, test.p_value));
        }
    }

    #[test]
    fn the_normal_approximation_meets_the_exact_sum() {
        let ranks = mean_ranks((0..50).map(|i| f64::from(i / 2)).collect());
        for w in [400.0, 450.0, 550.0, 637.5] {
            assert!((normal_lower_tail(&ranks, w) - exact_lower_tail(&ranks, w)).abs() < 0.003, "{w}");
        }
    }

    #[test]
    fn signs_alone_reject_no_more_often_than_the_level() {
        // Every sign pattern of ten differences, tied and not: the exact size of the test.
        for magnitudes in [[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0], [1.0, 1.0, 2.0, 2.0, 2.0, 3.0, 5.0, 5.0, 5.0, 5.0]] {
            for alpha in [0.01, 0.05, 0.1] {
                let signed = |pattern: u32| -> Vec<f64> {
                    magnitudes.iter().enumerate().map(|(i, m)| if pattern >> i & 1 == 1 { *m } else { -m }).collect()
                };
                let rejected = (0..1024).filter(|&pattern| wilcoxon(&signed(pattern)).unwrap().p_value <= alpha).count();
                assert!(rejected as f64 / 1024.0 <= alpha && (alpha < 0.05 || rejected > 0), "{rejected} of 1024 at {alpha}");
            }
        }
    }

    #[test]
    fn friedman_is_that_of_scipy() {
        for (blocks, statistic, p_value) in [
            (
                vec![
                    vec![70.0, 62.0, 85.0, 40.0],
                    vec![55.0, 60.0, 80.0, 35.0],
                    vec![90.0, 71.0, 88.0, 52.0],
                    vec![66.0, 66.0, 79.0, 41.0],
                    vec![73.0, 58.0, 91.0, 60.0],
                ],
                11.326_530_612_244_893,
                0.010_085_099_528_746_342,
            ),
            (
                [[1, 2, 3], [3, 1, 2], [1, 3, 2], [2, 3, 1], [1, 2, 3], [1, 3, 2]].map(|block| block.map(f64::from).to_vec()).to_vec(),
                7.0 / 3.0,
                0.311_403_223_914_598_46,
            ),
            (
                [[5, 5, 5], [5, 5, 4], [3, 4, 4], [5, 2, 2]].map(|block| block.map(f64::from).to_vec()).to_vec(),
                2.0 / 3.0,
                0.716_531_310_573_789_2,
            ),
        ] {
            let test = friedman(&blocks).unwrap();
            assert!((test.statistic - statistic).abs() < 1e-9 && (test.p_value - p_value).abs() < 1e-9, "{test:?}");
            assert_eq!((test.degrees_of_freedom, test.n_blocks), (blocks[0].len() - 1, blocks.len()));
        }
        let all_tied = friedman(&[vec![3.0; 4], vec![5.0; 4]]).unwrap();
        assert_eq!((all_tied.statistic, all_tied.p_value), (0.0, 1.0));
    }

    #[test]
    fn holm_multiplies_and_never_falls() {
        assert_eq!(holm(&[0.01, 0.04, 0.03, 0.005]), vec![0.03, 0.06, 0.06, 0.02]);
        assert_eq!(holm(&[0.6, 0.7]), vec![1.0, 1.0]);
        assert_eq!(holm(&[]), Vec::<f64>::new());
    }

    #[test]
    fn what_cannot_be_ranked_is_an_error() {
        assert!(matches!(wilcoxon(&[]), Err(StatisticsError::TooFew { found: 0, .. })));
        assert_eq!(wilcoxon(&[1.0, f64::NAN]), Err(StatisticsError::NotANumber { what: "difference", position: 1 }));
        let nothing = wilcoxon(&[0.0, 0.0]).unwrap();
        assert_eq!((nothing.n, nothing.p_value), (0, 1.0));
        assert!(matches!(friedman(&[vec![1.0, 2.0, 3.0]]), Err(StatisticsError::TooFew { of: "blocks", .. })));
        assert!(matches!(friedman(&[vec![1.0, 2.0], vec![1.0, 2.0]]), Err(StatisticsError::TooFew { of: "conditions", .. })));
        assert_eq!(
            friedman(&[vec![1.0, 2.0, 3.0], vec![1.0, 2.0]]),
            Err(StatisticsError::UnequalBlocks { block: 1, found: 2, expected: 3 })
        );
    }
}
