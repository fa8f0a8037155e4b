//! All state of the window and the only two ways to change it: [`apply`](State::apply) a command of the user, [`receive`](State::receive)
//! a delivery of the worker.
//!
//! Both are plain functions on values, so tests need no window. What cannot be done here (compute, seek, write files) comes back
//! as [`Effect`]s.

mod apply;
mod receive;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use driftscope_core::playback::OutputChoice;
use driftscope_core::rollout::StepAction;
use eframe::egui::util::undoer::{Settings, Undoer};

use super::blind::BlindDraft;
use super::command::{Ask, ExportFolder};
use super::curves::{CurvePlot, Line};
use super::export::{Draft, Preview};
use super::jobs::{EncodeDraft, FitDraft, Job, Measured, Status, Task};
use super::layout::{self, Layout};
use super::memory::{Carried, Found, Memory};
use super::room::{Room, RoomCommand};
use super::session::Session;
use super::source::Source;
use super::theme;
use super::view::{Basis, Choice, Comparand, View};
use super::worker::{Compared, Fan, Kept, Rolled, Scored, Sound, Wish, comparand_name};
use crate::listening::Fetched;

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
    /// What is wished for changed: compute anew.
    Compute,
    /// The position was moved by the user.
    Seek,
    /// Write the figure.
    Export(ExportFolder),
    /// Show the figure in preparation.
    Preview,
    /// Find out what a file is and open it.
    Open(PathBuf),
    /// Ask for a file with the system's dialog.
    AskOpen(Ask),
    /// Start a job's thread.
    Start(u64, Task),
    /// Ask a job to stop.
    Stop(u64),
    /// Sound goes elsewhere.
    Output(OutputChoice),
    /// Open a listening test for a listener.
    EnterRoom(PathBuf, String),
    /// Something in the listening room.
    Room(RoomCommand),
    /// Its sounds are there.
    Fetched(Box<Fetched>),
    /// Close the window.
    Close,
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

/// What the player says of itself.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OutputState {
    /// The output, or one sentence when nothing will be heard.
    pub name: String,
    /// Underruns so far.
    pub glitches: u64,
    /// Seconds between rendering and hearing.
    pub latency_sec: f64,
    /// What was chosen.
    pub choice: OutputChoice,
    /// Its samples per second.
    pub rate_hz: u32,
    /// Gain of the source that is heard, dB.
    pub gain_db: f64,
}

/// The palette as it is typed in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Palette {
    /// What is looked for.
    pub query: String,
    /// Row that Enter takes.
    pub row: usize,
}

/// Everything the panels read.
pub struct State {
    /// Open stores, the first one first; none while it loads.
    pub sessions: Vec<Arc<Session>>,
    /// What is being loaded, for the empty window.
    pub loading: String,
    /// What the user decided.
    pub view: View,
    /// How the panes are arranged.
    pub layout: Layout,
    /// Arrangements kept under a name.
    pub layouts: BTreeMap<String, Layout>,
    /// Counts the changes of what rollouts are computed from; results carry the number they belong to.
    pub generation: u64,
    /// Newest rollout and curves.
    pub rolled: Option<Arc<Rolled>>,
    /// Kept rollouts.
    pub kept: BTreeMap<u32, Arc<Kept>>,
    /// Sampled rollouts.
    pub fan: Option<Arc<Fan>>,
    /// Compared predictors.
    pub compared: BTreeMap<Comparand, Arc<Compared>>,
    /// Their curves on common axes.
    pub comparison: Vec<CurvePlot>,
    /// Newest sound of each source.
    pub sounds: BTreeMap<Source, Arc<Sound>>,
    /// What they measure.
    pub scores: BTreeMap<Source, Arc<Scored>>,
    /// The one cursor, seconds from the utterance's start.
    pub position_sec: f64,
    /// Sound is running.
    pub playing: bool,
    /// The curve and step under the pointer.
    pub hovered: Option<(Line, usize)>,
    /// Work under way, newest last.
    pub jobs: Vec<Job>,
    /// The fit in preparation.
    pub fit: Option<FitDraft>,
    /// The encoding in preparation.
    pub encode: Option<EncodeDraft>,
    /// The listening test in preparation.
    pub blind: Option<Box<BlindDraft>>,
    /// The listening test that waits for a listener's name.
    pub visit: Option<(PathBuf, String)>,
    /// The listening room, while someone is in it: then nothing else is shown.
    pub room: Option<Room>,
    /// What the battery measured.
    pub battery: Option<Arc<Measured>>,
    /// The palette, where it is open.
    pub palette: Option<Palette>,
    /// The figure in preparation.
    pub figure: Option<Draft>,
    /// The newest picture of it.
    pub preview: Option<Arc<Preview>>,
    /// The name of a layout in the making.
    pub naming: Option<String>,
    /// The list of keys is open.
    pub keys: bool,
    /// The user wants to close while jobs run.
    pub quitting: bool,
    /// The newest sentence for the user.
    pub notice: Option<Notice>,
    /// Where sound goes.
    pub output: OutputState,
    /// Projects opened lately, newest first.
    pub recent: Vec<PathBuf>,
    /// Files opened besides the project, in order.
    pub opened: Vec<Task>,
    /// What an earlier session left and this one has not taken up yet.
    memory: Option<Box<Memory>>,
    /// A view to be placed again when the files it speaks of are open, and what was made of it meanwhile.
    pending: Option<(Carried, View)>,
    history: Undoer<View>,
    next_job: u64,
    /// What the pointer paints steps with.
    pub brush: StepAction,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("view", &self.view).field("generation", &self.generation).finish_non_exhaustive()
    }
}

