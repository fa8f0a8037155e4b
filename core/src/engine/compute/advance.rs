//! One step of the state: its measures, the predicted Δ, noise, what the schedule makes of it, and the pushes by hand.

use super::network::Order;
use super::{COLUMNS, Step};

/// The shader.
pub const WGSL: &str = include_str!("../../../../shaders/compute/advance.wgsl");

/// What [`advance`] reads.
#[derive(Clone, Copy, Debug)]
pub struct Given<'a> {
    /// `[n_segments, length, dim]`
    pub truth: &'a [f32],
    /// Mean and 1/σ of frames, `[2, dim]`.
    pub scaling: &'a [f32],
    /// E\[Δ\], advance, −ln p, factored −ln p: `[n_rows, 2 · dim + 2]`.
    pub readings: &'a [f32],
    /// `[n_schedules, n_steps]`
    pub orders: &'a [Order],
    /// `[_, dim]`
    pub additions: &'a [f32],
}

/// CPU twin: appends a frame to `states` and `inputs`, `[n_rows, length, dim]`, and writes a row of `columns [n_rows, n_steps, COLUMNS]`.
pub fn advance(step: &Step, given: &Given, states: &mut [f32], inputs: &mut [f32], columns: &mut [f32]) {
    let dim = step.dim as usize;
    for row in 0..step.n_rows as usize {
        let segment = row % step.n_segments as usize;
        let order = given.orders[step.order(row)];
        let added = |first: u32, segment: usize, d: usize| {
            if first == Order::NONE { 0.0 } else { given.additions[(first as usize + segment) * dim + d] }
        };
        let true_after = step.true_after(row);
        let after = (row * step.length as usize + step.first as usize + step.step as usize + 1) * dim;
        let reading = &given.readings[row * (2 * dim + 2)..][..2 * dim + 2];
        let (mut squares, mut dot) = ([0.0_f32; 4], 0.0);
        for d in 0..dim {
            let (truth, truth_before) = (given.truth[true_after + d], given.truth[true_after - dim + d]);
            let (state, mean, delta) = (states[after - dim + d], reading[d], reading[dim + d] * step.alpha);
            let own = state + delta + added(order.noise, segment, d);
            squares.iter_mut().zip([mean, delta, state - truth_before, own - truth]).for_each(|(sum, x)| *sum += x * x);
            dot += mean * (truth - truth_before);
            let base = match order.base {
                Order::TRUTH => truth,
                Order::BEFORE => state,
                _ => own,
            };
            let next = base + added(order.painted, segment, d) + added(order.nudge, 0, d);
            states[after + d] = next;
            inputs[after + d] = (next - given.scaling[d]) * given.scaling[dim + d];
        }
        let [mean, delta, before, after] = squares.map(f32::sqrt);
        let measured = [reading[2 * dim], reading[2 * dim + 1], dot, mean, delta, before, after, 0.0];
        columns[(row * step.n_steps as usize + step.step as usize) * COLUMNS..][..COLUMNS].copy_from_slice(&measured);
    }
}
