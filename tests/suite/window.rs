//! The window without a window: commands change state, panels send commands, the worker answers with what was asked for.
//!
//! Panels are driven by accessible names and read back by the texts they offer to screen readers; nothing is compared by pixels.

use std::sync::Arc;
use std::time::Duration;

use driftscope::window::command::{Command, Commands, FigureOf};
use driftscope::window::curves::{Line, Metric, table_steps};
use driftscope::window::drawing::Drawings;
use driftscope::window::panels;
use driftscope::window::picture::{difference, picture};
use driftscope::window::session::{Material, Session};
use driftscope::window::source::Source;
use driftscope::window::state::{Effect, Notice, SoundState, State};
use driftscope::window::theme;
use driftscope::window::view::Basis;
use driftscope::window::worker::{Delivery, Sound, Wish, Worker};
use driftscope_core::audio::AudioClip;
use driftscope_core::context::{Pairs, Side, Slice};
use driftscope_core::diagnose::toy::{Toy, toy_corpus};
use driftscope_core::engine::{DeviceChoice, open_device};
use driftscope_core::job::JobCtx;
use driftscope_core::predict::{Baselines, MagnitudeRule, Predictor, Ridge};
use driftscope_core::rollout::StepAction;
use eframe::egui;
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;

const DIM: usize = 6;
const WINDOW: usize = 4;

fn ctx() -> JobCtx {
    JobCtx::quiet(open_device(DeviceChoice::Cpu).unwrap().device, 7)
}

/// A stable AR(1) with the ridge that fits it: everything but sound.
fn material(ctx: &JobCtx) -> Material {
    let corpus = toy_corpus(Toy::StableAr1 { a: 0.9 }, 8, 60, DIM, 3);
    let train: Vec<usize> = (0..corpus.utterances.len()).filter(|i| corpus.utterances[*i].side == Side::Train).collect();
    let pairs = Pairs::cut(&corpus, &train, WINDOW, 1, Slice::All);
    let ridge = Ridge::fit(ctx, &pairs.contexts, &pairs.deltas, pairs.len(), DIM, 1.0).unwrap();
    let predictors = vec![
        Predictor::linear(ridge, WINDOW, 1, DIM, &ctx.device),
        Predictor::climatology(vec![0.0; DIM], WINDOW),
        Predictor::persistence(DIM, WINDOW),
    ];
    Material {
        name: "toy".into(),
        path: None,
        corpus,
        clips: Vec::new(),
        codec: None,
        made_by: Some("lyra".into()),
        predictors,
        baselines: Baselines::fit(&pairs),
    }
}

fn worker() -> Worker {
    Worker::start(ctx(), Box::new(|ctx| Ok(material(ctx))), || {}).unwrap()
}

/// Takes in deliveries until `done`.
fn serve(state: &mut State, worker: &mut Worker, done: impl Fn(&State) -> bool) {
    while !done(state) {
        let delivery = worker.wait(Duration::from_secs(20)).expect("the worker answers");
        for effect in state.receive(delivery) {
            if effect == Effect::Compute {
                worker.compute(state.wish());
            }
        }
        assert!(!matches!(state.notice, Some(Notice::Problem(_))), "{:?}", state.notice);
    }
}

/// A state as after a first start, computed by the real worker.
fn ready() -> (State, Worker) {
    let (mut state, mut worker) = (State::default(), worker());
    serve(&mut state, &mut worker, State::is_current);
    (state, worker)
}

