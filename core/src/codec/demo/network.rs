//! The β-VAE as a module: a linear skip path (principal components in, ridge out) and, beside it, residual nets.
//!
//! Causality is in the shapes: every convolution in time pads on the left only, and the decoder's first layer alone looks one
//! latent ahead. Without nets the same module is the closed-form linear codec.

use burn::module::{Module, Param};
use burn::nn::{LayerNorm, LayerNormConfig, Linear};
use burn::tensor::activation::relu;
use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt;
use rand::rngs::StdRng;

use super::features::{FRAMES_PER_LATENT, N_MELS, PATCH};

/// Sizes of the network.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NetworkConfig {
    /// Dimensions of a latent.
    pub latent_dim: usize,
    /// Bins of the decoded magnitudes.
    pub n_bins: usize,
    /// Latents before its own that the decoder's first layer sees (it always sees one after).
    pub past_latents: usize,
    /// Whether the residual nets are there; without them the codec is linear.
    pub residual: bool,
    /// Width at the latent rate.
    pub width: usize,
    /// Blocks at the latent rate, in encoder and decoder each.
    pub n_blocks: usize,
    /// Kernel of those blocks, in latents.
    pub kernel: usize,
    /// Patches that the encoder's first layer sees, its own the last.
    pub encoder_patches: usize,
    /// Width at the frame rate of 100 Hz.
    pub fine_width: usize,
    /// Blocks at the frame rate.
    pub n_fine_blocks: usize,
    /// Kernel of those blocks, in frames.
    pub fine_kernel: usize,
}

impl Default for NetworkConfig {
    fn default() -> Self {
        Self {
            latent_dim: 64,
            n_bins: 321,
            past_latents: 3,
            residual: true,
            width: 288,
            n_blocks: 3,
            kernel: 3,
            encoder_patches: 3,
            fine_width: 128,
            n_fine_blocks: 2,
            fine_kernel: 7,
        }
    }
}

impl NetworkConfig {
    /// Patches before its own that a latent of the encoder depends on.
    pub(super) fn encoder_past(&self) -> usize {
        if self.residual { self.encoder_patches - 1 + self.n_blocks * (self.kernel - 1) } else { 0 }
    }

    /// Latents before its own on which a decoded latent's magnitudes depend.
    pub(super) fn decoder_past(&self) -> usize {
        let fine = self.n_fine_blocks * self.fine_kernel.saturating_sub(1);
        let blocks = self.n_blocks * self.kernel.saturating_sub(1);
        self.past_latents + if self.residual { blocks + fine.div_ceil(FRAMES_PER_LATENT) } else { 0 }
    }
}

/// Encoder and decoder.
#[derive(Module, Debug)]
pub(super) struct Vae {
    pub(super) encoder: Encoder,
    pub(super) decoder: Decoder,
}

/// Patches to the posterior of latents.
#[derive(Module, Debug)]
pub(super) struct Encoder {
    pub(super) skip: Linear,
    net: Option<EncoderNet>,
}

/// Latents to compressed magnitudes.
#[derive(Module, Debug)]
pub(super) struct Decoder {
    /// Latents in context to a mel patch.
    pub(super) skip: Linear,
    /// Mel bands to bins.
    pub(super) spread: Linear,
    net: Option<DecoderNet>,
    #[module(skip)]
    past_latents: usize,
}

#[derive(Module, Debug)]
struct EncoderNet {
    input: Linear,
    blocks: Vec<Block>,
    norm: LayerNorm,
    head: Linear,
    #[module(skip)]
    patches: usize,
}

#[derive(Module, Debug)]
struct DecoderNet {
    input: Linear,
    blocks: Vec<Block>,
    norm: LayerNorm,
    expand: Linear,
    mel: Linear,
    fine: Vec<Block>,
    fine_norm: LayerNorm,
    head: Linear,
}

