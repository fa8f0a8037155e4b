//! The worker's sounds: made of latents by the store's codec, in the order in which they are wanted, and measured beside.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use driftscope_core::audio::{self, AudioClip};
use driftscope_core::codec::{Codec, CodecError};
use driftscope_core::engine::lane::Lane;
use driftscope_core::job::Cancel;
use driftscope_core::latents::Latents;
use driftscope_core::perceive::scores;
use driftscope_core::playback;
use driftscope_core::rollout::synthetic::{SyntheticMode, synthesize};
use driftscope_core::rollout::{Rollout, splice, splice_between};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rand_distr::StandardNormal;

use super::long::is_long;
use super::{Bench, Delivery, Desk, Rolled, Scored, Sound};
use crate::window::picture::{difference, picture};
use crate::window::session::Session;
use crate::window::source::Source;
use crate::window::trace;
use crate::window::view::{Basis, Choice, View};

/// A sound to be measured, what of, and that.
pub(super) type Pair = (Arc<Sound>, Source, Arc<AudioClip>);

/// The thread that measures, since measures cannot be broken off and curves must not wait for them. What it was asked for last is kept.
pub(super) fn scorer(desk: Desk) -> std::io::Result<Lane<Vec<Pair>>> {
    let mut measured = Vec::<Arc<Scored>>::new();
    Lane::start("measures", move |pairs: Vec<Pair>| {
        measured.retain(|m| pairs.iter().any(|(sound, ..)| Arc::ptr_eq(sound, &m.sound)));
        for (sound, against, reference) in pairs {
            let known = measured.iter().find(|m| Arc::ptr_eq(&m.sound, &sound)).cloned();
            let made = || Some(Arc::new(Scored { scores: scores(&reference, &sound.clip).ok()?, sound, against }));
            let is_new = known.is_none();
            let Some(made) = known.or_else(made) else { continue };
            if is_new {
                measured.push(Arc::clone(&made));
            }
            desk.deliver(Delivery::Scored(made));
        }
    })
}

impl Bench {
    /// Makes a source's sound, if it is not there already.
    pub(super) fn sound(
        &mut self,
        session: &Session,
        view: &View,
        rolled: &Rolled,
        source: Source,
        cancel: &Cancel,
        asked: Instant,
    ) -> anyhow::Result<()> {
        let Some(codec) = &session.codec else { return Ok(()) };
        let Some(basis) = Basis::of(source, view, &rolled.choice) else { return Ok(()) };
        if self.sounds.get(&source).is_some_and(|made| made.basis == basis) {
            return Ok(());
        }
        let utterance = rolled.choice.utterance;
        let truth = &session.corpus.utterances[utterance].latents;
        let around = self.sounds.get(&Source::Truth).map(|truth| &truth.clip);
        let clip = match source {
            Source::Truth if is_long(codec, truth.n_frames()) => self.decode_long(codec, truth, &basis, cancel, asked)?,
            Source::Truth => codec.decode_unless(truth, cancel)?,
            Source::Original => match session.clips.get(utterance) {
                Some(clip) => clip.clone(),
                None => return Ok(()),
            },
            Source::Rollout | Source::Branch(_) | Source::Comparand(_) => match self.rollout_of(source, rolled) {
                Some(rollout) => in_place(codec, &splice(truth, rollout, 0), rollout.segments[0].t0, around, cancel)?,
                None => return Ok(()),
            },
            Source::Splice(steps) => {
                let t0 = rolled.choice.t0;
                let (spliced, _) = splice_between(truth, &rolled.live, 0, steps.into());
                match around {
                    Some(around) => codec.decode_between(&spliced, t0..t0 + usize::from(steps).min(rolled.live.n_steps), around, cancel)?,
                    None => codec.decode_unless(&spliced, cancel)?,
                }
            }
            _ => codec.decode_unless(&synthetic_latents(session, truth, source, view), cancel)?,
        };
        let sound = self.made(source, basis, clip)?;
        if source == Source::Truth {
            // Everything else is shown against it.
            self.sounds.clear();
        }
        self.sounds.insert(source, Arc::clone(&sound));
        self.desk.deliver(Delivery::Sound(sound));
        trace(&source.name(), asked);
        Ok(())
    }

    /// The rollout that a source is the sound of; `None` where it is none, or not there.
    pub(super) fn rollout_of<'a>(&'a self, source: Source, rolled: &'a Rolled) -> Option<&'a Rollout> {
        let Choice { store, utterance, .. } = rolled.choice;
        match source {
            Source::Rollout => Some(&rolled.live),
            Source::Branch(id) => self.kept.get(&id).filter(|k| k.branch.choice.utterance == utterance).map(|kept| &kept.rollout),
            Source::Comparand(comparand) => self.compared.get(&comparand).filter(|_| comparand.store == store).map(|made| &made.live),
            _ => None,
        }
    }

    /// A sound ready to be shown and heard.
    fn made(&self, source: Source, basis: Basis, clip: AudioClip) -> anyhow::Result<Arc<Sound>> {
        let picture = picture(&clip);
        let truth = self.sounds.get(&Source::Truth).filter(|_| source != Source::Truth);
        let difference = truth.map(|truth| difference(&clip, &truth.clip, &truth.picture, &picture));
        let for_player = playback::at_rate(&clip, self.player_rate_hz)?;
        let (loudness_lufs, peak) = (audio::loudness_lufs(&clip), audio::peak(&for_player));
        Ok(Arc::new(Sound { source, basis, clip, for_player, loudness_lufs, peak, picture, difference }))
    }

    /// Has the round trip measured, and what is listened to.
    pub(super) fn score(&self, session: &Session, view: &View, rolled: &Rolled) {
        let recording = session.clips.get(rolled.choice.utterance).map(|clip| (Source::Original, clip));
        let Some((against, reference)) = recording.or_else(|| Some((Source::Truth, &self.sounds.get(&Source::Truth)?.clip))) else {
            return;
        };
        let reference = Arc::new(reference.clone());
        let wanted = BTreeSet::from([Source::Truth, view.source, view.compared]);
        let made =
            wanted.iter().filter(|source| ![against, Source::Original].contains(source)).filter_map(|source| self.sounds.get(source));
        self.scorer.request(made.map(|sound| (Arc::clone(sound), against, Arc::clone(&reference))).collect());
    }
}

/// Decodes what departs from the truth at `t0`; the true sound before the decoder's reach is copied.
fn in_place(codec: &Codec, spliced: &Latents, t0: usize, around: Option<&AudioClip>, cancel: &Cancel) -> Result<AudioClip, CodecError> {
    match around {
        Some(around) => codec.decode_between(spliced, t0..spliced.n_frames(), around, cancel),
        None => codec.decode_unless(spliced, cancel),
    }
}

fn synthetic_latents(session: &Session, truth: &Latents, source: Source, view: &View) -> Latents {
    let mode = source.synthetic(view.choice.angle_degrees).unwrap_or(SyntheticMode::GroundTruth);
    let mut rng = StdRng::seed_from_u64(session.ctx.seed);
    synthesize(truth, mode, view.choice.accumulation, &mut || rng.sample(StandardNormal))
}
