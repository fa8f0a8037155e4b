//! Loss and gradient of a mixture density network on the CPU, backpropagated by hand.
//!
//! The chain is short (linear layers, GELU, one loss) and its products are all that must take time. burn's graph adds a GELU that
//! computes erf one number at a time, forwards and again backwards, and the products by transposed weights, which take twice
//! as long as by weights as they lie. Weights are used where they lie, by the same products as in the graph,
//! and the gradients are handed on as the graph's.

use burn::nn::Linear;
use burn::tensor::{Gradients, Tensor, TensorData};
use driftscope_numerics::gelu::gelu_and_slope;
use driftscope_numerics::simd::vectorized;
use rayon::prelude::*;

use super::mdn::{LOG_SIGMA, MdnNet};
use super::mixture_loss::mixture_slopes;
use crate::engine::HostTensor;

/// Values that one task goes through.
const CHUNK: usize = 1 << 13;

/// Mean −ln p of `deltas [batch, dim]` after `inputs [batch, window × dim]`, `[1]`, both in the network's units, and its gradients by
/// every parameter.
pub(super) fn loss_and_gradients(net: &MdnNet, inputs: Tensor<2>, deltas: Tensor<2>) -> (Tensor<1>, Gradients) {
    let mut gradients = Tensor::<1>::zeros([1], &inputs.device()).require_grad().backward();
    let mut features = inputs.inner();
    let mut passed = Vec::with_capacity(net.backbone.len());
    for layer in &net.backbone {
        let (after, slopes) = activate(forward(layer, features.clone()));
        passed.push((layer, features, slopes));
        features = after;
    }
    let heads = [&net.pi_head, &net.mu_head, &net.log_sigma_head];
    let (loss, slopes) = mixture_slopes(heads.map(|head| forward(head, features.clone())), LOG_SIGMA, deltas.inner());
    let by_features = heads.into_iter().zip(slopes).map(|(layer, slopes)| {
        hand_over(&mut gradients, layer, features.clone(), slopes.clone());
        backward(layer, slopes)
    });
    let mut by_outputs = by_features.reduce(|sum, part| sum + part);
    for (layer, inputs, gelu_slopes) in passed.into_iter().rev() {
        let Some(slopes) = by_outputs.take().map(|by_outputs| by_outputs * gelu_slopes) else { break };
        // Nothing asks for the gradient by the windows.
        let is_first = std::ptr::eq(layer, &raw const net.backbone[0]);
        hand_over(&mut gradients, layer, inputs, slopes.clone());
        by_outputs = (!is_first).then(|| backward(layer, slopes));
    }
    (loss, gradients)
}

fn forward(layer: &Linear, inputs: Tensor<2>) -> Tensor<2> {
    let product = inputs.matmul(layer.weight.val().inner());
    match &layer.bias {
        Some(bias) => product + bias.val().inner().unsqueeze(),
        None => product,
    }
}

/// The gradient by a layer's inputs from that by its outputs.
fn backward(layer: &Linear, slopes: Tensor<2>) -> Tensor<2> {
    // Not `slopes · weightᵀ`: packing the transpose of a large matrix takes longer than the product.
    layer.weight.val().inner().matmul(slopes.transpose()).transpose()
}

/// Puts the gradients by a layer's parameters with the others.
fn hand_over(gradients: &mut Gradients, layer: &Linear, inputs: Tensor<2>, slopes: Tensor<2>) {
    if let Some(bias) = &layer.bias {
        bias.val().grad_replace(gradients, slopes.clone().sum_dim(0).squeeze_dim(0));
    }
    layer.weight.val().grad_replace(gradients, inputs.transpose().matmul(slopes));
}

/// GELU of every value, and its derivative there.
fn activate(values: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    let (device, shape) = (values.device(), values.dims());
    let mut values = HostTensor::take(values);
    let mut slopes = vec![0.0; shape[0] * shape[1]];
    values.values_mut().par_chunks_mut(CHUNK).zip(slopes.par_chunks_mut(CHUNK)).for_each(|(values, slopes)| {
        vectorized(
            #[inline(always)]
            || {
                for (value, slope) in values.iter_mut().zip(slopes) {
                    (*value, *slope) = gelu_and_slope(*value);
                }
            },
        );
    });
    (values.into_tensor(&device), Tensor::from_data(TensorData::new(slopes, shape), &device))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::host_values;
    use crate::predict::network::NetworkShape;
    use burn::tensor::Device;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    #[test]
    fn gradients_are_those_of_the_graph() {
        let (device, mut rng) = (Device::flex().autodiff(), StdRng::seed_from_u64(8));
        let (batch, n_in, dim) = (7, 12, 5);
        for n_hidden_layers in [0, 1, 2] {
            let shape = NetworkShape { n_components: 3, hidden_dim: 11, n_hidden_layers };
            let net = MdnNet::init(&mut rng, n_in, dim, shape, &device);
            let mut rows = |width: usize| {
                let values: Vec<f32> = (0..batch * width).map(|_| rng.random_range(-2.0..2.0)).collect();
                Tensor::<2>::from_data(TensorData::new(values, [batch, width]), &device)
            };
            let (inputs, deltas) = (rows(n_in), rows(dim));
            let graph = net.loss(inputs.clone(), deltas.clone());
            let (loss, gradients) = loss_and_gradients(&net, inputs, deltas);
            let (value, reference): (f32, f32) = (loss.into_scalar(), graph.clone().into_scalar());
            assert!((value - reference).abs() < 1e-5 * reference.abs(), "{value} for {reference}");
            let graph = graph.backward();
            let close = |got: Vec<f32>, want: Vec<f32>| {
                assert!(got.len() == want.len() && got.iter().zip(&want).all(|(g, w)| (g - w).abs() < 1e-5), "{got:?} for {want:?}");
            };
            for layer in net.backbone.iter().chain([&net.pi_head, &net.mu_head, &net.log_sigma_head]) {
                let (weight, bias) = (layer.weight.val(), layer.bias.as_ref().unwrap().val());
                close(host_values(weight.grad(&gradients).unwrap()), host_values(weight.grad(&graph).unwrap()));
                close(host_values(bias.grad(&gradients).unwrap()), host_values(bias.grad(&graph).unwrap()));
            }
        }
    }
}
