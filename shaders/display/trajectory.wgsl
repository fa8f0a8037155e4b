// One path through space: every segment is a quad around a capsule of constant width on the page, colored by the value along it.
// CPU twin: core/src/engine/display/trajectory.rs. Orthographic: the matrix leaves w at 1, so lengths in pixels interpolate linearly.

struct View {
    orbit: mat4x4<f32>,
    // sRGB as the screen wants it, opacity not multiplied in.
    color_low: vec4<f32>,
    color_high: vec4<f32>,
    size_px: vec2<f32>,
    width_px: f32,
    // Where the path begins among the points of its buffer.
    first_point: u32,
};

@group(0) @binding(0) var<uniform> view: View;
// x, y, z, value in 0..=1; a point that is not finite interrupts the path.
@group(0) @binding(1) var<storage, read> points: array<vec4<f32>>;

struct Corner {
    @builtin(position) position: vec4<f32>,
    @location(0) at_px: vec2<f32>,
    @location(1) @interpolate(flat) a_px: vec2<f32>,
    @location(2) @interpolate(flat) b_px: vec2<f32>,
    @location(3) @interpolate(flat) values: vec2<f32>,
};

fn on_page(point: vec4<f32>) -> vec2<f32> {
    let clip = view.orbit * vec4<f32>(point.xyz, 1.0);
    return vec2<f32>(clip.x + 1.0, 1.0 - clip.y) * 0.5 * view.size_px;
}

// By their bits, as compilers may take all numbers for finite.
fn is_finite(point: vec4<f32>) -> bool {
    let exponents = bitcast<vec4<u32>>(point) & vec4<u32>(0x7f800000u);
    return all(exponents != vec4<u32>(0x7f800000u));
}

@vertex
fn vertex(@builtin(vertex_index) vertex: u32, @builtin(instance_index) segment: u32) -> Corner {
    let begin = points[view.first_point + segment];
    let finish = points[view.first_point + segment + 1u];
    if !is_finite(begin) || !is_finite(finish) {
        // No corner of it is seen.
        return Corner(vec4<f32>(2.0, 2.0, 0.0, 1.0), vec2<f32>(), vec2<f32>(), vec2<f32>(), vec2<f32>());
    }
    let a = on_page(begin);
    let b = on_page(finish);
    let along = b - a;
    let length_px = length(along);
    let direction = select(vec2<f32>(1.0, 0.0), along / max(length_px, 1e-6), length_px > 1e-6);
    let normal = vec2<f32>(-direction.y, direction.x);
    // Room for the round ends and for the soft edge of one pixel.
    let reach = 0.5 * view.width_px + 1.0;
    let corners = array<vec2<f32>, 6>(
        vec2<f32>(0.0, -1.0), vec2<f32>(1.0, -1.0), vec2<f32>(1.0, 1.0),
        vec2<f32>(0.0, -1.0), vec2<f32>(1.0, 1.0), vec2<f32>(0.0, 1.0),
    );
    let corner = corners[vertex];
    let end = select(a - direction * reach, b + direction * reach, corner.x > 0.5);
    let at = end + normal * corner.y * reach;
    var out: Corner;
    out.position = vec4<f32>(at.x / view.size_px.x * 2.0 - 1.0, 1.0 - at.y / view.size_px.y * 2.0, 0.0, 1.0);
    out.at_px = at;
    out.a_px = a;
    out.b_px = b;
    out.values = vec2<f32>(begin.w, finish.w);
    return out;
}

@fragment
fn fragment(in: Corner) -> @location(0) vec4<f32> {
    let along = in.b_px - in.a_px;
    let toward = in.at_px - in.a_px;
    let place = clamp(dot(toward, along) / max(dot(along, along), 1e-6), 0.0, 1.0);
    let distance_px = length(toward - along * place);
    let cover = clamp(0.5 * view.width_px + 0.5 - distance_px, 0.0, 1.0);
    let value = clamp(mix(in.values.x, in.values.y, place), 0.0, 1.0);
    let color = mix(view.color_low, view.color_high, value);
    let opacity = color.a * cover;
    return vec4<f32>(color.rgb * opacity, opacity);
}
