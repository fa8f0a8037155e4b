//! All state of the window and the only two ways to change it: a command of the user, a delivery of the worker.
//!
//! Both are plain functions on values, so tests need no window. What cannot be done here (compute, seek, write files) comes back
//! as [`Effect`]s.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use driftscope_core::rollout::synthetic::Accumulation;
use driftscope_core::rollout::{RolloutConfig, Schedule};
use eframe::egui::ThemePreference;

use super::command::{Command, ExportFolder};
use super::curves::Line;
use super::session::Session;
use super::source::Source;
use super::theme;
use super::worker::{Delivery, Rolled, Sound};

/// What a rollout and its sound are computed from.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Choice {
    /// Index into the corpus.
    pub utterance: usize,
    /// Index into the session's predictors.
    pub predictor: usize,
    /// First predicted frame.
    pub t0: usize,
    /// How it advances.
    pub config: RolloutConfig,
    /// 1-based steps of the live rollout after which the true state is put back.
    pub injected: BTreeSet<usize>,
    /// How the synthetic modes add up.
    pub accumulation: Accumulation,
}

impl Choice {
    /// The live rollout's schedule.
    pub fn schedule(&self) -> Schedule {
        let steps: Vec<usize> = self.injected.iter().copied().collect();
        Schedule::inject_after("live", &steps, self.config.n_steps)
    }
}

/// One sentence for the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Something was done.
    Done(String),
    /// Something failed.
    Problem(String),
}

/// What [`State::apply`] cannot do by itself.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// The choice changed: compute anew.
    Compute,
    /// The position was moved by the user.
    Seek,
    /// Write the figure.
    Export(ExportFolder),
}

