//! What core's shaders draw, as egui paint callbacks.
//!
//! [`Gpu`] is made once from eframe's render state (`cc.wgpu_render_state`); without one, or on OpenGL without storage buffers, there is
//! none, and panels draw with egui instead. A panel prepares when data, view or size in pixels change, keeps the [`Arc`], and adds
//! [`callback`] to its painter in every frame.

use std::num::NonZero;
use std::sync::Arc;

use driftscope_core::engine::display::{Prepared, can_draw, latents, project, spectrogram, trajectory};
use eframe::{egui, egui_wgpu, wgpu};

/// The compiled pipelines, and the device that they draw on.
#[derive(Clone, Debug)]
pub struct Gpu {
    /// eframe's device.
    pub device: wgpu::Device,
    /// Its queue.
    pub queue: wgpu::Queue,
    /// Frames to points of paths.
    pub project: project::Pipeline,
    /// Paths through principal components.
    pub trajectory: trajectory::Pipeline,
    /// Levels over time and frequency.
    pub spectrogram: spectrogram::Pipeline,
    /// Frames over time and dimension.
    pub latents: latents::Pipeline,
}

impl Gpu {
    /// Compiles the shaders for eframe's target; `None` where the device cannot run them.
    pub fn new(render_state: &egui_wgpu::RenderState) -> Option<Self> {
        let device = render_state.device.clone();
        let format = render_state.target_format;
        can_draw(&device).then(|| Self {
            project: project::Pipeline::new(&device),
            trajectory: trajectory::Pipeline::new(&device, format),
            spectrogram: spectrogram::Pipeline::new(&device, format),
            latents: latents::Pipeline::new(&device, format),
            queue: render_state.queue.clone(),
            device,
        })
    }
}

/// Whether the device that draws the window still answers: where it does not, nothing can be shown, and egui panics when it tries.
#[derive(Debug)]
pub struct Pulse {
    queue: wgpu::Queue,
    buffer: wgpu::Buffer,
}

impl Pulse {
    /// Of a device and its queue.
    pub fn of(device: &wgpu::Device, queue: &wgpu::Queue) -> Self {
        let (size, usage) = (wgpu::COPY_BUFFER_ALIGNMENT, wgpu::BufferUsages::COPY_DST);
        let buffer = device.create_buffer(&wgpu::BufferDescriptor { label: Some("pulse"), size, usage, mapped_at_creation: false });
        Self { queue: queue.clone(), buffer }
    }

    /// Asks for what egui is about to ask for. Of a loss itself burn alone is told, where it computes on the same device.
    pub fn is_there(&self) -> bool {
        NonZero::new(self.buffer.size()).and_then(|size| self.queue.write_buffer_with(&self.buffer, 0, size)).is_some()
    }
}

/// The size in pixels to prepare for, of an area in egui's points.
pub fn size_px(area: egui::Rect, ctx: &egui::Context) -> [f32; 2] {
    let size = area.size() * ctx.pixels_per_point();
    [size.x.round().max(1.0), size.y.round().max(1.0)]
}

/// The shape that paints what was prepared into `area`.
pub fn callback(area: egui::Rect, prepared: &Arc<Prepared>) -> egui::Shape {
    egui_wgpu::Callback::new_paint_callback(area, Painted(Arc::clone(prepared))).into()
}

struct Painted(Arc<Prepared>);

impl egui_wgpu::CallbackTrait for Painted {
    fn paint(&self, _info: egui::PaintCallbackInfo, pass: &mut wgpu::RenderPass<'static>, _resources: &egui_wgpu::CallbackResources) {
        self.0.paint(pass);
    }
}
