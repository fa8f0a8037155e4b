//! Short-time objective intelligibility and its extension.
//!
//! Taal, Hendriks, Heusdens, Jensen: An Algorithm for Intelligibility Prediction of Time-Frequency Weighted Noisy Speech (2011); Jensen,
//! Taal: An Algorithm for Predicting the Intelligibility of Speech Masked by Modulated Noise Maskers (2016). Numbers are those of the
//! Python package `pystoi` 0.4.1. No crate is kept that passes: `voirs-evaluation` is a release candidate with 44 dependencies, and
//! what else has the name is a Python package.

use super::polyphase;
use super::spectrum::{n_frames, power_spectra};
use super::{Measure, Pair, PerceiveError, Score};

const RATE_HZ: u32 = 10_000;
const FRAME_SAMPLES: usize = 256;
const HOP_SAMPLES: usize = 128;
const N_FFT: usize = 512;
const N_BANDS: usize = 15;
/// Center of the lowest third of an octave.
const LOWEST_HZ: f64 = 150.0;
/// Frames this far below the loudest of the reference are taken out of both sounds.
const DYNAMIC_RANGE_DB: f64 = 40.0;
/// Frames of a segment, 384 ms.
const SEGMENT: usize = 30;
/// Lower limit of the signal-to-distortion ratio of a band.
const CLIPPING_DB: f64 = -15.0;

/// STOI; n counts segments.
pub(super) fn stoi(pair: &Pair) -> Result<Score, PerceiveError> {
    let [x, y] = bands(Measure::Stoi, pair)?;
    let n_segments = x[0].len() - SEGMENT + 1;
    let mut sum = 0.0;
    for (x, y) in x.iter().zip(&y) {
        sum += x.windows(SEGMENT).zip(y.windows(SEGMENT)).map(|(x, y)| clipped_correlation(x, y)).sum::<f64>();
    }
    Ok(Score { value: sum / (N_BANDS * n_segments) as f64, n: n_segments })
}

/// Extended STOI; n counts segments.
pub(super) fn estoi(pair: &Pair) -> Result<Score, PerceiveError> {
    let [x, y] = bands(Measure::Estoi, pair)?;
    let n_segments = x[0].len() - SEGMENT + 1;
    let correlation = |first: usize| {
        let [x, y] = [&x, &y].map(|bands| normalized_segment(bands, first));
        x.iter().flatten().zip(y.iter().flatten()).map(|(x, y)| x * y).sum::<f64>() / SEGMENT as f64
    };
    Ok(Score { value: (0..n_segments).map(correlation).sum::<f64>() / n_segments as f64, n: n_segments })
}

/// Correlation over time of a band's segment, the degraded one scaled to the energy of the reference and clipped.
fn clipped_correlation(x: &[f64], y: &[f64]) -> f64 {
    let ceiling = 1.0 + 10_f64.powf(-CLIPPING_DB / 20.0);
    let scale = norm(x) / (norm(y) + f64::EPSILON);
    let (mut a, mut b) = ([0.0; SEGMENT], [0.0; SEGMENT]);
    for i in 0..SEGMENT {
        a[i] = x[i];
        b[i] = (y[i] * scale).min(x[i] * ceiling);
    }
    center(&mut a);
    center(&mut b);
    dot(&a, &b) / ((norm(&a) + f64::EPSILON) * (norm(&b) + f64::EPSILON))
}

/// A segment with mean 0 and norm 1 first over time in every band, then over the bands in every frame: `[frame][band]`.
/// What does not vary has no direction and counts 0 (where `pystoi` draws one at random).
fn normalized_segment(bands: &[Vec<f64>], first: usize) -> [[f64; N_BANDS]; SEGMENT] {
    let mut segment = [[0.0; N_BANDS]; SEGMENT];
    for (band, amplitudes) in bands.iter().enumerate() {
        let mut row = [0.0; SEGMENT];
        row.copy_from_slice(&amplitudes[first..first + SEGMENT]);
        normalize(&mut row);
        segment.iter_mut().zip(row).for_each(|(frame, value)| frame[band] = value);
    }
    segment.iter_mut().for_each(|frame| normalize(frame));
    segment
}

