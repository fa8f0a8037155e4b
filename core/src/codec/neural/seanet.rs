//! The convolutional encoders and decoders of all three codecs (SEANet, Tagliasacchi et al. 2020).

use std::sync::Arc;

use driftscope_numerics::activation::Activation;

use super::config::Found;
use super::conv::{Bias, Conv, Padding, Shape, Transposed};
use super::lstm::Lstm;
use super::residual::Residual;
use super::stack::{Layer, Stack};
use super::weights::Weights;
use crate::codec::CodecError;

/// Sizes of both; channels double with every stride.
#[derive(Clone, Debug)]
pub(in crate::codec) struct SeanetConfig {
    /// Channels at the latents' end.
    pub(in crate::codec) dim: usize,
    /// Channels at the sound's end.
    pub(in crate::codec) n_filters: usize,
    /// Strides in the decoder's order.
    pub(in crate::codec) ratios: Vec<usize>,
    /// Of the first convolution.
    pub(in crate::codec) kernel: usize,
    /// Of the last convolution.
    pub(in crate::codec) last_kernel: usize,
    /// Of the first convolution in a residual block.
    pub(in crate::codec) residual_kernel: usize,
    /// Channels of a residual block over those inside it.
    pub(in crate::codec) compress: usize,
    /// LSTM layers at the latents' end.
    pub(in crate::codec) n_lstm_layers: usize,
    pub(in crate::codec) padding: Padding,
}

impl SeanetConfig {
    /// Samples per frame.
    pub(in crate::codec) fn hop(&self) -> usize {
        self.ratios.iter().product()
    }

    /// One sentence where the sizes make no network.
    pub(in crate::codec) fn check<T>(&self, found: &Found<T>) -> Result<(), CodecError> {
        let strides = !self.ratios.is_empty() && self.ratios.len() <= 16 && self.ratios.iter().all(|r| (1..=64).contains(r));
        found.require(strides, || format!("strides of {:?} are none; each is between 1 and 64", self.ratios))?;
        let sizes = [self.dim, self.n_filters, self.kernel, self.last_kernel, self.residual_kernel];
        found.require(!sizes.contains(&0) && self.n_filters <= 4096, || "channels and kernels must be positive".to_owned())?;
        let divides = self.compress > 0 && self.n_filters >= self.compress && self.n_filters.is_multiple_of(self.compress);
        found.require(divides, || format!("compress {} does not divide the {} filters", self.compress, self.n_filters))
    }

    fn residual(&self, weights: &mut Weights, name: &str, channels: usize) -> Result<Layer, CodecError> {
        let hidden = channels / self.compress;
        Ok(Layer::Residual(Residual::load(weights, name, channels, hidden, self.residual_kernel, self.padding)?))
    }

    /// Takes `encoder.layers.*`; activations are counted as layers and done by the layer before them. Stages are named
    /// `encoder.layers.N` after the last of the layers they do.
    pub(in crate::codec) fn encoder(&self, weights: &mut Weights) -> Result<Stack, CodecError> {
        let mut stack = Stack::new(1);
        let conv = |stack: &mut Stack, weights: &mut Weights, i: usize, shape: Shape, activation: Activation| -> Result<(), CodecError> {
            let layer = Conv::load(weights, &format!("encoder.layers.{i}.conv"), shape, Bias::Learned, self.padding, activation)?;
            let done = i + usize::from(activation != Activation::Identity);
            stack.add(format!("encoder.layers.{done}"), Layer::Conv(layer));
            Ok(())
        };
        let mut channels = self.n_filters;
        conv(&mut stack, weights, 0, Shape { input: 1, output: channels, kernel: self.kernel, stride: 1 }, Activation::Identity)?;
        let mut i = 1;
        for (at, &ratio) in self.ratios.iter().rev().enumerate() {
            stack.add(format!("encoder.layers.{}", i + 1), self.residual(weights, &format!("encoder.layers.{i}"), channels)?);
            let shape = Shape { input: channels, output: 2 * channels, kernel: 2 * ratio, stride: ratio };
            // The last one is followed by an activation, unless an LSTM does that.
            let last = at + 1 == self.ratios.len() && self.n_lstm_layers == 0;
            conv(&mut stack, weights, i + 2, shape, if last { Activation::Elu } else { Activation::Identity })?;
            channels *= 2;
            i += 3;
        }
        if self.n_lstm_layers > 0 {
            let lstm = Lstm::load(weights, &format!("encoder.layers.{i}.lstm"), channels, self.n_lstm_layers, Activation::Elu)?;
            stack.add(format!("encoder.layers.{}", i + 1), Layer::Lstm(Arc::new(lstm)));
            i += 1;
        }
        let shape = Shape { input: channels, output: self.dim, kernel: self.last_kernel, stride: 1 };
        conv(&mut stack, weights, i + 1, shape, Activation::Identity)?;
        Ok(stack)
    }

    /// Takes `decoder.layers.*`, named as in [`Self::encoder`].
    pub(in crate::codec) fn decoder(&self, weights: &mut Weights) -> Result<Stack, CodecError> {
        let mut stack = Stack::new(self.dim);
        let mut channels = self.n_filters << self.ratios.len();
        let shape = Shape { input: self.dim, output: channels, kernel: self.kernel, stride: 1 };
        let activation = if self.n_lstm_layers == 0 { Activation::Elu } else { Activation::Identity };
        let first = Conv::load(weights, "decoder.layers.0.conv", shape, Bias::Learned, self.padding, activation)?;
        let mut i = 1;
        if self.n_lstm_layers > 0 {
            stack.add("decoder.layers.0", Layer::Conv(first));
            let lstm = Lstm::load(weights, "decoder.layers.1.lstm", channels, self.n_lstm_layers, Activation::Elu)?;
            stack.add("decoder.layers.2", Layer::Lstm(Arc::new(lstm)));
            i += 1;
        } else {
            stack.add("decoder.layers.1", Layer::Conv(first));
        }
        for &ratio in &self.ratios {
            let shape = Shape { input: channels, output: channels / 2, kernel: 2 * ratio, stride: ratio };
            let transposed = Transposed::load(weights, &format!("decoder.layers.{}.conv", i + 1), shape, Activation::Identity)?;
            stack.add(format!("decoder.layers.{}", i + 1), Layer::Transposed(transposed));
            channels /= 2;
            stack.add(format!("decoder.layers.{}", i + 3), self.residual(weights, &format!("decoder.layers.{}", i + 2), channels)?);
            i += 3;
        }
        let shape = Shape { input: channels, output: 1, kernel: self.last_kernel, stride: 1 };
        let name = format!("decoder.layers.{}", i + 1);
        let last = Conv::load(weights, &format!("{name}.conv"), shape, Bias::Learned, self.padding, Activation::Identity)?;
        stack.add(name, Layer::Conv(last));
        Ok(stack)
    }
}
