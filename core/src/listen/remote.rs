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
