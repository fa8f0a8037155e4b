//! The true and the rolled trajectories in principal components: where in latent space a rollout leaves. A point can be heard, and
//! pulled elsewhere.

use driftscope_core::engine::display::trajectory::{Orbit, Path};
use driftscope_core::figure::Scale;
use driftscope_core::rollout::Rollout;
use eframe::egui::{self, Align2, Color32, FontId, Pos2, Sense, Vec2, pos2, vec2};
use egui_plot::{AxisHints, Line as PlotLine, Plot, PlotBounds, PlotPoints, PlotTransform, PlotUi, Points};

use super::definition_ui;
use super::marks::Marks;
use crate::window::command::{Command, Commands};
use crate::window::curves::Line;
use crate::window::drawing::{Course, Drawings, Projected};
use crate::window::session::Session;
use crate::window::source::Source;
use crate::window::state::State;
use crate::window::theme;
use crate::window::view::{Choice, ColorBy, Pull};
use crate::window::worker::Rolled;

const DEFINITION: &str = "Frames projected on the principal components of the training side's raw latents. Thin: the whole true utterance; thick: the \
    truth over the rollout's steps, and rollouts from the last true frame. Distances in two components are smaller than those in all: read \
    distances in the state error. Click a point to hear the sound from there; drag along the truth, or with shift along any path, to move the \
    cursor; pull a point of a rollout, and the rollout goes on from there as a branch (in space: parallel to the screen).";

/// One path as it is drawn.
struct Drawn<'a> {
    /// What is heard from it.
    source: Option<Source>,
    /// What is pulled when a point of it is.
    pulled: Pulled,
    /// Principal components; index 0 is the last true frame before the start.
    points: Vec<Vec<f32>>,
    /// A rollout's frames, after that one.
    frames: Option<Projected<'a>>,
    /// What each point is colored by, 0 ..= 1.
    shades: Vec<f32>,
    color: Color32,
    width: f32,
    opacity: f32,
}

/// What becomes of a pull.
#[derive(Clone, Copy, PartialEq)]
enum Pulled {
    /// Nothing: it is no rollout, or no single one.
    Nothing,
    /// A branch of the live rollout.
    Live,
    /// A branch of this one.
    Branch(u32),
}

/// Draws the path in three components, to be turned, and its first two as a plot with exact numbers.
pub fn trajectory_ui(ui: &mut egui::Ui, state: &State, drawings: &mut Drawings, commands: &mut Commands) {
    let (Some(session), Some(rolled)) = (state.session(), &state.rolled) else { return };
    ui.horizontal(|ui| {
        ui.strong("Trajectory");
        definition_ui(ui, "Trajectory", DEFINITION);
        ui.with_layout(egui::Layout::right_to_left(egui::Align::Center), |ui| {
            fan_ui(ui, state, commands);
            color_ui(ui, state, commands);
            let departure = departure(state, rolled);
            ui.with_layout(egui::Layout::left_to_right(egui::Align::Center), |ui| {
                ui.add(egui::Label::new(egui::RichText::new(&departure).small()).truncate()).on_hover_text(&departure);
            });
        });
    });
    if !state.is_current() {
        ui.multiply_opacity(theme::STALE_OPACITY);
    }
    let drawn = drawn(state, rolled, ui.visuals());
    let size = ui.available_size();
    let n_components = session.pca.variance.len();
    let plane =
        |axes| vec2(plane_width(&drawn, axes, size.y).clamp(theme::SMALLEST_PLANE, (size.x * 0.5).max(theme::SMALLEST_PLANE)), size.y);
    ui.horizontal_top(|ui| {
        if drawings.has_space() && n_components == 3 {
            let rest = (size.x - plane((0, 1)).x - ui.spacing().item_spacing.x).max(theme::SMALLEST_PLANE);
            space_ui(ui, vec2(rest, size.y), state, rolled, &drawn, drawings, commands);
        } else if n_components > 2 {
            plane_ui(ui, plane((2, 1)), state, session, rolled, &drawn, (2, 1), commands);
        }
        if n_components > 1 {
            plane_ui(ui, plane((0, 1)), state, session, rolled, &drawn, (0, 1), commands);
        }
    });
}

