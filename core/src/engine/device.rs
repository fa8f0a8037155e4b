//! Choosing the device that tensors live on.

use burn::tensor::wgpu::{WgpuInitError, WgpuSetup};
use burn::tensor::{Device, DeviceKind};

use std::path::Path;

use super::Health;
use super::compute::{Crossovers, Gpu};

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
    /// What was asked for.
    pub choice: DeviceChoice,
    /// burn's handle.
    pub device: Device,
    /// The same device for whole rollouts; `None` on the CPU, and for a device that was opened before.
    pub gpu: Option<Gpu>,
    /// Whether it still answers.
    pub health: Health,
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
    /// An adapter is there, but its driver refuses.
    #[error("the graphics adapter could not be opened ({0}); update its driver or use --device cpu")]
    Adapter(String),
    /// `--device cuda` in a build without the feature.
    #[error("this build has no CUDA; build with --features cuda (it downloads LLVM) or use --device gpu")]
    NoCuda,
    /// `--device cuda` on a machine where CUDA does not start.
    #[error("CUDA does not start on this machine ({0}); use --device gpu or --device cpu")]
    Cuda(String),
}

/// A graphics adapter that wgpu finds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Adapter {
    /// As its driver calls it.
    pub name: String,
    /// Hardware, or a program that stands in for it.
    pub kind: AdapterKind,
    /// Graphics interface: "Vulkan", "Metal", "Dx12", "Gl".
    pub backend: String,
    /// Driver with its version.
    pub driver: String,
}

/// Whether computing on an adapter is worth it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdapterKind {
    /// A GPU of any kind.
    Hardware,
    /// Rendering on the CPU (lavapipe, llvmpipe, WARP): slower than computing there directly.
    Software,
}

impl std::fmt::Display for Adapter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = if self.kind == AdapterKind::Hardware { "hardware" } else { "software" };
        write!(f, "{} ({kind}, {}, {})", self.name, self.backend, self.driver)
    }
}

impl From<&wgpu::AdapterInfo> for Adapter {
    fn from(info: &wgpu::AdapterInfo) -> Self {
        let is_software = info.device_type == wgpu::DeviceType::Cpu || info.name.to_lowercase().contains("llvmpipe");
        Self {
            name: info.name.clone(),
            kind: if is_software { AdapterKind::Software } else { AdapterKind::Hardware },
            backend: format!("{:?}", info.backend),
            driver: format!("{} {}", info.driver, info.driver_info).trim().to_owned(),
        }
    }
}

/// Opens the device asked for.
///
/// Call it once and clone the handle: a second call for the same adapter gives the same device.
pub fn open_device(choice: DeviceChoice) -> Result<OpenDevice, EngineError> {
    DevicePlan::of(choice).open()
}

/// A choice with the adapters that it is made among: for a window, which opens its device first and then shares it.
#[derive(Clone, Debug)]
pub struct DevicePlan {
    choice: DeviceChoice,
    adapters: Vec<Adapter>,
}

impl DevicePlan {
    /// Looks for adapters, which takes about 0.1 s; for `cpu` and `cuda` nobody looks.
    pub fn of(choice: DeviceChoice) -> Self {
        let looks = matches!(choice, DeviceChoice::Auto | DeviceChoice::Gpu);
        Self { choice, adapters: if looks { list_adapters() } else { Vec::new() } }
    }

    /// Whether it falls on an adapter, so that a window's device can be the engine's too if it is made as [`shareable`].
    pub fn is_shareable(&self) -> bool {
        match self.choice {
            DeviceChoice::Auto => self.adapters.first().is_some_and(|first| first.kind == AdapterKind::Hardware),
            DeviceChoice::Gpu => !self.adapters.is_empty(),
            DeviceChoice::Cpu | DeviceChoice::Cuda => false,
        }
    }

    /// Opens a device of the engine's own.
    pub fn open(&self) -> Result<OpenDevice, EngineError> {
        match self.choice {
            DeviceChoice::Cpu => Ok(cpu(None)),
            DeviceChoice::Gpu => self.adapters.first().map_or(Err(EngineError::NoAdapter), gpu),
            DeviceChoice::Auto => Ok(OpenDevice { choice: self.choice, ..auto(&self.adapters, gpu) }),
            DeviceChoice::Cuda => cuda(),
        }
    }

