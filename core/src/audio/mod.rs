//! Sound as samples: reading, writing, resampling, loudness, and short-time spectra.
//!
//! Everything is mono `f32` in [-1, 1]; several channels are averaged on reading. Playing is `playback`'s, judging `perceive`'s.

mod clip;
mod loudness;
mod phase;
mod read;
mod resample;
pub mod stft;
mod write;

pub use clip::{AudioClip, AudioError};
pub use loudness::{loudness_lufs, peak, ungated_loudness_lufs};
pub use read::{AudioReader, read, read_bytes};
pub use resample::{Resampler, resample};
pub use write::{wav_bytes, write_wav};
