//! The numbers of the page.

use driftscope_core::diagnose::{Band, Evaluation, InjectionReport};

use super::html::{number, table_with_head};
use crate::window::curves::{Average, plots, table_steps};

/// Modes × steps for each quantity, with the reference lines below: the points and bands of the curves.
pub(super) fn injection(report: &InjectionReport) -> String {
    let steps = table_steps(report.modes.first().map_or(0, |m| m.per_step.len()));
    let mut text = String::new();
    for plot in plots(report, None) {
        let metric = plot.metric;
        let mut rows = vec![head(metric.name(), metric.average(), &steps)];
        for mode in &report.modes {
            let cells = steps.iter().filter_map(|step| mode.per_step.get(step - 1));
            let cells = cells.map(|s| cell(metric.center(s), metric.spread(s), metric.summary(s).n_nonfinite));
            rows.push(std::iter::once(mode.name.replace('_', " ")).chain(cells).collect());
        }
        for curve in plot.curves.iter().filter(|c| !c.line.is_rollout() && !c.line.is_level()) {
            let at = |step: &usize| cell(curve.values.get(step - 1).copied().flatten(), curve.bands.get(step - 1).copied().flatten(), 0);
            rows.push(std::iter::once(curve.line.name().to_owned()).chain(steps.iter().map(at)).collect());
        }
        text.push_str(&table_with_head(&rows));
    }
    text.push_str(&advance_ratio(report, &steps));
    text
}

/// How far the state moved, which magnitude rule and α decide; it has no curve.
fn advance_ratio(report: &InjectionReport, steps: &[usize]) -> String {
    let average = Average::Median;
    let mut rows = vec![head("Advance ratio", average, steps)];
    for mode in &report.modes {
        let cells = steps.iter().filter_map(|step| mode.per_step.get(step - 1)).map(|s| &s.advance_ratio);
        let cells = cells.map(|s| cell(average.center(s), Average::quantiles(s), s.n_nonfinite));
        rows.push(std::iter::once(mode.name.replace('_', " ")).chain(cells).collect());
    }
    table_with_head(&rows)
}

fn head(name: &str, average: Average, steps: &[usize]) -> Vec<String> {
    let of = match average {
        Average::Mean => "mean",
        Average::Median => "median",
    };
    std::iter::once(format!("{name}, {of}")).chain(steps.iter().map(|s| format!("step {s}"))).collect()
}

/// `0.412 [0.400, 0.430] (2 not finite)`.
fn cell(center: Option<f64>, band: Option<Band>, n_nonfinite: usize) -> String {
    let mut text = number(center);
    if let Some(Band { low, high }) = band {
        text.push_str(&format!(" [{}, {}]", number(Some(low)), number(Some(high))));
    }
    if n_nonfinite > 0 {
        text.push_str(&format!(" ({n_nonfinite} not finite)"));
    }
    text
}

/// One row a predictor.
pub(super) fn evaluation(evaluation: &Evaluation) -> String {
    let head = [
        "predictor",
        "k",
        "n",
        "cosine",
        "null",
        "ridge",
        "state R²",
        "ridge state R²",
        "ΔNLL median",
        "5 %",
        "95 %",
        "trimmed mean",
        "ln‖Δ‖ R²",
    ];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for h in &evaluation.horizons {
        let (cos, dnll) = (&h.eval.cos, &h.eval.dnll);
        let band = h.eval.bands.get("cos").copied().flatten();
        let band = band.map_or_else(String::new, |b| format!(" [{}, {}]", number(Some(b.low)), number(Some(b.high))));
        rows.push(vec![
            crate::showcase::family(&h.kind).to_owned(),
            h.horizon.to_string(),
            cos.n.to_string(),
            format!("{}{band}", number(cos.mean)),
            number(Some(h.null_cos)),
            number(Some(h.ridge_cos)),
            number(h.eval.state_r2),
            number(Some(h.ridge_state_r2)),
            number(dnll.median),
            number(dnll.q05),
            number(dnll.q95),
            number(dnll.trimmed_mean),
            number(h.eval.logmag_r2),
        ]);
    }
    table_with_head(&rows)
}
