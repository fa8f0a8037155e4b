//! What every command shares: the device, the seed, progress, the request to stop, and the registry of runs.

use std::cell::OnceCell;
use std::path::PathBuf;

use driftscope_core::engine::compute::GpuError;
use driftscope_core::engine::{DeviceChoice, OpenDevice, open_device};
use driftscope_core::job::{Cancel, JobCtx};
use driftscope_core::run::{Ending, Environment, Registry, Run};

use super::{Common, Console, Report};
use crate::open;

/// One invocation of the program.
pub(super) struct Session {
    pub(super) console: Console,
    pub(super) cancel: Cancel,
    pub(super) seed: u64,
    pub(super) choice: DeviceChoice,
    pub(super) registry: Registry,
    device: OnceCell<OpenDevice>,
}

impl Session {
    pub(super) fn new(common: &Common, console: &Console, cancel: &Cancel) -> Self {
        let folder = common.runs.clone().unwrap_or_else(default_registry);
        Self {
            console: console.clone(),
            cancel: cancel.clone(),
            seed: common.seed,
            choice: common.device.into(),
            registry: Registry::at(&folder),
            device: OnceCell::new(),
        }
    }

    /// The device, opened when first asked for; falling back to another is said once.
    pub(super) fn device(&self) -> anyhow::Result<&OpenDevice> {
        if let Some(device) = self.device.get() {
            return Ok(device);
        }
        let opened = open_device(self.choice)?.measuring_into(&open::measurements());
        if let Some(notice) = &opened.notice {
            self.console.notice(notice);
        }
        Ok(self.device.get_or_init(|| opened))
    }

    /// A device that gave up on the way, after the progress that said so is gone.
    pub(super) fn say_what_was_lost(&self) {
        if let Some(reason) = self.device.get().and_then(|device| device.health.lost()) {
            self.console.warning(&GpuError::Lost(reason.to_owned()).to_string());
        }
    }

    /// A context for the engine's long operations.
    pub(super) fn job(&self) -> anyhow::Result<JobCtx> {
        Ok(JobCtx { cancel: self.cancel.clone(), progress: self.console.progress(), ..JobCtx::on(self.device()?, self.seed) })
    }

    /// Records the start. A registry that cannot be written costs the record, not the work.
    pub(super) fn start_run(&self, experiment: &str, config: &serde_json::Value) -> Option<Run> {
        let device = self.device().map_or_else(|e| e.to_string(), |d| d.description.clone());
        let config = serde_json::json!({ "arguments": config, "seed": self.seed });
        match self.registry.start(experiment, &config, &Environment::current(&device)) {
            Ok(run) => Some(run),
            Err(error) => {
                self.console.notice(&format!("this run is not recorded: {error}"));
                None
            }
        }
    }

    /// Records the end, with the full result in the run's folder.
    pub(super) fn finish_run(&self, run: Run, ending: &Ending, report: Option<&Report>) {
        let key_metrics = report.map_or(serde_json::Value::Null, |r| r.key_metrics.clone());
        let kept = report.map_or(Ok(()), |r| run.write("metrics.json", &r.json));
        if let Err(error) = kept.and_then(|()| run.finish(ending, key_metrics)) {
            self.console.notice(&format!("the end of this run is not recorded: {error}"));
        }
    }
}

/// `$DRIFTSCOPE_RUNS`, else `runs` in the data folder.
fn default_registry() -> PathBuf {
    if let Some(folder) = std::env::var_os("DRIFTSCOPE_RUNS").filter(|f| !f.is_empty()) {
        return PathBuf::from(folder);
    }
    crate::open::data_folder().join("runs")
}
