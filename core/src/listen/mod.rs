//! Listening tests: what was heard, by whom, and what it proves.
//!
//! A [`Plan`] says everything before the first trial: the design, the conditions, the items, one seed. From the plan and a listener's name
//! follows every [`Trial`] in its order (an adaptive test's also from the answers so far). A session steps through them and writes each
//! answer to a log that can only grow; the results are made from plan and logs alone, and by the same functions for the window, the
//! command line, and listeners elsewhere whose answers came back as a file.
//!
//! Nothing here plays or draws: whoever runs a session asks it which stimuli belong to the trial, says what was heard, and hands over the
//! answer.

mod plan;

pub use plan::{Condition, Design, Item, Loudness, Method, Plan, Role, Settings, Stimulus, Stop};
