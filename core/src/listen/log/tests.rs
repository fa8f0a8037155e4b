//! Logs that were edited, cut, mixed and forged.

use super::super::fixture::{WRITING, golden_ear, listen, plan, test};
use super::super::plan::{Design, Role, Stop};
use super::super::session::Session;
use super::*;

/// A finished log of a small test.
fn finished(folder: &Path) -> (Test, Vec<u8>) {
    let design = Design::Abx { stop: Stop::Fixed { n_trials: 5 }, alpha: 0.05 };
    let test = test(folder, &plan(design, &[Role::Reference, Role::Tested], 2));
    let mut session = Session::start(&test, "Ann", WRITING).unwrap();
    session.void("underrun").unwrap();
    listen(&mut session, golden_ear);
    let bytes = fs::read(test.log_path("Ann")).unwrap();
    (test, bytes)
}

fn verified(bytes: &[u8], test: &Test) -> Result<Log, LogError> {
    Log::of(bytes, Path::new("log"), test)
}

/// The line that an error names.
#[track_caller]
fn touched_line(bytes: &[u8], test: &Test) -> usize {
    match verified(bytes, test) {
        Err(LogError::Touched { line, .. }) => line,
        other => panic!("not found: {other:?}"),
    }
}

#[test]
fn a_change_of_any_byte_is_found_on_its_line() {
    let folder = tempfile::tempdir().unwrap();
    let (test, bytes) = finished(folder.path());
    assert!(verified(&bytes, &test).unwrap().is_finished);
    let mut line = 1;
    for at in 0..bytes.len() {
        for bit in [0, 5] {
            let mut edited = bytes.clone();
            edited[at] ^= 1 << bit;
            // Without its end the last line is one that a crash cut off.
            if at + 1 == bytes.len() {
                assert_eq!(verified(&edited, &test).map(|log| (log.is_finished, log.n_cut_bytes > 0)).unwrap(), (false, true));
            } else {
                assert_eq!(touched_line(&edited, &test), line, "byte {at}");
            }
        }
        line += usize::from(bytes[at] == b'\n');
    }
}

#[test]
fn lines_left_out_put_in_and_exchanged_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let (test, bytes) = finished(folder.path());
    let lines: Vec<&[u8]> = bytes.split_inclusive(|&b| b == b'\n').collect();
    assert_eq!(lines.len(), 11);
    for n in 0..lines.len() - 1 {
        let (mut left_out, mut put_in, mut exchanged) = (lines.clone(), lines.clone(), lines.clone());
        left_out.remove(n);
        put_in.insert(n, lines[n]);
        exchanged.swap(n, n + 1);
        assert_eq!(touched_line(&left_out.concat(), &test), n + 1);
        assert_eq!(touched_line(&put_in.concat(), &test), n + 2);
        assert_eq!(touched_line(&exchanged.concat(), &test), n + 1);
    }
    assert_eq!(touched_line(&[&bytes[..], lines[10]].concat(), &test), 12);
    assert!(!verified(&lines[..10].concat(), &test).unwrap().is_finished, "an end that is missing is seen");
    assert_eq!(touched_line(b"", &test), 1);
    assert_eq!(touched_line(b"once upon a time\n", &test), 1);
}

/// All hashes made again after an event was changed; and the last of them.
fn forged(log: &Log, test: &Test, change: impl Fn(usize, &mut Event)) -> (Vec<u8>, String) {
    let events = log.entries.iter().enumerate().map(|(n, entry)| {
        let mut event = entry.event.clone();
        change(n + 1, &mut event);
        (entry.at.clone(), event)
    });
    let bytes = whole(test, events).unwrap();
    let last = bytes[..bytes.len() - 1].rsplit(|&b| b == b'\n').next().unwrap();
    let receipt = String::from_utf8_lossy(&last[HASH.len()..][..64]).into_owned();
    (bytes, receipt)
}

#[test]
fn a_forger_has_to_keep_to_the_plan_and_cannot_keep_the_receipt() {
    let folder = tempfile::tempdir().unwrap();
    let (test, bytes) = finished(folder.path());
    let log = verified(&bytes, &test).unwrap();
    assert_eq!(forged(&log, &test, |_, _| {}), (bytes, log.receipt.clone()));
    let (other_places, _) = forged(&log, &test, |line, event| {
        if let (6, Event::Answer { trial, .. }) = (line, event) {
            trial.slots[2].condition = 1 - trial.slots[2].condition;
        }
    });
    assert_eq!(touched_line(&other_places, &test), 6);
    let (other_order, _) = forged(&log, &test, |_, event| {
        if let Event::Start { order, .. } = event {
            *order = "0".repeat(64);
        }
    });
    assert_eq!(touched_line(&other_order, &test), 1);
    let (other_answer, receipt) = forged(&log, &test, |line, event| {
        if let (6, Event::Answer { answer, .. }) = (line, event) {
            *answer = if *answer == Answer::Slot(0) { Answer::Slot(1) } else { Answer::Slot(0) };
        }
    });
    assert!(verified(&other_answer, &test).is_ok(), "the plan says nothing of answers");
    assert_ne!(receipt, log.receipt);
}
