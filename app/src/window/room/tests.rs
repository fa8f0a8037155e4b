//! A session heard through the player, pulled by hand.

use std::sync::mpsc;

use driftscope_core::audio::AudioClip;
use driftscope_core::listen::{Condition, Design, Draft, DraftItem, Event, Log, Role, Settings, Stop};
use driftscope_core::playback::{FADE_SEC, Mixer};

use super::*;

const RATE_HZ: u32 = 16_000;

/// Two tones under each other, of one loudness or not, in an ABX test of five trials.
fn test(folder: &Path, must_hear_sec: f64) -> Test {
    let tone = |hz: f64, amplitude: f64| AudioClip {
        samples: (0..RATE_HZ)
            .map(|i| (amplitude * (std::f64::consts::TAU * hz * f64::from(i) / f64::from(RATE_HZ)).sin()) as f32)
            .collect(),
        sample_rate_hz: RATE_HZ,
    };
    let draft = Draft {
        title: "tones".into(),
        design: Design::Abx { stop: Stop::Fixed { n_trials: 5 }, alpha: 0.05 },
        conditions: vec![Condition::new("low", "", Role::Reference), Condition::new("high", "", Role::Tested)],
        axis: None,
        items: vec![DraftItem { id: "tone".into(), speaker: String::new(), sounds: vec![Some(tone(400.0, 0.2)), Some(tone(1000.0, 0.4))] }],
        recipe: None,
        seed: 3,
        settings: Settings { n_training: 0, must_hear_sec, ..Settings::default() },
        provenance: std::collections::BTreeMap::new(),
    };
    draft.write(folder).unwrap().0
}

struct Listening {
    booth: Booth,
    player: Player,
    mixer: Mixer,
    fetched: mpsc::Receiver<Fetched>,
}

impl Listening {
    fn begin(test: &Test) -> Self {
        let (sender, fetched) = mpsc::channel();
        let booth = Booth::open(test.folder(), "ada", &[], move |sounds| drop(sender.send(sounds))).unwrap();
        let (player, mixer) = Player::by_hand(RATE_HZ);
        let mut listening = Self { booth, player, mixer, fetched };
        listening.ready();
        listening.booth.act(RoomCommand::GoOn);
        listening.ready();
        listening
    }

    /// A frame of the window; sounds that were asked for are there in the next one.
    fn ready(&mut self) -> Room {
        self.booth.sync(&mut self.player);
        if !self.booth.is_ready() && self.booth.session.trial().is_some() {
            let fetched = self.fetched.recv().unwrap();
            self.booth.receive(fetched);
        }
        self.booth.sync(&mut self.player)
    }

    fn due(&mut self) -> Due {
        match self.ready().stage {
            Stage::Trial(due) => due,
            other => panic!("no trial: {other:?}"),
        }
    }

    /// What a device would be given in so many seconds, while the window goes on drawing.
    fn hear(&mut self, slot: usize, sec: f64) -> Vec<f32> {
        self.booth.act(RoomCommand::Play(slot));
        let mut heard = Vec::new();
        while heard.len() < (sec * f64::from(RATE_HZ)) as usize {
            self.booth.sync(&mut self.player);
            let mut block = vec![0.0_f32; 160];
            self.mixer.render(&mut block);
            heard.extend(block);
        }
        self.booth.sync(&mut self.player);
        heard
    }
}

