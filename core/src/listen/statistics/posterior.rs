//! From which level on is it heard? All that the answers say about the psychometric function, and the threshold.
//!
//! The posterior of threshold × slope × lapse is kept on a grid. It holds for any choice of levels that looks at nothing but the answers,
//! so that staircase, Bayesian and constant levels have one estimator.

use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::Distribution;
use serde::Serialize;
use statrs::distribution::{Beta, Continuous};

use super::{Axis, Interval, Psychometric, StatisticsError, Threshold, between};

const N_THRESHOLDS: usize = 121;
const N_SLOPES: usize = 13;
/// Steepest and shallowest slope: F rises from .1 to .9 over 2·ln 9 / slope, which is half a level and twice the range.
const TENTH_TO_NINE_TENTHS: f64 = 4.394_449_154_672_439;
const LAPSES: [f64; 6] = [0.0, 0.02, 0.04, 0.06, 0.08, 0.1];
/// Parts of the posterior that no interval sees.
const NEGLIGIBLE: f64 = 1e-9;
const N_SIMULATED: usize = 2000;
/// Places of P(right) between ½ and 1 on a curve.
const N_BINS: usize = 1000;

/// A number with its interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Posterior median.
    pub median: f64,
    /// Credible interval.
    pub interval: Interval,
}

/// A point of the curve.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct CurvePoint {
    /// Level, in the axis' unit.
    pub level: f64,
    /// Posterior median of P(right).
    pub p_right: f64,
    /// Credible interval, point by point.
    pub interval: Interval,
}

/// Whether the model can have made the answers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct GoodnessOfFit {
    /// 2·Σ over levels of ln(likelihood of the proportions seen / likelihood under the fit).
    pub deviance: f64,
    /// Levels with trials.
    pub n_levels: usize,
    /// Proportion of simulated answers, as many a level and from the fit itself, with at least this deviance. Small means no fit.
    pub p_value: f64,
}

/// What the answers so far say about threshold, slope and lapse rate.
#[derive(Clone, Debug)]
pub struct Posterior {
    grid: Arc<Grid>,
    /// Sum to 1; `[threshold, slope, lapse]`.
    weights: Vec<f64>,
    /// Right answers and trials, per level.
    counts: Vec<(u32, u32)>,
}

/// What does not depend on answers.
#[derive(Debug)]
struct Grid {
    axis: Axis,
    thresholds: Vec<f64>,
    slopes: Vec<f64>,
    /// F, `[level, threshold, slope]`.
    audibility: Vec<f64>,
}

impl Posterior {
    /// Before any answer: flat in the threshold from half a range below the levels to half a range above, and in the logarithm of the
    /// slope, from half a level to twice the range between F = .1 and F = .9; lapses fall off as a beta distribution (1, 20) up to .1.
    /// Errors as [`Axis::new`] does.
    pub fn new(levels: &[f64]) -> Result<Self, StatisticsError> {
        let grid = Grid::new(Axis::new(levels)?);
        let lapse_prior = Beta::new(1.0, 20.0).map_or(LAPSES, |beta| LAPSES.map(|lapse| beta.pdf(lapse)));
        let mut weights = lapse_prior.repeat(N_THRESHOLDS * N_SLOPES);
        normalize(&mut weights);
        Ok(Self { counts: vec![(0, 0); levels.len()], grid: Arc::new(grid), weights })
    }

    /// After the trials of `history`: level index, and whether the answer was right.
    pub fn of(levels: &[f64], history: &[(usize, bool)]) -> Result<Self, StatisticsError> {
        let mut posterior = Self::new(levels)?;
        history.iter().try_for_each(|&(level_idx, right)| posterior.push(level_idx, right))?;
        Ok(posterior)
    }

    /// Takes an answer in. Errors where the axis has no such level.
    pub fn push(&mut self, level_idx: usize, right: bool) -> Result<(), StatisticsError> {
        let n_levels = self.counts.len();
        let Some((n_right, n_trials)) = self.counts.get_mut(level_idx) else {
            return Err(StatisticsError::NoSuchLevel { level_idx, n_levels });
        };
        *n_right += u32::from(right);
        *n_trials += 1;
        let cells = self.weights.chunks_exact_mut(LAPSES.len());
        for (cell, audibility) in cells.zip(self.grid.audibility_at(level_idx)) {
            for (weight, lapse) in cell.iter_mut().zip(LAPSES) {
                let p_right = 0.5 + (0.5 - lapse) * audibility;
                *weight *= if right { p_right } else { 1.0 - p_right };
            }
        }
        normalize(&mut self.weights);
        Ok(())
    }

