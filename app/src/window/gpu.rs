//! What core's shaders draw, as egui paint callbacks.
//!
//! [`Gpu`] is made once from eframe's render state (`cc.wgpu_render_state`); without one, or on OpenGL without storage buffers, there is
//! none, and panels draw with egui instead. A panel prepares when data, view or size in pixels change, keeps the [`Arc`], and adds
//! [`callback`] to its painter in every frame.

use std::sync::Arc;

use driftscope_core::engine::display::{Prepared, can_draw, spectrogram, trajectory};
use eframe::{egui, egui_wgpu, wgpu};

/// The compiled pipelines, and the device to upload to.
#[derive(Clone, Debug)]
pub struct Gpu {
    /// eframe's device.
    pub device: wgpu::Device,
    /// Paths through principal components.
    pub trajectory: trajectory::Pipeline,
    /// Levels over time and frequency.
    pub spectrogram: spectrogram::Pipeline,
}

impl Gpu {
    /// Compiles the shaders for eframe's target; `None` where the device cannot run them.
    pub fn new(render_state: &egui_wgpu::RenderState) -> Option<Self> {
        let device = render_state.device.clone();
        let format = render_state.target_format;
        can_draw(&device).then(|| Self {
            trajectory: trajectory::Pipeline::new(&device, format),
            spectrogram: spectrogram::Pipeline::new(&device, format),
            device,
        })
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
