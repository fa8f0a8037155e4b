//! Questions that lie over the window: quitting while a job runs, a layout's name, the settings of a fit or an encoding; and the list of
//! keys.

use driftscope_core::codec::{CodecKind, EncodecFrames};
use driftscope_core::predict::PredictorKind;
use eframe::egui::{self, DragValue};

use crate::window::actions::{actions, keys_text};
use crate::window::command::{Ask, Command, Commands};
use crate::window::jobs::{EncodeDraft, FitDraft, Status, Task};
use crate::window::state::State;
use crate::window::theme;

/// Draws those that are open.
pub(super) fn dialogs_ui(ctx: &egui::Context, state: &State, commands: &mut Commands) {
    if state.quitting {
        quitting_ui(ctx, state, commands);
    }
    if let Some(name) = &state.naming {
        naming_ui(ctx, name, commands);
    }
    if let Some(fit) = &state.fit {
        fit_ui(ctx, state, fit, commands);
    }
    if let Some(draft) = &state.encode {
        encode_ui(ctx, draft, commands);
    }
    if let Some((path, listener)) = &state.visit {
        visit_ui(ctx, path, listener, commands);
    }
    if state.keys {
        keys_ui(ctx, state, commands);
    }
}

fn quitting_ui(ctx: &egui::Context, state: &State, commands: &mut Commands) {
    let running: Vec<_> = state.jobs.iter().filter(|j| j.status == Status::Running).collect();
    let modal = egui::Modal::new(egui::Id::unique("quitting")).show(ctx, |ui| {
        ui.set_width(theme::DIALOG_WIDTH);
        ui.strong("Quit while work is under way?");
        for job in &running {
            let after = if job.task.resumes() { "is stopped and kept; it can be resumed at the next start" } else { "is given up" };
            ui.label(format!("{} {after}.", job.task.title()));
        }
        ui.horizontal(|ui| {
            if ui.button("Keep working").clicked() {
                commands.send(Command::KeepOpen);
            }
            if ui.button("Stop and quit").clicked() {
                commands.send(Command::QuitNow);
            }
        });
    });
    if modal.should_close() || running.is_empty() {
        commands.send(Command::KeepOpen);
    }
}

fn naming_ui(ctx: &egui::Context, name: &str, commands: &mut Commands) {
    let modal = egui::Modal::new(egui::Id::unique("naming")).show(ctx, |ui| {
        ui.set_width(theme::DIALOG_WIDTH);
        ui.strong("Keep this arrangement of panes as");
        let mut text = name.to_owned();
        let edit = ui.add(egui::TextEdit::singleline(&mut text).desired_width(f32::INFINITY)).accessible_name("Name of the layout");
        let entered = edit.lost_focus() && ui.input(|i| i.key_pressed(egui::Key::Enter));
        if !entered {
            edit.request_focus();
        }
        if edit.changed() {
            commands.send(Command::NameLayout(Some(text.clone())));
        }
        let usable = !text.trim().is_empty();
        if ui.add_enabled(usable, egui::Button::new("Keep")).clicked() || (entered && usable) {
            commands.send(Command::SaveLayout(text.trim().to_owned()));
        }
    });
    if modal.should_close() {
        commands.send(Command::NameLayout(None));
    }
}

