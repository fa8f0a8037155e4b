//! The per-step plots, their shared legend, and the exact numbers under the pointer.

use driftscope_core::figure::Scale;
use eframe::egui;
use egui_plot::{AxisHints, FilledArea, GridInput, GridMark, Plot, PlotBounds, PlotTransform, PlotUi, Points, VLine};

use super::definition_ui;
use super::marks::Marks;
use crate::window::command::{Command, Commands};
use crate::window::curves::{Average, Curve, CurvePlot, Line, Metric, definitions};
use crate::window::decimate::pieces;
use crate::window::export::with_branches;
use crate::window::state::State;
use crate::window::theme;

/// Draws legend and plots.
pub fn curves_ui(ui: &mut egui::Ui, state: &State, commands: &mut Commands) {
    let Some(rolled) = &state.rolled else {
        ui.centered_and_justified(|ui| ui.weak("Computing the curves …"));
        return;
    };
    legend_ui(ui, state, commands);
    if state.view.branches.is_empty() {
        plots_ui(ui, state, &rolled.plots, "curve", commands);
    } else {
        plots_ui(ui, state, &with_branches(state, rolled), "curve", commands);
    }
}

/// Several plots beside each other, on one range of steps.
pub(super) fn plots_ui(ui: &mut egui::Ui, state: &State, plots: &[CurvePlot], id: &str, commands: &mut Commands) {
    if plots.is_empty() {
        return;
    }
    if !state.is_current() {
        ui.multiply_opacity(theme::STALE_OPACITY);
    }
    let height = ui.available_height();
    ui.columns(plots.len(), |columns| {
        for (ui, plot) in columns.iter_mut().zip(plots) {
            ui.set_max_height(height);
            plot_ui(ui, state, plot, id, commands);
        }
    });
}

