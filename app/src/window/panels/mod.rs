//! The panels: one file each, each a function from state to pixels and commands.
//!
//! No panel writes state or computes a number. Every widget has an accessible name, which tests and screen readers use.

mod battery;
mod blind;
mod compare;
mod curves;
mod dialogs;
mod figure;
mod inspector;
mod jobs;
mod library;
mod marks;
mod menu;
mod palette;
mod room;
mod timeline;
mod trajectory;
mod transport;

use eframe::egui::{self, Key};

use super::actions::{actions, works_on_a_widget};
use super::command::{Command, Commands};
use super::drawing::Drawings;
use super::layout::{Behavior, Layout, Pane};
use super::state::{Notice, State};
use super::theme;

pub use battery::battery_ui;
pub use compare::compare_ui;
pub use curves::curves_ui;
pub use figure::figure_ui;
pub use inspector::inspector_ui;
pub use jobs::jobs_ui;
pub use library::library_ui;
pub use palette::palette_ui;
pub use timeline::timeline_ui;
pub use trajectory::trajectory_ui;
pub use transport::transport_ui;

/// What the window says of itself.
#[derive(Clone, Debug, Default)]
pub struct About<'a> {
    /// Device of all computation.
    pub device: &'a str,
    /// Times of its own frames, and what draws them.
    pub pace: String,
}

/// The whole window.
pub fn window_ui(
    ui: &mut egui::Ui,
    state: &State,
    about: &About<'_>,
    layout: &mut Layout,
    drawings: &mut Drawings,
    commands: &mut Commands,
) {
    if let Some(room) = &state.room {
        return room::room_ui(ui, room, commands);
    }
    egui::Panel::top("status").show(ui, |ui| menu::status_ui(ui, state, about, commands));
    if state.session().is_none() {
        egui::CentralPanel::default().show(ui, |ui| loading_ui(ui, state));
        return;
    }
    egui::Panel::top("transport").show(ui, |ui| transport_ui(ui, state, commands));
    if state.view.sides.library {
        egui::Panel::left("library").default_size(theme::LIBRARY_WIDTH).show(ui, |ui| library_ui(ui, state, commands));
    }
    if state.view.sides.inspector {
        egui::Panel::right("inspector").default_size(theme::INSPECTOR_WIDTH).show(ui, |ui| inspector_ui(ui, state, commands));
    }
    egui::CentralPanel::default().show(ui, |ui| {
        let draw = |ui: &mut egui::Ui, pane: Pane| match pane {
            Pane::Timeline => timeline_ui(ui, state, drawings, commands),
            Pane::Curves => curves_ui(ui, state, commands),
            Pane::Trajectory => trajectory_ui(ui, state, drawings, commands),
            Pane::Compare => compare_ui(ui, state, commands),
            Pane::Battery => battery_ui(ui, state, commands),
            Pane::Jobs => jobs_ui(ui, state, commands),
        };
        layout.ui(&mut Behavior { draw }, ui);
    });
    commands.end_hover(state.hovered);
    dialogs::dialogs_ui(ui.ctx(), state, commands);
    blind::blind_ui(ui.ctx(), state, commands);
    figure_ui(ui.ctx(), state, drawings, commands);
    palette_ui(ui.ctx(), state, commands);
    if let Some(notice) = &state.notice {
        notice_over(ui.ctx(), notice, commands);
    }
}

fn loading_ui(ui: &mut egui::Ui, state: &State) {
    ui.centered_and_justified(|ui| match &state.notice {
        Some(Notice::Problem(sentence)) => ui.colored_label(theme::warning(), sentence),
        _ => ui.label(format!("{} …", state.loading)),
    });
}

/// Over everything else, so that nothing moves when it comes and goes.
fn notice_over(ctx: &egui::Context, notice: &Notice, commands: &mut Commands) {
    let area = egui::Area::new(egui::Id::unique("notice")).order(egui::Order::Tooltip);
    area.anchor(egui::Align2::CENTER_BOTTOM, [0.0, -theme::GAP]).show(ctx, |ui| {
        egui::Frame::popup(ui.style()).show(ui, |ui| {
            ui.set_max_width(ctx.content_rect().width() * theme::NOTICE_SHARE);
            notice_ui(ui, notice, commands);
        });
    });
}

