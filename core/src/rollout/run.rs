//! A rollout's config, its outcome, and the way from one to the other.

use burn::tensor::Tensor;

use super::branches::{self, Draws, Together};
use super::live::Live;
use super::measure::N_COLUMNS;
use super::pace::{self, Route};
use super::truth::{Truth, delta_norms, median_delta_norm};
use super::{Schedule, Segment, StepAction, host, script};
use crate::context::{Corpus, first_target};
use crate::engine::compute::{COLUMNS, LivePath, Outcome};
use crate::engine::display::Source;
use crate::engine::{Resident, host_values, is_cpu};
use crate::job::{Block, Cancelled, JobCtx};
use crate::predict::{Baselines, MagnitudeRule, Predictor};

/// Segments that run together: bounds the memory of teacher forcing (`SEGMENTS × n_steps` windows at once).
const SEGMENTS_TOGETHER: usize = 256;

/// How a rollout advances.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RolloutConfig {
    /// Steps, K.
    pub n_steps: usize,
    /// Which point of the distribution advances the state.
    pub rule: MagnitudeRule,
    /// Factor on every predicted Δ.
    pub alpha: f32,
    /// True state after every N steps, whatever the schedule says.
    pub reanchor_every: Option<usize>,
    /// Spread of samples (rule = sample).
    pub temperature: f32,
    /// SD of Gaussian noise added to the state after each step, in units of the median ‖Δ‖/√D.
    pub noise_sigma: f32,
}

impl Default for RolloutConfig {
    fn default() -> Self {
        Self { n_steps: 16, rule: MagnitudeRule::Median, alpha: 1.0, reanchor_every: None, temperature: 1.0, noise_sigma: 0.0 }
    }
}

/// One schedule's outcome for every segment. Per-step matrices are `[n_segments, n_steps]`, row-major, and may hold NaN or Inf
/// where the rollout left the numbers; whoever averages counts those.
#[derive(Clone, Debug)]
pub struct Rollout {
    /// What was done, re-anchoring included.
    pub schedule: Schedule,
    /// Segments, in row order.
    pub segments: Vec<Segment>,
    /// Steps.
    pub n_steps: usize,
    /// Dimensions of a frame.
    pub dim: usize,
    /// Computed on the GPU in one submission, the last block at least.
    pub on_gpu: bool,
    /// State after each step and its injection, `[n_segments, n_steps, dim]`.
    pub states: Vec<f32>,
    /// The same where they were computed: of rollouts of one block on a GPU that they are [`drawn`](crate::engine::compute::Gpu::drawn)
    /// from.
    pub resident: Option<Resident>,
    /// −ln p(Δ true), density over Δ, nats.
    pub nll: Vec<f32>,
    /// The peer's factored number (equal to `nll` but for vMF×LogNormal).
    pub nll_factored: Vec<f32>,
    /// The shared Gaussian baseline's −ln p(Δ true).
    pub nll_baseline: Vec<f32>,
    /// The peer's factored baseline (equal to `nll_baseline` but for vMF×LogNormal).
    pub nll_baseline_factored: Vec<f32>,
    /// Cosine of E\[Δ\] with the true Δ; norms floored at 1e-8.
    pub cos: Vec<f32>,
    /// ‖E\[Δ\]‖ / ‖Δ true‖; norms floored at 1e-8.
    pub mag_ratio: Vec<f32>,
    /// ‖Δ̂ the state advanced by‖ / ‖Δ true‖ (α applied, noise not).
    pub advance_ratio: Vec<f32>,
    /// ‖x̂[t−1] − x[t−1]‖ before the step, raw units (the peer's `state_err`).
    pub state_err_before: Vec<f32>,
    /// ‖x̂[t] − x[t]‖ after the step and before any injection, raw units.
    pub state_err_after: Vec<f32>,
}

