//! A GPU to compute on, and compute pipelines on it.

use std::sync::{Arc, OnceLock};

use super::{Crossovers, activate, advance, mixture, product, start, von_mises_fisher};

/// A GPU to compute on. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Gpu {
    /// wgpu's handle.
    pub device: wgpu::Device,
    /// Where work is submitted.
    pub queue: wgpu::Queue,
    kernels: Arc<OnceLock<Kernels>>,
    /// `None`: it is used whatever it costs.
    crossovers: Option<Arc<Crossovers>>,
    /// Rollouts leave their states here, to be drawn.
    is_drawn: bool,
}

/// A GPU that did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GpuError {
    /// It is gone (unplugged, reset, its driver crashed) or hangs.
    #[error("the graphics device gave up ({0}); the CPU computes instead")]
    Lost(String),
    /// It has no memory left for this.
    #[error("the graphics device has no memory left ({0}); the CPU computes instead")]
    NoMemory(String),
}

impl GpuError {
    pub(crate) fn lost(reason: impl std::fmt::Display) -> Self {
        Self::Lost(sentence(reason))
    }
}

impl From<&wgpu::Error> for GpuError {
    fn from(error: &wgpu::Error) -> Self {
        match error {
            wgpu::Error::OutOfMemory { .. } => Self::NoMemory(sentence(error)),
            _ => Self::lost(error),
        }
    }
}

fn sentence(reason: impl std::fmt::Display) -> String {
    reason.to_string().split_whitespace().collect::<Vec<&str>>().join(" ")
}

impl Gpu {
    /// On a device that is open; every rollout that it can do runs there.
    pub fn new(device: wgpu::Device, queue: wgpu::Queue) -> Self {
        Self { device, queue, kernels: Arc::default(), crossovers: None, is_drawn: false }
    }

    /// The same, used only where it was measured to be faster than the CPU.
    #[must_use]
    pub fn where_faster(self, crossovers: Crossovers) -> Self {
        Self { crossovers: Some(Arc::new(crossovers)), ..self }
    }

    /// The same, used whatever it costs.
    #[must_use]
    pub fn always(self) -> Self {
        Self { crossovers: None, ..self }
    }

    /// What is known of where it is faster than the CPU; `None` where that does not matter.
    pub fn crossovers(&self) -> Option<&Crossovers> {
        self.crossovers.as_deref()
    }

    /// The same for rollouts whose states stay on the device, to be drawn from there.
    #[must_use]
    pub fn drawn(&self) -> Self {
        Self { is_drawn: true, ..self.clone() }
    }

    /// Whether states stay.
    pub(crate) fn is_drawn(&self) -> bool {
        self.is_drawn
    }

    /// Compiled when first asked for.
    pub(super) fn kernels(&self) -> &Kernels {
        self.kernels.get_or_init(|| Kernels::new(&self.device))
    }

    /// What `work` gives, or what the device had against it.
    pub(super) fn guarded<T>(&self, work: impl FnOnce() -> T) -> Result<T, GpuError> {
        let filters = [wgpu::ErrorFilter::Validation, wgpu::ErrorFilter::OutOfMemory, wgpu::ErrorFilter::Internal];
        let scopes = filters.map(|filter| self.device.push_error_scope(filter));
        let done = work();
        let errors: Vec<wgpu::Error> = scopes.into_iter().rev().filter_map(|scope| pollster::block_on(scope.pop())).collect();
        errors.first().map_or(Ok(done), |error| Err(error.into()))
    }

    /// Whether a buffer of that many numbers can be bound.
    pub(super) fn holds(&self, n: usize) -> bool {
        let limits = self.device.limits();
        4 * n as u64 <= limits.max_storage_buffer_binding_size.min(limits.max_buffer_size)
            && limits.max_storage_buffers_per_shader_stage >= 8
    }

    /// A buffer of `contents`, whole numbers of four bytes.
    pub(super) fn filled(&self, contents: &[u8], usage: wgpu::BufferUsages) -> wgpu::Buffer {
        let buffer = self.zeros(contents.len() / 4, usage | wgpu::BufferUsages::COPY_DST);
        self.queue.write_buffer(&buffer, 0, contents);
        buffer
    }

    /// A buffer of `n` zeros.
    pub(super) fn zeros(&self, n: usize, usage: wgpu::BufferUsages) -> wgpu::Buffer {
        let size = (4 * n as u64).max(LEAST_BYTES);
        self.device.create_buffer(&wgpu::BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
    }
}

/// What a binding of one element asks for.
const LEAST_BYTES: u64 = 32;

/// What a shader sees of a buffer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Binding {
    Uniform,
    Read,
    Write,
}

/// One entry point, compiled.
#[derive(Debug)]
pub(super) struct Kernel {
    layout: wgpu::BindGroupLayout,
    pipeline: wgpu::ComputePipeline,
}

