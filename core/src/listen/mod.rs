//! Listening tests: what was heard, by whom, and what it proves.
//!
//! A [`Plan`] says everything before the first trial: the design, the conditions, the items, one seed. From the plan and a listener's name
//! follows every [`Trial`] in its order (an adaptive test's also from the answers so far). A session steps through them and writes each
//! answer to a log that can only grow; the results are made from plan and logs alone, and by the same functions for the window, the
//! command line, and listeners elsewhere whose answers came back as a file.
//!
//! Nothing here plays or draws: whoever runs a session asks it which stimuli belong to the trial, says what was heard, and hands over the
//! answer.

mod anchors;
pub mod bundle;
mod check;
mod dice;
#[cfg(test)]
mod fixture;
mod log;
mod order;
mod plan;
mod remote;
pub mod results;
mod session;
pub mod statistics;
mod stimuli;
mod test;
mod trial;
pub mod versa;
pub mod webmushra;

pub use anchors::Anchor;
pub use check::{Check, LENGTH_TOLERANCE_SEC, check};
pub use log::{Entry, Event, Log, LogError};
pub use order::Order;
pub use plan::{Axis, Condition, Design, Item, Loudness, Method, Plan, Role, Settings, Stimulus, Stop};
pub use remote::{ImportError, import};
pub use results::{Results, ResultsError};
pub use session::{Feedback, NotYet, Progress, Session, SessionError, Writing};
pub use stimuli::{Draft, DraftItem, StimulusError, level_lufs, matched_gains_db};
pub use test::{PlanError, Test};
pub use trial::{Answer, Question, Slot, Trial};