    /// The axis.
    pub fn axis(&self) -> &Axis {
        &self.grid.axis
    }

    /// Right answers and trials of every level.
    pub fn counts(&self) -> &[(u32, u32)] {
        &self.counts
    }

    /// Level at which a proportion `p_right` (.75) of the answers is right: posterior median with a credible interval at `confidence`
    /// (.95). Errors where `p_right` is not between ½ and 1, `confidence` not between 0 and 1, or nothing was answered.
    pub fn threshold(&self, p_right: f64, confidence: f64) -> Result<Threshold, StatisticsError> {
        between("the proportion right", p_right, 0.5, 1.0)?;
        let estimate = self.estimate(|listener| listener.position_at(p_right), confidence)?;
        Ok(Threshold::on(&self.grid.axis, estimate.median, estimate.interval))
    }

    /// Slope of [`Psychometric`]. Errors where `confidence` is not between 0 and 1, or nothing was answered.
    pub fn slope(&self, confidence: f64) -> Result<Estimate, StatisticsError> {
        self.estimate(|listener| listener.slope, confidence)
    }

    /// Lapse rate. Errors as [`Posterior::slope`] does.
    pub fn lapse(&self, confidence: f64) -> Result<Estimate, StatisticsError> {
        self.estimate(|listener| listener.lapse, confidence)
    }

    /// The curve at `n_points` places, evenly over the audibility coordinate from the first level to the last. Errors as
    /// [`Posterior::slope`] does.
    pub fn curve(&self, n_points: usize, confidence: f64) -> Result<Vec<CurvePoint>, StatisticsError> {
        self.check(confidence)?;
        let last = self.grid.axis.last();
        let step = last / n_points.saturating_sub(1).max(1) as f64;
        Ok((0..n_points).map(|point| self.curve_point((point as f64 * step).min(last), confidence)).collect())
    }

    /// Deviance against the posterior mean of P(right), and its p-value from 2,000 simulated sets of answers (in the manner of Wichmann and
    /// Hill, Percept. Psychophys. 63, 2001, but not fitted again, which errs on the side of the model). Errors where nothing was answered.
    pub fn goodness_of_fit(&self, seed: u64) -> Result<GoodnessOfFit, StatisticsError> {
        let tested: Vec<(u32, u32, f64)> = (0..)
            .zip(&self.counts)
            .filter(|(_, counts)| counts.1 > 0)
            .map(|(level, &(right, n))| (right, n, self.mean_p_right(level)))
            .collect();
        if tested.is_empty() {
            return Err(StatisticsError::NoTrials);
        }
        let observed = tested.iter().map(|&(right, n, p)| deviance(right, n, p)).sum();
        let mut rng = StdRng::seed_from_u64(seed);
        let mut simulate = |&(_, n, p): &(u32, u32, f64)| {
            let drawn = rand_distr::Binomial::new(u64::from(n), p).map_or(0, |binomial| binomial.sample(&mut rng));
            deviance(drawn as u32, n, p)
        };
        let n_beyond = (0..N_SIMULATED).filter(|_| tested.iter().map(&mut simulate).sum::<f64>() >= observed - NEGLIGIBLE).count();
        Ok(GoodnessOfFit { deviance: observed, n_levels: tested.len(), p_value: (1 + n_beyond) as f64 / (1 + N_SIMULATED) as f64 })
    }

    /// The level whose answer is expected to leave the least entropy over threshold and slope (Kontsevich and Tyler, Vision Res. 39, 1999;
    /// lapses are averaged over and not sought: Prins, J. Vision 13, 2013). That is where answer and parameters share most information.
    pub(super) fn most_informative_level(&self) -> usize {
        // Weight of threshold and slope, and the part of F in its P(right).
        let cells: Vec<(usize, f64, f64)> = self
            .weights
            .chunks_exact(LAPSES.len())
            .enumerate()
            .map(|(cell, weights)| {
                (cell, weights.iter().sum(), weights.iter().zip(LAPSES).map(|(weight, lapse)| weight * (0.5 - lapse)).sum())
            })
            .filter(|&(_, weight, _): &(usize, f64, f64)| weight > NEGLIGIBLE)
            .collect();
        let information = |level_idx: usize| {
            let audibility = self.grid.audibility_at(level_idx);
            let (mut total, mut right, mut conditional) = (0.0, 0.0, 0.0);
            for &(cell, weight, reach) in &cells {
                let joint = 0.5 * weight + audibility[cell] * reach;
                total += weight;
                right += joint;
                conditional += weight * entropy(joint / weight);
            }
            entropy(right / total) - conditional / total
        };
        (0..self.counts.len()).map(|level| (level, information(level))).max_by(|a, b| a.1.total_cmp(&b.1)).map_or(0, |best| best.0)
    }