fn normalize(values: &mut [f64]) {
    let largest = values.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    center(values);
    let norm = norm(values);
    // What rounding left of a constant is no variation.
    let scale = if norm > 1e-12 * largest { 1.0 / norm } else { 0.0 };
    values.iter_mut().for_each(|v| *v *= scale);
}

fn center(values: &mut [f64]) {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    values.iter_mut().for_each(|v| *v -= mean);
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

fn norm(values: &[f64]) -> f64 {
    dot(values, values).sqrt()
}

/// Amplitudes in thirds of an octave of both sounds, `[band][frame]`, without the frames in which the reference is silent.
fn bands(measure: Measure, pair: &Pair) -> Result<[Vec<Vec<f64>>; 2], PerceiveError> {
    pair.refuse_silence()?;
    let at_rate = |samples| polyphase::resample(samples, pair.sample_rate_hz, RATE_HZ);
    let (x, y) = rayon::join(|| at_rate(&pair.reference), || at_rate(&pair.degraded));
    let kept = loud_frames(&x);
    // One frame fewer than was kept: the definition leaves out a last frame that ends with the sound.
    let n_frames = kept.len().saturating_sub(1);
    if n_frames < SEGMENT {
        let sec = |n: usize| (n * HOP_SAMPLES) as f64 / f64::from(RATE_HZ);
        return Err(PerceiveError::TooShort { measure, needed_sec: sec(SEGMENT + 2), found_sec: sec(kept.len()) });
    }
    let (x, y) = rayon::join(|| third_octaves(&joined(&x, &kept), n_frames), || third_octaves(&joined(&y, &kept), n_frames));
    Ok([x, y])
}

/// Frames of the reference within the dynamic range.
fn loud_frames(x: &[f64]) -> Vec<usize> {
    let window = window();
    // A frame that ends with the sound is left out, as in the definition's loops.
    let n = n_frames(x.len().saturating_sub(1), FRAME_SAMPLES, HOP_SAMPLES);
    let level = |f: usize| {
        let energy: f64 = x[f * HOP_SAMPLES..][..FRAME_SAMPLES].iter().zip(&window).map(|(x, w)| (x * w).powi(2)).sum();
        20.0 * (energy.sqrt() + f64::EPSILON).log10()
    };
    let levels: Vec<f64> = (0..n).map(level).collect();
    let loudest = levels.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (0..n).filter(|&f| levels[f] > loudest - DYNAMIC_RANGE_DB).collect()
}

/// The windowed frames, overlapped and added one after the other.
fn joined(x: &[f64], frames: &[usize]) -> Vec<f32> {
    let window = window();
    let mut sum = vec![0.0; (frames.len() + 1) * HOP_SAMPLES];
    for (place, frame) in frames.iter().enumerate() {
        let to = &mut sum[place * HOP_SAMPLES..][..FRAME_SAMPLES];
        to.iter_mut().zip(&x[frame * HOP_SAMPLES..]).zip(&window).for_each(|((to, x), w)| *to += x * w);
    }
    sum.into_iter().map(|v| v as f32).collect()
}

fn third_octaves(samples: &[f32], n_frames: usize) -> Vec<Vec<f64>> {
    let window: Vec<f32> = window().iter().map(|&w| w as f32).collect();
    let power = power_spectra(samples, &window, HOP_SAMPLES, N_FFT);
    let bin = |third: f64| (LOWEST_HZ * 2_f64.powf(third / 3.0) * N_FFT as f64 / f64::from(RATE_HZ)).round() as usize;
    let amplitudes = |band: usize| {
        let (low, high) = (bin(band as f64 - 0.5), bin(band as f64 + 0.5));
        let frames = power.chunks_exact(N_FFT / 2 + 1).take(n_frames);
        frames.map(|bins| bins[low..high].iter().map(|&p| f64::from(p)).sum::<f64>().sqrt()).collect()
    };
    (0..N_BANDS).map(amplitudes).collect()
}

/// Hann window without its zeros at both ends.
fn window() -> Vec<f64> {
    (1..=FRAME_SAMPLES).map(|i| 0.5 - 0.5 * (std::f64::consts::TAU * i as f64 / (FRAME_SAMPLES + 1) as f64).cos()).collect()
}
