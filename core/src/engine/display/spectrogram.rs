//! Levels over time and frequency: the pipeline of `spectrogram.wgsl` and its CPU twin.

use std::ops::Range;

use super::{Image, Prepared, pipeline};
use crate::engine::Resident;

/// The shader.
pub const WGSL: &str = include_str!("../../../../shaders/display/spectrogram.wgsl");

/// As in the shader.
const MOST_CELLS: usize = 32;

/// What part of the levels is shown, and how.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// Frames from the left to the right edge; fractions are allowed. Beyond the levels the nearest frame is repeated.
    pub frames: Range<f32>,
    /// Bins from the lower to the upper edge.
    pub bins: Range<f32>,
    /// Levels of the first and the last color.
    pub range_db: Range<f32>,
    /// RGBA, lowest level first, opacity multiplied in.
    pub colors: [[u8; 4]; 256],
}

impl View {
    /// Everything, with levels from `range_db`.
    pub fn whole(n_frames: usize, n_bins: usize, range_db: Range<f32>, colors: [[u8; 4]; 256]) -> Self {
        Self { frames: 0.0..n_frames as f32, bins: 0.0..n_bins as f32, range_db, colors }
    }
}

/// `View` of the shader.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct Uniforms {
    first: [f32; 2],
    per_px: [f32; 2],
    size_px: [f32; 2],
    range_db: [f32; 2],
    n_cells: [u32; 2],
    first_level: u32,
    padding: u32,
    colors: [[u8; 4]; 256],
}

fn uniforms(view: &View, first_level: u32, n_cells: [usize; 2], size_px: [f32; 2]) -> Uniforms {
    Uniforms {
        first: [view.frames.start, view.bins.start],
        per_px: [(view.frames.end - view.frames.start) / size_px[0], (view.bins.end - view.bins.start) / size_px[1]],
        size_px,
        range_db: [view.range_db.start, view.range_db.end],
        n_cells: n_cells.map(|n| n as u32),
        first_level,
        padding: 0,
        colors: view.colors,
    }
}

/// Draws one spectrogram.
#[derive(Clone, Debug)]
pub struct Pipeline(wgpu::RenderPipeline);

impl Pipeline {
    /// Compiles the shader for targets of `format`.
    pub fn new(device: &wgpu::Device, format: wgpu::TextureFormat) -> Self {
        Self(pipeline(device, format, "spectrogram", WGSL))
    }

    /// Levels `[n_frames, n_bins]` for an area of `size_px` (width, height). Without a whole frame nothing is drawn.
    pub fn prepare(&self, device: &wgpu::Device, levels_db: &Resident, n_bins: usize, view: &View, size_px: [f32; 2]) -> Prepared {
        let mut prepared = Prepared::new(&self.0);
        let n_frames = levels_db.len().checked_div(n_bins).unwrap_or(0);
        if n_frames > 0 {
            let uniforms = uniforms(view, levels_db.first(), [n_frames, n_bins], size_px);
            prepared.add(device, bytemuck::bytes_of(&uniforms), &[levels_db], 1);
        }
        prepared
    }
}

/// CPU twin: the same picture.
pub fn draw(levels_db: &[f32], n_bins: usize, view: &View, width: usize, height: usize) -> Image {
    let mut image = Image::transparent(width, height);
    let n_frames = levels_db.len().checked_div(n_bins).unwrap_or(0);
    if n_frames == 0 {
        return image;
    }
    let u = uniforms(view, 0, [n_frames, n_bins], [width as f32, height as f32]);
    for (index, pixel) in image.pixels.iter_mut().enumerate() {
        let (x, y) = (index % width, height - 1 - index / width);
        let mut loudest = u.range_db[0];
        let (bins, every_bin) = covered(y, u.first[1], u.per_px[1], n_bins);
        let (frames, every_frame) = covered(x, u.first[0], u.per_px[0], n_frames);
        for frame in frames.step_by(every_frame) {
            for bin in bins.clone().step_by(every_bin) {
                // Like the shader's, this maximum passes over NaN.
                loudest = loudest.max(levels_db[frame * n_bins + bin]);
            }
        }
        let level = ((loudest - u.range_db[0]) / (u.range_db[1] - u.range_db[0])).clamp(0.0, 1.0);
        *pixel = u.colors[(level * 255.0 + 0.5) as usize].map(|channel| f32::from(channel) / 255.0);
    }
    image
}

/// The cells that a pixel covers along one axis, and the step between those looked at.
fn covered(px: usize, first: f32, per_px: f32, n_cells: usize) -> (Range<usize>, usize) {
    let low = first + px as f32 * per_px;
    let begin = (low.max(0.0) as usize).min(n_cells - 1);
    let end = ((low + per_px).ceil().max(0.0) as usize).clamp(begin + 1, n_cells);
    (begin..end, ((end - begin) / MOST_CELLS).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grays() -> [[u8; 4]; 256] {
        std::array::from_fn(|i| [i as u8, i as u8, i as u8, 255])
    }

    #[test]
    fn low_frequencies_are_at_the_bottom_and_time_runs_right() {
        // Two frames of three bins: only the highest bin of the second frame is loud.
        let levels = [-80.0, -80.0, -80.0, -80.0, -80.0, 0.0];
        let image = draw(&levels, 3, &View::whole(2, 3, -80.0..0.0, grays()), 2, 3);
        let reds: Vec<f32> = image.pixels.iter().map(|p| p[0]).collect();
        assert_eq!(reds, [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn zoomed_out_the_loudest_cell_stays_visible() {
        let mut levels = vec![-80.0; 1000];
        levels[731] = 0.0;
        let image = draw(&levels, 1, &View::whole(1000, 1, -80.0..0.0, grays()), 50, 1);
        let lit: Vec<usize> = (0..50).filter(|x| image.pixels[*x][0] == 1.0).collect();
        assert_eq!(lit, [36]);
    }

    #[test]
    fn levels_outside_the_range_and_not_a_number_take_the_end_colors() {
        let image = draw(&[f32::NAN, -200.0, 40.0, -40.0], 1, &View::whole(4, 1, -80.0..0.0, grays()), 4, 1);
        let reds: Vec<f32> = image.pixels.iter().map(|p| (p[0] * 255.0).round()).collect();
        assert_eq!(reds, [0.0, 0.0, 255.0, 128.0]);
    }

    #[test]
    fn no_levels_are_an_empty_picture() {
        for (levels, n_bins) in [(vec![], 3), (vec![1.0], 0), (vec![1.0, 2.0], 3)] {
            assert!(draw(&levels, n_bins, &View::whole(1, 1, 0.0..1.0, grays()), 2, 2).pixels.iter().all(|p| *p == [0.0; 4]));
        }
    }
}
