//! Simulated listeners go through whole tests; some crash, some are cut off, some cheat.

use std::fs;
use std::path::Path;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::super::fixture::{WRITING, answer, golden_ear, listen, plan, test};
use super::super::plan::{Method, Plan, Role, Stop};
use super::*;

const ROLES: [Role; 3] = [Role::Reference, Role::Tested, Role::Tested];
const ABX: Design = Design::Abx { stop: Stop::Fixed { n_trials: 6 }, alpha: 0.05 };

/// What one line of the log is about, without its hashes.
fn events(path: &Path, test: &Test) -> Vec<Event> {
    let log = Log::verify(path, test).unwrap();
    log.entries.into_iter().map(|entry| entry.event).filter(|event| !matches!(event, Event::Resume { .. })).collect()
}

#[test]
fn no_answer_before_all_was_heard() {
    let folder = tempfile::tempdir().unwrap();
    let mut short = plan(ABX, &ROLES, 3);
    for stimulus in short.items.iter_mut().flat_map(|item| &mut item.stimuli).flatten() {
        stimulus.duration_sec = 0.6;
    }
    let sentences = |session: &mut Session| {
        let mut said = vec![session.may_answer().unwrap_err().to_string()];
        for (slot, seconds) in [(0, 0.5), (0, 2.0), (1, 2.0), (9, 5.0), (2, f64::NAN), (2, -3.0), (2, 0.3)] {
            session.heard(slot, seconds);
            said.push(session.may_answer().unwrap_err().to_string());
            assert!(matches!(session.answer(Answer::Slot(0)), Err(SessionError::NotYet(_))));
        }
        session.heard(2, 1.5);
        session.may_answer().unwrap();
        said.dedup();
        said
    };
    let mut session = Session::start(&test(&folder.path().join("a"), &plan(ABX, &ROLES, 3)), "Ann", WRITING).unwrap();
    let expected = |last: &str, of: &str| {
        let parts = [("A", "0.0"), ("A", "0.5"), ("B", "0.0"), ("X", "0.0"), ("X", last)];
        parts.map(|(label, heard)| format!("{label} has been heard for {heard} s; listen to {of} of it")).to_vec()
    };
    assert_eq!(sentences(&mut session), expected("0.3", "1.0 s"));
    let mut session = Session::start(&test(&folder.path().join("b"), &short), "Ann", WRITING).unwrap();
    assert_eq!(sentences(&mut session), expected("0.3", "all"));
    assert!(session.answer(Answer::Neither).unwrap_err().to_string().starts_with("this is no answer to trial 1: one of A and B"));
    session.answer(Answer::Slot(0)).unwrap();
    assert!(session.may_answer().is_err(), "what was heard of one trial does not count for the next");
}

#[test]
fn every_design_is_heard_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let preferred = [Role::Tested; 3];
    let anchored = [Role::Reference, Role::Tested, Role::Tested, Role::Anchor];
    let designs: [(Design, &[Role]); 8] = [
        (ABX, &ROLES),
        (Design::Abx { stop: Stop::Sequential { p1: 0.8, beta: 0.2, max_trials: 30 }, alpha: 0.05 }, &ROLES),
        (Design::Equivalence { n_trials: 12, margin: 0.75, alpha: 0.05 }, &ROLES),
        (Design::Preference { n_trials: 4, ties: true }, &preferred),
        (Design::Mushra, &anchored),
        (Design::TripleStimulus, &ROLES),
        (
            Design::Threshold { method: Method::TwoDownOneUp { first_step: 2 }, n_trials: 20 },
            &[Role::Reference, Role::Tested, Role::Tested, Role::Tested],
        ),
        (Design::Threshold { method: Method::Bayesian, n_trials: 20 }, &[Role::Reference, Role::Tested, Role::Tested, Role::Tested]),
    ];
    for (n, (design, roles)) in designs.into_iter().enumerate() {
        let test = test(&folder.path().join(n.to_string()), &plan(design, roles, 5));
        let mut session = Session::start(&test, "Ann", WRITING).unwrap();
        assert!(session.receipt().is_none());
        listen(&mut session, golden_ear);
        let progress = session.progress();
        assert_eq!(progress.n_training_left, 0);
        assert!(
            progress.n_answered == progress.n_total || (progress.may_end_before && progress.n_answered < progress.n_total),
            "{design:?}"
        );
        assert!(matches!(session.answer(Answer::Slot(0)), Err(SessionError::NotYet(NotYet::Finished))));
        let log = Log::verify(&test.log_path("Ann"), &test).unwrap();
        assert!(log.is_finished && session.receipt() == Some(log.receipt.as_str()), "{design:?}");
        assert_eq!(log.scored().count() as u32, progress.n_answered, "{design:?}");
    }
}