fn notice_ui(ui: &mut egui::Ui, notice: &Notice, commands: &mut Commands) {
    ui.horizontal_wrapped(|ui| {
        if ui.small_button("×").on_hover_text("Dismiss").accessible_name("Dismiss").clicked() {
            commands.send(Command::DismissNotice);
        }
        match notice {
            Notice::Done(sentence) => ui.label(sentence),
            Notice::Problem(sentence) => ui.colored_label(theme::warning(), sentence),
        };
    });
}

/// Turns keys into commands, except while text is edited.
pub fn keys(ctx: &egui::Context, state: &State, commands: &mut Commands) {
    let any = ctx.input(|i| i.events.iter().any(|e| matches!(e, egui::Event::Key { pressed: true, .. })));
    if !any {
        return;
    }
    if let Some(room) = &state.room {
        return room::room_keys(ctx, room, commands);
    }
    if palette_keys(ctx, state, commands) {
        return;
    }
    // What lies over the window takes the keys.
    if state.is_covered() || ctx.text_edit_focused() {
        return;
    }
    let widget_focused = ctx.egui_wants_keyboard_input();
    let mut actions: Vec<_> = actions(state).into_iter().filter(|a| a.enabled).filter_map(|a| Some((a.keys?, a.command))).collect();
    // More modifiers first: ctrl+shift+Z must not be taken for ctrl+Z.
    actions.sort_by_key(|(keys, _)| std::cmp::Reverse(usize::from(keys.modifiers.shift) + usize::from(keys.modifiers.command)));
    ctx.input_mut(|input| {
        for (keys, command) in actions {
            // A focused slider or button has its own use for some.
            if !widget_focused || works_on_a_widget(&keys) {
                // Keys pressed faster than frames go by count each.
                let n = input.count_and_consume_key(keys.modifiers, keys.logical_key);
                (0..n).for_each(|_| commands.send(command.clone()));
            }
        }
    });
}

/// Opens and closes the palette. What is typed before its field has the keyboard is typed into it all the same: nobody waits for a
/// frame to be drawn.
fn palette_keys(ctx: &egui::Context, state: &State, commands: &mut Commands) -> bool {
    let is_shortcut = |event: &egui::Event| matches!(event, egui::Event::Key { key: Key::K, pressed: true, modifiers, .. } if modifiers.matches_exact(egui::Modifiers::COMMAND));
    let is_early = state.palette.is_some() && !ctx.text_edit_focused();
    let typed = ctx.input_mut(|input| {
        let from = if is_early { Some(0) } else { input.events.iter().position(is_shortcut).map(|at| at + 1) };
        from.map(|from| {
            let rest = input.events.split_off(from);
            let (texts, rest): (Vec<_>, Vec<_>) = rest.into_iter().partition(|event| matches!(event, egui::Event::Text(_)));
            // Once it is open, Enter and the arrows are its own.
            input.events = if is_early { rest } else { Vec::new() };
            texts.iter().map(|event| if let egui::Event::Text(text) = event { text.as_str() } else { "" }).collect::<String>()
        })
    });
    let Some(typed) = typed else { return false };
    if !is_early {
        commands.send(Command::TogglePalette);
    }
    let opens = state.palette.is_none();
    if !typed.is_empty() && (opens || is_early) {
        let before = state.palette.as_ref().map_or("", |p| p.query.as_str());
        commands.send(Command::PaletteQuery(format!("{before}{typed}")));
    }
    !is_early
}

/// Tab goes back to the source heard before; egui would move the focus, so it is taken out before egui sees it. Shift+Tab still
/// walks through the widgets.
pub fn take_tab(ctx: &egui::Context, state: &State, input: &mut egui::RawInput, commands: &mut Commands) {
    if state.is_covered() || ctx.text_edit_focused() {
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
    // As high as the text beside it, so that both stand on one line wherever they are put.
    let (row, _) = ui.allocate_exact_size(egui::vec2(theme::SWATCH, ui.spacing().interact_size.y), egui::Sense::hover());
    let rect = egui::Rect::from_center_size(row.center(), egui::Vec2::splat(theme::SWATCH));
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
