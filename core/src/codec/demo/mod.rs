//! The embedded codec: a 12.5 Hz, 64-dimensional β-VAE over 16 kHz speech.
//!
//! Latents are posterior means, standardized over the training speech, in the order of their variance in the signal. A latent
//! sees nothing after its own 80 ms. The decoder looks one latent ahead; phases are then found for the whole excerpt at once
//! (Griffin-Lim), offline: that last step is not causal. Without its nets the same file format holds the closed-form linear codec.

mod closed_form;
mod config;
mod encoding;
mod expansion;
mod features;
mod network;
mod training;
mod weights;

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};

use super::CodecError;
use crate::audio::stft::GriffinLim;
use crate::audio::{self, AudioClip};
use crate::job::Cancel;
use crate::latents::{CodecTag, Latents};
use expansion::expand;
use features::{Analysis, FIRST_SAMPLE, FRAME_HOP_SAMPLES, FRAMES_PER_LATENT, HOP_SAMPLES, PATCH, SAMPLE_RATE_HZ, WINDOW_SAMPLES};
use weights::Weights;

pub use config::DemoCodecConfig;
pub(super) use encoding::Encoding;
pub use network::NetworkConfig;
pub use training::{CodecFitError, SpeechClip, fit_codec};
pub use weights::{Header, Provenance};

/// Momentum of Griffin-Lim: the best of those measured.
const MOMENTUM: f32 = 0.9;

/// The codec with its weights loaded.
#[derive(Debug)]
pub struct DemoCodec {
    weights: Weights,
    hash: String,
    analysis: Analysis,
    device: Device,
}

impl DemoCodec {
    /// Loads the weights compiled into the program.
    pub fn embedded() -> Result<Self, CodecError> {
        Self::from_bytes(include_bytes!("../../../../assets/codec/demo-codec.safetensors"), "the embedded codec")
    }

    /// Loads the bytes of a weights file; `name` is what errors call it.
    pub fn from_bytes(bytes: &[u8], name: &str) -> Result<Self, CodecError> {
        let device = Device::flex();
        let weights = Weights::from_bytes(bytes, name, &device)?;
        let analysis = Analysis::new((weights.header.config.network.n_bins - 1) * 2);
        Ok(Self { weights, hash: blake3::hash(bytes).to_hex().to_string(), analysis, device })
    }

    /// How the weights were made.
    pub fn header(&self) -> &Header {
        &self.weights.header
    }

    /// Name, tap and weights hash.
    pub fn tag(&self) -> CodecTag {
        CodecTag { codec: "demo".to_owned(), tap: "posterior-mean".to_owned(), weights_hash: self.hash.clone() }
    }

    /// 16 000.
    pub fn sample_rate_hz(&self) -> u32 {
        SAMPLE_RATE_HZ
    }

    /// 1 280 samples, 80 ms.
    pub fn hop_samples(&self) -> usize {
        HOP_SAMPLES
    }

    /// 64.
    pub fn dim(&self) -> usize {
        self.weights.header.config.network.latent_dim
    }

    /// Posterior means, `ceil(samples / 1280)` frames; frame `t` depends on samples before `1280 (t + 1)` alone (of the clip as it
    /// is at 16 kHz: resampling from another rate looks ahead by its filter).
    pub fn encode(&self, clip: &AudioClip) -> Result<Latents, CodecError> {
        if clip.samples.is_empty() {
            return Err(CodecError::Input("there are no samples to encode".to_owned()));
        }
        if let Some(at) = clip.samples.iter().position(|s| !s.is_finite()) {
            return Err(CodecError::Input(format!("sample {at} is no number; the sound cannot be encoded")));
        }
        let clip = audio::resample(clip, SAMPLE_RATE_HZ).map_err(|e| CodecError::Input(e.to_string()))?;
        let mut patches = self.analysis.patches(&clip.samples);
        patches.iter_mut().for_each(|v| *v /= self.weights.header.scale);
        let frame_rate_hz = f64::from(SAMPLE_RATE_HZ) / HOP_SAMPLES as f64;
        Ok(Latents { values: self.latents_of_patches(&patches), dim: self.dim(), frame_rate_hz })
    }

    /// Standardized posterior means `[n, dim]` of scaled patches `[n, 640]`.
    fn latents_of_patches(&self, patches: &[f32]) -> Vec<f32> {
        let patches = Tensor::from_data(TensorData::new(patches.to_vec(), [1, patches.len() / PATCH, PATCH]), &self.device);
        let mut values: Vec<f32> = self.weights.vae.encoder.forward(patches).0.into_data().try_into_vec().expect("latents are f32");
        for frame in values.chunks_exact_mut(self.dim()) {
            for ((z, mean), std) in frame.iter_mut().zip(&self.weights.latent_mean).zip(&self.weights.latent_std) {
                *z = (*z - mean) / std;
            }
        }
        values
    }

