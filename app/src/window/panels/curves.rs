//! The four per-step plots, their shared legend, and the exact numbers under the cursor.

use driftscope_core::figure::Scale;
use eframe::egui;
use egui_plot::{AxisHints, FilledArea, GridInput, GridMark, Plot, PlotBounds, PlotUi, Points, VLine};

use super::definition_ui;
use super::marks::Marks;
use crate::window::command::{Command, Commands};
use crate::window::curves::{Average, Curve, CurvePlot, Line, Metric, definitions};
use crate::window::state::State;
use crate::window::theme;

/// Draws legend and plots.
pub fn curves_ui(ui: &mut egui::Ui, state: &State, commands: &mut Commands) {
    let Some(rolled) = &state.rolled else {
        ui.centered_and_justified(|ui| ui.weak("Computing the curves …"));
        return;
    };
    legend_ui(ui, state, commands);
    if !state.is_current() {
        ui.multiply_opacity(theme::STALE_OPACITY);
    }
    let height = ui.available_height();
    ui.columns(rolled.plots.len(), |columns| {
        for (ui, plot) in columns.iter_mut().zip(&rolled.plots) {
            ui.set_max_height(height);
            plot_ui(ui, state, plot, commands);
        }
    });
}

fn legend_ui(ui: &mut egui::Ui, state: &State, commands: &mut Commands) {
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing.x = theme::GAP * 0.5;
        definition_ui(ui, "the lines", &definitions(Line::LEGEND.into_iter()).split_off(Metric::ALL.len()).join("\n"));
        for line in Line::LEGEND {
            let shown = !state.hidden.contains(&line);
            let text = egui::RichText::new(line.name()).small();
            // A sample and its name stay on one row.
            let extent = egui::WidgetText::from(text.clone()).into_galley(
                ui,
                Some(egui::TextWrapMode::Extend),
                f32::INFINITY,
                egui::TextStyle::Small,
            );
            if ui.available_size_before_wrap().x < theme::SWATCH * 2.0 + theme::GAP + extent.size().x {
                ui.end_row();
            }
            sample_ui(ui, line, shown);
            let text = if shown { text } else { text.weak().strikethrough() };
            let entry = ui.add(egui::Button::new(text).frame(false));
            let hint = format!("{}\nClick to {} it.", line.explanation(), if shown { "hide" } else { "show" });
            if entry.on_hover_text(hint).accessible_name(format!("Curve {}", line.name())).clicked() {
                commands.send(Command::ToggleLine(line));
            }
        }
        if !state.is_current() {
            ui.small("computing");
        }
    });
}

/// A short piece of the line as it is drawn.
fn sample_ui(ui: &mut egui::Ui, line: Line, shown: bool) {
    let (rect, _) = ui.allocate_exact_size(egui::vec2(theme::SWATCH * 2.0, theme::SWATCH), egui::Sense::hover());
    let color = theme::line_color(line, ui.visuals()).gamma_multiply(if shown { 1.0 } else { theme::STALE_OPACITY });
    let (left, right) = (rect.left_center(), rect.right_center());
    let stroke = egui::Stroke::new(width(line), color);
    let shapes = match theme::line_style(line.stroke()) {
        egui_plot::LineStyle::Solid => vec![egui::Shape::line_segment([left, right], stroke)],
        egui_plot::LineStyle::Dashed { length } => egui::Shape::dashed_line(&[left, right], stroke, length, length * 0.6),
        egui_plot::LineStyle::Dotted { spacing } => egui::Shape::dotted_line(&[left, right], color, spacing, width(line)),
    };
    ui.painter().extend(shapes);
    if line == Line::Chance {
        ui.painter().rect_filled(rect, 0.0, color.gamma_multiply(theme::BAND_OPACITY * 2.0));
    }
    if line == Line::Live {
        ui.painter().circle_filled(rect.center(), theme::MARKER_RADIUS, color);
    }
}

