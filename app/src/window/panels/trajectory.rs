//! True and rolled trajectory in principal components: where in latent space the rollout leaves.

use std::sync::Arc;

use driftscope_core::engine::display::trajectory::{Orbit, Path};
use driftscope_core::figure::Scale;
use eframe::egui::{self, Align2, Color32, FontId, Sense, Vec2, pos2, vec2};
use egui_plot::{AxisHints, Line, Plot, PlotPoints, PlotUi, Points};

use super::definition_ui;
use super::marks::Marks;
use crate::window::command::{Command, Commands};
use crate::window::drawing::Drawings;
use crate::window::session::Session;
use crate::window::source::Source;
use crate::window::state::State;
use crate::window::theme;
use crate::window::worker::Rolled;

const DEFINITION: &str = "Frames projected on the principal components of the training side's raw latents. Thin: the whole true utterance; thick: the \
    truth over the rollout's steps, and the live rollout from the last true frame. Distances in two components are smaller than those in all: \
    read distances in the state error.";

/// Draws the path in three components, to be turned, and its first two as a plot with exact numbers.
pub fn trajectory_ui(ui: &mut egui::Ui, state: &State, drawings: &mut Drawings, commands: &mut Commands) {
    let (Some(session), Some(rolled)) = (&state.session, &state.rolled) else { return };
    ui.horizontal(|ui| {
        ui.strong("Trajectory");
        definition_ui(ui, "Trajectory", DEFINITION);
        ui.small(departure(state, rolled));
    });
    if !state.is_current() {
        ui.multiply_opacity(theme::STALE_OPACITY);
    }
    let size = ui.available_size();
    let n_components = session.pca.variance.len();
    let plane = |axes| vec2(plane_width(rolled, axes, size.y).clamp(theme::SMALLEST_PLANE, size.x * 0.5), size.y);
    ui.horizontal_top(|ui| {
        if drawings.has_space() && n_components == 3 {
            let rest = size.x - plane((0, 1)).x - ui.spacing().item_spacing.x;
            space_ui(ui, vec2(rest, size.y), state, rolled, drawings, commands);
        } else if n_components > 2 {
            plane_ui(ui, plane((2, 1)), state, session, rolled, (2, 1), commands);
        }
        if n_components > 1 {
            plane_ui(ui, plane((0, 1)), state, session, rolled, (0, 1), commands);
        }
    });
}

/// How wide a plot of two components is at `height`, with one scale on both axes and no more room than its paths need.
fn plane_width(rolled: &Rolled, (x, y): (usize, usize), height: f32) -> f32 {
    let extent = |c: usize| {
        let values = rolled.true_path.iter().chain(&rolled.rolled_path).map(|p| p[c]).filter(|v| v.is_finite());
        let (low, high) = values.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        (high - low).max(f32::MIN_POSITIVE)
    };
    (height - theme::AXIS_SIZE[0]) * extent(x) / extent(y) + theme::LABELLED_Y_AXIS
}

/// The path in three components. Dragging turns it.
fn space_ui(ui: &mut egui::Ui, size: Vec2, state: &State, rolled: &Arc<Rolled>, drawings: &mut Drawings, commands: &mut Commands) {
    let (area, response) = ui.allocate_exact_size(size, Sense::click_and_drag());
    ui.painter().rect_filled(area, 2.0, ui.visuals().extreme_bg_color);
    let visuals = ui.visuals().clone();
    let scale = ui.pixels_per_point();
    let around = Orbit::around(&whole(rolled));
    let orbit = Orbit { yaw: state.orbit[0], pitch: state.orbit[1], ..around };
    let step = state.cursor_step();
    drawings.space(ui, area, rolled, orbit, step, || paths(rolled, &orbit, step, &visuals, scale));
    // Names at the ends of the axes, where the shader draws their lines.
    let matrix = orbit.matrix([area.width(), area.height()]);
    for (c, name) in ["PC 1", "PC 2", "PC 3"].into_iter().enumerate() {
        let end = axis_end(&orbit, c);
        let clip = |row: usize| (0..3).map(|k| matrix[k][row] * end[k]).sum::<f32>() + matrix[3][row];
        let at = pos2(area.left() + (clip(0) + 1.0) * 0.5 * area.width(), area.top() + (1.0 - clip(1)) * 0.5 * area.height());
        ui.painter_at(area).text(at, Align2::CENTER_CENTER, name, FontId::proportional(theme::SMALL_TEXT), theme::faint(&visuals));
    }
    let description =
        format!("Trajectory in three components, {} true frames, {} rolled steps", rolled.true_path.len(), rolled.rolled_path.len());
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, &description));
    if response.dragged() {
        commands.send(Command::TurnTrajectory(response.drag_delta() * theme::TURN_PER_POINT));
    }
    if response.double_clicked() {
        commands.send(Command::ResetTrajectory);
    }
    response.on_hover_text("Drag to turn, double-click for the view from the front").on_hover_cursor(egui::CursorIcon::Grab);
}

