//! What a delivery of the worker or of a job changes.

use std::sync::Arc;
use std::time::Instant;

use super::{Effect, Notice, State};
use crate::window::command::Command;
use crate::window::jobs::{Job, JobChange, JobEvent, Outcome, Status, Task};
use crate::window::layout::{self, Pane};
use crate::window::memory::{Carried, Memory};
use crate::window::session::Session;
use crate::window::view::{Basis, View};
use crate::window::worker::Delivery;

impl State {
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
            Delivery::Scored(scored) => drop(self.scores.insert(scored.sound.source, scored)),
            Delivery::Job(event) => return self.job(event),
            Delivery::Preview(preview) => {
                if self.figure.as_ref().is_some_and(|draft| *draft == preview.draft) {
                    self.preview = Some(preview);
                }
            }
            Delivery::Opened(carried) => return self.take_up(*carried, "Opened the view that made the figure"),
            Delivery::Asked(command) => return self.apply(command),
            Delivery::Fetched(sounds) => return vec![Effect::Fetched(sounds)],
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
                    job.log.push(event.stage.to_string());
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
                    if task.opens() && !self.opened.contains(&task) {
                        self.opened.push(task.clone());
                    }
                    match &task {
                        Task::Fit(fit) => self.opened.push(Task::AddPredictor { path: fit.out.clone(), store: fit.store }),
                        Task::Encode(draft) => self.opened.push(Task::OpenStore { path: draft.out.clone() }),
                        _ => {}
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
            Outcome::Battery(measured) => {
                self.battery = Some(measured);
                layout::show(&mut self.layout, Pane::Battery);
                return Vec::new();
            }
            Outcome::Test(path, listener) => {
                self.playing = false;
                return vec![Effect::EnterRoom(path, listener)];
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
}
