//! Listening tests from the command line: folders of sounds become a test, a simulated listener hears it, the results are told; and what
//! was touched or does not fit is one sentence.

use std::f32::consts::TAU;
use std::fs;
use std::path::Path;

use driftscope_core::audio::{AudioClip, write_wav};
use driftscope_core::listen::{Answer, Session, Test, Writing};
use serde_json::Value;

use crate::cli::{Outcome, driftscope};

const WRITING: Writing<'_> = Writing { program: "driftscope 0.0.0", clock: || "2026-11-21T12:00:00Z".to_owned() };

/// `NAME.wav` for each of the names: a tone at a rate, so loud and so long.
fn sounds(folder: &Path, names: &[&str], amplitude: f32, sec: f32, rate_hz: u32) {
    for name in names {
        let n = (sec * rate_hz as f32) as usize;
        let samples = (0..n).map(|i| amplitude * (TAU * 440.0 * i as f32 / rate_hz as f32).sin()).collect();
        write_wav(&folder.join(format!("{name}.wav")), &AudioClip { samples, sample_rate_hz: rate_hz }).unwrap();
    }
}

/// `listen …` in `folder`; `@` before an argument (or after its `=`) stands for the folder.
fn listen(folder: &Path, args: &[&str]) -> Outcome {
    let place = format!("{}/", folder.display());
    let args: Vec<String> = args.iter().map(|arg| arg.replace('@', &place)).collect();
    let all: Vec<&str> = std::iter::once("listen").chain(args.iter().map(String::as_str)).collect();
    driftscope(folder, &all)
}

const MAKE: [&str; 9] = ["make", "--reference", "@truth", "--conditions", "rollout=@rollout", "--design", "abx", "--out", "@test"];

/// Hears everything where `hears` says so, else answers A.
fn hear(test: &Test, name: &str, hears: bool) {
    let mut session = Session::start(test, name, WRITING).unwrap();
    while let Some(trial) = session.trial().cloned() {
        (0..trial.slots.len()).for_each(|slot| session.heard(slot, 1.0));
        session.answer(Answer::Slot(if hears { trial.right_slot().unwrap() } else { 0 })).unwrap();
    }
}

#[test]
fn from_folders_of_sounds_to_a_sentence_for_the_paper() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    sounds(&folder.join("truth"), &["p1", "p2", "alone"], 0.1, 0.5, 16_000);
    sounds(&folder.join("rollout"), &["p1", "p2"], 0.2, 0.52, 16_000);
    let made = listen(folder, &MAKE);
    assert_eq!(made.code, 0, "{}", made.err);
    assert!(made.out.ends_with("test: \"test\": 2 conditions, 2 items, 16 scored trials a listener\n"), "{}", made.out);
    assert!(made.err.contains("left out: alone is in 1 of the 2 folders"), "{}", made.err);
    assert!(made.err.contains("item \"p1\": longer sounds lost their last 20.0 ms, so that all end at once"), "{}", made.err);
    let again = listen(folder, &MAKE);
    assert!(again.code == 1 && again.err.contains("plan.json: a plan is there already"), "{}", again.err);

    let checked = listen(folder, &["check", "@test"]);
    assert!(checked.code == 0 && checked.out.contains("its 4 sounds are as the plan was made"), "{}{}", checked.out, checked.err);
    let early = listen(folder, &["results", "@test"]);
    assert!(early.code == 1 && early.err.contains("no listener has finished the test; results are shown when one has"), "{}", early.err);

    let test = Test::open(&folder.join("test")).unwrap();
    hear(&test, "Ann", true);
    let verified = listen(folder, &["verify", "@test/log-Ann.jsonl"]);
    assert!(verified.out.contains("as it was written; Ann, finished: 16 answers that count of 16 at most, 0 voided"), "{}", verified.out);
    assert!(!verified.out.contains("right") && !verified.out.contains("heard"), "how well Ann did is not said: {}", verified.out);
    let results = listen(folder, &["results", "@test", "--csv", "@answers.csv"]);
    assert!(results.out.contains("rollout: heard: 16 of 16 right (100 %; 79 to 100 %), p = 1.5e-5."), "{}{}", results.out, results.err);
    assert!(results.out.contains("a pilot with 1 listener"), "{}", results.out);
    assert_eq!(fs::read_to_string(folder.join("answers.csv")).unwrap().lines().count(), 17);
    let json: Value = serde_json::from_str(&listen(folder, &["results", "@test", "--json", "-"]).out).unwrap();
    assert_eq!(json["raw"]["results"][0]["result"]["pooled"]["tally"]["n_right"], 16);

    hear(&test, "Ben", false);
    let path = test.log_path("Ben");
    let log = fs::read_to_string(&path).unwrap();
    fs::write(&path, log.replacen("{\"slot\":0}", "{\"slot\":1}", 1)).unwrap();
    let touched = listen(folder, &["verify", "@test/log-Ben.jsonl"]);
    assert!(touched.code == 1 && touched.err.contains("log-Ben.jsonl: line 2 was changed after it was written"), "{}", touched.err);
    let without = listen(folder, &["results", "@test"]);
    assert!(without.out.contains("16 of 16 right") && without.out.contains("Left out: "), "{}", without.out);
    let stimulus = folder.join("test").join(&test.plan().items[0].stimuli[0].as_ref().unwrap().file);
    sounds(stimulus.parent().unwrap(), &[&stimulus.file_stem().unwrap().to_string_lossy()], 0.3, 0.5, 16_000);
    let changed = listen(folder, &["check", "@test"]);
    assert!(changed.code == 1 && changed.err.contains("is not the sound that the plan was made of"), "{}", changed.err);
}

