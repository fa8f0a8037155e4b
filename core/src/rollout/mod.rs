//! Free-running a predictor: one loop for every mode and painted schedule, all segments and modes in one batch. What is to be done
//! is written down first (`script`) and then done in kept memory on the CPU (`host`) or in one submission on a GPU (`live`); where a
//! GPU cannot, step by step through burn (`branches`).
//!
//! It also holds the synthetic modes for listening, which need no predictor. What the numbers mean (references, bands) is
//! `diagnose`'s business.

mod branches;
mod host;
mod live;
mod measure;
mod pace;
mod run;
mod schedule;
mod script;
mod segment;
mod splice;
pub mod synthetic;
mod truth;

pub use pace::paces;
pub use run::{Rollout, RolloutConfig, RolloutError, rollout};
pub use schedule::{Nudge, Schedule, StepAction};
pub use segment::{Segment, SegmentConfig, read_starts, sample_segments};
pub use splice::{splice, splice_between};
pub use truth::median_delta_norm;