fn fan_ui(ui: &mut egui::Ui, state: &State, commands: &mut Commands) {
    egui::ComboBox::from_id_salt("fan")
        .selected_text(if state.view.fan == 0 { "no fan".to_owned() } else { format!("fan of {}", state.view.fan) })
        .width(theme::GAP * 8.0)
        .show_ui(ui, |ui| {
            for n in [0, 8, 16, 32] {
                let text = if n == 0 { "no fan".to_owned() } else { format!("{n} sampled rollouts") };
                if ui.selectable_label(state.view.fan == n, text).clicked() {
                    commands.send(Command::SetFan(n));
                }
            }
        })
        .response
        .on_hover_text("Seeded samples of the same rollout, spread by the temperature");
}

fn color_ui(ui: &mut egui::Ui, state: &State, commands: &mut Commands) {
    for (color_by, name) in ColorBy::ALL.into_iter().rev() {
        let hint = match color_by {
            ColorBy::Path => "One color a path; later steps are more opaque",
            ColorBy::Step => "Blue at the first step, vermillion at the last",
            ColorBy::Error => "State error after the step: blue at 0, vermillion at 2 median ‖Δ‖ and more",
            ColorBy::Manifold => "Distance to the 5 nearest training frames, over that of true frames: blue at 1, vermillion at 2 and more",
        };
        let label = ui.selectable_label(state.view.color_by == color_by, egui::RichText::new(name).small());
        if label.on_hover_text(hint).accessible_name(format!("Color by {}", name.to_lowercase())).clicked() {
            commands.send(Command::SetColorBy(color_by));
        }
    }
    ui.small("color by");
    let ends = match state.view.color_by {
        ColorBy::Path => return,
        ColorBy::Step => ["1", "last"],
        ColorBy::Error => ["0", "2"],
        ColorBy::Manifold => ["1", "2"],
    };
    // From right to left, as all of this row.
    ui.small(ends[1]);
    let (rect, _) = ui.allocate_exact_size(theme::SCALE_SIZE.into(), Sense::hover());
    let mut mesh = egui::Mesh::default();
    for (x, color) in [(rect.left(), theme::SCALE_ENDS[0]), (rect.right(), theme::SCALE_ENDS[1])] {
        mesh.colored_vertex(pos2(x, rect.top()), color);
        mesh.colored_vertex(pos2(x, rect.bottom()), color);
    }
    mesh.add_triangle(0, 1, 2);
    mesh.add_triangle(1, 2, 3);
    ui.painter().add(mesh);
    ui.small(ends[0]);
}

