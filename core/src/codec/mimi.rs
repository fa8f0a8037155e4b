//! Mimi (Défossez et al. 2024, "Moshi"): 24 kHz sound to 12.5 Hz × 512, as `kyutai/mimi` or moshi's checkpoint has it.
//!
//! A SEANet encoder to 25 Hz, a transformer, a convolution to 12.5 Hz; the way back mirrors it. A semantic and an acoustic quantizer
//! take the same latents, and what they give is added: continuous and dequantized latents live in one space.

use std::path::Path;

use driftscope_numerics::activation::Activation;
use serde_json::Value;

use super::neural::config::{Found, find};
use super::neural::conv::{Bias, Conv, Padding, Shape, Upsample};
use super::neural::quantize::{Kept, Quantizer, Residual, ResidualConfig};
use super::neural::seanet::SeanetConfig;
use super::neural::stack::{Layer, Stack};
use super::neural::transformer::{Transformer, TransformerConfig};
use super::neural::weights::Weights;
use super::neural::{Parts, Side};
use super::{CodecError, CodecKind, CodecOptions};

/// The fields of transformers' `MimiConfig` that matter here; what is not given is as published.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(default)]
struct Config {
    sampling_rate: u32,
    frame_rate: Option<f64>,
    #[serde(rename = "_frame_rate")]
    inner_frame_rate: Option<f64>,
    hidden_size: usize,
    num_filters: usize,
    num_residual_layers: usize,
    upsampling_ratios: Vec<usize>,
    kernel_size: usize,
    last_kernel_size: usize,
    residual_kernel_size: usize,
    compress: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    intermediate_size: usize,
    sliding_window: usize,
    norm_eps: f32,
    rope_theta: Option<f32>,
    rope_parameters: Option<Rope>,
    num_quantizers: usize,
    num_semantic_quantizers: usize,
    codebook_size: usize,
    vector_quantization_hidden_dimension: usize,
}

#[derive(Clone, Debug, serde::Deserialize)]
struct Rope {
    rope_theta: f32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            sampling_rate: 24_000,
            frame_rate: None,
            inner_frame_rate: None,
            hidden_size: 512,
            num_filters: 64,
            num_residual_layers: 1,
            upsampling_ratios: vec![8, 6, 5, 4],
            kernel_size: 7,
            last_kernel_size: 3,
            residual_kernel_size: 3,
            compress: 2,
            num_hidden_layers: 8,
            num_attention_heads: 8,
            intermediate_size: 2048,
            sliding_window: 250,
            norm_eps: 1e-5,
            rope_theta: None,
            rope_parameters: None,
            num_quantizers: 32,
            num_semantic_quantizers: 1,
            codebook_size: 2048,
            vector_quantization_hidden_dimension: 256,
        }
    }
}

/// Reads configuration and weights.
pub(super) fn load(path: &Path, options: &CodecOptions) -> Result<Parts, CodecError> {
    let own = |value: &Value| value.get("model_type").is_some_and(|t| t == "mimi");
    let found: Found<Config> = find(path, options, "mimi", |value| own(value).then_some(value))?;
    let config = &found.config;
    let dim = config.hidden_size;
    let seanet = SeanetConfig {
        dim,
        n_filters: config.num_filters,
        ratios: config.upsampling_ratios.clone(),
        kernel: config.kernel_size,
        last_kernel: config.last_kernel_size,
        residual_kernel: config.residual_kernel_size,
        compress: config.compress,
        n_lstm_layers: 0,
        padding: Padding::Zeros,
    };
    let transformer = TransformerConfig {
        dim,
        n_heads: config.num_attention_heads,
        n_layers: config.num_hidden_layers,
        feedforward: config.intermediate_size,
        context: config.sliding_window,
        rope_theta: config.rope_parameters.as_ref().map(|r| r.rope_theta).or(config.rope_theta).unwrap_or(10_000.0),
        norm_epsilon: config.norm_eps,
        gelu: options.gelu.or(CodecKind::Mimi.gelu()).expect("Mimi has transformers").into(),
    };
    found.require(config.num_residual_layers == 1, || "num_residual_layers must be 1".to_owned())?;
    seanet.check(&found)?;
    transformer.check(&found)?;
    let frame_rate_hz = config.frame_rate.or(config.inner_frame_rate).unwrap_or(12.5);
    let stride = f64::from(config.sampling_rate) / (seanet.hop() as f64 * frame_rate_hz);
    found.require(stride.fract() == 0.0 && (1.0..=1000.0).contains(&stride), || {
        format!("a frame rate of {frame_rate_hz} Hz is no whole number of strides {:?} at {} Hz", seanet.ratios, config.sampling_rate)
    })?;
    let levels = [config.num_semantic_quantizers, config.num_quantizers.saturating_sub(config.num_semantic_quantizers)];
    found.require(!levels.contains(&0) && config.codebook_size > 0, || "num_quantizers must exceed num_semantic_quantizers".to_owned())?;

    let stride = stride as usize;
    let mut weights = Weights::open(path, "mimi", &found.source, "")?;
    let mut encoder = seanet.encoder(&mut weights)?;
    encoder.add("encoder_transformer", Layer::Transformer(Transformer::load(&mut weights, "encoder_transformer", transformer)?));
    let shape = Shape { input: dim, output: dim, kernel: 2 * stride, stride };
    let downsample = Conv::load(&mut weights, "downsample.conv", shape, Bias::Absent, Padding::Replicate, Activation::Identity)?;
    encoder.add("downsample", Layer::Conv(downsample));

    let mut decoder = Stack::new(dim);
    decoder.add("upsample", Layer::Upsample(Upsample::load(&mut weights, "upsample.conv", dim, stride)?));
    decoder.add("decoder_transformer", Layer::Transformer(Transformer::load(&mut weights, "decoder_transformer", transformer)?));
    decoder.append(seanet.decoder(&mut weights)?);

    let codebooks = |n_levels| ResidualConfig { n_levels, size: config.codebook_size, dim: config.vector_quantization_hidden_dimension };
    let mut quantizer = |name: &str, n_levels| {
        let name = format!("quantizer.{name}_residual_vector_quantizer");
        Residual::load(&mut weights, &name, dim, codebooks(n_levels), Kept::Sums)
    };
    let parts = vec![quantizer("semantic", levels[0])?, quantizer("acoustic", levels[1])?];
    let hash = weights.hash().to_owned();
    weights.finish()?;
    Ok(Parts {
        encoder: Side::Present(encoder),
        decoder,
        quantizer: Some(Quantizer::new(parts, dim)),
        projection: None,
        normalization: None,
        latent_dim: dim,
        hop_samples: seanet.hop() * stride,
        sample_rate_hz: config.sampling_rate,
        mirrored_frames: 0,
        hash,
    })
}
