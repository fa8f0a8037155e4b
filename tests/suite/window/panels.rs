//! Panels by accessible names, by the texts they offer to screen readers, and a handful by pixels.

use driftscope::window::drawing::Drawings;
use driftscope::window::panels;
use egui_kittest::kittest::Queryable;
use egui_kittest::{Harness, SnapshotOptions, SnapshotResults};

use super::*;

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

/// What a panel looks like, against the picture kept in `snapshots/` (made again with `UPDATE_SNAPSHOTS=1`). Pixels of a few edges may
/// differ between drivers.
fn look(all: &mut SnapshotResults, name: &str, theme: egui::Theme, size: [f32; 2], draw: impl Fn(&mut egui::Ui, &mut Commands)) {
    let ui = |ui: &mut egui::Ui, commands: &mut Commands| draw(ui, commands);
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("snapshots");
    let mut options = SnapshotOptions::new();
    options.output_path = folder;
    options.threshold = 2.0;
    options.max_failed_pixels = 30;
    let mut harness = Harness::builder()
        .with_context_setup(theme::install)
        .with_theme(theme)
        .with_size(size)
        .with_pixels_per_point(1.0)
        .wgpu()
        .build_ui_state(ui, Commands::default());
    harness.run_steps(4);
    harness.snapshot_options(name, &options);
    all.extend(harness.take_snapshot_results());
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
        (Modifiers::NONE, Key::Comma, Command::MoveStart(-1)),
        (Modifiers::NONE, Key::B, Command::Branch { from: None, pull: None }),
        (Modifiers::NONE, Key::OpenBracket, Command::LoopFrom),
        (Modifiers::NONE, Key::M, Command::ToggleLoudness),
        (Modifiers::COMMAND, Key::K, Command::TogglePalette),
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
fn quitting_while_a_job_runs_asks() {
    let (mut state, _worker) = ready();
    assert_eq!(state.apply(Command::Quit), [Effect::Close]);
    state.apply(Command::Start(Task::AddAudio { path: "/a.wav".into(), store: 0 }));
    assert_eq!(state.apply(Command::Quit), []);
    assert!(state.quitting);
    assert_eq!(asked(&state, [900.0, 600.0], whole, |h| h.get_by_label("Keep working").click()), [Command::KeepOpen]);
    assert_eq!(asked(&state, [900.0, 600.0], whole, |h| h.get_by_label("Stop and quit").click()), [Command::QuitNow]);
    assert_eq!(state.apply(Command::QuitNow), [Effect::Close]);
}

#[test]
fn a_hundred_thousand_points_are_drawn_as_a_few_thousand() {
    let (mut state, _worker) = ready();
    let rolled = Arc::clone(state.rolled.as_ref().unwrap());
    let long = |curve: &Curve| Curve {
        values: (0..25_000).map(|i| curve.values[i % 16].map(|v| v + (i as f64 * 0.01).sin().abs())).collect(),
        bands: vec![None; 25_000],
        n: vec![1; 25_000],
        n_nonfinite: vec![0; 25_000],
        ..curve.clone()
    };
    let modes = [Line::Teacher, Line::Periodic, Line::OneShot, Line::Free];
    let plots: Vec<CurvePlot> = rolled
        .plots
        .iter()
        .map(|plot| CurvePlot { metric: plot.metric, curves: modes.iter().map(|line| long(plot.curve(*line).unwrap())).collect() })
        .collect();
    // The worker holds on to its own; what is drawn here is a copy with longer curves.
    let mut rolled = Arc::try_unwrap(rolled).unwrap_or_else(|shared| Rolled::clone(&shared));
    rolled.plots = plots;
    state.rolled = Some(Arc::new(rolled));
    let draw = |ui: &mut egui::Ui, commands: &mut Commands| panels::curves_ui(ui, &state, commands);
    let mut harness =
        Harness::builder().with_context_setup(theme::install).with_size([1280.0, 300.0]).build_ui_state(draw, Commands::default());
    harness.run_steps(3);
    let primitives: usize = harness.output().shapes.iter().map(|s| points_of(&s.shape)).sum();
    assert!((1_000..60_000).contains(&primitives), "{primitives} points for 400,000");
}

fn points_of(shape: &egui::Shape) -> usize {
    match shape {
        egui::Shape::Vec(all) => all.iter().map(points_of).sum(),
        egui::Shape::Path(path) => path.points.len(),
        egui::Shape::Band(band) => band.points.len(),
        egui::Shape::LineSegment { .. } | egui::Shape::Circle(_) => 2,
        _ => 0,
    }
}

/// Centers of the filled dots of a color, in the order in which they are drawn.
fn dots(shape: &egui::Shape, color: egui::Color32, found: &mut Vec<egui::Pos2>) {
    match shape {
        egui::Shape::Vec(all) => all.iter().for_each(|s| dots(s, color, found)),
        egui::Shape::Circle(circle) if circle.fill == color => found.push(circle.center),
        _ => {}
    }
}

#[test]
fn dragging_along_the_truth_moves_the_cursor_and_pulling_a_rollout_branches() {
    let (state, _worker) = ready();
    let draw = |ui: &mut egui::Ui, commands: &mut Commands| panels::trajectory_ui(ui, &state, &mut Drawings::default(), commands);
    let mut harness =
        Harness::builder().with_context_setup(theme::install).with_size([1200.0, 600.0]).build_ui_state(draw, Commands::default());
    harness.run_steps(3);
    // The last plane is that of the first two components.
    let of_color = |color| {
        let mut found = Vec::new();
        harness.output().shapes.iter().for_each(|s| dots(&s.shape, color, &mut found));
        found.split_off(found.len() - 17)
    };
    let visuals = &harness.ctx.global_style().visuals;
    let truth = of_color(theme::ink(visuals));
    let rollout = of_color(theme::source_color(Source::Rollout, visuals));
    let alone = |i: usize, of: &[egui::Pos2], others: &[egui::Pos2]| {
        let others = others.iter().chain(of.iter().enumerate().filter(|(j, _)| *j != i).map(|(_, p)| p));
        others.map(|p| p.distance(of[i])).fold(f32::INFINITY, f32::min) > theme::GRAB_REACH
    };
    let [from, to] = *(1..17).filter(|i| alone(*i, &truth, &rollout)).collect::<Vec<_>>().first_chunk().expect("points apart");
    let pulled = (1..17).find(|i| alone(*i, &rollout, &truth)).expect("a point apart");
    let mut drag = |a: egui::Pos2, b: egui::Pos2, modifiers: egui::Modifiers| {
        harness.state_mut().take();
        harness.event(egui::Event::ModifiersChanged(modifiers));
        harness.hover_at(a);
        harness.run_steps(1);
        harness.drag_at(a);
        harness.run_steps(1);
        for share in [0.3, 0.7, 1.0] {
            harness.hover_at(a.lerp(b, share));
            harness.run_steps(1);
        }
        harness.drop_at(b);
        harness.run_steps(2);
        harness.state_mut().take()
    };
    let along = drag(truth[from], truth[to], egui::Modifiers::NONE);
    assert_eq!(along.last(), Some(&Command::SetStep(to)), "{along:?}");
    assert!(!along.iter().any(|c| matches!(c, Command::Branch { .. })));
    let aside = rollout[pulled] + egui::vec2(40.0, -30.0);
    let branched = drag(rollout[pulled], aside, egui::Modifiers::NONE);
    let [Command::Branch { from: None, pull: Some(pull) }] = &branched[..] else { panic!("{branched:?}") };
    assert!(pull.step == pulled && pull.by[0] > 0.0 && pull.by[1] > 0.0 && pull.by[2..].iter().all(|x| *x == 0.0), "{pull:?}");
    let shifted = drag(rollout[pulled], rollout[pulled - 1], egui::Modifiers::SHIFT);
    assert!(shifted.iter().all(|c| matches!(c, Command::SetStep(_))) && !shifted.is_empty(), "{shifted:?}");
}

#[test]
fn a_folder_of_recordings_is_asked_about_and_sounds_show_what_they_measure() {
    let (mut state, _worker) = ready();
    let click = |state: &State, name: &'static str| asked(state, [1600.0, 1000.0], whole, move |h| h.get_by_label(name).click());
    state.apply(Command::DraftEncode(Some(EncodeDraft::first("/recordings/clean".into()))));
    let draft = state.encode.clone().unwrap();
    assert!(draft.is_complete() && draft.out.ends_with("stores/clean-demo/latents.zarr"));
    assert_eq!(click(&state, "Encode"), [Command::Start(Task::Encode(draft))]);
    let asked_for = click(&state, "Mimi");
    let [Command::DraftEncode(Some(mimi))] = &asked_for[..] else { panic!("{asked_for:?}") };
    state.encode = Some(EncodeDraft { weights: None, ..mimi.clone() });
    assert_eq!(click(&state, "Encode"), [], "without weights there is nothing to start");
    assert_eq!(click(&state, "Choose…"), [Command::AskOpen(Ask::Weights)]);
    state.apply(Command::EncodeWith("/m.safetensors".into()));
    assert!(state.encode.as_ref().unwrap().is_complete());
    let [Effect::Start(id, Task::Encode(_))] = state.apply(Command::Start(Task::Encode(state.encode.clone().unwrap())))[..] else {
        panic!("no job")
    };
    assert!(state.encode.is_none() && state.jobs.iter().any(|j| j.id == id && j.task.resumes()));
}

#[test]
fn every_panel_is_reached_by_name() {
    let (mut state, mut worker) = ready();
    for predictor in [0, 1] {
        state.apply(Command::ToggleComparand(Comparand { store: 0, predictor }));
    }
    state.apply(Command::Branch { from: None, pull: None });
    worker.compute(state.wish());
    serve(&mut state, &mut worker, |s| s.compared.len() == 2 && s.kept.len() == 1);
    let click = |state: &State, name: &'static str| asked(state, [1600.0, 1000.0], whole, move |h| h.get_by_label(name).click());
    for (name, command) in [
        ("Match loudness", Command::ToggleLoudness),
        ("Palette", Command::TogglePalette),
        ("Brush noise", Command::SetBrush(StepAction::Noise)),
        ("Keep as branch", Command::Branch { from: None, pull: None }),
        ("Color by error", Command::SetColorBy(ColorBy::Error)),
        ("Drop Branch 1", Command::DropBranch(1)),
        ("Curve Branch 1", Command::ToggleLine(Line::Branch(1))),
    ] {
        assert_eq!(click(&state, name), [command], "{name}");
    }
    let preset = click(&state, "Preset A");
    assert_eq!(preset, [Command::PaintAll(vec![StepAction::Truth; 16])]);
    assert!(matches!(click(&state, "Pin State error")[..], [Command::PinValues(Metric::StateError, [low, high])] if low < high));
    // The panes behind: brought to the front, then used.
    layout::show(&mut state.layout, Pane::Compare);
    let dropped = click(&state, "Do not compare Climatology k=1");
    assert_eq!(dropped, [Command::ToggleComparand(Comparand { store: 0, predictor: 1 })]);
    layout::show(&mut state.layout, Pane::Jobs);
    assert!(matches!(click(&state, "Fit a predictor…")[..], [Command::DraftFit(Some(_))]));
    state.fit = Some(FitDraft::first(&state));
    assert!(matches!(click(&state, "Fit")[..], [Command::Start(Task::Fit(_))]));
    state.fit = None;
    state.naming = Some("mine".into());
    assert_eq!(click(&state, "Keep"), [Command::SaveLayout("mine".into())]);
    state.naming = None;
    state.keys = true;
    assert_eq!(click(&state, "Close"), [Command::ToggleKeys]);
}

#[test]
fn panels_look_as_they_did() {
    let (mut state, mut worker) = ready();
    state.apply(Command::SetStart(30));
    state.apply(Command::Paint { step: 3, action: StepAction::Truth });
    state.apply(Command::Paint { step: 6, action: StepAction::Noise });
    state.apply(Command::Paint { step: 9, action: StepAction::Freeze });
    state.apply(Command::SetFan(8));
    state.apply(Command::Branch { from: None, pull: Some(Pull { step: 2, by: vec![3.0, 1.0, 0.0] }) });
    state.apply(Command::SetStep(4));
    worker.compute(state.wish());
    serve(&mut state, &mut worker, |s| s.is_current() && s.fan.is_some() && s.kept.len() == 1);
    use egui::Theme::{Dark, Light};
    let mut all = SnapshotResults::new();
    // Textures live as long as these do.
    let drawings = std::cell::RefCell::new(Drawings::default());
    look(&mut all, "curves-dark", Dark, [1000.0, 260.0], |ui, commands| panels::curves_ui(ui, &state, commands));
    look(&mut all, "timeline-light", Light, [1000.0, 320.0], |ui, commands| {
        panels::timeline_ui(ui, &state, &mut drawings.borrow_mut(), commands);
    });
    look(&mut all, "trajectory-light", Light, [900.0, 300.0], |ui, commands| {
        panels::trajectory_ui(ui, &state, &mut drawings.borrow_mut(), commands);
    });
    look(&mut all, "inspector-dark", Dark, [222.0, 720.0], |ui, commands| panels::inspector_ui(ui, &state, commands));
    state.palette = Some(Palette { query: "theme".into(), row: 0 });
    look(&mut all, "palette-dark", Dark, [640.0, 300.0], |ui, commands| panels::palette_ui(ui.ctx(), &state, commands));
}
