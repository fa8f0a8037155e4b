//! The path of true and rolled frames in principal components.

use super::palette::{BLACK, Rgb};
use super::{FigureSpec, Panel, Provenance, Series, Stroke, Width};
use crate::represent::Pca;

/// One path through latent space.
#[derive(Clone, Copy, Debug)]
pub struct Path<'a> {
    /// Legend text.
    pub name: &'a str,
    /// sRGB.
    pub color: Rgb,
    /// `[n_frames, dim]`
    pub frames: &'a [f32],
    /// Seconds of the first frame.
    pub start_sec: f64,
}

/// `truth` and `paths` seen along the first components (1-2), and the first component over time.
pub fn trajectory(name: &str, pca: &Pca, truth: &[f32], frame_sec: f64, paths: &[Path<'_>], provenance: Provenance) -> FigureSpec {
    let dim = pca.mean.len();
    let truth = Path { name: "Ground truth", color: BLACK, frames: truth, start_sec: 0.0 };
    let all: Vec<Path<'_>> = std::iter::once(truth).chain(paths.iter().copied()).collect();
    let series = |path: &Path<'_>, point: &dyn Fn(usize, &[f32]) -> [f64; 2]| {
        let points = path.frames.chunks_exact(dim).enumerate().map(|(t, x)| point(t, &pca.project(x))).collect();
        Series { name: path.name.into(), color: path.color, stroke: Stroke::Solid, points, band: None }
    };
    let at = |x: &[f32], i: usize| x.get(i).map_or(0.0, |v| f64::from(*v));
    let share = |i: usize| 100.0 * pca.variance.get(i).copied().unwrap_or(0.0) / pca.total_variance.max(f64::MIN_POSITIVE);
    let plane = all.iter().map(|p| series(p, &|_, x| [at(x, 0), at(x, 1)])).collect();
    let time = all.iter().map(|p| series(p, &|t, x| [p.start_sec + t as f64 * frame_sec, at(x, 0)])).collect();
    let component = |i: usize| format!("component {} ({:.0} % of variance)", i + 1, share(i));
    FigureSpec {
        name: name.into(),
        width: Width::DoubleColumn,
        row_height_mm: 70.0,
        columns: 2,
        font_size_pt: 8.0,
        line_width_pt: 0.8,
        panels: vec![
            Panel { title: "Trajectory".into(), x_label: component(0), y_label: component(1), series: plane, ..Panel::default() },
            Panel { title: "First component".into(), x_label: "time, s".into(), y_label: component(0), series: time, ..Panel::default() },
        ],
        caption: "Frames projected on the principal components of the training frames.".into(),
        provenance,
    }
}
