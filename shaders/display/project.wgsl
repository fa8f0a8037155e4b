// Frames seen along three principal axes, written to where a path's points are read. One workgroup a frame.
// CPU twin: core/src/engine/display/project.rs.

struct Sizes {
    // Where the frames begin in their buffer.
    first: u32,
    n_frames: u32,
    dim: u32,
    // Point of the first frame.
    first_point: u32,
};

@group(0) @binding(0) var<uniform> sizes: Sizes;
// [n_frames, dim]
@group(0) @binding(1) var<storage, read> frames: array<f32>;
// Mean, then three directions: [4, dim]
@group(0) @binding(2) var<storage, read> axes: array<f32>;
// x, y, z, value; the value stays.
@group(0) @binding(3) var<storage, read_write> points: array<vec4<f32>>;

// Workgroups along one side of a dispatch.
const MOST_ACROSS: u32 = 65535u;

var<workgroup> sums: array<vec3<f32>, 64>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let frame = tile.x + tile.y * MOST_ACROSS;
    let dim = sizes.dim;
    var sum = vec3<f32>();
    if frame < sizes.n_frames {
        for (var d = index; d < dim; d += 64u) {
            let off_mean = frames[sizes.first + frame * dim + d] - axes[d];
            sum += off_mean * vec3<f32>(axes[dim + d], axes[2u * dim + d], axes[3u * dim + d]);
        }
    }
    sums[index] = sum;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if index < half {
            sums[index] += sums[index + half];
        }
        workgroupBarrier();
    }
    if index == 0u && frame < sizes.n_frames {
        let point = sizes.first_point + frame;
        points[point] = vec4<f32>(sums[0], points[point].w);
    }
}