impl Kernel {
    /// Binding 0 is [`super::Step`], which moves on with the steps; `bindings` follow.
    fn new(device: &wgpu::Device, name: &str, entry_point: &str, wgsl: &str, bindings: &[Binding]) -> Self {
        use wgpu::BufferBindingType::{Storage, Uniform};
        let entry = |(binding, kind): (u32, Binding)| wgpu::BindGroupLayoutEntry {
            binding,
            visibility: wgpu::ShaderStages::COMPUTE,
            ty: wgpu::BindingType::Buffer {
                ty: match kind {
                    Binding::Uniform => Uniform,
                    Binding::Read => Storage { read_only: true },
                    Binding::Write => Storage { read_only: false },
                },
                has_dynamic_offset: binding == 0,
                min_binding_size: None,
            },
            count: None,
        };
        let entries: Vec<wgpu::BindGroupLayoutEntry> = std::iter::once(Binding::Uniform)
            .chain(bindings.iter().copied())
            .enumerate()
            .map(|(i, kind)| entry((i as u32, kind)))
            .collect();
        let layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label: Some(name), entries: &entries });
        let module =
            device.create_shader_module(wgpu::ShaderModuleDescriptor { label: Some(name), source: wgpu::ShaderSource::Wgsl(wgsl.into()) });
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label: Some(name),
            bind_group_layouts: &[Some(&layout)],
            immediate_size: 0,
        });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(name),
            layout: Some(&pipeline_layout),
            module: &module,
            entry_point: Some(entry_point),
            // Every shader writes what it reads of workgroup memory.
            compilation_options: wgpu::PipelineCompilationOptions { zero_initialize_workgroup_memory: false, ..Default::default() },
            cache: None,
        });
        Self { layout, pipeline }
    }

    /// A dispatch of `workgroups` with `steps` as binding 0 and `buffers` after it.
    pub(super) fn dispatch(&self, gpu: &Gpu, steps: &wgpu::Buffer, buffers: &[&wgpu::Buffer], workgroups: [usize; 3]) -> Dispatch {
        let step = wgpu::BufferBinding { buffer: steps, offset: 0, size: std::num::NonZero::new(size_of::<super::Step>() as u64) };
        let step = wgpu::BindGroupEntry { binding: 0, resource: wgpu::BindingResource::Buffer(step) };
        let others =
            buffers.iter().zip(1..).map(|(buffer, binding)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() });
        let entries: Vec<wgpu::BindGroupEntry> = std::iter::once(step).chain(others).collect();
        let descriptor = wgpu::BindGroupDescriptor { label: None, layout: &self.layout, entries: &entries };
        let group = gpu.device.create_bind_group(&descriptor);
        Dispatch { pipeline: self.pipeline.clone(), group, workgroups: workgroups.map(|n| n as u32) }
    }
}

/// A kernel with its buffers.
#[derive(Debug)]
pub(super) struct Dispatch {
    pipeline: wgpu::ComputePipeline,
    group: wgpu::BindGroup,
    workgroups: [u32; 3],
}

/// Bytes from one step's uniforms to the next one's: what every device can align to.
pub(super) const STEP_BYTES: usize = 256;

impl Dispatch {
    pub(super) fn encode(&self, pass: &mut wgpu::ComputePass<'_>, step: usize) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.group, &[(step * STEP_BYTES) as u32]);
        let [x, y, z] = self.workgroups;
        pass.dispatch_workgroups(x, y, z);
    }
}

/// All of `shaders/compute`.
#[derive(Debug)]
pub(super) struct Kernels {
    pub(super) start: Kernel,
    pub(super) product_of_few: Kernel,
    pub(super) product_of_many: Kernel,
    pub(super) activate: Kernel,
    pub(super) mixture: Kernel,
    pub(super) von_mises_fisher: Kernel,
    pub(super) advance: Kernel,
}

impl Kernels {
    fn new(device: &wgpu::Device) -> Self {
        use Binding::{Read, Uniform, Write};
        let head = [Uniform, Read, Read, Read, Read, Read, Write];
        let product = [Uniform, Read, Read, Write];
        Self {
            start: Kernel::new(device, "start", "main", start::WGSL, &[Read, Read, Write, Write]),
            product_of_few: Kernel::new(device, "product of few rows", "few", product::WGSL, &product),
            product_of_many: Kernel::new(device, "product of many rows", "many", product::WGSL, &product),
            activate: Kernel::new(device, "activate", "main", activate::WGSL, &[Uniform, Read, Read, Write]),
            mixture: Kernel::new(device, "mixture", "main", mixture::WGSL, &head),
            von_mises_fisher: Kernel::new(device, "von Mises-Fisher", "main", von_mises_fisher::WGSL, &head),
            advance: Kernel::new(device, "advance", "main", advance::WGSL, &[Read, Read, Read, Read, Read, Write, Write, Write]),
        }
    }
}
