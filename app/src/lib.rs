//! The two front ends of Driftscope, the window and the command line, over one engine (`driftscope_core`).
//!
//! Neither computes anything itself: what a panel shows can be had from a command, and the other way round.

pub mod cli;
pub(crate) mod corpus;
pub mod demo;
pub mod listening;
pub(crate) mod open;
pub mod report;
pub mod showcase;
pub(crate) mod weights;
pub mod window;
