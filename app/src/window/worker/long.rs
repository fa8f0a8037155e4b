//! Long utterances, heard before all of them is decoded: a rollout from a little before its start, the truth in pieces that grow, from
//! the playhead on.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use driftscope_core::audio::{self, AudioClip, AudioError};
use driftscope_core::codec::{Codec, Pieces};
use driftscope_core::job::Cancel;
use driftscope_core::latents::Latents;
use driftscope_core::playback;
use driftscope_core::rollout::splice;

use super::{Bench, Delivery, Rolled, Sound};
use crate::window::picture::picture_where;
use crate::window::session::Session;
use crate::window::source::Source;
use crate::window::trace;
use crate::window::view::{Basis, View};

/// From this length on, an utterance is heard before all of it is decoded.
const LONG_SEC: f64 = 60.0;
/// What is handed in first: heard while more is made.
const FIRST_SEC: f64 = 2.0;
/// How much longer each next piece is: made and shown before the one before it is over.
const GROWTH: usize = 3;
/// Where that begins, before the playhead: the loop around a rollout begins with its window.
const LEAD_SEC: f64 = 1.0;
/// Frames that are decoded before the playhead is looked at again.
const FRAMES_AT_ONCE: usize = 64;

/// Where the sound is, in seconds: told by the window in each of its frames, read by the worker between two pieces.
#[derive(Clone, Debug, Default)]
pub(super) struct Playhead(Arc<AtomicU64>);

impl Playhead {
    pub(super) fn set(&self, position_sec: f64) {
        self.0.store(position_sec.to_bits(), Ordering::Relaxed);
    }

    fn sec(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }
}

/// Whether a codec's sound of `n_frames` is worth hearing in pieces. The demo codec makes its phases for a whole.
pub(super) fn is_long(codec: &Codec, n_frames: usize) -> bool {
    matches!(codec, Codec::Neural(_)) && n_frames as f64 > LONG_SEC * codec.frame_rate_hz()
}

impl Bench {
    /// The whole of a long utterance; what is there of it is handed in on the way. It goes on where an earlier wish was overtaken.
    pub(super) fn decode_long(
        &mut self,
        codec: &Codec,
        truth: &Latents,
        basis: &Basis,
        cancel: &Cancel,
        asked: Instant,
    ) -> anyhow::Result<AudioClip> {
        let mut pieces = match self.pieces.take() {
            Some((of, pieces)) if of == *basis => pieces,
            _ => Pieces::new(codec, truth.n_frames()),
        };
        match self.decode_pieces(codec, truth, basis, &mut pieces, cancel, asked) {
            Ok(()) => Ok(AudioClip { samples: pieces.into_samples(), sample_rate_hz: codec.sample_rate_hz() }),
            Err(error) => {
                self.pieces = Some((basis.clone(), pieces));
                Err(error)
            }
        }
    }

    /// A rollout that is listened to in a long utterance whose truth is not there yet: silent up to a little before its start.
    pub(super) fn rollout_ahead(
        &mut self,
        session: &Session,
        view: &View,
        rolled: &Rolled,
        cancel: &Cancel,
        asked: Instant,
    ) -> anyhow::Result<()> {
        let (Some(codec), Some(basis)) = (&session.codec, Basis::of(view.source, view, &rolled.choice)) else { return Ok(()) };
        let truth = &session.corpus.utterances[rolled.choice.utterance].latents;
        let of_truth = Basis::of(Source::Truth, view, &rolled.choice);
        let is_there = self.sounds.get(&Source::Truth).is_some_and(|made| of_truth.is_some_and(|basis| basis == made.basis));
        if is_there
            || !is_long(codec, truth.n_frames())
            || self.ahead.as_ref().is_some_and(|(source, of)| (*source, of) == (view.source, &basis))
        {
            return Ok(());
        }
        let Some(rollout) = self.rollout_of(view.source, rolled) else { return Ok(()) };
        let spliced = splice(truth, rollout, 0);
        // Where the truth begins too: its past is run through once for both.
        let first = (rollout.segments[0].t0 as f64 - LEAD_SEC * codec.frame_rate_hz()).round() as usize;
        let mut pieces = Pieces::new(codec, spliced.n_frames());
        pieces.decode(&spliced, first, spliced.n_frames() - first, cancel)?;
        self.desk.deliver(Delivery::Sound(self.so_far(codec, view.source, &basis, &pieces)?));
        trace(&format!("{} ahead of the truth", view.source.name()), asked);
        self.ahead = Some((view.source, basis));
        Ok(())
    }

    fn decode_pieces(
        &self,
        codec: &Codec,
        truth: &Latents,
        basis: &Basis,
        pieces: &mut Pieces,
        cancel: &Cancel,
        asked: Instant,
    ) -> anyhow::Result<()> {
        let frames = |seconds: f64| (seconds * codec.frame_rate_hz()).round() as usize;
        let (mut due, mut fresh, mut expected, mut begun) = (0, 0, None, 0.0);
        loop {
            let wanted = frames(self.playhead.sec() - LEAD_SEC);
            let Some(next) = pieces.next(wanted) else { return Ok(()) };
            if expected != Some(next) {
                // Begun, or sought to elsewhere: the first piece there is short again. What was passed over nobody waits for.
                (due, fresh) = (if next < wanted { usize::MAX } else { frames(LEAD_SEC + FIRST_SEC) }, 0);
                begun = next as f64 / codec.frame_rate_hz();
            }
            let n_frames = FRAMES_AT_ONCE.min(due - fresh);
            pieces.decode(truth, wanted, n_frames, cancel)?;
            (fresh, expected) = (fresh + n_frames, Some(next + n_frames));
            if fresh == due {
                self.desk.deliver(Delivery::Sound(self.so_far(codec, Source::Truth, basis, pieces)?));
                trace(&format!("Ground truth, {:.0} s from {begun:.1} s on", fresh as f64 / codec.frame_rate_hz()), asked);
                (due, fresh) = (GROWTH * due, 0);
            }
        }
    }

