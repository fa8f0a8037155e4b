// One step of the state: its measures, the predicted Δ, noise, what the schedule makes of it, and the pushes by hand.
// One workgroup a row. CPU twin: core/src/engine/compute/advance.rs.

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
    // Factor on the predicted Δ.
    alpha: f32,
    temperature: f32,
}

struct Order {
    // The state goes on from 0: the predictor's own; 1: the true one; 2: the one before.
    base: u32,
    // Rows of `additions`, NONE for none: of the first segment, and of all.
    noise: u32,
    painted: u32,
    nudge: u32,
    draw: u32,
}

const NONE: u32 = 0xffffffffu;

@group(0) @binding(0) var<uniform> now: Step;
// [n_segments, length, dim]
@group(0) @binding(1) var<storage, read> truth: array<f32>;
// Mean and 1/σ of frames, the unit of the inputs: [2, dim]
@group(0) @binding(2) var<storage, read> scaling: array<f32>;
// E[Δ], advance, −ln p, −ln p as the peer factors it: [n_rows, 2 · dim + 2]
@group(0) @binding(3) var<storage, read> readings: array<f32>;
// [n_schedules, n_steps]
@group(0) @binding(4) var<storage, read> orders: array<Order>;
// [_, dim]
@group(0) @binding(5) var<storage, read> additions: array<f32>;
// [n_rows, length, dim] each
@group(0) @binding(6) var<storage, read_write> states: array<f32>;
@group(0) @binding(7) var<storage, read_write> inputs: array<f32>;
// −ln p, factored −ln p, E[Δ]·Δ, ‖E[Δ]‖, ‖advance‖, error before, error after, 0: [n_rows, n_steps, 8]
@group(0) @binding(8) var<storage, read_write> columns: array<f32>;

var<workgroup> norms: array<vec4<f32>, 256>;
var<workgroup> dots: array<f32, 256>;

fn added(row: u32, d: u32) -> f32 {
    if row == NONE {
        return 0.0;
    }
    return additions[row * now.dim + d];
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let row = tile.x;
    let dim = now.dim;
    let segment = row % now.n_segments;
    let order = orders[row / now.n_segments * now.n_steps + now.step];
    let noise = select(order.noise + segment, NONE, order.noise == NONE);
    let painted = select(order.painted + segment, NONE, order.painted == NONE);
    let true_after = (segment * now.length + now.first + now.step + 1u) * dim;
    let after = (row * now.length + now.first + now.step + 1u) * dim;
    let reading = row * (2u * dim + 2u);
    var squares = vec4<f32>();
    var dot_product = 0.0;
    for (var d = index; d < dim; d += 256u) {
        let truth_after = truth[true_after + d];
        let truth_before = truth[true_after - dim + d];
        let state = states[after - dim + d];
        let mean = readings[reading + d];
        let step = readings[reading + dim + d] * now.alpha;
        let own = state + step + added(noise, d);
        let apart = vec4<f32>(mean, step, state - truth_before, own - truth_after);
        squares += apart * apart;
        dot_product += mean * (truth_after - truth_before);
        var next = own;
        if order.base == 1u {
            next = truth_after;
        } else if order.base == 2u {
            next = state;
        }
        next = next + added(painted, d) + added(order.nudge, d);
        states[after + d] = next;
        inputs[after + d] = (next - scaling[d]) * scaling[dim + d];
    }
    norms[index] = squares;
    dots[index] = dot_product;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half /= 2u) {
        if index < half {
            norms[index] += norms[index + half];
            dots[index] += dots[index + half];
        }
        workgroupBarrier();
    }
    if index == 0u {
        let norm = sqrt(norms[0]);
        let column = (row * now.n_steps + now.step) * 8u;
        columns[column] = readings[reading + 2u * dim];
        columns[column + 1u] = readings[reading + 2u * dim + 1u];
        columns[column + 2u] = dots[0];
        columns[column + 3u] = norm.x;
        columns[column + 4u] = norm.y;
        columns[column + 5u] = norm.z;
        columns[column + 6u] = norm.w;
    }
}
