//! Resampling by a windowed sinc, filter and all as STOI is defined with (Octave's `resample`, which MATLAB's is the model of).
//!
//! The filter belongs to the measure: another one moves STOI by more than its tolerance. For everything else there is `audio::resample`.

/// Attenuation of the stop band in dB.
const REJECTION_DB: f64 = 60.0;
/// Products summed side by side, so that they fit a vector register.
const LANES: usize = 8;

/// `samples` at `to_hz` instead of `from_hz`, `⌈n·to/from⌉` of them, the first at the same moment; zero outside the sound.
pub(super) fn resample(samples: &[f32], from_hz: u32, to_hz: u32) -> Vec<f64> {
    if from_hz == to_hz {
        return samples.iter().map(|&x| f64::from(x)).collect();
    }
    let common = greatest_common_divisor(from_hz as usize, to_hz as usize);
    let (up, down) = (to_hz as usize / common, from_hz as usize / common);
    let filter = filter(up, down);
    let half = filter.len() / 2;
    // Output k is the sum over input j of x[j]·h[half + k·down − j·up]: one of `up` phases of the filter, backwards.
    let n_taps = filter.len().div_ceil(up).next_multiple_of(LANES);
    let phases: Vec<Vec<f64>> =
        (0..up).map(|phase| (0..n_taps).rev().map(|i| filter.get(phase + i * up).copied().unwrap_or(0.0)).collect()).collect();
    let mut padded = vec![0.0; n_taps];
    padded.extend(samples.iter().map(|&x| f64::from(x)));
    let n_out = (samples.len() * up).div_ceil(down);
    padded.resize(padded.len() + half / up + down + n_taps, 0.0);
    (0..n_out)
        .map(|k| {
            let at = half + k * down;
            dot(&phases[at % up], &padded[at / up + 1..][..n_taps])
        })
        .collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    let mut sums = [0.0; LANES];
    for (a, b) in a.chunks_exact(LANES).zip(b.chunks_exact(LANES)) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum()
}

/// Kaiser-windowed sinc with its cutoff at the lower of both Nyquist frequencies, a tenth of that as its transition, and a gain of `up`.
fn filter(up: usize, down: usize) -> Vec<f64> {
    let cutoff = 0.5 / up.max(down) as f64;
    let half = ((REJECTION_DB - 8.0) / (28.714 * cutoff / 10.0)).ceil();
    // Kaiser's formula for rejections above 50 dB.
    let beta = 0.1102 * (REJECTION_DB - 8.7);
    let tap = |i: usize| {
        let t = i as f64 - half;
        let x = std::f64::consts::PI * 2.0 * cutoff * t;
        let sinc = if t == 0.0 { 1.0 } else { x.sin() / x };
        bessel_i0(beta * (1.0 - (t / half).powi(2)).max(0.0).sqrt()) * sinc
    };
    let taps: Vec<f64> = (0..=2 * half as usize).map(tap).collect();
    let gain = up as f64 / taps.iter().sum::<f64>();
    taps.iter().map(|tap| tap * gain).collect()
}

/// Modified Bessel function of order 0 by its power series.
pub(crate) fn bessel_i0(x: f64) -> f64 {
    let (mut term, mut sum, mut k) = (1.0, 1.0, 1.0);
    while term > 1e-17 * sum {
        term *= (x / (2.0 * k)).powi(2);
        sum += term;
        k += 1.0;
    }
    sum
}

fn greatest_common_divisor(a: usize, b: usize) -> usize {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tone_below_both_limits_stays_and_one_above_goes() {
        for (from, to) in [(16_000, 10_000), (8_000, 10_000), (24_000, 10_000), (44_100, 10_000)] {
            let tone = |hz: f64, rate: u32, i: usize| (std::f64::consts::TAU * hz * i as f64 / f64::from(rate)).cos();
            let samples = |hz: f64| (0..from as usize / 2).map(|i| tone(hz, from, i) as f32).collect::<Vec<f32>>();
            let kept = resample(&samples(1_000.0), from, to);
            assert_eq!(kept.len(), 5_000, "{from}");
            let error = (500..4_500).map(|i| (kept[i] - tone(1_000.0, to, i)).abs()).fold(0.0, f64::max);
            assert!(error < 2e-3, "{from}: off by {error}");
            if from > 12_000 {
                let gone = resample(&samples(5_900.0), from, to);
                let rest = gone[500..4_500].iter().fold(0.0, |m: f64, x| m.max(x.abs()));
                assert!(rest < 2e-3, "{from}: {rest} is left");
            }
        }
    }
}
