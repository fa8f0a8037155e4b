//! Paths through the first three components, seen from any side: the pipeline of `trajectory.wgsl` and its CPU twin.

use super::{Image, Prepared, pipeline};
use crate::engine::Resident;

/// The shader.
pub const WGSL: &str = include_str!("../../../../shaders/display/trajectory.wgsl");

/// One path, with points on the host or on the device.
#[derive(Clone, Debug, PartialEq)]
pub struct Path<Points = Vec<[f32; 4]>> {
    /// x, y, z, and a value 0 ..= 1 that picks the color (time, or an error). A point that is not finite interrupts the path.
    pub points: Points,
    /// sRGB and opacity at value 0, 0 ..= 1 each.
    pub color_low: [f32; 4],
    /// sRGB and opacity at value 1.
    pub color_high: [f32; 4],
    /// Width in pixels.
    pub width_px: f32,
}

impl<Points> Path<Points> {
    /// The same look along other points.
    pub fn along<Others>(&self, points: Others) -> Path<Others> {
        let Self { color_low, color_high, width_px, .. } = *self;
        Path { points, color_low, color_high, width_px }
    }
}

/// From where the paths are seen, without perspective.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Orbit {
    /// Turns about the vertical (second) axis, in radians.
    pub yaw: f32,
    /// Tips towards the viewer, in radians; 0 shows the first component to the right and the second upwards.
    pub pitch: f32,
    /// What lies in the middle.
    pub center: [f32; 3],
    /// Half the shorter side of the picture in the unit of the points.
    pub radius: f32,
}

impl Orbit {
    /// The view from the front that holds every finite point of `paths` however it is turned.
    pub fn around(paths: &[Path]) -> Self {
        let finite = || paths.iter().flat_map(|path| &path.points).filter(|p| p.iter().all(|v| v.is_finite()));
        let mut low = [f32::INFINITY; 3];
        let mut high = [f32::NEG_INFINITY; 3];
        for point in finite() {
            for axis in 0..3 {
                low[axis] = low[axis].min(point[axis]);
                high[axis] = high[axis].max(point[axis]);
            }
        }
        let center = std::array::from_fn(|axis| if low[axis] <= high[axis] { 0.5 * (low[axis] + high[axis]) } else { 0.0 });
        let distance = |p: &[f32; 4]| (0..3).map(|axis| (p[axis] - center[axis]).powi(2)).sum::<f32>().sqrt();
        let radius = 1.05 * finite().map(distance).fold(0.0, f32::max);
        Self { yaw: 0.0, pitch: 0.0, center, radius: if radius > 0.0 { radius } else { 1.0 } }
    }

    /// Points to clip space, column by column, for a picture of `size_px` (width, height).
    pub fn matrix(&self, size_px: [f32; 2]) -> [[f32; 4]; 4] {
        let (sin_yaw, cos_yaw) = self.yaw.sin_cos();
        let (sin_pitch, cos_pitch) = self.pitch.sin_cos();
        // Rows: right, up, towards the viewer.
        let turn = [
            [cos_yaw, 0.0, sin_yaw],
            [sin_pitch * sin_yaw, cos_pitch, -sin_pitch * cos_yaw],
            [-cos_pitch * sin_yaw, sin_pitch, cos_pitch * cos_yaw],
        ];
        let shorter = size_px[0].min(size_px[1]);
        let scale = [shorter / size_px[0] / self.radius, shorter / size_px[1] / self.radius, 0.0];
        let mut columns = [[0.0; 4]; 4];
        for row in 0..3 {
            for column in 0..3 {
                columns[column][row] = scale[row] * turn[row][column];
                columns[3][row] -= scale[row] * turn[row][column] * self.center[column];
            }
        }
        columns[3][3] = 1.0;
        columns
    }
}

/// `View` of the shader.
#[repr(C)]
#[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
struct View {
    orbit: [[f32; 4]; 4],
    color_low: [f32; 4],
    color_high: [f32; 4],
    size_px: [f32; 2],
    width_px: f32,
    first_point: u32,
}

fn view<Points>(path: &Path<Points>, first_point: u32, orbit: &Orbit, size_px: [f32; 2]) -> View {
    let Path { color_low, color_high, width_px, .. } = *path;
    View { orbit: orbit.matrix(size_px), color_low, color_high, size_px, width_px, first_point }
}

/// Unbroken stretches of at least one segment.
fn stretches(path: &Path) -> impl Iterator<Item = &[[f32; 4]]> {
    path.points.split(|point| !point.iter().all(|v| v.is_finite())).filter(|stretch| stretch.len() > 1)
}

/// Draws paths; later paths and points cover earlier ones.
#[derive(Clone, Debug)]
pub struct Pipeline(wgpu::RenderPipeline);

impl Pipeline {
    /// Compiles the shader for targets of `format`.
    pub fn new(device: &wgpu::Device, format: wgpu::TextureFormat) -> Self {
        Self(pipeline(device, format, "trajectory", WGSL))
    }

    /// Paths whose points `[n, 4]` are on the device, for an area of `size_px` (width, height).
    pub fn prepare(&self, device: &wgpu::Device, paths: &[Path<Resident>], orbit: &Orbit, size_px: [f32; 2]) -> Prepared {
        let mut prepared = Prepared::new(&self.0);
        for path in paths.iter().filter(|path| path.points.len() >= 8) {
            let uniforms = view(path, path.points.first() / 4, orbit, size_px);
            prepared.add(device, bytemuck::bytes_of(&uniforms), &[&path.points], path.points.len() as u32 / 4 - 1);
        }
        prepared
    }
}

