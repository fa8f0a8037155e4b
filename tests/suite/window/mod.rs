//! The window without a window: commands change state, panels send commands, the worker answers with what was asked for.
//!
//! What is drawn of it is tested in [`panels`].

mod long;
mod panels;

use std::sync::Arc;
use std::time::Duration;

use driftscope::window::command::{Ask, Command, Commands, FigureOf};
use driftscope::window::curves::{Curve, CurvePlot, Line, Metric, table_steps};
use driftscope::window::jobs::{EncodeDraft, FitDraft, JobChange, JobEvent, Outcome, Runner, Status, Task};
use driftscope::window::layout::{self, Pane};
use driftscope::window::picture::{difference, picture};
use driftscope::window::session::{Material, Session};
use driftscope::window::source::Source;
use driftscope::window::state::{Effect, Notice, Palette, SoundState, State};
use driftscope::window::theme;
use driftscope::window::view::{Axes, Basis, ColorBy, Comparand, Pull};
use driftscope::window::worker::{Delivery, Rolled, Sound, Wish, Worker};
use driftscope_core::audio::AudioClip;
use driftscope_core::context::{Pairs, Side, Slice};
use driftscope_core::diagnose::toy::{Toy, toy_corpus};
use driftscope_core::engine::{DeviceChoice, open_device};
use driftscope_core::job::JobCtx;
use driftscope_core::predict::{Baselines, MagnitudeRule, Predictor, PredictorKind, Ridge};
use driftscope_core::rollout::StepAction;
use driftscope_core::run::Registry;
use eframe::egui;

const DIM: usize = 6;
const WINDOW: usize = 4;

fn ctx() -> JobCtx {
    JobCtx::quiet(open_device(DeviceChoice::Cpu).unwrap().device, 7)
}

/// A stable AR(1) with the ridge that fits it: everything but sound.
fn material(ctx: &JobCtx) -> Material {
    material_of(ctx, DIM)
}

