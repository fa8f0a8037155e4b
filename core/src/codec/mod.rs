//! Codecs: sound to continuous latents and back.
//!
//! A codec is one variant of [`Codec`] or, where it is a stack of known layers, one of [`CodecKind`], and one file (or folder) of its
//! own. Latents of one codec are never decoded by another: callers compare [`Codec::tag`] with the store's.

mod calm;
pub mod demo;
mod encodec;
mod kind;
mod mimi;
mod neural;
mod pieces;
mod recording;
mod stream;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use crate::audio::AudioClip;
use crate::job::{Cancel, Cancelled, JobCtx};
use crate::latents::{CodecTag, Latents};
use neural::device::Place;

pub use demo::DemoCodec;
pub use kind::{CodecKind, CodecOptions, EncodecFrames, EndPadding, Gelu, Tap};
pub use neural::{NeuralCodec, StageOutput};
pub use pieces::Pieces;
pub use recording::{Recording, RecordingError};
pub use stream::{DecodeStream, EncodeStream};

/// Any codec that can be opened.
#[derive(Clone, Debug)]
pub enum Codec {
    /// The embedded 12.5 Hz × 64 codec.
    Demo(Arc<DemoCodec>),
    /// Mimi, EnCodec or CALM's VAE.
    Neural(Arc<NeuralCodec>),
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
    /// A device that does not compute what the processor does.
    #[error("{0}")]
    Device(String),
    /// Stopped.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// Indices into the codebooks of a residual quantizer, `[n_frames, n_levels]` row-major, coarse levels first.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Codes {
    /// Indices, frame after frame.
    pub values: Vec<u32>,
    /// Levels of one frame.
    pub n_levels: usize,
}

impl Codec {
    /// The codec whose weights are compiled in.
    pub fn embedded() -> Result<Self, CodecError> {
        Ok(Self::Demo(Arc::new(DemoCodec::embedded()?)))
    }

    /// The codec whose weights are in a safetensors file: the demo's own, Mimi as transformers or moshi name it, EnCodec as transformers
    /// names it, CALM's VAE as pocket-tts does. Peak memory is the weights in f32 and one tensor.
    pub fn open(kind: CodecKind, weights: &Path, options: &CodecOptions) -> Result<Self, CodecError> {
        match kind {
            CodecKind::Demo => {
                let name = weights.display().to_string();
                let bytes = std::fs::read(weights).map_err(|e| CodecError::Weights(format!("{name}: cannot be read ({e})")))?;
                Ok(Self::Demo(Arc::new(DemoCodec::from_bytes(&bytes, &name)?)))
            }
            CodecKind::Mimi | CodecKind::Encodec | CodecKind::Calm => {
                Ok(Self::Neural(Arc::new(NeuralCodec::open(kind, weights, options)?)))
            }
        }
    }

    /// The same with whole sounds coded by burn on the device of `job`, which is told what that takes; streams, and the demo codec, stay on
    /// the processor, where wholes go too should the device be lost. One that does not compute what the processor does is an error of
    /// the first whole.
    #[must_use]
    pub fn on(&self, job: &JobCtx) -> Self {
        match self {
            Self::Demo(_) => self.clone(),
            Self::Neural(codec) => Self::Neural(Arc::new(codec.on(job))),
        }
    }

    /// Which one it is.
    pub fn kind(&self) -> CodecKind {
        match self {
            Self::Demo(_) => CodecKind::Demo,
            Self::Neural(codec) => codec.kind(),
        }
    }

    /// Name, tap and weights hash: what a store records.
    pub fn tag(&self) -> CodecTag {
        match self {
            Self::Demo(codec) => codec.tag(),
            Self::Neural(codec) => codec.tag(),
        }
    }

    /// Rate of the sound it takes and gives.
    pub fn sample_rate_hz(&self) -> u32 {
        match self {
            Self::Demo(codec) => codec.sample_rate_hz(),
            Self::Neural(codec) => codec.sample_rate_hz(),
        }
    }

    /// Samples per latent frame.
    pub fn hop_samples(&self) -> usize {
        match self {
            Self::Demo(codec) => codec.hop_samples(),
            Self::Neural(codec) => codec.hop_samples(),
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
            Self::Neural(codec) => codec.dim(),
        }
    }

    /// Sound (any rate, resampled) to latents.
    pub fn encode(&self, clip: &AudioClip) -> Result<Latents, CodecError> {
        match self {
            Self::Demo(codec) => codec.encode(clip),
            Self::Neural(codec) => codec.encode(clip),
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
            Self::Neural(codec) => codec.decode(latents, stop),
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
            Self::Neural(codec) => codec.decode_between(latents, changed, around, stop),
        }
    }

    /// Frames before and after a changed one whose sound may change with it; `usize::MAX` where it never ends (EnCodec's LSTM).
    pub fn reach(&self) -> [usize; 2] {
        match self {
            Self::Demo(codec) => codec.reach(),
            Self::Neural(codec) => codec.reach(),
        }
    }

    /// Sound to the indices of `n_levels` quantizer levels (all of them for `None`), for codecs that have a quantizer.
    pub fn encode_codes(&self, clip: &AudioClip, n_levels: Option<usize>) -> Result<Codes, CodecError> {
        match self {
            Self::Demo(_) => Err(CodecError::Input("the demo codec has no quantizer, so it gives no codes".to_owned())),
            Self::Neural(codec) => codec.encode_codes(clip, n_levels),
        }
    }

    /// Indices to sound.
    pub fn decode_codes(&self, codes: &Codes) -> Result<AudioClip, CodecError> {
        match self {
            Self::Demo(_) => Err(CodecError::Input("the demo codec has no quantizer, so it takes no codes".to_owned())),
            Self::Neural(codec) => codec.decode_codes(codes, &Cancel::default()),
        }
    }

    /// A stream that encodes as sound arrives.
    pub fn encoder(&self) -> Result<EncodeStream, CodecError> {
        self.encoder_at(Place::Processor)
    }

    fn encoder_at(&self, place: Place) -> Result<EncodeStream, CodecError> {
        match self {
            Self::Demo(codec) => Ok(EncodeStream::demo(Arc::clone(codec))),
            Self::Neural(codec) => Ok(EncodeStream::neural(neural::Encoding::new(Arc::clone(codec), place)?)),
        }
    }

    /// What `work` gives where wholes are coded; it starts over on the processor where the device is lost.
    fn wherever<T>(&self, mut work: impl FnMut(Place) -> T) -> T {
        match self {
            Self::Demo(_) => work(Place::Processor),
            Self::Neural(codec) => codec.wherever(work),
        }
    }

    /// A stream that decodes as latents arrive.
    pub fn decoder(&self) -> DecodeStream {
        match self {
            Self::Demo(codec) => DecodeStream::demo(Arc::clone(codec)),
            Self::Neural(codec) => DecodeStream::neural(neural::Decoding::new(Arc::clone(codec))),
        }
    }

    /// A stream whose sound from frame `first` on is that of all `latents`, and the frame that it takes and gives first: as far before it
    /// as the sound depends on. Given up as soon as `stop` says so.
    pub fn decoder_at(&self, latents: &Latents, first: usize, stop: &Cancel) -> Result<(DecodeStream, usize), CodecError> {
        match self {
            Self::Demo(codec) => Ok((DecodeStream::demo(Arc::clone(codec)), first.saturating_sub(codec.reach().iter().sum()))),
            Self::Neural(codec) => {
                let (decoding, next) = neural::Decoding::at(Arc::clone(codec), latents, first, stop)?;
                Ok((DecodeStream::neural(decoding), next))
            }
        }
    }
}
