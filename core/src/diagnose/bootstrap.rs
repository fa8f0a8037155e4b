//! Bootstrap by speaker: utterances of one speaker are not independent draws.

use std::collections::{BTreeMap, BTreeSet};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::summary::quantile;

/// A 95 % interval of a mean.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Band {
    /// 2.5 % quantile of the resampled means.
    pub low: f64,
    /// 97.5 % quantile.
    pub high: f64,
}

/// Sum and number of a speaker's finite values.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Total {
    sum: f64,
    count: f64,
}

impl Total {
    pub(super) fn add(&mut self, value: f64) {
        if value.is_finite() {
            self.sum += value;
            self.count += 1.0;
        }
    }
}

/// Resamples speakers with replacement, the same ones for every metric and step.
#[derive(Clone, Debug)]
pub(crate) struct Bootstrap {
    n_resamples: usize,
    seed: u64,
    n_speakers: usize,
    /// Positions of the speakers drawn, `[n_resamples, n_speakers]`.
    draws: Vec<usize>,
}

impl Bootstrap {
    /// `n_resamples` draws of as many speakers as there are in `speakers`, seeded.
    pub(crate) fn new(speakers: &[&str], n_resamples: usize, seed: u64) -> Self {
        Self::of(speakers.iter().collect::<BTreeSet<_>>().len(), n_resamples, seed)
    }

    /// Of `n_speakers`.
    pub(super) fn of(n_speakers: usize, n_resamples: usize, seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let draws = if n_speakers < 2 { 0 } else { n_resamples * n_speakers };
        Self { n_resamples, seed, n_speakers, draws: (0..draws).map(|_| rng.random_range(0..n_speakers)).collect() }
    }

    /// Band of the mean; `values[i]` belongs to `speakers[i]`; non-finite values are left out. `None` with fewer than two speakers
    /// or without resamples.
    pub(crate) fn band(&self, values: &[f64], speakers: &[&str]) -> Option<Band> {
        let mut by_speaker: BTreeMap<&str, Total> = BTreeMap::new();
        for (value, speaker) in values.iter().zip(speakers) {
            by_speaker.entry(speaker).or_default().add(*value);
        }
        self.band_of_totals(by_speaker.into_values())
    }

    /// [`Self::band`] of what the speakers' values come to.
    pub(super) fn band_of_totals(&self, totals: impl Iterator<Item = Total>) -> Option<Band> {
        let totals: Vec<Total> = totals.filter(|total| total.count > 0.0).collect();
        if totals.len() < 2 || self.n_resamples == 0 {
            return None;
        }
        if totals.len() != self.n_speakers {
            // A speaker had no finite value.
            return Self::of(totals.len(), self.n_resamples, self.seed).band_of_totals(totals.into_iter());
        }
        let mean = |drawn: &[usize]| {
            let (sum, count) = drawn.iter().fold((0.0, 0.0), |(sum, count), &i| (sum + totals[i].sum, count + totals[i].count));
            sum / count
        };
        let mut means: Vec<f64> = self.draws.chunks_exact(self.n_speakers).map(mean).collect();
        means.sort_unstable_by(f64::total_cmp);
        Some(Band { low: quantile(&means, 0.025), high: quantile(&means, 0.975) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resampled(values: &[f64], speakers: &[&str], n_resamples: usize, seed: u64) -> Option<Band> {
        Bootstrap::new(speakers, n_resamples, seed).band(values, speakers)
    }

    #[test]
    fn the_band_is_as_wide_as_the_speakers_differ() {
        // 40 speakers with means 0..39, ten equal values each: the SD of the mean is that of 40 draws, not of 400.
        let values: Vec<f64> = (0..400).map(|i| f64::from(i / 10)).collect();
        let names: Vec<String> = (0..400).map(|i| (i / 10).to_string()).collect();
        let speakers: Vec<&str> = names.iter().map(String::as_str).collect();
        let band = resampled(&values, &speakers, 2000, 3).unwrap();
        let sd = (((40.0_f64.powi(2) - 1.0) / 12.0) / 40.0).sqrt();
        let half_width = f64::midpoint(band.high - 19.5, 19.5 - band.low);
        assert!((half_width / (1.96 * sd) - 1.0).abs() < 0.1, "{band:?}, expected ±{}", 1.96 * sd);
        assert_eq!(band, resampled(&values, &speakers, 2000, 3).unwrap());
    }

    #[test]
    fn one_speaker_has_no_band_and_nan_is_left_out() {
        assert_eq!(resampled(&[1.0, 2.0], &["a", "a"], 100, 0), None);
        assert_eq!(resampled(&[1.0, f64::NAN], &["a", "b"], 100, 0), None);
        let band = resampled(&[1.0, f64::NAN, 1.0], &["a", "b", "c"], 100, 0).unwrap();
        assert_eq!((band.low, band.high), (1.0, 1.0));
    }
}
