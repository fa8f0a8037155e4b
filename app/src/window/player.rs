//! Keeps the player at what the state says: sources, selection, gains, loop, running or not.
//!
//! The player is asked only where state and player differ, so a source that sounds is never restarted by a redraw.

use std::collections::BTreeMap;
use std::sync::Arc;

use driftscope_core::playback::{OutputChoice, OutputConfig, Player, Reopened, matching_gain_db};

use super::source::Source;
use super::state::{Notice, OutputState, SoundState, State};

/// Where a sound is in the store: sounds of another place are silenced.
type Place = (usize, usize);

/// The player and what it was last given.
#[derive(Debug)]
pub(super) struct Deck {
    player: Player,
    choice: OutputChoice,
    place: Option<Place>,
    loaded: BTreeMap<Source, Arc<[f32]>>,
    gains: BTreeMap<Source, f64>,
    /// What the player was told to repeat; the outer `None` when it must be told anew.
    #[expect(clippy::option_option, reason = "not told yet, told to play on, or told to repeat a span")]
    loop_sec: Option<Option<(f64, f64)>>,
    /// The user moved the cursor since the last sync.
    seek: bool,
    /// What was last said of the output, so that it is said once.
    said: Option<String>,
}

impl Deck {
    /// Opens the output; without a device, a silent one.
    pub(super) fn open(choice: &OutputChoice) -> Self {
        Self {
            player: Player::open(choice),
            choice: choice.clone(),
            place: None,
            loaded: BTreeMap::new(),
            gains: BTreeMap::new(),
            loop_sec: None,
            seek: false,
            said: None,
        }
    }

    /// Moves to another output; what plays goes on there. Whether all sounds must be made anew for its rate.
    pub(super) fn reopen(&mut self, choice: OutputChoice) -> bool {
        let reopened = self.player.reopen(OutputConfig { choice: choice.clone(), ..OutputConfig::default() });
        self.choice = choice;
        self.loop_sec = None;
        if reopened == Reopened::NewRate {
            self.loaded.clear();
        }
        reopened == Reopened::NewRate
    }

    /// Brings the player to `state`, then the state's position to the player's.
    pub(super) fn sync(&mut self, state: &mut State) {
        self.player.poll();
        self.give_sounds(state);
        let source = state.view.source;
        if self.player.selected() != source.slot() && self.loaded.contains_key(&source) {
            self.player.select(source.slot());
        }
        let wanted = state.view.looping.then(|| state.loop_sec()).filter(|(from, to)| to > from);
        if self.loop_sec != Some(wanted) {
            self.player.set_loop_sec(wanted.map(|(from, to)| from..to));
            self.loop_sec = Some(wanted);
        }
        // A rollout being made anew keeps sounding as it was until the new one is there; its button says so.
        let play = state.playing && self.loaded.contains_key(&source);
        let starts = play && !self.player.is_playing();
        if std::mem::take(&mut self.seek) || starts {
            self.player.seek_sec(state.position_sec);
        }
        match (play, self.player.is_playing()) {
            (true, false) => self.player.play(),
            (false, true) => self.player.pause(),
            _ => {}
        }
        if play {
            state.playing = self.player.is_playing();
            state.position_sec = self.player.position_sec();
        }
        self.report(state);
    }

    /// The player itself, for whoever else plays through it; [`Deck::take_back`] afterwards.
    pub(super) fn player(&mut self) -> &mut Player {
        &mut self.player
    }

    /// Someone else had the player: everything is given to it again.
    pub(super) fn take_back(&mut self) {
        self.player.pause();
        self.place = None;
    }

    /// The user moved the cursor; the next [`Deck::sync`] follows.
    pub(super) fn seek(&mut self) {
        self.seek = true;
    }

    fn report(&mut self, state: &mut State) {
        let name = self.player.notice().map_or_else(|| self.player.output_name().to_owned(), str::to_owned);
        if self.player.notice().is_some() && self.said.as_ref() != Some(&name) {
            // A first start without a device says so in its corner only; a device that goes away while playing interrupts.
            if self.said.is_some() {
                state.notice = Some(Notice::Problem(name.clone()));
            }
        }
        self.said = Some(name.clone());
        state.output = OutputState {
            name,
            glitches: self.player.glitches(),
            latency_sec: self.player.latency_sec(),
            choice: self.choice.clone(),
            rate_hz: self.player.rate_hz(),
            gain_db: self.gains.get(&state.view.source).copied().unwrap_or(0.0),
        };
    }

    fn give_sounds(&mut self, state: &State) {
        let place = (state.choice().store, state.choice().utterance);
        if self.place != Some(place) {
            self.place = Some(place);
            self.loaded.clear();
            self.gains.clear();
            self.loop_sec = None;
            self.player.clear();
        }
        let reference = state.sounds.get(&Source::Truth).and_then(|truth| truth.loudness_lufs);
        for source in state.view.sources() {
            let SoundState::Ready(sound) = state.sound(source) else { continue };
            let known = self.loaded.get(&source).is_some_and(|given| Arc::ptr_eq(given, &sound.for_player));
            if !known {
                self.player.replace(source.slot(), Arc::clone(&sound.for_player));
                self.loaded.insert(source, Arc::clone(&sound.for_player));
                // The material may have become longer, and the loop was clamped to it.
                self.loop_sec = None;
            }
            let matched = reference.filter(|_| state.view.match_loudness);
            let gain_db = matched.map_or(0.0, |reference| matching_gain_db(sound.loudness_lufs, reference, sound.peak));
            if self.gains.insert(source, gain_db).unwrap_or(0.0) != gain_db {
                self.player.set_gain_db(source.slot(), gain_db);
            }
        }
    }
}