/// Everything but the whole utterance: truth over the steps, fan, branches, the live rollout on top.
fn drawn<'a>(state: &'a State, rolled: &'a Rolled, visuals: &egui::Visuals) -> Vec<Drawn<'a>> {
    let projected = |rollout: &'a Rollout, segment: usize, choice: &Choice| {
        state.sessions.get(choice.store).map(|session| Projected { frames: rollout.frames(segment), pca: &session.pca })
    };
    let from = |t0: usize| rolled.true_path[t0.saturating_sub(1)].clone();
    let along = |n: usize| (0..n).map(|i| i as f32 / n.saturating_sub(1).max(1) as f32).collect::<Vec<_>>();
    let unit = rolled.report.references.median_delta_norm;
    let of_errors = |errors: &mut dyn Iterator<Item = f64>| {
        std::iter::once(0.0).chain(errors.map(|e| (e / 2.0).clamp(0.0, 1.0) as f32)).collect::<Vec<_>>()
    };
    let shades = |n: usize, errors: &mut dyn Iterator<Item = f64>, off: &[f64]| match state.view.color_by {
        ColorBy::Error => of_errors(errors),
        ColorBy::Manifold => std::iter::once(0.0).chain(off.iter().map(|d| (d - 1.0).clamp(0.0, 1.0) as f32)).collect(),
        ColorBy::Path | ColorBy::Step => along(n),
    };
    let (t0, n_steps) = (rolled.choice.t0, rolled.live.n_steps);
    let truth = rolled.true_path[t0 - 1..t0 + n_steps].to_vec();
    let mut all = vec![Drawn {
        source: Some(Source::Truth),
        pulled: Pulled::Nothing,
        shades: along(truth.len()),
        points: truth,
        frames: None,
        color: theme::ink(visuals),
        width: theme::LIVE_WIDTH,
        opacity: 1.0,
    }];
    if let Some(fan) = state.fan.as_ref().filter(|fan| state.view.fan > 0 && fan.choice.rolls_like(&rolled.choice)) {
        for (sample, ((path, errors), off)) in fan.paths.iter().zip(&fan.errors).zip(&fan.off_manifold).enumerate() {
            let points: Vec<_> = std::iter::once(from(t0)).chain(path.iter().cloned()).collect();
            let shades = shades(points.len(), &mut errors.iter().copied(), off);
            let color = theme::source_color(Source::Rollout, visuals);
            all.push(Drawn {
                source: None,
                pulled: Pulled::Nothing,
                points,
                frames: projected(&fan.rollout, sample, &fan.choice),
                shades,
                color,
                width: theme::REFERENCE_WIDTH * 0.7,
                opacity: 0.5,
            });
        }
    }
    for kept in state.kept.values().filter(|k| state.view.branch(k.branch.id).is_some() && state.is_here(&k.branch.choice)) {
        let points: Vec<_> = std::iter::once(from(kept.branch.choice.t0)).chain(kept.path.iter().cloned()).collect();
        let shades = shades(points.len(), &mut kept.rollout.state_err_after.iter().map(|e| f64::from(*e) / unit), &kept.off_manifold);
        all.push(Drawn {
            source: Some(Source::Branch(kept.branch.id)),
            pulled: Pulled::Branch(kept.branch.id),
            points,
            frames: projected(&kept.rollout, 0, &kept.branch.choice),
            shades,
            color: theme::line_color(Line::Branch(kept.branch.id), visuals),
            width: theme::CURVE_WIDTH,
            opacity: 1.0,
        });
    }
    let points: Vec<_> = std::iter::once(from(t0)).chain(rolled.rolled_path.iter().cloned()).collect();
    let errors = &mut rolled.live.state_err_after.iter().map(|e| f64::from(*e) / unit);
    let shades = shades(points.len(), errors, &rolled.off_manifold);
    let color = theme::source_color(Source::Rollout, visuals);
    all.push(Drawn {
        source: Some(Source::Rollout),
        pulled: Pulled::Live,
        points,
        frames: projected(&rolled.live, 0, &rolled.choice),
        shades,
        color,
        width: theme::LIVE_WIDTH,
        opacity: 1.0,
    });
    all
}

impl Drawn<'_> {
    /// Colors at shade 0 and 1; the truth keeps its own.
    fn colors(&self, color_by: ColorBy) -> [Color32; 2] {
        match color_by {
            _ if self.source == Some(Source::Truth) => [self.color; 2],
            ColorBy::Path => [self.color; 2],
            _ => theme::SCALE_ENDS,
        }
    }

    /// What happens to the point when it is dragged.
    fn pulls(&self, step: usize) -> bool {
        self.pulled != Pulled::Nothing && step > 0
    }

    fn color_at(&self, i: usize, color_by: ColorBy) -> Color32 {
        let [low, high] = self.colors(color_by);
        low.lerp_to_gamma(high, self.shades.get(i).copied().unwrap_or(0.0)).gamma_multiply(self.opacity)
    }
}

/// How wide a plot of two components is at `height`, with one scale on both axes and no more room than its paths need.
fn plane_width(drawn: &[Drawn], (x, y): (usize, usize), height: f32) -> f32 {
    let [low, high] = extent(drawn, &|p| [f64::from(p[x]), f64::from(p[y])]);
    let ratio = (high[0] - low[0]) / (high[1] - low[1]);
    (height - theme::AXIS_SIZE[0]) * ratio as f32 + theme::LABELLED_Y_AXIS
}

