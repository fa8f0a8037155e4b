//! The gapless player: all sources resident at the device rate, one sample counter, switching changes only which buffer feeds the mix.
//!
//! [`Player`] is the side of the window: it holds every source and publishes what should sound now. [`Mixer`] is the side of the
//! sound card: it crossfades linearly over [`FADE_SEC`] from what sounded to what should sound, whatever changed (source, content,
//! gain, position, loop, pause), so no change clicks and none betrays itself by its fade. Nothing on that side allocates, frees or
//! locks. No file is read and nothing is decoded here. Loudness is matched only by gains that the caller sets ([`matching_gain_db`]).
//!
//! In the window: [`Player::open`] once (it never fails: without a device it runs silently and [`Player::notice`] says so), clips
//! made ready on a lane with [`at_rate`], [`Player::load`] for a new set, [`Player::replace`] for a new rollout while it sounds or
//! for one more source, [`Player::poll`] once a frame, and [`Player::reopen`] when the user chooses another of the [`outputs`].

mod health;
mod line;
mod matching;
mod mixer;
mod output;
mod player;

use std::sync::Arc;

pub use matching::{MAX_MATCHING_DB, matching_gain_db};
pub use mixer::{FADE_SEC, Mixer};
pub use output::{OutputChoice, OutputConfig, OutputDevice, outputs};
pub use player::{Player, Reopened};

use crate::audio::{AudioClip, AudioError, resample};

/// A clip as the player wants it: samples at the device's rate, shareable without copying.
pub fn at_rate(clip: &AudioClip, rate_hz: u32) -> Result<Arc<[f32]>, AudioError> {
    if clip.sample_rate_hz == rate_hz {
        return Ok(clip.samples.as_slice().into());
    }
    Ok(resample(clip, rate_hz)?.samples.into())
}
