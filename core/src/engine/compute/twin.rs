//! The whole path on the CPU: each kernel's twin in its turn, on the same arrays.

use super::network::{Batch, From, Head, Network, Outcome, To};
use super::product::Shape;
use super::{COLUMNS, activate, advance, mixture, product, start, von_mises_fisher};

/// What [`LivePath::run`](super::LivePath::run) gives, without a device.
pub fn run(network: &Network, batch: &Batch) -> Outcome {
    let sizes = batch.step(network, 0);
    let (dim, n_rows, n_steps) = (network.dim, batch.n_rows(), batch.n_steps);
    let (hidden_width, n_columns) = (network.hidden_width(), network.head.n_columns(dim));
    let scaling = [network.frame_mean.as_slice(), &network.frame_inverse_std].concat();
    let weights: Vec<Vec<f32>> = network.layers.iter().map(|layer| product::padded(&layer.weights, layer.bias.len())).collect();
    let length = sizes.length as usize;
    let (mut states, mut inputs) = (vec![0.0; n_rows * length * dim], vec![0.0; n_rows * length * dim]);
    let mut hidden = [vec![0.0; n_rows * hidden_width], vec![0.0; n_rows * hidden_width]];
    let mut heads = vec![0.0; n_rows * n_columns];
    let mut readings = vec![0.0; n_rows * (2 * dim + 2)];
    let mut columns = vec![0.0; n_rows * n_steps * COLUMNS];
    start::start(&sizes, &batch.truth, &scaling, &mut states, &mut inputs);
    for step in 0..n_steps {
        let step = batch.step(network, step);
        for (layer, weights) in network.layers.iter().zip(&weights) {
            let shape = Shape::of(layer, &sizes, hidden_width, n_columns);
            let mut parts = vec![0.0; shape.n_part_values()];
            let [newest, oldest] = &mut hidden;
            product::product(&step, &shape, if layer.from == From::Window { &inputs } else { newest }, weights, &mut parts);
            let is_hidden = layer.to == To::Hidden;
            activate::activate(&shape, &parts, &layer.bias, if is_hidden { oldest } else { &mut heads });
            if is_hidden {
                hidden.swap(0, 1);
            }
        }
        match &network.head {
            Head::Mixture(head) => mixture::mixture(&step, head, &heads, &batch.truth, &batch.orders, &batch.draws, &mut readings),
            Head::VonMisesFisher(head) => {
                von_mises_fisher::von_mises_fisher(&step, head, &heads, &batch.truth, &batch.orders, &batch.draws, &mut readings);
            }
        }
        let given = advance::Given {
            truth: &batch.truth,
            scaling: &scaling,
            readings: &readings,
            orders: &batch.orders,
            additions: &batch.additions,
        };
        advance::advance(&step, &given, &mut states, &mut inputs, &mut columns);
    }
    let states = states.chunks_exact(length * dim).flat_map(|row| &row[(length - n_steps) * dim..]).copied().collect();
    Outcome { columns, states, resident: None }
}
