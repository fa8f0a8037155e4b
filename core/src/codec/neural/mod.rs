//! Codecs of convolutions, transformers and LSTMs, at the speed of the processor's products.
//!
//! They run on plain row-major buffers `[frames, channels]` and packed layers of `driftscope-numerics`, not on tensors: a causal
//! convolution is one product whose rows are overlapping windows of its input, and a transposed one is another, so nothing is unfolded.
//! CALM's decoder runs at three quarters of the products that two cores can do, whole or in steps of sixteen frames
//! (`core/benches/codecs.rs`).
//! Streaming is the only implementation: a whole sound is pushed through in pieces, and its end is padded.

pub(super) mod config;
pub(super) mod conv;
mod grouping;
pub(super) mod lstm;
pub(super) mod quantize;
mod residual;
pub(super) mod seanet;
pub(super) mod stack;
pub(super) mod transformer;
pub(super) mod weights;

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use driftscope_numerics::dense::Dense;

use super::{CodecError, CodecKind, CodecOptions, Codes, EncodecFrames, EndPadding, Tap, calm, encodec, mimi};
use crate::audio::{self, AudioClip};
use crate::job::Cancel;
use crate::latents::{CodecTag, Latents};
use grouping::{GROUP, Grouping, Ungrouping};
use quantize::Quantizer;
use stack::{Flow, Stack};

/// Latent frames that a whole is coded in: enough for the products near the latents, little memory near the sound.
const FRAMES_AT_ONCE: usize = 64;

/// One direction of a codec, or why it is not there.
#[derive(Debug)]
pub(super) enum Side {
    Present(Stack),
    Absent(&'static str),
}

/// What becomes of the encoder's output.
type Tapped = fn(&NeuralCodec, Vec<f32>) -> Vec<f32>;

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
    parts: Parts,
    options: CodecOptions,
}

impl NeuralCodec {
    pub(super) fn open(kind: CodecKind, weights: &Path, options: &CodecOptions) -> Result<Self, CodecError> {
        let parts = match kind {
            CodecKind::Mimi => mimi::load(weights, options)?,
            CodecKind::Encodec => encodec::load(weights, options)?,
            CodecKind::Calm => calm::load(weights, options)?,
            CodecKind::Demo => return Err(CodecError::Input("the demo codec is no stack of layers".to_owned())),
        };
        let codec = Self { kind, parts, options: options.clone() };
        codec.check_tap()?;
        Ok(codec)
    }

