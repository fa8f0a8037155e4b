//! What listeners heard: a psychometric curve over the same axis as cosine and state error, or a point with its interval a condition.

use super::palette::{BLACK, BLUE, BLUISH_GREEN, GRAY, LIGHT_GRAY, Rgb, VERMILLION};
use super::{Band, FigureSpec, Guide, Mark, Panel, Provenance, Series, Shape, Stroke, Width};
use crate::listen::results::{ListenerThreshold, Named, Outcome, PerListener, SequentialOutcome, ThresholdOutcome};
use crate::listen::statistics::{ConditionSummary, Interval, Threshold};
use crate::listen::{Condition, Design, Plan, Results};

/// One figure of a test's results, of all listeners (the summary has the screened ones beside them).
pub fn listening(name: &str, plan: &Plan, results: &Results, provenance: Provenance) -> FigureSpec {
    let panels = match &results.raw {
        Outcome::Threshold(found) => threshold_panels(plan, found),
        other => vec![points_panel(plan, other)],
    };
    let n = results.listeners.len();
    let who = if results.is_pilot { "a pilot with one listener".to_owned() } else { format!("{n} listeners") };
    let what = match &results.raw {
        Outcome::Threshold(_) => {
            " Curve: median of the posterior with its 95 % band; points: right answers at each level; the bar is the threshold (75 % right) \
             with its 95 % interval."
        }
        Outcome::Ratings(_) | Outcome::DifferenceGrades(_) => " Means, with 95 % intervals by resampling listeners and items.",
        _ => " Proportions, with 95 % Clopper-Pearson intervals.",
    };
    FigureSpec {
        name: name.to_owned(),
        width: if panels.len() > 1 { Width::DoubleColumn } else { Width::SingleColumn },
        columns: panels.len(),
        panels,
        caption: format!("{}; {who}, {} items.{what}", plan.title, results.n_items),
        provenance,
        ..FigureSpec::default()
    }
}

/// Three panels over one axis: what was heard, and how far the latents were from the truth.
fn threshold_panels(plan: &Plan, found: &ThresholdOutcome) -> Vec<Panel> {
    let axis = plan.axis.as_ref().map_or_else(String::new, |axis| format!("{} {}", axis.name, axis.unit).trim_end().to_owned());
    let range =
        [found.levels.iter().copied().fold(f64::INFINITY, f64::min), found.levels.iter().copied().fold(f64::NEG_INFINITY, f64::max)];
    // One curve through all where there are several listeners, else the listener's own.
    let shown = found.pooled.as_ref().or(found.listeners.first());
    let mut heard = Panel {
        x_label: axis.clone(),
        y_label: "right answers".to_owned(),
        x_range: Some(range),
        // Few answers at a level may all be wrong: the whole scale is shown, since axes are fitted to curves and not to marks.
        guides: vec![
            guide("Ends of the scale", LIGHT_GRAY, Stroke::Solid, 0.0),
            guide("Guessing", LIGHT_GRAY, Stroke::Dotted, 0.5),
            guide("Threshold", GRAY, Stroke::ShortDashed, 0.75),
            guide("Ends of the scale", LIGHT_GRAY, Stroke::Solid, 1.0),
        ],
        ..Panel::default()
    };
    if found.pooled.is_some() {
        heard.series.extend(found.listeners.iter().map(|one| Series { band: None, ..curve("One listener", LIGHT_GRAY, one) }));
    }
    if let Some(all) = shown {
        heard.series.push(curve("Heard", BLUE, all));
        let at = |(level, (n_right, n_trials)): (&f64, &(u32, u32))| {
            (*n_trials > 0).then(|| mark("Right answers at a level", BLACK, [*level, f64::from(*n_right) / f64::from(*n_trials)]))
        };
        heard.marks = found.levels.iter().zip(&all.counts).filter_map(at).collect();
        heard.series.extend(span(all.threshold, range).map(|[from, to]| Series {
            name: "Threshold, 95 %".to_owned(),
            color: VERMILLION,
            stroke: Stroke::Solid,
            points: vec![[from, 0.75], [to, 0.75]],
            band: None,
        }));
    }
    let mut panels = vec![heard];
    for (key, label, color) in [("cos", "direction cosine", BLUISH_GREEN), ("state_err", "state error / median ‖Δ‖", BLUISH_GREEN)] {
        let point = |condition: &Condition| Some([condition.level?, *condition.numbers.get(key)?]);
        let mut points: Vec<[f64; 2]> = plan.conditions.iter().filter_map(point).collect();
        points.sort_by(|a, b| a[0].total_cmp(&b[0]));
        if points.is_empty() {
            continue;
        }
        let extremes = points.iter().fold([f64::INFINITY, f64::NEG_INFINITY], |[low, high], p| [low.min(p[1]), high.max(p[1])]);
        let mut series = vec![Series { name: "Latents".to_owned(), color, stroke: Stroke::Solid, points, band: None }];
        if let Some(Threshold::Within { level, .. }) = shown.map(|all| all.threshold) {
            let points = vec![[level, extremes[0]], [level, extremes[1]]];
            series.push(Series { name: "Heard from here on".to_owned(), color: VERMILLION, stroke: Stroke::Dashed, points, band: None });
        }
        panels.push(Panel { x_label: axis.clone(), y_label: label.to_owned(), x_range: Some(range), series, ..Panel::default() });
    }
    panels
}

