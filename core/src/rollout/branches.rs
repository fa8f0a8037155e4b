//! The step loop through burn, for a GPU that cannot run whole rollouts. Schedules that have agreed so far are one branch: their windows and states are computed once, and the
//! branch forks at the first step after which they differ.

use std::collections::VecDeque;

use burn::tensor::{Device, Int, Tensor, TensorData};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand_distr::{Distribution, StandardNormal};

use super::measure::{Measurement, measure};
use super::truth::Truth;
use super::{RolloutConfig, Schedule, StepAction};
use crate::job::{Cancelled, JobCtx};
use crate::predict::Predictor;

/// What every step of a block of segments needs.
pub(super) struct Together<'a> {
    pub(super) ctx: &'a JobCtx,
    pub(super) predictor: &'a Predictor,
    pub(super) config: &'a RolloutConfig,
    pub(super) truth: &'a Truth,
    pub(super) n_segments: usize,
    pub(super) dim: usize,
    /// SD of the noise added to each component of the state, raw units.
    pub(super) noise_sd: f32,
    /// SD of a painted step of noise in each component, raw units; 0 where no plan has one.
    pub(super) painted_sd: f32,
}

/// The random streams of a rollout; apart, so that one setting does not change the draws of another.
pub(super) struct Draws {
    /// Samples of the predicted distribution.
    pub(super) sampling: StdRng,
    /// Noise added to the state after every step.
    pub(super) noise: StdRng,
    /// Painted steps of noise.
    pub(super) painted: StdRng,
}

impl Draws {
    /// Those of the block whose first segment is number `first`: done again on another device, it draws the same numbers.
    pub(super) fn new(seed: u64, first: usize) -> Self {
        let stream = |offset| StdRng::seed_from_u64(seed.wrapping_add(offset).wrapping_add((first as u64) << 32));
        Self { sampling: stream(0), noise: stream(1), painted: stream(2) }
    }
}

/// Outcome of one step, on the device; rows are branch-major.
pub(super) struct Step {
    /// `[branches × segments, N_COLUMNS]`, by the branches that entered the step.
    pub(super) columns: Tensor<2>,
    /// `[branches × segments, dim]`, by the branches that left it.
    pub(super) states: Tensor<2>,
    /// Row block of each schedule in `columns`.
    pub(super) entered: Vec<usize>,
    /// Row block of each schedule in `states`.
    pub(super) left: Vec<usize>,
}

/// Teacher forcing: every step of every segment in one batch; rows are segment-major.
pub(super) fn teacher(block: &Together, draws: &mut Draws) -> Measurement {
    let (n, k, dim) = (block.n_segments, block.config.n_steps, block.dim);
    let windows = Tensor::cat((1..=k).map(|step| block.truth.windows(step)).collect(), 1);
    let windows = windows.reshape([n * k, block.predictor.info.window * dim]);
    let before = block.truth.states(0, k).reshape([n * k, dim]);
    let now = block.truth.states(1, k).reshape([n * k, dim]);
    let noise = block.draw(n * k, block.noise_sd, &mut draws.noise);
    measure(block.predictor, windows, before.clone(), before, now, noise, block.config, &mut draws.sampling)
}

/// Every other schedule, step by step.
pub(super) fn run(block: &Together, schedules: &[Schedule], draws: &mut Draws) -> Result<Vec<Step>, Cancelled> {
    let n_steps = block.config.n_steps;
    let mut branches = Branches::start(block.truth, schedules.len(), block.predictor.info.horizon);
    let mut steps = Vec::with_capacity(n_steps);
    for step in 1..=n_steps {
        block.ctx.cancel.check()?;
        block.ctx.progress.report("rollout", step as u64 - 1, Some(n_steps as u64), "");
        let entered = branches.branch_of.clone();
        let measured = branches.measure(block, step, draws);
        branches.fork(block, step, schedules, measured.own, draws);
        branches.slide(block, step);
        let rows = branches.count() * block.n_segments;
        let states = branches.newest().clone().reshape([rows, block.dim]);
        steps.push(Step { columns: measured.columns, states, entered, left: branches.branch_of.clone() });
    }
    Ok(steps)
}

impl Together<'_> {
    /// Gaussian noise for `rows` states, or `None` when there is none to add.
    fn draw(&self, rows: usize, sd: f32, rng: &mut StdRng) -> Option<Tensor<2>> {
        (sd > 0.0).then(|| Tensor::from_data(TensorData::new(normals(rows * self.dim, sd, rng), [rows, self.dim]), &self.ctx.device))
    }
}

/// Branches alive at a step.
struct Branches {
    /// Branch of each schedule.
    branch_of: Vec<usize>,
    /// Frames of the windows, oldest first, each `[branches, segments, dim]`.
    window: VecDeque<Tensor<3>>,
    /// States before the step and up to `horizon − 1` earlier, newest last, each `[branches, segments, dim]`.
    history: VecDeque<Tensor<3>>,
    horizon: usize,
}

