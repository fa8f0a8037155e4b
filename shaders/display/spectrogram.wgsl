// Levels in decibels as colors. Zoomed out, a pixel shows the loudest of the cells it covers, so that no click disappears; zoomed in,
// cells are flat. CPU twin: core/src/engine/display/spectrogram.rs.

struct View {
    // First frame and bin shown, and how many frames and bins one pixel covers.
    first: vec2<f32>,
    per_px: vec2<f32>,
    size_px: vec2<f32>,
    // Levels of the first and the last color.
    range_db: vec2<f32>,
    // Frames and bins there are.
    n_cells: vec2<u32>,
    // Where the levels begin in their buffer.
    first_level: u32,
    _padding: u32,
    // 256 colors as packed RGBA, lowest level first.
    colors: array<vec4<u32>, 64>,
};

@group(0) @binding(0) var<uniform> view: View;
// [n_frames, n_bins]
@group(0) @binding(1) var<storage, read> levels_db: array<f32>;

// More cells than this along one side of a pixel are sampled evenly.
const MOST_CELLS: u32 = 32u;

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
    // Counted from the lower left: low frequencies are at the bottom.
    out.at_px = corner * view.size_px;
    return out;
}

// The cells that pixel `px` covers along one axis: first, one past the last, and the step between those looked at.
fn covered(px: f32, first: f32, per_px: f32, n_cells: u32) -> vec3<u32> {
    let low = first + px * per_px;
    let begin = min(u32(max(low, 0.0)), n_cells - 1u);
    let end = clamp(u32(max(ceil(low + per_px), 0.0)), begin + 1u, n_cells);
    return vec3<u32>(begin, end, max((end - begin) / MOST_CELLS, 1u));
}

@fragment
fn fragment(in: Corner) -> @location(0) vec4<f32> {
    let px = floor(in.at_px);
    let frames = covered(px.x, view.first.x, view.per_px.x, view.n_cells.x);
    let bins = covered(px.y, view.first.y, view.per_px.y, view.n_cells.y);
    var loudest = view.range_db.x;
    for (var frame = frames.x; frame < frames.y; frame += frames.z) {
        for (var bin = bins.x; bin < bins.y; bin += bins.z) {
            loudest = max(loudest, levels_db[view.first_level + frame * view.n_cells.y + bin]);
        }
    }
    let level = clamp((loudest - view.range_db.x) / (view.range_db.y - view.range_db.x), 0.0, 1.0);
    let index = u32(level * 255.0 + 0.5);
    return unpack4x8unorm(view.colors[index / 4u][index % 4u]);
}
