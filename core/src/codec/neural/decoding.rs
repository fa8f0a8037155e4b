//! Latents to sound.

use std::ops::Range;
use std::sync::Arc;

use super::device::{Direction, Place};
use super::grouping::Ungrouping;
use super::stack::Flow;
use super::{FRAMES_AT_ONCE, NeuralCodec, Parts, StageOutput, product};
use crate::audio::AudioClip;
use crate::codec::{CodecError, Codes, EncodecFrames, Tap};
use crate::job::Cancel;
use crate::latents::Latents;

impl NeuralCodec {
    /// Latents of the tap to what the decoder takes.
    fn decoder_input(&self, latents: Vec<f32>) -> Vec<f32> {
        let Parts { quantizer, projection, normalization, latent_dim, .. } = &*self.parts;
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

    pub(in crate::codec) fn decode(&self, latents: &Latents, stop: &Cancel) -> Result<AudioClip, CodecError> {
        if latents.dim != self.dim() || latents.n_frames() == 0 {
            let (kind, dim, n) = (self.kind, self.dim(), latents.n_frames());
            return Err(CodecError::Input(format!("the {kind} codec decodes frames of {dim} values; given are {n} of {}", latents.dim)));
        }
        self.wherever(|place| {
            let mut state = self.start_decoding(place, 0)?;
            let mut samples = Vec::with_capacity(latents.n_frames() * self.hop_samples());
            self.decode_on(&mut state, &latents.values, &mut samples, stop)?;
            Ok(AudioClip { samples, sample_rate_hz: self.sample_rate_hz() })
        })
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

    /// A stream whose sound from frame `first` on is that of all `latents`, and the frame that it takes and gives first.
    fn decoding_at(&self, place: Place, latents: &Latents, first: usize, stop: &Cancel) -> Result<(DecodeState, usize), CodecError> {
        let [before, after] = self.reach();
        let begin = first.saturating_sub(after).saturating_sub(before);
        // Frames whose sound is made so that the convolutions have come to know the past; of those before them the memories alone do.
        let behind = (self.parts.decoder.reach_behind_memory() + (self.group() - 1) * self.parts.hop_samples) / self.hop_samples();
        let next = first.saturating_sub(behind + 2 + before);
        // Where frames wait for later ones, at a mirrored start or between two, a memory would be a frame behind; a device runs through
        // everything in pieces of one length.
        let waits = self.options.frames == EncodecFrames::MeanInterpolated || next <= before || place == Place::Device;
        let next = if waits { begin } else { next.max(begin) };
        let past = &latents.values[begin * latents.dim..next * latents.dim];
        if past.is_empty() {
            return Ok((self.start_decoding(place, begin)?, next));
        }
        if let Some(known) = self.past.lock().ok().as_deref().and_then(Option::as_ref).filter(|known| known.is_of(begin, past)) {
            return Ok((known.state.clone(), next));
        }
        let mut state = self.start_decoding(place, begin)?;
        for frames in past.chunks(self.n_at_once()) {
            stop.check()?;
            let native = self.native(&mut state, frames)?;
            self.parts.decoder.remember(&mut state.flow, &native);
        }
        if let Ok(mut known) = self.past.lock() {
            *known = Some(Past { begin, latents: past.to_vec(), state: state.clone() });
        }
        Ok((state, next))
    }

    /// Values of the latents that are coded at once.
    fn n_at_once(&self) -> usize {
        FRAMES_AT_ONCE * self.latents_in_80_ms() / self.group() * self.dim()
    }

    /// A stream that begins with a frame.
    fn start_decoding(&self, place: Place, first: usize) -> Result<DecodeState, CodecError> {
        let ungrouping = Ungrouping::new(self.options.frames, self.native_dim());
        let flow = self.start(place, Direction::Decode, &self.parts.decoder, first * self.group())?;
        Ok(DecodeState { flow, ungrouping, n_frames: first })
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

    pub(in crate::codec) fn decode_between(
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
        let (decoded, first) = self.wherever(|place| {
            let (mut state, first) = self.decoding_at(place, latents, from, stop)?;
            let mut decoded = Vec::with_capacity((last - first) * hop);
            self.decode_on(&mut state, &latents.values[first * dim..last * dim], &mut decoded, stop)?;
            Ok::<_, CodecError>((decoded, first))
        })?;
        samples[from * hop..to * hop].copy_from_slice(&decoded[(from - first) * hop..(to - first) * hop]);
        Ok(AudioClip { samples, sample_rate_hz: self.sample_rate_hz() })
    }

    pub(in crate::codec) fn decode_codes(&self, codes: &Codes, stop: &Cancel) -> Result<AudioClip, CodecError> {
        let quantizer = self.quantizer()?;
        self.check_levels(codes.n_levels)?;
        let n_frames = codes.values.len() / codes.n_levels;
        if n_frames == 0 || !codes.values.len().is_multiple_of(codes.n_levels) {
            return Err(CodecError::Input(format!("{} codes are no whole frames of {}", codes.values.len(), codes.n_levels)));
        }
        if let Some(code) = codes.values.iter().find(|c| **c as usize >= quantizer.size()) {
            return Err(CodecError::Input(format!("code {code} is not in a codebook of {} entries", quantizer.size())));
        }
        self.wherever(|place| {
            let mut flow = self.start(place, Direction::Decode, &self.parts.decoder, 0)?;
            let mut samples = Vec::with_capacity(n_frames * self.parts.hop_samples);
            for codes_at_once in codes.values.chunks(FRAMES_AT_ONCE * self.latents_in_80_ms() * codes.n_levels) {
                stop.check()?;
                self.parts.decoder.push(&mut flow, &quantizer.decode(codes_at_once, codes.n_levels), &mut samples);
            }
            self.parts.decoder.finish(&mut flow, &mut samples);
            Ok(AudioClip { samples, sample_rate_hz: self.sample_rate_hz() })
        })
    }

    /// What every layer of the decoder makes of latents of the tap, in native frames.
    pub fn decoder_stages(&self, latents: &[f32]) -> Vec<StageOutput> {
        self.parts.decoder.stages(&self.decoder_input(latents.to_vec()))
    }
}

#[derive(Clone, Debug)]
struct DecodeState {
    flow: Flow,
    ungrouping: Ungrouping,
    n_frames: usize,
}

/// A past that a stream came to know: the next change is often where the last one was.
#[derive(Debug)]
pub(super) struct Past {
    /// The frame that it begins with.
    begin: usize,
    latents: Vec<f32>,
    state: DecodeState,
}

impl Past {
    /// Whether it is that of these latents, to the bit.
    fn is_of(&self, begin: usize, latents: &[f32]) -> bool {
        self.begin == begin && bytemuck::cast_slice::<f32, u8>(&self.latents) == bytemuck::cast_slice::<f32, u8>(latents)
    }
}

/// Decoding as latents arrive.
#[derive(Debug)]
pub(in crate::codec) struct Decoding {
    codec: Arc<NeuralCodec>,
    state: DecodeState,
}

impl Decoding {
    pub(in crate::codec) fn new(codec: Arc<NeuralCodec>) -> Self {
        Self { state: codec.start_decoding(Place::Processor, 0).expect("a processor is there"), codec }
    }

    /// The sound from frame `first` on is that of all `latents`; also the frame that is taken and given first.
    pub(in crate::codec) fn at(
        codec: Arc<NeuralCodec>,
        latents: &Latents,
        first: usize,
        stop: &Cancel,
    ) -> Result<(Self, usize), CodecError> {
        let (state, next) = codec.decoding_at(Place::Processor, latents, first, stop)?;
        Ok((Self { codec, state }, next))
    }

    pub(in crate::codec) fn push(&mut self, frames: &[f32]) -> Result<Vec<f32>, CodecError> {
        let mut samples = Vec::new();
        self.codec.decode_more(&mut self.state, frames, &mut samples)?;
        Ok(samples)
    }

    pub(in crate::codec) fn finish(mut self) -> Result<Vec<f32>, CodecError> {
        let mut samples = Vec::new();
        self.codec.decode_rest(&mut self.state, &mut samples);
        Ok(samples)
    }
}
