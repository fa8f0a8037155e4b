//! All that is known of a block of rollouts before its first step, random numbers included: what becomes of every state.
//!
//! Streams are drawn from in the order in which `branches` draws from them, so that each path gives the same rollout.

use rand::rngs::StdRng;
use rand_distr::{Distribution, StandardNormal};

use super::branches::{Child, Draws, find_children};
use super::run::Work;
use super::truth::true_frames;
use super::{RolloutConfig, Schedule, Segment, StepAction};
use crate::engine::compute::{Batch, Order};
use crate::predict::MagnitudeRule;

/// `segments` in all schedules.
pub(super) fn batch(work: &Work, segments: &[Segment], draws: &mut Draws, is_drawn: bool) -> Batch {
    let RolloutConfig { n_steps, rule, alpha, temperature, .. } = *work.config;
    let info = &work.predictor.info;
    let mut script = Script::new(work, segments.len());
    script.write(draws);
    let Script { orders, additions, draws, .. } = script;
    Batch {
        n_segments: segments.len(),
        n_schedules: work.plans.len(),
        n_steps,
        horizon: info.horizon,
        truth: true_frames(work.corpus, segments, info.window, info.horizon, n_steps),
        orders,
        additions,
        draws,
        rule: rule.into(),
        alpha,
        temperature,
        is_drawn,
    }
}

/// Orders of every schedule and step, and what they refer to.
struct Script<'a> {
    work: &'a Work<'a>,
    n_segments: usize,
    /// `[n_schedules, n_steps]`
    orders: Vec<Order>,
    /// `[_, dim]`
    additions: Vec<f32>,
    /// `[_, width]`
    draws: Vec<f32>,
    n_draws: usize,
}

impl<'a> Script<'a> {
    /// Nothing yet, with room for all.
    fn new(work: &'a Work<'a>, n_segments: usize) -> Self {
        let (n_plans, n_steps) = (work.plans.len(), work.config.n_steps);
        let n_teachers = usize::from(work.plans.iter().any(Schedule::is_teacher));
        let of_all = |sd: f32, times: usize| if sd > 0.0 { times * n_segments * n_steps } else { 0 };
        let n_nudges: usize = work.plans.iter().map(|plan| plan.nudges.len()).sum();
        let n_additions = of_all(work.noise_sd, 1 + n_teachers) + of_all(work.painted_sd, 1) + n_nudges;
        let none = Order { base: Order::OWN, noise: Order::NONE, painted: Order::NONE, nudge: Order::NONE, draw: 0 };
        Self {
            work,
            n_segments,
            orders: vec![none; n_plans * n_steps],
            additions: Vec::with_capacity(n_additions * work.corpus.dim),
            draws: Vec::new(),
            n_draws: 0,
        }
    }

    fn write(&mut self, draws: &mut Draws) {
        let (plans, n_steps) = (self.work.plans, self.work.config.n_steps);
        if plans.iter().any(Schedule::is_teacher) {
            self.teacher(draws);
        }
        let others: Vec<usize> = (0..plans.len()).filter(|&plan| !plans[plan].is_teacher()).collect();
        if !others.is_empty() {
            let mut branches =
                Branches { entered: vec![0; others.len()], left: vec![0; others.len()], children: Vec::new(), nudges: Vec::new() };
            branches.children.reserve(others.len());
            branches.nudges.reserve(others.len());
            for step in 1..=n_steps {
                self.step(step, &others, &mut branches, draws);
            }
        }
    }

