//! What a test proved: from plan and logs alone, so that anyone who has both gets the same.
//!
//! Logs that were touched, that belong to another plan or that are not finished are named and left out: looking before the end and then
//! deciding whether to go on makes every p-value wrong. Where a standard says whom to leave out, results of everyone and of those who
//! are left stand side by side.

mod outcome;
mod summary;
mod table;

use std::io;
use std::path::PathBuf;

use serde::Serialize;

use super::log::{Event, Log};
use super::plan::{Design, Loudness};
use super::statistics::StatisticsError;
use super::test::Test;

pub use outcome::{
    AbxOutcome, Chances, EquivalenceOutcome, ListenerThreshold, Named, Outcome, PerListener, RatingsOutcome, SequentialOutcome,
    ThresholdOutcome,
};

/// Why there are no results.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// The folder could not be read.
    #[error("{path}: {source}")]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Nobody has heard the test to its end.
    #[error("{folder}: no listener has finished the test{}; results are shown when one has", began(*n_begun, left_out))]
    NoneFinished {
        /// The test's folder.
        folder: PathBuf,
        /// Listeners on their way.
        n_begun: usize,
        /// Logs that cannot be used, and why.
        left_out: Vec<String>,
    },
    /// The numbers do not come out.
    #[error(transparent)]
    Statistics(#[from] StatisticsError),
}

fn began(n_begun: usize, left_out: &[String]) -> String {
    let begun = if n_begun > 0 { format!(" ({n_begun} are on their way)") } else { String::new() };
    let out: String = left_out.iter().map(|sentence| format!("; left out: {sentence}")).collect();
    format!("{begun}{out}")
}

/// One listener whose log counts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Listener {
    /// The name in the log.
    pub name: String,
    /// The last hash of the log.
    pub receipt: String,
    /// The first and the last time in it.
    pub times: [String; 2],
    /// Answers that count.
    pub n_scored: u32,
    /// Trials that were voided.
    pub n_voided: u32,
    /// Took the test in a browser elsewhere.
    pub is_remote: bool,
    /// Why the screened results leave this listener out; empty where they do not.
    pub screened_out: Vec<String>,
}

/// What a test proved.
#[derive(Clone, Debug, Serialize)]
pub struct Results {
    /// Title of the plan.
    pub title: String,
    /// Hash of the plan.
    pub plan: String,
    /// What was asked.
    pub design: Design,
    /// Whether level differences were taken away.
    pub loudness: Loudness,
    /// Pieces of material.
    pub n_items: usize,
    /// Whose answers count.
    pub listeners: Vec<Listener>,
    /// One listener: says something about this listener only.
    pub is_pilot: bool,
    /// Listeners who have begun and not finished.
    pub n_unfinished: usize,
    /// Logs that cannot be used, each with the reason.
    pub left_out: Vec<String>,
    /// Of all listeners.
    pub raw: Outcome,
    /// The rule by which listeners are left out, where a standard has one for the design.
    pub screening: Option<&'static str>,
    /// Of those who are left; `None` without a rule, and where nobody is.
    pub screened: Option<Outcome>,
    #[serde(skip)]
    logs: Vec<Log>,
    #[serde(skip)]
    test: Test,
}

impl Results {
    /// Reads and verifies every log in the test's folder.
    pub fn of(test: &Test) -> Result<Self, ResultsError> {
        let io = |source| ResultsError::Io { path: test.folder().to_owned(), source };
        let (mut logs, mut n_unfinished, mut left_out) = (Vec::new(), 0, Vec::new());
        for path in test.log_paths().map_err(io)? {
            match Log::verify(&path, test) {
                // Nobody counts twice.
                Ok(log) if logs.iter().any(|other: &Log| other.listener == log.listener) => {
                    left_out.push(format!("{}: is a copy of another listener's log", path.display()));
                }
                Ok(log) if log.is_finished && log.n_cut_bytes == 0 => logs.push(log),
                Ok(log) if log.is_finished => left_out.push(format!("{}: something was written after its end", path.display())),
                Ok(_) => n_unfinished += 1,
                Err(error) => left_out.push(error.to_string()),
            }
        }
        if logs.is_empty() {
            return Err(ResultsError::NoneFinished { folder: test.folder().to_owned(), n_begun: n_unfinished, left_out });
        }
        let plan = test.plan();
        let raw = outcome::outcome(plan, &logs.iter().collect::<Vec<_>>())?;
        let reasons = outcome::screened_out(plan, &logs)?;
        let (screening, screened) = match &reasons {
            None => (None, None),
            Some((rule, reasons)) => {
                let kept: Vec<&Log> = logs.iter().zip(reasons).filter(|(_, reasons)| reasons.is_empty()).map(|(log, _)| log).collect();
                let screened = if kept.is_empty() { None } else { Some(outcome::outcome(plan, &kept)?) };
                (Some(*rule), screened)
            }
        };
        let reasons = reasons.map_or_else(|| vec![Vec::new(); logs.len()], |(_, reasons)| reasons);
        let listeners: Vec<Listener> = logs.iter().zip(reasons).map(|(log, reasons)| listener(log, reasons)).collect();
        Ok(Self {
            title: plan.title.clone(),
            plan: test.hash().to_owned(),
            design: plan.design,
            loudness: plan.settings.loudness,
            n_items: plan.items.len(),
            is_pilot: listeners.len() == 1,
            listeners,
            n_unfinished,
            left_out,
            raw,
            screening,
            screened,
            logs,
            test: test.clone(),
        })
    }

    /// A few sentences that a paper can quote: who, what, how, the numbers with their intervals, and what a null rules out.
    pub fn summary(&self) -> String {
        summary::summary(self)
    }

    /// Every answer that counts, a row each (ratings: a row a sound), as CSV.
    pub fn csv(&self) -> String {
        table::csv(self.test.plan(), &self.logs)
    }
}

fn listener(log: &Log, screened_out: Vec<String>) -> Listener {
    let at = |entry: Option<&super::log::Entry>| entry.map_or_else(String::new, |entry| entry.at.clone());
    Listener {
        name: log.listener.clone(),
        receipt: log.receipt.clone(),
        times: [at(log.entries.first()), at(log.entries.last())],
        n_scored: log.scored().count() as u32,
        n_voided: log.n_voided(),
        is_remote: log.entries.iter().any(|entry| matches!(&entry.event, Event::Start { imported: Some(_), .. })),
        screened_out,
    }
}

#[cfg(test)]
mod tests;
