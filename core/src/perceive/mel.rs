//! Log-mel distance.
//!
//! The transform is the one the peer's numbers were made with (torchaudio's default mel spectrogram), not the codec's.

use super::matched;
use crate::audio::stft::{Stft, mel_triangles};
use crate::audio::{AudioClip, AudioError};

const N_FFT: usize = 1024;
const HOP_SAMPLES: usize = 256;
const N_MELS: usize = 80;
/// Power below which a band counts as silent.
const FLOOR: f32 = 1e-5;

/// Mean |ln max(mel, 1e-5) − ln max(mel̂, 1e-5)|: 80 HTK bands of the power spectrum, n_fft 1024, hop 256 (the peer's definition).
/// The degraded sound is brought to the rate of the reference and both are cut to the shorter.
pub fn mel_distance(reference: &AudioClip, degraded: &AudioClip) -> Result<f64, AudioError> {
    let (a, b) = matched(reference, degraded)?;
    let [a, b] = [a, b].map(|samples| mel_power(&samples, reference.sample_rate_hz));
    let sum: f64 = a.iter().zip(&b).map(|(a, b)| f64::from((a.max(FLOOR).ln() - b.max(FLOOR).ln()).abs())).sum();
    Ok(sum / a.len() as f64)
}

/// Power in 80 bands of height 1 between 0 Hz and half the rate, `[1 + n / 256, 80]`: periodic Hann of 1024, frames centered on
/// multiples of 256, the ends mirrored.
pub fn mel_power(samples: &[f32], sample_rate_hz: u32) -> Vec<f32> {
    let stft = Stft::new(N_FFT, HOP_SAMPLES, N_FFT);
    let half = (N_FFT / 2) as isize;
    let mirrored: Vec<f32> = (-half..samples.len() as isize + half).map(|i| samples[mirror(i, samples.len())]).collect();
    let n_frames = 1 + samples.len() / HOP_SAMPLES;
    let bank = mel_triangles(N_MELS, N_FFT, sample_rate_hz, 0.0, f64::from(sample_rate_hz) / 2.0);
    let spectra = stft.analyze(&mirrored, 0, n_frames);
    let mut mel = Vec::with_capacity(n_frames * N_MELS);
    for spectrum in spectra.chunks_exact(stft.n_bins()) {
        let power: Vec<f32> = spectrum.iter().map(driftscope_numerics::fourier::Complex::norm_sqr).collect();
        mel.extend(bank.chunks_exact(stft.n_bins()).map(|band| band.iter().zip(&power).map(|(w, p)| w * p).sum::<f32>()));
    }
    mel
}

/// Position `i` of an endless sound that runs back and forth over `n` samples without repeating its ends.
fn mirror(i: isize, n: usize) -> usize {
    let last = n as isize - 1;
    if last == 0 {
        return 0;
    }
    let folded = i.rem_euclid(2 * last);
    folded.min(2 * last - folded) as usize
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

    #[test]
    fn ends_are_mirrored_without_repeating_them() {
        let positions: Vec<usize> = (-4..8).map(|i| mirror(i, 4)).collect();
        assert_eq!(positions, [2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1]);
        assert_eq!(mirror(-5, 1), 0);
    }
}
