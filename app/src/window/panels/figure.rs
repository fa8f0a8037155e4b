//! A figure in preparation: as it will be on paper, and what can be set about it.

use driftscope_core::figure::Width;
use eframe::egui::{self, DragValue};

use crate::window::command::{Command, Commands, ExportFolder, FigureEdit, FigureOf};
use crate::window::drawing::Drawings;
use crate::window::export::Draft;
use crate::window::state::State;
use crate::window::theme;

const WIDTHS: [(Width, &str); 3] = [
    (Width::SingleColumn, "Interspeech, ICASSP: one column, 80 mm"),
    (Width::DoubleColumn, "Interspeech, ICASSP: both columns, 170 mm"),
    (Width::NeurIps, "NeurIPS: text, 139.7 mm"),
];

/// Draws it over the window, where one is in preparation.
pub fn figure_ui(ctx: &egui::Context, state: &State, drawings: &mut Drawings, commands: &mut Commands) {
    let Some(draft) = &state.figure else { return };
    // Asked before the fields are drawn: the Enter that ends a number's editing is that number's.
    let entered = ctx.input(|i| i.key_pressed(egui::Key::Enter)) && !ctx.egui_wants_keyboard_input();
    let modal = egui::Modal::new(egui::Id::unique("figure")).show(ctx, |ui| {
        let room = ctx.content_rect().size() * theme::DIALOG_SHARE;
        ui.set_max_size(room);
        ui.horizontal_top(|ui| {
            ui.vertical(|ui| {
                ui.set_width(theme::FIGURE_SETTINGS_WIDTH);
                settings_ui(ui, draft, commands);
            });
            ui.separator();
            let size = egui::vec2(room.x - theme::FIGURE_SETTINGS_WIDTH - theme::GAP * 4.0, room.y - theme::GAP * 2.0);
            ui.allocate_ui_with_layout(size, egui::Layout::top_down(egui::Align::Min), |ui| {
                ui.set_min_size(size);
                preview_ui(ui, state, draft, drawings);
            });
        });
    });
    if entered {
        commands.send(Command::Export(ExportFolder::Default));
    }
    if modal.should_close() {
        commands.send(Command::CloseFigure);
    }
}

fn settings_ui(ui: &mut egui::Ui, draft: &Draft, commands: &mut Commands) {
    let mut edit = |edit: FigureEdit| commands.send(Command::EditFigure(edit));
    ui.strong("Figure");
    ui.horizontal_wrapped(|ui| {
        for (of, name) in FigureOf::ALL {
            if ui.selectable_label(draft.of == of, name).clicked() {
                edit(FigureEdit::Of(of));
            }
        }
    });
    ui.add_space(theme::GAP);
    let name = WIDTHS.iter().find(|(w, _)| *w == draft.width).map_or("Own width", |(_, name)| name);
    egui::ComboBox::from_id_salt("width").selected_text(name).width(theme::FIGURE_SETTINGS_WIDTH - theme::GAP * 2.0).show_ui(ui, |ui| {
        for (width, name) in WIDTHS {
            if ui.selectable_label(draft.width == width, name).clicked() {
                edit(FigureEdit::Width(width));
            }
        }
    });
    egui::Grid::new("figure settings").num_columns(2).show(ui, |ui| {
        let mut number =
            |ui: &mut egui::Ui, name: &str, value: f64, range: std::ops::RangeInclusive<f64>, unit: &str, to: fn(f64) -> FigureEdit| {
                ui.label(name);
                let mut value = value;
                let speed = (range.end() - range.start()) / 300.0;
                if ui.add(DragValue::new(&mut value).range(range).speed(speed).suffix(unit).max_decimals(1)).accessible_name(name).changed()
                {
                    edit(to(value));
                }
                ui.end_row();
            };
        number(ui, "Width", draft.width.millimeters(), 40.0..=400.0, " mm", |mm| FigureEdit::Width(Width::Millimeters(mm)));
        number(ui, "Row height", draft.row_height_mm, 20.0..=150.0, " mm", FigureEdit::RowHeight);
        number(ui, "Text", draft.font_size_pt, 5.0..=14.0, " pt", FigureEdit::FontSize);
        number(ui, "Lines", draft.line_width_pt, 0.3..=3.0, " pt", FigureEdit::LineWidth);
        number(ui, "Panels a row", draft.columns as f64, 1.0..=4.0, "", |n| FigureEdit::Columns(n.round() as usize));
    });
    let (mut legend, mut caption) = (draft.legend, draft.caption);
    if ui.checkbox(&mut legend, "Legend").changed() {
        edit(FigureEdit::Legend(legend));
    }
    if ui.checkbox(&mut caption, "Caption").on_hover_text("LaTeX sets its own; without one the file's metadata still has it").changed() {
        edit(FigureEdit::Caption(caption));
    }
    ui.label("Name");
    let mut name = draft.name.clone();
    if ui.add(egui::TextEdit::singleline(&mut name)).accessible_name("Name of the figure").changed() {
        edit(FigureEdit::Name(name));
    }
    ui.add_space(theme::GAP);
    let mut write = |ui: &mut egui::Ui, text: &str, hint: &str, folder: ExportFolder| {
        if ui.button(text).on_hover_text(hint).clicked() {
            commands.send(Command::Export(folder));
        }
    };
    write(ui, "Write here", "PNG (300 dpi), SVG, PDF and CSV into ./driftscope-figures (Enter)", ExportFolder::Default);
    write(ui, "Write to…", "Choose the folder", ExportFolder::Ask);
    ui.weak("PNG, SVG and PDF carry the store's, checkpoint's and codec's hashes, the seed, the definitions and this view: open one again (File) to be back here.");
    if ui.button("Close").clicked() {
        commands.send(Command::CloseFigure);
    }
}

fn preview_ui(ui: &mut egui::Ui, state: &State, draft: &Draft, drawings: &mut Drawings) {
    let Some(preview) = &state.preview else {
        ui.centered_and_justified(|ui| ui.weak("Setting the figure …"));
        return;
    };
    match &preview.picture {
        Err(why) => drop(ui.centered_and_justified(|ui| ui.colored_label(theme::warning(), why))),
        Ok((image, width_mm)) => {
            let texture = drawings.figure(ui, preview, image);
            let size = texture.size_vec2();
            let scale = (ui.available_width() / size.x).min((ui.available_height() - theme::GAP * 3.0) / size.y).min(1.0);
            let stale = preview.draft != *draft;
            ui.small(format!("{width_mm:.1} mm wide, shown at {:.0} %", 100.0 * scale * size.x / (*width_mm as f32 / 25.4 * 96.0)));
            let tint = if stale { egui::Color32::from_white_alpha(160) } else { egui::Color32::WHITE };
            let picture = ui.add(egui::Image::new((texture.id(), size * scale)).tint(tint));
            picture.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, "Preview of the figure"));
        }
    }
}