fn legend_ui(ui: &mut egui::Ui, state: &State, commands: &mut Commands) {
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing.x = theme::GAP * 0.5;
        definition_ui(ui, "the lines", &definitions(Line::LEGEND.into_iter()).split_off(Metric::ALL.len()).join("\n"));
        for (line, name) in state.legend() {
            let shown = !state.hidden().contains(&line);
            let lit = state.hovered.is_some_and(|(hovered, _)| hovered == line);
            let text = egui::RichText::new(&name).small();
            let text = if lit { text.strong() } else { text };
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
            if entry.on_hover_text(hint).accessible_name(format!("Curve {name}")).clicked() {
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
    if line.is_single() {
        ui.painter().circle_filled(rect.center(), theme::MARKER_RADIUS, color);
    }
}

fn width(line: Line) -> f32 {
    match line {
        _ if line.is_single() => theme::LIVE_WIDTH,
        _ if line.is_rollout() => theme::CURVE_WIDTH,
        _ => theme::REFERENCE_WIDTH,
    }
}

fn plot_ui(ui: &mut egui::Ui, state: &State, plot: &CurvePlot, id: &str, commands: &mut Commands) {
    let metric = plot.metric;
    let shown: Vec<&Curve> = plot.curves.iter().filter(|c| !state.hidden().contains(&c.line)).collect();
    let bounds = bounds(state, plot, &shown);
    ui.horizontal(|ui| {
        ui.strong(metric.name());
        definition_ui(ui, metric.name(), metric.definition());
        let pinned = state.view.axes.pinned.contains(&metric);
        let pin = ui.selectable_label(pinned, egui::RichText::new("pin").small());
        let hint = if pinned { "The value axis stays as it is. Click to let it go." } else { "Keep the value axis as it is now." };
        if pin.on_hover_text(hint).accessible_name(format!("Pin {}", metric.name())).clicked() {
            commands.send(Command::PinValues(metric, [bounds.min()[1], bounds.max()[1]]));
        }
        ui.add(egui::Label::new(egui::RichText::new(metric.axis()).small().weak()).truncate());
    });
    let step_idx = state.cursor_step().map_or_else(|| plot.n_steps().saturating_sub(1), |s| s - 1);
    ui.add(egui::Label::new(egui::RichText::new(cursor_readout(plot, step_idx, state)).small()).truncate())
        .on_hover_text(format!("{}: all lines at the cursor's step are shown on hover", metric.axis()));
    let log = metric.scale() == Scale::Log10;
    let name = plot.description();
    let marks = Marks { scale: metric.scale(), most: (ui.available_height() / theme::Y_LABEL_PITCH) as usize };
    let spacing = egui::Rangef::new(theme::LABEL_SPACING[0], theme::LABEL_SPACING[1]);
    let [x_size, y_size] = theme::AXIS_SIZE;
    let columns = ui.available_width() as usize;
    let hovered = state.hovered;
    let response = Plot::new((id, metric.name()))
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
                let light = match hovered {
                    Some((line, _)) if line == curve.line => Light::On,
                    Some(_) => Light::Dimmed,
                    None => Light::Plain,
                };
                draw(plot_ui, curve, log, columns, light);
                missing(plot_ui, curve, &bounds);
            }
            let ink = theme::ink(&plot_ui.ctx().global_style().visuals);
            if let Some((_, step)) = hovered {
                plot_ui.vline(VLine::new("hovered", step as f64).color(ink.gamma_multiply(theme::STALE_OPACITY)).width(1.0));
            }
            if let Some(step) = state.cursor_step() {
                plot_ui.vline(VLine::new("cursor", step as f64).color(ink).width(theme::CURSOR_WIDTH));
            }
        });
    let area = response.response;
    area.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, &name));
    let step_at = |pos: egui::Pos2| (response.transform.value_from_position(pos).x.round().max(1.0) as usize).min(plot.n_steps());
    if (area.dragged_by(egui::PointerButton::Primary) || area.clicked())
        && let Some(pos) = area.interact_pointer_pos()
    {
        commands.send(Command::SetStep(step_at(pos)));
    }
    navigate(ui, state, metric, &area, &response.transform, commands);
    if let Some(pos) = area.hover_pos() {
        let step = step_at(pos);
        let near = nearest(&shown, step, pos, &response.transform, log).map(|line| (line, step));
        commands.hover(near, state.hovered);
        area.on_hover_ui_at_pointer(|ui| hover_ui(ui, state, plot, &shown, step));
    }
}

/// Scrolling zooms the steps about the pointer (with ctrl the values), shift moves them, the middle button pulls; a double-click shows
/// all again. A pinned axis stays.
fn navigate(ui: &egui::Ui, state: &State, metric: Metric, area: &egui::Response, transform: &PlotTransform, commands: &mut Commands) {
    let bounds = transform.bounds();
    let (x, y) = ([bounds.min()[0], bounds.max()[0]], [bounds.min()[1], bounds.max()[1]]);
    if area.double_clicked() {
        commands.send(Command::ViewSteps(None));
        commands.send(Command::ViewValues(metric, None));
        return;
    }
    let moved = |[low, high]: [f64; 2], share: f64| Some([low + share * (high - low), high + share * (high - low)]);
    let frame = transform.frame();
    if area.dragged_by(egui::PointerButton::Middle) {
        let by = area.drag_delta();
        commands.send(Command::ViewSteps(moved(x, -f64::from(by.x / frame.width()))));
        commands.send(Command::ViewValues(metric, moved(y, f64::from(by.y / frame.height()))));
    }
    let Some(pos) = area.hover_pos() else { return };
    let (scroll, zoom) = ui.input(|i| (i.smooth_scroll_delta(), f64::from(i.zoom_delta())));
    let at = transform.value_from_position(pos);
    let zoomed = |[low, high]: [f64; 2], at: f64, factor: f64| Some([at - (at - low) / factor, at + (high - at) / factor]);
    if scroll.y != 0.0 {
        commands.send(Command::ViewSteps(zoomed(x, at.x, f64::from(scroll.y * theme::ZOOM_PER_POINT).exp())));
    }
    if scroll.x != 0.0 {
        commands.send(Command::ViewSteps(moved(x, -f64::from(scroll.x / frame.width()))));
    }
    if (zoom - 1.0).abs() > 1e-6 && !state.view.axes.pinned.contains(&metric) {
        commands.send(Command::ViewValues(metric, zoomed(y, at.y, zoom)));
    }
}