/// Why a rollout could not run.
#[derive(Debug, thiserror::Error)]
pub enum RolloutError {
    /// Corpus, predictor or starts that do not fit each other.
    #[error("{0}")]
    Input(String),
    /// Stopped.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// Runs every schedule from every segment, batched; `progress` counts steps.
pub fn rollout(
    ctx: &JobCtx,
    corpus: &Corpus,
    predictor: &Predictor,
    baselines: &Baselines,
    segments: &[Segment],
    schedules: &[Schedule],
    config: &RolloutConfig,
) -> Result<Vec<Rollout>, RolloutError> {
    check(corpus, predictor, segments, schedules, config)?;
    let plans: Vec<Schedule> = schedules.iter().map(|s| s.reanchored(config.reanchor_every)).collect();
    let paints_noise = plans.iter().any(|plan| plan.actions.contains(&StepAction::Noise));
    let noise_unit =
        if config.noise_sigma > 0.0 || paints_noise { (median_delta_norm(corpus) / (corpus.dim as f64).sqrt()) as f32 } else { 0.0 };
    let (noise_sd, painted_sd) = (config.noise_sigma * noise_unit, if paints_noise { noise_unit } else { 0.0 });
    let mut outcomes: Vec<Rollout> = plans.iter().map(|plan| Rollout::empty(plan, segments, config.n_steps, corpus.dim)).collect();
    let on_cpu = ctx.on_cpu();
    let (ctx, live) = match pace::route(ctx, predictor, segments.len() * schedules.len())? {
        Route::Gpu(path) => (ctx, Some(path)),
        Route::Cpu => (&on_cpu, None),
        Route::Tensors => (ctx, None),
    };
    let most_on_gpu = live.as_ref().and_then(|path| segments_on_gpu(path, schedules.len(), config.n_steps, predictor.info.horizon));
    let work = Work { corpus, predictor, config, plans: &plans, noise_sd, painted_sd };
    let mut together = most_on_gpu.unwrap_or(SEGMENTS_TOGETHER);
    ctx.in_blocks(&mut together, segments.len(), |ctx, block| {
        ctx.cancel.check()?;
        let (some, mut draws) = (&segments[block.clone()], Draws::new(ctx.seed, block.start));
        let done = match live.as_deref().zip(ctx.gpu.as_ref()).filter(|_| most_on_gpu.is_some()) {
            Some((path, gpu)) => match (Live { work, path, is_drawn: gpu.is_drawn() }).run(some, &mut draws) {
                Ok(done) => done,
                Err(error) => return Ok(Block::Failed(error)),
            },
            None if is_cpu(&ctx.device) => work.run_on_host(ctx, some, &mut draws)?,
            None => work.run(ctx, some, &mut draws)?,
        };
        outcomes.iter_mut().zip(done).for_each(|(outcome, rows)| outcome.append(rows));
        Ok::<Block, RolloutError>(Block::Done)
    })?;
    let is_factored = predictor.info.kind == "vmf";
    let (shared, factored) = baseline_nll(corpus, baselines, segments, config.n_steps);
    for outcome in &mut outcomes {
        outcome.nll_baseline.clone_from(&shared);
        outcome.nll_baseline_factored.clone_from(if is_factored { &factored } else { &shared });
    }
    ctx.progress.report("rollout", config.n_steps as u64, Some(config.n_steps as u64), "");
    Ok(outcomes)
}

/// Segments whose rows the GPU has room for together; `None` where there is none for a single one.
fn segments_on_gpu(path: &LivePath, n_schedules: usize, n_steps: usize, horizon: usize) -> Option<usize> {
    std::iter::successors(Some(SEGMENTS_TOGETHER), |&n| (n > 1).then_some(n / 2)).find(|n| path.fits(n * n_schedules, n_steps, horizon))
}

/// What every block of segments is run with.
#[derive(Clone, Copy)]
pub(super) struct Work<'a> {
    pub(super) corpus: &'a Corpus,
    pub(super) predictor: &'a Predictor,
    pub(super) config: &'a RolloutConfig,
    /// One for each outcome.
    pub(super) plans: &'a [Schedule],
    /// SD of the noise added to each component of the state, raw units.
    pub(super) noise_sd: f32,
    /// SD of a painted step of noise in each component, raw units; 0 where no plan has one.
    pub(super) painted_sd: f32,
}

