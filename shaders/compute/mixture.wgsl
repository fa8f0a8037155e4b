// A mixture of diagonal Gaussians over Δ from the heads' outputs: −ln p of the true Δ, E[Δ], and the Δ the state advances by.
// One workgroup a row. CPU twin: core/src/engine/compute/mixture.rs.

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

struct Mixture {
    n_components: u32,
    // Outputs of a row: means [n_components, dim], ln σ [n_components, dim], logits [n_components].
    stride: u32,
    // Of ln σ: 0: low ..= high; 1: low is the middle and high half the width of a soft interval.
    is_soft: u32,
    low: f32,
    high: f32,
}

@group(0) @binding(0) var<uniform> now: Step;
@group(0) @binding(1) var<uniform> mixture: Mixture;
// [n_rows, stride]
@group(0) @binding(2) var<storage, read> heads: array<f32>;
// σ of Δ and its logarithm, the unit of the outputs: [2, dim]
@group(0) @binding(3) var<storage, read> units: array<f32>;
// [n_segments, length, dim]
@group(0) @binding(4) var<storage, read> truth: array<f32>;
// [n_schedules, n_steps]
@group(0) @binding(5) var<storage, read> orders: array<Order>;
// A uniform and a normal for each dimension: [n_draws, 1 + dim]
@group(0) @binding(6) var<storage, read> draws: array<f32>;
// E[Δ], advance, −ln p, −ln p as the peer factors it: [n_rows, 2 · dim + 2]
@group(0) @binding(7) var<storage, read_write> readings: array<f32>;

const LOWEST: f32 = -3.4028234e38;
// Threads that share a component, and components at a time.
const SHARE: u32 = 32u;
const TOGETHER: u32 = 8u;

var<workgroup> sums: array<f32, 256>;
// ln of each component's part in p(Δ); at most 64 components.
var<workgroup> log_parts: array<f32, 64>;

fn bounded(x: f32) -> f32 {
    if mixture.is_soft == 1u {
        let u = (x - mixture.low) / mixture.high;
        return u / sqrt(u * u + 1.0) * mixture.high + mixture.low;
    }
    let above = select(x, mixture.low, x < mixture.low);
    return select(above, mixture.high, above > mixture.high);
}

fn mean_of(row: u32, component: u32, d: u32) -> f32 {
    return heads[row * mixture.stride + component * now.dim + d] * units[d];
}

fn log_sigma_of(row: u32, component: u32, d: u32) -> f32 {
    return bounded(heads[row * mixture.stride + (mixture.n_components + component) * now.dim + d]) + units[now.dim + d];
}

fn logit_of(row: u32, component: u32) -> f32 {
    return heads[row * mixture.stride + 2u * mixture.n_components * now.dim + component];
}

// ln Σ e^logit.
fn log_norm_of(row: u32) -> f32 {
    var pivot = LOWEST;
    for (var k = 0u; k < mixture.n_components; k++) {
        pivot = max(pivot, logit_of(row, k));
    }
    var sum = 0.0;
    for (var k = 0u; k < mixture.n_components; k++) {
        sum += exp(logit_of(row, k) - pivot);
    }
    return pivot + log(sum);
}

// The component that mode and sample take.
fn chosen_of(row: u32, log_norm: f32, draw: u32) -> u32 {
    if now.rule != 3u {
        var heaviest = 0u;
        for (var k = 1u; k < mixture.n_components; k++) {
            heaviest = select(heaviest, k, logit_of(row, k) > logit_of(row, heaviest));
        }
        return heaviest;
    }
    var left = 0.0;
    for (var k = 0u; k < mixture.n_components; k++) {
        left += exp(logit_of(row, k) - log_norm);
    }
    left *= draws[draw];
    for (var k = 0u; k < mixture.n_components; k++) {
        left -= exp(logit_of(row, k) - log_norm);
        if left < 0.0 {
            return k;
        }
    }
    return mixture.n_components - 1u;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_index) index: u32) {
    let row = tile.x;
    let segment = row % now.n_segments;
    let log_norm = log_norm_of(row);
    let after = (segment * now.length + now.first + now.step + 1u) * now.dim;
    let before = after - now.dim;
    for (var some = 0u; some < mixture.n_components; some += TOGETHER) {
        let k = some + index / SHARE;
        var sum = 0.0;
        if k < mixture.n_components {
            for (var d = index % SHARE; d < now.dim; d += SHARE) {
                let log_sigma = log_sigma_of(row, k, d);
                let z = (truth[after + d] - truth[before + d] - mean_of(row, k, d)) * exp(-log_sigma);
                sum += 0.5 * z * z + log_sigma;
            }
        }
        sums[index] = sum;
        workgroupBarrier();
        for (var half = SHARE / 2u; half > 0u; half /= 2u) {
            if index % SHARE < half {
                sums[index] += sums[index + half];
            }
            workgroupBarrier();
        }
        if k < mixture.n_components && index % SHARE == 0u {
            log_parts[k] = logit_of(row, k) - log_norm - sums[index];
        }
        workgroupBarrier();
    }
    let begin = row * (2u * now.dim + 2u);
    if index == 0u {
        var pivot = LOWEST;
        for (var k = 0u; k < mixture.n_components; k++) {
            pivot = max(pivot, log_parts[k]);
        }
        var sum = 0.0;
        for (var k = 0u; k < mixture.n_components; k++) {
            sum += exp(log_parts[k] - pivot);
        }
        // ½ ln 2π a dimension.
        let nll = 0.9189385332 * f32(now.dim) - (pivot + log(sum));
        readings[begin + 2u * now.dim] = nll;
        readings[begin + 2u * now.dim + 1u] = nll;
    }
    var draw = 0u;
    if now.rule == 3u {
        draw = (orders[row / now.n_segments * now.n_steps + now.step].draw + segment) * (now.dim + 1u);
    }
    let chosen = chosen_of(row, log_norm, draw);
    for (var d = index; d < now.dim; d += 256u) {
        var mean = 0.0;
        for (var k = 0u; k < mixture.n_components; k++) {
            mean += exp(logit_of(row, k) - log_norm) * mean_of(row, k, d);
        }
        var advance = mean;
        if now.rule >= 2u {
            advance = mean_of(row, chosen, d);
        }
        if now.rule == 3u {
            advance += exp(log_sigma_of(row, chosen, d)) * (draws[draw + 1u + d] * now.temperature);
        }
        readings[begin + d] = mean;
        readings[begin + now.dim + d] = advance;
    }
}
