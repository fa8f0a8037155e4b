//! What is heard, in numbers: measures against the length of a splice and against the factor on the magnitude.

use super::palette::{BLUE, GRAY, REDDISH_PURPLE, Rgb, SKY_BLUE, VERMILLION};
use super::{Band, FigureSpec, Guide, Panel, Provenance, Series, Stroke, Width};
use crate::battery::{Battery, ConditionReport, Group, Rendition};
use crate::perceive::Measure;
use crate::rollout::synthetic::SyntheticMode;

/// Those of the figure; the table has all.
const SHOWN: [Measure; 3] = [Measure::Stoi, Measure::PesqWideBand, Measure::MelDistance];

/// One row of panels over the steps of spliced rollouts, where there are any, and one over the factor α of the synthetic modes.
pub fn battery(name: &str, battery: &Battery, provenance: Provenance) -> FigureSpec {
    let steps = |report: &ConditionReport| match report.rendition {
        Rendition::Splice { n_steps } => Some(n_steps as f64),
        _ => None,
    };
    // At equal error, the wrong direction stands where the slowed mode it is as far as stands.
    let alpha = |report: &ConditionReport| match report.rendition {
        Rendition::Synthetic { mode: SyntheticMode::Slow { alpha }, .. }
        | Rendition::AtErrorOf { other: SyntheticMode::Slow { alpha }, .. } => Some(f64::from(alpha)),
        _ => None,
    };
    let curve = |name: &str, color: Rgb, group: Group, measure: Measure, x: &dyn Fn(&ConditionReport) -> Option<f64>| {
        curve(name, color, battery.conditions.iter().filter(|c| c.group == group), measure, x)
    };
    let panel = |measure: Measure, x_label: &str, series: Vec<Series>| Panel {
        x_label: x_label.to_owned(),
        y_label: measure.title(),
        guides: guides(battery, measure),
        series,
        ..Panel::default()
    };
    let spliced = battery.conditions.iter().any(|c| c.group == Group::Splices);
    let splices = SHOWN.iter().filter(|_| spliced).map(|&m| {
        let series = vec![curve("Splice", VERMILLION, Group::Splices, m, &steps)];
        panel(m, "steps of rollout in the midst of truth", series)
    });
    let synthetic = SHOWN.iter().map(|&m| {
        let series = vec![
            curve("Slow, accumulated", BLUE, Group::Accumulated, m, &alpha),
            curve("Slow, per step", SKY_BLUE, Group::PerStep, m, &alpha),
            curve("Wrong direction at the same L2 error", REDDISH_PURPLE, Group::AtEqualError, m, &alpha),
        ];
        panel(m, "α (factor on the magnitude)", series)
    });
    FigureSpec {
        name: name.to_owned(),
        width: Width::DoubleColumn,
        columns: SHOWN.len(),
        panels: splices.chain(synthetic).collect(),
        caption: caption(battery),
        provenance,
        ..FigureSpec::default()
    }
}

fn curve<'a>(
    name: &str,
    color: Rgb,
    reports: impl Iterator<Item = &'a ConditionReport>,
    measure: Measure,
    x: &dyn Fn(&ConditionReport) -> Option<f64>,
) -> Series {
    let mut points: Vec<([f64; 2], [f64; 2])> = reports
        .filter_map(|report| {
            let of = report.measure(measure)?;
            let mean = of.summary.mean.unwrap_or(f64::NAN);
            Some(([x(report)?, mean], of.band.map_or([mean; 2], |band| [band.low, band.high])))
        })
        .collect();
    points.sort_by(|a, b| a.0[0].total_cmp(&b.0[0]));
    let band = Band { low: points.iter().map(|(_, [low, _])| *low).collect(), high: points.iter().map(|(_, [_, high])| *high).collect() };
    Series {
        name: name.to_owned(),
        color,
        stroke: Stroke::Solid,
        points: points.into_iter().map(|(point, _)| point).collect(),
        band: Some(band),
    }
}

/// The codec's round trip above, and a walk in random directions below.
fn guides(battery: &Battery, measure: Measure) -> Vec<Guide> {
    let is_walk = |c: &&ConditionReport| {
        c.group == Group::Accumulated && matches!(c.rendition, Rendition::Synthetic { mode: SyntheticMode::WrongDirection, .. })
    };
    let round_trip = battery.conditions.iter().find(|c| c.group == Group::Reconstruction);
    let walk = battery.conditions.iter().find(is_walk);
    let guide = |name: &str, stroke, report: Option<&ConditionReport>| {
        let y = report?.measure(measure)?.summary.mean?;
        Some(Guide { name: name.to_owned(), color: GRAY, stroke, y })
    };
    [guide("Codec's round trip", Stroke::Dashed, round_trip), guide("Wrong direction, accumulated", Stroke::Dotted, walk)]
        .into_iter()
        .flatten()
        .collect()
}

fn caption(battery: &Battery) -> String {
    let speakers: std::collections::BTreeSet<&str> = battery.items.iter().map(|item| item.speaker.as_str()).collect();
    let who = battery.predictor.as_ref().map_or_else(String::new, |p| format!(" Rollouts of {} (k {}).", p.kind, p.horizon));
    let rest = if battery.conditions.iter().any(|c| c.group == Group::Splices) {
        " Splices: the stretch from 1 s before the start to 1 s after the longest one."
    } else {
        ""
    };
    format!(
        "Means over {} utterances of {} speakers against their decoded truth, bands 95 % by resampling speakers.{who}{rest} Dashed: the \
         decoded truth against the recording. PESQ aligns the sounds in time first; read it beside the others.",
        battery.items.len(),
        speakers.len()
    )
}
