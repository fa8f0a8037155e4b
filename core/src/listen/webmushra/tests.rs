use std::path::Path;

use super::config::experiment as parse;
use super::*;
use crate::audio::{AudioClip, write_wav};
use crate::listen::anchors::Anchor;
use crate::listen::fixture::{self, WRITING};
use crate::listen::log::Log;
use crate::listen::plan::{Design, Method, Plan, Role, Stop};
use crate::listen::session::Session;
use crate::listen::statistics::Rating;
use crate::listen::test::Test;

/// Of the shape that the documentation for experimenters describes.
const EXPERIMENT: &str = "
testname: Codecs, second round
testId: codecs_2
bufferSize: 2048
stopOnErrors: true
remoteService: service/write.php
pages:
    - type: generic
      id: welcome
      content: <b>Hello</b>
    - type: volume
      id: vol
      stimulus: audio/a_ref.wav
      defaultVolume: 0.5
    -
        - random
        - type: mushra
          id: speech 1
          name: MUSHRA
          reference: audio/a_ref.wav
          createAnchor35: true
          createAnchor70: false
          stimuli:
              C2: audio/a_2.wav
              C1: audio/a_1.wav
        -
            - type: mushra
              id: 7
              reference: audio/b_ref.wav
              createAnchor35: true
              stimuli:
                  C1: audio/b_1.wav
                  C2: audio/b_2.wav
    - type: finish
      writeResults: true
";

#[test]
fn an_experiment_is_read() {
    let read = parse(EXPERIMENT).unwrap();
    assert_eq!((read.name.as_str(), read.id.as_str(), read.kind), ("Codecs, second round", "codecs_2", Kind::Mushra));
    let ids: Vec<&str> = read.pages.iter().map(|page| page.id.as_str()).collect();
    assert_eq!(ids, ["speech 1", "7"], "groups of groups, and a number as id");
    assert_eq!(read.pages[0].anchors, [Anchor::Low]);
    assert_eq!(read.pages[0].stimuli[0], ("C2".to_owned(), "audio/a_2.wav".into()));
    assert!(read.notes.iter().any(|note| note == "left out: 1 of type volume"), "{:?}", read.notes);
}

#[test]
fn an_experiment_becomes_a_test() {
    let folder = tempfile::tempdir().unwrap();
    for (n, name) in ["a_ref", "a_1", "a_2", "b_ref", "b_1", "b_2"].into_iter().enumerate() {
        let samples = (0..16_000).map(|i| 0.2 * (0.05 * (n + 1) as f32 * i as f32).sin()).collect();
        write_wav(&folder.path().join(format!("audio/{name}.wav")), &AudioClip { samples, sample_rate_hz: 16_000 }).unwrap();
    }
    let draft = parse(EXPERIMENT).unwrap().draft(folder.path(), 1).unwrap();
    let (test, _) = draft.write(&folder.path().join("test")).unwrap();
    let names: Vec<(&str, Role)> = test.plan().conditions.iter().map(|c| (c.name.as_str(), c.role)).collect();
    assert_eq!(names, [("reference", Role::Reference), ("C2", Role::Tested), ("C1", Role::Tested), ("3.5 kHz", Role::Anchor)]);
    // Page 7 names its conditions in another order: C1 is found by its name.
    let c1 = test.sound(test.plan().items[1].stimuli[2].as_ref().unwrap()).unwrap();
    assert!((c1.samples[10] - 0.2 * (0.05 * 5.0 * 10.0_f32).sin()).abs() < 1e-6);
}