#[test]
fn what_no_test_can_be_made_of_is_one_sentence() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    sounds(&folder.join("truth"), &["p1"], 0.1, 0.5, 16_000);
    sounds(&folder.join("rate"), &["p1"], 0.1, 0.5, 24_000);
    sounds(&folder.join("long"), &["p1"], 0.1, 0.9, 16_000);
    sounds(&folder.join("silent"), &["p1"], 0.0, 0.5, 16_000);
    sounds(&folder.join("other"), &["p2"], 0.1, 0.5, 16_000);
    fs::create_dir(folder.join("empty")).unwrap();
    for (condition, code, expected) in [
        ("x=@rate", 1, "item \"p1\": \"reference\" has 16000 Hz and \"x\" 24000 Hz; bring all to one rate first"),
        ("x=@long", 1, "item \"p1\": \"reference\" lasts 0.50 s and \"x\" 0.90 s"),
        ("x=@silent", 1, "item \"p1\": \"x\" is silent"),
        ("x=@other", 1, "no sound has the same name in all of the folders"),
        ("x=@empty", 1, "holds no WAV, FLAC, MP3 or Ogg file"),
        ("reference=@truth", 1, "two of the conditions are called \"reference\""),
        ("@truth", 2, "is no condition; write NAME=DIR"),
    ] {
        let made = listen(folder, &["make", "--reference", "@truth", "--conditions", condition, "--design", "abx", "--out", "@test"]);
        assert!(made.code == code && made.err.contains(expected), "{condition}: {}", made.err);
        assert!(!folder.join("test").exists(), "{condition} leaves nothing");
    }
    let alone = listen(folder, &["make", "--conditions", "x=@truth", "--design", "abx", "--out", "@test"]);
    assert!(alone.code == 2 && alone.err.contains("name its folder with --reference"), "{}", alone.err);
    fs::write(folder.join("plan.json"), "{\"format\": 1}").unwrap();
    let broken = listen(folder, &["check", "@plan.json"]);
    assert!(broken.code == 1 && broken.err.contains("plan.json: is no plan of a listening test (missing field"), "{}", broken.err);
}

/// The only file of a folder.
fn only(folder: &Path) -> String {
    let names: Vec<_> = fs::read_dir(folder).unwrap().map(|e| e.unwrap()).filter(|e| e.path().is_file()).map(|e| e.file_name()).collect();
    assert_eq!(names.len(), 1, "{names:?}");
    names[0].to_string_lossy().into_owned()
}

#[test]
fn to_other_programs_and_back() {
    let temp = tempfile::tempdir().unwrap();
    let folder = temp.path();
    sounds(&folder.join("truth"), &["p1", "p2"], 0.1, 0.5, 16_000);
    sounds(&folder.join("rollout"), &["p1", "p2"], 0.2, 0.5, 16_000);
    assert_eq!(listen(folder, &MAKE).code, 0);
    let test = Test::open(&folder.join("test")).unwrap();
    hear(&test, "Ann", true);

    let table = listen(folder, &["webmushra", "table", "@test", "--out", "@paired_comparison.csv"]);
    assert!(table.code == 0 && table.out.ends_with("the answers of 1 listeners\n"), "{}{}", table.out, table.err);
    let told = listen(folder, &["webmushra", "results", "@paired_comparison.csv", "--plan", "@test"]);
    assert_eq!(told.out, "rollout: 16 of 16 right (0 undecided), p = 1.5e-5\n", "{}", told.err);

    let rated = ["make", "--reference", "@truth", "--conditions", "rollout=@rollout", "--design", "mushra", "--out", "@rated"];
    assert_eq!(listen(folder, &rated).code, 0);
    let out = listen(folder, &["webmushra", "export", "@rated", "--out", "@experiment"]);
    assert_eq!(out.code, 0, "{}", out.err);
    let config = format!("@experiment/configs/{}", only(&folder.join("experiment/configs")));
    let back = listen(folder, &["webmushra", "import", &config, "--root", "@experiment", "--out", "@back"]);
    assert!(back.out.ends_with("\"rated\": 4 conditions, 2 items, 2 scored trials a listener\n"), "{}{}", back.out, back.err);
    let other = listen(folder, &["webmushra", "results", "@paired_comparison.csv", "--plan", "@rated"]);
    assert!(other.code == 1 && other.err.contains("mushra.csv has a column rating_stimulus, and this file none"), "{}", other.err);

    let scores = listen(folder, &["versa", "@test", "--out", "@scores"]);
    assert_eq!(scores.code, 0, "{}", scores.err);
    assert!(folder.join("scores/reference/p1.wav").is_file() && folder.join("scores/rollout/wav.scp").is_file());
}
