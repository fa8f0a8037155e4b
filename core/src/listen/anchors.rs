//! The anchors of BS.1534-3: the reference through a low-pass at 3.5 kHz, and at 7 kHz, made for any sample rate.
//!
//! The standard asks of the 3.5 kHz filter a pass band within ±0.1 dB, and 25 dB less at 4 kHz and 50 dB less from 4.5 kHz on; of the 7 kHz
//! filter the same an octave higher. These filters have 60 dB from 4 (8) kHz on. They are symmetric and their delay is taken away, so that
//! an anchor lies under its reference sample by sample.

use std::f64::consts::{PI, TAU};

use crate::audio::AudioClip;
use crate::perceive::bessel_i0;

/// Attenuation from the end of the transition on, dB.
const REJECTION_DB: f64 = 60.0;

/// A low-pass of BS.1534-3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub enum Anchor {
    /// The low anchor: like a telephone.
    Low,
    /// The mid anchor: like wide-band telephony.
    Mid,
}

impl Anchor {
    /// Both, the worse one first.
    pub const ALL: [Self; 2] = [Self::Low, Self::Mid];

    /// Name of the condition.
    pub fn name(self) -> &'static str {
        match self {
            Self::Low => "3.5 kHz",
            Self::Mid => "7 kHz",
        }
    }

    /// End of the pass band.
    pub fn pass_hz(self) -> f64 {
        match self {
            Self::Low => 3_500.0,
            Self::Mid => 7_000.0,
        }
    }

    /// Beginning of the stop band.
    fn stop_hz(self) -> f64 {
        self.pass_hz() * 8.0 / 7.0
    }

    /// The least rate at which there is anything to take away.
    pub fn lowest_rate_hz(self) -> u32 {
        (2.0 * self.stop_hz()) as u32
    }

    /// The reference without its high frequencies, as long and undelayed; `None` below [`Anchor::lowest_rate_hz`], where the anchor would
    /// be as good as the reference.
    pub fn of(self, reference: &AudioClip) -> Option<AudioClip> {
        let taps = self.filter(reference.sample_rate_hz)?;
        let half = taps.len() / 2;
        let mut padded = vec![0.0_f32; half];
        padded.extend(&reference.samples);
        padded.resize(padded.len() + half, 0.0);
        let taps: Vec<f32> = taps.into_iter().map(|tap| tap as f32).collect();
        let samples = padded.windows(taps.len()).map(|window| dot(window, &taps)).take(reference.samples.len()).collect();
        Some(AudioClip { samples, sample_rate_hz: reference.sample_rate_hz })
    }

    /// Kaiser-windowed sinc, an odd number of taps around the middle one; gain 1 at 0 Hz.
    fn filter(self, sample_rate_hz: u32) -> Option<Vec<f64>> {
        if sample_rate_hz < self.lowest_rate_hz() {
            return None;
        }
        let rate_hz = f64::from(sample_rate_hz);
        let cutoff = self.pass_hz().midpoint(self.stop_hz()) / rate_hz;
        let transition = (self.stop_hz() - self.pass_hz()) / rate_hz;
        // Kaiser's formulas for rejections above 50 dB.
        let half = ((REJECTION_DB - 7.95) / (2.285 * TAU * transition) / 2.0).ceil();
        let beta = 0.1102 * (REJECTION_DB - 8.7);
        let tap = |n: usize| {
            let t = n as f64 - half;
            let sinc = if t == 0.0 { 2.0 * cutoff } else { (TAU * cutoff * t).sin() / (PI * t) };
            sinc * bessel_i0(beta * (1.0 - (t / half).powi(2)).max(0.0).sqrt())
        };
        let taps: Vec<f64> = (0..=2 * half as usize).map(tap).collect();
        let sum: f64 = taps.iter().sum();
        Some(taps.into_iter().map(|tap| tap / sum).collect())
    }
}

/// Sums side by side, so that they fit a vector register.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0.0; LANES];
    let (whole_a, whole_b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: f32 = whole_a.remainder().iter().zip(whole_b.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in whole_a.zip(whole_b) {
        for lane in 0..LANES {
            sums[lane] += a[lane] * b[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gain in dB at a frequency: the Fourier sum of what an impulse in the middle becomes.
    fn gain_db(response: &AudioClip, middle: usize, frequency_hz: f64) -> f64 {
        let omega = TAU * frequency_hz / f64::from(response.sample_rate_hz);
        let (re, im) = response.samples.iter().enumerate().fold((0.0, 0.0), |(re, im), (n, &x)| {
            let phase = omega * (n as f64 - middle as f64);
            (re + f64::from(x) * phase.cos(), im - f64::from(x) * phase.sin())
        });
        // Linear phase without delay: nothing is imaginary.
        assert!(im.abs() < 1e-5, "{frequency_hz} Hz is delayed");
        20.0 * re.abs().log10()
    }

    #[test]
    fn the_mask_of_the_standard_is_kept_at_every_rate() {
        for sample_rate_hz in [8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000] {
            let n = sample_rate_hz as usize / 10;
            let mut samples = vec![0.0; n];
            samples[n / 2] = 1.0;
            let impulse = AudioClip { samples, sample_rate_hz };
            for anchor in Anchor::ALL {
                let Some(response) = anchor.of(&impulse) else {
                    assert!(anchor == Anchor::Mid && sample_rate_hz < 16_000, "{anchor:?} at {sample_rate_hz} Hz");
                    continue;
                };
                assert_eq!(response.samples.len(), n);
                let nyquist = f64::from(sample_rate_hz) / 2.0;
                for step in 0..=400 {
                    let hz = nyquist * f64::from(step) / 400.0;
                    let (gain, octave) = (gain_db(&response, n / 2, hz), hz / anchor.pass_hz());
                    let is_kept = match octave {
                        o if o <= 1.0 => gain.abs() <= 0.1,
                        o if o < 8.0 / 7.0 => gain <= 0.1,
                        o if o < 9.0 / 7.0 => gain <= -25.0,
                        _ => gain <= -50.0,
                    };
                    assert!(is_kept, "{anchor:?} at {sample_rate_hz} Hz: {gain:.2} dB at {hz:.0} Hz");
                }
            }
        }
    }

    #[test]
    fn where_nothing_would_be_taken_away_there_is_no_anchor() {
        let clip = |sample_rate_hz| AudioClip { samples: vec![0.5; 100], sample_rate_hz };
        assert_eq!(Anchor::ALL.map(|anchor| anchor.of(&clip(7_999))), [None, None]);
        assert_eq!(Anchor::ALL.map(|anchor| anchor.of(&clip(15_999)).is_some()), [true, false]);
        assert_eq!(Anchor::Low.of(&AudioClip { samples: vec![], sample_rate_hz: 16_000 }).unwrap().samples, [0.0; 0]);
    }
}
