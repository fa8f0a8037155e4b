//! Codecs of convolutions, transformers and LSTMs, at the speed of the processor's products.
//!
//! They run on plain row-major buffers `[frames, channels]` and packed layers of `driftscope-numerics`, not on tensors: a causal
//! convolution is one product whose rows are overlapping windows of its input, and a transposed one is another, so nothing is unfolded.
//! CALM's decoder runs at three quarters of the products that two cores can do, whole or in steps of sixteen frames
//! (`core/benches/codecs.rs`).
//! Streaming is the only implementation: a whole sound is pushed through in pieces, and its end is padded. On a GPU the same layers are
//! burn's tensors ([`tensors`]), made of the packed ones.

pub(super) mod config;
pub(super) mod conv;
mod decoding;
pub(super) mod device;
mod encoding;
mod grouping;
pub(super) mod lstm;
pub(super) mod quantize;
mod residual;
pub(super) mod seanet;
pub(super) mod stack;
mod tensors;
pub(super) mod transformer;
pub(super) mod weights;

use std::path::Path;
use std::sync::{Arc, Mutex};

use driftscope_numerics::dense::Dense;

use super::{CodecError, CodecKind, CodecOptions, EncodecFrames, EndPadding, Gelu, Tap, calm, encodec, mimi};
use crate::job::JobCtx;
use crate::latents::CodecTag;
use decoding::Past;
use device::OnDevice;
use grouping::GROUP;
use quantize::Quantizer;
use stack::Stack;

pub(super) use decoding::Decoding;
pub(super) use encoding::Encoding;

/// Latent frames that a whole is coded in: enough for the products near the latents, little memory near the sound.
const FRAMES_AT_ONCE: usize = 64;

/// One direction of a codec, or why it is not there.
#[derive(Debug)]
pub(super) enum Side {
    Present(Stack),
    Absent(&'static str),
}

/// What a file of weights becomes.
#[derive(Debug)]
pub(super) struct Parts {
    pub(super) encoder: Side,
    pub(super) decoder: Stack,
    pub(super) quantizer: Option<Quantizer>,
    /// From latents to what the decoder takes, where they differ.
    pub(super) projection: Option<Dense>,
    /// Mean and deviation of the latents, where the file has them.
    pub(super) normalization: Option<[Vec<f32>; 2]>,
    pub(super) latent_dim: usize,
    pub(super) hop_samples: usize,
    pub(super) sample_rate_hz: u32,
    /// Frames at the start of which the sound depends on later ones.
    pub(super) mirrored_frames: usize,
    pub(super) hash: String,
}

/// What one layer makes of a sound or of latents.
#[derive(Clone, Debug, PartialEq)]
pub struct StageOutput {
    /// Name of the layer as in the weights of transformers; activations are counted as layers and done by the layer before them.
    pub name: String,
    /// Values of a frame.
    pub dim: usize,
    /// `[n, dim]`.
    pub values: Vec<f32>,
}

/// Mimi, EnCodec or CALM's VAE with its weights loaded.
#[derive(Debug)]
pub struct NeuralCodec {
    kind: CodecKind,
    parts: Arc<Parts>,
    options: CodecOptions,
    /// Where wholes are coded, if not on the processor.
    device: Option<OnDevice>,
    /// What was last decoded from the middle on.
    past: Mutex<Option<Past>>,
}

impl NeuralCodec {
    pub(super) fn open(kind: CodecKind, weights: &Path, options: &CodecOptions) -> Result<Self, CodecError> {
        let parts = match kind {
            CodecKind::Mimi => mimi::load(weights, options)?,
            CodecKind::Encodec => encodec::load(weights, options)?,
            CodecKind::Calm => calm::load(weights, options)?,
            CodecKind::Demo => return Err(CodecError::Input("the demo codec is no stack of layers".to_owned())),
        };
        let codec = Self { kind, parts: Arc::new(parts), options: options.clone(), device: None, past: Mutex::default() };
        codec.check_tap()?;
        Ok(codec)
    }

    /// The same with wholes coded on the device of `job`.
    pub(super) fn on(&self, job: &JobCtx) -> Self {
        let device = Some(OnDevice::new(job));
        Self { kind: self.kind, parts: Arc::clone(&self.parts), options: self.options.clone(), device, past: Mutex::default() }
    }

