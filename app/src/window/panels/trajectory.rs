//! True and rolled trajectory in principal components: where in latent space the rollout leaves.

use eframe::egui;
use egui_plot::{Line, Plot, PlotPoints, PlotUi, Points};

use super::definition_ui;
use crate::window::command::{Command, Commands};
use crate::window::session::Session;
use crate::window::source::Source;
use crate::window::state::State;
use crate::window::theme;
use crate::window::worker::Rolled;

const DEFINITION: &str = "Frames projected on the principal components of the training side's raw latents. Thin: the whole true utterance; thick: the \
    truth over the rollout's steps, and the live rollout from the last true frame. Distances in two components are smaller than those in all: \
    read distances in the state error.";

/// Draws components 1–2 and 3–2 side by side.
pub fn trajectory_ui(ui: &mut egui::Ui, state: &State, commands: &mut Commands) {
    let (Some(session), Some(rolled)) = (&state.session, &state.rolled) else { return };
    ui.horizontal(|ui| {
        ui.strong("Trajectory");
        definition_ui(ui, "Trajectory", DEFINITION);
        ui.small(departure(state, rolled));
    });
    if !state.is_current() {
        ui.multiply_opacity(theme::STALE_OPACITY);
    }
    let n_components = session.pca.variance.len();
    let pairs: Vec<(usize, usize)> = [(0, 1), (2, 1)].into_iter().filter(|(x, y)| *x < n_components && *y < n_components).collect();
    let height = ui.available_height();
    ui.columns(pairs.len().max(1), |columns| {
        for (ui, pair) in columns.iter_mut().zip(&pairs) {
            ui.set_max_height(height);
            plane_ui(ui, state, session, rolled, *pair, commands);
        }
    });
}

/// "step 7: rollout is 2.31 median steps from the truth".
fn departure(state: &State, rolled: &Rolled) -> String {
    let step = state.cursor_step().unwrap_or(rolled.live.n_steps);
    let error = f64::from(rolled.live.state_err_after[step - 1]) / rolled.report.references.median_delta_norm;
    format!("step {step}: the live rollout is {error:.2} median ‖Δ‖ from the truth")
}

fn plane_ui(ui: &mut egui::Ui, state: &State, session: &Session, rolled: &Rolled, (x, y): (usize, usize), commands: &mut Commands) {
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
    let (live_for_click, truth_for_click) = (live.clone(), truth.clone());
    let response = Plot::new(("plane", x, y))
        .height(ui.available_height())
        .data_aspect(1.0)
        .x_axis_label(name(x))
        .y_axis_label(name(y))
        .show_axes(true)
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

fn path(plot_ui: &mut PlotUi<'_>, name: &str, points: Vec<[f64; 2]>, color: egui::Color32) {
    plot_ui.line(Line::new(name, PlotPoints::from(points.clone())).color(color).width(theme::CURVE_WIDTH).allow_hover(false));
    plot_ui.points(Points::new(name, points).color(color).radius(theme::MARKER_RADIUS).allow_hover(false));
}
