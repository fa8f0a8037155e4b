//! The embedded codec: a 12.5 Hz, 64-dimensional β-VAE over 16 kHz speech.

use super::CodecError;
use crate::audio::AudioClip;
use crate::latents::{CodecTag, Latents};

/// The embedded codec with its weights loaded.
#[derive(Debug)]
pub struct DemoCodec {}

impl DemoCodec {
    /// Loads the weights compiled into the program.
    pub fn embedded() -> Result<Self, CodecError> {
        todo!()
    }

    /// Name, tap and weights hash.
    pub fn tag(&self) -> CodecTag {
        todo!()
    }

    /// 16 000.
    pub fn sample_rate_hz(&self) -> u32 {
        16_000
    }

    /// 1 280 samples, 80 ms.
    pub fn hop_samples(&self) -> usize {
        1_280
    }

    /// 64.
    pub fn dim(&self) -> usize {
        64
    }

    /// Posterior means, `ceil(samples / 1280)` frames.
    pub fn encode(&self, clip: &AudioClip) -> Result<Latents, CodecError> {
        let _ = clip;
        todo!()
    }

    /// `n_frames × 1280` samples.
    pub fn decode(&self, latents: &Latents) -> Result<AudioClip, CodecError> {
        let _ = latents;
        todo!()
    }
}