#[test]
fn what_is_no_experiment() {
    let with = |from: &str, to: &str| parse(&EXPERIMENT.replace(from, to)).unwrap_err();
    for (said, wanted) in [
        (parse("testId: [").unwrap_err(), "is no YAML"),
        (parse("a: 1").unwrap_err(), "it has no testId"),
        (parse("testId: a").unwrap_err(), "it has no pages"),
        (parse("testId: a\npages: [{type: generic}]").unwrap_err(), "has no page of type mushra, paired_comparison or bs1116"),
        (parse("testId: a\npages: [rnd]").unwrap_err(), "has \"rnd\" among its pages"),
        (with("id: 7", "id: speech 1"), "two pages with the id \"speech 1\""),
        (
            with("C2: audio/b_2.wav", "C3: audio/b_2.wav"),
            "page \"speech 1\" has the conditions 3.5 kHz, C1, C2 and page \"7\" 3.5 kHz, C1, C3",
        ),
        (with("- type: mushra\n              id", "- type: bs1116\n              id"), "has pages of type mushra and bs1116"),
        (with("          reference: audio/a_ref.wav\n", ""), "page \"speech 1\" has no reference"),
    ] {
        assert!(said.contains(wanted), "{said}, and not {wanted}");
    }
}

/// A plan with sounds, whose anchors are called as ours are.
fn test(folder: &Path, design: Design) -> Test {
    let mut plan = fixture::plan(design, &[Role::Reference, Role::Tested, Role::Anchor], 2);
    plan.conditions[2].name = "3.5 kHz".to_owned();
    for (n, stimulus) in plan.items.iter_mut().flat_map(|item| &mut item.stimuli).flatten().enumerate() {
        let path = folder.join(&stimulus.file);
        write_wav(&path, &AudioClip { samples: vec![0.1 * (n + 1) as f32; 800], sample_rate_hz: 16_000 }).unwrap();
        stimulus.hash = blake3::hash(&std::fs::read(path).unwrap()).to_hex().to_string();
        (stimulus.duration_sec, stimulus.gain_db) = (0.05, -6.0);
    }
    fixture::test(folder, &plan)
}

const fn abx(n_trials: u32) -> Design {
    Design::Abx { stop: Stop::Fixed { n_trials }, alpha: 0.05 }
}

#[test]
fn a_plan_comes_back_from_its_experiment() {
    let folder = tempfile::tempdir().unwrap();
    let cases = [(Design::Mushra, Kind::Mushra, 1), (Design::TripleStimulus, Kind::Bs1116, 1), (abx(6), Kind::PairedComparison, 3)];
    for (design, kind, n_rounds) in cases {
        let test = test(&folder.path().join(kind.name()), design);
        let out = folder.path().join(format!("{} for webMUSHRA", kind.name()));
        let read = read_experiment(&export_experiment(&test, &out).unwrap()).unwrap();
        assert_eq!((read.kind, read.name.as_str()), (kind, "a test"));
        let scored = &read.pages;
        assert_eq!((read.n_training, scored.len()), (3, 2 * n_rounds));
        assert_eq!((scored[0].id.as_str(), scored[1].id.as_str()), ("item 0", "item 1"));
        let names: Vec<&str> = scored[0].stimuli.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["test 1", "3.5 kHz"]);
        let sound = crate::audio::read(&out.join(&scored[1].reference)).unwrap();
        assert!((sound.samples[0] - 0.4 * 10_f32.powf(-0.3)).abs() < 1e-6, "the gain is in the samples");
        assert!(matches!(export_experiment(&test, &out), Err(WebmushraError::Exists(_))));
    }
    let four = [Role::Reference, Role::Tested, Role::Tested, Role::Tested];
    let adaptive = fixture::plan(Design::Threshold { method: Method::Bayesian, n_trials: 9 }, &four, 2);
    let test = fixture::test(&folder.path().join("adaptive"), &adaptive);
    assert!(matches!(export_experiment(&test, &folder.path().join("x")), Err(WebmushraError::NoPage(_))));
}

fn write(folder: &Path, text: &str) -> std::path::PathBuf {
    let path = folder.join("results.csv");
    std::fs::write(&path, text).unwrap();
    path
}