    fn check_tap(&self) -> Result<(), CodecError> {
        let Parts { quantizer, projection, normalization, .. } = &self.parts;
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
        let tap = format!("{}{frames}", self.options.tap.name());
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
        let Parts { quantizer, projection, latent_dim, .. } = &self.parts;
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

    pub(super) fn encode(&self, clip: &AudioClip) -> Result<Latents, CodecError> {
        let values = self.encode_with(clip, self.options.frames, Self::tapped)?;
        let frame_rate_hz = f64::from(self.sample_rate_hz()) / self.hop_samples() as f64;
        Ok(Latents { values, dim: self.dim(), frame_rate_hz })
    }

    fn encode_with(&self, clip: &AudioClip, frames: EncodecFrames, tap: Tapped) -> Result<Vec<f32>, CodecError> {
        let clip = audio::resample(clip, self.sample_rate_hz()).map_err(|e| CodecError::Input(e.to_string()))?;
        let mut state = self.start_encoding(frames)?;
        let mut values = Vec::new();
        for samples in clip.samples.chunks(FRAMES_AT_ONCE * self.parts.hop_samples * self.latents_in_80_ms()) {
            values.extend(self.encode_more(&mut state, samples, tap)?);
        }
        values.extend(self.encode_rest(&mut state, tap)?);
        Ok(values)
    }

    fn latents_in_80_ms(&self) -> usize {
        (self.parts.sample_rate_hz as usize * 2 / 25 / self.parts.hop_samples).max(1)
    }

    fn encoder(&self) -> Result<&Stack, CodecError> {
        match &self.parts.encoder {
            Side::Present(encoder) => Ok(encoder),
            Side::Absent(why) => Err(CodecError::Weights(format!("the {} codec cannot encode with these weights: {why}", self.kind))),
        }
    }

    fn start_encoding(&self, frames: EncodecFrames) -> Result<EncodeState, CodecError> {
        let flow = self.encoder()?.start(0);
        let whole = match (frames, self.options.end) {
            (EncodecFrames::Native, EndPadding::Waveform) => self.parts.hop_samples,
            (EncodecFrames::Native, EndPadding::Layers) => 1,
            _ => self.parts.hop_samples * GROUP,
        };
        Ok(EncodeState { flow, grouping: Grouping::new(frames, self.native_dim()), n_samples: 0, whole })
    }

    fn encode_more(&self, state: &mut EncodeState, samples: &[f32], tap: Tapped) -> Result<Vec<f32>, CodecError> {
        if let Some(at) = samples.iter().position(|s| !s.is_finite()) {
            return Err(CodecError::Input(format!("sample {} is no number; the sound cannot be encoded", state.n_samples + at)));
        }
        let mut frames = Vec::new();
        self.encoder()?.push(&mut state.flow, samples, &mut frames);
        state.n_samples += samples.len();
        Ok(state.grouping.push(tap(self, frames)))
    }

    fn encode_rest(&self, state: &mut EncodeState, tap: Tapped) -> Result<Vec<f32>, CodecError> {
        if state.n_samples == 0 {
            return Err(CodecError::Input("there are no samples to encode".to_owned()));
        }
        let mut frames = Vec::new();
        let silence = vec![0.0; state.n_samples.next_multiple_of(state.whole) - state.n_samples];
        self.encoder()?.push(&mut state.flow, &silence, &mut frames);
        self.encoder()?.finish(&mut state.flow, &mut frames);
        Ok(state.grouping.push(tap(self, frames)))
    }

    /// The encoder's output `[n, latent_dim]` to the latents of the tap.
    fn tapped(&self, latents: Vec<f32>) -> Vec<f32> {
        let Parts { quantizer, projection, normalization, latent_dim, .. } = &self.parts;
        match (self.options.tap, quantizer, projection, normalization) {
            (Tap::Dequantized, Some(quantizer), ..) => {
                let n_levels = quantizer.n_levels();
                quantizer.decode(&quantizer.encode(&latents, n_levels), n_levels)
            }
            (Tap::Projected, _, Some(projection), _) => product(&latents, projection),
            (Tap::Projected, Some(quantizer), ..) => quantizer.project(&latents),
            (Tap::Normalized, _, _, Some([mean, std])) => {
                latents.chunks_exact(*latent_dim).flat_map(|z| z.iter().zip(mean).zip(std).map(|((z, m), s)| (z - m) / s)).collect()
            }
            _ => latents,
        }
    }

    /// Latents of the tap to what the decoder takes.
    fn decoder_input(&self, latents: Vec<f32>) -> Vec<f32> {
        let Parts { quantizer, projection, normalization, latent_dim, .. } = &self.parts;
        let latents = match (self.options.tap, quantizer, projection, normalization) {
            (Tap::Projected, _, Some(_), _) => return latents,
            (Tap::Projected, Some(quantizer), ..) => return quantizer.unproject(&latents),
            (Tap::Normalized, _, _, Some([mean, std])) => {
                latents.chunks_exact(*latent_dim).flat_map(|z| z.iter().zip(mean).zip(std).map(|((z, m), s)| z * s + m)).collect()
            }
            _ => latents,
        };
        match projection {
            Some(projection) => product(&latents, projection),
            None => latents,
        }
    }

    pub(super) fn decode(&self, latents: &Latents, stop: &Cancel) -> Result<AudioClip, CodecError> {
        if latents.dim != self.dim() || latents.n_frames() == 0 {
            let (kind, dim, n) = (self.kind, self.dim(), latents.n_frames());
            return Err(CodecError::Input(format!("the {kind} codec decodes frames of {dim} values; given are {n} of {}", latents.dim)));
        }
        let mut state = self.start_decoding();
        let mut samples = Vec::with_capacity(latents.n_frames() * self.hop_samples());
        self.decode_on(&mut state, &latents.values, &mut samples, stop)?;
        Ok(AudioClip { samples, sample_rate_hz: self.sample_rate_hz() })
    }

    /// The last latents of a stream.
    fn decode_on(&self, state: &mut DecodeState, latents: &[f32], out: &mut Vec<f32>, stop: &Cancel) -> Result<(), CodecError> {
        for frames in latents.chunks(self.n_at_once()) {
            stop.check()?;
            self.decode_more(state, frames, out)?;
        }
        stop.check()?;
        self.decode_rest(state, out);
        Ok(())
    }

    fn start_decoding(&self) -> DecodeState {
        self.start_decoding_at(0)
    }

    /// A stream whose sound from frame `first` on is that of all `latents`, and the frame that it takes and gives first.
    fn decoding_at(&self, latents: &Latents, first: usize, stop: &Cancel) -> Result<(DecodeState, usize), CodecError> {
        let [before, after] = self.reach();
        let begin = first.saturating_sub(after).saturating_sub(before);
        // Frames whose sound is made so that the convolutions have come to know the past; of those before them the memories alone do.
        let behind = (self.parts.decoder.reach_behind_memory() + (self.group() - 1) * self.parts.hop_samples) / self.hop_samples();
        let next = first.saturating_sub(behind + 2 + before);
        // Where frames wait for later ones, at a mirrored start or between two, a memory would be a frame behind.
        let waits = self.options.frames == EncodecFrames::MeanInterpolated || next <= before;
        let next = if waits { begin } else { next.max(begin) };
        let mut state = self.start_decoding_at(begin);
        for frames in latents.values[begin * latents.dim..next * latents.dim].chunks(self.n_at_once()) {
            stop.check()?;
            let native = self.native(&mut state, frames)?;
            self.parts.decoder.remember(&mut state.flow, &native);
        }
        Ok((state, next))
    }

    /// Values of the latents that are coded at once.
    fn n_at_once(&self) -> usize {
        FRAMES_AT_ONCE * self.latents_in_80_ms() / self.group() * self.dim()
    }

    /// A stream that begins with a frame.
    fn start_decoding_at(&self, first: usize) -> DecodeState {
        let ungrouping = Ungrouping::new(self.options.frames, self.native_dim());
        DecodeState { flow: self.parts.decoder.start(first * self.group()), ungrouping, n_frames: first }
    }

    fn decode_more(&self, state: &mut DecodeState, frames: &[f32], out: &mut Vec<f32>) -> Result<(), CodecError> {
        let native = self.native(state, frames)?;
        self.parts.decoder.push(&mut state.flow, &native, out);
        Ok(())
    }

    /// The next latents as the decoder takes them.
    fn native(&self, state: &mut DecodeState, frames: &[f32]) -> Result<Vec<f32>, CodecError> {
        let dim = self.dim();
        if !frames.len().is_multiple_of(dim) {
            return Err(CodecError::Input(format!("{} values are no whole frames of {dim}", frames.len())));
        }
        if let Some(at) = frames.iter().position(|v| !v.is_finite()) {
            let message = format!("latent frame {} holds a value that is no number; it cannot be decoded", state.n_frames + at / dim);
            return Err(CodecError::Input(message));
        }
        state.n_frames += frames.len() / dim;
        Ok(self.decoder_input(state.ungrouping.push(frames)))
    }

    fn decode_rest(&self, state: &mut DecodeState, out: &mut Vec<f32>) {
        let native = self.decoder_input(state.ungrouping.finish());
        self.parts.decoder.push(&mut state.flow, &native, out);
        self.parts.decoder.finish(&mut state.flow, out);
    }

    pub(super) fn decode_between(
        &self,
        latents: &Latents,
        changed: Range<usize>,
        around: &AudioClip,
        stop: &Cancel,
    ) -> Result<AudioClip, CodecError> {
        let (n_frames, hop, dim) = (latents.n_frames(), self.hop_samples(), self.dim());
        let [before, after] = self.reach();
        if latents.dim != dim {
            return Err(CodecError::Input(format!("the {} codec decodes frames of {dim} values; given are {}", self.kind, latents.dim)));
        }
        let mut samples = around.samples.clone();
        samples.resize(n_frames * hop, 0.0);
        // A change is heard before its own time only where the first frames are mirrored, or between two frames.
        let from = changed.start.saturating_sub(before);
        let to = changed.end.saturating_add(after).min(n_frames);
        if changed.is_empty() || from >= to {
            return Ok(AudioClip { samples, sample_rate_hz: self.sample_rate_hz() });
        }
        // Far enough ahead that the end is not an end.
        let last = to.saturating_add(before).min(n_frames);
        let (mut state, first) = self.decoding_at(latents, from, stop)?;
        let mut decoded = Vec::with_capacity((last - first) * hop);
        self.decode_on(&mut state, &latents.values[first * dim..last * dim], &mut decoded, stop)?;
        samples[from * hop..to * hop].copy_from_slice(&decoded[(from - first) * hop..(to - first) * hop]);
        Ok(AudioClip { samples, sample_rate_hz: self.sample_rate_hz() })
    }

    fn quantizer(&self) -> Result<&Quantizer, CodecError> {
        let none = || CodecError::Input(format!("the {} codec has no quantizer, so it has no codes", self.kind));
        self.parts.quantizer.as_ref().ok_or_else(none)
    }

    pub(super) fn encode_codes(&self, clip: &AudioClip, n_levels: Option<usize>) -> Result<Codes, CodecError> {
        let quantizer = self.quantizer()?;
        let n_levels = n_levels.unwrap_or(quantizer.n_levels());
        self.check_levels(n_levels)?;
        let latents = self.encode_with(clip, EncodecFrames::Native, |_, latents| latents)?;
        Ok(Codes { values: quantizer.encode(&latents, n_levels), n_levels })
    }

    fn check_levels(&self, n_levels: usize) -> Result<(), CodecError> {
        let all = self.quantizer()?.n_levels();
        if (1..=all).contains(&n_levels) {
            return Ok(());
        }
        Err(CodecError::Input(format!("the {} codec has {all} levels of codes, and {n_levels} were asked for", self.kind)))
    }

    pub(super) fn decode_codes(&self, codes: &Codes, stop: &Cancel) -> Result<AudioClip, CodecError> {
        let quantizer = self.quantizer()?;
        self.check_levels(codes.n_levels)?;
        let n_frames = codes.values.len() / codes.n_levels;
        if n_frames == 0 || !codes.values.len().is_multiple_of(codes.n_levels) {
            return Err(CodecError::Input(format!("{} codes are no whole frames of {}", codes.values.len(), codes.n_levels)));
        }
        if let Some(code) = codes.values.iter().find(|c| **c as usize >= quantizer.size()) {
            return Err(CodecError::Input(format!("code {code} is not in a codebook of {} entries", quantizer.size())));
        }
        let mut flow = self.parts.decoder.start(0);
        let mut samples = Vec::with_capacity(n_frames * self.parts.hop_samples);
        for codes_at_once in codes.values.chunks(FRAMES_AT_ONCE * self.latents_in_80_ms() * codes.n_levels) {
            stop.check()?;
            self.parts.decoder.push(&mut flow, &quantizer.decode(codes_at_once, codes.n_levels), &mut samples);
        }
        self.parts.decoder.finish(&mut flow, &mut samples);
        Ok(AudioClip { samples, sample_rate_hz: self.sample_rate_hz() })
    }

    /// What every layer of the encoder makes of samples at the codec's rate: for comparing with a reference, layer by layer. Sound is
    /// filled up as the options say.
    pub fn encoder_stages(&self, samples: &[f32]) -> Result<Vec<StageOutput>, CodecError> {
        let mut samples = samples.to_vec();
        samples.resize(samples.len().next_multiple_of(self.start_encoding(self.options.frames)?.whole), 0.0);
        Ok(self.encoder()?.stages(&samples))
    }

    /// What every layer of the decoder makes of latents of the tap, in native frames.
    pub fn decoder_stages(&self, latents: &[f32]) -> Vec<StageOutput> {
        self.parts.decoder.stages(&self.decoder_input(latents.to_vec()))
    }
}

fn product(x: &[f32], layer: &Dense) -> Vec<f32> {
    let mut out = vec![0.0; x.len() / layer.n_in() * layer.n_out()];
    layer.forward(x, &mut out);
    out
}

#[derive(Clone, Debug)]
struct EncodeState {
    flow: Flow,
    grouping: Grouping,
    n_samples: usize,
    /// Samples of which the sound is filled up to a multiple.
    whole: usize,
}

#[derive(Clone, Debug)]
struct DecodeState {
    flow: Flow,
    ungrouping: Ungrouping,
    n_frames: usize,
}

/// Encoding as sound arrives.
#[derive(Debug)]
pub(super) struct Encoding {
    codec: Arc<NeuralCodec>,
    state: EncodeState,
}

impl Encoding {
    pub(super) fn new(codec: Arc<NeuralCodec>) -> Result<Self, CodecError> {
        Ok(Self { state: codec.start_encoding(codec.options.frames)?, codec })
    }