/// A source's sound as far as it is known.
#[derive(Clone, Copy, Debug)]
pub enum SoundState<'a> {
    /// Belongs to what is on screen.
    Ready(&'a Arc<Sound>),
    /// On its way.
    Computing,
    /// There is none, and why.
    Absent(&'a str),
}

/// Everything the panels read.
#[derive(Debug)]
pub struct State {
    /// What the window works on; `None` while it loads.
    pub session: Option<Arc<Session>>,
    /// What is being loaded, for the empty window.
    pub loading: String,
    /// What the user asked for.
    pub choice: Choice,
    /// Counts the changes of `choice`; results carry the number they belong to.
    pub generation: u64,
    /// Newest rollout and curves.
    pub rolled: Option<Arc<Rolled>>,
    /// Newest sound of each source.
    pub sounds: BTreeMap<Source, Arc<Sound>>,
    /// The one cursor, seconds from the utterance's start.
    pub position_sec: f64,
    /// Sound is running.
    pub playing: bool,
    /// The rollout's stretch repeats.
    pub looping: bool,
    /// Heard now, or next.
    pub source: Source,
    /// Heard before.
    pub previous: Source,
    /// Shown against the truth.
    pub compared: Source,
    /// Curves the user hid.
    pub hidden: BTreeSet<Line>,
    /// Dark, light, or as the system.
    pub theme: ThemePreference,
    /// From where the trajectory is seen: yaw and pitch, radians.
    pub orbit: [f32; 2],
    /// The newest sentence for the user.
    pub notice: Option<Notice>,
    /// Where sound goes.
    pub output: String,
}

impl Default for State {
    fn default() -> Self {
        Self {
            session: None,
            loading: "Loading".into(),
            choice: Choice::default(),
            generation: 0,
            rolled: None,
            sounds: BTreeMap::new(),
            position_sec: 0.0,
            playing: false,
            looping: true,
            source: Source::Rollout,
            previous: Source::Truth,
            compared: Source::Rollout,
            hidden: BTreeSet::new(),
            theme: ThemePreference::System,
            orbit: theme::FIRST_ORBIT,
            notice: None,
            output: String::new(),
        }
    }
}

impl State {
    /// Length of the chosen utterance.
    pub fn duration_sec(&self) -> f64 {
        self.session.as_ref().map_or(0.0, |s| s.n_frames(self.choice.utterance) as f64 * s.frame_sec())
    }

    /// Frame under the cursor.
    pub fn cursor_frame(&self) -> usize {
        let Some(session) = &self.session else { return 0 };
        let last = session.n_frames(self.choice.utterance).saturating_sub(1);
        // Half a sample of tolerance: a position set to a frame's start must not round to the frame before.
        ((self.position_sec / session.frame_sec() + 1e-6) as usize).min(last)
    }

    /// Step of the rollout under the cursor, 1-based; `None` outside of it.
    pub fn cursor_step(&self) -> Option<usize> {
        let step = (self.cursor_frame() + 1).checked_sub(self.choice.t0)?;
        (1..=self.choice.config.n_steps).contains(&step).then_some(step)
    }

    /// The rollout's stretch in seconds: from its window's first frame to its last step.
    pub fn loop_sec(&self) -> (f64, f64) {
        let Some(session) = &self.session else { return (0.0, 0.0) };
        let window = session.predictors.get(self.choice.predictor).map_or(0, |p| p.info.window);
        let first = self.choice.t0.saturating_sub(window);
        let last = self.choice.t0 + self.choice.config.n_steps;
        (first as f64 * session.frame_sec(), last as f64 * session.frame_sec())
    }

    /// The curves on screen belong to the settings on screen.
    pub fn is_current(&self) -> bool {
        self.rolled.as_ref().is_some_and(|r| r.generation == self.generation)
    }

    /// The sound of a source, if it belongs to the curves on screen.
    pub fn sound(&self, source: Source) -> SoundState<'_> {
        let Some(session) = &self.session else { return SoundState::Computing };
        if source == Source::Original && session.clips.is_empty() {
            return SoundState::Absent("this store has no recordings beside it");
        }
        if source != Source::Original && session.codec.is_none() {
            return SoundState::Absent(&session.unheard);
        }
        match self.sounds.get(&source) {
            Some(sound) if self.belongs(sound) => SoundState::Ready(sound),
            _ => SoundState::Computing,
        }
    }

    fn belongs(&self, sound: &Sound) -> bool {
        let same_rollout = || self.rolled.as_ref().is_some_and(|r| r.generation == sound.generation);
        sound.utterance == self.choice.utterance
            && (sound.source != Source::Rollout || same_rollout())
            && (sound.source.synthetic().is_none() || sound.accumulation == self.choice.accumulation)
    }

    /// Does what a command asks, except for what comes back.
    pub fn apply(&mut self, command: Command) -> Vec<Effect> {
        match command {
            Command::ChooseUtterance(utterance) => return self.choose_utterance(utterance),
            Command::SetCursor(frame) => return self.move_to_frame(frame as i64),
            Command::MoveCursor(frames) => return self.move_to_frame(self.cursor_frame() as i64 + frames),
            Command::MoveCursorSec(seconds) => {
                let frames = self.session.as_ref().map_or(0.0, |s| (seconds / s.frame_sec()).round());
                return self.move_to_frame(self.cursor_frame() as i64 + frames as i64);
            }
            Command::SetStep(step) => return self.move_to_frame((self.choice.t0 + step) as i64 - 1),
            Command::Listen(source) => return self.listen(source),
            Command::SwapSource => return self.listen(self.previous),
            Command::TogglePlay => self.playing = !self.playing,
            Command::ToggleLoop => self.looping = !self.looping,
            Command::ToggleLine(line) => {
                if !self.hidden.remove(&line) {
                    self.hidden.insert(line);
                }
            }
            Command::SetTheme(theme) => self.theme = theme,
            Command::TurnTrajectory(by) => {
                let quarter = std::f32::consts::FRAC_PI_2;
                self.orbit = [self.orbit[0] + by.x, (self.orbit[1] + by.y).clamp(-quarter, quarter)];
            }
            Command::ResetTrajectory => self.orbit = theme::FIRST_ORBIT,
            Command::DismissNotice => self.notice = None,
            Command::Export(folder) => return vec![Effect::Export(folder)],
            choice => return self.change_choice(choice),
        }
        Vec::new()
    }

    /// Commands that change what is computed; a command that changes nothing computes nothing.
    fn change_choice(&mut self, command: Command) -> Vec<Effect> {
        let before = self.choice.clone();
        let config = &mut self.choice.config;
        match command {
            Command::ChoosePredictor(predictor) => self.choice.predictor = predictor,
            Command::SetStart(t0) => self.choice.t0 = t0,
            Command::SetAlpha(alpha) => config.alpha = alpha,
            Command::SetRule(rule) => config.rule = rule,
            Command::SetReanchor(every) => config.reanchor_every = every.filter(|n| *n > 0),
            Command::SetNoise(sigma) => config.noise_sigma = sigma,
            Command::SetTemperature(temperature) => config.temperature = temperature,
            Command::ToggleInjection(step) if !self.choice.injected.remove(&step) => {
                self.choice.injected.insert(step);
            }
            Command::SetAccumulation(accumulation) => self.choice.accumulation = accumulation,
            Command::ResetRollout => {
                self.choice.config = RolloutConfig::default();
                self.choice.injected.clear();
            }
            _ => {}
        }
        self.clamp_start();
        if self.choice == before {
            return Vec::new();
        }
        self.generation += 1;
        vec![Effect::Compute]
    }

    fn choose_utterance(&mut self, utterance: usize) -> Vec<Effect> {
        let known = self.session.as_ref().is_some_and(|s| utterance < s.corpus.utterances.len());
        if !known || utterance == self.choice.utterance {
            return Vec::new();
        }
        self.choice.utterance = utterance;
        self.choice.injected.clear();
        self.begin_utterance();
        vec![Effect::Compute, Effect::Seek]
    }

    /// Nothing of the utterance before may stay on screen.
    fn begin_utterance(&mut self) {
        self.rolled = None;
        self.sounds.clear();
        // The middle, where there is speech on both sides of the start.
        self.choice.t0 = self.session.as_ref().map_or(0, |s| s.n_frames(self.choice.utterance) / 2);
        self.clamp_start();
        self.position_sec = self.session.as_ref().map_or(0.0, |s| self.choice.t0 as f64 * s.frame_sec());
        self.generation += 1;
    }

    fn clamp_start(&mut self) {
        let Some(session) = &self.session else { return };
        match session.start_range(self.choice.utterance, self.choice.predictor, self.choice.config.n_steps) {
            Some((first, last)) => self.choice.t0 = self.choice.t0.clamp(first, last),
            None => self.notice = Some(Notice::Problem(too_short(session, &self.choice))),
        }
    }

    fn move_to_frame(&mut self, frame: i64) -> Vec<Effect> {
        let Some(session) = &self.session else { return Vec::new() };
        let last = session.n_frames(self.choice.utterance).saturating_sub(1);
        self.position_sec = frame.clamp(0, last as i64) as f64 * session.frame_sec();
        vec![Effect::Seek]
    }

    fn listen(&mut self, source: Source) -> Vec<Effect> {
        if source != self.source {
            self.previous = self.source;
            self.source = source;
        }
        if source != Source::Truth {
            self.compared = source;
        }
        self.playing = true;
        Vec::new()
    }

    /// Takes in what the worker made; results of another utterance or another start are dropped.
    pub fn receive(&mut self, delivery: Delivery) -> Vec<Effect> {
        match delivery {
            Delivery::Loading(stage) => self.loading = stage,
            Delivery::Ready(session) => {
                self.choice.utterance = first_utterance(&session);
                self.choice.predictor = session.predictors.iter().position(|p| p.info.horizon == 1).unwrap_or(0);
                self.session = Some(session);
                self.begin_utterance();
                return vec![Effect::Compute, Effect::Seek];
            }
            Delivery::Rolled(rolled) => {
                let now = &self.choice;
                let same =
                    rolled.choice.utterance == now.utterance && rolled.choice.t0 == now.t0 && rolled.choice.predictor == now.predictor;
                let newer = self.rolled.as_ref().is_none_or(|shown| shown.generation <= rolled.generation);
                if same && newer {
                    self.rolled = Some(rolled);
                }
            }
            Delivery::Sound(sound) => {
                if sound.utterance == self.choice.utterance {
                    self.sounds.insert(sound.source, sound);
                }
            }
            Delivery::Notice(notice) => self.notice = Some(notice),
        }
        Vec::new()
    }
}

/// The first utterance that no fit has seen, or the first of all.
fn first_utterance(session: &Session) -> usize {
    session.population.first().map_or(0, |s| s.utterance)
}

fn too_short(session: &Session, choice: &Choice) -> String {
    let name = session.corpus.utterances.get(choice.utterance).map_or("?", |u| u.id.as_str());
    let window = session.predictors.get(choice.predictor).map_or(0, |p| p.info.window);
    format!(
        "Utterance {name} has {} frames; a rollout needs {} (window {window} and {} steps).",
        session.n_frames(choice.utterance),
        window + choice.config.n_steps,
        choice.config.n_steps
    )
}
