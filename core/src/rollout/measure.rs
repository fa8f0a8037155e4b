//! What one forward pass is asked: likelihood of the true Δ, its direction and size, and where the state goes.

use burn::tensor::Tensor;
use rand::rngs::StdRng;

use super::RolloutConfig;
use crate::predict::{Predictor, Reading};

/// Columns of a measurement, in order.
pub(super) const N_COLUMNS: usize = 7;

/// Numbers of a batch of rows, still on the device. Floors and ratios are taken after reading back, in f64, so that a NaN
/// stays a NaN.
pub(super) struct Measurement {
    /// `[rows, N_COLUMNS]`: nll, nll_factored, E\[Δ\]·Δ, ‖E\[Δ\]‖, ‖advance‖, error before, error after.
    pub(super) columns: Tensor<2>,
    /// The state the predictor itself goes to, `[rows, dim]`.
    pub(super) own: Tensor<2>,
}

/// Measures what `predictor` makes of `windows [rows, window × dim]` where the state is `state`, the true frame before is `before`
/// and the true frame now is `now`, each `[rows, dim]`; `noise` is added to the new state.
#[expect(clippy::too_many_arguments, reason = "three states that differ, and what is done to them")]
pub(super) fn measure(
    predictor: &Predictor,
    windows: Tensor<2>,
    state: Tensor<2>,
    before: Tensor<2>,
    now: Tensor<2>,
    noise: Option<Tensor<2>>,
    config: &RolloutConfig,
    rng: &mut StdRng,
) -> Measurement {
    let delta = now.clone() - before.clone();
    let Reading { nll, nll_factored, mean, advance } = predictor.read(windows, &delta, config.rule, config.temperature, rng);
    let advance = if config.alpha == 1.0 { advance } else { advance * config.alpha };
    let noiseless = state.clone() + advance.clone();
    let own = match noise {
        Some(noise) => noiseless + noise,
        None => noiseless,
    };
    let columns = vec![
        nll.unsqueeze_dim(1),
        nll_factored.unsqueeze_dim(1),
        (mean.clone() * delta).sum_dim(1),
        norm(mean),
        norm(advance),
        norm(state - before),
        norm(own.clone() - now),
    ];
    Measurement { columns: Tensor::cat(columns, 1), own }
}

/// ‖row‖, `[rows, 1]`.
fn norm(rows: Tensor<2>) -> Tensor<2> {
    (rows.clone() * rows).sum_dim(1).sqrt()
}
