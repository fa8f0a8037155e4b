//! What a long operation is given: a device, a seed, a way to be stopped and a place to report progress.
//!
//! Nothing here knows what the work is. The window and the command line each supply their own [`Progress`] sink.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::tensor::Device;

use crate::engine::compute::Gpu;

/// Everything a long operation needs besides its data and its config.
#[derive(Clone, Debug)]
pub struct JobCtx {
    /// The device that tensors are made on.
    pub device: Device,
    /// The GPU that whole rollouts run on, where there is one.
    pub gpu: Option<Gpu>,
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
        Self { device, gpu: None, cancel: Cancel::default(), progress: Progress::default(), seed }
    }
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