/// As webMUSHRA writes them: participants' columns as the questionnaire has them, `session_uuid` last among them.
#[test]
fn results_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let plan = test(&folder.path().join("m"), Design::Mushra).plan().as_ref().clone();
    let text = "session_test_id,email,age,session_uuid,trial_id,rating_stimulus,rating_score,rating_time,rating_comment\n\
                codecs,ann@example.org,30,u1,\"item 1\",reference,100,5321,\n\
                codecs,ann@example.org,30,u1,\"item 1\",\"test 1\",61,5321,\"a bit, dull\"\n\
                codecs,ann@example.org,30,u1,\"item 1\",anchor35,20,5321,\n\
                codecs,ann@example.org,30,u1,training-1,reference,3,100,\n\
                codecs,bob@example.org,41,u2,\"item 0\",reference,98.5,700,\n";
    let rows = read_results(&write(folder.path(), text), &plan).unwrap();
    let (names, read) = ratings(&rows);
    assert_eq!(names, ["ann@example.org 30 u1", "bob@example.org 41 u2"]);
    let rating = |listener, item, condition, value| Rating { listener, item, condition, value };
    assert_eq!(read, [rating(0, 1, 0, 100.0), rating(0, 1, 1, 61.0), rating(0, 1, 2, 20.0), rating(1, 0, 0, 98.5)]);
    assert_eq!(rows[0].time_ms, 5321.0);

    for (from, to, wanted) in [
        ("test 1", "C9", "line 3: \"C9\" is no condition of the plan"),
        ("item 0", "item 9", "line 6: trial \"item 9\" is no item of the plan"),
        (",61,", ",161,", "line 3: rating_score is 161, and is to lie from 0 to 100"),
        (",61,", ",,", "line 3: rating_score is \"\", and is to be a number"),
        ("rating_score", "score", "line 1: mushra.csv has a column rating_score, and this file none"),
        ("bob@example.org,41,u2", ",,", "line 6: nothing says who answered"),
    ] {
        let said = read_results(&write(folder.path(), &text.replace(from, to)), &plan).unwrap_err().to_string();
        assert!(said.contains(wanted), "{said}, and not {wanted}");
    }
}

/// A whole test, heard by somebody who hears everything.
fn heard(folder: &Path, design: Design) -> (Plan, Log) {
    let test = test(folder, design);
    let mut session = Session::start(&test, "Ann", WRITING).unwrap();
    fixture::listen(&mut session, fixture::golden_ear);
    (test.plan().as_ref().clone(), Log::verify(&test.log_path("Ann"), &test).unwrap())
}

#[test]
fn our_answers_come_back_from_their_table() {
    let folder = tempfile::tempdir().unwrap();
    let table = |kind: Kind, design: Design| {
        let (plan, log) = heard(&folder.path().join(kind.name()), design);
        let text = results_csv(&plan, "codecs", &[log]).unwrap();
        (read_results(&write(folder.path(), &text), &plan).unwrap(), text)
    };
    let (rows, text) = table(Kind::Mushra, Design::Mushra);
    assert!(text.starts_with("session_test_id,listener,session_uuid,trial_id,rating_stimulus,rating_score,rating_time,rating_comment\n"));
    let (names, read) = ratings(&rows);
    assert_eq!((names, read.len()), (vec!["Ann".to_owned()], 6));
    assert!(read.iter().all(|r| r.value == 100.0 - 20.0 * r.condition as f64));

    let (rows, text) = table(Kind::Bs1116, Design::TripleStimulus);
    assert!(text.contains(",rating_reference_score,rating_non_reference_score,rating_time,choice_comment\n"));
    assert!(grades(&rows).1.iter().all(|g| (g.object, g.reference, g.condition) == (3.5, 5.0, 1)), "{rows:?}");
    assert_eq!(rows.len(), 2);

    let (rows, text) = table(Kind::PairedComparison, abx(6));
    assert!(text.contains("choice_answer") && text.contains("item 0 (3)"), "the third time it comes it has a name of its own");
    assert_eq!(tallies(&rows).into_iter().collect::<Vec<_>>(), [(1, [6, 0, 0])]);
}
