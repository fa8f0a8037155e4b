//! Answers that came back from elsewhere become a log like any other.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::bundle::{Answers, BundleError, read_answers};
use super::log::{Event, Log, LogError, whole};
use super::order::Order;
use super::test::Test;
use crate::disk;

/// Why answers could not be taken in.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file is not what it has to be.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The test was not heard to its end.
    #[error("{path}: {listener} stopped after {n_answers} of {n_trials} trials; answers are taken in once all are given")]
    Unfinished {
        /// The file.
        path: PathBuf,
        /// Who.
        listener: String,
        /// Answers, training included.
        n_answers: usize,
        /// Trials, training included.
        n_trials: usize,
    },
    /// A log of this name is there.
    #[error("{path}: is there already; these answers were taken in before, or another listener is called {listener} too")]
    Taken {
        /// The log.
        path: PathBuf,
        /// Who.
        listener: String,
    },
    /// The log could not be written.
    #[error(transparent)]
    Log(#[from] LogError),
}

/// Makes the log of a listener elsewhere in the test's folder, chained and with the times of their clock, out of the file that the page of
/// a bundle saved. `program` is the name and version of this one. Trials in which the output ran dry are in it and do not count.
pub fn import(answers: &Path, test: &Test, program: &str) -> Result<Log, ImportError> {
    let (given, trials) = read_answers(answers, test)?;
    let listener = if given.listener.trim().is_empty() { given.seat.clone() } else { given.listener.clone() };
    let order = Order::new(test, &given.seat);
    let n_trials = (test.plan().n_scored() + order.n_training_left()) as usize;
    let Some(finished) = given.finished.clone().filter(|_| trials.len() == n_trials) else {
        return Err(ImportError::Unfinished { path: answers.to_owned(), listener, n_answers: trials.len(), n_trials });
    };
    let path = test.log_path(&listener);
    if path.exists() {
        return Err(ImportError::Taken { path, listener });
    }
    let failed = |at: &Path| {
        let path = at.to_owned();
        move |source| LogError::Io { path, source }
    };
    let file = std::fs::read(answers).map_err(failed(answers))?;
    let start = Event::Start {
        plan: test.hash().to_owned(),
        program: program.to_owned(),
        order: order.commitment(),
        seat: (given.seat != listener).then(|| given.seat.clone()),
        imported: Some(blake3::hash(&file).to_hex().to_string()),
        listener,
    };
    let finish = (finished, Event::Finish { n_answers: test.plan().n_scored(), n_voided: 0 });
    let Answers { started, answers: each, .. } = given;
    let answers = each.into_iter().zip(trials).map(|(answered, trial)| {
        let (heard_sec, n_underruns) = (answered.heard_sec, answered.n_underruns.unwrap_or(0));
        (answered.answered, Event::Answer { trial, heard_sec, rendered: None, n_underruns, answer: answered.answer })
    });
    let bytes = whole(test, std::iter::once((started, start)).chain(answers).chain([finish])).map_err(failed(&path))?;
    disk::write_beside(&path, |file| file.write_all(&bytes)).map_err(failed(&path))?;
    Ok(Log::verify(&path, test)?)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::{Value, json};

    use super::super::fixture::{golden_ear, plan, test};
    use super::super::plan::{Design, Role, Stop};
    use super::super::results::{Outcome, Results};
    use super::*;

    const ABX: Design = Design::Abx { stop: Stop::Fixed { n_trials: 6 }, alpha: 0.05 };

    /// What the page would save of a listener in the second seat who hears everything; the output ran dry in the fifth trial.
    fn saved(test: &Test, listener: &str) -> Value {
        let mut order = Order::new(test, "seat-02");
        let mut answers = Vec::new();
        while let Some(trial) = order.trial().cloned() {
            let answer = golden_ear(&trial);
            order.answered(&answer);
            answers.push(json!({
                "number": trial.number, "answer": answer, "heard_sec": [1.5, 2.25, 1.0], "n_switches": 4,
                "n_underruns": u32::from(trial.number == 5), "sample_rate_hz": 48000.0,
                "shown": "2026-11-21T12:00:00.000Z", "answered": format!("2026-11-21T12:{:02}:00.000Z", trial.number),
            }));
        }
        json!({
            "format": 1, "plan": test.hash(), "seat": "seat-02", "listener": listener, "level_db": -6.0,
            "started": "2026-11-21T12:00:00.000Z",
            "finished": "2026-11-21T12:30:00.000Z", "user_agent": "a browser", "answers": answers,
        })
    }

    #[test]
    fn answers_from_elsewhere_become_a_log_like_any_other() {
        let folder = tempfile::tempdir().unwrap();
        let test = test(&folder.path().join("test"), &plan(ABX, &[Role::Reference, Role::Tested, Role::Tested], 3));
        let path = folder.path().join("answers.json");
        fs::write(&path, saved(&test, "Ann").to_string()).unwrap();
        let log = import(&path, &test, "driftscope 0.0.0").unwrap();
        assert_eq!((log.path.clone(), log.listener.as_str(), log.is_finished), (test.log_path("Ann"), "Ann", true));
        assert_eq!((log.entries.len(), log.scored().count(), log.n_voided()), (1 + 3 + 12 + 1, 11, 1));
        assert_eq!(log.entries[4].at, "2026-11-21T12:04:00.000Z");
        let Event::Start { seat, imported, .. } = &log.entries[0].event else { panic!("{:?}", log.entries[0]) };
        let hash = blake3::hash(&fs::read(&path).unwrap()).to_hex().to_string();
        assert_eq!((seat.as_deref(), imported.as_deref()), (Some("seat-02"), Some(hash.as_str())));

        let results = Results::of(&test).unwrap();
        let Outcome::Abx(conditions) = &results.raw else { panic!("{:?}", results.raw) };
        assert_eq!(conditions.iter().map(|c| c.result.pooled.tally.n_trials()).sum::<u32>(), 11, "a sound that broke off does not count");
        assert!(conditions.iter().all(|c| c.result.pooled.proportion == 1.0));
        assert!(results.listeners[0].is_remote);
    }

    #[test]
    fn what_does_not_belong_is_refused_and_nothing_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let roles = [Role::Reference, Role::Tested, Role::Tested];
        let test_1 = test(&folder.path().join("1"), &plan(ABX, &roles, 3));
        let test_2 = test(&folder.path().join("2"), &plan(ABX, &roles, 4));
        let path = folder.path().join("answers.json");
        let refused = |answers: &Value, test: &Test, expected: &str| {
            fs::write(&path, answers.to_string()).unwrap();
            let logs = test.log_paths().unwrap();
            let sentence = import(&path, test, "driftscope 0.0.0").unwrap_err().to_string();
            assert!(sentence.contains(expected), "{sentence}");
            assert_eq!(test.log_paths().unwrap(), logs);
        };
        let whole = saved(&test_1, "Ann");
        refused(&whole, &test_2, "answers.json: answers another plan");
        let mut early = whole.clone();
        early["answers"].as_array_mut().unwrap().truncate(7);
        refused(&early, &test_1, "answers.json: Ann stopped after 7 of 15 trials; answers are taken in once all are given");
        let mut exchanged = whole.clone();
        exchanged["answers"].as_array_mut().unwrap().swap(4, 5);
        refused(&exchanged, &test_1, "trial 5: ");
        refused(&json!({ "answers": [] }), &test_1, "is no file of answers");
        fs::write(&path, whole.to_string()).unwrap();
        import(&path, &test_1, "driftscope 0.0.0").unwrap();
        refused(&whole, &test_1, "log-Ann.jsonl: is there already; these answers were taken in before");
    }
}
