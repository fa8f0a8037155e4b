// Frames as colors, dimension over time: the true ones, those with a rollout in their place, or how far the rollout is off.
// Each pixel shows the cell under its middle. CPU twin: core/src/engine/display/latents.rs.

struct View {
    // Frames and dimensions that one pixel covers.
    per_px: vec2<f32>,
    size_px: vec2<f32>,
    // Where the true and the rolled frames begin in their buffers.
    first: vec2<u32>,
    // Frame at the left edge.
    first_frame: f32,
    // Value of the last color; the first stands for as much below zero.
    most: f32,
    // 0: truth, 1: rollout, 2: difference.
    shown: u32,
    n_frames: u32,
    dim: u32,
    // Frame that the rollout begins at.
    start: u32,
    // 256 colors as packed RGBA, lowest value first.
    colors: array<vec4<u32>, 64>,
};

@group(0) @binding(0) var<uniform> view: View;
// [_, dim] each, the true ones from frame 0, the rolled ones from `start`
@group(0) @binding(1) var<storage, read> truth: array<f32>;
@group(0) @binding(2) var<storage, read> rolled: array<f32>;
// Mean and standard deviation of each dimension: [2, dim]
@group(0) @binding(3) var<storage, read> scaling: array<f32>;

struct Corner {
    @builtin(position) position: vec4<f32>,
    @location(0) at_px: vec2<f32>,
};

@vertex
fn vertex(@builtin(vertex_index) vertex: u32) -> Corner {
    let corners = array<vec2<f32>, 6>(
        vec2<f32>(0.0, 0.0), vec2<f32>(1.0, 0.0), vec2<f32>(1.0, 1.0),
        vec2<f32>(0.0, 0.0), vec2<f32>(1.0, 1.0), vec2<f32>(0.0, 1.0),
    );
    let corner = corners[vertex];
    var out: Corner;
    out.position = vec4<f32>(corner * 2.0 - 1.0, 0.0, 1.0);
    // Counted from the lower left: the first dimension is at the bottom.
    out.at_px = corner * view.size_px;
    return out;
}

// In standard deviations.
fn value(frame: u32, d: u32) -> f32 {
    let spread = scaling[view.dim + d];
    let is_rolled = frame >= view.start;
    if view.shown == 2u {
        if !is_rolled {
            return 0.0;
        }
        return (rolled[view.first.y + (frame - view.start) * view.dim + d] - truth[view.first.x + frame * view.dim + d]) / spread;
    }
    if view.shown == 1u && is_rolled {
        return (rolled[view.first.y + (frame - view.start) * view.dim + d] - scaling[d]) / spread;
    }
    return (truth[view.first.x + frame * view.dim + d] - scaling[d]) / spread;
}

@fragment
fn fragment(in: Corner) -> @location(0) vec4<f32> {
    let px = floor(in.at_px) + 0.5;
    let frame = min(u32(max(view.first_frame + px.x * view.per_px.x, 0.0)), view.n_frames - 1u);
    let d = min(u32(px.y * view.per_px.y), view.dim - 1u);
    let level = value(frame, d) / view.most * 0.5 + 0.5;
    var index = 0u;
    // What is no number has the first color.
    if level > 0.0 {
        index = u32(min(level, 1.0) * 255.0 + 0.5);
    }
    return unpack4x8unorm(view.colors[index / 4u][index % 4u]);
}