fn material_of(ctx: &JobCtx, dim: usize) -> Material {
    let corpus = toy_corpus(Toy::StableAr1 { a: 0.9 }, 8, 60, dim, 3);
    let train: Vec<usize> = (0..corpus.utterances.len()).filter(|i| corpus.utterances[*i].side == Side::Train).collect();
    let pairs = Pairs::cut(&corpus, &train, WINDOW, 1, Slice::All);
    let ridge = Ridge::fit(ctx, &pairs.contexts, &pairs.deltas, pairs.len(), dim, 1.0).unwrap();
    let predictors = vec![
        Predictor::linear(ridge, WINDOW, 1, dim, &ctx.device),
        Predictor::climatology(vec![0.0; dim], WINDOW),
        Predictor::persistence(dim, WINDOW),
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

pub(crate) fn toy_session() -> Arc<Session> {
    let ctx = ctx();
    Arc::new(Session::prepare(&ctx, material(&ctx)).unwrap())
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
    for command in [
        Command::SetAlpha(0.5),
        Command::SetReanchor(Some(4)),
        Command::Paint { step: 2, action: StepAction::Truth },
        Command::SetStart(20),
    ] {
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

/// Feeds undo a second of quiet.
fn settle(state: &mut State, now: &mut f64) {
    for _ in 0..3 {
        *now += 0.5;
        state.remember(*now);
    }
}

#[test]
fn every_choice_is_undone_and_done_again() {
    let (mut state, _worker) = ready();
    let mut now = 0.0;
    settle(&mut state, &mut now);
    let choices = [
        Command::SetAlpha(0.5),
        Command::SetStart(20),
        Command::SetSteps(8),
        Command::Paint { step: 2, action: StepAction::Noise },
        Command::ChoosePredictor(1),
        Command::ToggleLine(Line::Null),
        Command::Branch { from: None, pull: Some(Pull { step: 3, by: vec![1.0, 0.0, 0.0] }) },
        Command::SetLoop(Some([1.0, 2.0])),
        Command::ToggleComparand(Comparand { store: 0, predictor: 2 }),
        Command::ChooseUtterance(1),
        Command::SetTheme(egui::ThemePreference::Dark),
        Command::PinValues(Metric::Cosine, [0.0, 1.0]),
    ];
    let mut views = vec![state.view.clone()];
    for command in choices {
        state.apply(command.clone());
        assert_ne!(state.view, *views.last().unwrap(), "{command:?}");
        settle(&mut state, &mut now);
        views.push(state.view.clone());
    }
    for view in views.iter().rev().skip(1) {
        assert!(!state.apply(Command::Undo).is_empty());
        assert_eq!(state.view, *view);
    }
    assert_eq!(state.can_undo(), [false, true]);
    for view in &views[1..] {
        state.apply(Command::Redo);
        assert_eq!(state.view, *view);
    }
    // A slider that is pulled is one choice.
    settle(&mut state, &mut now);
    let before = state.view.clone();
    for alpha in [0.6, 0.7, 0.8] {
        state.apply(Command::SetAlpha(alpha));
        now += 0.02;
        state.remember(now);
    }
    settle(&mut state, &mut now);
    state.apply(Command::Undo);
    assert_eq!(state.view, before);
}

#[test]
fn a_pulled_point_becomes_a_branch_that_goes_on_from_there() {
    let (mut state, mut worker) = ready();
    let pull = Pull { step: 4, by: vec![2.0, -1.0, 0.5] };
    assert_eq!(state.apply(Command::Branch { from: None, pull: Some(pull.clone()) }), [Effect::Compute]);
    worker.compute(state.wish());
    serve(&mut state, &mut worker, |s| s.kept.contains_key(&1));
    let (live, kept) = (Arc::clone(state.rolled.as_ref().unwrap()), Arc::clone(&state.kept[&1]));
    for step in 1..4 {
        assert_eq!(kept.rollout.state(0, step), live.live.state(0, step));
    }
    for (c, by) in pull.by.iter().enumerate() {
        assert!((kept.path[3][c] - live.rolled_path[3][c] - by).abs() < 1e-3, "component {c}");
    }
    assert_ne!(kept.rollout.state(0, 5), live.live.state(0, 5));
    assert_eq!(kept.curves.len(), Metric::ALL.len());
    // It keeps its settings when the live rollout's change, and can be pulled in its turn.
    state.apply(Command::SetAlpha(0.2));
    state.apply(Command::Branch { from: Some(1), pull: Some(Pull { step: 6, by: vec![0.0, 1.0, 0.0] }) });
    let [first, second] = &state.view.branches[..] else { panic!("two branches") };
    assert_eq!((first.choice.config.alpha, second.choice.config.alpha), (1.0, 1.0));
    assert_eq!(second.pulls.iter().map(|p| p.step).collect::<Vec<_>>(), [4, 6]);
    state.apply(Command::RenameBranch(2, "twice".into()));
    assert!(state.legend().iter().any(|(line, name)| *line == Line::Branch(2) && name == "twice"));
    worker.compute(state.wish());
    serve(&mut state, &mut worker, |s| s.is_current() && s.kept.contains_key(&2));
    assert_eq!(state.kept[&1].rollout.states, kept.rollout.states);
    state.apply(Command::AdoptBranch(1));
    assert_eq!(state.choice().config.alpha, 1.0);
    state.apply(Command::DropBranch(1));
    assert_eq!(state.view.branches.len(), 1);
}

#[test]
fn a_fan_is_sampled_and_predictors_are_compared_at_one_start() {
    let (mut state, mut worker) = ready();
    state.apply(Command::SetFan(8));
    for predictor in [0, 1] {
        state.apply(Command::ToggleComparand(Comparand { store: 0, predictor }));
    }
    worker.compute(state.wish());
    serve(&mut state, &mut worker, |s| s.fan.is_some() && s.compared.len() == 2);
    let fan = state.fan.as_ref().unwrap();
    assert_eq!((fan.paths.len(), fan.paths[0].len(), fan.errors[0].len()), (8, 16, 16));
    assert_ne!(fan.paths[0], fan.paths[1], "samples differ");
    assert_eq!(state.comparison.len(), Metric::ALL.len());
    let rolled = state.rolled.as_ref().unwrap();
    let own = state.comparison[1].curve(Line::Comparand(Comparand { store: 0, predictor: 0 })).unwrap();
    assert_eq!(own.values, rolled.plots[1].curve(Line::Free).unwrap().values, "the chosen one's is its mode D");
    assert_eq!(own.name, "Ridge k=1");
    let other = state.comparison[1].curve(Line::Comparand(Comparand { store: 0, predictor: 1 })).unwrap();
    assert_ne!(own.values, other.values);
    // Another start, another comparison: the old one is not shown with it.
    state.apply(Command::ToggleComparand(Comparand { store: 0, predictor: 1 }));
    assert_eq!(state.comparison[1].curves.iter().filter(|c| matches!(c.line, Line::Comparand(_))).count(), 1);
}

#[test]
fn another_store_is_opened_beside_and_the_item_is_held() {
    let (mut state, _worker) = ready();
    let ctx = ctx();
    let mut other = material(&ctx);
    other.name = "toy at half the rate".into();
    other.corpus.frame_rate_hz /= 2.0;
    let other = Arc::new(Session::prepare(&ctx, other).unwrap());
    state.apply(Command::ChooseUtterance(3));
    state.apply(Command::SetStart(30));
    let id = |s: &State| s.session().unwrap().corpus.utterances[s.choice().utterance].id.clone();
    let (utterance, alpha) = (id(&state), 0.7);
    state.apply(Command::SetAlpha(alpha));
    let [Effect::Start(job, _)] = state.apply(Command::Start(Task::OpenStore { path: "/x/latents.zarr".into() }))[..] else {
        panic!("no job")
    };
    assert_eq!(state.n_running(), 1);
    let ended = JobChange::Ended(Status::Done, "Opened it.".into(), Some(Outcome::Session(other)));
    state.receive(Delivery::Job(JobEvent { id: job, change: ended }));
    assert_eq!((state.n_running(), state.choice().store, state.sessions.len()), (0, 1, 2));
    assert_eq!((id(&state), state.choice().t0, state.choice().config.alpha), (utterance.clone(), 15, alpha), "half the frames a second");
    state.apply(Command::ChooseStore(0));
    assert_eq!((id(&state), state.choice().t0), (utterance, 30));
}

#[test]
fn a_store_that_is_deleted_while_it_is_open_is_said_once_it_is_missed_and_the_rest_goes_on() {
    let (mut state, mut worker) = ready();
    let folder = tempfile::tempdir().unwrap();
    let path = crate::cli::toy_store(folder.path(), DIM, 60);
    let mut runner = Runner::new(worker.desk(), ctx(), Some(Registry::at(&folder.path().join("runs"))));
    let mut open = |state: &mut State, worker: &mut Worker| {
        let [Effect::Start(id, ref task)] = state.apply(Command::Start(Task::OpenStore { path: path.clone() }))[..] else {
            panic!("no job")
        };
        runner.start(id, task.clone(), &state.sessions);
        while state.n_running() > 0 {
            let delivery = worker.wait(Duration::from_secs(30)).expect("the job reports");
            state.receive(delivery);
        }
        state.jobs.last().unwrap().status.clone()
    };
    assert_eq!(open(&mut state, &mut worker), Status::Done, "{:?}", state.notice);
    assert_eq!((state.sessions.len(), state.choice().store), (2, 1));
    std::fs::remove_dir_all(&path).unwrap();
    // Other utterances of it are still rolled.
    let other = (state.choice().utterance + 1) % state.session().unwrap().corpus.utterances.len();
    state.apply(Command::ChooseUtterance(other));
    state.apply(Command::SetAlpha(0.5));
    worker.compute(state.wish());
    serve(&mut state, &mut worker, State::is_current);
    assert_eq!((state.choice().utterance, state.choice().config.alpha), (other, 0.5));
    // Who asks for it again is told, and keeps what is open.
    assert_eq!(open(&mut state, &mut worker), Status::Failed);
    let Some(Notice::Problem(said)) = state.notice.clone() else { panic!("{:?}", state.notice) };
    assert!(said.contains(&path.display().to_string()) && said.lines().count() == 1, "{said}");
    state.notice = None;
    state.apply(Command::ChooseStore(0));
    worker.compute(state.wish());
    serve(&mut state, &mut worker, State::is_current);
    assert_eq!((state.sessions.len(), state.choice().store), (2, 0));
}

#[test]
fn a_fit_in_the_window_is_stopped_kept_and_resumed() {
    let (mut state, worker) = ready();
    let folder = tempfile::tempdir().unwrap();
    let mut runner = Runner::new(worker.desk(), ctx(), Some(Registry::at(&folder.path().join("runs"))));
    let fit = FitDraft {
        store: 0,
        kind: PredictorKind::Mdn,
        window: 2 * WINDOW,
        horizon: 1,
        hidden_dim: 16,
        max_steps: 400,
        out: folder.path().join("predictors").join("mdn-k1.safetensors"),
    };
    let wait = |state: &mut State, runner: &mut Runner, stop: bool, done: &dyn Fn(&State) -> bool| {
        while !done(state) {
            let delivery = worker.wait(Duration::from_secs(30)).expect("the job reports");
            state.receive(delivery);
            if stop && state.jobs.last().unwrap().progress.as_ref().is_some_and(|p| p.done > 20) {
                runner.stop(state.jobs.last().unwrap().id);
            }
        }
    };
    let [Effect::Start(id, ref task)] = state.apply(Command::Start(Task::Fit(fit.clone())))[..] else { panic!("no job") };
    runner.start(id, task.clone(), &state.sessions);
    wait(&mut state, &mut runner, true, &|s| s.n_running() == 0);
    assert_eq!(state.jobs[0].status, Status::Stopped, "{:?}", state.notice);
    assert!(!fit.out.exists() && fit.out.with_added_extension("state").exists());
    // The next session finds it left behind.
    let memory = state.memory().unwrap();
    assert_eq!(memory.unfinished, [Task::Fit(fit.clone())]);
    let [Effect::Start(id, ref task)] = state.apply(Command::ResumeJob(id))[..] else { panic!("not resumed") };
    runner.start(id, task.clone(), &state.sessions);
    let mut first_done = None;
    while state.n_running() > 0 {
        let delivery = worker.wait(Duration::from_secs(30)).unwrap();
        state.receive(delivery);
        first_done = first_done.or_else(|| state.jobs[0].progress.as_ref().filter(|p| p.stage.contains("mdn")).map(|p| p.done));
    }
    assert_eq!(state.jobs[0].status, Status::Done, "{:?}", state.notice);
    assert!(first_done.unwrap() >= 20, "it goes on where it was: {first_done:?}");
    let session = state.session().unwrap();
    assert_eq!(session.predictors.len(), 4);
    assert_eq!(session.predictors[3].info.window, 2 * WINDOW);
    assert!(session.ground.population.iter().all(|s| s.t0 >= 2 * WINDOW), "starts leave room for its longer window");
    assert_eq!((session.predictors[3].info.kind.as_str(), state.choice().predictor), ("mdn", 3), "what was fitted is what is shown");
    assert!(fit.out.exists() && !fit.out.with_added_extension("state").exists());
    let (runs, _) = Registry::at(&folder.path().join("runs")).list().unwrap();
    assert_eq!(runs.len(), 2, "the stopped one and the finished one");
}

#[test]
fn the_loop_is_set_at_the_cursor_and_on_frames() {
    let (mut state, _worker) = ready();
    let (from, to) = state.loop_sec();
    assert_eq!(to - from, (4 + 16) as f64 * 0.08, "the window and the steps");
    state.apply(Command::SetCursor(10));
    state.apply(Command::LoopFrom);
    assert_eq!(state.loop_sec(), (0.8, to));
    state.apply(Command::SetCursor(12));
    state.apply(Command::LoopTo);
    let [low, high] = state.view.loop_sec.unwrap();
    assert!((low - 0.8).abs() < 1e-9 && (high - 0.96).abs() < 1e-9);
    state.apply(Command::SetLoop(Some([2.03, 1.01])));
    let [low, high] = state.view.loop_sec.unwrap();
    assert!((low - 1.04).abs() < 1e-9 && (high - 2.0).abs() < 1e-9, "sorted and snapped: {low}, {high}");
    state.apply(Command::SetLoop(Some([1.5, 1.5])));
    assert_eq!(state.view.loop_sec, Some([low, high]), "no region leaves it");
    state.apply(Command::SetLoop(None));
    assert_eq!(state.loop_sec(), (from, to));
}

#[test]
fn axes_are_the_windows_own() {
    let (mut state, _worker) = ready();
    state.apply(Command::ViewSteps(Some([3.0, 9.0])));
    state.apply(Command::PinValues(Metric::Cosine, [-0.5, 1.0]));
    state.apply(Command::ViewValues(Metric::Cosine, Some([7.0, 8.0])));
    assert_eq!(state.view.axes.values[&Metric::Cosine], [-0.5, 1.0], "a pinned axis stays");
    state.apply(Command::ViewValues(Metric::StateError, Some([-1.0, 1.0])));
    state.apply(Command::PinValues(Metric::Cosine, [0.0, 0.0]));
    assert!(!state.view.axes.values.contains_key(&Metric::Cosine), "let go, it shows all");
    state.apply(Command::ResetView);
    assert_eq!(state.view.axes, Axes::default());
    let whole = state.duration_sec();
    state.apply(Command::ViewSeconds(Some([-3.0, whole * 0.5])));
    let [from, to] = state.seconds_in_view();
    assert!(from == 0.0 && to <= whole, "never beyond the sound: {from} to {to}");
    state.apply(Command::ViewSeconds(Some([-9.0, 99.0])));
    assert_eq!(state.seconds_in_view(), [0.0, whole]);
}

#[test]
fn rollouts_are_as_long_as_asked_and_as_there_is_room_for() {
    let (mut state, mut worker) = ready();
    state.apply(Command::SetSteps(8));
    worker.compute(state.wish());
    serve(&mut state, &mut worker, State::is_current);
    let rolled = state.rolled.as_ref().unwrap();
    assert_eq!((rolled.live.n_steps, rolled.plots[0].n_steps()), (8, 8));
    assert_eq!(rolled.plots[0].curve(Line::Null).unwrap().values.len(), 8, "references are as long");
    state.apply(Command::SetSteps(10_000));
    let most = state.session().unwrap().most_steps;
    assert_eq!(state.choice().config.n_steps, most);
    worker.compute(state.wish());
    serve(&mut state, &mut worker, State::is_current);
}

#[test]
fn layouts_are_kept_named_and_reset() {
    let mut state = State::default();
    state.apply(Command::TogglePane(Pane::Timeline));
    let bare = state.layout.clone();
    state.apply(Command::SaveLayout("bare".into()));
    state.apply(Command::ResetLayout);
    assert_eq!(state.layout, layout::first());
    state.apply(Command::LoadLayout("bare".into()));
    assert_eq!(state.layout, bare);
    state.apply(Command::DropLayout("bare".into()));
    assert!(state.layouts.is_empty());
}