/// The log of a listener who guesses, with a voided trial and a pause in it.
fn guessed(test: &Test, listener: &str) -> Session {
    let mut session = Session::start(test, listener, WRITING).unwrap();
    go_on(&mut session);
    session
}

/// What the listener does depends on the trial only, so that a second sitting goes on as the first would have.
fn go_on(session: &mut Session) {
    while let Some(trial) = session.trial().cloned() {
        let mut rng = StdRng::seed_from_u64(u64::from(trial.number));
        if trial.number % 4 == 2 && session.progress().n_voided < 3 {
            session.void("underrun").unwrap();
        } else {
            answer(session, Answer::Slot(rng.random_range(0..2)));
        }
    }
}

#[test]
fn after_a_crash_anywhere_the_same_trials_come() {
    let folder = tempfile::tempdir().unwrap();
    let whole = test(&folder.path().join("whole"), &plan(ABX, &ROLES, 3));
    guessed(&whole, "Ann");
    let path = whole.log_path("Ann");
    let (bytes, expected) = (fs::read(&path).unwrap(), events(&path, &whole));
    let ends: Vec<usize> = (0..bytes.len()).filter(|&at| bytes[at] == b'\n').collect();
    assert_eq!(ends.len(), 1 + 15 + 3 + 1);
    let cuts = [0, 1, 40].into_iter().chain(ends.iter().step_by(5).flat_map(|&end| [end - 200, end, end + 1]));
    for cut in cuts {
        let crashed = test(&folder.path().join(cut.to_string()), whole.plan());
        fs::write(crashed.log_path("Ann"), &bytes[..cut]).unwrap();
        let mut session = Session::open(&crashed, "Ann", WRITING).unwrap();
        go_on(&mut session);
        drop(session);
        let log = crashed.log_path("Ann");
        assert_eq!(events(&log, &crashed), expected, "cut at {cut}");
        let n_whole = bytes[..cut].iter().rposition(|&b| b == b'\n').map_or(0, |at| at + 1);
        assert!(fs::read(&log).unwrap().starts_with(&bytes[..n_whole]), "nothing is rewritten");
        let aside = log.with_extension("cut-1");
        assert_eq!(fs::read(&aside).unwrap_or_default(), &bytes[n_whole..cut], "what was cut off is kept");
        if n_whole > 0 && n_whole < cut {
            let text = fs::read_to_string(&log).unwrap();
            assert!(text.contains(&format!("a line that was cut off after {} bytes is kept as log-Ann.cut-1", cut - n_whole)), "{text}");
        }
    }
}

