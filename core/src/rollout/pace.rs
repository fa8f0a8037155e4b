//! Which path a rollout takes, by what each was measured to cost.

use std::sync::Arc;
use std::time::Instant;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::{RolloutConfig, RolloutError, Schedule, Segment, rollout};
use crate::context::{Corpus, CorpusUtterance, Pairs, Side, Slice, first_target};
use crate::engine::compute::{LivePath, Pace, crossover};
use crate::job::JobCtx;
use crate::latents::Latents;
use crate::predict::{Baselines, Predictor};

/// Starts of the rollouts that are timed: what a slider moves, what the window shows of a population, and a battery.
const STARTS: [usize; 3] = [1, 48, 256];
/// Steps of each.
const STEPS: usize = 4;
/// Rollouts whose shortest time counts, after one that compiles and uploads.
const REPEATS: usize = 2;

/// What a rollout is computed by.
pub(super) enum Route {
    /// Whole, on the job's GPU.
    Gpu(Arc<LivePath>),
    /// Step by step on the CPU, wherever the job's tensors are: the GPU was measured to be slower.
    Cpu,
    /// Step by step through burn, on the job's device: there is no GPU for whole rollouts, or it cannot do this predictor's.
    Tensors,
}

/// The faster way for a rollout of `n_rows`, or the one that was asked for.
pub(super) fn route(ctx: &JobCtx, predictor: &Predictor, n_rows: usize) -> Result<Route, RolloutError> {
    let Some(gpu) = ctx.answering_gpu() else { return Ok(Route::Tensors) };
    let Some(path) = predictor.live(gpu) else { return Ok(Route::Tensors) };
    if gpu.crossovers().is_none() {
        return Ok(Route::Gpu(path));
    }
    let paces = paces(ctx, predictor)?;
    Ok(if crossover(&paces).is_some_and(|least| n_rows >= least) { Route::Gpu(path) } else { Route::Cpu })
}

/// Microseconds a step of a rollout with `predictor` on the CPU and on the job's GPU, by number of rows: as measured before, or now.
/// Empty without a GPU, and for predictors without a network.
pub fn paces(ctx: &JobCtx, predictor: &Predictor) -> Result<Vec<Pace>, RolloutError> {
    let Some(gpu) = ctx.answering_gpu() else { return Ok(Vec::new()) };
    let Some(path) = predictor.live(gpu) else { return Ok(Vec::new()) };
    let shape = path.network().shape();
    if let Some(known) = gpu.crossovers().and_then(|known| known.get(&shape)) {
        return Ok(known);
    }
    ctx.progress.report("timing the CPU and the GPU (once)", 0, None, "");
    let bench = Bench::new(predictor, ctx.seed);
    let on_gpu = JobCtx { gpu: Some(gpu.clone().always()), ..ctx.clone() };
    let pace = |&n_starts: &usize| {
        let n_rows = n_starts * bench.schedules.len();
        let microseconds = |ctx: &JobCtx| bench.microseconds(ctx, predictor, n_starts);
        Ok(Pace { n_rows, cpu_us: microseconds(&ctx.on_cpu())?, gpu_us: microseconds(&on_gpu)? })
    };
    let measured: Vec<Pace> = STARTS.iter().map(pace).collect::<Result<_, RolloutError>>()?;
    if let Some(known) = gpu.crossovers().filter(|_| ctx.health.lost().is_none()) {
        known.keep(shape, measured.clone());
    }
    Ok(measured)
}

/// Frames at random: what they say does not change what a step takes.
struct Bench {
    corpus: Corpus,
    baselines: Baselines,
    schedules: Vec<Schedule>,
    t0: usize,
}

impl Bench {
    fn new(predictor: &Predictor, seed: u64) -> Self {
        let (dim, window, horizon) = (predictor.info.dim, predictor.info.window, predictor.info.horizon);
        let t0 = first_target(window, horizon);
        let mut rng = StdRng::seed_from_u64(seed);
        let values = (0..(t0 + STEPS) * dim).map(|_| rng.random_range(-1.0..1.0)).collect();
        let utterance = CorpusUtterance {
            id: "noise".into(),
            speaker: String::new(),
            latents: Latents { values, dim, frame_rate_hz: 1.0 },
            energy: None,
            side: Side::Train,
        };
        let corpus = Corpus { utterances: vec![utterance], dim, frame_rate_hz: 1.0, source: String::new(), codec: None };
        let baselines = Baselines::fit(&Pairs::cut(&corpus, &[0], 1, 1, Slice::All));
        let mut schedules = Schedule::standard(STEPS);
        schedules.push(Schedule::inject_after("painted", &[2], STEPS));
        Self { corpus, baselines, schedules, t0 }
    }

    fn microseconds(&self, ctx: &JobCtx, predictor: &Predictor, n_starts: usize) -> Result<f64, RolloutError> {
        let config = RolloutConfig { n_steps: STEPS, ..RolloutConfig::default() };
        let starts = vec![Segment { utterance: 0, t0: self.t0 }; n_starts];
        let mut least = f64::INFINITY;
        for _ in 0..=REPEATS {
            let begin = Instant::now();
            rollout(ctx, &self.corpus, predictor, &self.baselines, &starts, &self.schedules, &config)?;
            least = least.min(begin.elapsed().as_secs_f64() * 1e6 / STEPS as f64);
        }
        Ok(least)
    }
}