/// The path in three components. Dragging turns it, a click on a point plays from there.
fn space_ui(
    ui: &mut egui::Ui,
    size: Vec2,
    state: &State,
    rolled: &Rolled,
    drawn: &[Drawn],
    drawings: &mut Drawings,
    commands: &mut Commands,
) {
    let (area, response) = ui.allocate_exact_size(size, Sense::click_and_drag());
    ui.painter().rect_filled(area, 2.0, ui.visuals().extreme_bg_color);
    let visuals = ui.visuals().clone();
    let scale = ui.pixels_per_point();
    let around = Orbit::around(&rollouts(drawn));
    let orbit = Orbit { yaw: state.view.orbit[0], pitch: state.view.orbit[1], radius: around.radius / state.view.nearness, ..around };
    drawings.space(ui, area, orbit, paths(state, rolled, drawn, &orbit, &visuals, scale));
    let matrix = orbit.matrix([area.width(), area.height()]);
    let place = |x: &[f32]| {
        let clip = |row: usize| (0..3).map(|k| matrix[k][row] * x[k]).sum::<f32>() + matrix[3][row];
        pos2(area.left() + (clip(0) + 1.0) * 0.5 * area.width(), area.top() + (1.0 - clip(1)) * 0.5 * area.height())
    };
    // Names at the ends of the axes, where the shader draws their lines.
    for (c, name) in ["PC 1", "PC 2", "PC 3"].into_iter().enumerate() {
        let at = place(&axis_end(&orbit, c));
        ui.painter_at(area).text(at, Align2::CENTER_CENTER, name, FontId::proportional(theme::SMALL_TEXT), theme::faint(&visuals));
    }
    let description =
        format!("Trajectory in three components, {} true frames, {} rolled steps", rolled.true_path.len(), rolled.rolled_path.len());
    response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, &description));
    // The shortest way in components that looks like `by` on the screen.
    let components = |by: Vec2| {
        let clip = [2.0 * by.x / area.width(), -2.0 * by.y / area.height()];
        let row = |row: usize| [0, 1, 2].map(|k| matrix[k][row]);
        let along = [0, 1].map(|i| clip[i] / row(i).iter().map(|m| m * m).sum::<f32>());
        (0..3).map(|k| along[0] * row(0)[k] + along[1] * row(1)[k]).collect()
    };
    let held = hold(ui, state, drawn, &response, &Projection { place: &place, components: &components }, commands);
    if response.dragged() && !held {
        commands.send(Command::TurnTrajectory(response.drag_delta() * theme::TURN_PER_POINT));
    }
    let scroll = if response.hovered() { ui.input(|i| i.smooth_scroll_delta().y) } else { 0.0 };
    if scroll != 0.0 {
        commands.send(Command::Approach((scroll * theme::ZOOM_PER_POINT).exp()));
    }
    if response.double_clicked() {
        commands.send(Command::ResetTrajectory);
    } else if let (true, Some(pos)) = (response.clicked(), response.interact_pointer_pos()) {
        hear(near(state, drawn, pos, &place, |d| d.source.is_some()), drawn, commands);
    }
    let text = match response.hover_pos().and_then(|pos| near(state, drawn, pos, &place, |d| d.source.is_some())) {
        Some((path, step)) => point_text(state, drawn, path, step),
        None => "Drag to turn, scroll to come nearer, double-click for the first view, click a point to hear it".to_owned(),
    };
    response.on_hover_text_at_pointer(text).on_hover_cursor(egui::CursorIcon::Grab);
}

/// The point under the pointer: path and step.
fn near(
    state: &State,
    drawn: &[Drawn],
    pos: Pos2,
    place: &dyn Fn(&[f32]) -> Pos2,
    wanted: impl Fn(&Drawn) -> bool,
) -> Option<(usize, usize)> {
    let points = drawn.iter().enumerate().filter(|(_, d)| wanted(d)).flat_map(|(path, d)| {
        d.points.iter().enumerate().filter(|(_, x)| x.iter().all(|v| v.is_finite())).map(move |(step, x)| (path, step, x))
    });
    let distances = points.map(|(path, step, x)| (place(x).distance(pos), path, step));
    let reached = distances.filter(|(d, ..)| *d < theme::GRAB_REACH);
    // Where several lie on top of each other, the one that the cursor marks is meant.
    let meant = |(d, _, step): &(f32, usize, usize)| d - if state.cursor_step() == Some(*step) { theme::GRAB_REACH } else { 0.0 };
    reached.min_by(|a, b| meant(a).total_cmp(&meant(b))).map(|(_, path, step)| (path, step))
}