impl Work<'_> {
    /// Nothing yet, for `segments`.
    pub(super) fn begin(&self, segments: &[Segment]) -> Vec<Rollout> {
        self.plans.iter().map(|plan| Rollout::empty(plan, segments, self.config.n_steps, self.corpus.dim)).collect()
    }

    /// What came of `segments`.
    pub(super) fn collect(&self, segments: &[Segment], outcome: &Outcome) -> Vec<Rollout> {
        let mut rollouts = self.begin(segments);
        let norms = delta_norms(self.corpus, segments, self.config.n_steps);
        let rows = outcome.columns.chunks_exact(norms.len() * COLUMNS).zip(outcome.states.chunks_exact(norms.len() * self.corpus.dim));
        for (plan, (rollout, (columns, states))) in rollouts.iter_mut().zip(rows).enumerate() {
            columns.chunks_exact(COLUMNS).zip(&norms).for_each(|(row, &norm)| rollout.push(&row[..N_COLUMNS], norm));
            let of_plan = |all: &Resident| all.part(plan * states.len()..(plan + 1) * states.len());
            rollout.resident = outcome.resident.as_ref().map(of_plan);
            rollout.states.extend_from_slice(states);
        }
        rollouts
    }

    /// Runs a block of segments on the CPU.
    fn run_on_host(&self, ctx: &JobCtx, segments: &[Segment], draws: &mut Draws) -> Result<Vec<Rollout>, RolloutError> {
        let batch = script::batch(self, segments, draws, false);
        let n_steps = self.config.n_steps as u64;
        let outcome = host::run(self.predictor, &batch, |step| {
            ctx.progress.report("rollout", step as u64, Some(n_steps), "");
            ctx.cancel.check()
        })?;
        Ok(self.collect(segments, &outcome))
    }

    /// Runs a block of segments through burn, step by step on the job's device.
    fn run(&self, ctx: &JobCtx, segments: &[Segment], draws: &mut Draws) -> Result<Vec<Rollout>, RolloutError> {
        let Self { corpus, predictor, config, noise_sd, painted_sd, .. } = *self;
        let (info, n, n_steps, dim) = (&predictor.info, segments.len(), config.n_steps, corpus.dim);
        let truth = Truth::gather(corpus, segments, info.window, info.horizon, n_steps, &ctx.device);
        let block = Together { ctx, predictor, config, truth: &truth, n_segments: n, dim, noise_sd, painted_sd };
        let mut outcomes = self.begin(segments);
        let (teachers, others): (Vec<&mut Rollout>, Vec<&mut Rollout>) = outcomes.iter_mut().partition(|o| o.schedule.is_teacher());
        if !teachers.is_empty() {
            let columns = host_values(branches::teacher(&block, draws).columns);
            let states = host_values(truth.states(1, n_steps));
            for outcome in teachers {
                columns.chunks_exact(N_COLUMNS).zip(&truth.delta_norms).for_each(|(row, &norm)| outcome.push(row, norm));
                outcome.states.extend_from_slice(&states);
            }
        }
        if others.is_empty() {
            return Ok(outcomes);
        }
        let plans: Vec<Schedule> = others.iter().map(|o| o.schedule.clone()).collect();
        let steps = branches::run(&block, &plans, draws)?;
        let column_rows: Vec<usize> = row_starts(steps.iter().map(|s| s.columns.dims()[0]));
        let state_rows: Vec<usize> = row_starts(steps.iter().map(|s| s.states.dims()[0]));
        let columns = host_values(Tensor::cat(steps.iter().map(|s| s.columns.clone()).collect(), 0));
        let states = host_values(Tensor::cat(steps.iter().map(|s| s.states.clone()).collect(), 0));
        for (plan, outcome) in others.into_iter().enumerate() {
            for segment in 0..n {
                for (index, step) in steps.iter().enumerate() {
                    let row = column_rows[index] + step.entered[plan] * n + segment;
                    outcome.push(&columns[row * N_COLUMNS..(row + 1) * N_COLUMNS], truth.delta_norms[segment * n_steps + index]);
                    let row = state_rows[index] + step.left[plan] * n + segment;
                    outcome.states.extend_from_slice(&states[row * dim..(row + 1) * dim]);
                }
            }
        }
        Ok(outcomes)
    }
}

impl Rollout {
    fn empty(plan: &Schedule, segments: &[Segment], n_steps: usize, dim: usize) -> Self {
        let column = || Vec::with_capacity(segments.len() * n_steps);
        Self {
            schedule: plan.clone(),
            segments: segments.to_vec(),
            n_steps,
            dim,
            on_gpu: false,
            states: Vec::with_capacity(segments.len() * n_steps * dim),
            resident: None,
            nll: column(),
            nll_factored: column(),
            nll_baseline: Vec::new(),
            nll_baseline_factored: Vec::new(),
            cos: column(),
            mag_ratio: column(),
            advance_ratio: column(),
            state_err_before: column(),
            state_err_after: column(),
        }
    }

    /// Appends another's rows.
    fn append(&mut self, rows: Self) {
        self.on_gpu = rows.on_gpu;
        // Several blocks are no stretch of one buffer.
        self.resident = rows.resident.filter(|_| self.states.is_empty());
        self.states.extend(rows.states);
        for (column, values) in [
            (&mut self.nll, rows.nll),
            (&mut self.nll_factored, rows.nll_factored),
            (&mut self.cos, rows.cos),
            (&mut self.mag_ratio, rows.mag_ratio),
            (&mut self.advance_ratio, rows.advance_ratio),
            (&mut self.state_err_before, rows.state_err_before),
            (&mut self.state_err_after, rows.state_err_after),
        ] {
            column.extend(values);
        }
    }

