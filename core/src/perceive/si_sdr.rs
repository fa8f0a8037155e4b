//! Scale-invariant signal-to-distortion ratio.

use super::{Pair, Score};
use crate::audio::{AudioClip, AudioError};

/// Scale-invariant signal-to-distortion ratio in dB (Le Roux et al., 2019), means removed: 10·log10(‖αs‖² / ‖ŝ − αs‖²) with
/// α = ⟨ŝ, s⟩ / ‖s‖². A perfect copy gives +∞, a degraded sound orthogonal to the reference −∞; a sound that is silent
/// or stands still is refused.
pub fn si_sdr_db(reference: &AudioClip, degraded: &AudioClip) -> Result<f64, AudioError> {
    Ok(ratio_db(&Pair::new(reference, degraded)?)?.value)
}

/// The same of a pair; n counts samples.
pub(super) fn ratio_db(pair: &Pair) -> Result<Score, AudioError> {
    let [s, d] = [&pair.reference, &pair.degraded].map(|samples| {
        let mean = samples.iter().map(|&x| f64::from(x)).sum::<f64>() / samples.len() as f64;
        samples.iter().map(|&x| f64::from(x) - mean).collect::<Vec<f64>>()
    });
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let power = dot(&s, &s);
    for (which, power) in [("the reference sound", power), ("the degraded sound", dot(&d, &d))] {
        if power == 0.0 {
            return Err(AudioError::Silent { path: which.into() });
        }
    }
    let scale = dot(&d, &s) / power;
    let distortion: f64 = s.iter().zip(&d).map(|(s, d)| (d - scale * s).powi(2)).sum();
    Ok(Score { value: 10.0 * (scale * scale * power / distortion).log10(), n: s.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip(samples: &[f32]) -> AudioClip {
        AudioClip { samples: samples.to_vec(), sample_rate_hz: 16_000 }
    }

    #[test]
    fn known_ratios() {
        let s = [1.0, -1.0, 1.0, -1.0];
        let cases: [(&[f32], f64); 5] = [
            (&s, f64::INFINITY),
            (&[0.5, -0.5, 0.5, -0.5], f64::INFINITY),
            // s plus an orthogonal error of a tenth of its power: 10 dB, at any scale and offset.
            (&[1.0 + 0.1_f32.sqrt(), -1.0 + 0.1_f32.sqrt(), 1.0 - 0.1_f32.sqrt(), -1.0 - 0.1_f32.sqrt()], 10.0),
            (&[9.0 + 0.1_f32.sqrt(), 7.0 + 0.1_f32.sqrt(), 9.0 - 0.1_f32.sqrt(), 7.0 - 0.1_f32.sqrt()], 10.0),
            (&[1.0, 1.0, -1.0, -1.0], f64::NEG_INFINITY),
        ];
        for (degraded, expected) in cases {
            let found = si_sdr_db(&clip(&s), &clip(degraded)).unwrap();
            assert!(found == expected || (found - expected).abs() < 1e-4, "{degraded:?}: {found}, not {expected}");
        }
        assert_eq!(si_sdr_db(&clip(&[0.5; 4]), &clip(&s)).unwrap_err().to_string(), "the reference sound: is silent");
    }
}
