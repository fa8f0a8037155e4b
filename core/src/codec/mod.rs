//! Codecs: sound to continuous latents and back.
//!
//! A codec is one variant of [`Codec`] and one file (or folder) of its own. Latents of one codec are never decoded by another:
//! callers compare [`Codec::tag`] with the store's.

pub mod demo;

use std::ops::Range;

use crate::audio::AudioClip;
use crate::job::{Cancel, Cancelled};
use crate::latents::{CodecTag, Latents};

pub use demo::DemoCodec;

/// Any codec that can be opened.
#[derive(Clone, Debug)]
pub enum Codec {
    /// The embedded 12.5 Hz × 64 codec.
    Demo(std::sync::Arc<DemoCodec>),
}

/// Why a codec could not be opened or used.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// Weights that cannot be used.
    #[error("{0}")]
    Weights(String),
    /// Sound or latents that do not fit the codec.
    #[error("{0}")]
    Input(String),
    /// Stopped.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl Codec {
    /// The codec whose weights are compiled in.
    pub fn embedded() -> Result<Self, CodecError> {
        Ok(Self::Demo(std::sync::Arc::new(DemoCodec::embedded()?)))
    }

    /// Name, tap and weights hash: what a store records.
    pub fn tag(&self) -> CodecTag {
        match self {
            Self::Demo(codec) => codec.tag(),
        }
    }

    /// Rate of the sound it takes and gives.
    pub fn sample_rate_hz(&self) -> u32 {
        match self {
            Self::Demo(codec) => codec.sample_rate_hz(),
        }
    }

    /// Samples per latent frame.
    pub fn hop_samples(&self) -> usize {
        match self {
            Self::Demo(codec) => codec.hop_samples(),
        }
    }

    /// Latent frames per second.
    pub fn frame_rate_hz(&self) -> f64 {
        f64::from(self.sample_rate_hz()) / self.hop_samples() as f64
    }

    /// Dimensions of a latent frame.
    pub fn dim(&self) -> usize {
        match self {
            Self::Demo(codec) => codec.dim(),
        }
    }

    /// Sound (any rate, resampled) to latents.
    pub fn encode(&self, clip: &AudioClip) -> Result<Latents, CodecError> {
        match self {
            Self::Demo(codec) => codec.encode(clip),
        }
    }

    /// Latents to `n_frames × hop_samples` samples.
    pub fn decode(&self, latents: &Latents) -> Result<AudioClip, CodecError> {
        self.decode_unless(latents, &Cancel::default())
    }

    /// The same, given up as soon as `stop` says so.
    pub fn decode_unless(&self, latents: &Latents, stop: &Cancel) -> Result<AudioClip, CodecError> {
        match self {
            Self::Demo(codec) => codec.decode(latents, stop),
        }
    }

    /// Decodes `latents`, of which only frames `changed` differ from those that `around` is the sound of: outside the decoder's reach
    /// the sound is copied, sample for sample, and inside it continues what was copied. `around` is at [`Codec::sample_rate_hz`];
    /// the result has `n_frames × hop_samples` samples. Given up as soon as `stop` says so.
    pub fn decode_between(
        &self,
        latents: &Latents,
        changed: Range<usize>,
        around: &AudioClip,
        stop: &Cancel,
    ) -> Result<AudioClip, CodecError> {
        match self {
            Self::Demo(codec) => codec.decode_between(latents, changed, around, stop),
        }
    }

    /// Frames before and after a changed one whose sound may change with it.
    pub fn reach(&self) -> [usize; 2] {
        match self {
            Self::Demo(codec) => codec.reach(),
        }
    }
}
