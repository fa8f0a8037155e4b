//! The path of true and rolled frames in principal components.

use super::palette::{BLACK, LIGHT_GRAY, Rgb};
use super::{FigureSpec, Mark, Panel, Provenance, Series, Shape, Stroke, Width};
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

/// `truth` and `paths` seen along the first components (1-2), and the first component over time. Paths leave from the last true frame
/// before them, which is marked, as are their ends.
pub fn trajectory(name: &str, pca: &Pca, truth: &[f32], frame_sec: f64, paths: &[Path<'_>], provenance: Provenance) -> FigureSpec {
    let dim = pca.mean.len();
    let project = |frames: &[f32]| frames.chunks_exact(dim).map(|x| pca.project(x)).collect::<Vec<_>>();
    let truth = project(truth);
    let mut drawn = vec![Drawn { name: "Ground truth", color: LIGHT_GRAY, points: truth.clone(), first: 0 }];
    for path in paths {
        let t0 = (path.start_sec / frame_sec).round() as usize;
        let first = t0.saturating_sub(1).min(truth.len());
        let last_true = &truth[first..t0.min(truth.len())];
        let points = [last_true, &project(path.frames)].concat();
        if drawn.len() == 1 {
            let end = (first + points.len()).min(truth.len());
            let points = truth[first..end].to_vec();
            drawn.push(Drawn { name: "Ground truth, rolled frames", color: BLACK, points, first });
        }
        drawn.push(Drawn { name: path.name, color: path.color, points, first });
    }
    let at = |x: &[f32], i: usize| x.get(i).map_or(0.0, |v| f64::from(*v));
    let share = |i: usize| 100.0 * pca.variance.get(i).copied().unwrap_or(0.0) / pca.total_variance.max(f64::MIN_POSITIVE);
    let plane = |_: usize, x: &[f32]| [at(x, 0), at(x, 1)];
    let time = |frame: usize, x: &[f32]| [frame as f64 * frame_sec, at(x, 0)];
    let panel = |title: &str, x_label: String, y_label: String, point: &dyn Fn(usize, &[f32]) -> [f64; 2]| Panel {
        title: title.into(),
        x_label,
        y_label,
        series: drawn.iter().map(|d| d.series(point)).collect(),
        // The utterance's own ends are not marked: nothing starts or ends there.
        marks: drawn.iter().skip(1).flat_map(|d| d.marks(point)).collect(),
        ..Panel::default()
    };
    let component = |i: usize| format!("component {} ({:.0} % of variance)", i + 1, share(i));
    FigureSpec {
        name: name.into(),
        width: Width::DoubleColumn,
        row_height_mm: 70.0,
        columns: 2,
        font_size_pt: 8.0,
        line_width_pt: 0.8,
        panels: vec![
            panel("Trajectory", component(0), component(1), &plane),
            panel("First component", "time, s".into(), component(0), &time),
        ],
        caption:
            "Frames projected on the principal components of the training frames. A rollout leaves from the last true frame, ○, and ends \
                  at ■; gray: the whole utterance."
                .into(),
        provenance,
    }
}

/// A path with the frames before its own that it leaves from.
struct Drawn<'a> {
    name: &'a str,
    color: Rgb,
    points: Vec<Vec<f32>>,
    /// Index of its first frame in the utterance.
    first: usize,
}

impl Drawn<'_> {
    fn series(&self, point: &dyn Fn(usize, &[f32]) -> [f64; 2]) -> Series {
        let points = self.points.iter().enumerate().map(|(i, x)| point(self.first + i, x)).collect();
        Series { name: self.name.into(), color: self.color, stroke: Stroke::Solid, points, band: None }
    }

    /// Its two ends, as far as they are finite.
    fn marks(&self, point: &dyn Fn(usize, &[f32]) -> [f64; 2]) -> impl Iterator<Item = Mark> {
        let finite = |i: &usize| self.points[*i].iter().all(|v| v.is_finite());
        let at = |i: usize| point(self.first + i, &self.points[i]);
        let end = (0..self.points.len()).rev().find(finite).map(|i| (i, "End of the path", Shape::Square, self.color));
        let start = (!self.points.is_empty()).then_some((0, "Start of the rollout", Shape::Ring, BLACK));
        let marks: Vec<Mark> = [start, end]
            .into_iter()
            .flatten()
            .map(|(i, name, shape, color)| Mark { name: name.into(), color, shape, point: at(i) })
            .collect();
        marks.into_iter()
    }
}