fn fit_ui(ctx: &egui::Context, state: &State, fit: &FitDraft, commands: &mut Commands) {
    // Asked before the fields are drawn: the Enter that ends a number's editing is that number's.
    let entered = ctx.input(|i| i.key_pressed(egui::Key::Enter)) && !ctx.egui_wants_keyboard_input();
    let modal = egui::Modal::new(egui::Id::unique("fit")).show(ctx, |ui| {
        ui.set_width(theme::DIALOG_WIDTH);
        let store = state.sessions.get(fit.store).map_or("?", |s| s.name.as_str());
        ui.strong(format!("Fit a predictor on the training side of {store}"));
        let mut draft = fit.clone();
        egui::Grid::new("fit").num_columns(2).show(ui, |ui| {
            ui.label("Family");
            ui.horizontal(|ui| {
                for (kind, name) in [(PredictorKind::Mdn, "MDN"), (PredictorKind::Vmf, "vMF × LogNormal"), (PredictorKind::Linear, "Ridge")]
                {
                    ui.selectable_value(&mut draft.kind, kind, name);
                }
            });
            ui.end_row();
            ui.label("Horizon k");
            ui.add(DragValue::new(&mut draft.horizon).range(1..=16))
                .accessible_name("Horizon k")
                .on_hover_text("How stale the window is; 1 can roll out, longer ones are the direct predictors of the skyline");
            ui.end_row();
            let trained = draft.kind != PredictorKind::Linear;
            ui.label("Hidden width");
            ui.add_enabled(trained, DragValue::new(&mut draft.hidden_dim).range(8..=4096)).accessible_name("Hidden width");
            ui.end_row();
            ui.label("Optimizer steps");
            ui.add_enabled(trained, DragValue::new(&mut draft.max_steps).range(1..=1_000_000).speed(50)).accessible_name("Optimizer steps");
            ui.end_row();
        });
        ui.weak(draft.out.display().to_string());
        if draft != *fit {
            if (draft.kind, draft.horizon) != (fit.kind, fit.horizon) {
                draft.rename();
            }
            commands.send(Command::DraftFit(Some(draft.clone())));
        }
        ui.horizontal(|ui| {
            if ui.button("Fit").clicked() || entered {
                commands.send(Command::Start(Task::Fit(draft.clone())));
            }
            if ui.button("Cancel").clicked() {
                commands.send(Command::DraftFit(None));
            }
        });
    });
    if modal.should_close() {
        commands.send(Command::DraftFit(None));
    }
}

fn encode_ui(ctx: &egui::Context, asked: &EncodeDraft, commands: &mut Commands) {
    let entered = ctx.input(|i| i.key_pressed(egui::Key::Enter)) && !ctx.egui_wants_keyboard_input();
    let modal = egui::Modal::new(egui::Id::unique("encode")).show(ctx, |ui| {
        ui.set_width(theme::DIALOG_WIDTH);
        ui.strong("Make a store of recordings");
        let mut draft = asked.clone();
        egui::Grid::new("encode").num_columns(2).show(ui, |ui| {
            ui.label("Recordings");
            ui.add(egui::Label::new(draft.audio.display().to_string()).truncate()).on_hover_text(draft.audio.display().to_string());
            ui.end_row();
            ui.label("Codec");
            ui.horizontal(|ui| {
                for codec in CodecKind::ALL {
                    if ui.selectable_label(draft.codec == codec, codec_name(codec)).on_hover_text(codec_text(codec)).clicked() {
                        draft.choose(codec);
                    }
                }
            });
            ui.end_row();
            if draft.codec == CodecKind::Encodec {
                ui.label("Frames");
                ui.vertical(|ui| {
                    for (frames, name) in [
                        (EncodecFrames::Native, "75 Hz × 128"),
                        (EncodecFrames::Stacked, "12.5 Hz × 768, six stacked (lossless)"),
                        (EncodecFrames::MeanRepeated, "12.5 Hz × 128, mean of six (lossy)"),
                    ] {
                        ui.radio_value(&mut draft.frames, frames, name);
                    }
                });
                ui.end_row();
            }
            if draft.codec != CodecKind::Demo {
                ui.label("Weights");
                ui.horizontal(|ui| {
                    if ui.button("Choose…").clicked() {
                        commands.send(Command::AskOpen(Ask::Weights));
                    }
                    let text = draft.weights.as_ref().map_or_else(
                        || format!("not on this machine; `driftscope fetch {}` downloads them", draft.codec),
                        |path| path.display().to_string(),
                    );
                    ui.add(egui::Label::new(&text).truncate()).on_hover_text(text.as_str());
                });
                ui.end_row();
            }
        });
        ui.weak(format!("{}; a store that is there is continued", draft.out.display()));
        if draft != *asked {
            commands.send(Command::DraftEncode(Some(draft.clone())));
        }
        ui.horizontal(|ui| {
            if ui.add_enabled(draft.is_complete(), egui::Button::new("Encode")).clicked() || (entered && draft.is_complete()) {
                commands.send(Command::Start(Task::Encode(draft.clone())));
            }
            if ui.button("Cancel").clicked() {
                commands.send(Command::DraftEncode(None));
            }
        });
    });
    if modal.should_close() {
        commands.send(Command::DraftEncode(None));
    }
}