    /// `n_frames × 1280` samples.
    pub fn decode(&self, latents: &Latents, stop: &Cancel) -> Result<AudioClip, CodecError> {
        let n_frames = latents.n_frames();
        let mut magnitudes = self.magnitudes(latents)?;
        let config = &self.weights.header.config;
        expand(&mut magnitudes, config.network.n_bins, config.expansion);
        let griffin_lim = GriffinLim { iterations: config.griffin_lim_iterations, momentum: MOMENTUM };
        let samples = self.analysis.synthesis.griffin_lim(&magnitudes, FIRST_SAMPLE, n_frames * HOP_SAMPLES, griffin_lim, stop)?;
        Ok(AudioClip { samples, sample_rate_hz: SAMPLE_RATE_HZ })
    }

    /// Frames before and after a changed one whose sound may change with it: the decoder's own past and one latent ahead, and on both
    /// sides the stretch over which the level is kept.
    pub fn reach(&self) -> [usize; 2] {
        let level = expansion::REACH.div_ceil(FRAMES_PER_LATENT);
        [1 + level, self.weights.header.config.network.decoder_past() + level]
    }

    /// [`Self::decode`] of frames near `changed`, the rest copied from `around`.
    pub fn decode_between(
        &self,
        latents: &Latents,
        changed: Range<usize>,
        around: &AudioClip,
        stop: &Cancel,
    ) -> Result<AudioClip, CodecError> {
        let (n_frames, n_samples) = (latents.n_frames(), latents.n_frames() * HOP_SAMPLES);
        let [before, after] = self.reach();
        let (from, to) = (changed.start.saturating_sub(before), (changed.end + after).min(n_frames));
        let mut samples = around.samples.clone();
        samples.resize(n_samples, 0.0);
        if from >= to || changed.is_empty() {
            return Ok(AudioClip { samples, sample_rate_hz: SAMPLE_RATE_HZ });
        }
        // With enough around it that the magnitudes of `from..to` and of the frames behind them are those of the whole.
        let (first, last) = (from.saturating_sub(after), (to + before + 1).min(n_frames));
        let near = Latents {
            values: latents.values[first * latents.dim..last * latents.dim].to_vec(),
            dim: latents.dim,
            frame_rate_hz: latents.frame_rate_hz,
        };
        let config = &self.weights.header.config;
        let n_bins = config.network.n_bins;
        let mut magnitudes = self.magnitudes(&near)?;
        expand(&mut magnitudes, n_bins, config.expansion);
        // Frame f covers samples up to 160 (f + 1): those from `from` on touch the stretch, and three behind its end still do.
        let overlap = WINDOW_SAMPLES / FRAME_HOP_SAMPLES - 1;
        let frame = |latent: usize| (latent - first) * FRAMES_PER_LATENT * n_bins;
        let end = (frame(to) + overlap * n_bins).min(magnitudes.len());
        let griffin_lim = GriffinLim { iterations: config.griffin_lim_iterations, momentum: MOMENTUM };
        let first_sample = FIRST_SAMPLE + (from * HOP_SAMPLES) as isize;
        let free = from * HOP_SAMPLES..to * HOP_SAMPLES;
        let wanted = &magnitudes[frame(from)..end];
        self.analysis.synthesis.griffin_lim_between(wanted, first_sample, &mut samples, free, griffin_lim, stop)?;
        Ok(AudioClip { samples, sample_rate_hz: SAMPLE_RATE_HZ })
    }

    /// The network's part of decoding: short-time magnitudes `[8 · n_frames, n_bins]`. Those of latent `t` depend on latents up to
    /// `t + 1` alone.
    fn magnitudes(&self, latents: &Latents) -> Result<Vec<f32>, CodecError> {
        let (dim, n_frames) = (self.dim(), latents.n_frames());
        if latents.dim != dim || n_frames == 0 {
            let message = format!("the demo codec decodes frames of {dim} values; given are {n_frames} of {}", latents.dim);
            return Err(CodecError::Input(message));
        }
        if let Some(at) = latents.values.iter().position(|v| !v.is_finite()) {
            let message = format!("latent frame {} holds a value that is no number; it cannot be decoded", at / dim);
            return Err(CodecError::Input(message));
        }
        let (mean, std) = (&self.weights.latent_mean, &self.weights.latent_std);
        let values: Vec<f32> = latents.values.iter().enumerate().map(|(i, z)| z * std[i % dim] + mean[i % dim]).collect();
        let latents = Tensor::from_data(TensorData::new(values, [1, n_frames, dim]), &self.device);
        let mut decoded: Vec<f32> = self.weights.vae.decoder.forward(latents).into_data().try_into_vec().expect("magnitudes are f32");
        let scale = self.weights.header.scale;
        decoded.iter_mut().for_each(|y| *y = (y.max(1e-3) * scale).powi(3));
        Ok(decoded)
    }
}

#[cfg(test)]
mod tests;
