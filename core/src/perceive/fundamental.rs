//! How far the fundamental frequency is off, and whether there is one.

use super::pitch::{LOWEST_RATE_HZ, fundamental_hz};
use super::{Measure, Pair, PerceiveError, Score};

/// Fundamental frequency in Hz of the reference and of the degraded sound in each frame.
pub(super) type Tracks = Vec<[Option<f64>; 2]>;

pub(super) fn tracks(pair: &Pair) -> Tracks {
    let (x, y) =
        rayon::join(|| fundamental_hz(&pair.reference, pair.sample_rate_hz), || fundamental_hz(&pair.degraded, pair.sample_rate_hz));
    x.into_iter().zip(y).map(|(x, y)| [x, y]).collect()
}

/// RMS of 1200·log₂(f̂/f) over the frames that are voiced in both, in cents; n counts those.
pub(super) fn f0_error_cents(pair: &Pair) -> Result<Score, PerceiveError> {
    let squares: Vec<f64> =
        voiced(pair, Measure::F0Error)?.iter().filter_map(|&[x, y]| Some((1200.0 * (y? / x?).log2()).powi(2))).collect();
    if squares.is_empty() {
        return Err(PerceiveError::Unvoiced { measure: Measure::F0Error });
    }
    Ok(Score { value: (squares.iter().sum::<f64>() / squares.len() as f64).sqrt(), n: squares.len() })
}

/// Percent of the frames that are voiced in one of the two only; n counts all frames.
pub(super) fn voicing_error_percent(pair: &Pair) -> Result<Score, PerceiveError> {
    let frames = voiced(pair, Measure::VoicingError)?;
    let wrong = frames.iter().filter(|[x, y]| x.is_some() != y.is_some()).count();
    Ok(Score { value: 100.0 * wrong as f64 / frames.len() as f64, n: frames.len() })
}

/// The tracks, where the reference has a voice.
fn voiced(pair: &Pair, measure: Measure) -> Result<&Tracks, PerceiveError> {
    if pair.sample_rate_hz < LOWEST_RATE_HZ {
        return Err(PerceiveError::RateTooLow { measure, needed_hz: LOWEST_RATE_HZ, found_hz: pair.sample_rate_hz });
    }
    let tracks = pair.tracks();
    if tracks.iter().all(|[reference, _]| reference.is_none()) {
        return Err(PerceiveError::Unvoiced { measure });
    }
    Ok(tracks)
}
