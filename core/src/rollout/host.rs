//! A block of a rollout on the CPU, in memory that is laid out before the first step: the loop over steps allocates nothing.
//!
//! What is to be done is a GPU's [`Batch`]. There every row is computed, since rows cost it nothing; here schedules share a trajectory
//! for as long as they agree, and a step of all trajectories reads the weights once.
#![expect(clippy::inline_always, reason = "vector instructions reach only what is inlined")]

use driftscope_numerics::simd::vectorized;
use rayon::prelude::*;

use crate::engine::compute::{Batch, COLUMNS, Order, Outcome, Rule};
use crate::job::Cancelled;
use crate::predict::{Advance, Answers, MagnitudeRule, Predictor, Rows};

/// Values side by side in sums over dimensions.
const LANES: usize = 16;
/// Rows that one task moves on at least.
const ROWS_TOGETHER: usize = 32;

/// Runs every row of `batch` through all steps; `before_each` is called with the number of steps that are done.
pub(super) fn run(
    predictor: &Predictor,
    batch: &Batch,
    before_each: impl FnMut(usize) -> Result<(), Cancelled> + Send,
) -> Result<Outcome, Cancelled> {
    // From inside the pool no product waits for the caller's thread to fall asleep and to be woken again.
    rayon::scope(|_| Run::new(predictor, batch).steps(before_each))
}

/// Trajectories, and what a step of them needs.
struct Run<'a> {
    predictor: &'a Predictor,
    batch: &'a Batch,
    advance: Advance,
    dim: usize,
    window: usize,
    /// Frames of a trajectory, and which of them is the state before the first step.
    length: usize,
    first: usize,
    /// Random numbers of a sample.
    draw_width: usize,
    /// `[n_schedules, n_segments, length, dim]`; a schedule that leads none stays empty.
    states: Vec<f32>,
    /// The schedule on whose trajectory each is: the first of those that have agreed so far.
    leader: Vec<usize>,
    /// The same at the last measurement, and before the last parting.
    measured: Vec<usize>,
    parted: Vec<usize>,
    /// Those that lead: one after the other, `n_segments` rows each.
    leading: Vec<usize>,
    /// True Δ, `[n_segments, n_steps, dim]`
    deltas: Vec<f32>,
    answers: Answers,
    /// Where each row of the last measurement goes by itself, `[rows, dim]`, and what was measured, `[rows, COLUMNS]`.
    own: Vec<f32>,
    readings: Vec<f32>,
    zeros: Vec<f32>,
    /// `[n_schedules, n_segments, n_steps, COLUMNS]`
    columns: Vec<f32>,
}

impl<'a> Run<'a> {
    fn new(predictor: &'a Predictor, batch: &'a Batch) -> Self {
        let info = &predictor.info;
        let (n, n_schedules, n_steps, dim) = (batch.n_segments, batch.n_schedules, batch.n_steps, info.dim);
        let first = info.window + info.horizon - 2;
        let length = first + 1 + n_steps;
        let mut states = vec![0.0; n_schedules * n * length * dim];
        let mut deltas = Vec::with_capacity(n * n_steps * dim);
        let trajectories = states.chunks_exact_mut(length * dim).zip(batch.truth.chunks_exact(length * dim));
        for (states, truth) in trajectories {
            states[..(first + 1) * dim].copy_from_slice(&truth[..(first + 1) * dim]);
            let frames = &truth[first * dim..];
            deltas.extend(frames[dim..].iter().zip(frames).map(|(now, before)| now - before));
        }
        let rule = match batch.rule {
            Rule::Mean => MagnitudeRule::Mean,
            Rule::Median => MagnitudeRule::Median,
            Rule::Mode => MagnitudeRule::Mode,
            Rule::Sample => MagnitudeRule::Sample,
        };
        Self {
            predictor,
            batch,
            advance: Advance { rule, temperature: batch.temperature },
            dim,
            window: info.window,
            length,
            first,
            draw_width: predictor.draw_width(),
            states,
            leader: vec![0; n_schedules],
            measured: vec![0; n_schedules],
            parted: vec![0; n_schedules],
            leading: Vec::with_capacity(n_schedules),
            deltas,
            answers: Answers::for_rows(n * n_schedules, dim),
            own: vec![0.0; n * n_schedules * dim],
            readings: vec![0.0; n * n_schedules * COLUMNS],
            zeros: vec![0.0; dim],
            columns: vec![0.0; n_schedules * n * n_steps * COLUMNS],
        }
    }

