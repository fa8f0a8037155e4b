//! Right: how the rollout advances, what the synthetic modes do, and what leaves the window.

use driftscope_core::perceive::{Measure, POOR_ROUND_TRIP_STOI};
use driftscope_core::predict::MagnitudeRule;
use driftscope_core::rollout::synthetic::Accumulation;
use driftscope_core::rollout::{RolloutConfig, Schedule, StepAction};
use eframe::egui::{self, Slider};

use super::definition_ui;
use crate::window::command::{Command, Commands, FigureOf};
use crate::window::session::Session;
use crate::window::source::Source;
use crate::window::state::State;
use crate::window::theme;

const RULES: [(MagnitudeRule, &str, &str); 4] = [
    (MagnitudeRule::Mean, "Mean", "e^(μ+σ²/2) of a LogNormal magnitude: longer than a typical step, so a rollout blows up."),
    (MagnitudeRule::Median, "Median", "e^μ of a LogNormal magnitude; the mean of a Gaussian mixture."),
    (MagnitudeRule::Mode, "Mode", "e^(μ−σ²) of a LogNormal magnitude; the heaviest component of a Gaussian mixture."),
    (MagnitudeRule::Sample, "Sample", "A seeded draw, spread by the temperature."),
];
/// Enough to tell intelligibility, quality, and distances with and without phase apart; all of them: `driftscope perceive`.
const SHOWN_MEASURES: [Measure; 5] = [Measure::Stoi, Measure::PesqWideBand, Measure::MelDistance, Measure::SiSdr, Measure::F0Error];
const REANCHOR: [Option<usize>; 5] = [None, Some(1), Some(2), Some(4), Some(8)];

/// Draws the inspector.
pub fn inspector_ui(ui: &mut egui::Ui, state: &State, commands: &mut Commands) {
    let Some(session) = state.session() else { return };
    egui::ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
        ui.strong("Rollout");
        ui.label(session.predictor_name(state.choice().predictor));
        start_ui(ui, state, session, commands);
        steps_ui(ui, state, session, commands);
        rule_ui(ui, state, commands);
        sliders_ui(ui, state, commands);
        reanchor_ui(ui, state, commands);
        paint_ui(ui, state, commands);
        let changed = state.choice().config != RolloutConfig::default() || !state.choice().painted.is_empty();
        if ui.add_enabled(changed, egui::Button::new("Reset rollout")).on_hover_text("All of the above as at first start").clicked() {
            commands.send(Command::ResetRollout);
        }
        let keep = ui.add_enabled(state.is_current(), egui::Button::new("Keep as branch"));
        if keep
            .on_hover_text("Keep this rollout beside the live one, to be compared (B). A point pulled in the trajectory does the same")
            .clicked()
        {
            commands.send(Command::Branch { from: None, pull: None });
        }
        ui.separator();
        synthetic_ui(ui, state, commands);
        ui.separator();
        measures_ui(ui, state);
        export_ui(ui, state, commands);
    });
}

fn row_ui(ui: &mut egui::Ui, name: &str, definition: &str, add: impl FnOnce(&mut egui::Ui)) {
    ui.horizontal(|ui| {
        ui.label(name);
        definition_ui(ui, name, definition);
    });
    add(ui);
    ui.add_space(theme::GAP * 0.5);
}

fn start_ui(ui: &mut egui::Ui, state: &State, session: &Session, commands: &mut Commands) {
    let Some((first, last)) = session.start_range(state.choice().utterance, state.choice().predictor, state.choice().config.n_steps) else {
        return;
    };
    row_ui(ui, "Start frame", "First predicted frame t0; the window before it is true. Drag it in the timeline, too.", |ui| {
        let mut t0 = state.choice().t0;
        if ui.add(Slider::new(&mut t0, first..=last)).accessible_name("Start frame").changed() {
            commands.send(Command::SetStart(t0));
        }
    });
}