fn visit_ui(ctx: &egui::Context, path: &std::path::Path, listener: &str, commands: &mut Commands) {
    let modal = egui::Modal::new(egui::Id::unique("visit")).show(ctx, |ui| {
        ui.set_width(theme::DIALOG_WIDTH);
        ui.strong("Who listens?");
        ui.label("Whoever has begun this test goes on where the log ends.");
        let mut name = listener.to_owned();
        let edit = ui.add(egui::TextEdit::singleline(&mut name).desired_width(f32::INFINITY)).accessible_name("Listener");
        let entered = edit.lost_focus() && ui.input(|i| i.key_pressed(egui::Key::Enter));
        if !entered {
            edit.request_focus();
        }
        if edit.changed() {
            commands.send(Command::Visit(Some((path.to_owned(), name.clone()))));
        }
        let usable = !name.trim().is_empty();
        if ui.add_enabled(usable, egui::Button::new("Enter")).clicked() || (entered && usable) {
            commands.send(Command::EnterRoom(path.to_owned(), name.trim().to_owned()));
        }
    });
    if modal.should_close() {
        commands.send(Command::Visit(None));
    }
}

fn codec_name(codec: CodecKind) -> &'static str {
    match codec {
        CodecKind::Demo => "Demo",
        CodecKind::Mimi => "Mimi",
        CodecKind::Encodec => "EnCodec",
        CodecKind::Calm => "CALM",
    }
}

fn codec_text(codec: CodecKind) -> &'static str {
    match codec {
        CodecKind::Demo => "The embedded codec: 16 kHz speech, 12.5 Hz × 64",
        CodecKind::Mimi => "Kyutai's Mimi: 24 kHz, 12.5 Hz × 512, before the quantizer",
        CodecKind::Encodec => "EnCodec 24 kHz: 75 Hz × 128, before the quantizer",
        CodecKind::Calm => "The VAE of CALM and pocket-tts: 24 kHz, 12.5 Hz × 32",
    }
}

fn keys_ui(ctx: &egui::Context, state: &State, commands: &mut Commands) {
    let modal = egui::Modal::new(egui::Id::unique("keys")).show(ctx, |ui| {
        ui.strong("Keys");
        let height = ctx.content_rect().height() * theme::DIALOG_SHARE - theme::GAP * 10.0;
        egui::ScrollArea::both().max_height(height).show(ui, |ui| keys_grid(ui, state));
        ui.weak("On the timeline: scroll zooms, shift+scroll moves, double-click shows all. On the curves the same. Shift+Tab walks through the controls.");
        if ui.button("Close").clicked() {
            commands.send(Command::ToggleKeys);
        }
    });
    if modal.should_close() {
        commands.send(Command::ToggleKeys);
    }
}

fn keys_grid(ui: &mut egui::Ui, state: &State) {
    egui::Grid::new("keys").num_columns(4).spacing(egui::vec2(theme::GAP * 2.0, 2.0)).show(ui, |ui| {
        let all: Vec<_> = actions(state).into_iter().filter(|a| a.keys.is_some()).collect();
        for pair in all.chunks(2) {
            for action in pair {
                if let Some(keys) = &action.keys {
                    ui.monospace(keys_text(keys));
                    ui.label(action.name.rsplit_once(": ").map_or(action.name.as_str(), |(_, name)| name));
                }
            }
            ui.end_row();
        }
    });
}
