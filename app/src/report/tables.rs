//! The numbers of the page.

use driftscope_core::diagnose::{Evaluation, InjectionReport, StepReport, Summary};

use super::html::{number, table_with_head};

/// Modes × steps for each quantity, with the reference lines below.
pub(super) fn injection(report: &InjectionReport) -> String {
    let n_steps = report.modes.first().map_or(0, |m| m.per_step.len());
    let steps: Vec<usize> = [1, 2, 4, 8, 12].into_iter().filter(|s| *s < n_steps).chain([n_steps]).collect();
    let lines = &report.references;
    let references = |title: &str| -> Vec<(&str, Vec<Option<f64>>)> {
        let some = |values: &[f64]| values.iter().copied().map(Some).collect();
        match title {
            "cosine" => vec![
                ("time-shuffled null", some(&lines.null_cos)),
                ("skyline (trained directly)", lines.skyline_cos.clone()),
                ("ridge (fitted directly)", some(&lines.ridge_cos)),
            ],
            "state error" => vec![
                ("ridge (fitted directly)", some(&lines.ridge_state_err)),
                ("persistence", some(&lines.persistence_state_err)),
                ("climatology", vec![Some(lines.climatology_state_err); n_steps]),
                ("√2·σ", vec![Some(lines.sqrt2_sigma_state_err); n_steps]),
            ],
            _ => Vec::new(),
        }
    };
    let mut text = String::new();
    for quantity in &QUANTITIES {
        let title = quantity.0;
        let mut rows = vec![std::iter::once(title.to_owned()).chain(steps.iter().map(|s| format!("step {s}"))).collect::<Vec<_>>()];
        for mode in &report.modes {
            let cells = steps.iter().map(|step| mode.per_step.get(step - 1).map_or_else(String::new, |s| cell(quantity, s)));
            rows.push(std::iter::once(mode.name.replace('_', " ")).chain(cells).collect());
        }
        for (name, values) in references(title) {
            let cells = steps.iter().map(|step| number(values.get(step - 1).copied().flatten()));
            rows.push(std::iter::once(name.to_owned()).chain(cells).collect());
        }
        text.push_str(&table_with_head(&rows));
    }
    text
}

/// A quantity of the tables: its title, the key of its band, where it is, and the average that does it justice.
type Quantity = (&'static str, &'static str, fn(&StepReport) -> &Summary, fn(&Summary) -> Option<f64>);

const QUANTITIES: [Quantity; 5] = [
    ("cosine", "cos", |s| &s.cos, |s| s.mean),
    ("state error", "state_err_after", |s| &s.state_err_after, |s| s.mean),
    ("magnitude ratio", "mag_ratio", |s| &s.mag_ratio, |s| s.mean),
    ("advance ratio", "", |s| &s.advance_ratio, |s| s.mean),
    ("ΔNLL (median), nats", "", |s| &s.dnll, |s| s.median),
];

/// `0.412 [0.400, 0.430] (2 not finite)`.
fn cell((_, key, summary, center): &Quantity, step: &StepReport) -> String {
    let summary = summary(step);
    let mut text = number(center(summary));
    if let Some(band) = step.bands.get(*key).copied().flatten() {
        text.push_str(&format!(" [{}, {}]", number(Some(band.low)), number(Some(band.high))));
    }
    if summary.n_nonfinite > 0 {
        text.push_str(&format!(" ({} not finite)", summary.n_nonfinite));
    }
    text
}

/// One row a predictor.
pub(super) fn evaluation(evaluation: &Evaluation) -> String {
    let head = ["predictor", "k", "n", "cosine", "null", "ridge", "state R²", "ΔNLL median", "trimmed mean", "5 %", "95 %", "ln‖Δ‖ R²"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for h in &evaluation.horizons {
        let (cos, dnll) = (&h.eval.cos, &h.eval.dnll);
        let band = h.eval.bands.get("cos").copied().flatten();
        let band = band.map_or_else(String::new, |b| format!(" [{}, {}]", number(Some(b.low)), number(Some(b.high))));
        rows.push(vec![
            crate::battery::family(&h.kind).to_owned(),
            h.horizon.to_string(),
            cos.n.to_string(),
            format!("{}{band}", number(cos.mean)),
            number(Some(h.null_cos)),
            number(Some(h.ridge_cos)),
            number(h.eval.state_r2),
            number(dnll.median),
            number(dnll.trimmed_mean),
            number(dnll.q05),
            number(dnll.q95),
            number(h.eval.logmag_r2),
        ]);
    }
    table_with_head(&rows)
}
