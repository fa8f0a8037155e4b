//! The palette: everything that can be asked for, found by name.

use eframe::egui::{self, Key, Modifiers};

use crate::window::actions::{Action, actions, keys_text, matching};
use crate::window::command::{Command, Commands};
use crate::window::state::State;
use crate::window::theme;

/// What fits the query; a path that is there can be opened.
fn found(state: &State, query: &str) -> Vec<Action> {
    let mut found = matching(actions(state), query);
    let path = std::path::Path::new(query.trim());
    if path.is_absolute() && path.exists() {
        found.insert(0, Action::open(path));
    }
    found
}

/// Draws it over the window, where it is open.
pub fn palette_ui(ctx: &egui::Context, state: &State, commands: &mut Commands) {
    let Some(palette) = &state.palette else { return };
    let modal = egui::Modal::new(egui::Id::unique("palette")).show(ctx, |ui| {
        ui.set_width(theme::PALETTE_WIDTH);
        let mut query = palette.query.clone();
        // Taken before the text field moves its cursor by them.
        let step = ui.input_mut(|i| {
            i64::from(i.consume_key(Modifiers::NONE, Key::ArrowDown)) - i64::from(i.consume_key(Modifiers::NONE, Key::ArrowUp))
        });
        let edit = ui.add(egui::TextEdit::singleline(&mut query).hint_text("What to do, or what to show").desired_width(f32::INFINITY));
        let edit = edit.accessible_name("Look for");
        edit.request_focus();
        if edit.changed() {
            commands.send(Command::PaletteQuery(query.clone()));
        }
        // By what is typed now: Enter may come in the same frame.
        let found = found(state, &query);
        let row = (palette.row as i64 + step).clamp(0, found.len().saturating_sub(1) as i64) as usize;
        if row != palette.row {
            commands.send(Command::PaletteRow(row));
        }
        let entered = ui.input_mut(|i| i.consume_key(Modifiers::NONE, Key::Enter));
        ui.separator();
        egui::ScrollArea::vertical().max_height(theme::PALETTE_HEIGHT).auto_shrink(false).show(ui, |ui| {
            if found.is_empty() {
                ui.weak("Nothing of that name.");
            }
            for (i, action) in found.iter().take(theme::PALETTE_ROWS).enumerate() {
                let mark = if action.chosen { "✓ " } else { "" };
                let mut button =
                    egui::Button::selectable(i == row, format!("{mark}{}", action.name)).min_size(egui::vec2(ui.available_width(), 0.0));
                if let Some(keys) = &action.keys {
                    button = button.shortcut_text(keys_text(keys));
                }
                let response = ui.add_enabled(action.enabled, button).accessible_name(&action.name);
                if i == row && step != 0 {
                    response.scroll_to_me(None);
                }
                if (response.clicked() || (entered && i == row)) && action.enabled {
                    commands.send(Command::TogglePalette);
                    commands.send(action.command.clone());
                }
            }
            if found.len() > theme::PALETTE_ROWS {
                ui.weak(format!("and {} more", found.len() - theme::PALETTE_ROWS));
            }
        });
    });
    if modal.should_close() {
        commands.send(Command::TogglePalette);
    }
}