/// Puts the cursor on a point and plays its path from there.
fn hear(point: Option<(usize, usize)>, drawn: &[Drawn], commands: &mut Commands) {
    let Some((path, step)) = point else { return };
    commands.send(Command::SetStep(step));
    if let Some(source) = drawn[path].source {
        commands.send(Command::Listen(source));
    }
}

fn point_text(state: &State, drawn: &[Drawn], path: usize, step: usize) -> String {
    let name = drawn[path].source.map_or_else(|| "Sample".to_owned(), |source| state.source_name(source));
    let coordinates: Vec<String> = drawn[path].points[step].iter().map(|x| format!("{x:.2}")).collect();
    let off = match (drawn[path].source, &state.rolled, step.checked_sub(1)) {
        (Some(Source::Rollout), Some(rolled), Some(i)) => {
            rolled.off_manifold.get(i).map_or_else(String::new, |d| format!("\n{d:.2} × as far from the training frames as true ones"))
        }
        _ => String::new(),
    };
    let drag = if drawn[path].pulls(step) {
        "pull it, and the rollout goes on from there; drag with shift to move the cursor"
    } else {
        "drag to move the cursor"
    };
    format!("{name}, step {step}\n({}){off}\nClick to hear it from here; {drag}", coordinates.join(", "))
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

/// What the view must hold: rollouts and the truth beside them; the rest of the utterance may reach out of it.
fn rollouts(drawn: &[Drawn]) -> Vec<Path> {
    let points = drawn.iter().flat_map(|d| d.points.iter()).map(|x| point(x, 0.0)).filter(|x| x.iter().all(|v| v.is_finite())).collect();
    vec![Path { points, color_low: [0.0; 4], color_high: [0.0; 4], width_px: 0.0 }]
}

/// Axes, the whole utterance, every path, and the cursor on each; of rollouts the frames too.
fn paths<'a>(state: &State, rolled: &Rolled, drawn: &[Drawn<'a>], orbit: &Orbit, visuals: &egui::Visuals, scale: f32) -> Vec<Course<'a>> {
    let rgba = |color: Color32, opacity: f32| {
        let [r, g, b, _] = color.to_normalized_gamma_f32();
        [r, g, b, opacity]
    };
    let path = |points: Vec<[f32; 4]>, colors: [Color32; 2], fade: [f32; 2], width: f32| Path {
        points,
        color_low: rgba(colors[0], fade[0]),
        color_high: rgba(colors[1], fade[1]),
        width_px: width * scale,
    };
    let faint = theme::faint(visuals);
    let mut all: Vec<Course> = (0..3)
        .map(|c| {
            let ends = [orbit.center, axis_end(orbit, c)].map(|x| point(&x, 0.0));
            (path(ends.to_vec(), [faint; 2], [theme::STALE_OPACITY; 2], theme::REFERENCE_WIDTH), None)
        })
        .collect();
    let whole = rolled.true_path.iter().map(|x| point(x, 0.0)).collect();
    all.push((path(whole, [faint; 2], [theme::STALE_OPACITY; 2], theme::REFERENCE_WIDTH), None));
    for d in drawn {
        let points = d.points.iter().zip(&d.shades).map(|(x, shade)| point(x, *shade)).collect();
        // Later steps are more opaque, so that the direction of time can be seen.
        let fade = if state.view.color_by == ColorBy::Path { [theme::STALE_OPACITY * d.opacity, d.opacity] } else { [d.opacity; 2] };
        all.push((path(points, d.colors(state.view.color_by), fade, d.width), d.frames.clone()));
    }
    if let Some(step) = state.cursor_step() {
        for d in drawn.iter().filter(|d| d.source.is_some()) {
            let dot = d.points.get(step).map(|x| vec![point(x, 1.0); 2]);
            all.extend(dot.map(|dot| (path(dot, [d.color; 2], [1.0; 2], theme::CURSOR_RADIUS * 2.0), None)));
        }
    }
    all
}

