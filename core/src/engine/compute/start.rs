//! What every trajectory begins with: the true frames up to the state before the first step.

use super::Step;

/// The shader.
pub const WGSL: &str = include_str!("../../../../shaders/compute/start.wgsl");

/// CPU twin: `truth [n_segments, length, dim]` and `scaling [2, dim]` to `states` and `inputs`, `[n_rows, length, dim]` each.
pub fn start(step: &Step, truth: &[f32], scaling: &[f32], states: &mut [f32], inputs: &mut [f32]) {
    let (dim, size) = (step.dim as usize, step.length as usize * step.dim as usize);
    for row in 0..step.n_rows as usize {
        for at in 0..(step.first as usize + 1) * dim {
            let x = truth[row % step.n_segments as usize * size + at];
            states[row * size + at] = x;
            inputs[row * size + at] = (x - scaling[at % dim]) * scaling[dim + at % dim];
        }
    }
}
