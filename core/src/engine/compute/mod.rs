//! Rollouts on the GPU in one submission: the kernels of `shaders/compute`, and what strings them together.
//!
//! A [`Network`] says what a predictor computes, in plain arrays; [`LivePath`] keeps its weights on a device. A [`Batch`] is everything
//! that is known of a rollout before its first step, random numbers included; the path runs all steps of all rows of it without the host
//! in between and reads the results back once. A trajectory is one stretch of memory to which each step appends a frame, so that the
//! windows a network reads are slices of it. [`twin::run`] is the same on the CPU, one plain function for each kernel. What the numbers
//! mean is for `predict` and `rollout` to say.

pub mod activate;
pub mod advance;
mod crossover;
mod kernel;
mod live;
pub mod mixture;
mod network;
pub mod product;
pub mod start;
#[cfg(test)]
mod tests;
pub mod twin;
pub mod von_mises_fisher;

pub use crossover::{Crossovers, Pace, crossover};
pub use kernel::{Gpu, GpuError};
pub use live::LivePath;
pub use network::{Activation, Batch, Bound, From, Head, Layer, MixtureHead, Network, Order, Outcome, Rule, To, VonMisesFisherHead};
pub use von_mises_fisher::PROPOSALS;

/// Numbers of a row and step in [`Outcome::columns`].
pub const COLUMNS: usize = 8;
/// Components that a mixture may have here.
pub const MOST_COMPONENTS: usize = 64;

/// What every kernel is told: the step and the sizes of the batch.
#[repr(C)]
#[derive(Clone, Copy, Debug, bytemuck::Pod, bytemuck::Zeroable)]
pub struct Step {
    /// From 0.
    pub step: u32,
    /// Steps of a rollout.
    pub n_steps: u32,
    /// Starts.
    pub n_segments: u32,
    /// Starts × schedules.
    pub n_rows: u32,
    /// Dimensions of a frame.
    pub dim: u32,
    /// Frames of a trajectory.
    pub length: u32,
    /// Where the state before the first step lies in it.
    pub first: u32,
    /// [`Rule`] as a number.
    pub rule: u32,
    /// Factor on the predicted Δ.
    pub alpha: f32,
    /// Spread of samples.
    pub temperature: f32,
}

impl Step {
    /// First value of the true frame that a row's step leads to, in `truth`.
    fn true_after(&self, row: usize) -> usize {
        (row % self.n_segments as usize * self.length as usize + self.first as usize + self.step as usize + 1) * self.dim as usize
    }

    /// Place of a row's order in `orders`.
    fn order(&self, row: usize) -> usize {
        row / self.n_segments as usize * self.n_steps as usize + self.step as usize
    }
}