/// The end of the axis of component `c`, from the middle.
fn axis_end(orbit: &Orbit, c: usize) -> [f32; 3] {
    let mut end = orbit.center;
    end[c] += orbit.radius * theme::AXIS_SHARE;
    end
}

fn point(x: &[f32], value: f32) -> [f32; 4] {
    [x[0], x[1], x[2], value]
}

/// What the view must hold.
fn whole(rolled: &Rolled) -> Vec<Path> {
    let all = rolled.true_path.iter().chain(&rolled.rolled_path).map(|x| point(x, 0.0)).collect();
    vec![Path { points: all, color_low: [0.0; 4], color_high: [0.0; 4], width_px: 0.0 }]
}

/// Axes, the whole utterance, the truth over the rollout's steps, the rollout, and both at the cursor.
fn paths(rolled: &Rolled, orbit: &Orbit, step: Option<usize>, visuals: &egui::Visuals, scale: f32) -> Vec<Path> {
    let rgba = |color: Color32, opacity: f32| {
        let [r, g, b, _] = color.to_normalized_gamma_f32();
        [r, g, b, opacity]
    };
    let path = |points: Vec<[f32; 4]>, color: Color32, fade: [f32; 2], width: f32| Path {
        points,
        color_low: rgba(color, fade[0]),
        color_high: rgba(color, fade[1]),
        width_px: width * scale,
    };
    let along = |points: &[Vec<f32>]| {
        let last = points.len().saturating_sub(1).max(1) as f32;
        points.iter().enumerate().map(|(i, x)| point(x, i as f32 / last)).collect::<Vec<_>>()
    };
    let (t0, n_steps) = (rolled.choice.t0, rolled.live.n_steps);
    let truth = &rolled.true_path[t0 - 1..t0 + n_steps];
    let mut live = vec![truth[0].clone()];
    live.extend(rolled.rolled_path.iter().cloned());
    let (ink, faint, rollout) = (theme::ink(visuals), theme::faint(visuals), theme::source_color(Source::Rollout, visuals));
    let mut all: Vec<Path> = (0..3)
        .map(|c| {
            let ends = [orbit.center, axis_end(orbit, c)].map(|x| point(&x, 0.0));
            path(ends.to_vec(), faint, [theme::STALE_OPACITY; 2], theme::REFERENCE_WIDTH)
        })
        .collect();
    all.push(path(along(&rolled.true_path), faint, [theme::STALE_OPACITY; 2], theme::REFERENCE_WIDTH));
    // Later steps are more opaque, so that the direction of time can be seen.
    all.push(path(along(truth), ink, [theme::STALE_OPACITY, 1.0], theme::LIVE_WIDTH));
    all.push(path(along(&live), rollout, [theme::STALE_OPACITY, 1.0], theme::LIVE_WIDTH));
    if let Some(step) = step {
        for (points, color) in [(truth, ink), (live.as_slice(), rollout)] {
            let dot = points.get(step).map(|x| vec![point(x, 1.0); 2]);
            all.extend(dot.map(|dot| path(dot, color, [1.0; 2], theme::CURSOR_RADIUS * 2.0)));
        }
    }
    all
}

/// "step 7: rollout is 2.31 median steps from the truth".
fn departure(state: &State, rolled: &Rolled) -> String {
    let step = state.cursor_step().unwrap_or(rolled.live.n_steps);
    let error = f64::from(rolled.live.state_err_after[step - 1]) / rolled.report.references.median_delta_norm;
    format!("step {step}: the live rollout is {error:.2} median ‖Δ‖ from the truth")
}