impl Branches {
    fn start(truth: &Truth, n_schedules: usize, horizon: usize) -> Self {
        Self { branch_of: vec![0; n_schedules], window: truth.first_window(), history: VecDeque::from([truth.state(0)]), horizon }
    }

    fn count(&self) -> usize {
        self.newest().dims()[0]
    }

    fn newest(&self) -> &Tensor<3> {
        self.history.back().expect("the history starts with one state and is trimmed to at least one")
    }

    /// One forward pass for all branches and segments.
    fn measure(&self, block: &Together, step: usize, draws: &mut Draws) -> Measurement {
        let (branches, n) = (self.count(), block.n_segments);
        let rows = branches * n;
        let repeated = |frames: Tensor<3>| frames.repeat_dim(0, branches).reshape([rows, block.dim]);
        let windows = Tensor::cat(self.window.iter().cloned().collect(), 2).reshape([rows, self.window.len() * block.dim]);
        // Every branch gets the same noise: schedules differ by their injections only.
        let noise = block.draw(n, block.noise_sd, &mut draws.noise).map(|noise| noise.repeat_dim(0, branches));
        let state = self.newest().clone().reshape([rows, block.dim]);
        let (before, now) = (repeated(block.truth.state(step - 1)), repeated(block.truth.state(step)));
        measure(block.predictor, windows, state, before, now, noise, block.config, &mut draws.sampling)
    }

    /// Lets schedules that differ after `step` part, and moves every branch to its new state.
    fn fork(&mut self, block: &Together, step: usize, schedules: &[Schedule], own: Tensor<2>, draws: &mut Draws) {
        let own = own.reshape([self.count(), block.n_segments, block.dim]);
        let truth = block.truth.state(step);
        // Drawn at every step, so that painting one step does not change the noise of another.
        let painted = block.draw(block.n_segments, block.painted_sd, &mut draws.painted).map(Tensor::unsqueeze::<3>);
        let mut children = Vec::new();
        find_children(&mut self.branch_of, schedules.iter(), step, &mut children);
        let before = |parent: usize| self.newest().clone().narrow(0, parent, 1);
        let state_of = |&(parent, action, nudge): &Child| {
            let state = match action {
                StepAction::Own => own.clone().narrow(0, parent, 1),
                StepAction::Truth => truth.clone(),
                StepAction::Freeze => before(parent),
                StepAction::Noise => painted.iter().fold(before(parent), |state, noise| state + noise.clone()),
            };
            match nudge {
                Some(by) => state + Tensor::<1>::from_data(TensorData::new(by.to_vec(), [block.dim]), &block.ctx.device).unsqueeze::<3>(),
                None => state,
            }
        };
        let states = Tensor::cat(children.iter().map(state_of).collect(), 0);
        // As many children as parents means one each, in the parents' order: nothing to move.
        if children.len() > self.count() {
            let parents = indices(children.iter().map(|c| c.0), &block.ctx.device);
            self.window.iter_mut().chain(&mut self.history).for_each(|past| *past = past.clone().select(0, parents.clone()));
        }
        self.history.push_back(states);
        if self.history.len() > self.horizon {
            self.history.pop_front();
        }
    }

    /// Windows of the next step: the oldest frame leaves; frame `t0 + step − k` enters, true while `step < k`, else the state
    /// of step `step − k + 1` after its injection.
    fn slide(&mut self, block: &Together, step: usize) {
        let entering =
            if step < self.horizon { block.truth.next_window_frame(step).repeat_dim(0, self.count()) } else { self.history[0].clone() };
        self.window.pop_front();
        self.window.push_back(entering);
    }
}

/// `n` draws from N(0, sd²).
fn normals(n: usize, sd: f32, rng: &mut StdRng) -> Vec<f32> {
    StandardNormal.sample_iter(rng).take(n).map(|z: f32| z * sd).collect()
}

/// A branch after a step: the one it comes from, what its state is, and what that is pushed by.
pub(super) type Child<'a> = (usize, StepAction, Option<&'a [f32]>);

/// The branches after `step` (1-based): `branch_of` says of each schedule on which it is, before and then after.
pub(super) fn find_children<'a>(
    branch_of: &mut [usize],
    schedules: impl Iterator<Item = &'a Schedule>,
    step: usize,
    children: &mut Vec<Child<'a>>,
) {
    children.clear();
    for (schedule, branch) in schedules.zip(branch_of) {
        let child = (*branch, schedule.actions[step - 1], schedule.nudge(step));
        *branch = children.iter().position(|&c| c == child).unwrap_or_else(|| {
            children.push(child);
            children.len() - 1
        });
    }
}

fn indices(values: impl Iterator<Item = usize>, device: &Device) -> Tensor<1, Int> {
    let values: Vec<i64> = values.map(|v| v as i64).collect();
    let n = values.len();
    Tensor::from_data(TensorData::new(values, [n]), device)
}