/// "step 7: rollout is 2.31 median steps from the truth".
fn departure(state: &State, rolled: &Rolled) -> String {
    let step = state.cursor_step().unwrap_or(rolled.live.n_steps).min(rolled.live.n_steps);
    let error = rolled.off_truth.get(step - 1).copied().unwrap_or(f64::NAN);
    let off = rolled.off_manifold.get(step - 1).copied().unwrap_or(f64::NAN);
    format!("live rollout after step {step}: {error:.2} median ‖Δ‖ from the truth, {off:.2} × as far from the data as true frames")
}

/// How components lie on the screen, and back.
struct Projection<'a> {
    /// Where a point of a path is drawn.
    place: &'a dyn Fn(&[f32]) -> Pos2,
    /// What a way on the screen is in components.
    components: &'a dyn Fn(Vec2) -> Vec<f32>,
}

/// A point that is being dragged.
#[derive(Clone, Copy)]
struct Held {
    path: usize,
    step: usize,
    /// It is pulled away; otherwise the cursor is led along its path.
    pulls: bool,
}

/// Two components against each other. A click plays from the nearest point; a point of a rollout can be pulled.
#[expect(clippy::too_many_arguments, reason = "what is shown, where, and along which components")]
fn plane_ui(
    ui: &mut egui::Ui,
    size: Vec2,
    state: &State,
    session: &Session,
    rolled: &Rolled,
    drawn: &[Drawn],
    (x, y): (usize, usize),
    commands: &mut Commands,
) {
    let at = |p: &[f32]| [f64::from(p[x]), f64::from(p[y])];
    let finite = |p: &[f64; 2]| p.iter().all(|v| v.is_finite());
    let all: Vec<[f64; 2]> = rolled.true_path.iter().map(|p| at(p)).collect();
    let name = |c: usize| format!("PC {} ({:.0} %)", c + 1, 100.0 * session.pca.variance[c] / session.pca.total_variance);
    let description =
        format!("Trajectory in {} and {}, {} true frames, {} rolled steps", name(x), name(y), all.len(), rolled.rolled_path.len());
    let faint = theme::faint(ui.visuals());
    let marks = |points: f32, pitch: f32| Marks { scale: Scale::Linear, most: (points / pitch) as usize };
    let (across, up) = (marks(size.x - theme::LABELLED_Y_AXIS, theme::X_LABEL_PITCH), marks(size.y, theme::Y_LABEL_PITCH));
    let color_by = state.view.color_by;
    // The first two components are the view's own to move; the third is there where space is not.
    let movable = (x, y) == (0, 1);
    let [low, high] = state.view.plane.filter(|_| movable).unwrap_or_else(|| extent(drawn, &at));
    let response = Plot::new(("plane", x, y))
        .width(size.x)
        .height(size.y)
        .data_aspect(1.0)
        .custom_x_axes(vec![axis(AxisHints::new_x(), across).label(name(x)).min_thickness(theme::AXIS_SIZE[0])])
        .custom_y_axes(vec![axis(AxisHints::new_y(), up).label(name(y)).min_thickness(theme::LABELLED_Y_AXIS)])
        .x_grid_spacer(move |input| across.place(&input))
        .y_grid_spacer(move |input| up.place(&input))
        .allow_drag(false)
        .allow_zoom(false)
        .allow_scroll(false)
        .allow_boxed_zoom(false)
        .allow_double_click_reset(false)
        .label_formatter(|_| None)
        .show(ui, |plot_ui| {
            plot_ui.set_plot_bounds(PlotBounds::from_min_max(low, high));
            let utterance = PlotLine::new("utterance", PlotPoints::from(all)).color(faint);
            plot_ui.line(utterance.width(theme::REFERENCE_WIDTH * 0.6).allow_hover(false));
            for d in drawn {
                let points: Vec<[f64; 2]> = d.points.iter().map(|p| at(p)).take_while(finite).collect();
                path(plot_ui, d, points, color_by);
            }
            for d in drawn.iter().filter(|d| d.source.is_some()) {
                // Index 0 is the last true frame before the start.
                if let Some(point) = state.cursor_step().and_then(|step| d.points.get(step)).map(|p| at(p)).filter(finite) {
                    plot_ui.points(
                        Points::new("cursor", vec![point]).color(d.color).radius(theme::CURSOR_RADIUS).filled(false).allow_hover(false),
                    );
                }
            }
        });
    let area = response.response;
    area.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Image, true, &description));
    let place = |p: &[f32]| response.transform.position_from_point(&at(p).into());
    if movable {
        move_plane(ui, &area, &response.transform, commands);
    }
    let components = |by: Vec2| {
        let [from, to] = [Pos2::ZERO, Pos2::ZERO + by].map(|pos| response.transform.value_from_position(pos));
        let mut moved = vec![0.0; session.pca.variance.len()];
        (moved[x], moved[y]) = ((to.x - from.x) as f32, (to.y - from.y) as f32);
        moved
    };
    hold(ui, state, drawn, &area, &Projection { place: &place, components: &components }, commands);
    if let (true, Some(pos)) = (area.clicked(), area.interact_pointer_pos()) {
        hear(near(state, drawn, pos, &place, |d| d.source.is_some()), drawn, commands);
    }
    if let Some(pos) = area.hover_pos()
        && let Some((path, step)) = near(state, drawn, pos, &place, |d| d.source.is_some())
    {
        area.on_hover_text_at_pointer(point_text(state, drawn, path, step));
    }
}