fn curve(name: &str, color: Rgb, of: &ListenerThreshold) -> Series {
    let mut points = of.curve.clone();
    points.sort_by(|a, b| a.level.total_cmp(&b.level));
    Series {
        name: name.to_owned(),
        color,
        stroke: Stroke::Solid,
        points: points.iter().map(|p| [p.level, p.p_right]).collect(),
        band: Some(Band { low: points.iter().map(|p| p.interval.low).collect(), high: points.iter().map(|p| p.interval.high).collect() }),
    }
}

/// The threshold's interval on the axis, as far as it was tested.
fn span(threshold: Threshold, [low, high]: [f64; 2]) -> Option<[f64; 2]> {
    let Threshold::Within { from, to, level } = threshold else { return None };
    // On an axis that falls (α), the less audible end is the higher one.
    let falling = from.is_some_and(|from| from > level) || to.is_some_and(|to| to < level);
    let [less, more] = if falling { [high, low] } else { [low, high] };
    Some([from.unwrap_or(less), to.unwrap_or(more)])
}

/// A point with its interval for each condition or pair; what they are is said below the axis.
fn points_panel(plan: &Plan, outcome: &Outcome) -> Panel {
    let interval = |i: &Interval| [i.low, i.high];
    let rows: Vec<(String, f64, [f64; 2])> = match outcome {
        Outcome::Abx(all) => {
            all.iter().map(|n| (n.name.clone(), n.result.pooled.proportion, interval(&n.result.pooled.interval))).collect()
        }
        Outcome::Equivalence(all) => {
            all.iter().map(|n| (n.name.clone(), n.result.pooled.proportion, interval(&n.result.pooled.interval))).collect()
        }
        Outcome::Sequential(all) => {
            let one = |n: &Named<SequentialOutcome>| {
                let of = |(one, _): &(PerListener, _)| {
                    (
                        format!("{} ({})", n.name, one.listener),
                        f64::from(one.n_right) / f64::from(one.n_trials.max(1)),
                        interval(&one.interval),
                    )
                };
                n.result.listeners.iter().map(of).collect::<Vec<_>>()
            };
            all.iter().flat_map(one).collect()
        }
        Outcome::Preference(all) => all.iter().map(|n| (n.name.clone(), n.result.win_rate, interval(&n.result.interval))).collect(),
        Outcome::Ratings(found) | Outcome::DifferenceGrades(found) => {
            let row = |n: &Named<ConditionSummary>| {
                (n.name.clone(), n.result.mean, n.result.interval.as_ref().map_or([n.result.mean; 2], interval))
            };
            found.conditions.iter().map(row).collect()
        }
        Outcome::Threshold(_) => Vec::new(),
    };
    let (y_label, guides) = match plan.design {
        Design::Equivalence { margin, .. } => {
            ("right answers", vec![guide("Guessing", GRAY, Stroke::Dotted, 0.5), guide("Margin", VERMILLION, Stroke::Dashed, margin)])
        }
        Design::Preference { .. } => ("preferred to the other", vec![guide("No preference", GRAY, Stroke::Dotted, 0.5)]),
        Design::Mushra => (
            "rating",
            vec![guide("Ends of the scale", LIGHT_GRAY, Stroke::Solid, 0.0), guide("Ends of the scale", LIGHT_GRAY, Stroke::Solid, 100.0)],
        ),
        Design::TripleStimulus => ("difference grade", vec![guide("Hidden reference", GRAY, Stroke::Dotted, 0.0)]),
        _ => ("right answers", vec![guide("Guessing", GRAY, Stroke::Dotted, 0.5)]),
    };
    let whiskers = rows.iter().enumerate().map(|(i, (_, _, [low, high]))| Series {
        name: "95 %".to_owned(),
        color: BLUE,
        stroke: Stroke::Solid,
        points: vec![[(i + 1) as f64, *low], [(i + 1) as f64, *high]],
        band: None,
    });
    // Names where they fit below the axis, else numbers and a key.
    let short = rows.iter().map(|(name, ..)| name.chars().count()).sum::<usize>() <= 36;
    let numbered: Vec<String> = rows.iter().enumerate().map(|(i, (name, ..))| format!("{} {name}", i + 1)).collect();
    let x_names = rows.iter().enumerate().map(|(i, (name, ..))| if short { name.clone() } else { (i + 1).to_string() });
    Panel {
        x_label: if short { String::new() } else { numbered.join(", ") },
        x_names: x_names.collect(),
        y_label: y_label.to_owned(),
        x_range: Some([0.5, rows.len() as f64 + 0.5]),
        marks: rows.iter().enumerate().map(|(i, (_, value, _))| mark("Estimate", BLUE, [(i + 1) as f64, *value])).collect(),
        series: whiskers.collect(),
        guides,
        ..Panel::default()
    }
}

fn guide(name: &str, color: Rgb, stroke: Stroke, y: f64) -> Guide {
    Guide { name: name.to_owned(), color, stroke, y }
}

fn mark(name: &str, color: Rgb, point: [f64; 2]) -> Mark {
    Mark { name: name.to_owned(), color, shape: Shape::Ring, point }
}
