//! The record of what ran: a folder for each run and one line in `manifest.jsonl` at its start and one at its end.
//!
//! The manifest's fields are the peer's (`spec/peer.md` §1.5), so that its own `outputs/manifest.jsonl` can be listed too. A crash
//! is visible as a start without an end. This module does not know what a run computes, and it never removes anything.

mod environment;
mod manifest;
mod registry;
mod timestamp;

pub use environment::Environment;
pub use manifest::{Ending, RunRecord, RunState};
pub use registry::{Registry, Run, RunError};
pub use timestamp::Timestamp;
