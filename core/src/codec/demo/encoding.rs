//! Encoding as sound arrives, in memory that does not grow with its length.
//!
//! Everything on the way to a latent is causal and of finite reach: what is kept is the state of the offset filter, the tail of an
//! analysis window, and the patches that the next latent's network still sees.

use std::sync::Arc;

use super::DemoCodec;
use super::features::{FIRST_SAMPLE, HOP_SAMPLES, OffsetFilter, PATCH};
use crate::codec::CodecError;

/// Samples before a patch that its first window covers.
const PAST_SAMPLES: usize = FIRST_SAMPLE.unsigned_abs();

/// Latents encoded at once: enough for the matrix products, little memory.
const CHUNK: usize = 256;

/// One sound on its way.
#[derive(Debug)]
pub(in crate::codec) struct Encoding {
    codec: Arc<DemoCodec>,
    filter: OffsetFilter,
    /// Filtered samples: the past of the next patch, then what is not encoded yet.
    samples: Vec<f32>,
    /// How many of them are the past: none at the beginning.
    n_past: usize,
    /// Scaled patches that the next latent sees besides its own, `[n, 640]`.
    patches: Vec<f32>,
    n_pushed: usize,
}

impl Encoding {
    pub(in crate::codec) fn new(codec: Arc<DemoCodec>) -> Self {
        Self { codec, filter: OffsetFilter::default(), samples: Vec::new(), n_past: 0, patches: Vec::new(), n_pushed: 0 }
    }

    /// Frames `[n, dim]` that are complete with these samples.
    pub(in crate::codec) fn push(&mut self, samples: &[f32]) -> Result<Vec<f32>, CodecError> {
        if let Some(at) = samples.iter().position(|s| !s.is_finite()) {
            return Err(CodecError::Input(format!("sample {} is no number; the sound cannot be encoded", self.n_pushed + at)));
        }
        self.n_pushed += samples.len();
        self.samples.extend(samples.iter().map(|&s| self.filter.next(s)));
        let mut frames = Vec::new();
        while self.samples.len() - self.n_past >= CHUNK * HOP_SAMPLES {
            frames.extend(self.encode(CHUNK));
        }
        Ok(frames)
    }

    /// The frames that are left, the last one filled up with zeros.
    pub(in crate::codec) fn finish(mut self) -> Result<Vec<f32>, CodecError> {
        if self.n_pushed == 0 {
            return Err(CodecError::Input("there are no samples to encode".to_owned()));
        }
        let n_latents = (self.samples.len() - self.n_past).div_ceil(HOP_SAMPLES);
        Ok(if n_latents == 0 { Vec::new() } else { self.encode(n_latents) })
    }

    fn encode(&mut self, n_latents: usize) -> Vec<f32> {
        let codec = Arc::clone(&self.codec);
        let first_sample = FIRST_SAMPLE + self.n_past as isize;
        let new = codec.analysis.patches_of_filtered(&self.samples, first_sample, n_latents);
        let n_done = (n_latents * HOP_SAMPLES).min(self.samples.len() - self.n_past);
        let n_past = (self.n_past + n_done).min(PAST_SAMPLES);
        self.samples.drain(..self.n_past + n_done - n_past);
        self.n_past = n_past;

        let scale = codec.weights.header.scale;
        self.patches.extend(new.iter().map(|v| v / scale));
        let n_seen = self.patches.len() / PATCH - n_latents;
        let mut frames = codec.latents_of_patches(&self.patches);
        frames.drain(..n_seen * codec.dim());
        let n_kept = codec.weights.header.config.network.encoder_past().min(n_seen + n_latents);
        self.patches.drain(..self.patches.len() - n_kept * PATCH);
        frames
    }
}
