// Direction ~ vMF(μ, κ) and magnitude ~ LogNormal from the heads' outputs: −ln p of the true Δ, E[Δ], and the Δ the state advances by.
// One workgroup a row. CPU twin: core/src/engine/compute/von_mises_fisher.rs.

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
    // 0: mean; 1: median; 2: mode; 3: sample.
    rule: u32,
    alpha: f32,
    temperature: f32,
}

struct Order {
    base: u32,
    noise: u32,
    painted: u32,
    nudge: u32,
    draw: u32,
}

struct Bound {
    // 0: low ..= high; 1: low is the middle and high half the width of a soft interval.
    is_soft: u32,
    low: f32,
    high: f32,
    padding: u32,
}

struct VonMisesFisher {
    log_kappa: Bound,
    mu_logm: Bound,
    log_sigma_logm: Bound,
    // Mean and standard deviation of ln‖Δ‖: the unit of the magnitude's outputs.
    mean: f32,
    spread: f32,
    // ln C_D(κ) + κ by ln κ: where the table begins, its cells a unit, and its slope beyond the end.
    table_low: f32,
    table_steps: f32,
    table_slope: f32,
    n_cells: u32,
}

@group(0) @binding(0) var<uniform> now: Step;
@group(0) @binding(1) var<uniform> head: VonMisesFisher;
// Direction [dim], ln κ, μ and ln σ of ln‖Δ‖: [n_rows, dim + 3]
@group(0) @binding(2) var<storage, read> heads: array<f32>;
// Cubic coefficients, constant term first: [n_cells]
@group(0) @binding(3) var<storage, read> table: array<vec4<f32>>;
// [n_segments, length, dim]
@group(0) @binding(4) var<storage, read> truth: array<f32>;
// [n_schedules, n_steps]
@group(0) @binding(5) var<storage, read> orders: array<Order>;
// 32 proposals (a Beta variate, ln of a uniform), a normal for the magnitude, a normal for each dimension: [n_draws, 65 + dim]
@group(0) @binding(6) var<storage, read> draws: array<f32>;
// E[Δ], advance, −ln p, −ln p as the peer factors it: [n_rows, 2 · dim + 2]
@group(0) @binding(7) var<storage, read_write> readings: array<f32>;

const PROPOSALS: u32 = 32u;

var<workgroup> sums: array<f32, 256>;

fn bounded(bound: Bound, x: f32) -> f32 {
    if bound.is_soft == 1u {
        let u = (x - bound.low) / bound.high;
        return u / sqrt(u * u + 1.0) * bound.high + bound.low;
    }
    let above = select(x, bound.low, x < bound.low);
    return select(above, bound.high, above > bound.high);
}

fn total(index: u32, part: f32) -> f32 {
    workgroupBarrier();
    sums[index] = part;
    workgroupBarrier();
    for (var half = 128u; half > 0u; half /= 2u) {
        if index < half {
            sums[index] += sums[index + half];
        }
        workgroupBarrier();
    }
    return sums[0];
}

// A norm of at least 1e-8; NaN stays.
fn norm_of(squares: f32) -> f32 {
    let norm = sqrt(squares);
    return select(norm, 1e-8, norm < 1e-8);
}

// ln C_D(κ) + κ.
fn log_normalizer_plus_kappa(log_kappa: f32) -> f32 {
    let position = (log_kappa - head.table_low) * head.table_steps;
    let inside = clamp(position, 0.0, f32(head.n_cells));
    let cell = min(u32(inside), head.n_cells - 1u);
    let t = inside - f32(cell);
    let c = table[cell];
    return ((c.w * t + c.z) * t + c.y) * t + c.x + max(position - inside, 0.0) * head.table_slope;
}

