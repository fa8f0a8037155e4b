//! What a command of the user does.

use driftscope_core::rollout::{RolloutConfig, StepAction};

use super::{Effect, Notice, Palette, SoundState, State};
use crate::window::command::Command;
use crate::window::curves::compared;
use crate::window::export::Draft;
use crate::window::jobs::{Job, Status, Task};
use crate::window::layout;
use crate::window::session::Session;
use crate::window::source::Source;
use crate::window::theme;
use crate::window::view::{Axes, Branch, Choice, Comparand, Pull, View};
use crate::window::worker::beside;

impl State {
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
            Command::DraftEncode(draft) => self.encode = draft,
            Command::DraftBlind(draft) => self.blind = draft,
            Command::Visit(visit) => self.visit = visit,
            Command::EnterRoom(path, listener) => {
                (self.visit, self.playing) = (None, false);
                return Ok(vec![Effect::EnterRoom(path, listener)]);
            }
            Command::Room(command) => return Ok(vec![Effect::Room(command)]),
            Command::EncodeWith(weights) => self.encode.iter_mut().for_each(|draft| draft.weights = Some(weights.clone())),
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
    pub(super) fn change_choice(&mut self, command: Command) -> Vec<Effect> {
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
    pub(super) fn forget(&mut self) {
        self.rolled = None;
        self.fan = None;
        self.compared.clear();
        self.comparison.clear();
        self.sounds.clear();
        self.scores.clear();
        self.hovered = None;
    }

    pub(super) fn choose_store(&mut self, store: usize) -> Vec<Effect> {
        if store >= self.sessions.len() || store == self.choice().store {
            return Vec::new();
        }
        // The item is held: the same utterance at the same time, where the other store has it.
        let comparand = Comparand { store, predictor: self.sessions[store].first_predictor() };
        let held = beside(&self.sessions, self.choice(), comparand);
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

    pub(super) fn choose_utterance(&mut self, utterance: usize) -> Vec<Effect> {
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
    pub(super) fn begin_utterance(&mut self) {
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
    pub(super) fn adopt(&mut self, view: View) -> Vec<Effect> {
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

    pub(super) fn start(&mut self, task: Task) -> Vec<Effect> {
        let id = self.next_job;
        self.next_job += 1;
        (self.fit, self.encode) = (None, None);
        self.jobs.push(Job::new(id, task.clone()));
        vec![Effect::Start(id, task)]
    }

    /// Puts the compared predictors on common axes, as far as they are there.
    pub(super) fn compare(&mut self) {
        self.compared.retain(|comparand, _| self.view.comparands.contains(comparand));
        let shown: Vec<_> = self.compared.values().map(|c| (c.comparand, c.name.clone(), &c.report)).collect();
        self.comparison = compared(&shown);
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