#[test]
fn what_stands_in_the_way_is_said_and_nothing_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let (one, other) = (test(&folder.path().join("1"), &plan(ABX, &ROLES, 3)), test(&folder.path().join("2"), &plan(ABX, &ROLES, 4)));
    let first = guessed(&one, "Ann");
    let path = one.log_path("Ann");
    let bytes = fs::read(&path).unwrap();
    let says = |result: Result<Session, SessionError>, expected: &str| {
        let sentence = result.unwrap_err().to_string();
        assert!(sentence.contains(expected), "{sentence}");
    };
    says(Session::open(&one, "Ann", WRITING), "log-Ann.jsonl: is being written by another window or program");
    drop(first);
    says(Session::start(&one, "Ann", WRITING), "log-Ann.jsonl: \"Ann\" has begun this test already; resume it, or take another name");
    says(Session::start(&one, " ", WRITING), "a listener needs a name");
    says(Session::resume(&one, "Ben", WRITING), "log-Ben.jsonl: No such file");
    fs::copy(&path, other.log_path("Ann")).unwrap();
    says(Session::open(&other, "Ann", WRITING), "belongs to another plan");
    fs::copy(&path, one.log_path("Ben")).unwrap();
    says(Session::open(&one, "Ben", WRITING), "log-Ben.jsonl: is the log of \"Ann\", not of \"Ben\"");
    let mut edited = bytes.clone();
    let at = String::from_utf8_lossy(&bytes).find("underrun").unwrap();
    edited[at] = b'U';
    fs::write(&path, &edited).unwrap();
    says(Session::open(&one, "Ann", WRITING), "line 3 was changed after it was written");
    assert_eq!(fs::read(&path).unwrap(), edited);
    fs::write(&path, &bytes).unwrap();
    let done = Session::open(&one, "Ann", WRITING).unwrap();
    assert!(done.receipt().is_some() && done.trial().is_none());
    assert_eq!(fs::read(&path).unwrap(), bytes, "a finished log is left as it is");
    assert_ne!(one.log_path("a/b"), one.log_path("a:b"));
    assert_eq!(one.log_path("../../x").parent(), Some(one.folder()));
}

#[test]
fn training_is_shown_and_scored_answers_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let plan = Plan { settings: crate::listen::Settings { break_every: 5, ..Default::default() }, ..plan(ABX, &ROLES, 3) };
    let mut session = Session::start(&test(folder.path(), &plan), "Ann", WRITING).unwrap();
    let mut breaks = Vec::new();
    while let Some(trial) = session.trial().cloned() {
        (0..3).for_each(|slot| session.heard(slot, 1.0));
        let wrong = Answer::Slot(1 - trial.right_slot().unwrap());
        let feedback = session.answer(wrong).unwrap();
        assert_eq!(feedback.is_some(), trial.number <= 3);
        if let Some(feedback) = feedback {
            assert_eq!(feedback.is_right, Some(false));
            assert_eq!(feedback.conditions, [0, 1, 2].map(|slot| plan.conditions[trial.slots[slot].condition].name.clone()));
        }
        if session.break_due() {
            breaks.push(session.progress().n_answered);
            session.take_break().unwrap();
        }
    }
    assert_eq!(breaks, [5, 10]);
}

#[test]
fn what_is_rendered_is_written_down() {
    let folder = tempfile::tempdir().unwrap();
    let design = Design::Threshold { method: Method::TwoDownOneUp { first_step: 1 }, n_trials: 4 };
    let mut live = plan(design, &[Role::Reference, Role::Tested, Role::Tested, Role::Tested], 2);
    live.items.iter_mut().for_each(|item| item.stimuli[1..].fill(None));
    let test = test(folder.path(), &live);
    let mut session = Session::start(&test, "Ann", WRITING).unwrap();
    while let Some(trial) = session.trial().cloned() {
        assert!(session.may_answer().is_err());
        let slot = trial.right_slot().unwrap();
        (0..3).for_each(|slot| session.heard(slot, 0.5));
        session.heard(0, 1.0);
        session.heard(3 - slot, 1.0);
        assert!(matches!(session.may_answer(), Err(NotYet::NotRendered { .. })));
        session.rendered(slot, &format!("sound {}", trial.number), 0.5);
        session.answer(Answer::Slot(slot)).unwrap();
    }
    let text = fs::read_to_string(test.log_path("Ann")).unwrap();
    assert_eq!((1..=7).filter(|n| text.contains(&format!("\"sound {n}\""))).count(), 7, "{text}");
}