    /// Posterior mean of P(right) at a level.
    fn mean_p_right(&self, level_idx: usize) -> f64 {
        let cells = self.weights.chunks_exact(LAPSES.len()).zip(self.grid.audibility_at(level_idx));
        cells
            .map(|(cell, audibility)| {
                cell.iter().zip(LAPSES).map(|(weight, lapse)| weight * (0.5 + (0.5 - lapse) * audibility)).sum::<f64>()
            })
            .sum()
    }

    /// By a histogram of P(right): sorting the grid at every place of a curve would take longer than looking at it.
    fn curve_point(&self, position: f64, confidence: f64) -> CurvePoint {
        let mut bins = vec![0.0; N_BINS];
        let cells = self.weights.chunks_exact(LAPSES.len()).enumerate();
        for (cell, weights) in cells {
            let audibility = self.grid.listener(cell * LAPSES.len()).audibility(position);
            for (weight, lapse) in weights.iter().zip(LAPSES) {
                let share = 2.0 * (0.5 - lapse) * audibility;
                bins[((share * N_BINS as f64) as usize).min(N_BINS - 1)] += weight;
            }
        }
        let centers = (0..).map(|bin| 0.5 + (f64::from(bin) + 0.5) / (2 * N_BINS) as f64);
        let values: Vec<(f64, f64)> = centers.zip(bins).filter(|(_, weight)| *weight > 0.0).collect();
        let half = (1.0 - confidence) / 2.0;
        let at = |probability| weighted_quantile(&values, probability);
        let level = self.grid.axis.level(position).unwrap_or(f64::NAN);
        CurvePoint { level, p_right: at(0.5), interval: Interval { low: at(half), high: at(1.0 - half) } }
    }

    fn check(&self, confidence: f64) -> Result<(), StatisticsError> {
        between("the confidence", confidence, 0.0, 1.0)?;
        if self.counts.iter().all(|counts| counts.1 == 0) { Err(StatisticsError::NoTrials) } else { Ok(()) }
    }

    /// Median and interval of a number that every listener of the grid has.
    fn estimate(&self, of: impl Fn(Psychometric) -> f64, confidence: f64) -> Result<Estimate, StatisticsError> {
        self.check(confidence)?;
        let mut values: Vec<(f64, f64)> = (0..)
            .zip(&self.weights)
            .filter(|(_, weight)| **weight > NEGLIGIBLE)
            .map(|(index, &weight)| (of(self.grid.listener(index)), weight))
            .collect();
        values.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let half = (1.0 - confidence) / 2.0;
        let at = |probability| weighted_quantile(&values, probability);
        Ok(Estimate { median: at(0.5), interval: Interval { low: at(half), high: at(1.0 - half) } })
    }
}

impl Grid {
    fn new(axis: Axis) -> Self {
        let range = axis.last();
        let thresholds: Vec<f64> = (0..N_THRESHOLDS).map(|i| range * (2.0 * i as f64 / (N_THRESHOLDS - 1) as f64 - 0.5)).collect();
        let (shallowest, steepest) = (TENTH_TO_NINE_TENTHS / (2.0 * range), TENTH_TO_NINE_TENTHS / 0.5);
        let slopes: Vec<f64> = (0..N_SLOPES).map(|i| shallowest * (steepest / shallowest).powf(i as f64 / (N_SLOPES - 1) as f64)).collect();
        let mut grid = Self { axis, thresholds, slopes, audibility: Vec::new() };
        let cells: Vec<Psychometric> = (0..N_THRESHOLDS * N_SLOPES).map(|cell| grid.listener(cell * LAPSES.len())).collect();
        let positions = (0..grid.axis.levels().len()).map(|level_idx| level_idx as f64);
        grid.audibility = positions.flat_map(|position| cells.iter().map(move |listener| listener.audibility(position))).collect();
        grid
    }

    /// The listener at an index of the weights.
    fn listener(&self, index: usize) -> Psychometric {
        let (cell, lapse) = (index / LAPSES.len(), LAPSES[index % LAPSES.len()]);
        Psychometric { threshold: self.thresholds[cell / N_SLOPES], slope: self.slopes[cell % N_SLOPES], lapse }
    }

    fn audibility_at(&self, level_idx: usize) -> &[f64] {
        let n_cells = N_THRESHOLDS * N_SLOPES;
        &self.audibility[level_idx * n_cells..(level_idx + 1) * n_cells]
    }
}

