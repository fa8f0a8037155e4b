//! Play, loop, and one button for each source; the keys 1…8 do the same.

use eframe::egui;

use super::swatch_ui;
use crate::window::command::{Command, Commands};
use crate::window::source::Source;
use crate::window::state::{SoundState, State};
use crate::window::theme;

/// Draws the transport.
pub fn transport_ui(ui: &mut egui::Ui, state: &State, commands: &mut Commands) {
    ui.horizontal_centered(|ui| {
        let (glyph, name) = if state.playing { ("Ⅱ", "Pause") } else { ("▶", "Play") };
        let play = ui.add(egui::Button::new(glyph).min_size(egui::Vec2::splat(ui.spacing().interact_size.y)));
        if play.on_hover_text("Space").accessible_name(name).clicked() {
            commands.send(Command::TogglePlay);
        }
        let looping = ui.selectable_label(state.looping, "↻").on_hover_text("Repeat the rollout's stretch (L)");
        if looping.accessible_name("Loop").clicked() {
            commands.send(Command::ToggleLoop);
        }
        ui.monospace(readout(state)).on_hover_text("Time, frame and rollout step at the cursor (←/→ one frame, shift one second)");
        ui.separator();
        for source in Source::ALL {
            source_ui(ui, state, source, commands);
        }
    });
}

/// "0:01.28  frame 16  step 3".
pub(super) fn readout(state: &State) -> String {
    let step = state.cursor_step().map_or_else(|| "–".to_owned(), |s| s.to_string());
    let (minutes, seconds) = ((state.position_sec / 60.0).floor(), state.position_sec % 60.0);
    format!("{minutes:.0}:{seconds:05.2}  frame {:>3}  step {step:>2}", state.cursor_frame())
}

fn source_ui(ui: &mut egui::Ui, state: &State, source: Source, commands: &mut Commands) {
    let sound = state.sound(source);
    let (enabled, remark) = match sound {
        SoundState::Ready(_) => (true, String::new()),
        SoundState::Computing => (true, "Computing.".into()),
        SoundState::Absent(reason) => (false, format!("Not here: {reason}.")),
    };
    ui.scope(|ui| {
        ui.spacing_mut().item_spacing.x = theme::GAP * 0.25;
        swatch_ui(ui, theme::source_color(source, ui.visuals()));
        let text = egui::RichText::new(format!("{} {}", source.key_number(), source.name()));
        let text = if matches!(sound, SoundState::Computing) { text.weak().italics() } else { text };
        let button = ui.add_enabled(enabled, egui::Button::selectable(state.source == source, text));
        let hint = format!("{} {remark}", source.explanation());
        if button.on_hover_text(&hint).on_disabled_hover_text(hint).accessible_name(source.name()).clicked() {
            commands.send(Command::Listen(source));
        }
    });
}