    /// What is there, as a sound: the rest is silent, and not looked at.
    fn so_far(&self, codec: &Codec, source: Source, basis: &Basis, pieces: &Pieces) -> anyhow::Result<Arc<Sound>> {
        let parts = parts(pieces.frames(), codec.hop_samples());
        let clip = AudioClip { samples: pieces.samples().to_vec(), sample_rate_hz: codec.sample_rate_hz() };
        let heard: Vec<f32> = parts.iter().flat_map(|part| &clip.samples[part.clone()]).copied().collect();
        let heard = AudioClip { samples: heard, ..clip };
        let (loudness_lufs, peak) = (audio::loudness_lufs(&heard), audio::peak(&heard.samples));
        // Both as long as the whole, so they take their time in memory alone.
        let (for_player, picture) = rayon::join(|| parts_at_rate(&clip, &parts, self.player_rate_hz), || picture_where(&clip, &parts));
        let for_player = for_player?;
        Ok(Arc::new(Sound { source, basis: basis.clone(), clip, for_player, loudness_lufs, peak, picture, difference: None }))
    }
}

/// Stretches of frames that are there, in samples.
fn parts(is_there: &[bool], hop: usize) -> Vec<Range<usize>> {
    let (mut parts, mut at) = (Vec::new(), 0);
    for run in is_there.chunk_by(|a, b| a == b) {
        if run[0] {
            parts.push(at * hop..(at + run.len()) * hop);
        }
        at += run.len();
    }
    parts
}

/// A clip that is silent outside of `parts`, as the player wants it.
fn parts_at_rate(clip: &AudioClip, parts: &[Range<usize>], rate_hz: u32) -> Result<Arc<[f32]>, AudioError> {
    let at_rate = |n: usize| (n as u64 * u64::from(rate_hz) / u64::from(clip.sample_rate_hz)) as usize;
    // Made where it stays: a copy of ten minutes takes as long as decoding a second of them.
    let mut all: Arc<[f32]> = std::iter::repeat_n(0.0, at_rate(clip.samples.len())).collect();
    let samples = Arc::get_mut(&mut all).expect("nobody else has it yet");
    for part in parts {
        let part_clip = AudioClip { samples: clip.samples[part.clone()].to_vec(), sample_rate_hz: clip.sample_rate_hz };
        let room = samples.iter_mut().skip(at_rate(part.start));
        room.zip(playback::at_rate(&part_clip, rate_hz)?.iter()).for_each(|(sample, &heard)| *sample = heard);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::window::picture::picture;

    fn noise(n: usize) -> AudioClip {
        let mut seed = 1_u32;
        let mut next = || {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        AudioClip { samples: (0..n).map(|_| 0.3 * next()).collect(), sample_rate_hz: 24_000 }
    }

    #[test]
    fn a_part_sounds_and_looks_as_in_the_whole() {
        let (whole, hop) = (noise(40 * 1_920), 1_920);
        let is_there: Vec<bool> = (0..40).map(|frame| (5..20).contains(&frame) || frame >= 30).collect();
        let parts = parts(&is_there, hop);
        assert_eq!(parts, [5 * hop..20 * hop, 30 * hop..40 * hop]);
        let mut clip = AudioClip { samples: vec![0.0; whole.samples.len()], ..whole };
        parts.iter().for_each(|part| clip.samples[part.clone()].copy_from_slice(&whole.samples[part.clone()]));

        for rate_hz in [24_000_u32, 44_100, 48_000] {
            let (expected, found) = (playback::at_rate(&whole, rate_hz).unwrap(), parts_at_rate(&clip, &parts, rate_hz).unwrap());
            assert_eq!(found.len(), expected.len());
            // Within a frame of an end the filter hears the silence beyond it.
            for frame in (6..19).chain(31..40) {
                let samples = (frame * rate_hz as usize * 2 / 25)..((frame + 1) * rate_hz as usize * 2 / 25);
                let furthest = samples.map(|i| (found[i] - expected[i]).abs()).fold(0.0, f32::max);
                assert!(furthest < 1e-5, "{rate_hz} Hz, frame {frame}: {furthest}");
            }
            assert!(found[..4 * rate_hz as usize * 2 / 25].iter().all(|x| *x == 0.0));
        }
        let (of_whole, of_parts) = (picture(&whole).spectrogram, picture_where(&clip, &parts).spectrogram);
        let column = |s: &crate::window::picture::Spectrogram, frame: usize| s.db[frame * s.n_bins..(frame + 1) * s.n_bins].to_vec();
        for frame in [6 * 15, 10 * 15, 19 * 15, 35 * 15] {
            assert_eq!(column(&of_parts, frame), column(&of_whole, frame), "spectrum {frame}");
        }
        assert!(column(&of_parts, 25 * 15).iter().all(|db| *db == -120.0));
        assert_eq!(of_parts.n_frames, of_whole.n_frames);
        assert_eq!(picture_where(&clip, &parts).envelope, picture(&clip).envelope, "what is not looked at is silent");
    }
}
