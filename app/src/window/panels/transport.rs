//! Play, loop, and one button for each source; the keys 1…9 do the same.

use driftscope_core::perceive::{Measure, Scores};
use eframe::egui;

use super::swatch_ui;
use crate::window::command::{Command, Commands};
use crate::window::source::Source;
use crate::window::state::{SoundState, State};
use crate::window::theme;

/// Draws the transport.
pub fn transport_ui(ui: &mut egui::Ui, state: &State, commands: &mut Commands) {
    ui.horizontal_wrapped(|ui| {
        let (glyph, name) = if state.playing { ("Ⅱ", "Pause") } else { ("▶", "Play") };
        let play = ui.add(egui::Button::new(glyph).min_size(egui::Vec2::splat(ui.spacing().interact_size.y)));
        if play.on_hover_text("Space").accessible_name(name).clicked() {
            commands.send(Command::TogglePlay);
        }
        let (from, to) = state.loop_sec();
        let whose = if state.view.loop_sec.is_some() { "the chosen stretch" } else { "the rollout's stretch" };
        let hint = format!("Repeat {whose}, {from:.2} to {to:.2} s (L; [ and ] set its ends at the cursor)");
        if ui.selectable_label(state.view.looping, "↻").on_hover_text(hint).accessible_name("Loop").clicked() {
            commands.send(Command::ToggleLoop);
        }
        let gain = if state.view.match_loudness { format!("{:+.1} dB", state.output.gain_db) } else { "match dB".to_owned() };
        let hint = "Play every source as loud as the ground truth (integrated loudness after EBU R128, one gain a source), or as it is (M)";
        if ui.selectable_label(state.view.match_loudness, gain).on_hover_text(hint).accessible_name("Match loudness").clicked() {
            commands.send(Command::ToggleLoudness);
        }
        ui.monospace(readout(state)).on_hover_text("Time, frame and rollout step at the cursor (←/→ one frame, shift one second)");
        ui.separator();
        for source in state.view.sources().into_iter().filter(|s| !matches!(s, Source::Splice(_))) {
            source_ui(ui, state, source, &label(state, source), commands);
        }
        ui.separator();
        // As high as a button, so that a row that begins here stands on one line.
        ui.allocate_exact_size(egui::vec2(0.0, ui.spacing().interact_size.y), egui::Sense::hover());
        ui.label("Splice").on_hover_text("Ground truth, then so many steps of the rollout, then ground truth again: heard in place");
        for source in Source::SPLICES {
            if let Source::Splice(steps) = source {
                source_ui(ui, state, source, &steps.to_string(), commands);
            }
        }
    });
}

fn label(state: &State, source: Source) -> String {
    let name = state.source_name(source);
    source.key_number().map_or_else(|| name.clone(), |key| format!("{key} {name}"))
}

/// "0:01.28  frame 16  step 3".
pub(super) fn readout(state: &State) -> String {
    let step = state.cursor_step().map_or_else(|| "–".to_owned(), |s| s.to_string());
    let (minutes, seconds) = ((state.position_sec / 60.0).floor(), state.position_sec % 60.0);
    format!("{minutes:.0}:{seconds:05.2}  frame {:>3}  step {step:>2}", state.cursor_frame())
}

/// "STOI 0.93, PESQ-WB 3.1".
fn measured(scores: &Scores) -> String {
    let numbers = [Measure::Stoi, Measure::PesqWideBand].map(|m| scores.value(m).map(|value| format!("{} {value:.2}", m.name())));
    let numbers: Vec<String> = numbers.into_iter().flatten().collect();
    if numbers.is_empty() { String::new() } else { format!("\n{}", numbers.join(", ")) }
}

fn source_ui(ui: &mut egui::Ui, state: &State, source: Source, label: &str, commands: &mut Commands) {
    let sound = state.sound(source);
    let (enabled, remark) = match sound {
        SoundState::Ready(_) => (true, String::new()),
        SoundState::Computing => (true, "Computing.".into()),
        SoundState::Absent(reason) => (false, format!("Not here: {reason}.")),
    };
    let text = egui::RichText::new(label);
    let text = if matches!(sound, SoundState::Computing) { text.weak().italics() } else { text };
    // Swatch and name stay on one row.
    let extent =
        egui::WidgetText::from(text.clone()).into_galley(ui, Some(egui::TextWrapMode::Extend), f32::INFINITY, egui::TextStyle::Button);
    if ui.available_size_before_wrap().x < theme::SWATCH + theme::GAP * 2.0 + extent.size().x {
        ui.end_row();
    }
    ui.scope(|ui| {
        ui.spacing_mut().item_spacing.x = theme::GAP * 0.25;
        swatch_ui(ui, theme::source_color(source, ui.visuals()));
        let button = ui.add_enabled(enabled, egui::Button::selectable(state.view.source == source, text));
        let loudness = match sound {
            SoundState::Ready(sound) => sound.loudness_lufs.map_or_else(String::new, |l| format!("\n{l:.1} LUFS")),
            _ => String::new(),
        };
        let measured = state.scored(source).map_or_else(String::new, |scored| measured(&scored.scores));
        let hint = format!("{} {remark}{loudness}{measured}", source.explanation());
        if button.on_hover_text(&hint).on_disabled_hover_text(hint).accessible_name(state.source_name(source)).clicked() {
            commands.send(Command::Listen(source));
        }
    });
}
