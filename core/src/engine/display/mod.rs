//! Drawing on the GPU: trajectories, latents and spectrograms through the shaders in `shaders/display`.
//!
//! Each kind has a pipeline for any render pass (the window's, or an offscreen one in tests) and a CPU twin of the same name that
//! draws the same picture into an [`Image`]. Use: keep one pipeline per target format; bring what is drawn onto the device
//! ([`Source::on`]), `prepare` a view of it, and [`Prepared::paint`] draws that, with the viewport set to the area (egui does that for
//! a paint callback). What is prepared stays good until the data, the view or the size changes. Every shader reads a buffer: the
//! engine's own where a rollout was computed on the device that draws, an upload of the same numbers elsewhere (spectrograms always:
//! sound is decoded on the CPU); from there on there is one way, and one picture. Colors go out as they are given, blended
//! premultiplied: as egui expects of targets that are not sRGB. Nothing here knows a window.

pub mod latents;
pub mod project;
pub mod spectrogram;
pub mod trajectory;

use wgpu::util::DeviceExt as _;

use super::Resident;

/// Whether a device can draw with the shaders: they read storage buffers, which old OpenGL has not. Where it cannot, draw the CPU
/// twin's picture.
pub fn can_draw(device: &wgpu::Device) -> bool {
    // The most that one shader reads.
    device.limits().max_storage_buffers_per_shader_stage >= 3
}

/// What is drawn: numbers on the host and, where the engine computed them on a graphics device, the same there.
#[derive(Clone, Debug)]
pub struct Source<'a> {
    /// On the host.
    pub host: &'a [f32],
    /// Where they were computed.
    pub resident: Option<Resident>,
}

impl Source<'_> {
    /// On `device`: the engine's own where it computes there, else a copy.
    pub fn on(&self, device: &wgpu::Device) -> Resident {
        let own = self.resident.as_ref().filter(|resident| resident.is_on(device));
        own.cloned().unwrap_or_else(|| Resident::upload(device, self.host))
    }
}

impl<'a> From<&'a [f32]> for Source<'a> {
    fn from(host: &'a [f32]) -> Self {
        Self { host, resident: None }
    }
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

/// On the device and ready to be painted in any number of passes with targets of the pipeline's format.
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

    /// One more draw call.
    fn add(&mut self, device: &wgpu::Device, uniforms: &[u8], values: &[&Resident], n_instances: u32) {
        self.draws.push((bind(device, &self.pipeline.get_bind_group_layout(0), uniforms, values), n_instances));
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

/// `uniforms` as binding 0, and after them the whole buffers that hold `values`: where those begin is for the uniforms to say.
fn bind(device: &wgpu::Device, layout: &wgpu::BindGroupLayout, uniforms: &[u8], values: &[&Resident]) -> wgpu::BindGroup {
    let usage = wgpu::BufferUsages::UNIFORM;
    let uniforms = device.create_buffer_init(&wgpu::util::BufferInitDescriptor { label: None, contents: uniforms, usage });
    let buffers = std::iter::once(&uniforms).chain(values.iter().map(|values| values.buffer()));
    let entries: Vec<wgpu::BindGroupEntry> =
        buffers.zip(0..).map(|(buffer, binding)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() }).collect();
    device.create_bind_group(&wgpu::BindGroupDescriptor { label: None, layout, entries: &entries })
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
