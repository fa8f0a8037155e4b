//! Devices, lanes of work, and WGSL kernels.
//!
//! A device is chosen at run time; the absence of an adapter means the CPU, said once, never a crash. A [`lane::Lane`] is one
//! named OS thread (GPU work of a lane stays on its thread). This module knows nothing of what is computed.

mod device;
pub mod lane;

pub use burn::tensor::Device;
pub(crate) use device::is_cpu;
pub use device::{DeviceChoice, EngineError, OpenDevice, adapters, open_device};