fn normalize(weights: &mut [f64]) {
    let sum: f64 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= sum);
}

/// Of one answer, nats.
fn entropy(p: f64) -> f64 {
    let part = |p: f64| if p > 0.0 { -p * p.ln() } else { 0.0 };
    part(p) + part(1.0 - p)
}

/// Of one level, against P(right) = p.
fn deviance(n_right: u32, n_trials: u32, p: f64) -> f64 {
    let part = |seen: u32, expected: f64| if seen == 0 { 0.0 } else { f64::from(seen) * (f64::from(seen) / expected).ln() };
    let n = f64::from(n_trials);
    2.0 * (part(n_right, n * p) + part(n_trials - n_right, n * (1.0 - p)))
}

/// Quantile of `(value, weight)` in rising order of values; each weight is centered on its value, linear between.
fn weighted_quantile(values: &[(f64, f64)], probability: f64) -> f64 {
    let total: f64 = values.iter().map(|value| value.1).sum();
    let target = probability * total;
    let (mut before, mut last) = (0.0, None);
    for &(value, weight) in values {
        let center = before + weight / 2.0;
        if center >= target {
            return match last {
                Some((last_value, last_center)) if value > last_value && f64::is_finite(value) => {
                    last_value + (value - last_value) * (target - last_center) / (center - last_center)
                }
                _ => value,
            };
        }
        before += weight;
        last = Some((value, center));
    }
    last.map_or(f64::NAN, |last| last.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEVELS: [f64; 5] = [1.0, 0.8, 0.6, 0.4, 0.2];

    fn posterior(trials: &[(usize, bool, usize)]) -> Posterior {
        let history: Vec<(usize, bool)> = trials.iter().flat_map(|&(level_idx, right, times)| vec![(level_idx, right); times]).collect();
        Posterior::of(&LEVELS, &history).unwrap()
    }

    #[test]
    fn it_is_the_likelihood_times_the_prior_in_any_order() {
        let forward = posterior(&[(0, true, 2), (3, true, 7), (3, false, 1), (1, false, 3)]);
        let backward = posterior(&[(1, false, 3), (3, false, 1), (3, true, 7), (0, true, 2)]);
        assert!(forward.weights.iter().zip(&backward.weights).all(|(a, b)| (a - b).abs() < 1e-12));
        assert_eq!(forward.counts(), [(2, 2), (0, 3), (0, 0), (7, 8), (0, 0)]);
        let prior = Posterior::new(&LEVELS).unwrap();
        let expected = |index: usize| {
            let listener = prior.grid.listener(index);
            let [a, b, c] = [0.0, 3.0, 1.0].map(|position| listener.p_right(position));
            prior.weights[index] * a.powi(2) * b.powi(7) * (1.0 - b) * (1.0 - c).powi(3)
        };
        let sum: f64 = (0..prior.weights.len()).map(expected).sum();
        for index in (0..prior.weights.len()).step_by(997) {
            assert!((forward.weights[index] - expected(index) / sum).abs() < 1e-12);
        }
    }

    #[test]
    fn the_next_level_leaves_the_least_entropy() {
        // The definition: the posterior after either answer, its entropy over threshold and slope, and the mean of the two.
        for trials in
            [&[][..], &[(2, true, 3), (1, false, 2)], &[(4, true, 5), (0, false, 1), (2, false, 1)], &[(0, true, 30), (0, false, 10)]]
        {
            let posterior = posterior(trials);
            let expected_entropy = |level_idx: usize| -> f64 {
                let p_right = posterior.mean_p_right(level_idx);
                let after = |right| {
                    let mut after = posterior.clone();
                    after.push(level_idx, right).unwrap();
                    let cells = after.weights.chunks_exact(LAPSES.len()).map(|cell| cell.iter().sum::<f64>());
                    cells.map(|weight| if weight > 0.0 { -weight * weight.ln() } else { 0.0 }).sum::<f64>()
                };
                p_right * after(true) + (1.0 - p_right) * after(false)
            };
            let entropies: Vec<f64> = (0..LEVELS.len()).map(expected_entropy).collect();
            let least = entropies.iter().copied().fold(f64::INFINITY, f64::min);
            assert!(entropies[posterior.most_informative_level()] - least < 1e-6, "{trials:?}: {entropies:?}");
        }
    }

    #[test]
    fn many_answers_leave_the_listener_that_gave_them() {
        let listener = Psychometric { threshold: 1.7, slope: 2.0, lapse: 0.02 };
        let mut posterior = Posterior::new(&LEVELS).unwrap();
        for trial in 0..400 {
            for level_idx in 0..5 {
                // As often as the listener is right, evenly over the trials.
                let share = listener.p_right(level_idx as f64);
                posterior.push(level_idx, (share * f64::from(trial + 1)).floor() > (share * f64::from(trial)).floor()).unwrap();
            }
        }
        let truth = 1.0 - 0.2 * listener.position_at(0.75);
        match posterior.threshold(0.75, 0.95).unwrap() {
            Threshold::Within { level, from: Some(from), to: Some(to) } => {
                assert!(
                    (level - truth).abs() < 0.01 && from >= level && level >= to && (0.02..0.08).contains(&(from - to)),
                    "{from} {level} {to}, truth {truth}"
                );
            }
            other => panic!("{other:?}"),
        }
        let (slope, lapse) = (posterior.slope(0.95).unwrap(), posterior.lapse(0.95).unwrap());
        assert!((slope.median - 2.0).abs() < 0.4 && (lapse.median - 0.02).abs() < 0.015, "{slope:?} {lapse:?}");
        for point in posterior.curve(41, 0.95).unwrap() {
            let expected = listener.p_right(posterior.axis().position(point.level).unwrap());
            assert!((point.p_right - expected).abs() < 0.02 && point.interval.low <= point.p_right && point.p_right <= point.interval.high);
        }
    }

    #[test]
    fn the_curve_holds_the_medians_of_the_grid() {
        let posterior = posterior(&[(4, true, 6), (2, true, 3), (2, false, 2), (0, false, 3)]);
        for point in posterior.curve(9, 0.8).unwrap() {
            let position = posterior.axis().position(point.level).unwrap();
            let sorted = posterior.estimate(|listener| listener.p_right(position), 0.8).unwrap();
            assert!(
                (point.p_right - sorted.median).abs() < 0.003 && (point.interval.high - sorted.interval.high).abs() < 0.003,
                "{point:?} {sorted:?}"
            );
        }
    }

    #[test]
    fn what_lies_beyond_the_levels_is_said_to() {
        let always = posterior(&[(0, true, 40), (2, true, 10)]).threshold(0.75, 0.95).unwrap();
        assert!(matches!(always, Threshold::Below { to: Some(to) } if to > 0.8), "{always:?}");
        let never = posterior(&[(4, true, 20), (4, false, 20), (2, true, 5), (2, false, 5)]).threshold(0.75, 0.95).unwrap();
        assert!(matches!(never, Threshold::Above { from: Some(_) }), "{never:?}");
        let hardly = posterior(&[(0, true, 1)]).threshold(0.75, 0.95).unwrap();
        assert!(matches!(hardly, Threshold::Within { from: None, to: None, .. } | Threshold::Below { to: None }), "{hardly:?}");
        let some = posterior(&[(4, true, 20), (0, false, 8), (0, true, 9), (2, true, 14), (2, false, 5)]).threshold(0.75, 0.95).unwrap();
        assert!(matches!(some, Threshold::Within { level, .. } if (0.4..0.8).contains(&level)), "{some:?}");
    }

    #[test]
    fn answers_that_the_model_cannot_give_do_not_fit() {
        let fits = posterior(&[(0, true, 5), (0, false, 5), (2, true, 15), (2, false, 5), (4, true, 10)]).goodness_of_fit(1).unwrap();
        assert!(fits.p_value > 0.3 && fits.n_levels == 3, "{fits:?}");
        let backwards = posterior(&[(0, true, 20), (2, true, 10), (2, false, 10), (4, false, 20)]).goodness_of_fit(1).unwrap();
        assert!(backwards.p_value < 0.001 && backwards.deviance > 20.0, "{backwards:?}");
    }

    #[test]
    fn what_cannot_be_said_is_an_error() {
        let empty = Posterior::new(&LEVELS).unwrap();
        assert_eq!(empty.threshold(0.75, 0.95), Err(StatisticsError::NoTrials));
        assert_eq!(empty.goodness_of_fit(0), Err(StatisticsError::NoTrials));
        assert_eq!(empty.clone().push(5, true), Err(StatisticsError::NoSuchLevel { level_idx: 5, n_levels: 5 }));
        let some = posterior(&[(2, true, 1)]);
        assert!(matches!(some.threshold(0.5, 0.95), Err(StatisticsError::OutOfRange { name: "the proportion right", .. })));
        assert!(matches!(some.curve(3, 1.0), Err(StatisticsError::OutOfRange { name: "the confidence", .. })));
        assert_eq!(some.curve(0, 0.95), Ok(Vec::new()));
    }
}
