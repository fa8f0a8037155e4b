//! How a sound looks: a waveform's envelope and a spectrogram, and both as a difference from another sound.
//!
//! Values only, at a fixed time resolution fine enough for any window width; colors are chosen where they are drawn.

use std::ops::Range;

use driftscope_core::audio::AudioClip;
use driftscope_core::audio::stft::Stft;

/// Samples of one spectrum.
const WINDOW: usize = 512;
/// Samples between spectra.
const HOP: usize = 128;
/// Columns of an envelope.
const ENVELOPE_COLUMNS: usize = 2048;
/// Quietest level told apart, dB re full scale.
const FLOOR_DB: f32 = -120.0;

/// Lowest and highest sample of each of equal stretches of time.
pub type Envelope = Vec<[f32; 2]>;

/// Levels over time and frequency.
#[derive(Clone, Debug, PartialEq)]
pub struct Spectrogram {
    /// dB, `[n_frames, n_bins]`, lowest frequency first.
    pub db: Vec<f32>,
    /// Spectra in time.
    pub n_frames: usize,
    /// Bins from 0 Hz to half the sample rate.
    pub n_bins: usize,
    /// Half the sample rate.
    pub top_hz: f64,
}

/// Waveform and spectrogram of one sound.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// Waveform.
    pub envelope: Envelope,
    /// Spectrogram.
    pub spectrogram: Spectrogram,
}

/// One sound less another.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Of the samples.
    pub envelope: Envelope,
    /// Of the levels, dB.
    pub spectrogram: Spectrogram,
}

/// What `clip` looks like.
pub fn picture(clip: &AudioClip) -> Picture {
    Picture { envelope: envelope(&clip.samples), spectrogram: spectrogram(clip) }
}

/// What a clip looks like that is silent outside of `parts`, in samples.
pub fn picture_where(clip: &AudioClip, parts: &[Range<usize>]) -> Picture {
    Picture { envelope: envelope_where(&clip.samples, parts), spectrogram: spectrogram_where(clip, parts) }
}

/// `clip` less `truth`, sample by sample and level by level, as long as both last.
pub fn difference(clip: &AudioClip, truth: &AudioClip, truth_picture: &Picture, own: &Picture) -> Difference {
    let samples: Vec<f32> = clip.samples.iter().zip(&truth.samples).map(|(a, b)| a - b).collect();
    let (a, b) = (&own.spectrogram, &truth_picture.spectrogram);
    let loudest = a.db.iter().chain(&b.db).copied().fold(FLOOR_DB, f32::max);
    // Below the shown range two silences may differ by any number of dB; that is no difference anyone hears.
    let floor = loudest - super::theme::SPECTROGRAM_RANGE_DB;
    let db = a.db.iter().zip(&b.db).map(|(a, b)| a.max(floor) - b.max(floor)).collect();
    let spectrogram = Spectrogram { db, n_frames: a.n_frames.min(b.n_frames), n_bins: a.n_bins, top_hz: a.top_hz };
    Difference { envelope: envelope(&samples), spectrogram }
}

/// How frames look where they cannot be heard: standardized values over time and dimension, and the size of each step as an envelope.
pub fn latent_picture(frames: &[f32], mean: &[f32], spread: &[f32], unit: f64) -> Picture {
    let dim = mean.len();
    let standard = |(i, x): (usize, &f32)| (x - mean[i % dim]) / spread[i % dim];
    let db = frames.iter().enumerate().map(standard).collect();
    let norm = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt();
    let all: Vec<&[f32]> = frames.chunks_exact(dim).collect();
    let steps = std::iter::once(0.0).chain(all.windows(2).map(|w| norm(w[1], w[0]) / unit)).take(all.len());
    let envelope = steps.map(|v| if v.is_finite() { [-v as f32, v as f32] } else { [0.0; 2] }).collect();
    Picture { envelope, spectrogram: Spectrogram { db, n_frames: all.len(), n_bins: dim, top_hz: dim as f64 } }
}

#[expect(clippy::single_range_in_vec_init, reason = "one part, which is the whole")]
fn envelope(samples: &[f32]) -> Envelope {
    envelope_where(samples, &[0..samples.len()])
}

fn envelope_where(samples: &[f32], parts: &[Range<usize>]) -> Envelope {
    let columns = ENVELOPE_COLUMNS.min(samples.len());
    let edge = |c: usize| c * samples.len() / columns.max(1);
    let extremes = |c: usize| {
        let column = edge(c)..edge(c + 1);
        if !parts.iter().any(|part| part.start < column.end && column.start < part.end) {
            return [0.0; 2];
        }
        samples[column].iter().fold([f32::INFINITY, f32::NEG_INFINITY], |[low, high], s| [low.min(*s), high.max(*s)])
    };
    (0..columns).map(extremes).collect()
}

fn spectrogram(clip: &AudioClip) -> Spectrogram {
    #[expect(clippy::single_range_in_vec_init, reason = "one part, which is the whole")]
    spectrogram_where(clip, &[0..clip.samples.len()])
}

fn spectrogram_where(clip: &AudioClip, parts: &[Range<usize>]) -> Spectrogram {
    let stft = Stft::new(WINDOW, HOP, WINDOW);
    let (n_frames, n_bins) = (clip.samples.len() / HOP, stft.n_bins());
    let full_scale = WINDOW as f32 / 4.0;
    let mut db = vec![FLOOR_DB; n_frames * n_bins];
    for part in parts {
        let (first, last) = (part.start / HOP, part.end.div_ceil(HOP).min(n_frames));
        let magnitudes = stft.magnitudes(&clip.samples, (first * HOP) as isize - (WINDOW / 2) as isize, last - first);
        let levels = magnitudes.iter().map(|m| (20.0 * (m / full_scale).log10()).max(FLOOR_DB));
        db[first * n_bins..last * n_bins].iter_mut().zip(levels).for_each(|(db, level)| *db = level);
    }
    Spectrogram { db, n_frames, n_bins, top_hz: f64::from(clip.sample_rate_hz) / 2.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f32) -> AudioClip {
        let samples = (0..16_000).map(|i| (2.0 * std::f32::consts::PI * hz * i as f32 / 16_000.0).sin()).collect();
        AudioClip { samples, sample_rate_hz: 16_000 }
    }

    #[test]
    fn a_full_scale_tone_reads_zero_db_at_its_frequency() {
        let s = picture(&tone(1_000.0)).spectrogram;
        let row = &s.db[60 * s.n_bins..61 * s.n_bins];
        let (bin, level) = row.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).unwrap();
        assert_eq!(bin, 32, "1 kHz of 8 kHz over 256 bins");
        assert!(level.abs() < 0.1, "{level} dB");
    }

    #[test]
    fn a_sound_does_not_differ_from_itself() {
        let clip = tone(440.0);
        let p = picture(&clip);
        let d = difference(&clip, &clip, &p, &p);
        assert!(d.spectrogram.db.iter().all(|x| *x == 0.0) && d.envelope.iter().all(|[a, b]| *a == 0.0 && *b == 0.0));
    }

    #[test]
    fn an_envelope_holds_the_extremes() {
        let e = picture(&tone(440.0)).envelope;
        assert!(e.iter().all(|[low, high]| low <= high));
        assert!(e.iter().map(|x| x[1]).fold(0.0, f32::max) > 0.999);
    }
}