/// The curve under the pointer, if one is near.
fn nearest(shown: &[&Curve], step: usize, pos: egui::Pos2, transform: &PlotTransform, log: bool) -> Option<Line> {
    let distance = |curve: &Curve| {
        let value = curve.values.get(step - 1).copied().flatten()?;
        let y = if log { value.max(f64::MIN_POSITIVE).log10() } else { value };
        Some((transform.position_from_point_y(y) - pos.y).abs())
    };
    let near = shown.iter().filter_map(|curve| Some((distance(curve)?, curve.line)));
    near.filter(|(distance, _)| *distance < theme::HOVER_REACH).min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, line)| line)
}

/// "step 7 · live 0.312 · D 0.251".
fn cursor_readout(plot: &CurvePlot, step_idx: usize, state: &State) -> String {
    let mut text = if state.cursor_step().is_some() { format!("step {}", step_idx + 1) } else { format!("last step, {}", step_idx + 1) };
    for curve in plot.curves.iter().rev().filter(|c| !state.hidden().contains(&c.line)) {
        let name = match curve.line {
            Line::Live => "live",
            Line::Free => "D",
            _ => continue,
        };
        if let Some(value) = curve.values.get(step_idx).copied().flatten() {
            text += &format!(" · {name} {:.3}", value + 0.0);
        }
    }
    text
}

fn hover_ui(ui: &mut egui::Ui, state: &State, plot: &CurvePlot, shown: &[&Curve], step: usize) {
    let sec = state.session().map_or(0.0, |s| (state.choice().t0 + step - 1) as f64 * s.frame_sec());
    ui.strong(format!("{}, step {step}, {sec:.2} s", plot.metric.name()));
    egui::Grid::new("values").num_columns(2).spacing(egui::vec2(theme::GAP, 1.0)).show(ui, |ui| {
        for curve in shown.iter().rev() {
            let lit = state.hovered.is_some_and(|(line, _)| line == curve.line);
            let name = egui::RichText::new(&curve.name).color(theme::line_color(curve.line, ui.visuals()));
            ui.label(if lit { name.underline() } else { name });
            ui.monospace(curve.readout(step - 1));
            ui.end_row();
        }
    });
    ui.weak(plot.metric.axis());
}

/// How a curve stands out while one is under the pointer.
#[derive(Clone, Copy, PartialEq)]
enum Light {
    Plain,
    On,
    Dimmed,
}

