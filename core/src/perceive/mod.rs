//! What can be measured of a sound against its reference.

use crate::audio::{AudioClip, AudioError};

/// Mean |ln max(mel, 1e-5) − ln max(mel̂, 1e-5)|: 80 HTK bands of the power spectrum, n_fft 1024, hop 256 (the peer's definition).
pub fn mel_distance(reference: &AudioClip, degraded: &AudioClip) -> Result<f64, AudioError> {
    let _ = (reference, degraded);
    todo!()
}

/// Scale-invariant signal-to-distortion ratio in dB (Le Roux et al., 2019), means removed.
pub fn si_sdr_db(reference: &AudioClip, degraded: &AudioClip) -> Result<f64, AudioError> {
    let _ = (reference, degraded);
    todo!()
}