fn steps_ui(ui: &mut egui::Ui, state: &State, session: &Session, commands: &mut Commands) {
    row_ui(ui, "Steps", "How many steps are rolled out, in all modes. Drag the end of the rollout in the timeline, too.", |ui| {
        let mut n_steps = state.choice().config.n_steps;
        if ui.add(Slider::new(&mut n_steps, 1..=session.most_steps)).accessible_name("Steps").changed() {
            commands.send(Command::SetSteps(n_steps));
        }
    });
}

fn rule_ui(ui: &mut egui::Ui, state: &State, commands: &mut Commands) {
    let current = state.choice().config.rule;
    row_ui(ui, "Magnitude rule", "Which point of the predicted distribution the state advances by.", |ui| {
        ui.horizontal_wrapped(|ui| {
            for (rule, name, hint) in RULES {
                if ui.selectable_label(rule == current, name).on_hover_text(hint).clicked() {
                    commands.send(Command::SetRule(rule));
                }
            }
        });
    });
}

fn sliders_ui(ui: &mut egui::Ui, state: &State, commands: &mut Commands) {
    let config = &state.choice().config;
    row_ui(ui, "α", "Factor on every predicted Δ before it moves the state; 1 leaves it as predicted.", |ui| {
        let mut alpha = config.alpha;
        if ui.add(Slider::new(&mut alpha, 0.0..=2.0).fixed_decimals(2).step_by(0.05)).accessible_name("Alpha").changed() {
            commands.send(Command::SetAlpha(alpha));
        }
    });
    row_ui(ui, "Noise", "SD of Gaussian noise added to the state after each step, in units of the median ‖Δ‖/√D.", |ui| {
        let mut noise = config.noise_sigma;
        if ui.add(Slider::new(&mut noise, 0.0..=2.0).fixed_decimals(2).step_by(0.05)).accessible_name("Noise").changed() {
            commands.send(Command::SetNoise(noise));
        }
    });
    let samples = config.rule == MagnitudeRule::Sample;
    row_ui(ui, "Temperature", "Scales the spread of samples; used by the rule \"sample\" only.", |ui| {
        let mut temperature = config.temperature;
        let slider = Slider::new(&mut temperature, 0.0..=2.0).fixed_decimals(2).step_by(0.05);
        let response = ui.add_enabled(samples, slider).accessible_name("Temperature");
        if response.on_disabled_hover_text("Choose the magnitude rule \"sample\" first").changed() {
            commands.send(Command::SetTemperature(temperature));
        }
    });
}

fn reanchor_ui(ui: &mut egui::Ui, state: &State, commands: &mut Commands) {
    row_ui(ui, "Re-anchor", "Put the true state back after every N steps, in all modes.", |ui| {
        ui.horizontal_wrapped(|ui| {
            for every in REANCHOR {
                let name = every.map_or_else(|| "Never".to_owned(), |n| n.to_string());
                let button = ui.selectable_label(every == state.choice().config.reanchor_every, &name);
                if button.accessible_name(format!("Re-anchor {}", name.to_lowercase())).clicked() {
                    commands.send(Command::SetReanchor(every));
                }
            }
        });
    });
}

fn paint_ui(ui: &mut egui::Ui, state: &State, commands: &mut Commands) {
    row_ui(
        ui,
        "Painted steps",
        "What becomes of the live rollout's state after each step: click or pull on the strip of steps in the timeline.",
        |ui| {
            ui.horizontal_wrapped(|ui| {
                for action in [StepAction::Truth, StepAction::Noise, StepAction::Freeze] {
                    let name = theme::action_name(action);
                    let button = ui
                        .selectable_label(state.brush == action, name)
                        .on_hover_text(format!("Paint with this. {}", theme::action_hint(action)));
                    if button.accessible_name(format!("Brush {name}")).clicked() {
                        commands.send(Command::SetBrush(action));
                    }
                }
            });
            ui.horizontal_wrapped(|ui| {
                let n_steps = state.choice().config.n_steps;
                for (schedule, name) in Schedule::standard(n_steps).into_iter().zip(["A", "B", "C", "D"]) {
                    let chosen = (1..=n_steps).all(|step| state.choice().action(step) == schedule.actions[step - 1]);
                    let hint = format!("As mode {}", schedule.name.replace('_', ", "));
                    if ui.selectable_label(chosen, name).on_hover_text(hint).accessible_name(format!("Preset {name}")).clicked() {
                        commands.send(Command::PaintAll(schedule.actions));
                    }
                }
            });
        },
    );
}

