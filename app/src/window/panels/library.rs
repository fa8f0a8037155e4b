//! Left: what there is to look at. Utterances by side of the split, predictors by family and horizon.

use driftscope_core::context::Side;
use driftscope_core::predict::PredictorInfo;
use eframe::egui;

use crate::window::command::{Command, Commands};
use crate::window::session::Session;
use crate::window::state::State;

/// Draws the library.
pub fn library_ui(ui: &mut egui::Ui, state: &State, commands: &mut Commands) {
    let Some(session) = &state.session else { return };
    egui::ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        ui.strong("Predictors");
        predictors_ui(ui, state, session, commands);
        ui.separator();
        for (side, title, hint) in [
            (Side::Eval, "Unseen voices", "Evaluation side: no fit has seen these speakers"),
            (Side::Train, "Training voices", "Training side: predictors were fitted on these; numbers from them flatter"),
        ] {
            ui.strong(title).on_hover_text(hint);
            for (i, utterance) in session.corpus.utterances.iter().enumerate().filter(|(_, u)| u.side == side) {
                let seconds = utterance.latents.n_frames() as f64 * session.frame_sec();
                let text = format!("{} · {seconds:.1} s", utterance.id);
                let hint = format!("{text}\nSpeaker {}, {} frames", utterance.speaker, utterance.latents.n_frames());
                let button = ui.add(egui::Button::selectable(i == state.choice.utterance, text).truncate());
                if button.on_hover_text(hint).clicked() {
                    commands.send(Command::ChooseUtterance(i));
                }
            }
            ui.add_space(crate::window::theme::GAP);
        }
    });
}

fn predictors_ui(ui: &mut egui::Ui, state: &State, session: &Session, commands: &mut Commands) {
    for (i, predictor) in session.predictors.iter().enumerate().filter(|(_, p)| p.info.horizon == 1) {
        let button = ui.selectable_label(i == state.choice.predictor, predictor_name(&predictor.info));
        if button.on_hover_text(predictor_card(&predictor.info)).clicked() {
            commands.send(Command::ChoosePredictor(i));
        }
    }
    if session.has_makeshift_predictor() {
        ui.weak(
            "A ridge, fitted just now on the training side. For others put checkpoints into the folder “predictors” beside the store, or \
             start with --predictor.",
        );
    }
    let direct: Vec<String> = session.predictors.iter().filter(|p| p.info.horizon > 1).map(|p| predictor_name(&p.info)).collect();
    if !direct.is_empty() {
        ui.weak(format!("{} direct, for the skyline", direct.len())).on_hover_text(direct.join("\n"));
    }
}

/// "MDN k=1".
pub(super) fn predictor_name(info: &PredictorInfo) -> String {
    let kind = match info.kind.as_str() {
        "mdn" => "MDN",
        "vmf" => "vMF × LogNormal",
        "linear" => "Ridge",
        "persistence" => "Persistence",
        "climatology" => "Climatology",
        other => other,
    };
    format!("{kind} k={}", info.horizon)
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
