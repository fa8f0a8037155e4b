//! Coding as sound or latents arrive.
//!
//! A stream gives the frames or samples that are complete, and the rest when it is finished: together exactly what the whole gives at
//! once, however it is cut. The demo codec's phases are found for a whole excerpt, so decoding with it collects and works when finished.

use std::sync::Arc;

use super::neural::{Decoding, Encoding};
use super::{CodecError, DemoCodec, demo};
use crate::job::Cancel;
use crate::latents::Latents;

/// Sound to latents as it arrives.
#[derive(Debug)]
pub struct EncodeStream(Encoder);

#[derive(Debug)]
enum Encoder {
    Demo(Box<demo::Encoding>),
    Neural(Box<Encoding>),
}

impl EncodeStream {
    pub(super) fn demo(codec: Arc<DemoCodec>) -> Self {
        Self(Encoder::Demo(Box::new(demo::Encoding::new(codec))))
    }

    pub(super) fn neural(encoding: Encoding) -> Self {
        Self(Encoder::Neural(Box::new(encoding)))
    }

    /// More samples at the codec's rate; gives the frames `[n, dim]` that are complete with them, possibly none.
    pub fn push(&mut self, samples: &[f32]) -> Result<Vec<f32>, CodecError> {
        match &mut self.0 {
            Encoder::Demo(encoding) => encoding.push(samples),
            Encoder::Neural(encoding) => encoding.push(samples),
        }
    }

    /// The frames that are left, the last one filled up.
    pub fn finish(self) -> Result<Vec<f32>, CodecError> {
        match self.0 {
            Encoder::Demo(encoding) => encoding.finish(),
            Encoder::Neural(encoding) => encoding.finish(),
        }
    }
}

/// Latents to sound as they arrive.
#[derive(Debug)]
pub struct DecodeStream(Decoder);

#[derive(Debug)]
enum Decoder {
    Demo(Arc<DemoCodec>, Vec<f32>),
    Neural(Box<Decoding>),
}

impl DecodeStream {
    pub(super) fn demo(codec: Arc<DemoCodec>) -> Self {
        Self(Decoder::Demo(codec, Vec::new()))
    }

    pub(super) fn neural(decoding: Decoding) -> Self {
        Self(Decoder::Neural(Box::new(decoding)))
    }

    /// More latents `[n, dim]`; gives the samples that are complete with them, possibly none.
    pub fn push(&mut self, frames: &[f32]) -> Result<Vec<f32>, CodecError> {
        match &mut self.0 {
            Decoder::Demo(_, collected) => {
                collected.extend_from_slice(frames);
                Ok(Vec::new())
            }
            Decoder::Neural(decoding) => decoding.push(frames),
        }
    }

    /// The samples that are left.
    pub fn finish(self) -> Result<Vec<f32>, CodecError> {
        match self.0 {
            Decoder::Demo(codec, values) => {
                let frame_rate_hz = f64::from(codec.sample_rate_hz()) / codec.hop_samples() as f64;
                let latents = Latents { values, dim: codec.dim(), frame_rate_hz };
                Ok(codec.decode(&latents, &Cancel::default())?.samples)
            }
            Decoder::Neural(decoding) => decoding.finish(),
        }
    }
}