    fn steps(mut self, mut before_each: impl FnMut(usize) -> Result<(), Cancelled>) -> Result<Outcome, Cancelled> {
        let is_drawn = self.advance.rule == MagnitudeRule::Sample;
        for step in 0..self.batch.n_steps {
            before_each(step)?;
            self.part(step, |order| [order.noise, if is_drawn { order.draw } else { 0 }, 0]);
            self.measure(step);
            self.part(step, |order| [order.base, order.painted, order.nudge]);
            self.advance(step);
        }
        Ok(self.outcome())
    }

    fn order(&self, schedule: usize, step: usize) -> &'a Order {
        &self.batch.orders[schedule * self.batch.n_steps + step]
    }

    /// First value of a frame of a trajectory.
    fn at(&self, schedule: usize, segment: usize, frame: usize) -> usize {
        ((schedule * self.batch.n_segments + segment) * self.length + frame) * self.dim
    }

    /// Row `first + segment` of the additions; zeros for [`Order::NONE`].
    fn addition(&self, first: u32, segment: usize) -> &[f32] {
        if first == Order::NONE { &self.zeros } else { &self.batch.additions[(first as usize + segment) * self.dim..][..self.dim] }
    }

    /// Gives those a trajectory of their own whose orders for `step` differ in `key` from their leader's.
    fn part(&mut self, step: usize, key: impl Fn(&Order) -> [u32; 3]) {
        self.parted.clone_from(&self.leader);
        for schedule in 0..self.leader.len() {
            let before = self.parted[schedule];
            let of = |schedule| key(self.order(schedule, step));
            let alike = |&other: &usize| self.parted[other] == before && of(other) == of(schedule);
            let leader = (0..schedule).find(alike).unwrap_or(schedule);
            if leader == schedule && before != schedule {
                let size = self.at(1, 0, 0);
                self.states.copy_within(before * size..(before + 1) * size, schedule * size);
            }
            self.leader[schedule] = leader;
        }
    }

    /// Asks the predictor about the window of every trajectory and notes what it says.
    fn measure(&mut self, step: usize) {
        let n = self.batch.n_segments;
        self.leading.clear();
        self.leading.extend((0..self.leader.len()).filter(|&schedule| self.leader[schedule] == schedule));
        self.measured.clone_from(&self.leader);
        let n_rows = self.leading.len() * n;
        let mut answers = std::mem::take(&mut self.answers);
        self.predictor.answer(&Asked { run: self, step }, n_rows, self.advance, &mut answers);
        let (mut own, mut readings) = (std::mem::take(&mut self.own), std::mem::take(&mut self.readings));
        let rows = own.par_chunks_exact_mut(self.dim).zip(readings.par_chunks_exact_mut(COLUMNS)).take(n_rows).enumerate();
        rows.with_min_len(ROWS_TOGETHER).for_each(|(row, (own, reading))| self.read(step, row, &answers, own, reading));
        for schedule in 0..self.leader.len() {
            let row = self.block(self.leader[schedule]) * n;
            for segment in 0..n {
                let place = ((schedule * n + segment) * self.batch.n_steps + step) * COLUMNS;
                self.columns[place..place + COLUMNS].copy_from_slice(&readings[(row + segment) * COLUMNS..][..COLUMNS]);
            }
        }
        (self.answers, self.own, self.readings) = (answers, own, readings);
    }

    /// Which of the leading ones a schedule is.
    fn block(&self, leader: usize) -> usize {
        self.leading.iter().position(|&leading| leading == leader).unwrap_or(0)
    }

    /// What is measured of one row, and where it goes by itself.
    fn read(&self, step: usize, row: usize, answers: &Answers, own: &mut [f32], reading: &mut [f32]) {
        let (dim, n) = (self.dim, self.batch.n_segments);
        let (leader, segment) = (self.leading[row / n], row % n);
        let before = self.first + step;
        let state = &self.states[self.at(leader, segment, before)..][..dim];
        let truth = &self.batch.truth[self.at(0, segment, before)..][..2 * dim];
        let (mean, advance) = (&answers.mean[row * dim..][..dim], &answers.advance[row * dim..][..dim]);
        let noise = self.addition(self.order(leader, step).noise, segment);
        let columns = [state, &truth[..dim], &truth[dim..], mean, advance, noise];
        let alpha = self.batch.alpha;
        let whole = dim - dim % LANES;
        let [dot, squares @ ..] = vectorized(
            #[inline(always)]
            || {
                let (own, rest) = own.split_at_mut(whole);
                let sums = step_row::<LANES>(columns.map(|c| &c[..whole]), alpha, own);
                let of_rest = step_row::<1>(columns.map(|c| &c[whole..]), alpha, rest);
                std::array::from_fn::<f32, 5, _>(|i| sums[i] + of_rest[i])
            },
        );
        let [mean, advance, before, after] = squares.map(f32::sqrt);
        reading.copy_from_slice(&[answers.nll[row], answers.nll_factored[row], dot, mean, advance, before, after, 0.0]);
    }

    /// Moves every trajectory to its next frame.
    fn advance(&mut self, step: usize) {
        let (n, dim) = (self.batch.n_segments, self.dim);
        let mut states = std::mem::take(&mut self.states);
        for schedule in (0..self.leader.len()).filter(|&schedule| self.leader[schedule] == schedule) {
            let order = self.order(schedule, step);
            let row = self.block(self.measured[schedule]) * n;
            for segment in 0..n {
                let before = self.at(schedule, segment, self.first + step);
                let (state, next) = states[before..before + 2 * dim].split_at_mut(dim);
                next.copy_from_slice(match order.base {
                    Order::TRUTH => &self.batch.truth[self.at(0, segment, self.first + step + 1)..][..dim],
                    Order::BEFORE => state,
                    _ => &self.own[(row + segment) * dim..][..dim],
                });
                let additions = [(order.painted, segment), (order.nudge, 0)];
                for (first, segment) in additions.into_iter().filter(|(first, _)| *first != Order::NONE) {
                    next.iter_mut().zip(self.addition(first, segment)).for_each(|(x, add)| *x += add);
                }
            }
        }
        self.states = states;
    }

    fn outcome(self) -> Outcome {
        let n_values = self.batch.n_steps * self.dim;
        let mut states = Vec::with_capacity(self.leader.len() * self.batch.n_segments * n_values);
        for &leader in &self.leader {
            for segment in 0..self.batch.n_segments {
                states.extend_from_slice(&self.states[self.at(leader, segment, self.first + 1)..][..n_values]);
            }
        }
        Outcome { columns: self.columns, states, resident: None }
    }
}

