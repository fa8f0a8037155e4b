//! The VAE of CALM (Rouard et al. 2025), as pocket-tts publishes it: 24 kHz sound to 12.5 Hz × 32.
//!
//! Latents are posterior means (the files hold no variances). Only a part of the published file is the codec; files without voice
//! cloning hold zeros for the encoder, and decode only. Every language has an own codec: the hash tells them apart.

use std::path::Path;

use driftscope_numerics::activation::Activation;
use driftscope_numerics::dense::Dense;
use serde_json::Value;

use super::neural::config::{Found, find};
use super::neural::conv::{Bias, Conv, Padding, Shape, Upsample};
use super::neural::seanet::SeanetConfig;
use super::neural::stack::{Layer, Stack};
use super::neural::transformer::{Transformer, TransformerConfig};
use super::neural::weights::Weights;
use super::neural::{Parts, Side};
use super::{CodecError, CodecKind, CodecOptions, Gelu};

/// Why a file without an encoder cannot encode.
const NO_ENCODER: &str = "its encoder is all zeros (a release without voice cloning), so it decodes only; to encode, take the file of the \
                          same language from the gated repository kyutai/pocket-tts";

/// The `mimi` section of pocket-tts' language files; what is not given is as in its English one.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(default)]
struct Config {
    sample_rate: u32,
    channels: usize,
    frame_rate: f64,
    inner_dim: usize,
    outer_dim: usize,
    seanet: Seanet,
    transformer: Layers,
    decoder_seanet: Option<Seanet>,
    decoder_transformer: Option<Layers>,
}

#[derive(Clone, Debug, serde::Deserialize)]
#[serde(default)]
struct Seanet {
    dimension: usize,
    n_filters: usize,
    n_residual_layers: usize,
    ratios: Vec<usize>,
    kernel_size: usize,
    residual_kernel_size: usize,
    last_kernel_size: usize,
    compress: usize,
}

#[derive(Clone, Debug, serde::Deserialize)]
#[serde(default)]
struct Layers {
    d_model: usize,
    num_heads: usize,
    num_layers: usize,
    context: usize,
    dim_feedforward: usize,
    max_period: f32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sample_rate: 24_000,
            channels: 1,
            frame_rate: 12.5,
            inner_dim: 32,
            outer_dim: 512,
            seanet: Seanet::default(),
            transformer: Layers::default(),
            decoder_seanet: None,
            decoder_transformer: None,
        }
    }
}

impl Default for Seanet {
    fn default() -> Self {
        Self {
            dimension: 512,
            n_filters: 64,
            n_residual_layers: 1,
            ratios: vec![6, 5, 4],
            kernel_size: 7,
            residual_kernel_size: 3,
            last_kernel_size: 3,
            compress: 2,
        }
    }
}

impl Default for Layers {
    fn default() -> Self {
        Self { d_model: 512, num_heads: 8, num_layers: 2, context: 250, dim_feedforward: 2048, max_period: 10_000.0 }
    }
}

impl Seanet {
    fn config(&self) -> SeanetConfig {
        SeanetConfig {
            dim: self.dimension,
            n_filters: self.n_filters,
            ratios: self.ratios.clone(),
            kernel: self.kernel_size,
            last_kernel: self.last_kernel_size,
            residual_kernel: self.residual_kernel_size,
            compress: self.compress,
            n_lstm_layers: 0,
            padding: Padding::Zeros,
        }
    }
}

impl Layers {
    fn config(&self, gelu: Gelu) -> TransformerConfig {
        TransformerConfig {
            dim: self.d_model,
            n_heads: self.num_heads,
            n_layers: self.num_layers,
            feedforward: self.dim_feedforward,
            context: self.context,
            rope_theta: self.max_period,
            norm_epsilon: 1e-5,
            gelu: gelu.into(),
        }
    }
}