/// CPU twin: the same picture on a transparent ground.
pub fn draw(paths: &[Path], orbit: &Orbit, width: usize, height: usize) -> Image {
    let mut image = Image::transparent(width, height);
    let size_px = [width as f32, height as f32];
    for path in paths {
        let view = view(path, 0, orbit, size_px);
        for points in stretches(path) {
            for ends in points.windows(2) {
                segment(&mut image, &view, &ends[0], &ends[1]);
            }
        }
    }
    image
}

fn on_page(view: &View, point: &[f32; 4]) -> [f32; 2] {
    let row = |r: usize| (0..3).map(|c| view.orbit[c][r] * point[c]).sum::<f32>() + view.orbit[3][r];
    [(row(0) + 1.0) * 0.5 * view.size_px[0], (1.0 - row(1)) * 0.5 * view.size_px[1]]
}

fn segment(image: &mut Image, view: &View, from: &[f32; 4], to: &[f32; 4]) {
    let (a, b) = (on_page(view, from), on_page(view, to));
    let along = [b[0] - a[0], b[1] - a[1]];
    let squared = (along[0] * along[0] + along[1] * along[1]).max(1e-6);
    let reach = 0.5 * view.width_px + 1.0;
    let span = |axis: usize, limit: usize| {
        let low = (a[axis].min(b[axis]) - reach).floor().max(0.0) as usize;
        let high = (a[axis].max(b[axis]) + reach).ceil().max(0.0) as usize;
        low..high.min(limit)
    };
    for y in span(1, image.height) {
        for x in span(0, image.width) {
            let toward = [x as f32 + 0.5 - a[0], y as f32 + 0.5 - a[1]];
            let place = ((toward[0] * along[0] + toward[1] * along[1]) / squared).clamp(0.0, 1.0);
            let distance_px = (toward[0] - along[0] * place).hypot(toward[1] - along[1] * place);
            let cover = (0.5 * view.width_px + 0.5 - distance_px).clamp(0.0, 1.0);
            let value = (from[3] + (to[3] - from[3]) * place).clamp(0.0, 1.0);
            let color: [f32; 4] = std::array::from_fn(|c| view.color_low[c] + (view.color_high[c] - view.color_low[c]) * value);
            let opacity = color[3] * cover;
            let pixel = &mut image.pixels[y * image.width + x];
            for (channel, below) in pixel.iter_mut().enumerate() {
                let above = if channel == 3 { opacity } else { color[channel] * opacity };
                *below = above + *below * (1.0 - opacity);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(matrix: &[[f32; 4]; 4], p: [f32; 3]) -> [f32; 2] {
        let row = |r: usize| (0..3).map(|c| matrix[c][r] * p[c]).sum::<f32>() + matrix[3][r];
        [row(0), row(1)]
    }

    #[test]
    fn orbits_turn_as_described() {
        use std::f32::consts::FRAC_PI_2;
        let front = Orbit { yaw: 0.0, pitch: 0.0, center: [1.0, 2.0, 3.0], radius: 2.0 };
        for (orbit, point, expected) in [
            (front, [1.0, 2.0, 9.0], [0.0, 0.0]),
            (front, [3.0, 2.0, 3.0], [0.5, 0.0]),
            (front, [1.0, 4.0, 3.0], [0.0, 1.0]),
            (Orbit { yaw: FRAC_PI_2, ..front }, [1.0, 2.0, 5.0], [0.5, 0.0]),
            (Orbit { pitch: FRAC_PI_2, ..front }, [1.0, 2.0, 1.0], [0.0, 1.0]),
        ] {
            let got = apply(&orbit.matrix([200.0, 100.0]), point);
            assert!((got[0] - expected[0]).abs() < 1e-6 && (got[1] - expected[1]).abs() < 1e-6, "{orbit:?} {point:?} gave {got:?}");
        }
    }

    #[test]
    fn the_view_around_paths_holds_them_from_every_side() {
        let points = vec![[0.0, 0.0, 0.0, 0.0], [10.0, -4.0, 2.0, 1.0], [f32::NAN; 4], [3.0, 3.0, 30.0, 1.0]];
        let paths = [Path { points, color_low: [0.0; 4], color_high: [1.0; 4], width_px: 1.0 }];
        for turn in 0..12 {
            let orbit = Orbit { yaw: turn as f32, pitch: 0.3 * turn as f32, ..Orbit::around(&paths) };
            let matrix = orbit.matrix([300.0, 200.0]);
            for p in paths[0].points.iter().filter(|p| p[0].is_finite()) {
                assert!(apply(&matrix, [p[0], p[1], p[2]]).iter().all(|v| v.abs() <= 1.0));
            }
        }
        assert_eq!(Orbit::around(&[]).radius, 1.0);
    }

    #[test]
    fn a_line_has_its_width_color_and_gap() {
        let orbit = Orbit { yaw: 0.0, pitch: 0.0, center: [0.0; 3], radius: 1.0 };
        let points = vec![[-1.0, 0.0, 0.0, 0.0], [-0.2, 0.0, 0.0, 0.0], [f32::NAN; 4], [0.2, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 1.0]];
        let path = Path { points, color_low: [1.0, 0.0, 0.0, 1.0], color_high: [0.0, 0.0, 1.0, 0.5], width_px: 4.0 };
        let image = draw(&[path], &orbit, 100, 100);
        let column = |x: usize| (0..100).map(|y| image.pixels[y * 100 + x]).collect::<Vec<_>>();
        assert_eq!(column(20).iter().map(|p| p[0]).sum::<f32>(), 4.0, "four pixels of opaque red");
        assert_eq!(column(80).iter().map(|p| p[2]).sum::<f32>(), 2.0, "four pixels of half-transparent blue");
        assert_eq!(column(50).iter().map(|p| p[3]).sum::<f32>(), 0.0, "nothing in the gap");
    }
}
