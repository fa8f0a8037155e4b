//! A sound file as what a store keeps of it, read, resampled and encoded piece by piece.

use std::path::{Path, PathBuf};

use super::neural::device::Place;
use super::{Codec, CodecError};
use crate::audio::{AudioError, AudioReader, Resampler};
use crate::job::{Cancel, Cancelled};
use crate::latents::Latents;

/// Seconds of sound in memory at once.
const PIECE_SEC: usize = 10;

/// An encoded sound file.
#[derive(Clone, Debug, PartialEq)]
pub struct Recording {
    /// What the codec made of it.
    pub latents: Latents,
    /// RMS of each frame's samples, the last frame filled up with zeros, `[n_frames]` (the peer's definition).
    pub energy: Vec<f32>,
    /// Length of the sound.
    pub duration_sec: f64,
}

/// Why a sound file could not be encoded.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// It could not be read or resampled; names the file.
    #[error(transparent)]
    Audio(#[from] AudioError),
    /// The codec refused it.
    #[error("{path}: {source}")]
    Codec {
        /// The file.
        path: PathBuf,
        /// What the codec said.
        source: CodecError,
    },
    /// Stopped.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl Codec {
    /// Encodes the sound file at `path`, of any rate, channels averaged. Of the sound only some seconds are in memory at a time, so an
    /// hour costs no more than its latents. `heard` is told the seconds done in each piece. Given up as soon as `stop` says so.
    pub fn encode_file(&self, path: &Path, stop: &Cancel, heard: impl Fn(f64)) -> Result<Recording, RecordingError> {
        self.wherever(|place| self.encode_file_at(place, path, stop, &heard))
    }

    fn encode_file_at(&self, place: Place, path: &Path, stop: &Cancel, heard: &impl Fn(f64)) -> Result<Recording, RecordingError> {
        let refused = |source: CodecError| RecordingError::Codec { path: path.into(), source };
        let mut reader = AudioReader::open(path)?;
        let (rate_hz, hop_samples) = (self.sample_rate_hz(), self.hop_samples());
        let mut resampler = Resampler::new(reader.sample_rate_hz(), rate_hz)?;
        let mut encoder = self.encoder_at(place).map_err(refused)?;
        let mut energy = Energy::new(hop_samples);
        let (mut values, mut n_samples) = (Vec::new(), 0);
        let mut take = |sound: &mut Vec<f32>| -> Result<(), RecordingError> {
            values.extend(encoder.push(sound).map_err(refused)?);
            energy.push(sound);
            n_samples += sound.len();
            heard(sound.len() as f64 / f64::from(rate_hz));
            sound.clear();
            Ok(())
        };
        let (mut read, mut sound, mut is_more) = (Vec::new(), Vec::new(), true);
        while is_more {
            stop.check()?;
            read.clear();
            while is_more && read.len() < PIECE_SEC * reader.sample_rate_hz() as usize {
                is_more = reader.read(&mut read)?;
            }
            resampler.push(&read, &mut sound);
            take(&mut sound)?;
        }
        resampler.finish(&mut sound);
        take(&mut sound)?;
        values.extend(encoder.finish().map_err(refused)?);
        let latents = Latents { values, dim: self.dim(), frame_rate_hz: self.frame_rate_hz() };
        let energy = energy.finish(latents.n_frames());
        Ok(Recording { latents, energy, duration_sec: n_samples as f64 / f64::from(rate_hz) })
    }
}

/// RMS of each hop as samples arrive.
struct Energy {
    hop_samples: usize,
    frames: Vec<f32>,
    n_in_frame: usize,
    sum: f64,
}

impl Energy {
    fn new(hop_samples: usize) -> Self {
        Self { hop_samples, frames: Vec::new(), n_in_frame: 0, sum: 0.0 }
    }

    fn push(&mut self, samples: &[f32]) {
        for &sample in samples {
            self.sum += f64::from(sample).powi(2);
            self.n_in_frame += 1;
            if self.n_in_frame == self.hop_samples {
                self.end_frame();
            }
        }
    }

    fn end_frame(&mut self) {
        self.frames.push((self.sum / self.hop_samples as f64).sqrt() as f32);
        (self.n_in_frame, self.sum) = (0, 0.0);
    }

    fn finish(mut self, n_frames: usize) -> Vec<f32> {
        if self.n_in_frame > 0 {
            self.end_frame();
        }
        self.frames.resize(n_frames, 0.0);
        self.frames
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::{self, AudioClip, write_wav};

    #[test]
    fn energy_is_the_rms_of_each_hop() {
        let energy = |pieces: &[&[f32]], n_frames| {
            let mut energy = Energy::new(4);
            pieces.iter().for_each(|piece| energy.push(piece));
            energy.finish(n_frames)
        };
        assert_eq!(energy(&[&[0.5, -0.5, 0.5, 0.5, 1.0]], 2), [0.5, 0.5]);
        assert_eq!(energy(&[&[0.5, -0.5], &[0.5, 0.5, 1.0], &[]], 3), [0.5, 0.5, 0.0]);
    }

    /// 44.1 kHz, longer than a piece, ending within a sample of the other rate.
    #[test]
    fn piece_by_piece_as_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wav");
        let samples = (0..44_100 * 23 + 17).map(|i| 0.3 * ((i as f32 * 0.03).sin() * (i as f32 * 0.000_1).cos()));
        write_wav(&path, &AudioClip { samples: samples.collect(), sample_rate_hz: 44_100 }).unwrap();
        let codec = Codec::embedded().unwrap();
        let heard = std::cell::Cell::new(0.0);
        let recording = codec.encode_file(&path, &Cancel::default(), |sec| heard.set(heard.get() + sec)).unwrap();

        let clip = audio::resample(&audio::read(&path).unwrap(), codec.sample_rate_hz()).unwrap();
        let whole = codec.encode(&clip).unwrap();
        assert_eq!(recording.duration_sec, clip.duration_sec());
        assert!((heard.get() - clip.duration_sec()).abs() < 1e-9);
        assert_eq!((recording.latents.n_frames(), recording.latents.dim), (whole.n_frames(), whole.dim));
        let off = recording.latents.values.iter().zip(&whole.values).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(off < 2e-5, "off by {off}");
        let mut energy = Energy::new(codec.hop_samples());
        energy.push(&clip.samples);
        assert_eq!(recording.energy, energy.finish(whole.n_frames()));

        let stop = Cancel::default();
        stop.cancel();
        assert!(matches!(codec.encode_file(&path, &stop, |_| ()), Err(RecordingError::Cancelled(_))));
    }
}
