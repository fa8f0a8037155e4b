//! How loud a sound is to a listener: EBU R 128, which is the K-weighted, gated level of ITU-R BS.1770.

use ebur128::{EbuR128, Mode};

use super::AudioClip;

/// Integrated loudness in LUFS (BS.1770: K-weighted power of 400 ms blocks, without those below -70 LUFS and those 10 LU below the rest).
///
/// The clip counts as one channel, as a mono file does: a 997 Hz sine of amplitude 1 has -3.01 LUFS. The same sound on both channels
/// of a stereo file has 3.01 LU more. `None` when it cannot be said: for a clip shorter than 400 ms, one without a block above
/// -70 LUFS (silence), and a rate outside 16 Hz to 2.8 MHz. Below some 3 s the gates have few blocks to go by.
pub fn loudness_lufs(clip: &AudioClip) -> Option<f64> {
    let mut meter = EbuR128::new(1, clip.sample_rate_hz, Mode::I).ok()?;
    meter.add_frames_f32(&clip.samples).ok()?;
    meter.loudness_global().ok().filter(|loudness| loudness.is_finite())
}

/// K-weighted level of the whole clip in LUFS, without the gates of [`loudness_lufs`]: for sounds of a few seconds, of which the gates would
/// leave an uncertain part. Counted as one channel, too. `None` for silence, without samples, and at rates outside 16 Hz to 2.8 MHz.
pub fn ungated_loudness_lufs(clip: &AudioClip) -> Option<f64> {
    let window_ms = (clip.duration_sec() * 1e3).floor().max(1.0) as u32;
    let mut meter = EbuR128::new(1, clip.sample_rate_hz, Mode::M).ok()?;
    meter.set_max_window(window_ms.max(400)).ok()?;
    meter.add_frames_f32(&clip.samples).ok()?;
    meter.loudness_window(window_ms).ok().filter(|loudness| loudness.is_finite() && !clip.samples.is_empty())
}

/// Largest distance from zero, full scale 1; 0 without samples.
pub fn peak(samples: &[f32]) -> f32 {
    samples.iter().fold(0.0, |peak, sample| peak.max(sample.abs()))
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    /// `(level in dBFS of the sine's peak, seconds)`, one after the other.
    fn tones(frequency_hz: f64, sample_rate_hz: u32, parts: &[(f64, f64)]) -> AudioClip {
        let levels = parts.iter().flat_map(|&(level_db, sec)| {
            std::iter::repeat_n(10_f64.powf(level_db / 20.0), (sec * f64::from(sample_rate_hz)).round() as usize)
        });
        let sine = |i: usize| (TAU * frequency_hz * i as f64 / f64::from(sample_rate_hz)).sin();
        AudioClip { samples: levels.enumerate().map(|(i, level)| (level * sine(i)) as f32).collect(), sample_rate_hz }
    }

    fn is_near(got: Option<f64>, wanted: f64, what: &str) {
        assert!(got.is_some_and(|got| (got - wanted).abs() <= 0.1), "{what}: {got:?}, not {wanted} LUFS");
    }

    /// BS.1770-4, Annex 1: a 997 Hz sine at 0 dBFS on one channel indicates -3.01 LKFS.
    #[test]
    fn a_sine_on_one_channel() {
        for sample_rate_hz in [16_000, 22_050, 24_000, 44_100, 48_000] {
            for (level_db, sec) in [(0.0, 1.0), (-23.0, 1.0), (-19.99, 10.0), (-60.0, 2.0)] {
                let clip = tones(997.0, sample_rate_hz, &[(level_db, sec)]);
                is_near(loudness_lufs(&clip), level_db - 3.01, &format!("{level_db} dBFS at {sample_rate_hz} Hz"));
            }
        }
    }

    /// EBU Tech 3341, cases 1 to 5. Its material has two equal channels, one channel 3.01 LU less.
    #[test]
    fn ebu_material() {
        let cases: [(&[(f64, f64)], f64); 5] = [
            (&[(-23.0, 20.0)], -23.0),
            (&[(-33.0, 20.0)], -33.0),
            (&[(-36.0, 10.0), (-23.0, 60.0), (-36.0, 10.0)], -23.0),
            (&[(-72.0, 10.0), (-36.0, 10.0), (-23.0, 60.0), (-36.0, 10.0), (-72.0, 10.0)], -23.0),
            (&[(-26.0, 20.0), (-20.0, 20.1), (-26.0, 20.0)], -23.0),
        ];
        for (parts, stereo_lufs) in cases {
            is_near(loudness_lufs(&tones(1000.0, 16_000, parts)), stereo_lufs - 3.01, &format!("{parts:?}"));
        }
    }

    #[test]
    fn without_gates_pauses_count() {
        for sample_rate_hz in [16_000, 24_000, 48_000] {
            for sec in [0.25, 1.0, 7.0] {
                let clip = tones(997.0, sample_rate_hz, &[(-23.0, sec)]);
                is_near(ungated_loudness_lufs(&clip), -26.01, &format!("{sec} s at {sample_rate_hz} Hz"));
            }
            let half = tones(997.0, sample_rate_hz, &[(-23.0, 1.0), (-200.0, 1.0)]);
            is_near(ungated_loudness_lufs(&half), -29.02, "half of it silent");
        }
        for samples in [vec![], vec![0.0; 8_000]] {
            assert_eq!(ungated_loudness_lufs(&AudioClip { samples, sample_rate_hz: 16_000 }), None);
        }
    }

    #[test]
    fn where_there_is_no_loudness() {
        let tone = |level_db, sec| tones(1000.0, 16_000, &[(level_db, sec)]);
        assert!(loudness_lufs(&tone(-20.0, 0.4)).is_some());
        for (what, clip) in [
            ("too short", tone(-20.0, 0.399)),
            ("silent", AudioClip { samples: vec![0.0; 32_000], sample_rate_hz: 16_000 }),
            ("below the absolute gate", tone(-69.0, 2.0)),
            ("empty", AudioClip { samples: vec![], sample_rate_hz: 16_000 }),
            ("no rate", AudioClip { samples: vec![0.5; 100], sample_rate_hz: 0 }),
        ] {
            assert_eq!(loudness_lufs(&clip), None, "{what}");
        }
    }

    #[test]
    fn the_peak_is_the_largest_on_either_side() {
        assert_eq!([peak(&[]), peak(&[0.5, -0.75, 0.25]), peak(&[2.0])], [0.0, 0.75, 2.0]);
    }
}
