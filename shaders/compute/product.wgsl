// rows · weights in parts, each over some of the inputs: with them there are enough workgroups also where outputs are few.
// `few` reads every weight once for eight rows; `many` goes through tiles of rows and columns.
// CPU twin: core/src/engine/compute/product.rs.

struct Step {
    step: u32,
    n_steps: u32,
    n_segments: u32,
    n_rows: u32,
    dim: u32,
    length: u32,
    first: u32,
    rule: u32,
    alpha: f32,
    temperature: f32,
}

struct Layer {
    n_rows: u32,
    n_in: u32,
    n_out: u32,
    // Four columns each: ⌈n_out / 4⌉.
    width: u32,
    // Inputs of one part.
    depth: u32,
    n_parts: u32,
    // Row r begins at from_first + step · from_step + r · from_stride.
    from_first: u32,
    from_step: u32,
    from_stride: u32,
    to_first: u32,
    to_stride: u32,
    activation: u32,
}

@group(0) @binding(0) var<uniform> now: Step;
@group(0) @binding(1) var<uniform> layer: Layer;
@group(0) @binding(2) var<storage, read> inputs: array<f32>;
// [n_in, width]
@group(0) @binding(3) var<storage, read> weights: array<vec4<f32>>;
// [n_parts, n_rows, width]
@group(0) @binding(4) var<storage, read_write> parts: array<vec4<f32>>;

// Inputs of four rows, and weights of four columns.
var<workgroup> rows: array<vec4<f32>, 256>;
var<workgroup> columns: array<vec4<f32>, 256>;
var<workgroup> sums: array<vec4<f32>, 512>;

fn input(row: u32, at: u32, end: u32) -> f32 {
    if row >= layer.n_rows || at >= end {
        return 0.0;
    }
    return inputs[layer.from_first + now.step * layer.from_step + row * layer.from_stride + at];
}

fn four_rows(row: u32, at: u32, end: u32) -> vec4<f32> {
    return vec4<f32>(input(row, at, end), input(row + 1u, at, end), input(row + 2u, at, end), input(row + 3u, at, end));
}

// Column i is w for row i.
fn outer(w: vec4<f32>, x: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(w * x.x, w * x.y, w * x.z, w * x.w);
}

fn store(part: u32, row: u32, column: u32, value: vec4<f32>) {
    if row < layer.n_rows && column < layer.width {
        parts[(part * layer.n_rows + row) * layer.width + column] = value;
    }
}

// 8 rows × 64 columns; every sixteenth input is one thread's.
@compute @workgroup_size(16, 16)
fn few(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    const DEPTH = 128u;
    let column = tile.x * 16u + local.x;
    let row = tile.y * 8u;
    let end = min((tile.z + 1u) * layer.depth, layer.n_in);
    var low = mat4x4<f32>();
    var high = mat4x4<f32>();
    for (var at = tile.z * layer.depth; at < end; at += DEPTH) {
        workgroupBarrier();
        rows[index] = four_rows(row + index / DEPTH * 4u, at + index % DEPTH, end);
        workgroupBarrier();
        if column < layer.width {
            for (var i = local.y; i < min(DEPTH, end - at); i += 16u) {
                let w = weights[(at + i) * layer.width + column];
                low += outer(w, rows[i]);
                high += outer(w, rows[DEPTH + i]);
            }
        }
    }
    reduce(tile.z, row, tile.x * 16u, index, low[0], low[1]);
    reduce(tile.z, row + 2u, tile.x * 16u, index, low[2], low[3]);
    reduce(tile.z, row + 4u, tile.x * 16u, index, high[0], high[1]);
    reduce(tile.z, row + 6u, tile.x * 16u, index, high[2], high[3]);
}

// Adds the threads of a column up, for two rows.
fn reduce(part: u32, row: u32, column: u32, index: u32, first: vec4<f32>, second: vec4<f32>) {
    sums[index] = first;
    sums[256u + index] = second;
    workgroupBarrier();
    if index < 32u {
        let start = index / 16u * 256u + index % 16u;
        var total = sums[start];
        for (var i = 1u; i < 16u; i++) {
            total += sums[start + i * 16u];
        }
        store(part, row + index / 16u, column + index % 16u, total);
    }
    workgroupBarrier();
}

// 64 rows × 64 columns, 4 × 4 of them a thread's.
@compute @workgroup_size(16, 16)
fn many(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_id) local: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    const DEPTH = 16u;
    let row = tile.y * 64u;
    let end = min((tile.z + 1u) * layer.depth, layer.n_in);
    var total = mat4x4<f32>();
    for (var at = tile.z * layer.depth; at < end; at += DEPTH) {
        workgroupBarrier();
        // Neighbors read neighboring inputs, then neighboring weights.
        rows[local.x * 16u + local.y] = four_rows(row + local.y * 4u, at + local.x, end);
        var w = vec4<f32>();
        if at + local.y < end && tile.x * 16u + local.x < layer.width {
            w = weights[(at + local.y) * layer.width + tile.x * 16u + local.x];
        }
        columns[index] = w;
        workgroupBarrier();
        for (var i = 0u; i < DEPTH; i++) {
            total += outer(columns[i * 16u + local.x], rows[i * 16u + local.y]);
        }
    }
    store(tile.z, row + local.y * 4u, tile.x * 16u + local.x, total[0]);
    store(tile.z, row + local.y * 4u + 1u, tile.x * 16u + local.x, total[1]);
    store(tile.z, row + local.y * 4u + 2u, tile.x * 16u + local.x, total[2]);
    store(tile.z, row + local.y * 4u + 3u, tile.x * 16u + local.x, total[3]);
}
