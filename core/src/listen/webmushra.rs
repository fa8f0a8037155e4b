//! webMUSHRA's experiments and results (<https://github.com/audiolabs/webMUSHRA>): its YAML in and out, its CSV in and out.
//!
//! Three of its pages have a design here: `mushra` (BS.1534), `bs1116` (BS.1116), and `paired_comparison` (which of two is the
//! reference?), which is ABX with the reference named. Other pages are left out and said. What webMUSHRA plays has no gain of its own, so
//! gains are in the samples of exported sounds, and imported sounds are taken as loud as they are.
//!
//! Answers from webMUSHRA are given in an order of its own, so they make no log; they are rows ([`Row`]), which the statistics take.

mod config;
mod results;

use std::io;
use std::path::PathBuf;

pub use config::{Experiment, ExperimentPage, Kind, export_experiment, read_experiment};
pub use results::{Row, Said, grades, ratings, read_results, results_csv, tallies};

use super::stimuli::StimulusError;
use super::test::PlanError;
use crate::audio::AudioError;

/// Why an experiment or its results could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WebmushraError {
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No config, or one of which no test can be made.
    #[error("{path}: {reason}")]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// No table of results, or one of another test.
    #[error("{path}: line {line}: {reason}")]
    Row {
        /// The file.
        path: PathBuf,
        /// From 1; the header is the first.
        line: u64,
        /// What is wrong with it.
        reason: String,
    },
    /// A plan that webMUSHRA has no pages for.
    #[error("{0}")]
    NoPage(&'static str),
    /// The folder is there.
    #[error("{0}: is there already; name a new folder")]
    Exists(PathBuf),
    /// A sound of the plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A sound of the experiment.
    #[error(transparent)]
    Audio(#[from] AudioError),
    /// Sounds that make no test.
    #[error(transparent)]
    Stimulus(#[from] StimulusError),
}

#[cfg(test)]
mod tests;