fn width(line: Line) -> f32 {
    match line {
        Line::Live => theme::LIVE_WIDTH,
        Line::Teacher | Line::Periodic | Line::OneShot | Line::Free => theme::CURVE_WIDTH,
        _ => theme::REFERENCE_WIDTH,
    }
}

fn plot_ui(ui: &mut egui::Ui, state: &State, plot: &CurvePlot, commands: &mut Commands) {
    let metric = plot.metric;
    ui.horizontal(|ui| {
        ui.strong(metric.name());
        definition_ui(ui, metric.name(), metric.definition());
        ui.add(egui::Label::new(egui::RichText::new(metric.axis()).small().weak()).truncate());
    });
    let step_idx = state.cursor_step().map_or_else(|| plot.n_steps().saturating_sub(1), |s| s - 1);
    ui.small(cursor_readout(plot, step_idx, state))
        .on_hover_text(format!("{}: all lines at the cursor's step are shown on hover", metric.axis()));
    let shown: Vec<&Curve> = plot.curves.iter().filter(|c| !state.hidden.contains(&c.line)).collect();
    let bounds = bounds(plot, &shown);
    let log = metric.scale() == Scale::Log10;
    let name = plot.description();
    let marks = Marks { scale: metric.scale(), most: (ui.available_height() / theme::Y_LABEL_PITCH) as usize };
    let spacing = egui::Rangef::new(theme::LABEL_SPACING[0], theme::LABEL_SPACING[1]);
    let [x_size, y_size] = theme::AXIS_SIZE;
    let response = Plot::new(("curve", metric.name()))
        .height(ui.available_height())
        .allow_drag(false)
        .allow_zoom(false)
        .allow_scroll(false)
        .allow_boxed_zoom(false)
        .allow_double_click_reset(false)
        .show_crosshair(false)
        .x_grid_spacer(step_marks)
        .custom_x_axes(vec![AxisHints::new_x().label("step").label_spacing(spacing).min_thickness(x_size)])
        .custom_y_axes(vec![
            AxisHints::new_y().label_spacing(spacing).min_thickness(y_size).formatter(move |mark, shown| marks.label(mark, shown)),
        ])
        .y_grid_spacer(move |input| marks.place(&input))
        .label_formatter(|_| None)
        .show(ui, |plot_ui| {
            plot_ui.set_plot_bounds(bounds);
            for curve in &shown {
                draw(plot_ui, curve, log);
            }
            if let Some(step) = state.cursor_step() {
                plot_ui.vline(
                    VLine::new("cursor", step as f64).color(theme::ink(&plot_ui.ctx().global_style().visuals)).width(theme::CURSOR_WIDTH),
                );
            }
        });
    let area = response.response;
    area.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, &name));
    let step_at = |pos: egui::Pos2| (response.transform.value_from_position(pos).x.round().max(1.0) as usize).min(plot.n_steps());
    if (area.dragged() || area.clicked())
        && let Some(pos) = area.interact_pointer_pos()
    {
        commands.send(Command::SetStep(step_at(pos)));
    }
    if let Some(pos) = area.hover_pos() {
        let step = step_at(pos);
        area.on_hover_ui_at_pointer(|ui| hover_ui(ui, plot, &shown, step));
    }
}

/// "step 7 · live 0.312 · D 0.251 [0.230, 0.270], n = 48".
fn cursor_readout(plot: &CurvePlot, step_idx: usize, state: &State) -> String {
    let value =
        |line: Line| plot.curve(line).filter(|_| !state.hidden.contains(&line)).and_then(|c| c.values.get(step_idx).copied().flatten());
    let mut text = format!("step {}", step_idx + 1);
    for (line, name) in [(Line::Live, "live"), (Line::Free, "D")] {
        if let Some(value) = value(line) {
            text += &format!(" · {name} {value:.3}");
        }
    }
    text
}

