//! Frames seen along principal axes: the kernel of `project.wgsl` and its CPU twin.

use crate::engine::Resident;

/// The shader.
pub const WGSL: &str = include_str!("../../../../shaders/display/project.wgsl");

/// Workgroups along one side of a dispatch, as in the shader.
const MOST_ACROSS: usize = 65_535;

/// `Sizes` of the shader.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Sizes {
    first: u32,
    n_frames: u32,
    dim: u32,
    first_point: u32,
}

/// Puts frames where a path's points are read.
#[derive(Clone, Debug)]
pub struct Pipeline(wgpu::ComputePipeline);

impl Pipeline {
    /// Compiles the shader.
    pub fn new(device: &wgpu::Device) -> Self {
        let module = device
            .create_shader_module(wgpu::ShaderModuleDescriptor { label: Some("project"), source: wgpu::ShaderSource::Wgsl(WGSL.into()) });
        Self(device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some("project"),
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions { zero_initialize_workgroup_memory: false, ..Default::default() },
            cache: None,
        }))
    }

    /// `points` with x, y and z of those from `first_point` on taken from `frames` `[n_frames, dim]`, seen along `axes`: mean and three
    /// directions, `[4, dim]`. Submitted here and once; whatever is submitted later finds the points there.
    pub fn points(
        &self,
        (device, queue): (&wgpu::Device, &wgpu::Queue),
        points: &[[f32; 4]],
        first_point: usize,
        frames: &Resident,
        axes: &Resident,
    ) -> Resident {
        let placed = Resident::upload(device, points.as_flattened());
        let dim = axes.len() / 4;
        let n_frames = frames.len().checked_div(dim).unwrap_or(0).min(points.len().saturating_sub(first_point));
        if n_frames == 0 {
            return placed;
        }
        let sizes = Sizes { first: frames.first(), n_frames: n_frames as u32, dim: dim as u32, first_point: first_point as u32 };
        let group = super::bind(device, &self.0.get_bind_group_layout(0), bytemuck::bytes_of(&sizes), &[frames, axes, &placed]);
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label: Some("project") });
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default());
            pass.set_pipeline(&self.0);
            pass.set_bind_group(0, &group, &[]);
            pass.dispatch_workgroups(n_frames.min(MOST_ACROSS) as u32, n_frames.div_ceil(MOST_ACROSS) as u32, 1);
        }
        queue.submit([encoder.finish()]);
        placed
    }
}

/// CPU twin: x, y and z of `points` from `frames` `[n_points, dim]`.
pub fn project(points: &mut [[f32; 4]], frames: &[f32], axes: &[f32]) {
    let dim = axes.len() / 4;
    for (point, frame) in points.iter_mut().zip(frames.chunks_exact(dim.max(1))) {
        for (axis, coordinate) in point.iter_mut().take(3).enumerate() {
            let direction = &axes[(axis + 1) * dim..][..dim];
            *coordinate = frame.iter().zip(axes).zip(direction).map(|((x, mean), along)| (x - mean) * along).sum();
        }
    }
}
