//! From a folder's worth of speech to a weights file: features once, the closed form, then the β-VAE from there.

use std::path::Path;

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::StandardNormal;

use super::DemoCodecConfig;
use super::closed_form::{Example, LinearWeights, fit_linear, patch_scale};
use super::features::{Analysis, FRAMES_PER_LATENT, N_MELS, PATCH, SAMPLE_RATE_HZ};
use super::network::Vae;
use super::weights::{Header, Provenance, Weights};
use crate::audio::stft::mel_filterbank;
use crate::audio::{self, AudioClip};
use crate::codec::CodecError;
use crate::fit::{self, FitError, ParamGroup, Task};
use crate::job::JobCtx;

/// Latents over which envelopes are correlated, 0.4 s.
const STRETCH_LATENTS: usize = 5;
/// Third-octave bands, 150 Hz to 4.3 kHz.
const N_BANDS: usize = 15;

/// One utterance to train on.
#[derive(Clone, Debug)]
pub struct SpeechClip {
    /// Who speaks.
    pub speaker: String,
    /// What is heard, at any rate.
    pub clip: AudioClip,
}

/// Why no codec came out.
#[derive(Debug, thiserror::Error)]
pub enum CodecFitError {
    /// The loop ended early.
    #[error(transparent)]
    Fit(#[from] FitError),
    /// Sound that cannot be trained on, or weights that cannot be written.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// Fits the codec on `clips`, speakers in `config.held_out_speakers` left out, and gives the bytes of its weights file.
///
/// With `config.network.residual` false the result is the closed-form linear codec, in seconds.
pub fn fit_codec(
    ctx: &JobCtx,
    clips: &[SpeechClip],
    config: &DemoCodecConfig,
    checkpoint: Option<&Path>,
) -> Result<Vec<u8>, CodecFitError> {
    ctx.surviving(|ctx| fit_there(ctx, clips, config, checkpoint))
}

fn fit_there(ctx: &JobCtx, clips: &[SpeechClip], config: &DemoCodecConfig, checkpoint: Option<&Path>) -> Result<Vec<u8>, CodecFitError> {
    let used: Vec<&SpeechClip> = clips.iter().filter(|c| !config.held_out_speakers.contains(&c.speaker)).collect();
    let (examples, scale) = examples(ctx, &used, config)?;
    ctx.progress.report("fit linear codec", 0, Some(1), "");
    let linear = fit_linear(&examples, &config.network).map_err(CodecError::Input)?;
    let mut vae = Vae::new(&config.network, &mut StdRng::seed_from_u64(ctx.seed), &ctx.device);
    set_linear(&mut vae, linear, &ctx.device);
    ctx.progress.report("fit linear codec", 1, Some(1), "");
    let mut steps = 0;
    if config.network.residual {
        let needed = config.segment_latents;
        if !examples.iter().any(|e| e.patches.len() >= needed * PATCH) {
            let message = format!("no utterance has the {needed} latents ({:.1} s) of a training excerpt", needed as f64 * 0.08);
            return Err(CodecError::Input(message).into());
        }
        let (mel_of_bins, third_octaves) = (mel_of_bins(config, &ctx.device), third_octaves(config, &ctx.device));
        let task = CodecTask { examples, config: config.clone(), mel_of_bins, third_octaves };
        vae = fit::fit(ctx, &task, vae, &config.fit, checkpoint)?.module;
        steps = config.fit.steps;
        return finish(ctx, vae, &task.examples, &used, config, scale, steps);
    }
    finish(ctx, vae, &examples, &used, config, scale, steps)
}

/// Measures the latents of the training speech and packs the file.
fn finish(
    ctx: &JobCtx,
    vae: Vae,
    examples: &[Example],
    used: &[&SpeechClip],
    config: &DemoCodecConfig,
    scale: f32,
    steps: u64,
) -> Result<Vec<u8>, CodecFitError> {
    let mut latents = Vec::new();
    for example in examples {
        let patches = tensor3(example.patches.clone(), [1, example.patches.len() / PATCH, PATCH], &ctx.device);
        latents.extend(vae.encoder.forward(patches).0.into_data().try_into_vec::<f32>().expect("latents are f32"));
    }
    let (latent_mean, latent_std) = moments(&latents, config.network.latent_dim);
    let provenance = Provenance {
        seed: ctx.seed,
        steps,
        n_utterances: used.len(),
        seconds: used.iter().map(|c| c.clip.duration_sec()).sum(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    let header = Header { config: config.clone(), provenance, scale };
    Ok(Weights { header, vae, latent_mean, latent_std }.to_bytes()?)
}

fn moments(values: &[f32], dim: usize) -> (Vec<f32>, Vec<f32>) {
    let n = (values.len() / dim) as f64;
    let column = |d: usize| values[d..].iter().step_by(dim).map(|&v| f64::from(v));
    let mean: Vec<f64> = (0..dim).map(|d| column(d).sum::<f64>() / n).collect();
    let std = (0..dim).map(|d| (column(d).map(|v| (v - mean[d]).powi(2)).sum::<f64>() / n).sqrt().max(1e-4));
    (mean.iter().map(|&m| m as f32).collect(), std.map(|s| s as f32).collect())
}

/// Features of all clips, divided by their common scale.
fn examples(ctx: &JobCtx, clips: &[&SpeechClip], config: &DemoCodecConfig) -> Result<(Vec<Example>, f32), CodecFitError> {
    let analysis = Analysis::new((config.network.n_bins - 1) * 2);
    let mut examples = Vec::with_capacity(clips.len());
    for (i, speech) in clips.iter().enumerate() {
        ctx.cancel.check().map_err(FitError::from)?;
        let clip = audio::resample(&speech.clip, SAMPLE_RATE_HZ).map_err(|e| CodecError::Input(e.to_string()))?;
        if let Some(at) = clip.samples.iter().position(|s| !s.is_finite()) {
            let message = format!("utterance {i} of speaker {}: sample {at} is no number", speech.speaker);
            return Err(CodecError::Input(message).into());
        }
        examples.push(Example { patches: analysis.patches(&clip.samples), targets: analysis.targets(&clip.samples) });
        ctx.progress.report("features", i as u64 + 1, Some(clips.len() as u64), "");
    }
    let scale = patch_scale(examples.iter().map(|e| e.patches.as_slice()));
    for example in &mut examples {
        example.patches.iter_mut().chain(&mut example.targets).for_each(|v| *v /= scale);
    }
    Ok((examples, scale))
}

fn set_linear(vae: &mut Vae, linear: LinearWeights, device: &Device) {
    let matrix = |v: Vec<f32>, rows: usize| {
        let columns = v.len() / rows;
        Param::from_data(TensorData::new(v, [rows, columns]), device)
    };
    let vector = |v: Vec<f32>| {
        let n = v.len();
        Some(Param::from_data(TensorData::new(v, [n]), device))
    };
    let context = linear.decoder.len() / PATCH;
    vae.encoder.skip.weight = matrix(linear.encoder, PATCH);
    vae.encoder.skip.bias = vector(linear.encoder_bias);
    vae.decoder.skip.weight = matrix(linear.decoder, context);
    vae.decoder.skip.bias = vector(linear.decoder_bias);
    vae.decoder.spread.weight = matrix(linear.spread, N_MELS);
}

/// The mel bank over the decoder's bins, `[n_bins, n_mels]`.
fn mel_of_bins(config: &DemoCodecConfig, device: &Device) -> Tensor<2> {
    let n_bins = config.network.n_bins;
    let bank = mel_filterbank(N_MELS, (n_bins - 1) * 2, SAMPLE_RATE_HZ, 20.0, 8_000.0);
    Tensor::<2>::from_data(TensorData::new(bank, [N_MELS, n_bins]), device).transpose()
}

fn tensor3(values: Vec<f32>, shape: [usize; 3], device: &Device) -> Tensor<3> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// The β-VAE as the loop sees it.
struct CodecTask {
    examples: Vec<Example>,
    config: DemoCodecConfig,
    mel_of_bins: Tensor<2>,
    third_octaves: Tensor<2>,
}

/// One batch of excerpts.
struct Batch {
    /// `[batch, time, 640]`
    patches: Tensor<3>,
    /// `[batch · 8 · time, n_bins]`
    targets: Tensor<2>,
    /// Standard normal, `[batch, time, dim]`.
    noise: Tensor<3>,
}

impl Task for CodecTask {
    type Module = Vae;
    type Batch = Batch;

    fn name(&self) -> String {
        "demo codec".to_owned()
    }

    fn batch(&self, rng: &mut StdRng, device: &Device) -> Batch {
        let (b, t, bins) = (self.config.batch, self.config.segment_latents, self.config.network.n_bins);
        let frames = t * FRAMES_PER_LATENT;
        // An excerpt starts at any frame, not only at a latent: the same sound must decode well wherever its 80 ms begin.
        let long: Vec<&Example> = self.examples.iter().filter(|e| e.patches.len() >= frames * N_MELS).collect();
        let starts: Vec<usize> = long.iter().map(|e| e.patches.len() / N_MELS - frames + 1).collect();
        let total: usize = starts.iter().sum();
        let (mut patches, mut targets) = (Vec::with_capacity(b * frames * N_MELS), Vec::with_capacity(b * frames * bins));
        for _ in 0..b {
            let mut start = rng.random_range(0..total);
            let chosen = starts
                .iter()
                .position(|&n| {
                    start < n || {
                        start -= n;
                        false
                    }
                })
                .expect("the starts sum to total");
            let db = rng.random_range(-1.0..1.0) * self.config.gain_jitter_db;
            let gain = 10_f32.powf(db / 60.0); // 20 dB a decade, to the power 1/3
            let take = |values: &[f32], width: usize, out: &mut Vec<f32>| {
                out.extend(values[start * width..(start + frames) * width].iter().map(|v| v * gain));
            };
            take(&long[chosen].patches, N_MELS, &mut patches);
            take(&long[chosen].targets, bins, &mut targets);
        }
        let dim = self.config.network.latent_dim;
        let noise = (0..b * t * dim).map(|_| rng.sample(StandardNormal)).collect();
        Batch {
            patches: tensor3(patches, [b, t, PATCH], device),
            targets: Tensor::from_data(TensorData::new(targets, [b * frames, bins]), device),
            noise: tensor3(noise, [b, t, dim], device),
        }
    }

    /// L1 + L2 on compressed magnitudes and on the compressed mel of the decoded magnitudes, + β · KL, + what the envelopes of
    /// the decoded bands lack of following the true ones.
    fn loss(&self, vae: &Vae, batch: Batch, _rng: &mut StdRng) -> Tensor<1> {
        let (mean, log_variance) = vae.encoder.forward(batch.patches.clone());
        let log_variance = log_variance.expect("a network that is trained has nets");
        let latents = mean.clone() + log_variance.clone().mul_scalar(0.5).exp() * batch.noise;
        let decoded = vae.decoder.forward(latents);
        let [b, frames, bins] = decoded.dims();
        let decoded = decoded.reshape([b * frames, bins]);
        let magnitude_loss = distance(decoded.clone() - batch.targets.clone());
        let envelope_loss = self.envelope_loss(decoded.clone(), batch.targets, b);
        let mel_loss = distance(self.mel(decoded) - batch.patches.reshape([b * frames, N_MELS]));
        let kl = (mean.square() + log_variance.clone().exp() - log_variance).mean().sub_scalar(1.0).mul_scalar(0.5);
        magnitude_loss + mel_loss + kl.mul_scalar(self.config.beta) + envelope_loss.mul_scalar(self.config.envelope_weight)
    }

    fn group(&self, path: &str, rank: usize) -> ParamGroup {
        if path.contains(".skip.") || path.contains(".spread.") {
            return ParamGroup { lr_scale: self.config.skip_lr_scale, decay_scale: 0.0 };
        }
        ParamGroup {
            decay_scale: if path.rsplit('.').next() == Some("taps") { 0.0 } else { ParamGroup::by_rank(rank).decay_scale },
            lr_scale: 1.0,
        }
    }
}

impl CodecTask {
    /// Compressed mel of compressed magnitudes. Both are divided by the same scale, and the bank is linear, so the scale cancels.
    fn mel(&self, compressed: Tensor<2>) -> Tensor<2> {
        let positive = compressed.clamp_min(1e-3);
        let magnitudes = positive.clone() * positive.clone() * positive;
        magnitudes.matmul(self.mel_of_bins.clone()).add_scalar(1e-7).log().mul_scalar(1.0 / 3.0).exp()
    }

    /// One minus the correlation of decoded and true envelopes over 0.4 s, a mean over third-octave bands and those stretches
    /// that are no pause: what short-time measures of intelligibility look at.
    fn envelope_loss(&self, decoded: Tensor<2>, targets: Tensor<2>, batch: usize) -> Tensor<1> {
        let stretches = self.config.segment_latents / STRETCH_LATENTS;
        let frames = STRETCH_LATENTS * FRAMES_PER_LATENT;
        let envelopes = |compressed: Tensor<2>| {
            let [rows, bins] = compressed.dims();
            let x = compressed.reshape([batch, rows / batch, bins]).narrow(1, 0, stretches * frames);
            let x = x.reshape([batch * stretches * frames, bins]);
            let magnitude = x.clone() * x.clone() * x;
            let power = (magnitude.clone() * magnitude).matmul(self.third_octaves.clone());
            power.add_scalar(1e-6).sqrt().reshape([batch, stretches, frames, N_BANDS])
        };
        let (truth, true_squares) = centered(envelopes(targets));
        let energy = true_squares.clone().sum_dim(3); // [batch, stretches, 1, 1]
        let counted = energy.clone().greater_equal(energy.max_dim(1).mul_scalar(1e-3)).float();
        let (found, found_squares) = centered(envelopes(decoded.clamp_min(1e-3)));
        let correlation = (truth * found).sum_dim(2) / (true_squares * found_squares).add_scalar(1e-9).sqrt();
        ((correlation.neg().add_scalar(1.0)).mean_dim(3) * counted.clone()).sum() / counted.sum()
    }
}

/// Means over `dim` taken away, and their sum of squares.
fn centered(envelopes: Tensor<4>) -> (Tensor<4>, Tensor<4>) {
    let centered = envelopes.clone() - envelopes.mean_dim(2);
    let squares = centered.clone().square().sum_dim(2);
    (centered, squares)
}

/// Third-octave bands from 150 Hz as sums over power bins, `[n_bins, 15]`.
fn third_octaves(config: &DemoCodecConfig, device: &Device) -> Tensor<2> {
    let n_bins = config.network.n_bins;
    let hz_per_bin = f64::from(SAMPLE_RATE_HZ) / ((n_bins - 1) * 2) as f64;
    let mut bank = vec![0_f32; n_bins * N_BANDS];
    for band in 0..N_BANDS {
        let center = 150.0 * (band as f64 / 3.0).exp2();
        let edge = |octaves: f64| (center * octaves.exp2() / hz_per_bin).round() as usize;
        for bin in edge(-1.0 / 6.0)..edge(1.0 / 6.0).min(n_bins) {
            bank[bin * N_BANDS + band] = 1.0;
        }
    }
    Tensor::from_data(TensorData::new(bank, [n_bins, N_BANDS]), device)
}

fn distance(error: Tensor<2>) -> Tensor<1> {
    error.clone().abs().mean() + error.square().mean()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn excerpts_begin_at_any_frame_and_their_targets_with_them() {
        let device = Device::flex();
        let config = DemoCodecConfig { segment_latents: 2, gain_jitter_db: 0.0, ..DemoCodecConfig::default() };
        let (frames, bins) = (10 * FRAMES_PER_LATENT, config.network.n_bins);
        // Every value of a frame is its number.
        let numbered = |width: usize| (0..frames * width).map(|i| (i / width) as f32).collect();
        let task = CodecTask {
            examples: vec![Example { patches: numbered(N_MELS), targets: numbered(bins) }],
            mel_of_bins: mel_of_bins(&config, &device),
            third_octaves: third_octaves(&config, &device),
            config,
        };
        let mut rng = StdRng::seed_from_u64(2);
        let mut alignments = [false; FRAMES_PER_LATENT];
        for _ in 0..30 {
            let batch = task.batch(&mut rng, &device);
            let first: Vec<f32> = batch.patches.into_data().try_into_vec().unwrap();
            let targets: Vec<f32> = batch.targets.into_data().try_into_vec().unwrap();
            for (patches, targets) in first.chunks_exact(2 * PATCH).zip(targets.chunks_exact(2 * FRAMES_PER_LATENT * bins)) {
                let start = patches[0];
                assert_eq!((targets[0], targets[targets.len() - 1]), (start, start + 15.0));
                assert_eq!(patches[patches.len() - 1], start + 15.0);
                alignments[start as usize % FRAMES_PER_LATENT] = true;
            }
        }
        assert_eq!(alignments, [true; FRAMES_PER_LATENT]);
    }

    #[test]
    fn the_envelope_term_follows_the_shape_and_not_the_level() {
        let device = Device::flex();
        let config = DemoCodecConfig { segment_latents: 11, ..DemoCodecConfig::default() };
        let task = CodecTask {
            examples: Vec::new(),
            mel_of_bins: mel_of_bins(&config, &device),
            third_octaves: third_octaves(&config, &device),
            config,
        };
        let (batch, bins) = (2, task.config.network.n_bins);
        let frames = batch * task.config.segment_latents * FRAMES_PER_LATENT;
        let mut rng = StdRng::seed_from_u64(1);
        let mut draw = || -> Vec<f32> { (0..frames * bins).map(|_| rng.random_range(0.2..1.0)).collect() };
        let tensor = |values: Vec<f32>| Tensor::<2>::from_data(TensorData::new(values, [frames, bins]), &device);
        let (truth, other) = (tensor(draw()), tensor(draw()));
        let loss = |decoded: &Tensor<2>| task.envelope_loss(decoded.clone(), truth.clone(), batch).into_scalar::<f32>();
        assert!(loss(&truth).abs() < 1e-4);
        assert!(loss(&truth.clone().mul_scalar(1.5)).abs() < 1e-4, "louder by a constant");
        assert!((loss(&other) - 1.0).abs() < 0.1, "unrelated envelopes do not correlate: {}", loss(&other));
        let silence = Tensor::zeros([frames, bins], &device);
        assert!(task.envelope_loss(other, silence, batch).into_scalar::<f32>().is_finite());
    }
}
