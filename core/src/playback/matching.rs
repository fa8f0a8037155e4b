//! Loudness matched by one gain a source: no limiter, no compression, nothing that changes the sound itself.

/// The most that matching changes a level, up or down, in dB; what differs by more differs in kind.
pub const MAX_MATCHING_DB: f64 = 24.0;

/// The gain in dB that brings a sound of `loudness_lufs` ([`crate::audio::loudness_lufs`]) to `reference_lufs`.
///
/// Within ±[`MAX_MATCHING_DB`], and never so high that `peak` ([`crate::audio::peak`] of what is played) passes full scale: then the
/// match is not reached, and a sound that is beyond full scale by itself is lowered to it. A sound without a loudness is not raised.
/// With the quietest of the sounds as the reference no gain is above 0 dB, and only the range can keep them from matching.
pub fn matching_gain_db(loudness_lufs: Option<f64>, reference_lufs: f64, peak: f32) -> f64 {
    let wanted_db = loudness_lufs.map(|loudness| reference_lufs - loudness).filter(|gain| gain.is_finite()).unwrap_or(0.0);
    let headroom_db = -20.0 * f64::from(peak).log10();
    wanted_db.clamp(-MAX_MATCHING_DB, MAX_MATCHING_DB).min(headroom_db)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::{AudioClip, loudness_lufs, peak};

    #[test]
    fn a_table_of_gains() {
        for (loudness, reference, peak, gain_db, what) in [
            (Some(-23.0), -23.0, 0.5, 0.0, "matched already"),
            (Some(-30.0), -23.0, 0.1, 7.0, "raised"),
            (Some(-13.0), -23.0, 1.0, -10.0, "lowered"),
            (Some(-30.0), -23.0, 0.5, 6.020_599_9, "raised to full scale and no further"),
            (Some(-23.0), -23.0, 2.0, -6.020_599_9, "beyond full scale by itself"),
            (Some(-60.0), -23.0, 0.001, MAX_MATCHING_DB, "no further up than the range"),
            (Some(-3.0), -60.0, 1.0, -MAX_MATCHING_DB, "no further down than the range"),
            (Some(-3.0), -60.0, 100.0, -40.0, "unless full scale demands it"),
            (None, -23.0, 0.0, 0.0, "silence"),
            (Some(f64::NAN), -23.0, 0.5, 0.0, "no number"),
        ] {
            assert!((matching_gain_db(loudness, reference, peak) - gain_db).abs() < 1e-6, "{what}");
        }
    }

    /// A sine of amplitude 10^(dB/20) on one channel has dB - 3.01 LUFS (BS.1770).
    #[test]
    fn sines_of_any_level_come_to_the_reference() {
        let reference_lufs = -26.01;
        for level_db in [-40.0, -23.0, -6.0] {
            let amplitude = 10_f64.powf(level_db / 20.0);
            let sine = |i: usize| amplitude * (std::f64::consts::TAU * 997.0 * f64::from(i as u32) / 16_000.0).sin();
            let clip = AudioClip { samples: (0..16_000).map(|i| sine(i) as f32).collect(), sample_rate_hz: 16_000 };
            let gain_db = matching_gain_db(loudness_lufs(&clip), reference_lufs, peak(&clip.samples));
            assert!((gain_db - (-23.0 - level_db)).abs() < 0.1, "{level_db} dBFS: {gain_db} dB");
        }
    }
}
