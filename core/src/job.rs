//! What a long operation is given: a device, a seed, a way to be stopped and a place to report progress.
//!
//! Nothing here knows what the work is. The window and the command line each supply their own [`Progress`] sink.

mod recovery;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use burn::tensor::Device;

use crate::engine::compute::{Gpu, GpuError};
use crate::engine::{Health, OpenDevice, is_cpu};

pub(crate) use recovery::Block;

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
            self.progress.report("preparing the device's kernels", 0, Some(1), "");
            let began = Instant::now();
            work();
            self.progress.report("preparing the device's kernels", 1, Some(1), format!("{:.1} s", began.elapsed().as_secs_f64()));
        }
    }

    /// The device is gone: says so, once to this job's user and for good to all others.
    pub fn lose(&self, reason: impl std::fmt::Display) {
        self.health.report(reason);
        let reason = self.health.lost().unwrap_or_default().to_owned();
        self.progress.report("the graphics device is lost", 0, None, GpuError::Lost(reason).to_string());
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
    pub stage: Cow<'static, str>,
    /// Units done so far.
    pub done: u64,
    /// Units in all, where known.
    pub total: Option<u64>,
    /// A short changing remark ("loss 41.2"), or empty.
    pub note: Cow<'static, str>,
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
    pub fn report(&self, stage: impl Into<Cow<'static, str>>, done: u64, total: Option<u64>, note: impl Into<Cow<'static, str>>) {
        (self.0)(ProgressEvent { stage: stage.into(), done, total, note: note.into() });
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
