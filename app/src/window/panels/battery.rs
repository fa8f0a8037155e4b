//! The battery: what codec, synthetic modes and splices do to the sound of the same utterances; each row one click from a blind test.

use driftscope_core::battery::ConditionReport;
use driftscope_core::perceive::Measure;
use eframe::egui;

use crate::window::blind::BlindDraft;
use crate::window::command::{Command, Commands};
use crate::window::jobs::{BatteryDraft, Measured, Status, Task};
use crate::window::state::State;
use crate::window::theme;

/// Draws what was measured, or offers to.
pub fn battery_ui(ui: &mut egui::Ui, state: &State, commands: &mut Commands) {
    let Some(session) = state.session() else { return };
    let running = state.jobs.iter().any(|job| job.status == Status::Running && matches!(job.task, Task::Battery(_)));
    let choice = state.choice();
    ui.horizontal(|ui| {
        ui.strong("Battery");
        let draft = BatteryDraft { store: choice.store, predictor: choice.predictor, rollout: choice.config.clone() };
        let name = if state.battery.is_some() { "Measure again" } else { "Measure" };
        let button = egui::Button::new(name).small();
        let hint = format!(
            "Round trip, synthetic modes and splices of {} on unseen voices, in every measure",
            session.predictor_name(choice.predictor)
        );
        let button =
            ui.add_enabled(session.codec.is_some() && !running, button).on_hover_text(hint).on_disabled_hover_text(&session.unheard);
        if button.accessible_name("Measure the battery").clicked() {
            commands.send(Command::Start(Task::Battery(draft)));
        }
        if running {
            ui.small("measuring; see Jobs");
        }
        if let Some(measured) = &state.battery {
            ui.small(&measured.about);
        }
    });
    match &state.battery {
        Some(measured) => {
            egui::ScrollArea::both().auto_shrink(false).show(ui, |ui| table_ui(ui, state, measured, commands));
        }
        None => {
            ui.weak("What do the codec, a wrong magnitude, a wrong direction and a few steps of rollout do to the sound? Each is rendered for the same utterances of unseen voices and measured, with bands by speaker.");
        }
    }
}

fn table_ui(ui: &mut egui::Ui, state: &State, measured: &Measured, commands: &mut Commands) {
    let columns = Measure::ALL.len() + 2;
    egui::Grid::new("battery").num_columns(columns).striped(true).spacing(egui::vec2(theme::GAP, 2.0)).show(ui, |ui| {
        ui.small("");
        ui.small("L2").on_hover_text("Root mean square of ‖x̂ − x‖ over frames, raw units; of a splice over its own frames");
        Measure::ALL.iter().for_each(|measure| drop(ui.small(measure.title()).on_hover_text(measure.definition())));
        ui.end_row();
        for group in measured.battery.conditions.chunk_by(|a, b| a.group == b.group) {
            ui.small(egui::RichText::new(group[0].group.title()).strong());
            ui.end_row();
            group.iter().for_each(|condition| row_ui(ui, state, measured, condition, commands));
        }
    });
}

fn row_ui(ui: &mut egui::Ui, state: &State, measured: &Measured, condition: &ConditionReport, commands: &mut Commands) {
    ui.horizontal(|ui| {
        let listen =
            ui.small_button("Listen blind").on_hover_text("A blind listening test of this against its reference, on the same utterances");
        if listen.accessible_name(format!("Listen blind to {}", condition.name)).clicked() {
            let draft = BlindDraft {
                store: measured.draft.store,
                predictor: measured.draft.predictor,
                reference: condition.group.reference(),
                tested: vec![condition.rendition],
                material: measured.battery.config.clone(),
                ..BlindDraft::first(state)
            };
            commands.send(Command::DraftBlind(Some(Box::new(draft))));
        }
        ui.small(&condition.name).on_hover_text(&condition.explanation);
    });
    let number = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |v| format!("{v:.3}"));
    let cell = |ui: &mut egui::Ui, text: String| ui.monospace(egui::RichText::new(text).small());
    cell(ui, number(condition.l2_error.mean));
    for measure in Measure::ALL {
        let Some(report) = condition.measure(measure) else { continue };
        let band = report.band.map_or_else(String::new, |b| format!("95 % by speaker: {:.3} to {:.3}\n", b.low, b.high));
        let lack = report
            .reason
            .as_ref()
            .filter(|_| report.n_without > 0)
            .map_or_else(String::new, |why| format!("\n{} without: {why}", report.n_without));
        cell(ui, number(report.summary.mean)).on_hover_text(format!("{band}mean of {} utterances{lack}", report.summary.n));
    }
    ui.end_row();
}