/// Reads configuration and weights.
pub(super) fn load(path: &Path, options: &CodecOptions) -> Result<Parts, CodecError> {
    let found: Found<Config> = find(path, options, "calm", section)?;
    let config = &found.config;
    let gelu = options.gelu.or(CodecKind::Calm.gelu()).expect("CALM has transformers");
    let (seanet, transformer) = (config.seanet.config(), config.transformer.config(gelu));
    let decoder_seanet = config.decoder_seanet.as_ref().unwrap_or(&config.seanet);
    let decoder_transformer = config.decoder_transformer.as_ref().unwrap_or(&config.transformer).config(gelu);
    for (seanet, transformer) in [(&config.seanet, transformer), (decoder_seanet, decoder_transformer)] {
        found.require(seanet.n_residual_layers == 1, || "n_residual_layers must be 1".to_owned())?;
        found.require(seanet.dimension == transformer.dim, || "d_model must be the dimension of its seanet".to_owned())?;
        seanet.config().check(&found)?;
        transformer.check(&found)?;
    }
    let decoder_seanet = decoder_seanet.config();
    let (inner, outer) = (config.inner_dim, config.outer_dim);
    found.require(config.channels == 1 && inner > 0, || "channels must be 1 and inner_dim positive".to_owned())?;
    found.require(outer == decoder_seanet.dim, || {
        format!("outer_dim {outer} must be the dimension of the decoder, {}", decoder_seanet.dim)
    })?;
    let stride = f64::from(config.sample_rate) / (seanet.hop() as f64 * config.frame_rate);
    found.require(stride.fract() == 0.0 && (1.0..=1000.0).contains(&stride) && decoder_seanet.hop() == seanet.hop(), || {
        format!("a frame rate of {} Hz is no whole number of strides {:?} at {} Hz", config.frame_rate, seanet.ratios, config.sample_rate)
    })?;

    let stride = stride as usize;
    let mut weights = Weights::open(path, "calm", &found.source, "mimi.")?;
    let encoder = if weights.all_zero("encoder.")? {
        ["encoder.", "encoder_transformer.", "downsample."].iter().for_each(|prefix| weights.leave(prefix));
        Side::Absent(NO_ENCODER)
    } else {
        let mut encoder = seanet.encoder(&mut weights)?;
        encoder.add("encoder_transformer", Layer::Transformer(Transformer::load(&mut weights, "encoder_transformer", transformer)?));
        let shape = Shape { input: seanet.dim, output: inner, kernel: 2 * stride, stride };
        let downsample = Conv::load(&mut weights, "downsample.conv", shape, Bias::Absent, Padding::Replicate, Activation::Identity)?;
        encoder.add("downsample", Layer::Conv(downsample));
        Side::Present(encoder)
    };
    let projection = weights.take("quantizer.output_proj.weight", &[outer, inner, 1])?;
    let projection = Dense::from_rows(&projection, inner, &[], Activation::Identity);
    let mut decoder = Stack::new(outer);
    decoder.add("upsample", Layer::Upsample(Upsample::load(&mut weights, "upsample.conv", outer, stride)?));
    let layers = Transformer::load(&mut weights, "decoder_transformer", decoder_transformer)?;
    decoder.add("decoder_transformer", Layer::Transformer(layers));
    decoder.append(decoder_seanet.decoder(&mut weights)?);
    let hash = weights.hash().to_owned();
    let normalization = weights.take_beside(["flow_lm.emb_mean", "flow_lm.emb_std"], &[inner])?;
    weights.finish()?;
    Ok(Parts {
        encoder,
        decoder,
        quantizer: None,
        projection: Some(projection),
        normalization,
        latent_dim: inner,
        hop_samples: seanet.hop() * stride,
        sample_rate_hz: config.sample_rate,
        mirrored_frames: 0,
        hash,
    })
}

/// The language file's part, or that part alone.
fn section(value: &Value) -> Option<&Value> {
    let part = value.get("mimi").unwrap_or(value);
    part.get("seanet").is_some().then_some(part)
}
