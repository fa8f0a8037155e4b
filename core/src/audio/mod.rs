//! Sound as samples: reading, writing, resampling, and short-time spectra.
//!
//! Everything is mono `f32` in [-1, 1]; several channels are averaged on reading. Playing is `playback`'s, judging `perceive`'s.

mod clip;
mod read;
pub mod stft;

pub use clip::{AudioClip, AudioError};
pub use read::{read, read_bytes, resample, write_wav};
