//! Sound to latents.

use std::sync::Arc;

use super::device::{Direction, Place};
use super::grouping::{GROUP, Grouping};
use super::stack::{Flow, Stack};
use super::{FRAMES_AT_ONCE, NeuralCodec, Parts, Side, StageOutput, product};
use crate::audio::{self, AudioClip};
use crate::codec::{CodecError, Codes, EncodecFrames, EndPadding, Tap};
use crate::latents::Latents;

/// What becomes of the encoder's output.
type Tapped = fn(&NeuralCodec, Vec<f32>) -> Vec<f32>;

impl NeuralCodec {
    pub(in crate::codec) fn encode(&self, clip: &AudioClip) -> Result<Latents, CodecError> {
        let values = self.encode_with(clip, self.options.frames, Self::tapped)?;
        let frame_rate_hz = f64::from(self.sample_rate_hz()) / self.hop_samples() as f64;
        Ok(Latents { values, dim: self.dim(), frame_rate_hz })
    }

    fn encode_with(&self, clip: &AudioClip, frames: EncodecFrames, tap: Tapped) -> Result<Vec<f32>, CodecError> {
        let clip = audio::resample(clip, self.sample_rate_hz()).map_err(|e| CodecError::Input(e.to_string()))?;
        self.wherever(|place| {
            let mut state = self.start_encoding(frames, place)?;
            let mut values = Vec::new();
            for samples in clip.samples.chunks(FRAMES_AT_ONCE * self.parts.hop_samples * self.latents_in_80_ms()) {
                values.extend(self.encode_more(&mut state, samples, tap)?);
            }
            values.extend(self.encode_rest(&mut state, tap)?);
            Ok(values)
        })
    }

    fn encoder(&self) -> Result<&Stack, CodecError> {
        match &self.parts.encoder {
            Side::Present(encoder) => Ok(encoder),
            Side::Absent(why) => Err(CodecError::Weights(format!("the {} codec cannot encode with these weights: {why}", self.kind))),
        }
    }

    fn start_encoding(&self, frames: EncodecFrames, place: Place) -> Result<EncodeState, CodecError> {
        let flow = self.start(place, Direction::Encode, self.encoder()?, 0)?;
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
        let Parts { quantizer, projection, normalization, latent_dim, .. } = &*self.parts;
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

    pub(in crate::codec) fn encode_codes(&self, clip: &AudioClip, n_levels: Option<usize>) -> Result<Codes, CodecError> {
        let quantizer = self.quantizer()?;
        let n_levels = n_levels.unwrap_or(quantizer.n_levels());
        self.check_levels(n_levels)?;
        let latents = self.encode_with(clip, EncodecFrames::Native, |_, latents| latents)?;
        Ok(Codes { values: quantizer.encode(&latents, n_levels), n_levels })
    }

    /// What every layer of the encoder makes of samples at the codec's rate: for comparing with a reference, layer by layer. Sound is
    /// filled up as the options say.
    pub fn encoder_stages(&self, samples: &[f32]) -> Result<Vec<StageOutput>, CodecError> {
        let mut samples = samples.to_vec();
        samples.resize(samples.len().next_multiple_of(self.start_encoding(self.options.frames, Place::Processor)?.whole), 0.0);
        Ok(self.encoder()?.stages(&samples))
    }
}

#[derive(Clone, Debug)]
struct EncodeState {
    flow: Flow,
    grouping: Grouping,
    n_samples: usize,
    /// Samples of which the sound is filled up to a multiple.
    whole: usize,
}

/// Encoding as sound arrives.
#[derive(Debug)]
pub(in crate::codec) struct Encoding {
    codec: Arc<NeuralCodec>,
    state: EncodeState,
}

impl Encoding {
    pub(in crate::codec) fn new(codec: Arc<NeuralCodec>, place: Place) -> Result<Self, CodecError> {
        Ok(Self { state: codec.start_encoding(codec.options.frames, place)?, codec })
    }

    pub(in crate::codec) fn push(&mut self, samples: &[f32]) -> Result<Vec<f32>, CodecError> {
        self.codec.encode_more(&mut self.state, samples, NeuralCodec::tapped)
    }

    pub(in crate::codec) fn finish(mut self) -> Result<Vec<f32>, CodecError> {
        self.codec.encode_rest(&mut self.state, NeuralCodec::tapped)
    }
}
