//! What can be measured of a sound against its reference.
//!
//! Measures are defined as the peer and the literature define them, so that numbers can be compared across tools; nothing here judges
//! whether a difference is heard.

mod mel;
mod si_sdr;

pub use mel::{mel_distance, mel_power};
pub use si_sdr::si_sdr_db;

use crate::audio::{self, AudioClip, AudioError};

/// Both sounds at the rate of the reference, cut to the shorter one.
fn matched(reference: &AudioClip, degraded: &AudioClip) -> Result<(Vec<f32>, Vec<f32>), AudioError> {
    let degraded = audio::resample(degraded, reference.sample_rate_hz)?;
    let n = reference.samples.len().min(degraded.samples.len());
    if n == 0 {
        let which = if reference.samples.is_empty() { "the reference sound" } else { "the degraded sound" };
        return Err(AudioError::Empty { path: which.into() });
    }
    Ok((reference.samples[..n].to_vec(), degraded.samples[..n].to_vec()))
}
