//! A block of a rollout on the GPU: all that is known of it beforehand, run there in one submission.
//!
//! The same numbers enter as in `branches`, from the same random streams in the same order; there schedules that agree are computed
//! once, here each is rows of its own: what a GPU waits for is the weights, whatever the number of rows.

use super::branches::{Draws, children, normals};
use super::measure::N_COLUMNS;
use super::run::Work;
use super::truth::{delta_norms, true_frames};
use super::{Rollout, RolloutConfig, Schedule, Segment, StepAction};
use crate::engine::Resident;
use crate::engine::compute::{Batch, COLUMNS, GpuError, LivePath, Order, Rule};
use crate::predict::MagnitudeRule;

/// A block's work, and the network that it is done by.
pub(super) struct Live<'a> {
    pub(super) work: Work<'a>,
    pub(super) path: &'a LivePath,
    /// States stay on the device.
    pub(super) is_drawn: bool,
}

impl Live<'_> {
    /// Runs `segments`.
    pub(super) fn run(&self, segments: &[Segment], draws: &mut Draws) -> Result<Vec<Rollout>, GpuError> {
        let Work { corpus, plans, .. } = self.work;
        let batch = self.batch(segments, plans, draws);
        let run = self.path.run(&batch)?;
        let mut outcomes = self.work.begin(segments);
        let norms = delta_norms(corpus, segments, batch.n_steps);
        let rows = run.columns.chunks_exact(norms.len() * COLUMNS).zip(run.states.chunks_exact(norms.len() * corpus.dim));
        for (plan, (outcome, (columns, states))) in outcomes.iter_mut().zip(rows).enumerate() {
            columns.chunks_exact(COLUMNS).zip(&norms).for_each(|(row, &norm)| outcome.push(&row[..N_COLUMNS], norm));
            let of_plan = |all: &Resident| all.part(plan * states.len()..(plan + 1) * states.len());
            outcome.resident = run.resident.as_ref().map(of_plan);
            outcome.states.extend_from_slice(states);
            outcome.on_gpu = true;
        }
        Ok(outcomes)
    }

    /// Everything that is known before the first step.
    fn batch(&self, segments: &[Segment], plans: &[Schedule], draws: &mut Draws) -> Batch {
        let RolloutConfig { n_steps, rule, alpha, temperature, .. } = *self.work.config;
        let info = &self.work.predictor.info;
        let (orders, additions, sampled) = Script::of(self, segments.len(), plans, draws);
        Batch {
            n_segments: segments.len(),
            n_schedules: plans.len(),
            n_steps,
            horizon: info.horizon,
            truth: true_frames(self.work.corpus, segments, info.window, info.horizon, n_steps),
            orders,
            additions,
            draws: sampled,
            rule: match rule {
                MagnitudeRule::Mean => Rule::Mean,
                MagnitudeRule::Median => Rule::Median,
                MagnitudeRule::Mode => Rule::Mode,
                MagnitudeRule::Sample => Rule::Sample,
            },
            alpha,
            temperature,
            is_drawn: self.is_drawn,
        }
    }
}

/// Orders of every schedule and step, and what they refer to.
struct Script<'a> {
    live: &'a Live<'a>,
    n_segments: usize,
    /// `[_, dim]`
    additions: Vec<f32>,
    /// `[_, width]`
    draws: Vec<f32>,
    n_draws: usize,
}

impl<'a> Script<'a> {
    fn of(live: &'a Live<'a>, n_segments: usize, plans: &[Schedule], draws: &mut Draws) -> (Vec<Order>, Vec<f32>, Vec<f32>) {
        let n_steps = live.work.config.n_steps;
        let mut script = Self { live, n_segments, additions: Vec::new(), draws: Vec::new(), n_draws: 0 };
        let mut orders = vec![Vec::with_capacity(n_steps); plans.len()];
        let (teachers, others): (Vec<usize>, Vec<usize>) = (0..plans.len()).partition(|&plan| plans[plan].is_teacher());
        if !teachers.is_empty() {
            let forced = script.teacher(n_steps, draws);
            teachers.iter().for_each(|&plan| orders[plan].clone_from(&forced));
        }
        if !others.is_empty() {
            let schedules: Vec<Schedule> = others.iter().map(|&plan| plans[plan].clone()).collect();
            let mut branch_of = vec![0; schedules.len()];
            for step in 1..=n_steps {
                let step = script.step(step, &schedules, &mut branch_of, draws);
                others.iter().zip(step).for_each(|(&plan, order)| orders[plan].push(order));
            }
        }
        (orders.concat(), script.additions, script.draws)
    }