/// Causal ConvNeXt block: depthwise convolution, norm, two linear layers, scaled onto the residual.
#[derive(Module, Debug)]
struct Block {
    /// `[kernel, width]`, the last row weighs the present.
    taps: Param<Tensor<2>>,
    norm: LayerNorm,
    up: Linear,
    down: Linear,
    scale: Param<Tensor<1>>,
}

impl Vae {
    /// A network with random nets and zero skip layers; the skips are then set from the closed form.
    pub(super) fn new(config: &NetworkConfig, rng: &mut StdRng, device: &Device) -> Self {
        let (c, d) = (config, config.latent_dim);
        let context = (c.past_latents + 2) * d;
        let mut new = Init { rng, device };
        let blocks = |new: &mut Init<'_>, n: usize, width, kernel| (0..n).map(|_| new.block(width, kernel)).collect::<Vec<_>>();
        let encoder_net = c.residual.then(|| EncoderNet {
            input: new.linear(c.encoder_patches * PATCH, c.width, 1.0),
            blocks: blocks(&mut new, c.n_blocks, c.width, c.kernel),
            norm: LayerNormConfig::new(c.width).init(device),
            head: new.posterior(c.width, d),
            patches: c.encoder_patches,
        });
        let decoder_net = c.residual.then(|| DecoderNet {
            input: new.linear(context, c.width, 1.0),
            blocks: blocks(&mut new, c.n_blocks, c.width, c.kernel),
            norm: LayerNormConfig::new(c.width).init(device),
            expand: new.linear(c.width, FRAMES_PER_LATENT * c.fine_width, 1.0),
            mel: new.linear(N_MELS, c.fine_width, 1.0),
            fine: blocks(&mut new, c.n_fine_blocks, c.fine_width, c.fine_kernel),
            fine_norm: LayerNormConfig::new(c.fine_width).init(device),
            head: new.linear(c.fine_width, c.n_bins, 0.1),
        });
        let mut spread = new.linear(N_MELS, c.n_bins, 0.0);
        spread.bias = None;
        Self {
            encoder: Encoder { skip: new.linear(PATCH, d, 0.0), net: encoder_net },
            decoder: Decoder { skip: new.linear(context, PATCH, 0.0), spread, net: decoder_net, past_latents: c.past_latents },
        }
    }
}

impl Encoder {
    /// Posterior means and, with nets, log variances, `[batch, time, dim]` each, from patches `[batch, time, 640]`.
    pub(super) fn forward(&self, patches: Tensor<3>) -> (Tensor<3>, Option<Tensor<3>>) {
        let mean = rows(&self.skip, patches.clone());
        let Some(net) = &self.net else { return (mean, None) };
        let mut h = rows(&net.input, in_context(patches, net.patches - 1, 0));
        for block in &net.blocks {
            h = block.forward(h);
        }
        let head = rows(&net.head, net.norm.forward(h)); // [batch, time, 2 dim]
        let dim = mean.dims()[2];
        let log_variance = head.clone().narrow(2, dim, dim).clamp(-12.0, 2.0);
        (mean + head.narrow(2, 0, dim), Some(log_variance))
    }
}

impl Decoder {
    /// Scaled magnitudes to the power 1/3, `[batch, 8 · time, bins]`, from latents `[batch, time, dim]`. The frames of latent
    /// `t` depend on latents up to `t + 1`.
    pub(super) fn forward(&self, latents: Tensor<3>) -> Tensor<3> {
        let [batch, time, _] = latents.dims();
        let context = in_context(latents, self.past_latents, 1);
        let mel = rows(&self.skip, context.clone()).reshape([batch, time * FRAMES_PER_LATENT, N_MELS]);
        let base = rows(&self.spread, mel.clone());
        let Some(net) = &self.net else { return base };
        let mut h = rows(&net.input, context);
        for block in &net.blocks {
            h = block.forward(h);
        }
        let expanded = rows(&net.expand, net.norm.forward(h));
        let width = expanded.dims()[2] / FRAMES_PER_LATENT;
        let mut fine = expanded.reshape([batch, time * FRAMES_PER_LATENT, width]) + rows(&net.mel, mel);
        for block in &net.fine {
            fine = block.forward(fine);
        }
        base + rows(&net.head, net.fine_norm.forward(fine))
    }
}

