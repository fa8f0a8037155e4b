//! Bootstrap over listeners and items at once: both are drawn with replacement, and a cell counts as often as its listener times its item
//! (the pigeonhole bootstrap: Owen, Ann. Appl. Stat. 1, 2007). With one listener only items are drawn, with one item only listeners.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use statrs::statistics::{Data, OrderStatistics};

use super::{Interval, StatisticsError, between};

/// How often to resample, and from which seed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resampling {
    /// Resamples; 0 for no intervals.
    pub n_resamples: usize,
    /// Seed of the draws.
    pub seed: u64,
    /// Confidence of the intervals.
    pub confidence: f64,
}

impl Default for Resampling {
    fn default() -> Self {
        Self { n_resamples: 2000, seed: 0, confidence: 0.95 }
    }
}

/// A value of a listener and an item.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cell {
    pub(super) listener: usize,
    pub(super) item: usize,
    pub(super) value: f64,
}

/// Draws that all numbers of a test share, so that differences stay paired.
pub(super) struct Draws {
    listeners: Vec<usize>,
    items: Vec<usize>,
    /// How often each listener, then each item, is in a resample: `[n_resamples, n_listeners + n_items]`.
    counts: Vec<u32>,
    confidence: f64,
}

impl Draws {
    /// Of the listeners and items given, in any order and as often as one likes. Errors where the confidence is not between 0 and 1.
    pub(super) fn new(listeners: Vec<usize>, items: Vec<usize>, resampling: Resampling) -> Result<Self, StatisticsError> {
        let confidence = between("the confidence", resampling.confidence, 0.0, 1.0)?;
        let [listeners, items] = [listeners, items].map(sorted_once);
        let mut rng = StdRng::seed_from_u64(resampling.seed);
        let mut counts = Vec::new();
        let n_resamples = if listeners.len() < 2 && items.len() < 2 { 0 } else { resampling.n_resamples };
        for _ in 0..n_resamples {
            for n in [listeners.len(), items.len()] {
                let first = counts.len();
                counts.resize(first + n, u32::from(n == 1));
                if n > 1 {
                    (0..n).for_each(|_| counts[first + rng.random_range(0..n)] += 1);
                }
            }
        }
        Ok(Self { listeners, items, counts, confidence })
    }

    /// Percentile interval of the mean of `cells`; `None` where nothing was resampled. A resample without any of the cells does not count.
    pub(super) fn interval(&self, cells: &[Cell]) -> Option<Interval> {
        let place = |sorted: &[usize], index| sorted.binary_search(&index).ok();
        let n_listeners = self.listeners.len();
        let places: Vec<(usize, usize, f64)> = cells
            .iter()
            .filter_map(|cell| Some((place(&self.listeners, cell.listener)?, n_listeners + place(&self.items, cell.item)?, cell.value)))
            .collect();
        let mean = |counts: &[u32]| {
            let (sum, n) = places.iter().fold((0.0, 0.0), |(sum, n), &(listener, item, value)| {
                let times = f64::from(counts[listener] * counts[item]);
                (sum + times * value, n + times)
            });
            (n > 0.0).then_some(sum / n)
        };
        let means: Vec<f64> = self.counts.chunks_exact((n_listeners + self.items.len()).max(1)).filter_map(mean).collect();
        let half = (1.0 - self.confidence) / 2.0;
        let mut means = (!means.is_empty()).then(|| Data::new(means))?;
        Some(Interval { low: means.quantile(half), high: means.quantile(1.0 - half) })
    }
}

/// Rising, each once.
pub(super) fn sorted_once(mut indices: Vec<usize>) -> Vec<usize> {
    indices.sort_unstable();
    indices.dedup();
    indices
}
