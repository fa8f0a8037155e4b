// The parts of a product summed, with the bias, through the activation.
// CPU twin: core/src/engine/compute/activate.rs.

struct Layer {
    n_rows: u32,
    n_in: u32,
    n_out: u32,
    // Four columns each: ⌈n_out / 4⌉.
    width: u32,
    depth: u32,
    n_parts: u32,
    from_first: u32,
    from_step: u32,
    from_stride: u32,
    // Row r begins at to_first + r · to_stride.
    to_first: u32,
    to_stride: u32,
    // 0: none; 1: GELU.
    activation: u32,
}

@group(0) @binding(1) var<uniform> layer: Layer;
// [n_parts, n_rows, 4 · width]
@group(0) @binding(2) var<storage, read> parts: array<f32>;
@group(0) @binding(3) var<storage, read> bias: array<f32>;
@group(0) @binding(4) var<storage, read_write> outputs: array<f32>;

// x·Φ(x), with 2·Φ(−u) = e^{u·Q(u)}: numerics/src/gelu.rs says why.
fn gelu(x: f32) -> f32 {
    let u = min(abs(x), 14.0);
    var q = -2.8872488e-11 * u + 1.9725777e-9;
    q = q * u - 5.7570038e-8;
    q = q * u + 9.396687e-7;
    q = q * u - 9.410971e-6;
    q = q * u + 5.8850164e-5;
    q = q * u - 2.0558613e-4;
    q = q * u + 1.3767306e-5;
    q = q * u + 0.004807157;
    q = q * u - 0.03634835;
    q = q * u - 0.318307;
    q = q * u - 0.79788476;
    let lower = 0.5 * exp(q * u);
    return x * select(lower, 1.0 - lower, x > 0.0);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let column = tile.x * 256u + index;
    let row = tile.y;
    if column >= layer.n_out {
        return;
    }
    var sum = bias[column];
    for (var part = 0u; part < layer.n_parts; part++) {
        sum += parts[(part * layer.n_rows + row) * layer.width * 4u + column];
    }
    if layer.activation == 1u {
        sum = gelu(sum);
    }
    outputs[layer.to_first + row * layer.to_stride + column] = sum;
}
