//! Teacher-forced metrics against the horizon, one curve a family.

use super::axis::short;
use super::palette::{BLACK, BLUE, GRAY, LIGHT_GRAY, REDDISH_PURPLE, Rgb, VERMILLION};
use super::{Band, FigureSpec, Guide, Panel, Provenance, Series, Stroke, Width};
use crate::diagnose::{Evaluation, HorizonReport};
use crate::predict;

/// Cosine with its null, R² of the state, ΔNLL and R² of the log-magnitude on the evaluation side.
pub fn horizons(name: &str, evaluation: &Evaluation, provenance: Provenance) -> FigureSpec {
    let mut families: Vec<&str> = Vec::new();
    for report in &evaluation.horizons {
        if !families.contains(&report.kind.as_str()) {
            families.push(&report.kind);
        }
    }
    let panel = |title: &str, y_label: &str, value: Value, band: Option<&str>, references: Vec<Series>, zero: (&str, Rgb, Stroke)| {
        let mut series = references;
        for (index, family) in families.iter().enumerate() {
            let reports: Vec<&HorizonReport> = evaluation.horizons.iter().filter(|h| h.kind == **family).collect();
            series.push(curve(predict::family(family), color(index), Stroke::Solid, &reports, value, band));
        }
        let (zero, color, stroke) = zero;
        let guides = vec![Guide { name: zero.to_owned(), color, stroke, y: 0.0 }];
        Panel { title: title.into(), x_label: "horizon k".into(), y_label: y_label.into(), series, guides, ..Panel::default() }
    };
    // Null and ridge do not depend on the family: those of the first one stand for all.
    let first: Vec<&HorizonReport> = evaluation.horizons.iter().filter(|h| Some(h.kind.as_str()) == families.first().copied()).collect();
    let gray = |name: &str, stroke, value: Value| curve(name, GRAY, stroke, &first, value, None);
    let panels = vec![
        panel(
            "Direction cosine",
            "cosine",
            |h| Some(h.eval.cos.mean.unwrap_or(f64::NAN)),
            Some("cos"),
            vec![gray("Null", Stroke::Dotted, |h| Some(h.null_cos)), gray("Ridge", Stroke::Dashed, |h| Some(h.ridge_cos))],
            ("No direction", LIGHT_GRAY, Stroke::Solid),
        ),
        panel(
            "State",
            "R² of x[t]",
            // Window and predicted Δ lead to a frame at k = 1 only; beyond, there is no such number.
            |h| (h.horizon == 1).then(|| h.eval.state_r2.unwrap_or(f64::NAN)),
            None,
            vec![gray("Ridge", Stroke::Dashed, |h| Some(h.ridge_state_r2))],
            ("Mean frame", GRAY, Stroke::ShortDashed),
        ),
        panel(
            "ΔNLL",
            "median nats, negative is better",
            |h| Some(h.eval.dnll.median.unwrap_or(f64::NAN)),
            None,
            vec![],
            ("Baseline", BLACK, Stroke::Dotted),
        ),
        Panel {
            y_floor: Some(LOWEST_R2),
            ..panel(
                "Log-magnitude",
                "R² of ln‖Δ‖",
                |h| Some(h.eval.logmag_r2.unwrap_or(f64::NAN)),
                None,
                vec![],
                ("Mean magnitude", BLACK, Stroke::ShortDashed),
            )
        },
    ];
    FigureSpec {
        name: name.into(),
        width: Width::DoubleColumn,
        row_height_mm: 55.0,
        columns: 2,
        font_size_pt: 8.0,
        line_width_pt: 1.0,
        panels,
        caption: format!(
            "Teacher-forced, evaluation side. The window ends k frames before the target, which stays the one-step Δ. Band: 95 % bootstrap \
             by speaker. A predictor has a state R² at k = 1 only, where its Δ continues the last frame that it sees. The axis of the \
             log-magnitude ends at {}: ▽ is a value below it.",
            short(LOWEST_R2)
        ),
        provenance,
    }
}

/// Where the axis of the log-magnitude ends: a predictor that is worse than this is not told apart from the others by how much.
const LOWEST_R2: f64 = -1.5;

/// `None` where the quantity does not exist, NaN where it came out as no number.
type Value = fn(&HorizonReport) -> Option<f64>;

fn color(family: usize) -> Rgb {
    [VERMILLION, BLUE, REDDISH_PURPLE][family % 3]
}

fn curve(name: &str, color: Rgb, stroke: Stroke, reports: &[&HorizonReport], value: Value, band: Option<&str>) -> Series {
    let reports: Vec<(&HorizonReport, f64)> = reports.iter().filter_map(|h| Some((*h, value(h)?))).collect();
    let points = reports.iter().map(|(h, y)| [h.horizon as f64, *y]).collect();
    let edges: Option<Vec<_>> = band.map(|key| reports.iter().map(|(h, _)| h.eval.bands.get(key).copied().flatten()).collect());
    let edge = |of: fn(crate::diagnose::Band) -> f64, bands: &[Option<crate::diagnose::Band>]| {
        bands.iter().map(|b| b.map_or(f64::NAN, of)).collect()
    };
    let band = edges.map(|bands| Band { low: edge(|b| b.low, &bands), high: edge(|b| b.high, &bands) });
    Series { name: name.into(), color, stroke, points, band }
}
