//! Multi-resolution distance of short-time magnitudes.

use super::spectrum::{hann, mirrored, power_spectra};
use super::{Measure, Pair, PerceiveError, Score};

/// FFT length, hop and window in samples.
const RESOLUTIONS: [(usize, usize, usize); 3] = [(1024, 120, 600), (2048, 240, 1200), (512, 50, 240)];
/// Power below which a bin counts as silent.
const FLOOR: f32 = 1e-8;

/// Spectral convergence and mean log-magnitude difference, summed and averaged over three resolutions (Yamamoto, Song, Kim 2020; the
/// defaults of the Python package `auraloss` 0.4); n counts the frames of all three.
pub(super) fn multi_resolution_stft(pair: &Pair) -> Result<Score, PerceiveError> {
    let longest = RESOLUTIONS.map(|(n_fft, _, _)| n_fft).into_iter().fold(0, usize::max);
    pair.at_least(longest, Measure::MultiResolutionStft)?;
    let (mut value, mut n) = (0.0, 0);
    for (n_fft, hop, window) in RESOLUTIONS {
        let power = |samples: &[f32]| power_spectra(&mirrored(samples, window / 2), &hann(window), hop, n_fft);
        let (x, y) = (power(&pair.reference), power(&pair.degraded));
        value += distance(&x, &y) / RESOLUTIONS.len() as f64;
        n += x.len() / (n_fft / 2 + 1);
    }
    Ok(Score { value, n })
}

/// ‖X − Y‖ / ‖X‖ + mean |ln X − ln Y| of magnitudes, given powers.
fn distance(x: &[f32], y: &[f32]) -> f64 {
    let (mut difference, mut energy, mut logarithms) = (0.0, 0.0, 0.0);
    for (x, y) in x.iter().zip(y).map(|(x, y)| (f64::from(x.max(FLOOR)), f64::from(y.max(FLOOR)))) {
        difference += (x.sqrt() - y.sqrt()).powi(2);
        energy += x;
        logarithms += 0.5 * (x / y).ln().abs();
    }
    (difference / energy).sqrt() + logarithms / x.len() as f64
}