/// Two components against each other. A click puts the cursor on the nearest step.
fn plane_ui(
    ui: &mut egui::Ui,
    size: Vec2,
    state: &State,
    session: &Session,
    rolled: &Rolled,
    (x, y): (usize, usize),
    commands: &mut Commands,
) {
    let (t0, n_steps) = (rolled.choice.t0, rolled.live.n_steps);
    let at = |path: &[Vec<f32>], i: usize| path.get(i).map(|p| [f64::from(p[x]), f64::from(p[y])]);
    let points = |path: &[Vec<f32>], from: usize, to: usize| (from..to).filter_map(|i| at(path, i)).collect::<Vec<_>>();
    let all = points(&rolled.true_path, 0, rolled.true_path.len());
    let truth = points(&rolled.true_path, t0 - 1, t0 + n_steps);
    let mut live = points(&rolled.true_path, t0 - 1, t0);
    live.extend(points(&rolled.rolled_path, 0, n_steps).into_iter().filter(|p| p.iter().all(|v| v.is_finite())));
    let name = |c: usize| format!("PC {} ({:.0} %)", c + 1, 100.0 * session.pca.variance[c] / session.pca.total_variance);
    let description = format!("Trajectory in {} and {}, {} true frames, {} rolled steps", name(x), name(y), all.len(), live.len() - 1);
    let (ink, faint) = (theme::ink(ui.visuals()), theme::faint(ui.visuals()));
    let rollout = theme::source_color(Source::Rollout, ui.visuals());
    let marks = |points: f32, pitch: f32| Marks { scale: Scale::Linear, most: (points / pitch) as usize };
    let (across, up) = (marks(size.x - theme::LABELLED_Y_AXIS, theme::X_LABEL_PITCH), marks(size.y, theme::Y_LABEL_PITCH));
    let (live_for_click, truth_for_click) = (live.clone(), truth.clone());
    let response = Plot::new(("plane", x, y))
        .width(size.x)
        .height(size.y)
        .data_aspect(1.0)
        .custom_x_axes(vec![axis(AxisHints::new_x(), across).label(name(x)).min_thickness(theme::AXIS_SIZE[0])])
        .custom_y_axes(vec![axis(AxisHints::new_y(), up).label(name(y)).min_thickness(theme::LABELLED_Y_AXIS)])
        .x_grid_spacer(move |input| across.place(&input))
        .y_grid_spacer(move |input| up.place(&input))
        .allow_scroll(false)
        .allow_boxed_zoom(false)
        .label_formatter(|_| None)
        .show(ui, |plot_ui| {
            plot_ui.line(Line::new("utterance", PlotPoints::from(all)).color(faint).width(theme::REFERENCE_WIDTH * 0.6).allow_hover(false));
            path(plot_ui, "truth", truth.clone(), ink);
            path(plot_ui, "rollout", live.clone(), rollout);
            for (points, color) in [(&truth, ink), (&live, rollout)] {
                // Index 0 is the last true frame before the start.
                if let Some(point) = state.cursor_step().and_then(|step| points.get(step)) {
                    plot_ui.points(
                        Points::new("cursor", vec![*point]).color(color).radius(theme::CURSOR_RADIUS).filled(false).allow_hover(false),
                    );
                }
            }
        });
    let area = response.response;
    area.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, &description));
    let nearest = |pos: egui::Pos2| {
        let distance = |p: &[f64; 2]| response.transform.position_from_point(&(*p).into()).distance(pos);
        let candidates = live_for_click.iter().enumerate().chain(truth_for_click.iter().enumerate());
        candidates.min_by(|a, b| distance(a.1).total_cmp(&distance(b.1))).map_or(0, |(step, _)| step)
    };
    if let (true, Some(pos)) = (area.clicked(), area.interact_pointer_pos()) {
        commands.send(Command::SetStep(nearest(pos)));
    }
    if let Some(pos) = area.hover_pos() {
        let step = nearest(pos);
        let line = |name: &str, p: Option<&[f64; 2]>| p.map(|p| format!("{name} ({:.2}, {:.2})", p[0], p[1]));
        let rows = [Some(format!("Step {step}")), line("truth", truth_for_click.get(step)), line("rollout", live_for_click.get(step))];
        area.on_hover_text_at_pointer(rows.into_iter().flatten().collect::<Vec<_>>().join("\n"));
    }
}

fn axis(hints: AxisHints<'_>, marks: Marks) -> AxisHints<'_> {
    let spacing = egui::Rangef::new(theme::LABEL_SPACING[0], theme::LABEL_SPACING[1]);
    hints.label_spacing(spacing).formatter(move |mark, shown| marks.label(mark, shown))
}

fn path(plot_ui: &mut PlotUi<'_>, name: &str, points: Vec<[f64; 2]>, color: egui::Color32) {
    plot_ui.line(Line::new(name, PlotPoints::from(points.clone())).color(color).width(theme::CURVE_WIDTH).allow_hover(false));
    plot_ui.points(Points::new(name, points).color(color).radius(theme::MARKER_RADIUS).allow_hover(false));
}
