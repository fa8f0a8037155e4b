//! Drawing on the GPU: trajectories and spectrograms through the shaders in `shaders/display`.
//!
//! Each kind has a pipeline for any render pass (the window's, or an offscreen one in tests) and a CPU twin of the same name that
//! draws the same picture into an [`Image`]. Use: keep one pipeline per target format; `prepare` uploads what is shown, and
//! [`Prepared::paint`] draws it, with the viewport set to the area (egui does that for a paint callback). What is prepared stays good
//! until the data, the view or the size changes. Colors go out as they are given, blended premultiplied: as egui expects of targets
//! that are not sRGB. Nothing here knows a window.

pub mod spectrogram;
pub mod trajectory;

use wgpu::util::DeviceExt as _;

/// Whether a device can draw with the shaders: they read storage buffers, which old OpenGL has not. Where it cannot, draw the CPU
/// twin's picture.
pub fn can_draw(device: &wgpu::Device) -> bool {
    device.limits().max_storage_buffers_per_shader_stage >= 1
}

/// Pixels, row by row from the top, RGBA with premultiplied opacity.
#[derive(Clone, Debug, PartialEq)]
pub struct Image {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `[height, width]`, each channel 0 ..= 1.
    pub pixels: Vec<[f32; 4]>,
}

impl Image {
    fn transparent(width: usize, height: usize) -> Self {
        Self { width, height, pixels: vec![[0.0; 4]; width * height] }
    }
}

/// Uploaded and ready to be painted in any number of passes with targets of the pipeline's format.
#[derive(Debug)]
pub struct Prepared {
    pipeline: wgpu::RenderPipeline,
    /// Bindings and number of instances of each draw call.
    draws: Vec<(wgpu::BindGroup, u32)>,
}

impl Prepared {
    fn new(pipeline: &wgpu::RenderPipeline) -> Self {
        Self { pipeline: pipeline.clone(), draws: Vec::new() }
    }

    /// Binds `data` as 0 and `uniforms` as 1 for one more draw call.
    fn add(&mut self, device: &wgpu::Device, data: &[u8], uniforms: &[u8], n_instances: u32) {
        let buffer = |contents: &[u8], usage| device.create_buffer_init(&wgpu::util::BufferInitDescriptor { label: None, contents, usage });
        let data = buffer(data, wgpu::BufferUsages::STORAGE);
        let uniforms = buffer(uniforms, wgpu::BufferUsages::UNIFORM);
        let entries = [
            wgpu::BindGroupEntry { binding: 0, resource: data.as_entire_binding() },
            wgpu::BindGroupEntry { binding: 1, resource: uniforms.as_entire_binding() },
        ];
        let layout = self.pipeline.get_bind_group_layout(0);
        let group = device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout: &layout, entries: &entries });
        self.draws.push((group, n_instances));
    }

    /// Draws into the pass's viewport.
    pub fn paint(&self, pass: &mut wgpu::RenderPass<'_>) {
        pass.set_pipeline(&self.pipeline);
        for (group, n_instances) in &self.draws {
            pass.set_bind_group(0, group, &[]);
            pass.draw(0..6, 0..*n_instances);
        }
    }
}

/// Triangles from a shader with the entry points `vertex` and `fragment`, blended premultiplied onto one target.
fn pipeline(device: &wgpu::Device, format: wgpu::TextureFormat, label: &str, wgsl: &str) -> wgpu::RenderPipeline {
    let module =
        device.create_shader_module(wgpu::ShaderModuleDescriptor { label: Some(label), source: wgpu::ShaderSource::Wgsl(wgsl.into()) });
    let target =
        wgpu::ColorTargetState { format, blend: Some(wgpu::BlendState::PREMULTIPLIED_ALPHA_BLENDING), write_mask: wgpu::ColorWrites::ALL };
    device.create_render_pipeline(&wgpu::RenderPipelineDescriptor {
        label: Some(label),
        layout: None,
        vertex: wgpu::VertexState {
            module: &module,
            entry_point: Some("vertex"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            buffers: &[],
        },
        fragment: Some(wgpu::FragmentState {
            module: &module,
            entry_point: Some("fragment"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            targets: &[Some(target)],
        }),
        primitive: wgpu::PrimitiveState::default(),
        depth_stencil: None,
        multisample: wgpu::MultisampleState::default(),
        multiview_mask: None,
        cache: None,
    })
}
