//! Codecs of convolutions, transformers and LSTMs, on plain channel-last buffers.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use super::{CodecError, CodecKind, CodecOptions, Codes};
use crate::audio::AudioClip;
use crate::job::Cancel;
use crate::latents::{CodecTag, Latents};

/// A codec with its weights loaded.
#[derive(Debug)]
pub struct NeuralCodec {
    kind: CodecKind,
}

fn unfinished<T>() -> Result<T, CodecError> {
    Err(CodecError::Weights("this codec is not there yet".to_owned()))
}

impl NeuralCodec {
    pub(super) fn open(_kind: CodecKind, _weights: &Path, _options: &CodecOptions) -> Result<Self, CodecError> {
        unfinished()
    }

    pub(super) fn kind(&self) -> CodecKind {
        self.kind
    }

    pub(super) fn tag(&self) -> CodecTag {
        CodecTag { codec: self.kind.to_string(), tap: String::new(), weights_hash: String::new() }
    }

    pub(super) fn sample_rate_hz(&self) -> u32 {
        24_000
    }

    pub(super) fn hop_samples(&self) -> usize {
        1920
    }

    pub(super) fn dim(&self) -> usize {
        512
    }

    pub(super) fn reach(&self) -> [usize; 2] {
        [0, 0]
    }

    pub(super) fn encode(&self, _clip: &AudioClip) -> Result<Latents, CodecError> {
        unfinished()
    }

    pub(super) fn decode(&self, _latents: &Latents, _stop: &Cancel) -> Result<AudioClip, CodecError> {
        unfinished()
    }

    pub(super) fn decode_between(
        &self,
        _latents: &Latents,
        _changed: Range<usize>,
        _around: &AudioClip,
        _stop: &Cancel,
    ) -> Result<AudioClip, CodecError> {
        unfinished()
    }

    pub(super) fn encode_codes(&self, _clip: &AudioClip, _n_levels: Option<usize>) -> Result<Codes, CodecError> {
        unfinished()
    }

    pub(super) fn decode_codes(&self, _codes: &Codes, _stop: &Cancel) -> Result<AudioClip, CodecError> {
        unfinished()
    }
}

/// Encoding as sound arrives.
#[derive(Debug)]
pub(super) struct Encoding;

impl Encoding {
    pub(super) fn new(_codec: Arc<NeuralCodec>) -> Result<Self, CodecError> {
        unfinished()
    }

    pub(super) fn push(&mut self, _samples: &[f32]) -> Result<Vec<f32>, CodecError> {
        unfinished()
    }

    pub(super) fn finish(self) -> Result<Vec<f32>, CodecError> {
        unfinished()
    }
}

/// Decoding as latents arrive.
#[derive(Debug)]
pub(super) struct Decoding;

impl Decoding {
    pub(super) fn new(_codec: Arc<NeuralCodec>) -> Self {
        Self
    }

    pub(super) fn push(&mut self, _frames: &[f32]) -> Result<Vec<f32>, CodecError> {
        unfinished()
    }

    pub(super) fn finish(self) -> Result<Vec<f32>, CodecError> {
        unfinished()
    }
}
