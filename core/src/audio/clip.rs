//! The one value that all sound travels in.

use std::path::PathBuf;

/// Mono sound.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct AudioClip {
    /// Amplitudes, full scale ±1.
    pub samples: Vec<f32>,
    /// Samples per second.
    pub sample_rate_hz: u32,
}

impl AudioClip {
    /// Length in seconds.
    pub fn duration_sec(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.sample_rate_hz.max(1))
    }
}

/// Why sound could not be read, converted or written.
#[derive(Debug, thiserror::Error)]
pub enum AudioError {
    /// The file could not be opened or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The content is no sound we can read.
    #[error("{path}: not readable as WAV, FLAC, MP3 or Ogg Vorbis ({reason})")]
    NotAudio {
        /// The file.
        path: PathBuf,
        /// What the decoder said.
        reason: String,
    },
    /// A sound without samples.
    #[error("{path}: holds no samples")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// A sound that must not be silent is.
    #[error("{path}: is silent")]
    Silent {
        /// The file, or which of two sounds.
        path: PathBuf,
    },
    /// A rate that cannot be converted.
    #[error("cannot resample from {from} Hz to {to} Hz")]
    Rate {
        /// Given rate.
        from: u32,
        /// Wanted rate.
        to: u32,
    },
}
