//! Perceptual evaluation of speech quality (ITU-T P.862 and P.862.2), by the crate `pesq`.
//!
//! The crate agrees with the Python package `pesq` 0.0.4 (the program of the recommendation) within 0.02 where the delays of the
//! utterances differ by at most 8 ms; where they differ by more it is off by up to 0.6, so there is no number then. None is missed: PESQ
//! moves the pieces back into place before it compares, so that what plays too slow or stands still would score falsely high.

use ::pesq::types::{PesqError, RATE_8K, RATE_16K, SignalBuffer};
use ::pesq::{disturbance, input, psychoacoustic, score};

use super::{Measure, Pair, PerceiveError, Score};
use crate::audio::{self, AudioClip};

/// Half a hop of frames: delays that differ by more put other frames side by side.
const DELAY_RANGE_MS: f64 = 8.0;
/// The least that is measured.
const SHORTEST_SEC: f64 = 0.25;

/// P.862.2 at 16 kHz, as MOS-LQO; n counts frames.
pub(super) fn wide_band(pair: &Pair) -> Result<Score, PerceiveError> {
    let [reference, degraded] = samples(pair, Measure::PesqWideBand, 16_000)?;
    let buffer = |samples: &[i16]| SignalBuffer::from_pcm_at(samples, RATE_16K);
    let aligned = buffer(&reference).and_then(|reference| input::process_pair_wideband(reference, buffer(&degraded)?));
    listening_quality(pair, Measure::PesqWideBand, 16_000, aligned, score::mos_lqo_wb)
}

/// P.862 at 8 kHz, as MOS-LQO by P.862.1; n counts frames.
pub(super) fn narrow_band(pair: &Pair) -> Result<Score, PerceiveError> {
    let [reference, degraded] = samples(pair, Measure::PesqNarrowBand, 8_000)?;
    let buffer = |samples: &[i16]| SignalBuffer::from_pcm_at(samples, RATE_8K);
    let aligned = buffer(&reference).and_then(|reference| input::process_pair(reference, buffer(&degraded)?));
    listening_quality(pair, Measure::PesqNarrowBand, 8_000, aligned, score::mos_lqo)
}

/// Both sounds at the rate of the model in 16 bits, the louder one at full scale: levels are set by the model itself.
fn samples(pair: &Pair, measure: Measure, rate_hz: u32) -> Result<[Vec<i16>; 2], PerceiveError> {
    pair.refuse_silence()?;
    if pair.sample_rate_hz < rate_hz {
        return Err(PerceiveError::RateTooLow { measure, needed_hz: rate_hz, found_hz: pair.sample_rate_hz });
    }
    let at_rate = |samples: &[f32]| {
        let clip = AudioClip { samples: samples.to_vec(), sample_rate_hz: pair.sample_rate_hz };
        audio::resample(&clip, rate_hz).map(|clip| clip.samples)
    };
    let both = [at_rate(&pair.reference)?, at_rate(&pair.degraded)?];
    let peak = both.iter().flatten().fold(0.0, |peak: f32, x| peak.max(x.abs()));
    Ok(both.map(|samples| samples.iter().map(|x| (x / peak * f32::from(i16::MAX)).round() as i16).collect()))
}

/// The model's score of an aligned pair, mapped to the scale of listening tests.
fn listening_quality(
    pair: &Pair,
    measure: Measure,
    rate_hz: u32,
    aligned: Result<input::AlignedPair, PesqError>,
    mapping: fn(f64) -> f32,
) -> Result<Score, PerceiveError> {
    let aligned = aligned.map_err(|error| match error {
        PesqError::SignalTooShort { .. } => PerceiveError::TooShort { measure, needed_sec: SHORTEST_SEC, found_sec: pair.duration_sec() },
        PesqError::NoUtterancesFound => PerceiveError::NoSpeech { measure },
    })?;
    let delays = || aligned.utterances.iter().map(|utterance| utterance.fine_delay);
    let range = delays().max().unwrap_or(0) - delays().min().unwrap_or(0);
    let range_ms = 1000.0 * f64::from(range) / f64::from(rate_hz);
    if range_ms > DELAY_RANGE_MS {
        return Err(PerceiveError::DelayVaries { measure, range_ms });
    }
    let model = psychoacoustic::run_frame_loop(&aligned.reference, &aligned.degraded, &aligned.utterances);
    let frames = disturbance::frame_disturbances(&aligned.reference, &aligned.degraded, &aligned.utterances);
    let indicators = disturbance::aggregate(&frames, model.frame_range.start);
    let raw = score::raw_score(indicators.symmetric, indicators.asymmetric);
    Ok(Score { value: f64::from(mapping(f64::from(raw))), n: model.frame_count() })
}