/// A point is dragged: of a rollout, a line shows where to, and letting go makes a branch; of the truth, or with shift held, the cursor
/// follows the pointer along the path. Whether anything is held.
fn hold(ui: &egui::Ui, state: &State, drawn: &[Drawn], area: &egui::Response, view: &Projection<'_>, commands: &mut Commands) -> bool {
    let id = area.id.with("held");
    let (origin, along) = ui.input(|i| (i.pointer.press_origin(), i.modifiers.shift));
    if let (true, Some(origin)) = (area.drag_started_by(egui::PointerButton::Primary), origin) {
        let pulled = near(state, drawn, origin, view.place, |d| d.pulls(1)).filter(|(path, step)| !along && drawn[*path].pulls(*step));
        let held = pulled.map(|(path, step)| Held { path, step, pulls: true }).or_else(|| {
            near(state, drawn, origin, view.place, |d| d.source.is_some()).map(|(path, step)| Held { path, step, pulls: false })
        });
        ui.data_mut(|d| match held {
            Some(held) => drop(d.insert_temp(id, held)),
            None => d.remove::<Held>(id),
        });
    }
    let held = ui.data(|d| d.get_temp::<Held>(id)).filter(|h| h.path < drawn.len() && h.step < drawn[h.path].points.len());
    let (Some(held), Some(pos)) = (held, area.interact_pointer_pos()) else { return false };
    let path = &drawn[held.path];
    if held.pulls {
        let from = (view.place)(&path.points[held.step]);
        let stroke = egui::Stroke::new(theme::CURSOR_WIDTH, path.color);
        ui.painter_at(area.rect).extend(egui::Shape::dashed_line(&[from, pos], stroke, theme::DASH, theme::DASH * 0.6));
        ui.painter_at(area.rect).circle_stroke(pos, theme::CURSOR_RADIUS, stroke);
        if area.drag_stopped() {
            let pull = Some(Pull { step: held.step, by: (view.components)(pos - from) });
            let from = if let Pulled::Branch(id) = path.pulled { Some(id) } else { None };
            commands.send(Command::Branch { from, pull });
        }
    } else {
        let finite = path.points.iter().enumerate().filter(|(_, x)| x.iter().all(|v| v.is_finite()));
        let distances = finite.map(|(step, x)| (step, (view.place)(x).distance(pos)));
        if let Some((step, _)) = distances.min_by(|a, b| a.1.total_cmp(&b.1)).filter(|(step, _)| state.cursor_step() != Some(*step)) {
            commands.send(Command::SetStep(step));
        }
    }
    if area.drag_stopped() {
        ui.data_mut(|d| d.remove::<Held>(id));
    }
    true
}