    /// The engine on a device that is open. Where it was not made as [`shareable`], or its adapter is not of the kind that the plan falls
    /// on (a window drawn in software beside a real GPU), the engine opens its own.
    pub fn open_on(&self, setup: WgpuSetup) -> Result<OpenDevice, EngineError> {
        let adapter = Adapter::from(&setup.adapter.get_info());
        let is_of_its_kind = self.is_shareable() && self.adapters.first().is_some_and(|first| first.kind == adapter.kind);
        if !is_of_its_kind || !setup.device.features().contains(shareable(&setup.adapter).required_features) {
            return self.open();
        }
        let gpu = Gpu::new(setup.device.clone(), setup.queue.clone());
        match Device::wgpu_options().setup(setup).init() {
            Ok(device) => Ok(OpenDevice { choice: self.choice, ..on_adapter(device, Some(gpu), &adapter) }),
            Err(_) => self.open(),
        }
    }
}

/// How to ask an adapter for a device that burn computes on as on its own: with all that the adapter has.
pub fn shareable(adapter: &wgpu::Adapter) -> wgpu::DeviceDescriptor<'static> {
    // burn uses none of the experimental ones; mapping primary buffers slows discrete GPUs down.
    let without = wgpu::Features::MAPPABLE_PRIMARY_BUFFERS | wgpu::Features::all_experimental_mask();
    wgpu::DeviceDescriptor {
        label: Some("window and engine"),
        required_features: adapter.features().difference(without),
        required_limits: adapter.limits(),
        memory_hints: wgpu::MemoryHints::MemoryUsage,
        ..Default::default()
    }
}

impl OpenDevice {
    /// Keeps in `folder` what is measured on this device: the products that burn has tuned (by process, whatever the device), and, where
    /// nobody asked for the GPU, from when on it is used.
    #[must_use]
    pub fn measuring_into(self, folder: &Path) -> Self {
        cubecl_environment::environment::set_root(folder);
        let is_auto = self.choice == DeviceChoice::Auto;
        let where_faster = |gpu: Gpu| gpu.where_faster(Crossovers::kept_in(folder, &self.description));
        Self { gpu: self.gpu.map(|gpu| if is_auto { where_faster(gpu) } else { gpu }), ..self }
    }
}

/// Whether tensors of `device` live in memory that the CPU addresses, so that reading them costs nothing.
pub(crate) fn is_cpu(device: &Device) -> bool {
    format!("{device:?}").contains("Flex")
}

/// One line for each graphics adapter that wgpu finds: name, kind, backend, driver. Takes about 0.1 s.
pub fn adapters() -> Vec<String> {
    list_adapters().iter().map(Adapter::to_string).collect()
}

/// Every adapter, hardware first.
fn list_adapters() -> Vec<Adapter> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle());
    let found = pollster::block_on(instance.enumerate_adapters(wgpu::Backends::all()));
    let mut adapters: Vec<Adapter> = found.iter().map(|adapter| Adapter::from(&adapter.get_info())).collect();
    adapters.sort_by_key(|adapter| adapter.kind == AdapterKind::Software);
    adapters
}

fn cpu(notice: Option<String>) -> OpenDevice {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    OpenDevice {
        choice: DeviceChoice::Cpu,
        device: Device::flex(),
        gpu: None,
        health: Health::default(),
        description: format!("CPU (flex, {threads} threads)"),
        notice,
    }
}

/// Never fails: whatever keeps the GPU from being used, the CPU computes and the notice says why.
fn auto(adapters: &[Adapter], open: impl Fn(&Adapter) -> Result<OpenDevice, EngineError>) -> OpenDevice {
    match adapters.first() {
        None => cpu(Some("No graphics adapter was found; computing on the CPU.".to_owned())),
        Some(adapter) if adapter.kind == AdapterKind::Software => {
            cpu(Some(format!("The only graphics adapter is software ({}); computing on the CPU, which is faster.", adapter.name)))
        }
        Some(adapter) => open(adapter).unwrap_or_else(|error| cpu(Some(format!("Computing on the CPU: {error}.")))),
    }
}