impl Default for State {
    fn default() -> Self {
        Self {
            sessions: Vec::new(),
            loading: "Loading".into(),
            view: View::default(),
            layout: layout::first(),
            layouts: BTreeMap::new(),
            generation: 0,
            rolled: None,
            kept: BTreeMap::new(),
            fan: None,
            compared: BTreeMap::new(),
            comparison: Vec::new(),
            sounds: BTreeMap::new(),
            scores: BTreeMap::new(),
            position_sec: 0.0,
            playing: false,
            hovered: None,
            jobs: Vec::new(),
            fit: None,
            encode: None,
            blind: None,
            battery: None,
            visit: None,
            room: None,
            palette: None,
            figure: None,
            preview: None,
            naming: None,
            keys: false,
            quitting: false,
            notice: None,
            output: OutputState::default(),
            recent: Vec::new(),
            opened: Vec::new(),
            memory: None,
            pending: None,
            history: Undoer::with_settings(Settings { max_undos: 200, stable_time: theme::UNDO_SETTLES_SEC, ..Settings::default() }),
            next_job: 1,
            brush: StepAction::Truth,
        }
    }
}

impl State {
    /// The store on screen.
    pub fn session(&self) -> Option<&Arc<Session>> {
        self.sessions.get(self.view.choice.store)
    }

    /// The live rollout's settings.
    pub fn choice(&self) -> &Choice {
        &self.view.choice
    }

    /// Something lies over the window, and the keys are its own.
    pub fn is_covered(&self) -> bool {
        self.palette.is_some()
            || self.quitting
            || self.naming.is_some()
            || self.figure.is_some()
            || self.fit.is_some()
            || self.encode.is_some()
            || self.blind.is_some()
            || self.visit.is_some()
            || self.room.is_some()
            || self.keys
    }

    /// What the worker is asked for.
    pub fn wish(&self) -> Wish {
        Wish {
            generation: self.generation,
            sessions: self.sessions.clone(),
            view: self.view.clone(),
            player_rate_hz: self.output.rate_hz,
            position_sec: self.position_sec,
        }
    }

    /// Length of the chosen utterance.
    pub fn duration_sec(&self) -> f64 {
        self.session().map_or(0.0, |s| s.n_frames(self.choice().utterance) as f64 * s.frame_sec())
    }

    /// Frame under the cursor.
    pub fn cursor_frame(&self) -> usize {
        let Some(session) = self.session() else { return 0 };
        let last = session.n_frames(self.choice().utterance).saturating_sub(1);
        // Half a sample of tolerance: a position set to a frame's start must not round to the frame before.
        ((self.position_sec / session.frame_sec() + 1e-6) as usize).min(last)
    }

    /// Step of the rollout under the cursor, 1-based; `None` outside of it.
    pub fn cursor_step(&self) -> Option<usize> {
        let step = (self.cursor_frame() + 1).checked_sub(self.choice().t0)?;
        (1..=self.choice().config.n_steps).contains(&step).then_some(step)
    }

    /// The stretch that repeats, in seconds: the user's, or the rollout's from its window's first frame to its last step.
    pub fn loop_sec(&self) -> (f64, f64) {
        let Some(session) = self.session() else { return (0.0, 0.0) };
        if let Some([from, to]) = self.view.loop_sec {
            return (from, to);
        }
        let choice = self.choice();
        let window = session.predictors.get(choice.predictor).map_or(0, |p| p.info.window);
        let first = choice.t0.saturating_sub(window);
        let last = choice.t0 + choice.config.n_steps;
        (first as f64 * session.frame_sec(), last as f64 * session.frame_sec())
    }

