//! The device that a benchmark runs on.

use std::error::Error;

use driftscope_core::engine::{DeviceChoice, OpenDevice, open_device};

/// As `DRIFTSCOPE_DEVICE` says (auto, cpu, gpu, cuda); the CPU where it says nothing. Second: what PyTorch is to run on.
pub(super) fn open() -> Result<(OpenDevice, &'static str), Box<dyn Error>> {
    let choice: DeviceChoice = match std::env::var("DRIFTSCOPE_DEVICE") {
        Ok(name) => serde_json::from_value(serde_json::Value::String(name))?,
        Err(_) => DeviceChoice::Cpu,
    };
    let opened = open_device(choice)?;
    let torch = if opened.description.starts_with("CPU") { "cpu" } else { "cuda" };
    Ok((opened, torch))
}