/// burn's own choice of adapter prefers fast hardware, as ours does.
fn gpu(expected: &Adapter) -> Result<OpenDevice, EngineError> {
    let options = Device::wgpu_options().device_kind(DeviceKind::DefaultDevice);
    let (device, gpu, adapter) = match options.init_with_setup() {
        Ok((device, setup)) => (device, Some(Gpu::new(setup.device, setup.queue)), Adapter::from(&setup.adapter.get_info())),
        // It was opened before; the handle is the same.
        Err(WgpuInitError::Registration { .. }) => (Device::wgpu(DeviceKind::DefaultDevice), None, expected.clone()),
        Err(WgpuInitError::AdapterUnavailable { .. }) => return Err(EngineError::NoAdapter),
        Err(error) => return Err(EngineError::Adapter(error.to_string())),
    };
    Ok(on_adapter(device, gpu, &adapter))
}

fn on_adapter(device: Device, gpu: Option<Gpu>, adapter: &Adapter) -> OpenDevice {
    let is_software = adapter.kind == AdapterKind::Software;
    let notice = is_software.then(|| format!("The adapter is software ({}): computing on the CPU is faster.", adapter.name));
    OpenDevice {
        choice: DeviceChoice::Gpu,
        device,
        gpu,
        health: Health::default(),
        description: format!("{} ({})", adapter.name, adapter.backend),
        notice,
    }
}

#[cfg(feature = "cuda")]
fn cuda() -> Result<OpenDevice, EngineError> {
    // burn opens CUDA with the first tensor, and panics where there is no driver.
    let device = std::panic::catch_unwind(|| {
        let device = Device::cuda(0);
        let _: f32 = burn::tensor::Tensor::<1>::ones([1], &device).into_scalar();
        device
    });
    let device = device.map_err(|panic| EngineError::Cuda(super::lane::panic_text(panic.as_ref())))?;
    Ok(OpenDevice {
        choice: DeviceChoice::Cuda,
        device,
        gpu: None,
        health: Health::default(),
        description: "NVIDIA (CUDA)".to_owned(),
        notice: None,
    })
}

#[cfg(not(feature = "cuda"))]
fn cuda() -> Result<OpenDevice, EngineError> {
    Err(EngineError::NoCuda)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapter(kind: AdapterKind) -> Adapter {
        Adapter { name: "Name".into(), kind, backend: "Vulkan".into(), driver: "driver 1".into() }
    }

    #[test]
    fn auto_takes_hardware_only_and_never_fails() {
        let opened = || OpenDevice {
            choice: DeviceChoice::Gpu,
            device: Device::flex(),
            gpu: None,
            health: Health::default(),
            description: "opened".into(),
            notice: None,
        };
        for (adapters, opens, description, notice) in [
            (vec![], true, "CPU", Some("No graphics adapter")),
            (vec![adapter(AdapterKind::Software)], true, "CPU", Some("software (Name)")),
            (vec![adapter(AdapterKind::Hardware), adapter(AdapterKind::Software)], true, "opened", None),
            (vec![adapter(AdapterKind::Hardware)], false, "CPU", Some("could not be opened (lost)")),
        ] {
            let got = auto(&adapters, |_| if opens { Ok(opened()) } else { Err(EngineError::Adapter("lost".into())) });
            assert!(got.description.starts_with(description), "{got:?}");
            assert_eq!(got.notice.is_some(), notice.is_some());
            assert!(notice.is_none_or(|part| got.notice.unwrap_or_default().contains(part)));
        }
    }

    #[test]
    fn adapters_are_described_in_a_line() {
        assert_eq!(adapter(AdapterKind::Software).to_string(), "Name (software, Vulkan, driver 1)");
    }

    #[test]
    fn the_cpu_is_always_there() {
        assert!(open_device(DeviceChoice::Cpu).unwrap().notice.is_none());
        assert!(open_device(DeviceChoice::Auto).is_ok());
    }

    #[test]
    #[cfg(not(feature = "cuda"))]
    fn without_the_feature_cuda_is_one_sentence() {
        let error = open_device(DeviceChoice::Cuda).unwrap_err().to_string();
        assert!(error.contains("--features cuda"), "{error}");
    }
}
