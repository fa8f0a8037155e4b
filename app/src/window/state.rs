//! All state of the window and the only two ways to change it: a command of the user, a delivery of the worker.
//!
//! Both are plain functions on values, so tests need no window. What cannot be done here (compute, seek, write files) comes back
//! as [`Effect`]s.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use driftscope_core::playback::OutputChoice;
use driftscope_core::rollout::{RolloutConfig, StepAction};
use eframe::egui::util::undoer::{Settings, Undoer};

use super::command::{Ask, Command, ExportFolder};
use super::curves::{CurvePlot, Line, compared};
use super::export::{Draft, Preview};
use super::jobs::{FitDraft, Job, JobChange, JobEvent, Outcome, Status, Task};
use super::layout::{self, Layout};
use super::memory::{Carried, Found, Memory};
use super::session::Session;
use super::source::Source;
use super::theme;
use super::view::{Axes, Basis, Branch, Choice, Comparand, Pull, View};
use super::worker::{Compared, Delivery, Fan, Kept, Rolled, Sound, Wish, comparand_name};

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
            position_sec: 0.0,
            playing: false,
            hovered: None,
            jobs: Vec::new(),
            fit: None,
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
        self.palette.is_some() || self.quitting || self.naming.is_some() || self.figure.is_some() || self.fit.is_some() || self.keys
    }

    /// What the worker is asked for.
    pub fn wish(&self) -> Wish {
        Wish { generation: self.generation, sessions: self.sessions.clone(), view: self.view.clone(), player_rate_hz: self.output.rate_hz }
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

    /// Does what a command asks, except for what comes back.
    pub fn apply(&mut self, command: Command) -> Vec<Effect> {
        const PARTS: [fn(&mut State, Command) -> Result<Vec<Effect>, Command>; 6] =
            [State::go, State::hear, State::look, State::arrange, State::ask, State::keep];
        let mut command = command;
        for part in PARTS {
            match part(self, command) {
                Ok(effects) => return effects,
                Err(other) => command = other,
            }
        }
        self.change_choice(command)
    }

    /// To another place: store, utterance, frame, or an earlier view.
    fn go(&mut self, command: Command) -> Result<Vec<Effect>, Command> {
        match command {
            Command::ChooseStore(store) => Ok(self.choose_store(store)),
            Command::ChooseUtterance(utterance) => Ok(self.choose_utterance(utterance)),
            Command::StepUtterance(by) => {
                let next = self.choice().utterance as i64 + by;
                Ok(usize::try_from(next).map_or_else(|_| Vec::new(), |next| self.choose_utterance(next)))
            }
            Command::SetCursor(frame) => Ok(self.move_to_frame(frame as i64)),
            Command::MoveCursor(frames) => Ok(self.move_to_frame(self.cursor_frame() as i64 + frames)),
            Command::MoveCursorSec(seconds) => {
                let frames = self.session().map_or(0.0, |s| (seconds / s.frame_sec()).round());
                Ok(self.move_to_frame(self.cursor_frame() as i64 + frames as i64))
            }
            Command::SetStep(step) => Ok(self.move_to_frame((self.choice().t0 + step) as i64 - 1)),
            Command::MoveCursorToEnd { last } => Ok(self.move_to_frame(if last { i64::MAX } else { 0 })),
            Command::Undo | Command::Redo => Ok(self.travel(&command)),
            Command::Restore(view) => Ok(self.adopt(*view)),
            other => Err(other),
        }
    }

    /// What is heard, and what repeats.
    fn hear(&mut self, command: Command) -> Result<Vec<Effect>, Command> {
        match command {
            Command::Listen(source) => return Ok(self.listen(source)),
            Command::SwapSource => return Ok(self.listen(self.view.previous)),
            Command::TogglePlay => {
                let absent = if let SoundState::Absent(why) = self.sound(self.view.source) { Some(why.to_owned()) } else { None };
                match absent {
                    Some(why) if !self.playing => self.notice = Some(Notice::Problem(format!("Nothing to play: {why}."))),
                    _ => self.playing = !self.playing,
                }
            }
            Command::ToggleLoop => self.view.looping = !self.view.looping,
            Command::LoopFrom => self.set_loop(Some([self.position_sec, self.loop_sec().1])),
            Command::LoopTo => self.set_loop(Some([self.loop_sec().0, self.position_sec])),
            Command::SetLoop(region) => self.set_loop(region),
            Command::ToggleLoudness => self.view.match_loudness = !self.view.match_loudness,
            Command::ChooseOutput(choice) => return Ok(vec![Effect::Output(choice)]),
            other => return Err(other),
        }
        Ok(Vec::new())
    }

    /// How it is seen; nothing is computed but a fan.
    fn look(&mut self, command: Command) -> Result<Vec<Effect>, Command> {
        match command {
            Command::ToggleLine(line) => {
                if !self.view.hidden.remove(&line) {
                    self.view.hidden.insert(line);
                }
            }
            Command::Hover(hovered) => self.hovered = hovered,
            Command::ViewSteps(steps) => self.view.axes.steps = steps,
            Command::ViewValues(metric, values) => {
                if self.view.axes.pinned.contains(&metric) {
                } else if let Some(values) = values {
                    self.view.axes.values.insert(metric, values);
                } else {
                    self.view.axes.values.remove(&metric);
                }
            }
            Command::PinValues(metric, values) => {
                if self.view.axes.pinned.remove(&metric) {
                    self.view.axes.values.remove(&metric);
                } else {
                    self.view.axes.pinned.insert(metric);
                    self.view.axes.values.insert(metric, values);
                }
            }
            Command::ViewSeconds(seconds) => self.view.seconds = seconds.and_then(|s| self.valid_seconds(s)),
            Command::SetFan(n) => {
                self.view.fan = n;
                return Ok(vec![Effect::Compute]);
            }
            Command::SetColorBy(color_by) => self.view.color_by = color_by,
            Command::TurnTrajectory(by) => {
                let quarter = std::f32::consts::FRAC_PI_2;
                self.view.orbit = [self.view.orbit[0] + by.x, (self.view.orbit[1] + by.y).clamp(-quarter, quarter)];
            }
            Command::Approach(by) => self.view.nearness = (self.view.nearness * by).clamp(theme::NEARNESS[0], theme::NEARNESS[1]),
            Command::ViewPlane(plane) => self.view.plane = plane,
            Command::ResetTrajectory => (self.view.orbit, self.view.nearness) = (theme::FIRST_ORBIT, 1.0),
            Command::ResetView => {
                self.view.axes = Axes::default();
                self.view.seconds = None;
                (self.view.orbit, self.view.nearness, self.view.plane) = (theme::FIRST_ORBIT, 1.0, None);
                self.view.hidden.clear();
            }
            Command::SetTheme(theme) => self.view.theme = theme,
            Command::SetScale(scale) => self.view.scale = scale.clamp(theme::SCALES[0], theme::SCALES[1]),
            Command::SetBrush(action) => self.brush = action,
            other => return Err(other),
        }
        Ok(Vec::new())
    }

    /// Panes, and what lies over the window.
    fn arrange(&mut self, command: Command) -> Result<Vec<Effect>, Command> {
        match command {
            Command::ToggleLibrary => self.view.sides.library = !self.view.sides.library,
            Command::ToggleInspector => self.view.sides.inspector = !self.view.sides.inspector,
            Command::TogglePane(pane) => layout::toggle(&mut self.layout, pane),
            Command::ShowPane(pane) => layout::show(&mut self.layout, pane),
            Command::ResetLayout => self.layout = layout::first(),
            Command::SaveLayout(name) => {
                self.notice = Some(Notice::Done(format!("Kept the arrangement of panes as \"{name}\".")));
                self.layouts.insert(name, self.layout.clone());
                self.naming = None;
            }
            Command::LoadLayout(name) => {
                if let Some(kept) = self.layouts.get(&name) {
                    self.layout = kept.clone();
                }
            }
            Command::DropLayout(name) => drop(self.layouts.remove(&name)),
            Command::NameLayout(name) => self.naming = name,
            Command::TogglePalette => self.palette = self.palette.take().map_or_else(|| Some(Palette::default()), |_| None),
            Command::PaletteQuery(query) => self.palette = Some(Palette { query, row: 0 }),
            Command::PaletteRow(row) => self.palette.iter_mut().for_each(|p| p.row = row),
            Command::ToggleKeys => self.keys = !self.keys,
            Command::DismissNotice => self.notice = None,
            other => return Err(other),
        }
        Ok(Vec::new())
    }

    /// Figures, files, jobs, the end.
    fn ask(&mut self, command: Command) -> Result<Vec<Effect>, Command> {
        match command {
            Command::DraftFigure(of) => {
                self.figure = Some(Draft::new(of, self));
                return Ok(vec![Effect::Preview]);
            }
            Command::EditFigure(edit) => {
                let Some(draft) = &mut self.figure else { return Ok(Vec::new()) };
                draft.edit(edit);
                return Ok(vec![Effect::Preview]);
            }
            Command::CloseFigure => (self.figure, self.preview) = (None, None),
            Command::Export(folder) => return Ok(vec![Effect::Export(folder)]),
            Command::Open(path) => return Ok(vec![Effect::Open(path)]),
            Command::AskOpen(ask) => return Ok(vec![Effect::AskOpen(ask)]),
            Command::Start(task) => return Ok(self.start(task)),
            Command::StopJob(id) => return Ok(vec![Effect::Stop(id)]),
            Command::ResumeJob(id) => {
                let Some(place) = self.jobs.iter().position(|j| j.id == id && j.status != Status::Running) else { return Ok(Vec::new()) };
                let job = self.jobs.remove(place);
                return Ok(self.start(job.task));
            }
            Command::DraftFit(fit) => self.fit = fit,
            Command::Quit if self.n_running() > 0 => self.quitting = true,
            Command::Quit | Command::QuitNow => return Ok(vec![Effect::Close]),
            Command::KeepOpen => self.quitting = false,
            other => return Err(other),
        }
        Ok(Vec::new())
    }

    /// Branches and comparisons.
    fn keep(&mut self, command: Command) -> Result<Vec<Effect>, Command> {
        match command {
            Command::Branch { from, pull } => Ok(self.branch(from, pull)),
            Command::RenameBranch(id, name) => {
                self.view.branches.iter_mut().filter(|b| b.id == id).for_each(|b| b.name.clone_from(&name));
                Ok(vec![Effect::Compute])
            }
            Command::AdoptBranch(id) => {
                let Some(choice) = self.view.branch(id).map(|b| b.choice.clone()) else { return Ok(Vec::new()) };
                let view = View { choice, ..self.view.clone() };
                Ok(self.adopt(view))
            }
            Command::DropBranch(id) => {
                self.view.branches.retain(|b| b.id != id);
                if self.view.source == Source::Branch(id) {
                    self.view.source = Source::Rollout;
                }
                Ok(vec![Effect::Compute])
            }
            Command::ToggleComparand(comparand) => {
                if !self.view.comparands.remove(&comparand) {
                    // A comparison begins with the predictor that is shown.
                    if self.view.comparands.is_empty() {
                        let Choice { store, predictor, .. } = self.view.choice;
                        self.view.comparands.insert(Comparand { store, predictor });
                    }
                    self.view.comparands.insert(comparand);
                }
                self.compare();
                Ok(vec![Effect::Compute])
            }
            other => Err(other),
        }
    }

    /// Commands that change what is computed; a command that changes nothing computes nothing.
    fn change_choice(&mut self, command: Command) -> Vec<Effect> {
        let before = self.view.choice.clone();
        let cursor = self.cursor_step();
        let choice = &mut self.view.choice;
        let config = &mut choice.config;
        match command {
            Command::ChoosePredictor(predictor) => choice.predictor = predictor,
            Command::SetStart(t0) => choice.t0 = t0,
            Command::MoveStart(by) => choice.t0 = choice.t0.saturating_add_signed(by as isize),
            Command::SetSteps(n_steps) => config.n_steps = n_steps,
            Command::SetAlpha(alpha) => config.alpha = alpha,
            Command::MoveAlpha(by) => config.alpha = ((config.alpha + by).clamp(0.0, 2.0) * 100.0).round() / 100.0,
            Command::SetRule(rule) => config.rule = rule,
            Command::SetReanchor(every) => config.reanchor_every = every.filter(|n| *n > 0),
            Command::SetNoise(sigma) => config.noise_sigma = sigma,
            Command::SetTemperature(temperature) => config.temperature = temperature,
            Command::SetAngle(degrees) => choice.angle_degrees = degrees,
            Command::Paint { step, action } if (1..=config.n_steps).contains(&step) => choice.paint(step, action),
            Command::ToggleTruth => {
                if let Some(step) = cursor {
                    let is_true = choice.action(step) == StepAction::Truth;
                    choice.paint(step, if is_true { StepAction::Own } else { StepAction::Truth });
                }
            }
            Command::PaintAll(actions) => {
                choice.painted.clear();
                (1..=config.n_steps).zip(actions).for_each(|(step, action)| choice.paint(step, action));
            }
            Command::SetAccumulation(accumulation) => choice.accumulation = accumulation,
            Command::ResetRollout => {
                choice.config = RolloutConfig::default();
                choice.painted.clear();
            }
            _ => {}
        }
        self.clamp_start();
        self.chosen(&before)
    }

    /// After the choice may have changed.
    fn chosen(&mut self, before: &Choice) -> Vec<Effect> {
        if self.view.choice == *before {
            return Vec::new();
        }
        self.generation += u64::from(!self.view.choice.rolls_like(before));
        if self.view.choice.store != before.store || self.view.choice.utterance != before.utterance {
            self.forget();
            return vec![Effect::Compute, Effect::Seek];
        }
        vec![Effect::Compute]
    }

    /// Nothing of the utterance before may stay on screen.
    fn forget(&mut self) {
        self.rolled = None;
        self.fan = None;
        self.compared.clear();
        self.comparison.clear();
        self.sounds.clear();
        self.hovered = None;
    }

    fn choose_store(&mut self, store: usize) -> Vec<Effect> {
        if store >= self.sessions.len() || store == self.choice().store {
            return Vec::new();
        }
        // The item is held: the same utterance at the same time, where the other store has it.
        let comparand = Comparand { store, predictor: self.sessions[store].first_predictor() };
        let held = super::worker::beside(&self.sessions, self.choice(), comparand);
        let before = self.view.choice.clone();
        if let Some(choice) = held {
            self.view.choice = choice;
            self.view.seconds = None;
            return self.chosen(&before);
        }
        self.view.choice =
            Choice { store, utterance: self.sessions[store].first_utterance(), predictor: comparand.predictor, ..Choice::default() };
        self.begin_utterance();
        self.chosen(&before)
    }

    fn choose_utterance(&mut self, utterance: usize) -> Vec<Effect> {
        let known = self.session().is_some_and(|s| utterance < s.corpus.utterances.len());
        if !known || utterance == self.choice().utterance {
            return Vec::new();
        }
        let before = self.view.choice.clone();
        self.view.choice.utterance = utterance;
        self.view.choice.painted.clear();
        self.begin_utterance();
        self.chosen(&before)
    }

    /// Starts in the middle, where there is speech on both sides.
    fn begin_utterance(&mut self) {
        self.view.choice.t0 = self.session().map_or(0, |s| s.n_frames(self.choice().utterance) / 2);
        self.view.loop_sec = None;
        self.view.seconds = None;
        self.clamp_start();
        self.position_sec = self.session().map_or(0.0, |s| self.choice().t0 as f64 * s.frame_sec());
    }

    fn clamp_start(&mut self) {
        let Some(session) = self.session().cloned() else { return };
        let choice = &mut self.view.choice;
        let window = session.predictors.get(choice.predictor).map_or(0, |p| p.info.window);
        let room = session.n_frames(choice.utterance).saturating_sub(window + 1);
        choice.config.n_steps = choice.config.n_steps.clamp(1, session.most_steps.min(room).max(1));
        match session.start_range(choice.utterance, choice.predictor, choice.config.n_steps) {
            Some((first, last)) => choice.t0 = choice.t0.clamp(first, last),
            None => self.notice = Some(Notice::Problem(too_short(&session, &self.view.choice))),
        }
    }

    fn move_to_frame(&mut self, frame: i64) -> Vec<Effect> {
        let Some(session) = self.session() else { return Vec::new() };
        let last = session.n_frames(self.choice().utterance).saturating_sub(1);
        self.position_sec = frame.clamp(0, last as i64) as f64 * session.frame_sec();
        vec![Effect::Seek]
    }

    /// A region between two frames, the earlier first; one that is no region leaves the loop as it is.
    fn set_loop(&mut self, region: Option<[f64; 2]>) {
        let Some(session) = self.session() else { return };
        let snapped = |sec: f64| (sec / session.frame_sec()).round() * session.frame_sec();
        let limit = self.duration_sec();
        match region.map(|[a, b]| [snapped(a.min(b)).max(0.0), snapped(a.max(b)).min(limit)]) {
            None => self.view.loop_sec = None,
            Some([from, to]) if to - from >= session.frame_sec() * 0.5 => self.view.loop_sec = Some([from, to]),
            Some(_) => {}
        }
    }

    fn valid_seconds(&self, [from, to]: [f64; 2]) -> Option<[f64; 2]> {
        let (whole, least) = (self.duration_sec(), theme::LEAST_SECONDS.min(self.duration_sec()));
        let width = (to - from).clamp(least, whole);
        let from = from.clamp(0.0, whole - width);
        (width < whole * 0.999).then_some([from, from + width])
    }

    fn listen(&mut self, source: Source) -> Vec<Effect> {
        if source != self.view.source {
            self.view.previous = self.view.source;
            self.view.source = source;
        }
        if source != Source::Truth {
            self.view.compared = source;
        }
        self.playing = true;
        // The worker makes what is listened to first.
        if matches!(self.sound(source), SoundState::Computing) { vec![Effect::Compute] } else { Vec::new() }
    }

    fn branch(&mut self, from: Option<u32>, pull: Option<Pull>) -> Vec<Effect> {
        let base = from.and_then(|id| self.view.branch(id)).map(|b| (b.choice.clone(), b.pulls.clone()));
        let (choice, mut pulls) = base.unwrap_or_else(|| (self.choice().clone(), Vec::new()));
        if let Some(pull) = pull {
            // What follows a pull was rolled from it; earlier pulls stay, and one at the same step adds up.
            pulls.retain(|p| p.step <= pull.step);
            match pulls.iter_mut().find(|p| p.step == pull.step) {
                Some(same) => same.by.iter_mut().zip(&pull.by).for_each(|(a, b)| *a += b),
                None => pulls.push(pull),
            }
        }
        let id = self.view.next_branch;
        self.view.next_branch += 1;
        let name = match pulls.last() {
            Some(pull) => format!("Branch {id} from {}", pull.step),
            None => format!("Branch {id}"),
        };
        self.view.branches.push(Branch { id, name, choice, pulls });
        self.listen_next(Source::Branch(id));
        vec![Effect::Compute]
    }

    /// Chooses a source without starting to play.
    fn listen_next(&mut self, source: Source) {
        self.view.previous = self.view.source;
        (self.view.source, self.view.compared) = (source, source);
    }

    fn travel(&mut self, direction: &Command) -> Vec<Effect> {
        let there = match direction {
            Command::Undo => self.history.undo(&self.view),
            _ => self.history.redo(&self.view),
        };
        match there.cloned() {
            Some(view) => self.adopt(view),
            None => Vec::new(),
        }
    }

    /// Takes over a view as a whole.
    fn adopt(&mut self, view: View) -> Vec<Effect> {
        let before = std::mem::replace(&mut self.view, view);
        if self.view.choice.store >= self.sessions.len() {
            self.view.choice = before.choice.clone();
        }
        self.clamp_start();
        self.compare();
        let mut effects = self.chosen(&before.choice);
        if effects.is_empty() {
            effects.push(Effect::Compute);
        }
        effects
    }

    fn start(&mut self, task: Task) -> Vec<Effect> {
        let id = self.next_job;
        self.next_job += 1;
        self.fit = None;
        self.jobs.push(Job::new(id, task.clone()));
        vec![Effect::Start(id, task)]
    }

    /// Puts the compared predictors on common axes, as far as they are there.
    fn compare(&mut self) {
        self.compared.retain(|comparand, _| self.view.comparands.contains(comparand));
        let shown: Vec<_> = self.compared.values().map(|c| (c.comparand, c.name.clone(), &c.report)).collect();
        self.comparison = compared(&shown);
    }

    /// Takes in what the worker made; results of another utterance or another start are dropped.
    pub fn receive(&mut self, delivery: Delivery) -> Vec<Effect> {
        match delivery {
            Delivery::Loading(stage) => self.loading = stage,
            Delivery::Ready(session) => return self.begin(session),
            Delivery::Rolled(rolled) => {
                let same_place = self.is_here(&rolled.choice)
                    && rolled.choice.t0 == self.choice().t0
                    && rolled.choice.predictor == self.choice().predictor
                    && rolled.choice.config.n_steps == self.choice().config.n_steps;
                let newer = self.rolled.as_ref().is_none_or(|shown| shown.generation <= rolled.generation);
                if same_place && newer {
                    self.rolled = Some(rolled);
                    if self.figure.is_some() {
                        return vec![Effect::Preview];
                    }
                }
            }
            Delivery::Kept(kept) => {
                if self.view.branch(kept.branch.id).is_some_and(|b| *b == kept.branch) {
                    self.kept.insert(kept.branch.id, kept);
                }
            }
            Delivery::Fan(fan) => self.fan = Some(fan),
            Delivery::Compared(compared) => {
                if self.view.comparands.contains(&compared.comparand) {
                    self.compared.insert(compared.comparand, compared);
                    self.compare();
                }
            }
            Delivery::Sound(sound) => {
                let shown = self.rolled.as_ref().map_or(self.choice(), |r| &r.choice);
                if Basis::of(sound.source, &self.view, shown).is_some_and(|basis| basis == sound.basis) {
                    self.sounds.insert(sound.source, sound);
                }
            }
            Delivery::Job(event) => return self.job(event),
            Delivery::Preview(preview) => {
                if self.figure.as_ref().is_some_and(|draft| *draft == preview.draft) {
                    self.preview = Some(preview);
                }
            }
            Delivery::Opened(carried) => return self.take_up(*carried, "Opened the view that made the figure"),
            Delivery::Asked(command) => return self.apply(command),
            Delivery::Notice(notice) => self.notice = Some(notice),
        }
        Vec::new()
    }

    /// The project is there: what an earlier session left is taken up, or a first start begins.
    fn begin(&mut self, session: Arc<Session>) -> Vec<Effect> {
        self.view.choice.utterance = session.first_utterance();
        self.view.choice.predictor = session.first_predictor();
        self.sessions = vec![session];
        self.begin_utterance();
        self.generation += 1;
        let mut effects = vec![Effect::Compute, Effect::Seek];
        let Some(memory) = self.memory.take() else { return effects };
        let Memory { carried, layout, layouts, opened, unfinished, output, .. } = *memory;
        self.layouts = layouts;
        self.layout = layout.unwrap_or_else(layout::first);
        for task in opened {
            effects.extend(self.start(task));
        }
        for task in unfinished {
            self.jobs.push(Job::left(self.next_job, task));
            self.next_job += 1;
        }
        if output != self.output.choice {
            effects.push(Effect::Output(output));
        }
        let more_to_come = self.n_running() > 0;
        let (view, missing) = carried.placed(&self.sessions);
        let position_sec = carried.position_sec;
        if more_to_come {
            self.adopt(view);
            self.pending = Some((carried, self.view.clone()));
        } else {
            self.adopt(view);
            self.say_missing("Went on from the last session", &missing);
        }
        self.position_sec = position_sec.clamp(0.0, self.duration_sec());
        effects
    }

    fn take_up(&mut self, carried: Carried, done: &str) -> Vec<Effect> {
        let (view, missing) = carried.placed(&self.sessions);
        let (theme, scale) = (self.view.theme, self.view.scale);
        let effects = self.adopt(View { theme, scale, ..view });
        self.position_sec = carried.position_sec.clamp(0.0, self.duration_sec());
        self.notice = Some(Notice::Done(format!("{done}.")));
        self.say_missing(done, &missing);
        effects
    }

    fn say_missing(&mut self, done: &str, missing: &[String]) {
        if !missing.is_empty() {
            self.notice = Some(Notice::Problem(format!("{done}, but {}.", missing.join("; "))));
        }
    }

    fn job(&mut self, JobEvent { id, change }: JobEvent) -> Vec<Effect> {
        let Some(job) = self.jobs.iter_mut().find(|j| j.id == id) else { return Vec::new() };
        match change {
            JobChange::Progress(event) => {
                if job.progress.as_ref().is_none_or(|p| p.stage != event.stage) {
                    job.log.push(event.stage.clone());
                    job.first = None;
                }
                if job.first.is_none() {
                    job.first = Some((Instant::now(), event.done));
                }
                job.progress = Some(event);
                Vec::new()
            }
            JobChange::Ended(status, sentence, outcome) => {
                job.log.push(sentence.clone());
                job.status = status.clone();
                let task = job.task.clone();
                self.notice = Some(if status == Status::Failed { Notice::Problem(sentence) } else { Notice::Done(sentence) });
                let mut effects = Vec::new();
                if let Some(outcome) = outcome {
                    if !task.resumes() && !self.opened.contains(&task) {
                        self.opened.push(task.clone());
                    }
                    if let Task::Fit(fit) = &task {
                        self.opened.push(Task::AddPredictor { path: fit.out.clone(), store: fit.store });
                    }
                    effects = self.gain(outcome);
                }
                effects.extend(self.place_again());
                effects
            }
        }
    }

    /// Something new is there: it is shown, unless it comes back from an earlier session.
    fn gain(&mut self, outcome: Outcome) -> Vec<Effect> {
        let restoring = self.pending.is_some();
        match outcome {
            Outcome::Session(session) => {
                self.sessions.push(session);
                if !restoring {
                    return self.choose_store(self.sessions.len() - 1);
                }
            }
            Outcome::Predictor(store, predictor, ground) => {
                let Some(session) = self.sessions.get_mut(store) else { return Vec::new() };
                let rolls = predictor.info.horizon == 1;
                *session = Arc::new(session.with_predictor(*predictor, ground));
                let newest = session.predictors.len() - 1;
                if !restoring && store == self.choice().store && rolls {
                    return self.change_choice(Command::ChoosePredictor(newest));
                }
            }
            Outcome::Utterance(store, utterance, clip) => {
                let Some(session) = self.sessions.get_mut(store) else { return Vec::new() };
                *session = Arc::new(session.with_utterance(utterance, clip));
                let newest = session.corpus.utterances.len() - 1;
                if !restoring && store == self.choice().store {
                    return self.choose_utterance(newest);
                }
            }
        }
        vec![Effect::Compute]
    }

    /// All files of the last session are open again: its view is placed in full, unless the user has gone on meanwhile.
    fn place_again(&mut self) -> Vec<Effect> {
        if self.n_running() > 0 {
            return Vec::new();
        }
        match self.pending.take() {
            Some((carried, meanwhile)) if meanwhile == self.view => {
                self.notice = None;
                let effects = self.take_up(carried, "Went on from the last session");
                if matches!(self.notice, Some(Notice::Done(_))) {
                    self.notice = None;
                }
                effects
            }
            _ => Vec::new(),
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