// 1 − cos of the angle to the mean direction, by rejection from a transformed Beta (Wood 1994).
fn one_minus_cos(draw: u32, kappa: f32) -> f32 {
    let m = f32(now.dim) - 1.0;
    let b = m / (2.0 * kappa + sqrt(4.0 * kappa * kappa + m * m));
    var found = 0.0;
    for (var i = 0u; i < PROPOSALS; i++) {
        let z = draws[draw + 2u * i];
        let q = 1.0 - (1.0 - b) * z;
        found = 2.0 * b * z / q;
        // ln of target over proposal at 1 − found, against its largest value: large terms have canceled on paper.
        let log_ratio = kappa * 2.0 * b * (1.0 - 2.0 * z) / ((1.0 + b) * q) + m * log((1.0 + b) / (2.0 * q));
        if log_ratio >= draws[draw + 2u * i + 1u] {
            break;
        }
    }
    return found;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let row = tile.x;
    let dim = now.dim;
    let segment = row % now.n_segments;
    let after = (segment * now.length + now.first + now.step + 1u) * dim;
    let before = after - dim;
    let raw = row * (dim + 3u);
    var raw_squares = 0.0;
    var delta_squares = 0.0;
    for (var d = index; d < dim; d += 256u) {
        let delta = truth[after + d] - truth[before + d];
        raw_squares += heads[raw + d] * heads[raw + d];
        delta_squares += delta * delta;
    }
    let raw_norm = norm_of(total(index, raw_squares));
    let delta_norm = norm_of(total(index, delta_squares));
    var chord = 0.0;
    for (var d = index; d < dim; d += 256u) {
        let apart = heads[raw + d] / raw_norm - (truth[after + d] - truth[before + d]) / delta_norm;
        chord += apart * apart;
    }
    let half_square = 0.5 * total(index, chord);
    let log_kappa = bounded(head.log_kappa, heads[raw + dim]);
    let log_magnitude = bounded(head.mu_logm, heads[raw + dim + 1u]) * head.spread + head.mean;
    let log_sigma = bounded(head.log_sigma_logm, heads[raw + dim + 2u]) + log(head.spread);
    let begin = row * (2u * dim + 2u);
    if index == 0u {
        let log_norm = log(delta_norm);
        let z = (log_norm - log_magnitude) * exp(-log_sigma);
        let direction_nll = exp(log_kappa) * half_square - log_normalizer_plus_kappa(log_kappa);
        let factored = direction_nll + (log_norm + log_sigma + 0.5 * z * z + 0.9189385332);
        readings[begin + 2u * dim] = factored + log_norm * (f32(dim) - 1.0);
        readings[begin + 2u * dim + 1u] = factored;
    }
    let variance = exp(2.0 * log_sigma);
    let mean_size = exp(log_magnitude + 0.5 * variance);
    var size = mean_size;
    var along = 0.0;
    var across = 1.0;
    var cosine = 1.0;
    var sine = 0.0;
    var draw = 0u;
    if now.rule == 1u {
        size = exp(log_magnitude);
    } else if now.rule == 2u {
        size = exp(log_magnitude - variance);
    } else if now.rule == 3u {
        draw = (orders[row / now.n_segments * now.n_steps + now.step].draw + segment) * (2u * PROPOSALS + 1u + dim);
        size = exp(log_magnitude + exp(log_sigma) * (draws[draw + 2u * PROPOSALS] * now.temperature));
        let squared = now.temperature * now.temperature;
        if squared > 0.0 {
            let apart = one_minus_cos(draw, exp(log_kappa) / squared);
            cosine = 1.0 - apart;
            sine = sqrt(max(apart * (2.0 - apart), 0.0));
        }
        draw += 2u * PROPOSALS + 1u;
        var part = 0.0;
        for (var d = index; d < dim; d += 256u) {
            part += draws[draw + d] * (heads[raw + d] / raw_norm);
        }
        along = total(index, part);
        part = 0.0;
        for (var d = index; d < dim; d += 256u) {
            let tangent = draws[draw + d] - along * (heads[raw + d] / raw_norm);
            part += tangent * tangent;
        }
        across = sqrt(total(index, part));
    }
    for (var d = index; d < dim; d += 256u) {
        let direction = heads[raw + d] / raw_norm;
        var drawn = direction;
        if now.rule == 3u {
            drawn = cosine * direction + sine * (draws[draw + d] - along * direction) / max(across, 1e-30);
        }
        readings[begin + d] = direction * mean_size;
        readings[begin + dim + d] = drawn * size;
    }
}
