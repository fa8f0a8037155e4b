//! A block of a rollout on the GPU, run there in one submission.

use super::branches::Draws;
use super::run::Work;
use super::{Rollout, Segment, script};
use crate::engine::compute::{GpuError, LivePath};

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
        let batch = script::batch(&self.work, segments, draws, self.is_drawn);
        let outcome = self.path.run(&batch)?;
        let mut rollouts = self.work.collect(segments, &outcome);
        rollouts.iter_mut().for_each(|rollout| rollout.on_gpu = true);
        Ok(rollouts)
    }
}
