//! Files to clips and back.

use std::path::Path;

use super::{AudioClip, AudioError};

/// Reads WAV, FLAC, MP3 or Ogg Vorbis; channels are averaged.
pub fn read(path: &Path) -> Result<AudioClip, AudioError> {
    let _ = path;
    todo!()
}

/// Converts to `sample_rate_hz` (band-limited); the same rate returns an unchanged copy.
pub fn resample(clip: &AudioClip, sample_rate_hz: u32) -> Result<AudioClip, AudioError> {
    let _ = (clip, sample_rate_hz);
    todo!()
}

/// Writes 32-bit float WAV, beside and renamed.
pub fn write_wav(path: &Path, clip: &AudioClip) -> Result<(), AudioError> {
    let _ = (path, clip);
    todo!()
}