    /// Teacher forcing, whose random numbers are drawn segment by segment.
    fn teacher(&mut self, draws: &mut Draws) {
        let (n, n_steps, dim) = (self.n_segments, self.work.config.n_steps, self.work.corpus.dim);
        let noise_first = self.add(n * n_steps, self.work.noise_sd, &mut draws.noise);
        if noise_first != Order::NONE {
            by_step(&mut self.additions[noise_first as usize * dim..], n, n_steps, dim);
        }
        let draw_first = self.sample(n * n_steps, draws);
        let sampled = &mut self.draws[..];
        by_step(sampled, n, n_steps, sampled.len() / (n * n_steps));
        let of_step = |first: u32, step: usize| if first == Order::NONE { first } else { first + (step * n) as u32 };
        for (plan, orders) in self.work.plans.iter().zip(self.orders.chunks_exact_mut(n_steps)) {
            if plan.is_teacher() {
                for (step, order) in orders.iter_mut().enumerate() {
                    let draw = draw_first + (step * n) as u32;
                    *order = Order { base: Order::TRUTH, noise: of_step(noise_first, step), draw, ..*order };
                }
            }
        }
    }

    /// The orders of the `others` after `step` (1-based).
    fn step(&mut self, step: usize, others: &[usize], branches: &mut Branches<'a>, draws: &mut Draws) {
        let (n, n_steps) = (self.n_segments, self.work.config.n_steps);
        let Branches { entered, left, children, nudges } = branches;
        let n_branches = left.iter().max().map_or(0, |newest| newest + 1);
        let noise = self.add(n, self.work.noise_sd, &mut draws.noise);
        let draw = self.sample(n_branches * n, draws);
        let painted = self.add(n, self.work.painted_sd, &mut draws.painted);
        entered.clone_from(left);
        find_children(left, others.iter().map(|&plan| &self.work.plans[plan]), step, children);
        nudges.clear();
        for (_, _, nudge) in children.iter() {
            nudges.push(nudge.map_or(Order::NONE, |by| {
                let first = self.n_additions();
                self.additions.extend_from_slice(by);
                first
            }));
        }
        for (&plan, (&entered, &left)) in others.iter().zip(entered.iter().zip(&*left)) {
            let (_, action, _) = children[left];
            let base = match action {
                StepAction::Own => Order::OWN,
                StepAction::Truth => Order::TRUTH,
                StepAction::Noise | StepAction::Freeze => Order::BEFORE,
            };
            let painted = if action == StepAction::Noise { painted } else { Order::NONE };
            let draw = draw + (entered * n) as u32;
            self.orders[plan * n_steps + step - 1] = Order { base, noise, painted, nudge: nudges[left], draw };
        }
    }

    fn n_additions(&self) -> u32 {
        (self.additions.len() / self.work.corpus.dim) as u32
    }

    /// First row of `rows` of noise, [`Order::NONE`] where there is none.
    fn add(&mut self, rows: usize, sd: f32, rng: &mut StdRng) -> u32 {
        if sd <= 0.0 {
            return Order::NONE;
        }
        let first = self.n_additions();
        self.additions.extend(StandardNormal.sample_iter(rng).take(rows * self.work.corpus.dim).map(|z: f32| z * sd));
        first
    }

    /// First row of the random numbers for `rows` samples.
    fn sample(&mut self, rows: usize, draws: &mut Draws) -> u32 {
        let first = self.n_draws;
        if self.work.config.rule == MagnitudeRule::Sample {
            self.draws.extend(self.work.predictor.draw(rows, &mut draws.sampling));
            self.n_draws += rows;
        }
        first as u32
    }
}

/// Branches of the schedules that are no teachers.
struct Branches<'a> {
    /// Branch that each enters a step on, and leaves it on.
    entered: Vec<usize>,
    left: Vec<usize>,
    children: Vec<Child<'a>>,
    /// First row of each child's nudge.
    nudges: Vec<u32>,
}

/// Rows of `width` values from segment-major to step-major.
fn by_step(values: &mut [f32], n_segments: usize, n_steps: usize, width: usize) {
    let rows = values.to_vec();
    for (index, row) in rows.chunks_exact(width.max(1)).enumerate() {
        let (segment, step) = (index / n_steps, index % n_steps);
        values[(step * n_segments + segment) * width..][..width].copy_from_slice(row);
    }
}
