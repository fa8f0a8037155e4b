//! What answers prove: tests, intervals, power and thresholds, and the rules that choose when to stop and what to ask next.
//!
//! Pure functions of counts and ratings: plain numbers in, plain structs out. Nothing here knows of plans, files or sounds; conditions,
//! items and listeners are indices. Whatever is random (bootstrap, simulated listeners) follows from a seed. Probabilities are between 0
//! and 1, intervals are two-sided, and a test says "shown" where its p-value is at most its level.
//!
//! | file | question |
//! |---|---|
//! | `binomial` | was it heard? exact, of a number of trials decided before |
//! | `equivalence` | is it the same, to within a margin? |
//! | `sequential` | was it heard? as soon as the answers say so (Wald) |
//! | `axis` `psychometric` `posterior` `threshold` | from which level on is it heard? |
//! | `adaptive` | which level next? |
//! | `ratings` | who rated what, and how far do conditions differ? (MUSHRA, BS.1116) |
//! | `screening` | whose ratings are to be believed? |
//! | `nonparametric` | do paired or blocked values differ? (Wilcoxon, Friedman, Holm) |
//! | `resample` | how far would a mean move with other listeners and items? |
//! | `preference` | which of a pair is preferred? |
//! | `simulate` | what would a listener with this hearing answer? |

mod adaptive;
mod axis;
mod binomial;
mod equivalence;
mod nonparametric;
mod posterior;
mod preference;
mod psychometric;
mod ratings;
mod resample;
mod screening;
mod sequential;
pub mod simulate;
mod threshold;

pub use adaptive::{Adaptive, StaircaseEstimate};
pub use axis::Axis;
pub use binomial::{AbxResult, BinomialTest, Tail, Tally, abx};
pub use equivalence::{EquivalenceResult, EquivalenceTest};
pub use nonparametric::{Friedman, Wilcoxon, friedman, holm, wilcoxon};
pub use posterior::{CurvePoint, Estimate, GoodnessOfFit, Posterior};
pub use preference::{Choice, PairResult, Preferred, preferences};
pub use psychometric::Psychometric;
pub use ratings::{Comparison, ConditionSummary, Rating, Unit, compare_pairs, compare_with, friedman_of, summarize};
pub use resample::Resampling;
pub use screening::{DoubleGrade, Expertise, Reason, Screened, Screening, difference_grades, expertise, screen, without};
pub use sequential::{Boundary, Characteristic, Sequential, Verdict};
pub use threshold::Threshold;

/// Why something cannot be computed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum StatisticsError {
    /// Nothing was answered.
    #[error("there are no scored trials yet; at least one is needed")]
    NoTrials,
    /// More right answers than answers.
    #[error("{n_right} right answers of {n_trials} trials cannot be; the log counts something twice")]
    TooManyRight {
        /// Right answers.
        n_right: u32,
        /// Trials.
        n_trials: u32,
    },
    /// A probability, level or proportion outside of where it makes sense.
    #[error("{name} is {value}; it must lie strictly between {low} and {high}")]
    OutOfRange {
        /// What it is.
        name: &'static str,
        /// What it was.
        value: f64,
        /// It must be above.
        low: f64,
        /// It must be below.
        high: f64,
    },
    /// No number of trials that anyone would listen to.
    #[error(
        "no number of trials up to {max_trials} reaches a power of {power}; the true proportion is too near to that of the null hypothesis"
    )]
    NoSampleSize {
        /// Trials tried.
        max_trials: u32,
        /// Power asked for.
        power: f64,
    },
    /// An axis with less than two levels.
    #[error("an adaptive test needs at least two levels, and there are {n_levels}")]
    TooFewLevels {
        /// Levels given.
        n_levels: usize,
    },
    /// Levels that neither rise nor fall throughout.
    #[error("level {position} ({level}) breaks the order: levels must be finite and rise, or fall, throughout")]
    LevelsOutOfOrder {
        /// Its place, from 0.
        position: usize,
        /// Its value.
        level: f64,
    },
    /// A trial at a level that the axis does not have.
    #[error("level index {level_idx} does not exist; the axis has {n_levels} levels")]
    NoSuchLevel {
        /// Index given.
        level_idx: usize,
        /// Levels there are.
        n_levels: usize,
    },
    /// Not enough of something.
    #[error("{what} needs at least {needed} {of}, and there are {found}")]
    TooFew {
        /// What was to be computed.
        what: &'static str,
        /// How many it needs.
        needed: usize,
        /// Of what.
        of: &'static str,
        /// How many there are.
        found: usize,
    },
    /// A rating that is no number.
    #[error("the rating of listener {listener}, item {item}, condition {condition} is not a finite number")]
    NotFinite {
        /// Index of the listener.
        listener: usize,
        /// Index of the item.
        item: usize,
        /// Index of the condition.
        condition: usize,
    },
    /// A value that is no number.
    #[error("{what} {position} is not a finite number")]
    NotANumber {
        /// What it is.
        what: &'static str,
        /// Its place, from 0.
        position: usize,
    },
    /// A pair of one condition.
    #[error("condition {condition} is paired with itself; a preference is between two")]
    PairedWithItself {
        /// Index of the condition.
        condition: usize,
    },
    /// Rows of unequal length.
    #[error("block {block} has {found} values, and the first has {expected}; every block needs one value a condition")]
    UnequalBlocks {
        /// Which block, from 0.
        block: usize,
        /// Its number of values.
        found: usize,
        /// That of the first.
        expected: usize,
    },
}

/// A two-sided interval, `low` ≤ `high`.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// `value`, if it lies strictly between `low` and `high`.
fn between(name: &'static str, value: f64, low: f64, high: f64) -> Result<f64, StatisticsError> {
    if value > low && value < high { Ok(value) } else { Err(StatisticsError::OutOfRange { name, value, low, high }) }
}
