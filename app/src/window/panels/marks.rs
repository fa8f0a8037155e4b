//! Where the marks of a plot's axis stand and what is written beside them: by the rule of the figures.

use std::ops::RangeInclusive;

use driftscope_core::figure::{Axis, Scale, Tick};
use egui_plot::{GridInput, GridMark};

/// The marks of one axis; logarithmic ones are plotted as powers of ten.
#[derive(Clone, Copy, Debug)]
pub(super) struct Marks {
    /// Of the axis.
    pub(super) scale: Scale,
    /// About how many labels it has room for.
    pub(super) most: usize,
}

impl Marks {
    /// What [`egui_plot::Plot::y_grid_spacer`] takes.
    pub(super) fn place(self, input: &GridInput) -> Vec<GridMark> {
        let (low, high) = input.bounds;
        let ticks = self.labelled(low, high);
        // As far apart as they are on average: so none is left out for being near to its neighbor.
        let step_size = (high - low) / ticks.len().max(1) as f64;
        ticks.iter().map(|tick| GridMark { value: tick.value, step_size }).collect()
    }

    /// What [`egui_plot::AxisHints::formatter`] takes.
    pub(super) fn label(self, mark: GridMark, shown: &RangeInclusive<f64>) -> String {
        let near = |tick: &Tick| (tick.value - mark.value).abs() < 1e-6 * (shown.end() - shown.start());
        self.labelled(*shown.start(), *shown.end()).into_iter().find(near).map_or_else(String::new, |tick| tick.label)
    }

    /// Ticks between plotted values that have a label, at plotted values.
    fn labelled(self, low: f64, high: f64) -> Vec<Tick> {
        if !(high > low && (high - low).is_finite()) {
            return Vec::new();
        }
        let (there, back): (fn(f64) -> f64, fn(f64) -> f64) = match self.scale {
            Scale::Linear => (|v| v, |v| v),
            Scale::Log10 => (|v| 10_f64.powf(v), f64::log10),
        };
        let ticks = Axis { scale: self.scale, low: there(low), high: there(high) }.ticks(self.most);
        ticks.into_iter().filter(|t| !t.label.is_empty()).map(|t| Tick { value: back(t.value), ..t }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mark_has_its_label() {
        for (scale, low, high, labels) in [
            (Scale::Linear, -0.04, 0.61, vec!["0.0", "0.2", "0.4", "0.6"]),
            (Scale::Linear, -62.0, 35.0, vec!["−50", "0"]),
            (Scale::Log10, -2.1, 1.2, vec!["0.01", "0.1", "1", "10"]),
            (Scale::Log10, -0.3, 0.1, vec!["0.6", "0.8", "1.0", "1.2"]),
        ] {
            let marks = Marks { scale, most: 4 };
            let placed = marks.place(&GridInput { bounds: (low, high), base_step_size: 0.1 });
            assert_eq!(placed.iter().map(|m| marks.label(*m, &(low..=high))).collect::<Vec<_>>(), labels);
        }
    }
}
