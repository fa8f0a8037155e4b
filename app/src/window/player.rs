//! Keeps the player at what the state says: sources, selection, loop, running or not.
//!
//! The player is asked only where state and player differ, so a source that sounds is never restarted by a redraw.

use std::collections::BTreeMap;
use std::sync::Arc;

use driftscope_core::playback::{OutputChoice, Player};

use super::source::Source;
use super::state::{SoundState, State};

/// The player and what it was last given.
#[derive(Debug)]
pub(super) struct Deck {
    player: Player,
    utterance: Option<usize>,
    loaded: BTreeMap<Source, Arc<[f32]>>,
    /// What the player was told to repeat; the outer `None` when it must be told anew.
    #[expect(clippy::option_option, reason = "not told yet, told to play on, or told to repeat a span")]
    loop_sec: Option<Option<(f64, f64)>>,
    /// The user moved the cursor since the last sync.
    seek: bool,
}

impl Deck {
    /// Opens the output; without a device, a silent one.
    pub(super) fn open(choice: &OutputChoice) -> Self {
        Self { player: Player::open(choice), utterance: None, loaded: BTreeMap::new(), loop_sec: None, seek: false }
    }

    /// Samples per second that sounds must have.
    pub(super) fn rate_hz(&self) -> u32 {
        self.player.rate_hz()
    }

    /// The output, for the status line: its name, and one sentence when nothing will be heard.
    pub(super) fn output(&self) -> String {
        self.player.notice().map_or_else(|| self.player.output_name().to_owned(), str::to_owned)
    }

    /// Brings the player to `state`, then the state's position to the player's.
    pub(super) fn sync(&mut self, state: &mut State) {
        self.player.poll();
        self.give_sounds(state);
        let index = state.source.key_number() - 1;
        if self.player.selected() != index {
            self.player.select(index);
        }
        let wanted = state.looping.then(|| state.loop_sec()).filter(|(from, to)| to > from);
        if self.loop_sec != Some(wanted) {
            self.player.set_loop_sec(wanted.map(|(from, to)| from..to));
            self.loop_sec = Some(wanted);
        }
        // A rollout being made anew keeps sounding as it was until the new one is there; its button says so.
        let play = state.playing && self.loaded.contains_key(&state.source);
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
        state.output = self.output();
    }

    /// The user moved the cursor; the next [`Deck::sync`] follows.
    pub(super) fn seek(&mut self) {
        self.seek = true;
    }

    fn give_sounds(&mut self, state: &State) {
        if self.utterance != Some(state.choice.utterance) {
            self.utterance = Some(state.choice.utterance);
            self.loaded.clear();
            self.loop_sec = None;
            self.player.load(vec![Arc::from([]); Source::ALL.len()]);
        }
        for source in Source::ALL {
            let SoundState::Ready(sound) = state.sound(source) else { continue };
            let known = self.loaded.get(&source).is_some_and(|given| Arc::ptr_eq(given, &sound.for_player));
            if !known {
                self.player.replace(source.key_number() - 1, Arc::clone(&sound.for_player));
                self.loaded.insert(source, Arc::clone(&sound.for_player));
                // The material may have become longer, and the loop was clamped to it.
                self.loop_sec = None;
            }
        }
    }
}
