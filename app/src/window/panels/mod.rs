//! The panels: one file each, each a function from state to pixels and commands.
//!
//! No panel writes state or computes a number. Every widget has an accessible name, which tests and screen readers use.

mod curves;
mod inspector;
mod library;
mod marks;
mod timeline;
mod trajectory;
mod transport;

use eframe::egui::{self, Key, Modifiers};

use super::command::{Command, Commands};
use super::drawing::Drawings;
use super::source::Source;
use super::state::{Notice, State};
use super::theme;

pub use curves::curves_ui;
pub use inspector::inspector_ui;
pub use library::library_ui;
pub use timeline::timeline_ui;
pub use trajectory::trajectory_ui;
pub use transport::transport_ui;

/// The whole window.
pub fn window_ui(ui: &mut egui::Ui, state: &State, device: &str, drawings: &mut Drawings, commands: &mut Commands) {
    egui::Panel::top("status").show(ui, |ui| status_ui(ui, state, device, commands));
    if state.session.is_none() {
        egui::CentralPanel::default().show(ui, |ui| loading_ui(ui, state));
        return;
    }
    if let Some(notice) = &state.notice {
        egui::Panel::bottom("notice").show(ui, |ui| notice_ui(ui, notice, commands));
    }
    egui::Panel::top("transport").exact_size(theme::TRANSPORT_HEIGHT).show(ui, |ui| transport_ui(ui, state, commands));
    egui::Panel::left("library").default_size(theme::LIBRARY_WIDTH).show(ui, |ui| library_ui(ui, state, commands));
    egui::Panel::right("inspector").default_size(theme::INSPECTOR_WIDTH).show(ui, |ui| inspector_ui(ui, state, commands));
    egui::CentralPanel::default().show(ui, |ui| {
        let height = ui.available_height();
        let part = |ui: &mut egui::Ui, share: f32, draw: &mut dyn FnMut(&mut egui::Ui)| {
            let size = egui::vec2(ui.available_width(), (height * share).min(ui.available_height()));
            ui.allocate_ui(size, |ui| {
                ui.set_min_size(size);
                draw(ui);
            });
        };
        part(ui, theme::TIMELINE_SHARE, &mut |ui| timeline_ui(ui, state, drawings, commands));
        part(ui, theme::CURVES_SHARE, &mut |ui| curves_ui(ui, state, commands));
        part(ui, 1.0, &mut |ui| trajectory_ui(ui, state, drawings, commands));
    });
}

fn status_ui(ui: &mut egui::Ui, state: &State, device: &str, commands: &mut Commands) {
    ui.horizontal(|ui| {
        let name = state.session.as_ref().map_or("", |s| s.name.as_str());
        ui.heading("Driftscope");
        ui.weak(name);
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            theme_ui(ui, state, commands);
            ui.separator();
            ui.small(&state.output).on_hover_text("Where sound goes");
            ui.separator();
            ui.small(speed(state, device)).on_hover_text("Device, and time from the last change to new curves");
        });
    });
}

fn speed(state: &State, device: &str) -> String {
    match &state.rolled {
        Some(rolled) if state.is_current() => format!("{device} · {:.0} ms", rolled.milliseconds),
        _ => format!("{device} · computing"),
    }
}

fn theme_ui(ui: &mut egui::Ui, state: &State, commands: &mut Commands) {
    use egui::ThemePreference as T;
    let (next, name) = match state.theme {
        T::System => (T::Dark, "Theme: system"),
        T::Dark => (T::Light, "Theme: dark"),
        T::Light => (T::System, "Theme: light"),
    };
    if ui.small_button(name).on_hover_text("Dark, light, or as the system").clicked() {
        commands.send(Command::SetTheme(next));
    }
}

fn loading_ui(ui: &mut egui::Ui, state: &State) {
    ui.centered_and_justified(|ui| match &state.notice {
        Some(Notice::Problem(sentence)) => ui.colored_label(theme::warning(), sentence),
        _ => ui.label(format!("{} …", state.loading)),
    });
}