/// The rows of a step.
struct Asked<'a> {
    run: &'a Run<'a>,
    step: usize,
}

impl Rows for Asked<'_> {
    fn window(&self, row: usize) -> &[f32] {
        let n = self.run.batch.n_segments;
        &self.run.states[self.run.at(self.run.leading[row / n], row % n, self.step)..][..self.run.window * self.run.dim]
    }

    fn delta(&self, row: usize) -> &[f32] {
        let frame = row % self.run.batch.n_segments * self.run.batch.n_steps + self.step;
        &self.run.deltas[frame * self.run.dim..][..self.run.dim]
    }

    fn draw(&self, row: usize) -> &[f32] {
        let n = self.run.batch.n_segments;
        let first = self.run.order(self.run.leading[row / n], self.step).draw as usize;
        &self.run.batch.draws[(first + row % n) * self.run.draw_width..][..self.run.draw_width]
    }
}

/// Goes from columns (state, true frame before, true frame now, E\[Δ\], advance, noise) to `own`, over a multiple of `L` dimensions:
/// gives E\[Δ\]·Δ and the squares of E\[Δ\], of the advance with α, and of the errors before and after.
#[inline(always)]
fn step_row<const L: usize>(columns: [&[f32]; 6], alpha: f32, own: &mut [f32]) -> [f32; 5] {
    let [state, before, now, mean, advance, noise] = columns.map(|column| column.as_chunks::<L>().0);
    let mut sums = [[0.0; L]; 5];
    for (i, own) in own.as_chunks_mut::<L>().0.iter_mut().enumerate() {
        for lane in 0..L {
            let (state, before, now, mean) = (state[i][lane], before[i][lane], now[i][lane], mean[i][lane]);
            let advance = advance[i][lane] * alpha;
            own[lane] = state + advance + noise[i][lane];
            let (error_before, error_after) = (state - before, own[lane] - now);
            sums[0][lane] += mean * (now - before);
            sums[1][lane] += mean * mean;
            sums[2][lane] += advance * advance;
            sums[3][lane] += error_before * error_before;
            sums[4][lane] += error_after * error_after;
        }
    }
    sums.map(|lanes| lanes.iter().sum())
}
