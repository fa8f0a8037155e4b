//! EnCodec for 24 kHz (Défossez et al. 2022): 75 Hz × 128, as `facebook/encodec_24khz` has it.
//!
//! A SEANet encoder with two LSTM layers at its end, and the mirror image of it. Convolutions mirror the sound at both ends, so the first
//! outputs wait for as many frames as are mirrored.

use std::path::Path;

use serde_json::Value;

use super::neural::config::{Found, find};
use super::neural::conv::Padding;
use super::neural::quantize::{Kept, Quantizer, Residual, ResidualConfig};
use super::neural::seanet::SeanetConfig;
use super::neural::weights::Weights;
use super::neural::{Parts, Side};
use super::{CodecError, CodecOptions};

/// The fields of transformers' `EncodecConfig` that matter here; what is not given is as published.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(default)]
struct Config {
    sampling_rate: u32,
    audio_channels: usize,
    normalize: bool,
    hidden_size: usize,
    num_filters: usize,
    num_residual_layers: usize,
    upsampling_ratios: Vec<usize>,
    kernel_size: usize,
    last_kernel_size: usize,
    residual_kernel_size: usize,
    compress: usize,
    num_lstm_layers: usize,
    use_causal_conv: bool,
    codebook_size: usize,
    target_bandwidths: Vec<f64>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sampling_rate: 24_000,
            audio_channels: 1,
            normalize: false,
            hidden_size: 128,
            num_filters: 32,
            num_residual_layers: 1,
            upsampling_ratios: vec![8, 5, 4, 2],
            kernel_size: 7,
            last_kernel_size: 7,
            residual_kernel_size: 3,
            compress: 2,
            num_lstm_layers: 2,
            use_causal_conv: true,
            codebook_size: 1024,
            target_bandwidths: vec![1.5, 3.0, 6.0, 12.0, 24.0],
        }
    }
}

impl Config {
    /// As many levels as the largest bandwidth in kbit/s allows.
    fn n_levels(&self, hop: usize) -> usize {
        let bits = (self.codebook_size as f64).log2().ceil();
        let frame_rate_hz = (f64::from(self.sampling_rate) / hop as f64).ceil();
        (1000.0 * self.target_bandwidths.iter().copied().fold(0.0, f64::max) / (frame_rate_hz * bits)).floor() as usize
    }
}

/// Reads configuration and weights.
pub(super) fn load(path: &Path, options: &CodecOptions) -> Result<Parts, CodecError> {
    let own = |value: &Value| value.get("model_type").is_some_and(|t| t == "encodec");
    let found: Found<Config> = find(path, options, "encodec", |value| own(value).then_some(value))?;
    let config = &found.config;
    let seanet = SeanetConfig {
        dim: config.hidden_size,
        n_filters: config.num_filters,
        ratios: config.upsampling_ratios.clone(),
        kernel: config.kernel_size,
        last_kernel: config.last_kernel_size,
        residual_kernel: config.residual_kernel_size,
        compress: config.compress,
        n_lstm_layers: config.num_lstm_layers,
        padding: Padding::Reflect,
    };
    let mono = config.audio_channels == 1 && config.use_causal_conv && !config.normalize;
    found.require(mono, || "is not of the causal mono model; of EnCodec, the 24 kHz one is supported".to_owned())?;
    found.require(config.num_residual_layers == 1, || "num_residual_layers must be 1".to_owned())?;
    seanet.check(&found)?;
    let n_levels = config.n_levels(seanet.hop());
    found.require(config.codebook_size > 1 && (1..=1024).contains(&n_levels), || {
        "codebook_size and target_bandwidths give no levels".to_owned()
    })?;

    let mut weights = Weights::open(path, "encodec", &found.source, "")?;
    let encoder = seanet.encoder(&mut weights)?;
    let decoder = seanet.decoder(&mut weights)?;
    let codebooks = ResidualConfig { n_levels, size: config.codebook_size, dim: config.hidden_size };
    let quantizer = Residual::load(&mut weights, "quantizer", config.hidden_size, codebooks, Kept::Vectors)?;
    let hash = weights.hash().to_owned();
    weights.finish()?;
    Ok(Parts {
        encoder: Side::Present(encoder),
        decoder,
        quantizer: Some(Quantizer::new(vec![quantizer], config.hidden_size)),
        projection: None,
        normalization: None,
        latent_dim: config.hidden_size,
        hop_samples: seanet.hop(),
        sample_rate_hz: config.sampling_rate,
        mirrored_frames: config.kernel_size - 1,
        hash,
    })
}