    /// Seconds in view on the timeline.
    pub fn seconds_in_view(&self) -> [f64; 2] {
        self.view.seconds.unwrap_or([0.0, self.duration_sec()])
    }

    /// The curves on screen belong to the settings on screen.
    pub fn is_current(&self) -> bool {
        self.rolled.as_ref().is_some_and(|r| r.generation == self.generation)
    }

    /// Jobs that run.
    pub fn n_running(&self) -> usize {
        self.jobs.iter().filter(|j| j.status == Status::Running).count()
    }

    /// Name of a source on buttons.
    pub fn source_name(&self, source: Source) -> String {
        match source {
            Source::Branch(id) => self.view.branch(id).map_or_else(|| source.name(), |b| b.name.clone()),
            Source::Comparand(comparand) => comparand_name(&self.sessions, comparand),
            Source::OffAngle => format!("Off {:.0}°", self.choice().angle_degrees),
            _ => source.name(),
        }
    }

    /// The sound of a source, if it belongs to the curves on screen.
    pub fn sound(&self, source: Source) -> SoundState<'_> {
        let Some(session) = self.session() else { return SoundState::Computing };
        if source == Source::Original && session.clips.is_empty() {
            return SoundState::Absent("this store has no recordings beside it");
        }
        if source != Source::Original && session.codec.is_none() {
            return SoundState::Absent(&session.unheard);
        }
        match source {
            Source::Branch(id) if self.view.branch(id).is_none_or(|b| !self.is_here(&b.choice)) => {
                return SoundState::Absent("this branch is of another utterance");
            }
            Source::Comparand(c) if c.store != self.choice().store => {
                return SoundState::Absent("this predictor works on another store; open that store to hear it");
            }
            Source::Splice(steps) if usize::from(steps) > self.choice().config.n_steps => {
                return SoundState::Absent("the rollout is shorter than that");
            }
            _ => {}
        }
        let shown = self.rolled.as_ref().map_or(self.choice(), |r| &r.choice);
        match self.sounds.get(&source) {
            Some(sound) if Basis::of(source, &self.view, shown).is_some_and(|basis| basis == sound.basis) => SoundState::Ready(sound),
            _ => SoundState::Computing,
        }
    }

    /// What the sound of a source measures, if it is the one that is heard.
    pub fn scored(&self, source: Source) -> Option<&Scored> {
        let SoundState::Ready(sound) = self.sound(source) else { return None };
        self.scores.get(&source).map(AsRef::as_ref).filter(|scored| Arc::ptr_eq(&scored.sound, sound))
    }

    /// A branch that is shown with the utterance on screen.
    pub fn is_here(&self, choice: &Choice) -> bool {
        choice.store == self.choice().store && choice.utterance == self.choice().utterance
    }

    /// Lets undo see the view; called once a frame with the time in seconds.
    pub fn remember(&mut self, now_sec: f64) {
        if !self.sessions.is_empty() {
            self.history.feed_state(now_sec, &self.view);
        }
    }

    /// Whether there is something to undo, and to redo.
    pub fn can_undo(&self) -> [bool; 2] {
        [self.history.has_undo(&self.view), self.history.has_redo(&self.view)]
    }

    /// What is to outlive the window.
    pub fn memory(&self) -> Option<Memory> {
        let session = self.session()?;
        let unfinished = self.jobs.iter().filter(|j| j.task.resumes() && matches!(j.status, Status::Running | Status::Stopped));
        Some(Memory {
            carried: Carried::of(&self.view, session, self.position_sec),
            layout: Some(self.layout.clone()),
            layouts: self.layouts.clone(),
            opened: self.opened.clone(),
            unfinished: unfinished.map(|j| j.task.clone()).collect(),
            output: self.output.choice.clone(),
            ..Memory::default()
        })
    }

    /// What an earlier session left: taken up when the project is there.
    pub fn recall(&mut self, found: Found) {
        match found {
            Found::Nothing => {}
            Found::Memory(memory) => self.memory = Some(memory),
            Found::Unusable(sentence) => self.notice = Some(Notice::Problem(sentence)),
        }
    }

    /// Fixed reference lines and modes, then what was kept: all that a legend lists.
    pub fn legend(&self) -> Vec<(Line, String)> {
        let fixed = Line::LEGEND.into_iter().map(|line| (line, line.name().to_owned()));
        let here = self.view.branches.iter().filter(|b| self.is_here(&b.choice));
        fixed.chain(here.map(|b| (Line::Branch(b.id), b.name.clone()))).collect()
    }

    /// The hidden lines.
    pub fn hidden(&self) -> &BTreeSet<Line> {
        &self.view.hidden
    }
}
