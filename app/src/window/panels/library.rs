//! Left: what there is to look at. Stores, predictors by family and horizon, kept rollouts, utterances by side of the split.

use driftscope_core::context::Side;
use driftscope_core::predict::PredictorInfo;
use eframe::egui;

use super::swatch_ui;
use crate::window::command::{Command, Commands};
use crate::window::curves::Line;
use crate::window::session::{Session, predictor_name};
use crate::window::state::State;
use crate::window::theme;
use crate::window::view::Comparand;

/// Draws the library.
pub fn library_ui(ui: &mut egui::Ui, state: &State, commands: &mut Commands) {
    let Some(session) = state.session() else { return };
    if state.sessions.len() > 1 {
        ui.strong("Stores");
        for (i, open) in state.sessions.iter().enumerate() {
            let text = format!("{} · {} utterances", open.name, open.corpus.utterances.len());
            let hint = open.path.as_ref().map_or_else(|| "The embedded demo".to_owned(), |path| path.display().to_string());
            let button = ui.add(egui::Button::selectable(i == state.choice().store, text).truncate());
            if button.on_hover_text(hint).accessible_name(format!("Store {}", open.name)).clicked() {
                commands.send(Command::ChooseStore(i));
            }
        }
        ui.separator();
    }
    ui.strong("Predictors").on_hover_text("Click to roll out with one; tick to compare several on the same segments");
    predictors_ui(ui, state, session, commands);
    if !state.view.branches.is_empty() {
        ui.separator();
        branches_ui(ui, state, commands);
    }
    ui.separator();
    utterances_ui(ui, state, session, commands);
}

/// Only the rows in view are laid out: a store may hold tens of thousands.
fn utterances_ui(ui: &mut egui::Ui, state: &State, session: &Session, commands: &mut Commands) {
    const SIDES: [(Side, &str, &str); 2] = [
        (Side::Eval, "Unseen voices", "Evaluation side: no fit has seen these speakers"),
        (Side::Train, "Training voices", "Training side: predictors were fitted on these; numbers from them flatter"),
    ];
    /// A heading or an utterance.
    enum Row {
        Heading(usize),
        Utterance(usize),
    }
    let mut rows = Vec::new();
    for (heading, (side, ..)) in SIDES.iter().enumerate() {
        rows.push(Row::Heading(heading));
        rows.extend((0..session.corpus.utterances.len()).filter(|i| session.corpus.utterances[*i].side == *side).map(Row::Utterance));
    }
    let height = ui.spacing().interact_size.y;
    egui::ScrollArea::vertical().auto_shrink(false).show_rows(ui, height, rows.len(), |ui, range| {
        for row in &rows[range] {
            match row {
                Row::Heading(heading) => {
                    let (_, title, hint) = SIDES[*heading];
                    ui.strong(title).on_hover_text(hint);
                }
                Row::Utterance(i) => utterance_ui(ui, state, session, *i, commands),
            }
        }
    });
}

fn utterance_ui(ui: &mut egui::Ui, state: &State, session: &Session, i: usize, commands: &mut Commands) {
    let utterance = &session.corpus.utterances[i];
    let seconds = utterance.latents.n_frames() as f64 * session.frame_sec();
    let text = format!("{} · {seconds:.1} s", utterance.id);
    let hint = format!("{text}\nSpeaker {}, {} frames", utterance.speaker, utterance.latents.n_frames());
    let button = ui.add(egui::Button::selectable(i == state.choice().utterance, &text).truncate());
    if button.on_hover_text(hint).accessible_name(text).clicked() {
        commands.send(Command::ChooseUtterance(i));
    }
}

fn predictors_ui(ui: &mut egui::Ui, state: &State, session: &Session, commands: &mut Commands) {
    let store = state.choice().store;
    for (i, predictor) in session.predictors.iter().enumerate().filter(|(_, p)| p.info.horizon == 1) {
        ui.horizontal(|ui| {
            let comparand = Comparand { store, predictor: i };
            let name = session.predictor_name(i);
            let mut compared = state.view.comparands.contains(&comparand);
            let tick = ui.checkbox(&mut compared, "").on_hover_text("Compare it (see Compare)");
            if tick.accessible_name(format!("Compare {name}")).clicked() {
                commands.send(Command::ToggleComparand(comparand));
                commands.send(Command::ShowPane(crate::window::layout::Pane::Compare));
            }
            if compared {
                swatch_ui(ui, theme::line_color(Line::Comparand(comparand), ui.visuals()));
            }
            let button = ui.add(egui::Button::selectable(i == state.choice().predictor, &name).truncate());
            if button.on_hover_text(predictor_card(&predictor.info)).accessible_name(name).clicked() {
                commands.send(Command::ChoosePredictor(i));
            }
        });
    }
    if session.has_makeshift_predictor() {
        ui.weak(
            "A ridge, fitted just now on the training side. For others put checkpoints into the folder “predictors” beside the store, drop \
             one on the window, or fit one (File).",
        );
    }
    let direct: Vec<String> = session.predictors.iter().filter(|p| p.info.horizon > 1).map(|p| predictor_name(&p.info)).collect();
    if !direct.is_empty() {
        ui.weak(format!("{} direct, for the skyline", direct.len())).on_hover_text(direct.join("\n"));
    }
}

fn branches_ui(ui: &mut egui::Ui, state: &State, commands: &mut Commands) {
    ui.strong("Branches").on_hover_text("Kept rollouts. Double-click takes one's settings; the field names it");
    for branch in &state.view.branches {
        ui.horizontal(|ui| {
            swatch_ui(ui, theme::line_color(Line::Branch(branch.id), ui.visuals()));
            let mut name = branch.name.clone();
            let width = (ui.available_width() - theme::GAP * 4.0).max(theme::GAP * 6.0);
            let edit =
                ui.add(egui::TextEdit::singleline(&mut name).desired_width(width)).accessible_name(format!("Name of branch {}", branch.id));
            if edit.changed() {
                commands.send(Command::RenameBranch(branch.id, name));
            }
            if edit.double_clicked() {
                commands.send(Command::AdoptBranch(branch.id));
            }
            edit.on_hover_text(branch_card(branch));
            if ui.small_button("×").on_hover_text("Drop it").accessible_name(format!("Drop {}", branch.name)).clicked() {
                commands.send(Command::DropBranch(branch.id));
            }
        });
    }
}

fn branch_card(branch: &crate::window::view::Branch) -> String {
    let mut lines = vec![format!("From frame {}, {}", branch.choice.t0, crate::window::caption::advance(&branch.choice.config))];
    for pull in &branch.pulls {
        let by: Vec<String> = pull.by.iter().map(|x| format!("{x:+.2}")).collect();
        lines.push(format!("Pulled after step {} by ({}) along the principal components", pull.step, by.join(", ")));
    }
    lines.join("\n")
}

/// What is known about a predictor, line by line.
fn predictor_card(info: &PredictorInfo) -> String {
    let mut lines = vec![format!("{}, window {}, {} dimensions", predictor_name(info), info.window, info.dim)];
    if info.peer {
        lines.push("Loaded as the audioEngram scripts wrote it: raw inputs, hard clamps without gradient beyond them".into());
    }
    if info.provenance.steps > 0 {
        lines.push(format!("{} optimizer steps, seed {}", info.provenance.steps, info.provenance.seed));
    }
    if !info.hash.is_empty() {
        lines.push(format!("blake3 {}", &info.hash[..info.hash.len().min(12)]));
    }
    lines.join("\n")
}
