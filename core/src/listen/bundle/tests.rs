use super::*;
use crate::listen::fixture;
use crate::listen::plan::{Method, Plan, Role};

const ROLES: [Role; 3] = [Role::Reference, Role::Tested, Role::Anchor];

/// A test whose sounds are there: tones, each of its own pitch.
fn test(folder: &Path, design: Design, roles: &[Role]) -> Test {
    let mut plan = fixture::plan(design, roles, 2);
    plan.settings.must_hear_sec = 0.05;
    for (idx, stimulus) in plan.items.iter_mut().flat_map(|item| &mut item.stimuli).flatten().enumerate() {
        let samples = (0..1_600).map(|i| (0.01 * (idx + 3) as f32 * i as f32).sin() * 0.1).collect();
        let path = folder.join(&stimulus.file);
        audio::write_wav(&path, &AudioClip { samples, sample_rate_hz: 16_000 }).unwrap();
        stimulus.hash = blake3::hash(&std::fs::read(path).unwrap()).to_hex().to_string();
        stimulus.duration_sec = 0.1;
        stimulus.gain_db = -(idx as f64);
    }
    Test::create(folder, &plan).unwrap()
}

fn fixed() -> Design {
    Design::Abx { stop: Stop::Fixed { n_trials: 8 }, alpha: 0.05 }
}

fn orders_of(folder: &Path) -> Value {
    let script = std::fs::read_to_string(folder.join("orders.js")).unwrap();
    serde_json::from_str(script.strip_prefix("window.LISTENING = ").unwrap().strip_suffix(";\n").unwrap()).unwrap()
}

#[test]
fn what_lies_in_the_folder_tells_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for (name, design) in [("abx", fixed()), ("mushra", Design::Mushra), ("triple", Design::TripleStimulus)] {
        let test = test(&folder.path().join(name), design, &ROLES);
        let bundle = folder.path().join(format!("{name} to give away"));
        write_bundle(&test, 3, &bundle).unwrap();

        let orders = std::fs::read_to_string(bundle.join("orders.js")).unwrap();
        let plan: &Plan = test.plan();
        let stimuli = || plan.items.iter().flat_map(|item| &item.stimuli).flatten();
        let known = plan.conditions.iter().map(|c| &c.name).chain(plan.items.iter().map(|i| &i.id));
        for secret in known.chain(stimuli().flat_map(|s| [&s.file, &s.hash])) {
            assert!(!orders.contains(secret.as_str()), "{name}: the page knows {secret}");
        }
        let orders = orders_of(&bundle);
        for seat in orders["seats"].as_array().unwrap() {
            for trial in seat["trials"].as_array().unwrap() {
                let tokens: std::collections::BTreeSet<String> =
                    trial["slots"].as_array().unwrap().iter().map(|s| s["token"].to_string()).collect();
                assert_eq!(tokens.len(), trial["slots"].as_array().unwrap().len(), "{name}: two slots look alike");
                assert_eq!(trial["reveal"].is_string(), trial["training"] == true, "{name}: only training shows what was right");
            }
        }
        let sounds: Vec<_> = std::fs::read_dir(bundle.join("stimuli")).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(sounds.len(), stimuli().count() + 1, "{name}: each sound once, and the noise");
    }
}

/// The page's way from a slot to its sound leads where the plan's does, and every seat hears what its name would in the window.
#[test]
fn tokens_lead_to_the_sounds_of_the_plan() {
    let folder = tempfile::tempdir().unwrap();
    let test = test(&folder.path().join("test"), fixed(), &ROLES);
    let bundle = folder.path().join("bundle");
    write_bundle(&test, 2, &bundle).unwrap();
    let orders = orders_of(&bundle);
    for (number, shown) in (1..=2).zip(orders["seats"].as_array().unwrap()) {
        let planned = trials(&test, &seat(number));
        assert_eq!(planned.len(), shown["trials"].as_array().unwrap().len());
        for (idx, trial) in planned.iter().enumerate() {
            for (place, slot) in trial.slots.iter().enumerate() {
                let shown = &shown["trials"][idx]["slots"][place];
                assert_eq!(shown["label"], slot.label);
                let found = orders["sounds"]
                    .as_object()
                    .unwrap()
                    .keys()
                    .find(|id| shown["token"] == token(&seat(number), idx, &place.to_string(), id));
                assert_eq!(found, Some(&sound_id(&test, trial.stimulus(place, test.plan()).unwrap())));
            }
        }
    }
    assert_ne!(orders["seats"][0]["trials"], orders["seats"][1]["trials"]);
}

