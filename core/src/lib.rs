//! Driftscope's engine: audio, latents, predictors, rollouts, diagnostics and figures, with no window and no command line.
//!
//! The modules stand in dependency order, which is also the reading order: each imports only from those above it
//! (a test checks that). Nothing here draws to a screen or prints; long operations take a [`job::JobCtx`].

pub mod disk;

pub mod engine;

pub mod job;

pub mod fit;

pub mod audio;

pub mod latents;

pub mod codec;

pub mod represent;

pub mod context;

pub mod predict;

pub mod rollout;

pub mod diagnose;

pub mod perceive;

pub mod battery;

pub mod playback;

pub mod listen;

pub mod figure;

pub mod run;