    /// Teacher forcing, whose random numbers are drawn segment by segment.
    fn teacher(&mut self, n_steps: usize, draws: &mut Draws) -> Vec<Order> {
        let (n, dim) = (self.n_segments, self.live.work.corpus.dim);
        let noise_first = self.add(n * n_steps, self.live.work.noise_sd, &mut draws.noise);
        if noise_first != Order::NONE {
            by_step(&mut self.additions[noise_first as usize * dim..], n, n_steps, dim);
        }
        let draw_first = self.sample(n * n_steps, draws);
        let sampled = &mut self.draws[..];
        by_step(sampled, n, n_steps, sampled.len() / (n * n_steps));
        let of_step = |first: u32, step: usize| if first == Order::NONE { first } else { first + (step * n) as u32 };
        let order = |step| Order {
            base: Order::TRUTH,
            noise: of_step(noise_first, step),
            painted: Order::NONE,
            nudge: Order::NONE,
            draw: draw_first + (step * n) as u32,
        };
        (0..n_steps).map(order).collect()
    }

    /// The orders of `schedules` after `step` (1-based).
    fn step(&mut self, step: usize, schedules: &[Schedule], branch_of: &mut [usize], draws: &mut Draws) -> Vec<Order> {
        let n = self.n_segments;
        let n_branches = branch_of.iter().max().map_or(0, |newest| newest + 1);
        let noise = self.add(n, self.live.work.noise_sd, &mut draws.noise);
        let draw = self.sample(n_branches * n, draws);
        let painted = self.add(n, self.live.work.painted_sd, &mut draws.painted);
        let entered = branch_of.to_vec();
        let children = children(branch_of, schedules, step);
        let nudges: Vec<u32> = children.iter().map(|(_, _, nudge)| nudge.map_or(Order::NONE, |by| self.push(by))).collect();
        let order = |(&entered, &left): (&usize, &usize)| {
            let (_, action, _) = children[left];
            let base = match action {
                StepAction::Own => Order::OWN,
                StepAction::Truth => Order::TRUTH,
                StepAction::Noise | StepAction::Freeze => Order::BEFORE,
            };
            let painted = if action == StepAction::Noise { painted } else { Order::NONE };
            Order { base, noise, painted, nudge: nudges[left], draw: draw + (entered * n) as u32 }
        };
        entered.iter().zip(&*branch_of).map(order).collect()
    }

    /// First row of `rows` of noise, [`Order::NONE`] where there is none.
    fn add(&mut self, rows: usize, sd: f32, rng: &mut rand::rngs::StdRng) -> u32 {
        if sd > 0.0 { self.push(&normals(rows * self.live.work.corpus.dim, sd, rng)) } else { Order::NONE }
    }

    fn push(&mut self, values: &[f32]) -> u32 {
        let first = self.additions.len() / self.live.work.corpus.dim;
        self.additions.extend_from_slice(values);
        first as u32
    }

    /// First row of the random numbers for `rows` samples.
    fn sample(&mut self, rows: usize, draws: &mut Draws) -> u32 {
        let first = self.n_draws;
        if self.live.work.config.rule == MagnitudeRule::Sample {
            self.draws.extend(self.live.work.predictor.draw(rows, &mut draws.sampling));
            self.n_draws += rows;
        }
        first as u32
    }
}

/// Rows of `width` values from segment-major to step-major.
fn by_step(values: &mut [f32], n_segments: usize, n_steps: usize, width: usize) {
    let rows = values.to_vec();
    for (index, row) in rows.chunks_exact(width.max(1)).enumerate() {
        let (segment, step) = (index / n_steps, index % n_steps);
        values[(step * n_segments + segment) * width..][..width].copy_from_slice(row);
    }
}
