//! The main story from end to end, by keyboard alone: the window's own loop on the embedded demo, without a display.

use std::path::Path;
use std::time::{Duration, Instant};

use driftscope::listening::{self, Kind, TestDraft};
use driftscope::window::command::Command;
use driftscope::window::room::Stage;
use driftscope::window::source::Source;
use driftscope::window::state::{Notice, SoundState};
use driftscope::window::worker::Loader;
use driftscope::window::{App, WindowOptions};
use driftscope_core::audio::AudioClip;
use driftscope_core::battery::{Axis, BatteryConfig, Bench, Rendition};
use driftscope_core::engine::compute::Gpu;
use driftscope_core::engine::{Device, DeviceChoice, open_device};
use driftscope_core::figure;
use driftscope_core::job::JobCtx;
use driftscope_core::listen::{Event, Log, Settings};
use driftscope_core::perceive::Measure;
use driftscope_core::playback::OutputChoice;
use driftscope_core::rollout::StepAction;
use eframe::egui::{Key, Modifiers};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;

/// The window on the demo, with its files in `folder`.
fn open(folder: &Path) -> Harness<'static, App> {
    open_on(JobCtx::quiet(open_device(DeviceChoice::Cpu).unwrap().device, 42), folder)
}

fn open_on(ctx: JobCtx, folder: &Path) -> Harness<'static, App> {
    let (memory, figures) = (folder.join("sessions"), folder.join("figures"));
    let mut harness = Harness::builder().with_size([1280.0, 800.0]).build_eframe(move |cc| {
        let loader: Loader = Box::new(|job| driftscope::demo::material(&job.device));
        let options =
            WindowOptions { device: DeviceChoice::Cpu, seed: 42, loader, project: None, memory: Some(memory), registry: None, figures };
        App::new(&cc.egui_ctx, ctx, options, &OutputChoice::Silent).unwrap()
    });
    until(&mut harness, "the demo is complete", |app| app.state.is_current() && there(app, Source::Truth) && there(app, Source::Rollout));
    harness
}

fn there(app: &App, source: Source) -> bool {
    matches!(app.state.sound(source), SoundState::Ready(_))
}

/// Frames go by until `done`.
fn until(harness: &mut Harness<'static, App>, what: &str, done: impl Fn(&App) -> bool) {
    let since = Instant::now();
    while !done(harness.state()) {
        assert!(since.elapsed() < Duration::from_mins(1), "{what}: not within a minute; {:?}", harness.state().state.notice);
        std::thread::sleep(Duration::from_millis(5));
        harness.step();
    }
}

fn press(harness: &mut Harness<'static, App>, keys: &[(Modifiers, Key)]) {
    for (modifiers, key) in keys {
        harness.key_press_modifiers(*modifiers, *key);
        harness.run_steps(2);
    }
}

const N: Modifiers = Modifiers::NONE;

#[test]
fn a_graphics_device_that_is_lost_is_said_once_and_the_window_goes_on() {
    let (_, _, device, queue) = crate::live::device_to_lose();
    let cpu = JobCtx::quiet(open_device(DeviceChoice::Cpu).unwrap().device, 42);
    let folder = tempfile::tempdir().unwrap();
    let mut harness = open_on(JobCtx { gpu: Some(Gpu::new(device.clone(), queue)), ..cpu }, folder.path());
    let rolled = |app: &App| app.state.rolled.clone().unwrap();
    assert!(rolled(harness.state()).live.on_gpu && harness.state().state.notice.is_none());
    device.destroy();
    let before = rolled(harness.state());
    press(&mut harness, &[(N, Key::Comma)]);
    until(&mut harness, "curves from the CPU", |app| app.state.is_current() && app.state.rolled.as_ref().is_some_and(|r| !r.live.on_gpu));
    assert_eq!(rolled(harness.state()).live.segments[0].t0 + 1, before.live.segments[0].t0);
    harness.run_steps(2);
    let Some(Notice::Problem(sentence)) = harness.state().state.notice.clone() else { panic!("nothing is said") };
    assert!(sentence.starts_with("The graphics device gave up (") && sentence.ends_with("the CPU computes instead."), "{sentence}");
    harness.get_by_label_contains("lost:");
}

