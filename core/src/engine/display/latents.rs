//! Frames as colors, dimension over time, with a rollout in its place: the pipeline of `latents.wgsl` and its CPU twin.

use std::ops::Range;

use super::{Image, Prepared, pipeline};
use crate::engine::Resident;

/// The shader.
pub const WGSL: &str = include_str!("../../../../shaders/display/latents.wgsl");

/// What is drawn from: [`Resident`] to be painted, slices for the twin.
#[derive(Clone, Debug)]
pub struct Frames<V> {
    /// The utterance from its first frame on, `[_, dim]`.
    pub truth: V,
    /// The rollout, `[_, dim]`.
    pub rolled: V,
    /// Mean and standard deviation of each dimension, `[2, dim]`: the unit of the colors.
    pub scaling: V,
}

/// Which frames are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The true ones.
    Truth = 0,
    /// The rollout's after the true ones before it.
    Rollout = 1,
    /// The rollout's less the true ones.
    Difference = 2,
}

/// What part of them is shown, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// Which ones.
    pub shown: Shown,
    /// The rollout's first frame.
    pub start: usize,
    /// Frames that can be shown: as many as there are, of the rollout too where it is.
    pub n_frames: usize,
    /// Frames from the left to the right edge; fractions are allowed. Beyond the last one it is repeated.
    pub frames: Range<f32>,
    /// Standard deviations that the last color stands for, and below zero the first.
    pub most: f32,
    /// RGBA, opacity multiplied in.
    pub colors: [[u8; 4]; 256],
}

/// `View` of the shader.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Uniforms {
    per_px: [f32; 2],
    size_px: [f32; 2],
    first: [u32; 2],
    first_frame: f32,
    most: f32,
    shown: u32,
    n_frames: u32,
    dim: u32,
    start: u32,
    colors: [[u8; 4]; 256],
}

fn uniforms(view: &View, first: [u32; 2], dim: usize, size_px: [f32; 2]) -> Uniforms {
    Uniforms {
        per_px: [(view.frames.end - view.frames.start) / size_px[0], dim as f32 / size_px[1]],
        size_px,
        first,
        first_frame: view.frames.start,
        most: view.most,
        shown: view.shown as u32,
        n_frames: view.n_frames as u32,
        dim: dim as u32,
        start: view.start as u32,
        colors: view.colors,
    }
}

/// Whether every frame of the view is there.
fn holds(view: &View, truth: usize, rolled: usize, dim: usize) -> bool {
    let n_true = if view.shown == Shown::Rollout { view.n_frames.min(view.start) } else { view.n_frames };
    let n_rolled = if view.shown == Shown::Truth { 0 } else { view.n_frames.saturating_sub(view.start) };
    dim > 0 && view.n_frames > 0 && n_true * dim <= truth && n_rolled * dim <= rolled
}

/// Draws one picture.
#[derive(Clone, Debug)]
pub struct Pipeline(wgpu::RenderPipeline);

impl Pipeline {
    /// Compiles the shader for targets of `format`.
    pub fn new(device: &wgpu::Device, format: wgpu::TextureFormat) -> Self {
        Self(pipeline(device, format, "latents", WGSL))
    }

    /// `frames` for an area of `size_px` (width, height). Where some that the view shows are not there, nothing is drawn.
    pub fn prepare(&self, device: &wgpu::Device, frames: &Frames<Resident>, view: &View, size_px: [f32; 2]) -> Prepared {
        let Frames { truth, rolled, scaling } = frames;
        let mut prepared = Prepared::new(&self.0);
        let dim = scaling.len() / 2;
        if holds(view, truth.len(), rolled.len(), dim) {
            let uniforms = uniforms(view, [truth.first(), rolled.first()], dim, size_px);
            prepared.add(device, bytemuck::bytes_of(&uniforms), &[truth, rolled, scaling], 1);
        }
        prepared
    }
}