fn notice_ui(ui: &mut egui::Ui, notice: &Notice, commands: &mut Commands) {
    ui.horizontal_wrapped(|ui| {
        if ui.small_button("×").on_hover_text("Dismiss").clicked() {
            commands.send(Command::DismissNotice);
        }
        match notice {
            Notice::Done(sentence) => ui.label(sentence),
            Notice::Problem(sentence) => ui.colored_label(theme::warning(), sentence),
        };
    });
}

/// Turns keys into commands, except while text is edited.
pub fn keys(ctx: &egui::Context, commands: &mut Commands) {
    if ctx.text_edit_focused() {
        return;
    }
    const NUMBERS: [Key; 9] = [Key::Num1, Key::Num2, Key::Num3, Key::Num4, Key::Num5, Key::Num6, Key::Num7, Key::Num8, Key::Num9];
    let widget_focused = ctx.egui_wants_keyboard_input();
    ctx.input_mut(|input| {
        for (key, source) in NUMBERS.into_iter().zip(Source::ALL) {
            if input.consume_key(Modifiers::NONE, key) {
                commands.send(Command::Listen(source));
            }
        }
        if input.consume_key(Modifiers::NONE, Key::L) {
            commands.send(Command::ToggleLoop);
        }
        if input.consume_key(Modifiers::COMMAND, Key::E) {
            commands.send(Command::Export(super::command::ExportFolder::Default));
        }
        // A focused slider or button has its own use for these.
        if widget_focused {
            return;
        }
        let mut key = |modifiers, key, command| {
            if input.consume_key(modifiers, key) {
                commands.send(command);
            }
        };
        key(Modifiers::NONE, Key::Space, Command::TogglePlay);
        key(Modifiers::SHIFT, Key::ArrowLeft, Command::MoveCursorSec(-1.0));
        key(Modifiers::SHIFT, Key::ArrowRight, Command::MoveCursorSec(1.0));
        key(Modifiers::NONE, Key::ArrowLeft, Command::MoveCursor(-1));
        key(Modifiers::NONE, Key::ArrowRight, Command::MoveCursor(1));
    });
}

/// Tab goes back to the source heard before; egui would move the focus, so it is taken out before egui sees it. Shift+Tab still
/// walks through the widgets.
pub fn take_tab(ctx: &egui::Context, input: &mut egui::RawInput, commands: &mut Commands) {
    if ctx.text_edit_focused() {
        return;
    }
    input.events.retain(|event| {
        let egui::Event::Key { key: Key::Tab, pressed, modifiers, .. } = event else { return true };
        if *pressed && modifiers.is_none() {
            commands.send(Command::SwapSource);
        }
        !modifiers.is_none()
    });
}

/// A filled square in a source's or curve's color.
fn swatch_ui(ui: &mut egui::Ui, color: egui::Color32) {
    let (rect, _) = ui.allocate_exact_size(egui::Vec2::splat(theme::SWATCH), egui::Sense::hover());
    ui.painter().rect(rect, 2.0, color, egui::Stroke::new(0.5, theme::faint(ui.visuals())), egui::StrokeKind::Inside);
}

/// The circled i that opens a definition card.
fn definition_ui(ui: &mut egui::Ui, what: &str, definition: &str) {
    let (rect, response) = ui.allocate_exact_size(egui::Vec2::splat(theme::INFO_SIZE), egui::Sense::hover());
    let color = if response.hovered() { theme::ink(ui.visuals()) } else { theme::faint(ui.visuals()) };
    ui.painter().circle_stroke(rect.center(), theme::INFO_SIZE * 0.5, egui::Stroke::new(1.0, color));
    let font = egui::FontId::proportional(theme::INFO_SIZE * 0.8);
    ui.painter().text(rect.center(), egui::Align2::CENTER_CENTER, "i", font, color);
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, format!("Definition of {what}")));
    response.on_hover_text(definition);
}