#[test]
fn from_the_first_start_to_the_next_one_by_keyboard() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = open(folder.path());
    let first = harness.state().state.choice().utterance;

    // Another utterance, another start.
    press(&mut harness, &[(N, Key::ArrowUp)]);
    assert_eq!(harness.state().state.choice().utterance, first - 1);
    until(&mut harness, "its curves", |app| app.state.is_current());
    let t0 = harness.state().state.choice().t0;
    press(&mut harness, &[(N, Key::Comma), (N, Key::Comma), (N, Key::Comma)]);
    assert_eq!(harness.state().state.choice().t0, t0 - 3);

    // What is heard is measured against the recording, beside what the round trip alone costs.
    until(&mut harness, "the round trip is measured", |app| app.state.scored(Source::Truth).is_some());
    let scored = harness.state().state.scored(Source::Truth).unwrap();
    assert!(scored.against == Source::Original && scored.scores.value(Measure::Stoi).unwrap() > 0.8, "{:?}", scored.scores);

    // Sources are switched while time passes.
    until(&mut harness, "its sounds", |app| app.state.is_current() && there(app, Source::Truth) && there(app, Source::Rollout));
    press(&mut harness, &[(N, Key::Num1), (N, Key::Num2), (N, Key::Num1)]);
    assert_eq!(harness.state().state.view.source, Source::Truth);
    assert!(harness.state().state.playing);
    let before = harness.state().state.position_sec;
    until(&mut harness, "the cursor moves", |app| app.state.position_sec != before);
    press(&mut harness, &[(N, Key::Space)]);
    assert!(!harness.state().state.playing);

    // α, and the truth put back after step 5.
    press(&mut harness, &[(N, Key::Minus), (N, Key::Minus), (N, Key::Home)]);
    let n = harness.state().state.choice().t0 + 4;
    press(&mut harness, &vec![(N, Key::ArrowRight); n]);
    assert_eq!(harness.state().state.cursor_step(), Some(5));
    press(&mut harness, &[(N, Key::I)]);
    until(&mut harness, "the curves of it all", |app| app.state.is_current());
    let choice = harness.state().state.choice().clone();
    assert!((choice.config.alpha - 0.9).abs() < 1e-6);
    assert_eq!((choice.action(5), choice.action(4)), (StepAction::Truth, StepAction::Own));
    let rolled = harness.state().state.rolled.clone().unwrap();
    let truth = &harness.state().state.session().unwrap().corpus.utterances[choice.utterance].latents;
    assert_eq!(rolled.live.state(0, 5), truth.frame(choice.t0 + 4), "what is on screen is what was painted");

    // The rollout is kept as a branch; undo takes it back, redo brings it again.
    press(&mut harness, &[(N, Key::B)]);
    assert_eq!(harness.state().state.view.branches.len(), 1);
    for _ in 0..40 {
        harness.step();
    }
    press(&mut harness, &[(Modifiers::COMMAND, Key::Z)]);
    assert!(harness.state().state.view.branches.is_empty());
    press(&mut harness, &[(Modifiers::COMMAND | Modifiers::SHIFT, Key::Z)]);
    assert_eq!(harness.state().state.view.branches.len(), 1);

    // What the palette finds is done.
    press(&mut harness, &[(Modifiers::COMMAND, Key::K)]);
    harness.get_by_label("Look for").type_text("theme light");
    harness.run_steps(3);
    press(&mut harness, &[(N, Key::Enter)]);
    assert_eq!(harness.state().state.view.theme, eframe::egui::ThemePreference::Light);
    assert!(harness.state().state.palette.is_none());

    // The figure is seen, then written.
    until(&mut harness, "the curves again", |app| app.state.is_current());
    press(&mut harness, &[(Modifiers::COMMAND, Key::E)]);
    until(&mut harness, "its preview", |app| app.state.preview.as_ref().is_some_and(|p| p.picture.is_ok()));
    harness.get_by_label("Preview of the figure");
    press(&mut harness, &[(N, Key::Enter)]);
    until(&mut harness, "its files", |app| matches!(&app.state.notice, Some(Notice::Done(said)) if said.starts_with("Wrote")));
    press(&mut harness, &[(N, Key::Escape)]);
    assert!(harness.state().state.figure.is_none());
    let files: Vec<_> = std::fs::read_dir(folder.path().join("figures")).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(files.len(), 4, "{files:?}");

    // The next start goes on where this one ended.
    let (view, position) = (harness.state().state.view.clone(), harness.state().state.position_sec);
    eframe::App::on_exit(harness.state_mut());
    drop(harness);
    let mut again = open(folder.path());
    assert_eq!(again.state().state.view, view);
    assert!((again.state().state.position_sec - position).abs() < 1e-9);

    // And a figure brings back the view that made it.
    press(&mut again, &[(N, Key::Plus), (N, Key::Plus), (N, Key::Plus), (N, Key::ArrowUp)]);
    assert_ne!(again.state().state.choice().utterance, choice.utterance);
    let png = files.iter().find(|f| f.extension().is_some_and(|e| e == "png")).unwrap();
    assert!(figure::read_provenance(png).unwrap().view.is_some());
    let effects = again.state_mut().state.apply(Command::Open(png.clone()));
    again.state_mut().carry_out(effects);
    until(&mut again, "the figure's view", |app| app.state.choice().utterance == choice.utterance);
    assert_eq!(again.state().state.choice(), &choice);
}