/// CPU twin: the same picture.
pub fn draw(frames: &Frames<&[f32]>, view: &View, width: usize, height: usize) -> Image {
    let Frames { truth, rolled, scaling } = *frames;
    let mut image = Image::transparent(width, height);
    let dim = scaling.len() / 2;
    if !holds(view, truth.len(), rolled.len(), dim) {
        return image;
    }
    let u = uniforms(view, [0; 2], dim, [width as f32, height as f32]);
    let value = |frame: usize, d: usize| {
        let (mean, spread) = (scaling[d], scaling[dim + d]);
        let rolled = |frame: usize| rolled[(frame - view.start) * dim + d];
        let is_rolled = frame >= view.start;
        match view.shown {
            Shown::Difference if !is_rolled => 0.0,
            Shown::Difference => (rolled(frame) - truth[frame * dim + d]) / spread,
            Shown::Rollout if is_rolled => (rolled(frame) - mean) / spread,
            Shown::Rollout | Shown::Truth => (truth[frame * dim + d] - mean) / spread,
        }
    };
    for (index, pixel) in image.pixels.iter_mut().enumerate() {
        let (x, y) = ((index % width) as f32 + 0.5, (height - 1 - index / width) as f32 + 0.5);
        let frame = ((u.first_frame + x * u.per_px[0]) as usize).min(view.n_frames - 1);
        let level = value(frame, ((y * u.per_px[1]) as usize).min(dim - 1)) / u.most * 0.5 + 0.5;
        // What is no number has the first color.
        *pixel = u.colors[(level.clamp(0.0, 1.0) * 255.0 + 0.5) as usize].map(|channel| f32::from(channel) / 255.0);
    }
    image
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(shown: Shown, n_frames: usize) -> View {
        let colors = std::array::from_fn(|i| [i as u8, 0, 0, 255]);
        View { shown, start: 2, n_frames, frames: 0.0..n_frames as f32, most: 1.0, colors }
    }

    /// Reds of a picture with one pixel a cell, in values −1 ..= 1, row by row from the top.
    fn values(view: &View) -> Vec<f32> {
        let truth = [0.0, 1.0, 0.0, 2.0, 0.0, 3.0];
        let frames = Frames { truth: truth.as_slice(), rolled: &[0.5, f32::NAN], scaling: &[0.0, 2.0, 1.0, 4.0] };
        let image = draw(&frames, view, view.n_frames, 2);
        image.pixels.iter().map(|p| (p[0] * 20.0 - 10.0).round() / 10.0).collect()
    }

    #[test]
    fn each_picture_has_its_values_in_standard_deviations() {
        for (shown, expected) in [
            (Shown::Truth, [-0.25, 0.0, 0.25, 0.0, 0.0, 0.0]),
            (Shown::Rollout, [-0.25, 0.0, -1.0, 0.0, 0.0, 0.5]),
            (Shown::Difference, [0.0, 0.0, -1.0, 0.0, 0.0, 0.5]),
        ] {
            let got = values(&view(shown, 3));
            assert!(got.iter().zip(expected).all(|(a, b): (&f32, f32)| (a - b).abs() < 0.06), "{shown:?}: {got:?}");
        }
    }

    #[test]
    fn frames_that_are_not_there_are_not_drawn() {
        let frames = Frames { truth: [0.0; 6].as_slice(), rolled: &[1.0; 2], scaling: &[0.0, 0.0, 1.0, 1.0] };
        for (shown, n_frames, is_drawn) in [
            (Shown::Truth, 3, true),
            (Shown::Truth, 4, false),
            (Shown::Rollout, 3, true),
            (Shown::Rollout, 4, false),
            (Shown::Difference, 4, false),
            (Shown::Truth, 0, false),
        ] {
            let image = draw(&frames, &view(shown, n_frames), 4, 4);
            assert_eq!(image.pixels[0][3] > 0.0, is_drawn, "{shown:?} {n_frames}");
        }
    }
}
