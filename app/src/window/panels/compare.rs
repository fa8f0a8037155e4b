//! Predictors side by side on the same segments: mode D of each over the population, one color each, the same start held.

use driftscope_core::diagnose::StepReport;
use eframe::egui;

use super::curves::plots_ui;
use super::swatch_ui;
use crate::window::command::{Command, Commands};
use crate::window::curves::{Line, Metric};
use crate::window::source::Source;
use crate::window::state::{SoundState, State};
use crate::window::theme;
use crate::window::worker::comparand_name;

/// Draws their curves and a table of numbers at the steps that are usually quoted.
pub fn compare_ui(ui: &mut egui::Ui, state: &State, commands: &mut Commands) {
    if state.view.comparands.is_empty() {
        ui.centered_and_justified(|ui| {
            ui.weak("Tick predictors in the library to see them here on the same segments: mode D of each, and each to be heard from the same start.");
        });
        return;
    }
    let waiting = state.view.comparands.iter().filter(|c| !state.compared.contains_key(c)).count();
    ui.horizontal_wrapped(|ui| {
        for comparand in &state.view.comparands {
            let name = comparand_name(&state.sessions, *comparand);
            let source = Source::Comparand(*comparand);
            swatch_ui(ui, theme::source_color(source, ui.visuals()));
            let sound = state.sound(source);
            let (enabled, hint) = match sound {
                SoundState::Absent(reason) => (false, reason.to_owned()),
                _ => (true, "Hear it from the chosen start".to_owned()),
            };
            let button = ui.add_enabled(enabled, egui::Button::selectable(state.view.source == source, &name));
            if button.on_hover_text(&hint).on_disabled_hover_text(hint).accessible_name(format!("Hear {name}")).clicked() {
                commands.send(Command::Listen(source));
            }
            if ui.small_button("×").on_hover_text("Compare it no longer").accessible_name(format!("Do not compare {name}")).clicked() {
                commands.send(Command::ToggleComparand(*comparand));
            }
        }
        if waiting > 0 {
            ui.small("computing");
        }
    });
    let table_width = (ui.available_width() * theme::TABLE_SHARE).max(theme::SMALLEST_TABLE).min(ui.available_width());
    ui.horizontal_top(|ui| {
        let size = egui::vec2(ui.available_width() - table_width - theme::GAP, ui.available_height());
        ui.allocate_ui(size, |ui| {
            ui.set_min_size(size);
            // Where there is no room for four, the two that say most.
            let shown = if size.x < theme::WIDTH_OF_FOUR { state.comparison.len().min(2) } else { state.comparison.len() };
            plots_ui(ui, state, &state.comparison[..shown], "compare", commands);
        });
        ui.vertical(|ui| {
            ui.set_max_width(table_width);
            egui::ScrollArea::both().show(ui, |ui| table_ui(ui, state));
        });
    });
}

/// Cosine and state error of each predictor at a few steps.
fn table_ui(ui: &mut egui::Ui, state: &State) {
    let n_steps = state.choice().config.n_steps;
    let steps: Vec<usize> = [1, 2, 4, 8, 16].into_iter().filter(|s| *s <= n_steps).collect();
    for metric in [Metric::Cosine, Metric::StateError] {
        ui.small(metric.name()).on_hover_text(metric.definition());
        egui::Grid::new(metric.name()).num_columns(steps.len() + 1).striped(true).spacing(egui::vec2(theme::GAP, 2.0)).show(ui, |ui| {
            ui.small("step");
            steps.iter().for_each(|s| drop(ui.small(s.to_string())));
            ui.end_row();
            for compared in state.compared.values() {
                let color = theme::line_color(Line::Comparand(compared.comparand), ui.visuals());
                ui.label(egui::RichText::new(&compared.name).small().color(color));
                let per_step = compared.report.modes.first().map(|m| m.per_step.as_slice()).unwrap_or_default();
                for step in &steps {
                    let value = |report: &StepReport| metric.center(report).map_or_else(|| "–".to_owned(), |v| format!("{v:.3}"));
                    let cell = per_step.get(step - 1);
                    let hint = cell.and_then(|report| metric.spread(report)).map(|b| format!("[{:.3}, {:.3}]", b.low, b.high));
                    let cell = ui.monospace(egui::RichText::new(cell.map_or_else(String::new, value)).small());
                    if let Some(hint) = hint {
                        cell.on_hover_text(hint);
                    }
                }
                ui.end_row();
            }
        });
    }
}
