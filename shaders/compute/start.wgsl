// What every trajectory begins with: the true frames up to the state before the first step, raw and as the network takes them.
// CPU twin: core/src/engine/compute/start.rs.

struct Step {
    step: u32,
    n_steps: u32,
    n_segments: u32,
    n_rows: u32,
    dim: u32,
    // Frames of a trajectory.
    length: u32,
    // Where the state before the first step lies in it.
    first: u32,
    rule: u32,
    alpha: f32,
    temperature: f32,
}

@group(0) @binding(0) var<uniform> now: Step;
// [n_segments, length, dim]
@group(0) @binding(1) var<storage, read> truth: array<f32>;
// Mean and 1/σ of frames, the unit of the inputs: [2, dim]
@group(0) @binding(2) var<storage, read> scaling: array<f32>;
// [n_rows, length, dim] each
@group(0) @binding(3) var<storage, read_write> states: array<f32>;
@group(0) @binding(4) var<storage, read_write> inputs: array<f32>;

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let at = tile.x * 256u + index;
    if at >= (now.first + 1u) * now.dim {
        return;
    }
    let d = at % now.dim;
    let size = now.length * now.dim;
    let x = truth[tile.y % now.n_segments * size + at];
    states[tile.y * size + at] = x;
    inputs[tile.y * size + at] = (x - scaling[d]) * scaling[now.dim + d];
}