#[test]
fn refusals() {
    let folder = tempfile::tempdir().unwrap();
    let there = test(&folder.path().join("fixed"), fixed(), &ROLES);
    let sequential = Design::Abx { stop: Stop::Sequential { p1: 0.8, beta: 0.2, max_trials: 20 }, alpha: 0.05 };
    let adaptive = Design::Threshold { method: Method::Bayesian, n_trials: 20 };
    let four = [Role::Reference, Role::Tested, Role::Tested, Role::Tested];
    let refusal = |test: &Test, n_seats: u32, name: &str| write_bundle(test, n_seats, &folder.path().join(name)).unwrap_err().to_string();
    for (wanted, said) in [
        ("the page would have to know them", refusal(&test(&folder.path().join("s"), sequential, &ROLES), 1, "a")),
        ("the page would have to know them", refusal(&test(&folder.path().join("t"), adaptive, &four), 1, "a")),
        ("from 1 to 10000 seats, not 0", refusal(&there, 0, "a")),
        ("name a new folder", refusal(&there, 1, "fixed")),
    ] {
        assert!(said.contains(wanted), "{said}");
    }
    assert!(!folder.path().join("a").exists());
    // A sound that is not the plan's any more: nothing of a bundle is left.
    let path = folder.path().join("fixed").join(&there.plan().items[1].stimuli[0].as_ref().unwrap().file);
    std::fs::write(path, "not what it was").unwrap();
    assert!(refusal(&there, 1, "a").contains("not the sound that the plan was made of"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 3, "fixed, s and t");
}

/// Answers to the trials of a seat, all heard and all "A".
fn answers(test: &Test, seat: &str) -> Answers {
    let answered = |trial: &Trial| Answered {
        number: trial.number,
        answer: Answer::Slot(0),
        heard_sec: vec![0.05; trial.slots.len()],
        n_switches: 3,
        n_underruns: Some(0),
        sample_rate_hz: 48_000.0,
        shown: "2026-11-21T12:00:00.000Z".to_owned(),
        answered: "2026-11-21T12:00:09.000Z".to_owned(),
    };
    Answers {
        format: 1,
        plan: test.hash().to_owned(),
        seat: seat.to_owned(),
        listener: "Ann".to_owned(),
        level_db: -6.0,
        started: "2026-11-21T12:00:00.000Z".to_owned(),
        finished: None,
        user_agent: "a browser".to_owned(),
        answers: trials(test, seat).iter().map(answered).collect(),
    }
}

#[test]
fn answers_are_held_against_the_plan() {
    let folder = tempfile::tempdir().unwrap();
    let test = test(folder.path(), fixed(), &ROLES);
    let path = folder.path().join("answers-Ann.json");
    let read = |change: &dyn Fn(&mut Answers)| {
        let mut answers = answers(&test, "seat-02");
        change(&mut answers);
        std::fs::write(&path, serde_json::to_vec(&answers).unwrap()).unwrap();
        read_answers(&path, &test).map_err(|e| e.to_string())
    };
    let (given, of) = read(&|_| {}).unwrap();
    assert_eq!((given.answers.len(), of), (11, trials(&test, "seat-02")));
    assert_eq!(read(&|a| a.answers.truncate(4)).unwrap().1.len(), 4);

    type Change = fn(&mut Answers);
    let cases: [(&str, Change); 8] = [
        ("answers another plan", |a| a.plan = "0".repeat(64)),
        ("it has format 2, and this program reads 1", |a| a.format = 2),
        ("\"seat-2\" is no seat; seats are called seat-01 and so on", |a| a.seat = "seat-2".to_owned()),
        ("\"Ann\" is no seat", |a| a.seat = "Ann".to_owned()),
        ("trial 3: an answer to trial 4 stands in its place", |a| drop(a.answers.remove(2))),
        ("12 answers to 11 trials", |a| a.answers.push(a.answers[0].clone())),
        ("trial 5: B was heard for 0.03 s only, not 0.05", |a| a.answers[4].heard_sec[1] = 0.03),
        ("trial 5: the answer is A or B", |a| a.answers[4].answer = Answer::Slot(2)),
    ];
    for (wanted, change) in cases {
        let said = read(&change).unwrap_err();
        assert!(said.contains(wanted), "{said}, and not {wanted}");
        assert!(said.contains("answers-Ann.json"), "{said}");
    }
}