#[test]
fn splices_are_true_outside_the_decoders_reach() {
    let folder = tempfile::tempdir().unwrap();
    let mut harness = open(folder.path());
    until(&mut harness, "all sounds", |app| app.state.view.sources().into_iter().all(|s| there(app, s)));
    let state = &harness.state().state;
    let samples = |source: Source| match state.sound(source) {
        SoundState::Ready(sound) => sound.clip.samples.clone(),
        _ => panic!("{source:?} is not there"),
    };
    let (session, choice) = (state.session().unwrap(), state.choice());
    let codec = session.codec.as_ref().unwrap();
    let ([before, after], hop) = (codec.reach(), codec.hop_samples());
    let truth = samples(Source::Truth);
    for steps in [1, 4, 16] {
        let spliced = samples(Source::Splice(steps));
        let (from, to) = ((choice.t0 - before) * hop, (choice.t0 + usize::from(steps) + after) * hop);
        assert_eq!(spliced.len(), truth.len());
        assert_eq!(spliced[..from], truth[..from]);
        let to = to.min(truth.len());
        assert_eq!(spliced[to..], truth[to..]);
        assert_ne!(spliced[from..to], truth[from..to]);
    }
    let rolled = samples(Source::Rollout);
    assert_eq!(rolled[..(choice.t0 - before) * hop], truth[..(choice.t0 - before) * hop]);
    assert_eq!(rolled.len(), (choice.t0 + choice.config.n_steps) * hop);
}

#[test]
fn a_threshold_is_found_blind_by_keyboard() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("test");
    // The same steps as `driftscope battery --listen`: sounds are made live, while trials call for them.
    let demo = driftscope::demo::load(&Device::flex()).unwrap();
    let none = |_: usize| None::<AudioClip>;
    let predictor = Some((&demo.predictors[0], &demo.baselines));
    let bench = Bench { corpus: &demo.corpus, codec: &demo.codec, predictor, recordings: &none };
    let draft = TestDraft {
        title: "steps".into(),
        design: Kind::Bayesian.design(5),
        reference: Rendition::Truth,
        tested: Vec::new(),
        axis: Some(Axis::Steps),
        anchors: false,
        material: BatteryConfig { n_items: 2, splice_steps: Vec::new(), ..BatteryConfig::default() },
        settings: Settings { n_training: 1, must_hear_sec: 0.02, ..Settings::default() },
    };
    let (test, _) = listening::make(&JobCtx::quiet(Device::flex(), 42), bench, &draft, &place).unwrap();
    assert!(test.plan().conditions.iter().all(|c| c.numbers.contains_key("cos")), "every level knows how far it is from the truth");

    let mut harness = open(folder.path());
    let effects = harness.state_mut().state.apply(Command::Open(place.clone()));
    harness.state_mut().carry_out(effects);
    harness.run_steps(2);
    assert!(harness.state().state.visit.is_some(), "whoever comes is asked for a name");
    let effects = harness.state_mut().state.apply(Command::EnterRoom(place, "ada".into()));
    harness.state_mut().carry_out(effects);
    harness.run_steps(2);
    harness.get_by_label("Begin");
    assert!(harness.query_by_label("Ground truth").is_none(), "nothing else is shown");
    let due = |app: &App| match &app.state.room.as_ref()?.stage {
        Stage::Trial(due) => Some(due.clone()),
        _ => None,
    };
    press(&mut harness, &[(N, Key::Enter)]);
    for trial in 0..6 {
        until(&mut harness, "the sounds of the trial", |app| due(app).is_some_and(|due| due.ready));
        press(&mut harness, &[(N, Key::ArrowLeft), (N, Key::Enter)]);
        assert_eq!(harness.state().state.room.as_ref().unwrap().progress.0, if trial > 0 { trial - 1 } else { 0 }, "nothing was heard yet");
        for (slot, key) in [Key::R, Key::A, Key::B].into_iter().enumerate() {
            press(&mut harness, &[(N, key)]);
            until(&mut harness, "it is heard", |app| due(app).is_some_and(|due| due.slots[slot].1));
        }
        press(&mut harness, &[(N, Key::ArrowLeft), (N, Key::Enter)]);
        if trial == 0 {
            assert!(matches!(harness.state().state.room.as_ref().unwrap().stage, Stage::Shown(_)), "practice is explained");
            press(&mut harness, &[(N, Key::Enter)]);
        }
    }
    let Stage::After { summary, .. } = &harness.state().state.room.as_ref().unwrap().stage else { panic!("the test is over") };
    assert!(summary.contains("a pilot with 1 listener") && summary.contains("5 trials"), "{summary}");
    let log = Log::verify(&test.log_path("ada"), &test).unwrap();
    assert!(log.is_finished);
    let rendered = |entry: &driftscope_core::listen::Entry| matches!(&entry.event, Event::Answer { rendered: Some(hashes), .. } if hashes.iter().flatten().filter(|sound| sound.ends_with(" dB")).count() == 3);
    assert_eq!(log.entries.iter().filter(|entry| rendered(entry)).count(), 6, "what was made live is in the log by its hash");
    harness.get_by_label("Write results").click();
    harness.run_steps(3);
    for file in ["results.json", "answers.csv", "summary.txt", "listening.pdf"] {
        assert!(test.folder().join("results").join(file).is_file(), "{file}");
    }
    press(&mut harness, &[(N, Key::Escape)]);
    assert!(harness.state().state.room.is_none());
    until(&mut harness, "the window as it was", |app| there(app, Source::Truth));
}
