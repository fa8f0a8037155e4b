//! Phases from magnitudes alone, for Griffin-Lim to begin with: single-pass spectrogram inversion (Beauregard, Harish, Wyse 2015).
//!
//! Each peak of a frame is taken for a sinusoid, whose phase goes on from the frame before by its frequency; the bins around it, down to
//! the valleys on both sides, have the phase of their peak. From there Griffin-Lim ends in a better place than from random phases.

use std::f64::consts::TAU;

use driftscope_numerics::fourier::Complex;

/// Spectra `[n_frames, n_bins]` of `magnitudes`, whose frames are `hop` samples apart and go with a symmetric window of `window` samples.
pub(super) fn spectra(magnitudes: &[f32], n_bins: usize, hop: usize, window: usize) -> Vec<Complex<f32>> {
    let bin_radians = TAU / (2 * (n_bins - 1)) as f64;
    // Of each bin: its phase at the middle of the frame, and the frequency of its peak, radians a sample.
    let mut phase = vec![0.0_f64; n_bins];
    let mut frequency = Vec::new();
    let mut spectra = Vec::with_capacity(magnitudes.len());
    for frame in magnitudes.chunks_exact(n_bins) {
        let before = phase.clone();
        for (bins, peak) in regions(frame) {
            let now = bin_radians * refined(frame, peak);
            let then = frequency.get(peak).copied().unwrap_or(now);
            phase[bins].fill(before[peak] + f64::midpoint(now, then) * hop as f64);
        }
        let owners = regions(frame).into_iter().flat_map(|(bins, peak)| bins.map(move |_| peak));
        let found: Vec<f64> = owners.map(|peak| bin_radians * refined(frame, peak)).collect();
        if !found.is_empty() {
            frequency = found;
        }
        let center = window as f64 / 2.0;
        let from_start = |(bin, (magnitude, phase)): (usize, (&f32, &f64))| {
            let turned = (phase - bin as f64 * bin_radians * center).rem_euclid(TAU);
            Complex::from_polar(*magnitude, turned as f32)
        };
        spectra.extend(frame.iter().zip(&phase).enumerate().map(from_start));
    }
    spectra
}

/// Bins and the peak that they belong to, side by side over all bins; none where there is no peak.
fn regions(frame: &[f32]) -> Vec<(std::ops::Range<usize>, usize)> {
    let is_peak = |&k: &usize| frame[k] > frame[k - 1] && frame[k] >= frame[k + 1];
    let mut regions: Vec<(std::ops::Range<usize>, usize)> = Vec::new();
    for peak in (1..frame.len() - 1).filter(is_peak) {
        let start = regions.last_mut().map_or(0, |(bins, last)| {
            let valley = (*last..=peak).fold(*last, |lowest, k| if frame[k] < frame[lowest] { k } else { lowest });
            bins.end = valley + 1;
            valley + 1
        });
        regions.push((start..frame.len(), peak));
    }
    regions
}

/// Where a peak lies between its neighbors, in bins, by a parabola through logarithms.
fn refined(frame: &[f32], peak: usize) -> f64 {
    let [left, here, right] = [peak - 1, peak, peak + 1].map(|k| f64::from(frame[k].max(1e-9)).ln());
    let bend = left - 2.0 * here + right;
    peak as f64 + if bend == 0.0 { 0.0 } else { 0.5 * (left - right) / bend }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::stft::Stft;

    #[test]
    fn regions_cover_every_bin_once_and_meet_in_valleys() {
        let frame = [0.0, 3.0, 2.0, 1.0, 4.0, 1.5, 1.5, 2.0, 0.5];
        assert_eq!(regions(&frame), [(0..4, 1), (4..6, 4), (6..9, 7)]);
        assert!(regions(&[1.0; 5]).is_empty());
    }

    #[test]
    fn steady_sinusoids_are_found_again_without_a_round() {
        let stft = Stft::new(640, 160, 1024);
        let tone = |hz: f32, i: usize| (TAU as f32 * hz * i as f32 / 16_000.0).sin();
        let sound: Vec<f32> = (0..16_000).map(|i| 0.5 * tone(437.0, i) + 0.3 * tone(1_913.0, i)).collect();
        let target = stft.magnitudes(&sound, 0, 90);
        let back = stft.synthesize(&spectra(&target, stft.n_bins(), 160, 640), 0, 15_000);
        let got = stft.magnitudes(&back, 0, 90);
        // Frames away from both ends: the magnitudes of the sound that comes out are those that went in.
        let inside = 10 * stft.n_bins()..80 * stft.n_bins();
        let (got, target) = (&got[inside.clone()], &target[inside]);
        let error: f32 = got.iter().zip(target).map(|(a, b)| (a - b).powi(2)).sum();
        let energy: f32 = target.iter().map(|b| b * b).sum();
        assert!(error < 1e-3 * energy, "{}", error / energy);
    }
}