    fn check_tap(&self) -> Result<(), CodecError> {
        let Parts { quantizer, projection, normalization, .. } = &*self.parts;
        let possible = match self.options.tap {
            Tap::Continuous => true,
            Tap::Dequantized => quantizer.is_some(),
            Tap::Projected => projection.is_some() || quantizer.as_ref().is_some_and(Quantizer::projects),
            Tap::Normalized => normalization.is_some(),
        };
        if !possible {
            let message =
                format!("the {} codec has no {} latents; the continuous ones are always there", self.kind, self.options.tap.name());
            return Err(CodecError::Input(message));
        }
        if self.options.gelu.is_some() && self.kind.gelu().is_none() {
            return Err(CodecError::Input(format!("the {} codec has no transformers, so there is no GELU to choose", self.kind)));
        }
        if self.kind != CodecKind::Encodec && self.options.frames != EncodecFrames::Native {
            return Err(CodecError::Input(format!(
                "the {} codec has its own 12.5 Hz frames; only those of EnCodec are grouped",
                self.kind
            )));
        }
        Ok(())
    }

    pub(super) fn kind(&self) -> CodecKind {
        self.kind
    }

    pub(super) fn tag(&self) -> CodecTag {
        let frames = match self.options.frames {
            EncodecFrames::Native => "",
            EncodecFrames::MeanRepeated => ", mean of 6, repeated",
            EncodecFrames::MeanInterpolated => ", mean of 6, interpolated",
            EncodecFrames::Stacked => ", 6 stacked",
        };
        let end = if self.options.end == EndPadding::Layers { ", layers padded" } else { "" };
        let gelu = match self.options.gelu.filter(|gelu| self.kind.gelu().is_some_and(|own| own != *gelu)) {
            None => "",
            Some(Gelu::Exact) => ", exact gelu",
            Some(Gelu::Tanh) => ", tanh gelu",
        };
        let tap = format!("{}{frames}{end}{gelu}", self.options.tap.name());
        CodecTag { codec: self.kind.to_string(), tap, weights_hash: self.parts.hash.clone() }
    }

    pub(super) fn sample_rate_hz(&self) -> u32 {
        self.parts.sample_rate_hz
    }

    pub(super) fn hop_samples(&self) -> usize {
        self.parts.hop_samples * self.group()
    }

    /// Native frames in one of ours.
    fn group(&self) -> usize {
        if self.options.frames == EncodecFrames::Native { 1 } else { GROUP }
    }

    /// Values of a native frame.
    fn native_dim(&self) -> usize {
        let Parts { quantizer, projection, latent_dim, .. } = &*self.parts;
        match (self.options.tap, projection, quantizer) {
            (Tap::Projected, Some(projection), _) => projection.n_out(),
            (Tap::Projected, None, Some(quantizer)) => quantizer.projected_dim(),
            _ => *latent_dim,
        }
    }

    pub(super) fn dim(&self) -> usize {
        if self.options.frames == EncodecFrames::Stacked { GROUP * self.native_dim() } else { self.native_dim() }
    }

    pub(super) fn reach(&self) -> [usize; 2] {
        let hop = self.hop_samples();
        let interpolated = usize::from(self.options.frames == EncodecFrames::MeanInterpolated);
        let before = self.parts.mirrored_frames.div_ceil(self.group()) + interpolated;
        // Of the samples behind the first of the changed frame; a native frame may lie at the end of one of ours.
        let after = self.parts.decoder.reach().saturating_add((self.group() - 1) * self.parts.hop_samples) / hop;
        [before, after.saturating_add(interpolated)]
    }

    fn latents_in_80_ms(&self) -> usize {
        (self.parts.sample_rate_hz as usize * 2 / 25 / self.parts.hop_samples).max(1)
    }

    fn quantizer(&self) -> Result<&Quantizer, CodecError> {
        let none = || CodecError::Input(format!("the {} codec has no quantizer, so it has no codes", self.kind));
        self.parts.quantizer.as_ref().ok_or_else(none)
    }

    fn check_levels(&self, n_levels: usize) -> Result<(), CodecError> {
        let all = self.quantizer()?.n_levels();
        if (1..=all).contains(&n_levels) {
            return Ok(());
        }
        Err(CodecError::Input(format!("the {} codec has {all} levels of codes, and {n_levels} were asked for", self.kind)))
    }
}

fn product(x: &[f32], layer: &Dense) -> Vec<f32> {
    let mut out = vec![0.0; x.len() / layer.n_in() * layer.n_out()];
    layer.forward(x, &mut out);
    out
}
