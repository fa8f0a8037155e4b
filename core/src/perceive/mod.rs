//! What can be measured of a sound against its reference.
//!
//! Measures are defined as the literature and the packages that are in use define them, so that numbers can be compared across tools;
//! nothing here judges whether a difference is heard. All of them lie in one table, [`Measure`], and [`scores`] takes them all of a pair
//! of sounds: the degraded one is brought to the rate of the reference, and both are cut to the shorter. What cannot be measured has a
//! reason instead of a number.

mod cepstrum;
mod fundamental;
mod measure;
mod mel;
mod pesq;
mod pitch;
mod polyphase;
mod si_sdr;
mod spectrum;
mod stft_distance;
mod stoi;

use std::sync::OnceLock;

pub use measure::{Better, Measure, Score, Scores, measure, scores};
pub use mel::{mel_distance, mel_power};
pub(crate) use polyphase::bessel_i0;
pub use si_sdr::si_sdr_db;

use crate::audio::{self, AudioClip, AudioError};

/// STOI of a codec's round trip below which sounds made through it say little about a predictor. Codecs in use lie well above it on clean
/// speech (CALM's VAE .90, Mimi's eight codebooks .87 in their authors' tables); wrong weights or a wrong tap lie far below.
pub const POOR_ROUND_TRIP_STOI: f64 = 0.75;

/// Why a measure has no number.
#[derive(Debug, thiserror::Error)]
pub enum PerceiveError {
    /// A sound is empty, silent where it must not be, or at a rate that cannot be converted.
    #[error(transparent)]
    Audio(#[from] AudioError),
    /// Less sound than the measure takes at once.
    #[error("{} needs {needed_sec:.2} s that are not silent, and finds {found_sec:.2} s", measure.name())]
    TooShort {
        /// What was asked for.
        measure: Measure,
        /// The least it needs.
        needed_sec: f64,
        /// What there is in both sounds.
        found_sec: f64,
    },
    /// The sounds hold too few frequencies.
    #[error("{} needs a sample rate of at least {needed_hz} Hz, not {found_hz} Hz", measure.name())]
    RateTooLow {
        /// What was asked for.
        measure: Measure,
        /// The least it needs.
        needed_hz: u32,
        /// That of the reference.
        found_hz: u32,
    },
    /// Nothing counts as an utterance.
    #[error("{} finds no speech in the reference: it needs an utterance of at least 0.2 s", measure.name())]
    NoSpeech {
        /// What was asked for.
        measure: Measure,
    },
    /// The measure aligns the sounds itself, and finds that there is no one delay.
    #[error("{} compares sounds at one delay, but that of the degraded sound varies by {range_ms:.0} ms", measure.name())]
    DelayVaries {
        /// What was asked for.
        measure: Measure,
        /// Between the utterance that comes latest and the one that comes earliest.
        range_ms: f64,
    },
    /// No frame has a pitch.
    #[error("{} needs a voice in the reference and in the degraded sound, and finds none", measure.name())]
    Unvoiced {
        /// What was asked for.
        measure: Measure,
    },
    /// The gates leave nothing.
    #[error("{} needs 0.4 s above -70 LUFS in both sounds", measure.name())]
    Inaudible {
        /// What was asked for.
        measure: Measure,
    },
    /// The formula gives no finite number.
    #[error("{} is {value}: {why}", measure.name())]
    NotFinite {
        /// What was asked for.
        measure: Measure,
        /// Infinite or not a number.
        value: f64,
        /// When that happens.
        why: &'static str,
    },
}

/// Both sounds at the rate of the reference, cut to the shorter one.
#[derive(Clone, Debug)]
struct Pair {
    reference: Vec<f32>,
    degraded: Vec<f32>,
    sample_rate_hz: u32,
    /// Two measures need them, and nothing else takes as long.
    tracks: OnceLock<fundamental::Tracks>,
}

impl Pair {
    fn new(reference: &AudioClip, degraded: &AudioClip) -> Result<Self, AudioError> {
        let sample_rate_hz = reference.sample_rate_hz;
        if sample_rate_hz == 0 {
            return Err(AudioError::Rate { from: degraded.sample_rate_hz, to: 0 });
        }
        let degraded = audio::resample(degraded, sample_rate_hz)?;
        let n = reference.samples.len().min(degraded.samples.len());
        if n == 0 {
            let which = if reference.samples.is_empty() { "the reference sound" } else { "the degraded sound" };
            return Err(AudioError::Empty { path: which.into() });
        }
        let (reference, degraded) = (reference.samples[..n].to_vec(), degraded.samples[..n].to_vec());
        Ok(Self { reference, degraded, sample_rate_hz, tracks: OnceLock::new() })
    }

    fn tracks(&self) -> &fundamental::Tracks {
        self.tracks.get_or_init(|| fundamental::tracks(self))
    }

    fn duration_sec(&self) -> f64 {
        self.reference.len() as f64 / f64::from(self.sample_rate_hz)
    }

    /// Fails where one of the two is digital silence.
    fn refuse_silence(&self) -> Result<(), AudioError> {
        for (which, samples) in [("the reference sound", &self.reference), ("the degraded sound", &self.degraded)] {
            if samples.iter().all(|&x| x == 0.0) {
                return Err(AudioError::Silent { path: which.into() });
            }
        }
        Ok(())
    }

    /// Fails where there are fewer samples than `n_samples` or one of the two is digital silence.
    fn at_least(&self, n_samples: usize, measure: Measure) -> Result<(), PerceiveError> {
        self.refuse_silence()?;
        if self.reference.len() < n_samples {
            let needed_sec = n_samples as f64 / f64::from(self.sample_rate_hz);
            return Err(PerceiveError::TooShort { measure, needed_sec, found_sec: self.duration_sec() });
        }
        Ok(())
    }
}
