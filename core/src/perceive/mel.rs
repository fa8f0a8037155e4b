//! Log-mel distance.
//!
//! The transform is the one the peer's numbers were made with (torchaudio's default mel spectrogram), not the codec's.

use super::spectrum::{hann, mirrored, power_spectra};
use super::{Pair, Score};
use crate::audio::stft::mel_triangles;
use crate::audio::{AudioClip, AudioError};

pub(super) const N_FFT: usize = 1024;
pub(super) const HOP_SAMPLES: usize = 256;
pub(super) const N_MELS: usize = 80;
/// Power below which a band counts as silent.
pub(super) const FLOOR: f32 = 1e-5;

/// Mean |ln max(mel, 1e-5) − ln max(mel̂, 1e-5)|: 80 HTK bands of the power spectrum, n_fft 1024, hop 256 (the peer's definition).
/// The degraded sound is brought to the rate of the reference and both are cut to the shorter.
pub fn mel_distance(reference: &AudioClip, degraded: &AudioClip) -> Result<f64, AudioError> {
    Ok(distance(&Pair::new(reference, degraded)?).value)
}

/// The same of a pair; n counts frames.
pub(super) fn distance(pair: &Pair) -> Score {
    let [a, b] = [&pair.reference, &pair.degraded].map(|samples| mel_power(samples, pair.sample_rate_hz));
    let sum: f64 = a.iter().zip(&b).map(|(a, b)| f64::from((a.max(FLOOR).ln() - b.max(FLOOR).ln()).abs())).sum();
    Score { value: sum / a.len() as f64, n: a.len() / N_MELS }
}

/// Power in 80 bands of height 1 between 0 Hz and half the rate, `[1 + n / 256, 80]`: periodic Hann of 1024, frames centered on
/// multiples of 256, the ends mirrored.
pub fn mel_power(samples: &[f32], sample_rate_hz: u32) -> Vec<f32> {
    let n_bins = N_FFT / 2 + 1;
    let bank = mel_triangles(N_MELS, N_FFT, sample_rate_hz, 0.0, f64::from(sample_rate_hz) / 2.0);
    // A triangle is zero but for a few bins.
    let bands: Vec<(usize, &[f32])> = bank
        .chunks_exact(n_bins)
        .map(|band| {
            let first = band.iter().position(|&w| w > 0.0).unwrap_or(0);
            let last = band.iter().rposition(|&w| w > 0.0).map_or(first, |last| last + 1);
            (first, &band[first..last])
        })
        .collect();
    let power = power_spectra(&mirrored(samples, N_FFT / 2), &hann(N_FFT), HOP_SAMPLES, N_FFT);
    let mel = |bins: &[f32]| bands.iter().map(|(first, band)| band.iter().zip(&bins[*first..]).map(|(w, p)| w * p).sum()).collect();
    power.chunks_exact(n_bins).flat_map(|bins| -> Vec<f32> { mel(bins) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(n: usize, gain: f32) -> AudioClip {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            gain * (state as f32 / u32::MAX as f32 - 0.5)
        };
        AudioClip { samples: (0..n).map(|_| next()).collect(), sample_rate_hz: 16_000 }
    }

    #[test]
    fn a_gain_is_its_logarithm_in_every_band() {
        let reference = noise(8_000, 1.0);
        assert_eq!(mel_distance(&reference, &reference).unwrap(), 0.0);
        let distance = mel_distance(&reference, &noise(8_000, 0.5)).unwrap();
        assert!((distance - 2.0 * 2_f64.ln()).abs() < 1e-4, "{distance}");
    }

    #[test]
    fn lengths_and_rates_are_matched() {
        let reference = noise(8_000, 1.0);
        assert_eq!(mel_distance(&reference, &noise(9_000, 1.0)).unwrap(), mel_distance(&reference, &reference).unwrap());
        let at_24k = crate::audio::resample(&reference, 24_000).unwrap();
        assert!(mel_distance(&reference, &at_24k).unwrap() < 0.1);
        assert!(mel_distance(&reference, &noise(1, 1.0)).unwrap().is_finite());
        let empty = AudioClip { samples: vec![], sample_rate_hz: 16_000 };
        assert_eq!(mel_distance(&reference, &empty).unwrap_err().to_string(), "the degraded sound: holds no samples");
    }
}