impl Block {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let [batch, time, width] = x.dims();
        let taps = self.taps.val();
        let kernel = taps.dims()[0];
        let padded = Tensor::cat(vec![Tensor::zeros([batch, kernel - 1, width], &x.device()), x.clone()], 1);
        let tap = |i: usize| padded.clone().narrow(1, i, time) * taps.clone().narrow(0, i, 1).reshape([1, 1, width]);
        let mixed = (1..kernel).fold(tap(0), |sum, i| sum + tap(i));
        let h = rows(&self.down, relu(rows(&self.up, self.norm.forward(mixed))));
        x + h * self.scale.val().reshape([1, 1, width])
    }
}

/// A linear layer over the last axis, as one matrix product.
fn rows(layer: &Linear, x: Tensor<3>) -> Tensor<3> {
    let [batch, time, width] = x.dims();
    let y = x.reshape([batch * time, width]).matmul(layer.weight.val());
    let out = y.dims()[1];
    let y = match &layer.bias {
        Some(bias) => y + bias.val().reshape([1, out]),
        None => y,
    };
    y.reshape([batch, time, out])
}

/// Each step with its neighbors, `[batch, time, (past + 1 + ahead) · width]`, oldest first; zeros beyond the ends.
pub(super) fn in_context(x: Tensor<3>, past: usize, ahead: usize) -> Tensor<3> {
    if past + ahead == 0 {
        return x;
    }
    let [batch, time, width] = x.dims();
    let zeros = |n: usize| Tensor::<3>::zeros([batch, n, width], &x.device());
    let mut parts = vec![zeros(past), x.clone()];
    if ahead > 0 {
        parts.push(zeros(ahead));
    }
    let padded = Tensor::cat(parts, 1);
    Tensor::cat((0..=past + ahead).map(|i| padded.clone().narrow(1, i, time)).collect(), 2)
}

/// Seeded initial values.
struct Init<'a> {
    rng: &'a mut StdRng,
    device: &'a Device,
}

impl Init<'_> {
    fn uniform(&mut self, n: usize, bound: f32) -> Vec<f32> {
        (0..n).map(|_| if bound > 0.0 { self.rng.random_range(-bound..bound) } else { 0.0 }).collect()
    }

    fn vector(&self, values: Vec<f32>) -> Param<Tensor<1>> {
        let n = values.len();
        Param::from_data(TensorData::new(values, [n]), self.device)
    }

    fn matrix(&self, values: Vec<f32>, shape: [usize; 2]) -> Param<Tensor<2>> {
        Param::from_data(TensorData::new(values, shape), self.device)
    }

    /// Weights uniform within `gain / √input`, bias zero.
    fn linear(&mut self, input: usize, output: usize, gain: f32) -> Linear {
        let weights = self.uniform(input * output, gain / (input as f32).sqrt());
        Linear { weight: self.matrix(weights, [input, output]), bias: Some(self.vector(vec![0.0; output])) }
    }

    /// Nearly zero means on top of the skip, and a narrow posterior (log variance −4).
    fn posterior(&mut self, input: usize, dim: usize) -> Linear {
        let weights = self.uniform(input * 2 * dim, 0.0035);
        let bias = [vec![0.0; dim], vec![-4.0; dim]].concat();
        Linear { weight: self.matrix(weights, [input, 2 * dim]), bias: Some(self.vector(bias)) }
    }

    fn block(&mut self, width: usize, kernel: usize) -> Block {
        let taps = self.uniform(kernel * width, 1.0 / (kernel as f32).sqrt());
        Block {
            taps: self.matrix(taps, [kernel, width]),
            norm: LayerNormConfig::new(width).init(self.device),
            up: self.linear(width, 2 * width, 1.7),
            down: self.linear(2 * width, width, 1.0),
            scale: self.vector(vec![0.2; width]),
        }
    }
}