fn hover_ui(ui: &mut egui::Ui, plot: &CurvePlot, shown: &[&Curve], step: usize) {
    ui.strong(format!("{}, step {step}", plot.metric.name()));
    egui::Grid::new("values").num_columns(2).spacing(egui::vec2(theme::GAP, 1.0)).show(ui, |ui| {
        for curve in shown.iter().rev() {
            ui.colored_label(theme::line_color(curve.line, ui.visuals()), curve.line.name());
            ui.monospace(curve.readout(step - 1));
            ui.end_row();
        }
    });
    ui.weak(plot.metric.axis());
}

fn draw(plot_ui: &mut PlotUi<'_>, curve: &Curve, log: bool) {
    let color = theme::line_color(curve.line, &plot_ui.ctx().global_style().visuals);
    let y = |value: f64| if log { value.max(f64::MIN_POSITIVE).log10() } else { value };
    for run in curve.bands.iter().enumerate().collect::<Vec<_>>().chunk_by(|a, b| a.1.is_some() == b.1.is_some()) {
        let edges: Vec<_> = run.iter().filter_map(|(i, band)| band.map(|b| ((i + 1) as f64, y(b.low), y(b.high)))).collect();
        if edges.len() > 1 {
            let (xs, rest): (Vec<f64>, Vec<(f64, f64)>) = edges.into_iter().map(|(x, low, high)| (x, (low, high))).unzip();
            let (low, high): (Vec<f64>, Vec<f64>) = rest.into_iter().unzip();
            let fill = color.gamma_multiply(theme::BAND_OPACITY);
            plot_ui.add(FilledArea::new(curve.line.name(), &xs, &low, &high).fill_color(fill).allow_hover(false));
        }
    }
    let points = curve.values.iter().map(|v| v.map(y)).enumerate().filter(|(_, v)| v.is_some() || !curve.line.is_sparse());
    let points: Vec<(usize, Option<f64>)> = points.collect();
    for run in points.chunk_by(|a, b| a.1.is_some() == b.1.is_some()) {
        let run: Vec<[f64; 2]> = run.iter().filter_map(|(i, v)| v.map(|v| [(i + 1) as f64, v])).collect();
        if run.is_empty() {
            continue;
        }
        if curve.line == Line::Live || run.len() == 1 {
            plot_ui.points(Points::new(curve.line.name(), run.clone()).color(color).radius(theme::MARKER_RADIUS).allow_hover(false));
        }
        if curve.line != Line::Chance {
            let line = egui_plot::Line::new(curve.line.name(), run);
            plot_ui.line(line.color(color).width(width(curve.line)).style(theme::line_style(curve.line.stroke())).allow_hover(false));
        }
    }
}

/// All that is shown, with a margin; on a logarithmic axis in powers of ten.
fn bounds(plot: &CurvePlot, shown: &[&Curve]) -> PlotBounds {
    let log = plot.metric.scale() == Scale::Log10;
    let range = |values: &mut dyn Iterator<Item = f64>| {
        let values = values.filter(|v| !log || *v > 0.0).map(|v| if log { v.log10() } else { v });
        values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
    };
    let (mut low, mut high) = range(&mut shown.iter().flat_map(|c| c.values.iter().flatten().copied()));
    if low > high {
        (low, high) = (0.0, 1.0);
    }
    // The spread of single starts is shown as far as it leaves the curves legible.
    let room = if plot.metric.average() == Average::Median { theme::SPREAD_ROOM * (high - low) } else { f64::INFINITY };
    let (lowest, highest) = range(&mut shown.iter().flat_map(|c| c.bands.iter().flatten()).flat_map(|b| [b.low, b.high]));
    (low, high) = (low.min(lowest.max(low - room)), high.max(highest.min(high + room)));
    let margin = ((high - low) * theme::PLOT_MARGIN).max(theme::SMALLEST_MARGIN);
    PlotBounds::from_min_max([0.5, low - margin], [plot.n_steps() as f64 + 0.5, high + margin])
}

fn step_marks(input: GridInput) -> Vec<GridMark> {
    let last = input.bounds.1.floor() as usize;
    let every = (last / 4).max(1);
    std::iter::once(1).chain((every..=last).step_by(every)).map(|s| GridMark { value: s as f64, step_size: every as f64 }).collect()
}
