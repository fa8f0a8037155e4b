//! Devices, lanes of work, and drawing and computing through WGSL.
//!
//! A device is chosen at run time; the absence of an adapter means the CPU, said once, never a crash. A [`lane::Lane`] is one
//! named OS thread (GPU work of a lane stays on its thread); [`display`] draws and [`compute`] computes through `shaders/`, on one
//! device where a window shares its own ([`DevicePlan`]). This module knows nothing of what is computed.

pub mod compute;
mod device;
pub mod display;
mod health;
pub mod lane;
mod reading;
mod resident;

pub use burn::tensor::Device;
pub use burn::tensor::wgpu::WgpuSetup;
pub(crate) use device::is_cpu;
pub use device::{Adapter, AdapterKind, DeviceChoice, DevicePlan, EngineError, OpenDevice, adapters, open_device, shareable};
pub use health::Health;
pub(crate) use reading::{HostTensor, host_scalar, host_values};
pub use resident::Resident;
