//! Utterances one after the other, with progress and a way to be stopped; their frames standardized, in their order or, for the
//! time-shuffled null, in none.

use std::ops::Range;
use std::time::Instant;

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use super::DiagnoseError;
use crate::context::Source;
use crate::job::JobCtx;
use crate::latents::Latents;
use crate::represent::Normalizer;

/// Hands `each` the utterances at `indices`; progress counts their frames.
pub(super) fn pass(
    ctx: &JobCtx,
    source: Source,
    stage: &str,
    indices: &[usize],
    mut each: impl FnMut(usize, &Latents) -> Result<(), DiagnoseError>,
) -> Result<(), DiagnoseError> {
    let total = indices.iter().map(|&index| source.outline(index).n_frames as u64).sum();
    let (began, mut done) = (Instant::now(), 0);
    source.pass(indices, |index, latents| {
        ctx.cancel.check()?;
        each(index, latents)?;
        done += latents.n_frames() as u64;
        ctx.progress.report(stage.to_owned(), done, Some(total), format!("{:.0} frames/s", done as f64 / began.elapsed().as_secs_f64()));
        Ok(())
    })
}

/// In which order the frames of an utterance stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Time {
    /// As they were.
    True,
    /// Each utterance's own frames in a random order, the same in every pass.
    Shuffled {
        /// Of one generator for all utterances.
        seed: u64,
    },
}

/// What reads frames standardized.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) ctx: &'a JobCtx,
    pub(super) source: Source<'a>,
    pub(super) normalizer: &'a Normalizer,
    pub(super) time: Time,
}

impl Reader<'_> {
    /// Hands `each` the utterances at `indices`, which ascend.
    pub(super) fn pass(
        self,
        stage: &str,
        indices: &[usize],
        mut each: impl FnMut(&Frames) -> Result<(), DiagnoseError>,
    ) -> Result<(), DiagnoseError> {
        let mut orders = match self.time {
            Time::True => None,
            Time::Shuffled { seed } => Some(Orders { source: self.source, rng: StdRng::seed_from_u64(seed), next: 0 }),
        };
        pass(self.ctx, self.source, stage, indices, |index, latents| {
            let order = orders.as_mut().and_then(|orders| orders.nth(index - orders.next));
            each(&Frames { index, latents, order, normalizer: self.normalizer })
        })
    }
}

/// Random orders of the frames of every utterance, from the first on.
struct Orders<'a> {
    source: Source<'a>,
    rng: StdRng,
    next: usize,
}

impl Iterator for Orders<'_> {
    type Item = Vec<usize>;

    fn next(&mut self) -> Option<Vec<usize>> {
        let mut order: Vec<usize> = (0..self.source.outline(self.next).n_frames).collect();
        order.shuffle(&mut self.rng);
        self.next += 1;
        Some(order)
    }
}

/// Standardized frames of one utterance.
pub(super) struct Frames<'a> {
    /// Which utterance.
    pub(super) index: usize,
    latents: &'a Latents,
    order: Option<Vec<usize>>,
    normalizer: &'a Normalizer,
}

impl Frames<'_> {
    pub(super) fn n(&self) -> usize {
        self.latents.n_frames()
    }

    /// The frame that stands in the place of frame t.
    pub(super) fn at(&self, t: usize) -> usize {
        self.order.as_ref().map_or(t, |order| order[t])
    }

    /// Writes the frames of `range` behind `values`, `[range, dim]`.
    pub(super) fn write(&self, range: Range<usize>, values: &mut Vec<f64>) {
        for t in range {
            let standardized = self.latents.frame(self.at(t)).iter().zip(&self.normalizer.mean).zip(&self.normalizer.std);
            values.extend(standardized.map(|((x, m), s)| (f64::from(*x) - f64::from(*m)) / f64::from(*s)));
        }
    }
}