    pub(super) fn push(&mut self, samples: &[f32]) -> Result<Vec<f32>, CodecError> {
        self.codec.encode_more(&mut self.state, samples, NeuralCodec::tapped)
    }

    pub(super) fn finish(mut self) -> Result<Vec<f32>, CodecError> {
        self.codec.encode_rest(&mut self.state, NeuralCodec::tapped)
    }
}

/// Decoding as latents arrive.
#[derive(Debug)]
pub(super) struct Decoding {
    codec: Arc<NeuralCodec>,
    state: DecodeState,
}

impl Decoding {
    pub(super) fn new(codec: Arc<NeuralCodec>) -> Self {
        Self { state: codec.start_decoding(), codec }
    }

    /// The sound from frame `first` on is that of all `latents`; also the frame that is taken and given first.
    pub(super) fn at(codec: Arc<NeuralCodec>, latents: &Latents, first: usize, stop: &Cancel) -> Result<(Self, usize), CodecError> {
        let (state, next) = codec.decoding_at(latents, first, stop)?;
        Ok((Self { codec, state }, next))
    }

    pub(super) fn push(&mut self, frames: &[f32]) -> Result<Vec<f32>, CodecError> {
        let mut samples = Vec::new();
        self.codec.decode_more(&mut self.state, frames, &mut samples)?;
        Ok(samples)
    }

    pub(super) fn finish(mut self) -> Result<Vec<f32>, CodecError> {
        let mut samples = Vec::new();
        self.codec.decode_rest(&mut self.state, &mut samples);
        Ok(samples)
    }
}
