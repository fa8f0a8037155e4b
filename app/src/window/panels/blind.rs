//! The dialog that prepares a listening test.

use driftscope_core::battery::{Axis, Rendition};
use driftscope_core::listen::Loudness;
use eframe::egui::{self, DragValue};

use crate::listening::Kind;
use crate::window::blind::BlindDraft;
use crate::window::command::{Command, Commands};
use crate::window::jobs::Task;
use crate::window::state::State;
use crate::window::theme;

/// Draws it where it is open.
pub(super) fn blind_ui(ctx: &egui::Context, state: &State, commands: &mut Commands) {
    let Some(asked) = &state.blind else { return };
    let entered = ctx.input(|i| i.key_pressed(egui::Key::Enter)) && !ctx.egui_wants_keyboard_input();
    let modal = egui::Modal::new(egui::Id::unique("blind")).show(ctx, |ui| {
        ui.set_width(theme::BLIND_WIDTH);
        ui.strong("A blind listening test on this store");
        ui.add_space(theme::GAP);
        let mut draft = asked.clone();
        question_ui(ui, &mut draft);
        material_ui(ui, state, &mut draft);
        ui.add_space(theme::GAP);
        ui.weak(estimate(&draft));
        ui.add(egui::Label::new(egui::RichText::new(draft.out.display().to_string()).weak()).truncate());
        if draft != *asked {
            commands.send(Command::DraftBlind(Some(draft.clone())));
        }
        ui.horizontal(|ui| {
            let missing = draft.missing();
            let ready = missing.is_none();
            let button = ui.add_enabled(ready, egui::Button::new("Make the test")).on_hover_text("Renders the sounds, then opens the room");
            if button.clicked() || (entered && ready) {
                commands.send(Command::Start(Task::Blind(draft.clone())));
            }
            if ui.button("Cancel").clicked() {
                commands.send(Command::DraftBlind(None));
            }
            if let Some(missing) = missing {
                ui.weak(missing);
            }
        });
    });
    if modal.should_close() {
        commands.send(Command::DraftBlind(None));
    }
}

/// A name at the left, and what belongs to it beside it, in as many lines as it takes.
fn row(ui: &mut egui::Ui, name: &str, content: impl FnOnce(&mut egui::Ui)) {
    ui.horizontal_top(|ui| {
        let (cell, _) = ui.allocate_exact_size(egui::vec2(theme::BLIND_NAMES_WIDTH, ui.spacing().interact_size.y), egui::Sense::hover());
        let mut name_ui = ui.new_child(egui::UiBuilder::new().max_rect(cell).layout(egui::Layout::left_to_right(egui::Align::Center)));
        name_ui.label(name);
        ui.vertical(|ui| {
            ui.set_width(ui.available_width());
            content(ui);
        });
    });
    ui.add_space(theme::GAP * 0.5);
}

fn question_ui(ui: &mut egui::Ui, draft: &mut BlindDraft) {
    row(ui, "Listener", |ui| {
        ui.add(egui::TextEdit::singleline(&mut draft.listener).desired_width(theme::PROGRESS_WIDTH)).accessible_name("Listener");
    });
    row(ui, "Question", |ui| {
        ui.horizontal_wrapped(|ui| {
            for (kind, name, explanation) in Kind::ALL {
                if ui.selectable_label(draft.kind == kind, name).on_hover_text(explanation).clicked() {
                    draft.ask(kind);
                }
            }
        });
        let (.., explanation) = draft.kind.row();
        ui.weak(explanation);
    });
    if draft.kind != Kind::Preference {
        row(ui, "Reference", |ui| {
            ui.horizontal(|ui| {
                for (reference, name) in [(Rendition::Truth, "decoded ground truth"), (Rendition::Recording, "recording")] {
                    ui.radio_value(&mut draft.reference, reference, name).on_hover_text(reference.explanation());
                }
            });
        });
    }
    if draft.kind.is_adaptive() {
        row(ui, "What varies", |ui| {
            for axis in Axis::ALL {
                ui.radio_value(&mut draft.axis, axis, axis.label());
            }
        });
        return;
    }
    row(ui, "Compared", |ui| {
        ui.horizontal_wrapped(|ui| {
            let reference = draft.reference;
            for rendition in BlindDraft::offered().into_iter().filter(|r| *r != reference) {
                let chosen = draft.tested.contains(&rendition);
                if ui.selectable_label(chosen, rendition.name()).on_hover_text(rendition.explanation()).clicked() {
                    draft.toggle(rendition);
                }
            }
        });
    });
}

fn material_ui(ui: &mut egui::Ui, state: &State, draft: &mut BlindDraft) {
    if draft.kind.counts_trials() {
        let per = match draft.kind {
            Kind::Staircase | Kind::Bayesian => "Trials",
            Kind::Preference => "Trials a pair",
            Kind::Sequential => "Trials at most",
            _ => "Trials a condition",
        };
        row(ui, per, |ui| {
            ui.add(DragValue::new(&mut draft.n_trials).range(5..=200)).accessible_name(per);
        });
    }
    row(ui, "Utterances", |ui| {
        ui.horizontal(|ui| {
            ui.add(DragValue::new(&mut draft.material.n_items).range(1..=100)).accessible_name("Utterances");
            ui.label("of unseen voices, none longer than");
            ui.add(DragValue::new(&mut draft.material.max_duration_sec).range(1.0..=30.0).suffix(" s").max_decimals(1))
                .accessible_name("Longest utterance");
        });
    });
    row(ui, "Predictor", |ui| {
        let name = state.sessions.get(draft.store).map_or_else(String::new, |s| s.predictor_name(draft.predictor));
        ui.label(name).on_hover_text("The one of the rollout, with its settings");
    });
    row(ui, "Loudness", |ui| {
        ui.horizontal(|ui| {
            ui.radio_value(&mut draft.loudness, Loudness::Matched, "matched")
                .on_hover_text("By gain only, down to the quietest of an item; the gains are logged");
            ui.radio_value(&mut draft.loudness, Loudness::Unmatched, "as it is")
                .on_hover_text("A wrong magnitude may change the level, and then that is the effect");
        });
    });
    row(ui, "Practice", |ui| {
        ui.add(DragValue::new(&mut draft.n_training).range(0..=20).suffix(" trials")).accessible_name("Practice trials");
    });
}

/// How long it will take, and what it can show.
fn estimate(draft: &BlindDraft) -> String {
    let n = draft.n_scored();
    // Some fifteen seconds a choice; a page of ratings takes longer by the sound.
    let seconds = match draft.kind {
        Kind::Mushra => n * 20 * (draft.tested.len() as u32 + 3),
        Kind::TripleStimulus => n * 40,
        _ => n * 15,
    };
    let minutes = (f64::from(seconds) / 60.0).ceil();
    let long = if minutes > 30.0 { "; longer than 30 minutes tires the ear" } else { "" };
    format!("{n} scored trials, about {minutes:.0} minutes{long}.")
}