    /// Appends one measured row; `delta_norm` is ‖Δ true‖.
    pub(super) fn push(&mut self, row: &[f32], delta_norm: f64) {
        let [nll, nll_factored, dot, mean_norm, advance_norm, before, after] = row else { return };
        let (mean_norm, delta_norm) = (floored(f64::from(*mean_norm)), floored(delta_norm));
        self.nll.push(*nll);
        self.nll_factored.push(*nll_factored);
        self.cos.push((f64::from(*dot) / (mean_norm * delta_norm)) as f32);
        self.mag_ratio.push((mean_norm / delta_norm) as f32);
        self.advance_ratio.push((floored(f64::from(*advance_norm)) / delta_norm) as f32);
        self.state_err_before.push(*before);
        self.state_err_after.push(*after);
    }

    /// State of `segment` after `step` (1-based), `[dim]`.
    pub fn state(&self, segment: usize, step: usize) -> &[f32] {
        let row = segment * self.n_steps + step - 1;
        &self.states[row * self.dim..(row + 1) * self.dim]
    }

    /// States of `segment` to be drawn, `[n_steps, dim]`.
    pub fn frames(&self, segment: usize) -> Source<'_> {
        let values = segment * self.n_steps * self.dim..(segment + 1) * self.n_steps * self.dim;
        Source { resident: self.resident.as_ref().map(|all| all.part(values.clone())), host: &self.states[values] }
    }
}

/// `max(norm, 1e-8)` that lets NaN through (`f64::max` would drop it).
fn floored(norm: f64) -> f64 {
    if norm.is_nan() { norm } else { norm.max(1e-8) }
}

/// Both baselines of every segment and step, `[n_segments × n_steps]` each.
fn baseline_nll(corpus: &Corpus, baselines: &Baselines, segments: &[Segment], n_steps: usize) -> (Vec<f32>, Vec<f32>) {
    let frames = segments.iter().flat_map(|s| (s.t0..s.t0 + n_steps).map(|t| (&corpus.utterances[s.utterance].latents, t)));
    let mut delta = Vec::with_capacity(corpus.dim);
    let mut both = (Vec::with_capacity(segments.len() * n_steps), Vec::with_capacity(segments.len() * n_steps));
    for (latents, t) in frames {
        delta.clear();
        delta.extend(latents.frame(t).iter().zip(latents.frame(t - 1)).map(|(now, before)| now - before));
        both.0.push(baselines.gaussian_nll(&delta) as f32);
        both.1.push(baselines.factored_nll(&delta) as f32);
    }
    both
}

fn row_starts(counts: impl Iterator<Item = usize>) -> Vec<usize> {
    counts
        .scan(0, |end, count| {
            let start = *end;
            *end += count;
            Some(start)
        })
        .collect()
}

fn check(
    corpus: &Corpus,
    predictor: &Predictor,
    segments: &[Segment],
    schedules: &[Schedule],
    config: &RolloutConfig,
) -> Result<(), RolloutError> {
    let bad = |message: String| Err(RolloutError::Input(message));
    let info = &predictor.info;
    if info.dim != corpus.dim {
        return bad(format!(
            "the {} predictor was made for latents of D = {}, these have D = {}; choose a predictor fitted on them",
            info.kind, info.dim, corpus.dim
        ));
    }
    if config.n_steps == 0 || segments.is_empty() || schedules.is_empty() {
        return bad(format!(
            "nothing to roll: {} steps, {} starts, {} schedules; at least one of each is needed",
            config.n_steps,
            segments.len(),
            schedules.len()
        ));
    }
    if let Some(schedule) = schedules.iter().find(|s| s.actions.len() != config.n_steps) {
        return bad(format!(
            "schedule {} has {} actions for {} steps; it needs one a step",
            schedule.name,
            schedule.actions.len(),
            config.n_steps
        ));
    }
    if let Some(nudge) =
        schedules.iter().flat_map(|s| &s.nudges).find(|n| n.by.len() != corpus.dim || !(1..=config.n_steps).contains(&n.step))
    {
        return bad(format!(
            "a nudge of {} values after step {}; it needs {} values and a step from 1 to {}",
            nudge.by.len(),
            nudge.step,
            corpus.dim,
            config.n_steps
        ));
    }
    let first = first_target(info.window, info.horizon);
    for segment in segments {
        let Some(utterance) = corpus.utterances.get(segment.utterance) else {
            return bad(format!("a start names utterance number {}, there are {}", segment.utterance, corpus.utterances.len()));
        };
        let n_frames = utterance.latents.n_frames();
        if n_frames < first + config.n_steps {
            return bad(format!(
                "utterance {} has {n_frames} frames; a window of {} at horizon {} and {} steps need {}",
                utterance.id,
                info.window,
                info.horizon,
                config.n_steps,
                first + config.n_steps
            ));
        }
        let last = n_frames - config.n_steps;
        if !(first..=last).contains(&segment.t0) {
            return bad(format!(
                "utterance {}: start t0 = {} is out of range; with {} steps it must be between {first} and {last}",
                utterance.id, segment.t0, config.n_steps
            ));
        }
    }
    Ok(())
}