/// Lowest and highest corner of all rollouts and the truth beside them, with a margin.
fn extent(drawn: &[Drawn], at: &dyn Fn(&[f32]) -> [f64; 2]) -> [[f64; 2]; 2] {
    let points = drawn.iter().flat_map(|d| d.points.iter()).map(|p| at(p)).filter(|p| p.iter().all(|v| v.is_finite()));
    let start = [[f64::INFINITY; 2], [f64::NEG_INFINITY; 2]];
    let [low, high] = points.fold(start, |[l, h], p| [[l[0].min(p[0]), l[1].min(p[1])], [h[0].max(p[0]), h[1].max(p[1])]]);
    if low[0] > high[0] {
        return [[-1.0; 2], [1.0; 2]];
    }
    let margin = [0, 1].map(|c| ((high[c] - low[c]) * theme::PLOT_MARGIN).max(theme::SMALLEST_MARGIN));
    [[low[0] - margin[0], low[1] - margin[1]], [high[0] + margin[0], high[1] + margin[1]]]
}

/// Scrolling zooms about the pointer, the middle button pulls, a double-click shows all.
fn move_plane(ui: &egui::Ui, area: &egui::Response, transform: &PlotTransform, commands: &mut Commands) {
    let bounds = transform.bounds();
    let (low, high) = (bounds.min(), bounds.max());
    if area.double_clicked() {
        commands.send(Command::ViewPlane(None));
    } else if area.dragged_by(egui::PointerButton::Middle) {
        let by = [-area.drag_delta().x, area.drag_delta().y];
        let size = [transform.frame().width(), transform.frame().height()];
        let by = [0, 1].map(|c| f64::from(by[c] / size[c]) * (high[c] - low[c]));
        commands.send(Command::ViewPlane(Some([[low[0] + by[0], low[1] + by[1]], [high[0] + by[0], high[1] + by[1]]])));
    }
    let Some(pos) = area.hover_pos() else { return };
    let scroll = ui.input(|i| i.smooth_scroll_delta().y);
    if scroll != 0.0 {
        let (at, factor) = (transform.value_from_position(pos), f64::from(scroll * theme::ZOOM_PER_POINT).exp());
        let at = [at.x, at.y];
        let corner = |c: [f64; 2]| [at[0] + (c[0] - at[0]) / factor, at[1] + (c[1] - at[1]) / factor];
        commands.send(Command::ViewPlane(Some([corner(low), corner(high)])));
    }
}

fn axis(hints: AxisHints<'_>, marks: Marks) -> AxisHints<'_> {
    let spacing = egui::Rangef::new(theme::LABEL_SPACING[0], theme::LABEL_SPACING[1]);
    hints.label_spacing(spacing).formatter(move |mark, shown| marks.label(mark, shown))
}

fn path(plot_ui: &mut PlotUi<'_>, drawn: &Drawn, points: Vec<[f64; 2]>, color_by: ColorBy) {
    let color = drawn.color.gamma_multiply(drawn.opacity);
    if color_by == ColorBy::Path || drawn.source == Some(Source::Truth) {
        plot_ui.line(PlotLine::new("path", PlotPoints::from(points.clone())).color(color).width(drawn.width).allow_hover(false));
    } else {
        for (i, piece) in points.windows(2).enumerate() {
            let color = drawn.color_at(i + 1, color_by);
            plot_ui.line(PlotLine::new("path", PlotPoints::from(piece.to_vec())).color(color).width(drawn.width).allow_hover(false));
        }
    }
    if drawn.source.is_some() {
        for (i, point) in points.iter().enumerate() {
            let color = drawn.color_at(i, color_by);
            plot_ui.points(Points::new("path", vec![*point]).color(color).radius(theme::MARKER_RADIUS).allow_hover(false));
        }
    }
}
