//! What a long operation is given: a device, a seed, a way to be stopped and a place to report progress.
//!
//! Nothing here knows what the work is. The window and the command line each supply their own [`Progress`] sink.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use burn::tensor::Device;

use crate::engine::compute::{Gpu, GpuError};
use crate::engine::{Health, OpenDevice, is_cpu};

/// Everything a long operation needs besides its data and its config.
#[derive(Clone, Debug)]
pub struct JobCtx {
    /// The device that tensors are made on.
    pub device: Device,
    /// The GPU that whole rollouts run on, where there is one.
    pub gpu: Option<Gpu>,
    /// Whether both still answer.
    pub health: Health,
    /// Asked between units of work.
    pub cancel: Cancel,
    /// Told after units of work.
    pub progress: Progress,
    /// The only source of randomness of the job.
    pub seed: u64,
}

impl JobCtx {
    /// A context on `device` that reports to nobody and is never stopped.
    pub fn quiet(device: Device, seed: u64) -> Self {
        let (health, cancel, progress) = (Health::default(), Cancel::default(), Progress::default());
        Self { device, gpu: None, health, cancel, progress, seed }
    }

    /// The same on a device that was opened, with its GPU.
    pub fn on(opened: &OpenDevice, seed: u64) -> Self {
        Self { gpu: opened.gpu.clone(), health: opened.health.clone(), ..Self::quiet(opened.device.clone(), seed) }
    }

    /// The same job on the CPU.
    #[must_use]
    pub fn on_cpu(&self) -> Self {
        Self { device: Device::flex(), gpu: None, ..self.clone() }
    }

    /// The GPU for whole rollouts, while it answers.
    pub fn answering_gpu(&self) -> Option<&Gpu> {
        self.gpu.as_ref().filter(|_| self.health.lost().is_none())
    }

    /// Does for the first time what will be done often: a GPU's kernels are tuned by then, which takes seconds to minutes where nothing was
    /// kept from an earlier run, and is said. On the CPU there is nothing to tune, and `work` is not done.
    pub fn tune<T>(&self, work: impl FnOnce() -> T) {
        if !is_cpu(&self.device) {
            self.progress.report("tuning kernels for this device (once)", 0, Some(1), "");
            let began = Instant::now();
            work();
            self.progress.report("tuning kernels for this device (once)", 1, Some(1), format!("{:.1} s", began.elapsed().as_secs_f64()));
        }
    }

    /// The device is gone: says so, once to this job's user and for good to all others.
    pub fn lose(&self, reason: impl std::fmt::Display) {
        self.health.report(reason);
        let reason = self.health.lost().unwrap_or_default().to_owned();
        self.progress.report("the graphics device is lost", 0, None, GpuError::Lost(reason).to_string());
    }

    /// What `work` gives on this job's device; where that is lost, then or before, what it gives on the CPU. `work` starts over there,
    /// so it is a piece of the job small enough to be done twice.
    pub fn surviving<T>(&self, mut work: impl FnMut(&Self) -> T) -> T {
        if is_cpu(&self.device) {
            return work(self);
        }
        if self.health.lost().is_none() {
            // burn says that a device is lost where values are read back, mostly by a panic.
            match catch_unwind(AssertUnwindSafe(|| work(self))) {
                Ok(done) => return done,
                Err(panic) => match catch_unwind(AssertUnwindSafe(|| self.device.sync())) {
                    Ok(Ok(())) => resume_unwind(panic),
                    Ok(Err(error)) => self.lose(error),
                    Err(_) => self.lose("it does not answer any more"),
                },
            }
        }
        work(&self.on_cpu())
    }
}

/// How a block of work went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Block {
    /// It is done.
    Done,
    /// The device has no memory for so much at once; nothing was done.
    TooLarge,
}

/// Hands `work` blocks of at most `most` of `items`, with the place of each block's first item, until all are done; half as many at a
/// time from where there was no memory. A block of one cannot be too large: `work` does it elsewhere, or fails.
pub(crate) fn in_blocks<T, E>(items: &[T], most: usize, mut work: impl FnMut(usize, &[T]) -> Result<Block, E>) -> Result<(), E> {
    let (mut first, mut most) = (0, most.max(1));
    while first < items.len() {
        let some = &items[first..items.len().min(first + most)];
        match work(first, some)? {
            Block::Done => first += some.len(),
            Block::TooLarge => most = (some.len() / 2).max(1),
        }
    }
    Ok(())
}

/// The job was stopped by its user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped on request")]
pub struct Cancelled;

/// A flag shared between the one who may stop a job and the job itself.
#[derive(Clone, Debug, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks the job to stop at its next check.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// The flag itself, for a signal handler.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }

    /// `Err` once a stop was asked for; called by jobs with `?` between units of work.
    pub fn check(&self) -> Result<(), Cancelled> {
        if self.0.load(Ordering::Relaxed) { Err(Cancelled) } else { Ok(()) }
    }
}

/// How far a job is.
#[derive(Clone, Debug, PartialEq)]
pub struct ProgressEvent {
    /// What is being done, in a few words ("fit mdn k=1").
    pub stage: String,
    /// Units done so far.
    pub done: u64,
    /// Units in all, where known.
    pub total: Option<u64>,
    /// A short changing remark ("loss 41.2"), or empty.
    pub note: String,
}

/// Where a job reports its progress.
#[derive(Clone)]
pub struct Progress(Arc<dyn Fn(ProgressEvent) + Send + Sync>);

impl Progress {
    /// Reports go to `sink`, on the job's own thread.
    pub fn new(sink: impl Fn(ProgressEvent) + Send + Sync + 'static) -> Self {
        Self(Arc::new(sink))
    }

    /// Reports one event.
    pub fn report(&self, stage: &str, done: u64, total: Option<u64>, note: impl Into<String>) {
        (self.0)(ProgressEvent { stage: stage.to_owned(), done, total, note: note.into() });
    }
}

impl std::fmt::Debug for Progress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Progress")
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new(|_| {})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_halved_where_memory_ends_and_nothing_is_done_twice() {
        let items: Vec<usize> = (0..23).collect();
        let (mut tried, mut done) = (Vec::new(), Vec::new());
        in_blocks::<_, ()>(&items, 16, |first, some| {
            tried.push(some.len());
            if some.len() > 5 {
                return Ok(Block::TooLarge);
            }
            assert_eq!(first, some[0]);
            done.extend_from_slice(some);
            Ok(Block::Done)
        })
        .unwrap();
        assert_eq!((tried, done), (vec![16, 8, 4, 4, 4, 4, 4, 3], items.clone()));
        assert_eq!(in_blocks(&items, 4, |first, _| if first == 8 { Err("stopped") } else { Ok(Block::Done) }), Err("stopped"));
    }
}