fn draw(plot_ui: &mut PlotUi<'_>, curve: &Curve, log: bool, columns: usize, light: Light) {
    let color = theme::line_color(curve.line, &plot_ui.ctx().global_style().visuals);
    let color = if light == Light::Dimmed { color.gamma_multiply(theme::DIMMED_OPACITY) } else { color };
    let y = |value: f64| if log { value.max(f64::MIN_POSITIVE).log10() } else { value };
    let bounds = plot_ui.plot_bounds();
    let view = [bounds.min()[0], bounds.max()[0]];
    let edge =
        |of: fn(&driftscope_core::diagnose::Band) -> f64| curve.bands.iter().map(|b| b.as_ref().map(|b| y(of(b)))).collect::<Vec<_>>();
    if curve.bands.iter().any(Option::is_some) {
        // A band's edges are thinned alike: by the columns of its lower edge, or it would be no band.
        let (lows, highs) = (edge(|b| b.low), edge(|b| b.high));
        for piece in pieces(&lows, view, columns) {
            let high = |x: f64| highs[x as usize - 1].unwrap_or(f64::NAN);
            let (xs, (low, high)): (Vec<f64>, (Vec<f64>, Vec<f64>)) = piece.iter().map(|[x, low]| (*x, (*low, high(*x)))).unzip();
            if xs.len() > 1 {
                let fill = color.gamma_multiply(theme::BAND_OPACITY);
                plot_ui.add(FilledArea::new(&curve.name, &xs, &low, &high).fill_color(fill).allow_hover(false));
            }
        }
    }
    if curve.line == Line::Chance {
        return;
    }
    let factor = if light == Light::On { theme::HOVER_WIDTH } else { 1.0 };
    let values: Vec<Option<f64>> = curve.values.iter().map(|v| v.map(y)).collect();
    let drawn = if curve.line.is_sparse() {
        // There at some steps only: those are joined.
        vec![values.iter().enumerate().filter_map(|(i, v)| v.map(|v| [(i + 1) as f64, v])).collect()]
    } else {
        pieces(&values, view, columns)
    };
    for piece in drawn {
        if piece.len() == 1 || (curve.line.is_single() && piece.len() <= columns / 4) {
            plot_ui.points(Points::new(&curve.name, piece.clone()).color(color).radius(theme::MARKER_RADIUS).allow_hover(false));
        }
        let line = egui_plot::Line::new(&curve.name, piece);
        plot_ui.line(line.color(color).width(width(curve.line) * factor).style(theme::line_style(curve.line.stroke())).allow_hover(false));
    }
}

/// Steps without a finite value, as crosses on the axis.
fn missing(plot_ui: &mut PlotUi<'_>, curve: &Curve, bounds: &PlotBounds) {
    if curve.line.is_sparse() || !curve.line.is_rollout() {
        return;
    }
    let color = theme::line_color(curve.line, &plot_ui.ctx().global_style().visuals);
    let at = bounds.min()[1] + (bounds.max()[1] - bounds.min()[1]) * 0.03;
    let none = |i: usize| curve.values[i].is_none() || curve.n_nonfinite[i] > 0;
    let crosses: Vec<[f64; 2]> = (0..curve.values.len()).filter(|i| none(*i)).map(|i| [(i + 1) as f64, at]).collect();
    if !crosses.is_empty() {
        let marks = Points::new(&curve.name, crosses).shape(egui_plot::MarkerShape::Cross);
        plot_ui.points(marks.color(color).radius(theme::MARKER_RADIUS * 1.5).allow_hover(false));
    }
}

/// What the user chose to see, else all that is shown, with a margin; on a logarithmic axis in powers of ten.
fn bounds(state: &State, plot: &CurvePlot, shown: &[&Curve]) -> PlotBounds {
    let whole = [0.5, plot.n_steps() as f64 + 0.5];
    let steps = state.view.axes.steps.map_or(whole, |[from, to]| [from.max(whole[0]), to.min(whole[1])]);
    let steps = if steps[1] - steps[0] < 1.0 { whole } else { steps };
    let [low, high] = state.view.axes.values.get(&plot.metric).copied().unwrap_or_else(|| all_values(plot, shown));
    PlotBounds::from_min_max([steps[0], low], [steps[1], high])
}

fn all_values(plot: &CurvePlot, shown: &[&Curve]) -> [f64; 2] {
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
    [low - margin, high + margin]
}

fn step_marks(input: GridInput) -> Vec<GridMark> {
    let (first, last) = (input.bounds.0.ceil().max(1.0) as usize, input.bounds.1.floor().max(1.0) as usize);
    let every = ((last + 1 - first.min(last)) / 4).max(1);
    let multiples = (every..=last).step_by(every).filter(|s| *s > first);
    std::iter::once(first).chain(multiples).map(|s| GridMark { value: s as f64, step_size: every as f64 }).collect()
}