/// Runs one panel over `state` and gives back what it asked for after `act`.
fn asked(
    state: &State,
    size: [f32; 2],
    panel: impl Fn(&mut egui::Ui, &State, &mut Commands),
    act: impl FnOnce(&Harness<'_, Commands>),
) -> Vec<Command> {
    let draw = |ui: &mut egui::Ui, commands: &mut Commands| panel(ui, state, commands);
    let mut harness = Harness::builder().with_context_setup(theme::install).with_size(size).build_ui_state(draw, Commands::default());
    harness.run_steps(2);
    harness.state_mut().take();
    act(&harness);
    harness.run_steps(3);
    harness.state_mut().take()
}

fn whole(ui: &mut egui::Ui, state: &State, commands: &mut Commands) {
    let about = panels::About { device: "CPU", ..Default::default() };
    panels::window_ui(ui, state, &about, &mut state.layout.clone(), &mut Drawings::default(), commands);
}

fn tone(state: &State, source: Source, hz: f32) -> Sound {
    let n = (state.duration_sec() * 16_000.0) as usize;
    let samples = (0..n).map(|i| 0.5 * (2.0 * std::f32::consts::PI * hz * i as f32 / 16_000.0).sin()).collect();
    let clip = AudioClip { samples, sample_rate_hz: 16_000 };
    let picture = picture(&clip);
    Sound {
        source,
        basis: Basis::of(source, &state.view, state.choice()).unwrap(),
        loudness_lufs: Some(-20.0),
        peak: 0.5,
        for_player: clip.samples.as_slice().into(),
        difference: Some(difference(&clip, &clip, &picture, &picture)),
        clip,
        picture,
    }
}

#[test]
fn a_first_start_ends_complete() {
    let (state, _worker) = ready();
    let rolled = state.rolled.as_ref().unwrap();
    assert_eq!(rolled.plots.len(), Metric::ALL.len());
    let session = state.session().unwrap();
    let chosen = &session.corpus.utterances[state.choice().utterance];
    assert_eq!(chosen.side, Side::Eval, "what opens first was seen by no fit");
    for plot in &rolled.plots {
        for line in [Line::Teacher, Line::Periodic, Line::OneShot, Line::Free, Line::Live] {
            let curve = plot.curve(line).unwrap();
            assert!(curve.values.iter().all(Option::is_some), "{:?} {line:?}", plot.metric);
        }
    }
    assert_eq!(rolled.rolled_path.len(), 16);
    let free = rolled.plots[1].curve(Line::Free).unwrap();
    let teacher = rolled.plots[1].curve(Line::Teacher).unwrap();
    assert!(free.values[15] > teacher.values[15], "running free is further from the truth than being led");
}

#[test]
fn every_setting_reaches_the_rollout() {
    let (mut state, mut worker) = ready();
    let before = Arc::clone(state.rolled.as_ref().unwrap());
    for command in [Command::SetAlpha(0.5), Command::SetReanchor(Some(4)), Command::Paint { step: 2, action: StepAction::Truth }, Command::SetStart(20)] {
        let shown = Arc::clone(state.rolled.as_ref().unwrap());
        assert_eq!(state.apply(command.clone()), [Effect::Compute], "{command:?}");
        assert!(!state.is_current(), "what is on screen is of before {command:?}");
        worker.compute(state.wish());
        serve(&mut state, &mut worker, State::is_current);
        assert_ne!(state.rolled.as_ref().unwrap().live.states, shown.live.states, "{command:?}");
    }
    assert_eq!(state.apply(Command::SetAlpha(0.5)), [], "a setting that does not change computes nothing");
    assert_eq!(before.choice.config.alpha, 1.0);
}

#[test]
fn results_of_another_utterance_or_generation_are_not_shown() {
    let (mut state, _worker) = ready();
    let old = Arc::clone(state.rolled.as_ref().unwrap());
    let sound = Arc::new(tone(&state, Source::Rollout, 440.0));
    let other = (state.choice().utterance + 2) % 8;
    state.apply(Command::ChooseUtterance(other));
    state.receive(Delivery::Rolled(old));
    state.receive(Delivery::Sound(sound));
    assert!(state.rolled.is_none() && state.sounds.is_empty());
}

#[test]
fn a_rollout_sounds_only_with_its_own_curves() {
    let (mut state, mut worker) = ready();
    // The toy has no codec; what is tested is the pairing, so a session with one is pretended by the sound alone.
    let sound = Arc::new(tone(&state, Source::Rollout, 440.0));
    let belongs = |state: &State| {
        let shown = &state.rolled.as_ref().unwrap().choice;
        Basis::of(Source::Rollout, &state.view, shown).unwrap() == sound.basis
    };
    assert!(belongs(&state));
    state.apply(Command::SetAlpha(0.3));
    worker.compute(state.wish());
    serve(&mut state, &mut worker, State::is_current);
    assert!(!belongs(&state));
    let SoundState::Absent(reason) = state.sound(Source::Rollout) else { panic!("there is no decoder") };
    assert_eq!(reason, "made by another codec (lyra); there is no decoder here, so nothing can be heard");
}

#[test]
fn the_cursor_snaps_to_frames_and_steps() {
    let (mut state, _worker) = ready();
    state.apply(Command::SetStep(5));
    assert_eq!((state.cursor_step(), state.cursor_frame()), (Some(5), state.choice().t0 + 4));
    state.apply(Command::MoveCursor(-1));
    assert_eq!(state.cursor_step(), Some(4));
    state.apply(Command::MoveCursorSec(1.0));
    assert_eq!(state.cursor_frame(), state.choice().t0 + 3 + 13, "one second is 12.5 frames, rounded");
    state.apply(Command::SetCursor(10_000));
    assert_eq!(state.cursor_frame(), 59);
    state.apply(Command::MoveCursor(-1_000));
    assert_eq!((state.cursor_frame(), state.cursor_step()), (0, None));
}

#[test]
fn listening_remembers_the_source_before() {
    let mut state = State::default();
    state.apply(Command::Listen(Source::Slow75));
    state.apply(Command::Listen(Source::Truth));
    let view = &state.view;
    assert_eq!((view.source, view.compared), (Source::Truth, Source::Slow75), "the truth is compared with the last other source");
    state.apply(Command::SwapSource);
    assert_eq!((state.view.source, state.view.previous), (Source::Slow75, Source::Truth));
}

#[test]
fn panels_ask_by_name() {
    let (state, _worker) = ready();
    let click = |name: &'static str| asked(&state, [1280.0, 800.0], whole, move |h| h.get_by_label(name).click());
    let cases = [
        ("Play", Command::TogglePlay),
        ("Loop", Command::ToggleLoop),
        ("Mode", Command::SetRule(MagnitudeRule::Mode)),
        ("Re-anchor 4", Command::SetReanchor(Some(4))),
        ("Climatology k=1", Command::ChoosePredictor(1)),
        ("toy-003 · 4.8 s", Command::ChooseUtterance(3)),
        ("Curve Null", Command::ToggleLine(Line::Null)),
        ("Step 3, own", Command::Paint { step: 3, action: StepAction::Truth }),
        ("Export figure", Command::DraftFigure(FigureOf::Curves)),
        ("Theme: system", Command::SetTheme(egui::ThemePreference::Dark)),
    ];
    for (name, command) in cases {
        assert_eq!(click(name), [command], "{name}");
    }
    assert_eq!(click("Ground truth"), [], "what cannot be heard cannot be asked for");
}

#[test]
fn plots_say_their_numbers() {
    let (state, _worker) = ready();
    let draw = |ui: &mut egui::Ui, commands: &mut Commands| whole(ui, &state, commands);
    let mut harness =
        Harness::builder().with_context_setup(theme::install).with_size([1280.0, 800.0]).build_ui_state(draw, Commands::default());
    harness.run_steps(3);
    for plot in &state.rolled.as_ref().unwrap().plots {
        let description = plot.description();
        assert!(description.contains("D rollout final") && description.contains("Live final"), "{description}");
        harness.get_by_label(&description);
    }
    let t0 = state.choice().t0;
    harness.get_by_label(&format!("Start at frame {t0}"));
    harness.get_by_label_contains("Timeline of toy-");
    assert_eq!(harness.query_all_by_label_contains("Trajectory in PC").count(), 2);
}

#[test]
fn keys_are_commands() {
    let (state, _worker) = ready();
    let mut harness =
        Harness::builder().build_ui_state(|ui, commands: &mut Commands| panels::keys(ui.ctx(), &state, commands), Commands::default());
    use egui::{Key, Modifiers};
    for (modifiers, key, command) in [
        (Modifiers::NONE, Key::Space, Command::TogglePlay),
        (Modifiers::NONE, Key::Num2, Command::Listen(Source::Rollout)),
        (Modifiers::NONE, Key::ArrowRight, Command::MoveCursor(1)),
        (Modifiers::SHIFT, Key::ArrowLeft, Command::MoveCursorSec(-1.0)),
        (Modifiers::NONE, Key::L, Command::ToggleLoop),
        (Modifiers::COMMAND, Key::E, Command::DraftFigure(FigureOf::Curves)),
    ] {
        harness.key_press_modifiers(modifiers, key);
        harness.run_steps(2);
        assert_eq!(harness.state_mut().take(), [command], "{key:?}");
    }
}

#[test]
fn sound_is_drawn_and_the_window_survives_any_size() {
    let (mut state, _worker) = ready();
    let sound = Arc::new(tone(&state, Source::Truth, 440.0));
    state.sounds.insert(Source::Truth, sound);
    for size in [[1920.0, 1080.0], [960.0, 640.0], [300.0, 200.0]] {
        let draw = |ui: &mut egui::Ui, commands: &mut Commands| whole(ui, &state, commands);
        Harness::builder().with_context_setup(theme::install).with_size(size).build_ui_state(draw, Commands::default()).run_steps(2);
    }
}

#[test]
fn a_failed_load_is_one_sentence() {
    let (mut state, worker) =
        (State::default(), Worker::start(ctx(), Box::new(|_| anyhow::bail!("demo.zarr: no such store")), || {}).unwrap());
    state.receive(worker.wait(Duration::from_secs(10)).unwrap());
    assert_eq!(state.notice, Some(Notice::Problem("demo.zarr: no such store".into())));
    let draw = |ui: &mut egui::Ui, commands: &mut Commands| whole(ui, &state, commands);
    let mut harness =
        Harness::builder().with_context_setup(theme::install).with_size([800.0, 600.0]).build_ui_state(draw, Commands::default());
    harness.run_steps(2);
    harness.get_by_label("demo.zarr: no such store");
}

#[test]
fn a_worker_that_breaks_off_says_so_and_lives() {
    let mut worker = Worker::start(ctx(), Box::new(|ctx| Ok(material(ctx))), || {}).unwrap();
    let mut state = State::default();
    serve(&mut state, &mut worker, State::is_current);
    let mut broken = state.wish();
    broken.view.choice.t0 = usize::MAX / 2;
    broken.generation += 1;
    worker.compute(broken);
    let Some(Delivery::Notice(Notice::Problem(sentence))) = worker.wait(Duration::from_secs(10)) else { panic!("no notice") };
    assert!(!sentence.is_empty());
    worker.compute(Wish { generation: state.generation + 2, ..state.wish() });
    assert!(matches!(worker.wait(Duration::from_secs(10)), Some(Delivery::Rolled(_))), "the next request is served");
}

#[test]
fn a_session_needs_a_predictor_to_roll_out() {
    let ctx = ctx();
    let mut empty = material(&ctx);
    empty.predictors.clear();
    let error = Session::prepare(&ctx, empty).unwrap_err().to_string();
    assert!(error.contains("toy") && error.contains("horizon 1"), "{error}");
}

#[test]
fn a_ridge_fitted_on_the_spot_is_said_to_be_one() {
    let ctx = ctx();
    let mut lone = material(&ctx);
    lone.predictors.truncate(1);
    let several = Session::prepare(&ctx, material(&ctx)).unwrap();
    let lone = Session::prepare(&ctx, lone).unwrap();
    assert!(lone.has_makeshift_predictor() && !several.has_makeshift_predictor());
    let mut state = State::default();
    state.receive(Delivery::Ready(Arc::new(lone)));
    let draw = |ui: &mut egui::Ui, commands: &mut Commands| panels::library_ui(ui, &state, commands);
    let mut harness =
        Harness::builder().with_context_setup(theme::install).with_size([200.0, 600.0]).build_ui_state(draw, Commands::default());
    harness.run_steps(2);
    harness.get_by_label_contains("fitted just now");
}

#[test]
fn tables_show_what_comes_after_each_injection() {
    assert_eq!(table_steps(16), [1, 2, 4, 5, 8, 9, 12, 13, 16]);
    assert_eq!(table_steps(3), [1, 2, 3]);
    let (state, _worker) = ready();
    let rolled = state.rolled.as_ref().unwrap();
    for plot in &rolled.plots {
        let (metric, step) = (plot.metric, &rolled.report.modes[3].per_step[4]);
        let curve = plot.curve(Line::Free).unwrap();
        assert_eq!((metric.center(step), metric.spread(step)), (curve.values[4], curve.bands[4]), "{metric:?}");
    }
}