fn synthetic_ui(ui: &mut egui::Ui, state: &State, commands: &mut Commands) {
    ui.strong("Synthetic modes");
    ui.horizontal_wrapped(|ui| {
        for (value, name, hint) in [
            (Accumulation::Accumulated, "Accumulated", "Errors add up from frame 0, as in the audioEngram scripts."),
            (Accumulation::PerStep, "Per step", "Each step starts from the true frame before it."),
        ] {
            if ui.selectable_label(value == state.choice().accumulation, name).on_hover_text(hint).clicked() {
                commands.send(Command::SetAccumulation(value));
            }
        }
    });
    row_ui(
        ui,
        "Angle off true",
        "Every true Δ is turned by θ towards a seeded random direction orthogonal to it, its norm kept. Heard as the source \"Off\".",
        |ui| {
            let mut degrees = state.choice().angle_degrees;
            let slider = Slider::new(&mut degrees, 0.0..=180.0).fixed_decimals(0).step_by(1.0).suffix("°");
            if ui.add(slider).accessible_name("Angle off true").changed() {
                commands.send(Command::SetAngle(degrees));
            }
        },
    );
}

/// What is listened to beside what the codec's round trip alone costs: no rollout can measure better than that.
fn measures_ui(ui: &mut egui::Ui, state: &State) {
    let of_truth = state.scored(Source::Truth);
    let heard = state.scored(state.view.source).filter(|scored| scored.sound.source != Source::Truth);
    let Some(any) = of_truth.or(heard) else { return };
    let against = if any.against == Source::Original { "recording" } else { "ground truth" };
    ui.strong(format!("Measured against the {against}"));
    egui::Grid::new("measures").num_columns(3).striped(true).show(ui, |ui| {
        ui.label("");
        for scored in [of_truth, heard].into_iter().flatten() {
            let name = if scored.sound.source == Source::Truth { "Round trip".to_owned() } else { state.source_name(scored.sound.source) };
            ui.add(egui::Label::new(egui::RichText::new(&name).small()).truncate()).on_hover_text(scored.sound.source.explanation());
        }
        ui.end_row();
        for measure in SHOWN_MEASURES {
            ui.horizontal(|ui| {
                ui.label(measure.name());
                definition_ui(ui, measure.name(), measure.definition());
            });
            for scored in [of_truth, heard].into_iter().flatten() {
                let (text, reason) = match scored.scores.all.iter().find(|(m, _)| *m == measure) {
                    Some((_, Ok(score))) => (format!("{:.2} {}", score.value, measure.unit()), format!("n = {}", score.n)),
                    Some((_, Err(reason))) => ("–".to_owned(), reason.to_string()),
                    None => ("–".to_owned(), String::new()),
                };
                ui.monospace(text.trim()).on_hover_text(reason);
            }
            ui.end_row();
        }
    });
    if let Some(stoi) = of_truth.filter(|s| s.against == Source::Original).and_then(|s| s.scores.value(Measure::Stoi))
        && stoi < POOR_ROUND_TRIP_STOI
    {
        let text = format!("The codec's round trip alone has STOI {stoi:.2}: what is heard here says little about a rollout.");
        ui.colored_label(theme::warning(), text);
    }
    ui.separator();
}

fn export_ui(ui: &mut egui::Ui, state: &State, commands: &mut Commands) {
    ui.strong("Figure");
    let export = ui.add_enabled(state.is_current(), egui::Button::new("Export figure"));
    if export.on_hover_text("Width, text and lines as on paper; PNG, SVG, PDF and CSV (ctrl+E)").clicked() {
        commands.send(Command::DraftFigure(FigureOf::Curves));
    }
}
