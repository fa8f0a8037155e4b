//! Mel-cepstral distortion.

use super::mel::{FLOOR, HOP_SAMPLES, N_FFT, N_MELS, mel_power};
use super::{Measure, Pair, PerceiveError, Score};

/// Coefficients compared: the first to this one; c₀, which holds the level, is not.
const ORDER: usize = 24;

/// (10 / ln 10)·√(2·Σ (c − ĉ)²) in dB over coefficients 1 to 24 (Kubichek 1993), mean over frames, each against the one at the same time.
/// ln |H| = Σ c_d·cos(π·d·(m + ½) / 80) over the 80 bands m of the log-mel distance, so that a value is the RMS difference in dB of the
/// smoothed spectra over the mel axis. n counts frames.
pub(super) fn mel_cepstral_distortion(pair: &Pair) -> Result<Score, PerceiveError> {
    pair.at_least(N_FFT, Measure::Mcd)?;
    let [x, y] = [&pair.reference, &pair.degraded].map(|samples| mel_power(samples, pair.sample_rate_hz));
    let cosine = |d: usize, m: usize| (std::f64::consts::PI * d as f64 * (m as f64 + 0.5) / N_MELS as f64).cos() / N_MELS as f64;
    let basis: Vec<f64> = (1..=ORDER).flat_map(|d| (0..N_MELS).map(move |m| cosine(d, m))).collect();
    let frame_db = |(x, y): (&[f32], &[f32])| {
        let ratio: Vec<f64> = x.iter().zip(y).map(|(x, y)| f64::from(x.max(FLOOR) / y.max(FLOOR)).ln()).collect();
        let squares = basis.chunks_exact(N_MELS).map(|row| row.iter().zip(&ratio).map(|(b, r)| b * r).sum::<f64>().powi(2));
        10.0 / std::f64::consts::LN_10 * (2.0 * squares.sum::<f64>()).sqrt()
    };
    let n = 1 + pair.reference.len() / HOP_SAMPLES;
    let sum: f64 = x.chunks_exact(N_MELS).zip(y.chunks_exact(N_MELS)).map(frame_db).sum();
    Ok(Score { value: sum / n as f64, n })
}
