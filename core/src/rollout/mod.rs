//! Free-running a predictor: one loop for every mode and painted schedule, all segments and modes in one batch; on a GPU in one
//! submission.
//!
//! It also holds the synthetic modes for listening, which need no predictor. What the numbers mean (references, bands) is
//! `diagnose`'s business.

mod branches;
mod live;
mod measure;
mod pace;
mod run;
mod schedule;
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
