//! Parts that the trained predictors share: stacks of linear layers, bounds on outputs, standardization of inputs.

use burn::module::Param;
use burn::nn::Linear;
use burn::tensor::{Device, Tensor, TensorData, activation};
use rand::RngExt;
use rand::rngs::StdRng;

/// An interval that a network output is kept in.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub(super) enum Bound {
    /// As the peer: `clamp(low, high)`, no gradient outside.
    Hard(f64, f64),
    /// `mid + half·u/√(1+u²)`, u = (x − mid)/half: monotone, and its gradient falls off only as a power, so that no start and no
    /// outlier can leave an output stuck at an end.
    Soft(f64, f64),
}

impl Bound {
    /// Applies the bound to every element.
    pub(super) fn apply<const D: usize>(self, x: Tensor<D>) -> Tensor<D> {
        match self {
            Self::Hard(low, high) => x.clamp(low, high),
            Self::Soft(low, high) => {
                let (mid, half) = (f64::midpoint(low, high), (high - low) / 2.0);
                let u = (x - mid) * (1.0 / half);
                let shrink = (u.clone().square() + 1.0).sqrt();
                u / shrink * half + mid
            }
        }
    }

    /// The bounded value of one number, and its derivative.
    #[inline(always)]
    #[expect(clippy::inline_always, reason = "vector instructions reach only what is inlined")]
    pub(super) fn value_and_slope(self, x: f32) -> (f32, f32) {
        match self {
            Self::Hard(low, high) => {
                let y = hard(x, low as f32, high as f32);
                (y, if y == x { 1.0 } else { 0.0 })
            }
            Self::Soft(low, high) => {
                let (mid, half) = (f64::midpoint(low, high) as f32, ((high - low) / 2.0) as f32);
                let u = (x - mid) * (1.0 / half);
                let shrink = 1.0 / (u * u + 1.0).sqrt();
                (u * shrink * half + mid, shrink * shrink * shrink)
            }
        }
    }

    /// The input whose bounded value is `y`: bias initializations are meant after the bound.
    pub(super) fn invert(self, y: f64) -> f64 {
        match self {
            Self::Hard(..) => y,
            Self::Soft(low, high) => {
                let (mid, half) = (f64::midpoint(low, high), (high - low) / 2.0);
                let v = (y - mid) / half;
                mid + half * v / (1.0 - v * v).sqrt()
            }
        }
    }
}

/// `clamp` without its check of the interval in every turn of a loop; NaN stays.
#[inline(always)]
#[expect(clippy::inline_always, reason = "vector instructions reach only what is inlined")]
pub(super) fn hard(x: f32, low: f32, high: f32) -> f32 {
    let above = if x < low { low } else { x };
    if above > high { high } else { above }
}

/// Applies `layers` with an exact (erf) GELU after each.
pub(super) fn forward_backbone(layers: &[Linear], x: Tensor<2>) -> Tensor<2> {
    layers.iter().fold(x, |x, layer| activation::gelu(layer.forward(x)))
}

/// Applies `layers` with an exact (erf) GELU between them and none after the last.
pub(super) fn forward_mlp(layers: &[Linear], x: Tensor<2>) -> Tensor<2> {
    let Some((last, hidden)) = layers.split_last() else { return x };
    last.forward(forward_backbone(hidden, x))
}

/// A layer with PyTorch's default initialization, weights and bias from U(±1/√n_in); the bias can start elsewhere.
pub(super) fn linear(rng: &mut StdRng, n_in: usize, n_out: usize, bias: Option<f64>, device: &Device) -> Linear {
    let reach = 1.0 / (n_in.max(1) as f32).sqrt();
    let mut uniform = |n: usize| (0..n).map(|_| rng.random_range(-reach..=reach)).collect::<Vec<f32>>();
    let weight = TensorData::new(uniform(n_in * n_out), [n_in, n_out]);
    let bias = TensorData::new(bias.map_or_else(|| uniform(n_out), |b| vec![b as f32; n_out]), [n_out]);
    Linear { weight: Param::from_data(weight, device), bias: Some(Param::from_data(bias, device)) }
}

/// `n_hidden` layers of width `width` after `n_in` inputs.
pub(super) fn backbone(rng: &mut StdRng, n_in: usize, width: usize, n_hidden: usize, device: &Device) -> Vec<Linear> {
    (0..n_hidden).map(|i| linear(rng, if i == 0 { n_in } else { width }, width, None, device)).collect()
}

/// What the shapes of a network's tensors follow from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct NetworkShape {
    pub(super) n_components: usize,
    pub(super) hidden_dim: usize,
    pub(super) n_hidden_layers: usize,
}

/// Statistics of the training side that the network's inputs and outputs are expressed in; kept in the checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scaling {
    /// Mean frame, `[dim]`.
    pub(super) frame_mean: Vec<f32>,
    /// Standard deviation of frames, `[dim]`.
    pub(super) frame_std: Vec<f32>,
    /// Standard deviation of Δ, `[dim]`: the unit of a mixture's outputs.
    pub(super) delta_std: Vec<f32>,
    /// Mean and standard deviation of ln‖Δ‖: the unit of a LogNormal's outputs.
    pub(super) log_magnitude: (f64, f64),
}

/// Standardizes windows: `(x − mean)/std` with the frame statistics repeated over the window.
#[derive(Clone, Debug)]
pub(super) struct InputScaling {
    mean: Tensor<2>,
    inverse_std: Tensor<2>,
}

impl InputScaling {
    pub(super) fn new(frame_mean: &[f32], frame_std: &[f32], window: usize, device: &Device) -> Self {
        let tile = |values: Vec<f32>| {
            let n = values.len() * window;
            Tensor::from_data(TensorData::new(values.repeat(window), [1, n]), device)
        };
        Self { mean: tile(frame_mean.to_vec()), inverse_std: tile(frame_std.iter().map(|s| 1.0 / s).collect()) }
    }

    pub(super) fn apply(&self, windows: Tensor<2>) -> Tensor<2> {
        (windows - self.mean.clone()) * self.inverse_std.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn soft_bound_has_gradient_everywhere() {
        let device = Device::flex().autodiff();
        let bound = Bound::Soft(-7.0, 2.0);
        for x in [-1e4_f32, -100.0, -7.0, -1.0, 2.0, 100.0, 1e4] {
            let input = Tensor::<1>::from_floats([x], &device).require_grad();
            let output = bound.apply(input.clone());
            let y: f32 = output.clone().into_scalar();
            assert!((-7.0..=2.0).contains(&y), "{x} → {y}");
            let slope: f32 = input.grad(&output.backward()).unwrap().into_scalar();
            assert!(slope > 0.0, "no gradient at {x}");
        }
        let y: f32 = bound.apply(Tensor::<1>::from_floats([bound.invert(-1.0) as f32], &device)).into_scalar();
        assert!((y + 1.0).abs() < 1e-5);
    }
}