#[test]
fn nothing_is_answered_before_all_was_heard_and_every_answer_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let test = test(folder.path(), 0.2);
    let mut listening = Listening::begin(&test);
    for number in 1..=5 {
        listening.booth.act(RoomCommand::Choose(0));
        listening.booth.act(RoomCommand::Answer);
        assert_eq!(listening.booth.session.progress().n_answered, number - 1, "nothing was heard of it");
        listening.due();
        listening.hear(0, 0.3);
        listening.hear(1, 0.3);
        assert!(listening.due().missing.is_some_and(|why| why.starts_with('X')), "X was not heard");
        listening.booth.act(RoomCommand::Answer);
        listening.hear(2, 0.3);
        assert_eq!(listening.due().slots.iter().filter(|(_, heard)| *heard).count(), 3);
        listening.booth.act(RoomCommand::Choose(1));
        listening.booth.act(RoomCommand::Answer);
        assert_eq!(listening.booth.session.progress().n_answered, number);
    }
    assert!(matches!(listening.ready().stage, Stage::After { .. }));
    let log = Log::verify(&test.log_path("ada"), &test).unwrap();
    assert!(log.is_finished);
    let heard = log.entries.iter().find_map(|entry| match &entry.event {
        Event::Answer { heard_sec, .. } => Some(heard_sec.clone()),
        _ => None,
    });
    assert!(heard.unwrap().iter().all(|sec| (0.28..0.33).contains(sec)), "what is logged is what sounded");
}

#[test]
fn what_sounds_is_the_stimulus_sample_for_sample_and_every_switch_fades_alike() {
    let folder = tempfile::tempdir().unwrap();
    let test = test(folder.path(), 0.2);
    let mut listening = Listening::begin(&test);
    listening.due();
    let trial = listening.booth.session.trial().unwrap().clone();
    let expected: Vec<Vec<f32>> = (0..3)
        .map(|slot| {
            let stimulus = trial.stimulus(slot, test.plan()).unwrap();
            let gain = 10_f64.powf(stimulus.gain_db / 20.0) as f32;
            test.sound(stimulus).unwrap().samples.iter().map(|s| gain * s).collect()
        })
        .collect();
    let fade = (FADE_SEC * f64::from(RATE_HZ)) as usize;
    let first = listening.hear(0, 0.2);
    assert_eq!(first[fade..], expected[0][fade..first.len()], "after the fade in, the file's samples at the plan's gain");
    let mut place = first.len();
    for (from, to) in [(0, 1), (1, 2), (2, 2)] {
        let heard = listening.hear(to, 0.2);
        let (old, new) = (&expected[from][place..], &expected[to][place..]);
        if from != to {
            for i in 0..fade {
                let share = (i + 1) as f32 / fade as f32;
                let mixed = old[i] + share * (new[i] - old[i]);
                assert!((heard[i] - mixed).abs() < 0.01, "sample {i} of the switch {from} to {to}: {} is not {mixed}", heard[i]);
            }
        }
        assert_eq!(heard[fade..], new[fade..heard.len()], "switch {from} to {to} keeps the place");
        place += heard.len();
    }
}

#[test]
fn an_underrun_voids_the_trial_and_it_comes_again() {
    let folder = tempfile::tempdir().unwrap();
    let test = test(folder.path(), 0.1);
    let mut listening = Listening::begin(&test);
    listening.due();
    let first = listening.booth.session.trial().unwrap().number;
    listening.hear(0, 0.2);
    listening.player.report_underrun();
    listening.booth.sync(&mut listening.player);
    let room = listening.ready();
    assert!(room.notice.is_some_and(|why| why.contains("broke off")), "it is said");
    assert_ne!(listening.booth.session.trial().unwrap().number, first);
    assert_eq!(listening.booth.session.progress().n_voided, 1);
    for _ in 0..5 {
        listening.due();
        (0..3).for_each(|slot| drop(listening.hear(slot, 0.15)));
        listening.booth.act(RoomCommand::Choose(0));
        listening.booth.act(RoomCommand::Answer);
    }
    assert!(matches!(listening.ready().stage, Stage::After { .. }), "five scored trials all the same");
    // Underruns between trials hurt nobody.
    listening.player.report_underrun();
    assert!(matches!(listening.ready().stage, Stage::After { .. }));
}

#[test]
fn a_session_that_was_left_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let test = test(folder.path(), 0.05);
    for expected in 0..3 {
        let mut listening = Listening::begin(&test);
        assert_eq!(listening.booth.session.progress().n_answered, expected);
        listening.due();
        (0..3).for_each(|slot| drop(listening.hear(slot, 0.1)));
        listening.booth.act(RoomCommand::Choose(0));
        listening.booth.act(RoomCommand::Answer);
    }
}
