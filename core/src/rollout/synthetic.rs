//! Synthetic modes for listening: what the ear makes of a wrong magnitude or a wrong direction.

use crate::latents::Latents;

/// What is done to the true Δ.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyntheticMode {
    /// `GT`: unchanged.
    GroundTruth,
    /// `A_stationary`: the first frame repeated.
    Stationary,
    /// `B_slow_a…`: true direction, `alpha` of the magnitude.
    Slow {
        /// Factor on the magnitude.
        alpha: f32,
    },
    /// `C_wrong_dir`: true magnitude, seeded random direction.
    WrongDirection,
}

/// Whether errors add up from frame 0 or each step starts from the true frame before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accumulation {
    /// As the peer: from its own previous state.
    #[default]
    Accumulated,
    /// From the true previous frame.
    PerStep,
}

/// Applies a mode. `normals` yields the standard normal draws of `WrongDirection` (dim for each frame after the first).
pub fn synthesize(truth: &Latents, mode: SyntheticMode, accumulation: Accumulation, normals: &mut dyn FnMut() -> f32) -> Latents {
    let _ = (truth, mode, accumulation, normals);
    todo!()
}
