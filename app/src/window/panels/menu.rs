//! The top row: menus, what is open, the device and its speed, the output.

use eframe::egui::{self, RichText};

use super::About;
use crate::window::actions::{Action, Menu, actions, keys_text};
use crate::window::command::{Command, Commands};
use crate::window::state::State;
use crate::window::theme;

/// Draws it.
pub(super) fn status_ui(ui: &mut egui::Ui, state: &State, about: &About<'_>, commands: &mut Commands) {
    egui::MenuBar::new().ui(ui, |ui| {
        for (menu, name) in Menu::BAR {
            ui.menu_button(name, |ui| menu_ui(ui, state, menu, commands));
        }
        ui.separator();
        ui.strong("Driftscope");
        let name = state.session().map_or("", |s| s.name.as_str());
        ui.weak(name);
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            theme_ui(ui, state, commands);
            let palette = ui.small_button("ctrl+K").on_hover_text("Everything that can be asked for, by name");
            if palette.accessible_name("Palette").clicked() {
                commands.send(Command::TogglePalette);
            }
            if ui.ctx().content_rect().width() > theme::WIDTH_OF_STATUS {
                ui.separator();
                output_ui(ui, state);
                ui.separator();
                let hint = format!("Device, a step of the live rollout, and time from the last change to new curves\n{}", about.pace);
                ui.small(speed(state, about.device)).on_hover_text(hint);
            }
            if state.n_running() > 0 {
                ui.separator();
                jobs_ui(ui, state, commands);
            }
        });
    });
}

fn speed(state: &State, device: &str) -> String {
    match &state.rolled {
        Some(rolled) if state.is_current() => {
            // Small rollouts may be computed beside the GPU.
            let path = if rolled.live.on_gpu || device.starts_with("CPU") { "" } else { "on the CPU " };
            format!("{device} · {path}{:.0} µs a step · {:.0} ms", rolled.step_us, rolled.milliseconds)
        }
        _ => format!("{device} · computing"),
    }
}

fn jobs_ui(ui: &mut egui::Ui, state: &State, commands: &mut Commands) {
    let share = state.jobs.iter().rev().find_map(|j| j.share().filter(|_| j.status == crate::window::jobs::Status::Running));
    let text = share.map_or_else(|| format!("{} running", state.n_running()), |s| format!("job {:.0} %", 100.0 * s));
    if ui.small_button(text).on_hover_text("Show the jobs").accessible_name("Jobs running").clicked() {
        commands.send(Command::ShowPane(crate::window::layout::Pane::Jobs));
    }
}

/// Where sound goes, and how well; a click lists where else it could.
fn output_ui(ui: &mut egui::Ui, state: &State) {
    let output = &state.output;
    let glitches = if output.glitches > 0 { format!(" · {} underruns", output.glitches) } else { String::new() };
    let name = if output.name.chars().count() > 28 {
        format!("{}…", output.name.chars().take(27).collect::<String>())
    } else {
        output.name.clone()
    };
    let text = RichText::new(format!("{name}{glitches}")).small();
    let text = if output.glitches > 0 { text.color(theme::warning()) } else { text };
    let hint = format!(
        "Where sound goes: {}\n{} Hz, latency {:.0} ms, {} underruns\nAnother output: ctrl+K, \"output\"",
        output.name,
        output.rate_hz,
        1e3 * output.latency_sec,
        output.glitches
    );
    ui.label(text).on_hover_text(hint);
}

fn theme_ui(ui: &mut egui::Ui, state: &State, commands: &mut Commands) {
    use egui::ThemePreference as T;
    let (next, name) = match state.view.theme {
        T::System => (T::Dark, "Theme: system"),
        T::Dark => (T::Light, "Theme: dark"),
        T::Light => (T::System, "Theme: light"),
    };
    if ui.small_button(name).on_hover_text("Dark, light, or as the system").clicked() {
        commands.send(Command::SetTheme(next));
    }
}

/// A menu; what shares the words before a colon shares a submenu.
fn menu_ui(ui: &mut egui::Ui, state: &State, menu: Menu, commands: &mut Commands) {
    let all: Vec<Action> = actions(state).into_iter().filter(|a| a.menu == menu).collect();
    let group = |action: &Action| action.name.split_once(": ").map(|(group, _)| group.to_owned());
    for run in all.chunk_by(|a, b| group(a).is_some() && group(a) == group(b)) {
        match group(&run[0]) {
            Some(group) if run.len() > 1 => {
                ui.menu_button(&group, |ui| run.iter().for_each(|a| action_ui(ui, a, &a.name[group.len() + 2..], commands)));
            }
            _ => run.iter().for_each(|a| action_ui(ui, a, &a.name, commands)),
        }
    }
}

fn action_ui(ui: &mut egui::Ui, action: &Action, name: &str, commands: &mut Commands) {
    let mut button = egui::Button::selectable(action.chosen, name);
    if let Some(keys) = &action.keys {
        button = button.shortcut_text(keys_text(keys));
    }
    if ui.add_enabled(action.enabled, button).accessible_name(&action.name).clicked() {
        commands.send(action.command.clone());
        ui.close();
    }
}
