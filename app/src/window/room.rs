//! The listening room: one listener's session of a listening test, heard through the window's player.
//!
//! Core's [`Session`] knows which trial is due and keeps the log; here its stimuli are fetched, put into the player and counted as heard.
//! Panels see a [`Room`]: nothing in it tells which sound is which.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use driftscope_core::battery::{self, BatteryConfig, Rendition};
use driftscope_core::job::JobCtx;
use driftscope_core::listen::{Answer, Question, Session, Test, Trial, Writing};
use driftscope_core::playback::Player;
use driftscope_core::run::Timestamp;

use super::session as window_session;
use crate::listening::{Fetched, Fetcher, PROGRAM, Render, Wanted, rendition_of};
use crate::open;

/// What a listener can do.
#[derive(Clone, Debug, PartialEq)]
pub enum RoomCommand {
    /// Begin, or go on after a pause or after a training answer was shown.
    GoOn,
    /// Hear a slot.
    Play(usize),
    /// Hear on, or be silent.
    Toggle,
    /// This slot is the answer, though it is not given yet.
    Choose(usize),
    /// No preference.
    Neither,
    /// Rate a slot.
    Rate(usize, f64),
    /// Give the answer.
    Answer,
    /// Write the results beside the test: JSON, CSV, text and figure.
    Write,
    /// Leave the room; the session can be gone on with.
    Leave,
}

/// What the panel shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Room {
    /// The test's title.
    pub title: String,
    /// Who listens.
    pub listener: String,
    /// Where the session is.
    pub stage: Stage,
    /// One sentence: why a trial comes again, why a sound cannot be heard.
    pub notice: Option<String>,
    /// Why nothing is heard, where the sound goes nowhere.
    pub silent: Option<String>,
    /// Scored answers, and how many there will be at most.
    pub progress: (u32, u32),
}

/// Where a session is.
#[derive(Clone, Debug, PartialEq)]
pub enum Stage {
    /// Before the first trial: what will be asked, and a sound to set the level by.
    Before {
        /// In a few sentences.
        instructions: Vec<String>,
        /// The sound can be heard.
        ready: bool,
        /// It is.
        sounding: bool,
    },
    /// A trial.
    Trial(Due),
    /// What a training trial was about.
    Shown(String),
    /// A pause is offered.
    Pause,
    /// Nothing is left.
    After {
        /// What came out, in lines.
        summary: String,
        /// The last hash of the log.
        receipt: String,
        /// Where everything lies.
        folder: String,
    },
}

/// A trial as a listener may see it.
#[derive(Clone, Debug, PartialEq)]
pub struct Due {
    /// It does not count, and its answer will be shown.
    pub training: bool,
    /// What is asked.
    pub question: Question,
    /// Labels of the slots, and whether each was heard for long enough.
    pub slots: Vec<(String, bool)>,
    /// All sounds are there.
    pub ready: bool,
    /// The slot that sounds.
    pub sounding: Option<usize>,
    /// The slot that was heard last.
    pub selected: usize,
    /// Place in the sound, as a share of it.
    pub place: f32,
    /// The answer so far.
    pub chosen: Option<Answer>,
    /// Ratings so far, one for each slot but the first.
    pub ratings: Vec<Option<f64>>,
    /// Why the answer cannot be given yet.
    pub missing: Option<String>,
}

/// The session and what it needs to be heard.
pub(super) struct Booth {
    session: Session,
    fetcher: Fetcher,
    /// What was fetched last, for the trial that [`Booth::asked`] names.
    sounds: Option<Fetched>,
    /// Number of the trial whose sounds were asked for; 0 is the one that the level is set by.
    asked: Option<u32>,
    stage: Before,
    selected: usize,
    playing: bool,
    /// Where the player was when it was last looked at, in seconds and as a share.
    position_sec: f64,
    place: f64,
    /// Underruns and what was said of the output before the trial.
    output: (u64, Option<String>),
    chosen: Option<Answer>,
    ratings: Vec<Option<f64>>,
    notice: Option<String>,
    summary: String,
    /// The player holds none of this booth's sounds.
    unloaded: bool,
}

/// What stands between the trials.
enum Before {
    Welcome,
    Trials,
    Shown(String),
}

impl std::fmt::Debug for Booth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Booth").field("listener", &self.session.listener()).finish_non_exhaustive()
    }
}

impl Booth {
    /// Opens the test at `path` for `listener`, who may have begun before. `sessions` are the open stores: a test whose sounds are made
    /// while it runs needs the one that it was planned on. What is fetched goes to `deliver`, and from there to [`Booth::receive`].
    pub(super) fn open(
        path: &Path,
        listener: &str,
        sessions: &[Arc<window_session::Session>],
        deliver: impl Fn(Fetched) + Send + 'static,
    ) -> anyhow::Result<Self> {
        let test = Test::open(path)?;
        let fetcher = Fetcher::start(&test, renderer(&test, sessions)?, deliver)?;
        let session = Session::open(&test, listener, Writing { program: PROGRAM, clock: || Timestamp::now().iso() })?;
        Ok(Self {
            session,
            fetcher,
            sounds: None,
            asked: None,
            stage: Before::Welcome,
            selected: 0,
            playing: false,
            position_sec: 0.0,
            place: 0.0,
            output: (0, None),
            chosen: None,
            ratings: Vec::new(),
            notice: None,
            summary: String::new(),
            unloaded: true,
        })
    }

    /// Sounds that were asked for are there.
    pub(super) fn receive(&mut self, fetched: Fetched) {
        if self.asked == Some(fetched.trial) {
            match &fetched.problem {
                Some(problem) => self.notice = Some(problem.clone()),
                None => self.sounds = Some(fetched),
            }
            self.unloaded = true;
        }
    }

    /// Does what the listener asks for.
    pub(super) fn act(&mut self, command: RoomCommand) {
        // What was said was about the command before.
        self.notice = None;
        match command {
            RoomCommand::GoOn => self.go_on(),
            RoomCommand::Play(slot) if self.is_ready() && slot < self.n_slots() => {
                self.selected = slot;
                self.playing = true;
            }
            RoomCommand::Toggle if self.is_ready() => self.playing = !self.playing,
            RoomCommand::Choose(slot) => self.chosen = Some(Answer::Slot(slot)),
            RoomCommand::Neither => self.chosen = Some(Answer::Neither),
            RoomCommand::Rate(slot, value) => {
                if let Some(rating) = slot.checked_sub(1).and_then(|index| self.ratings.get_mut(index)) {
                    *rating = Some(value);
                }
            }
            RoomCommand::Answer => self.answer(),
            RoomCommand::Write => {
                let written = crate::listening::write_results(self.session.test());
                self.notice = Some(written.map_or_else(|error| format!("{error:#}"), |folder| format!("Written to {}.", folder.display())));
            }
            RoomCommand::Play(_) | RoomCommand::Toggle | RoomCommand::Leave => {}
        }
    }

    fn go_on(&mut self) {
        if matches!(self.stage, Before::Trials) && self.session.break_due() {
            self.keep(Session::take_break);
        } else {
            self.stage = Before::Trials;
        }
        self.begin_trial();
    }

    fn begin_trial(&mut self) {
        let n_rated = self.session.trial().map_or(0, |trial| trial.slots.len().saturating_sub(1));
        (self.sounds, self.asked, self.chosen) = (None, None, None);
        (self.selected, self.playing, self.unloaded) = (0, false, true);
        self.ratings = vec![None; n_rated];
    }

    fn answer(&mut self) {
        if !matches!(self.stage, Before::Trials) || self.session.break_due() {
            return;
        }
        let Some(answer) = self.given() else { return };
        match self.session.answer(answer) {
            Ok(feedback) => {
                if let Some(feedback) = feedback {
                    self.stage = Before::Shown(shown(&feedback));
                }
                self.begin_trial();
            }
            Err(error) => self.notice = Some(error.to_string()),
        }
    }

    /// The answer, where it is complete.
    fn given(&self) -> Option<Answer> {
        let trial = self.session.trial()?;
        match trial.question {
            Question::Rate | Question::Grade => self.ratings.iter().copied().collect::<Option<Vec<f64>>>().map(Answer::Ratings),
            _ => self.chosen.clone(),
        }
    }

    /// Runs what writes to the log; what it cannot write is said.
    fn keep(&mut self, change: impl FnOnce(&mut Session) -> Result<(), driftscope_core::listen::SessionError>) {
        if let Err(error) = change(&mut self.session) {
            self.notice = Some(error.to_string());
        }
    }

    /// A sound is heard, so frames must follow each other.
    pub(super) fn is_playing(&self) -> bool {
        self.playing && self.is_ready()
    }

    fn is_ready(&self) -> bool {
        self.sounds.is_some()
    }

    fn n_slots(&self) -> usize {
        self.sounds.as_ref().map_or(0, |sounds| sounds.slots.len())
    }

    fn due(&self) -> Option<&Trial> {
        self.session.trial().filter(|_| matches!(self.stage, Before::Trials) && !self.session.break_due())
    }

    /// Brings the player to where the session is, counts what was heard, and shows the rest to the panel.
    pub(super) fn sync(&mut self, player: &mut Player) -> Room {
        player.poll();
        self.ask(player.rate_hz());
        if std::mem::take(&mut self.unloaded) {
            self.load(player);
        }
        self.count(player);
        if self.is_ready() && player.selected() != self.selected {
            player.select(self.selected);
        }
        match (self.playing && self.is_ready(), player.is_playing()) {
            (true, false) => player.play(),
            (false, true) => player.pause(),
            _ => {}
        }
        self.position_sec = player.position_sec();
        self.place = self.position_sec / player.length_sec().max(f64::MIN_POSITIVE);
        Room { silent: player.notice().map(str::to_owned), ..self.room() }
    }

    /// Has the sounds fetched that are not there yet.
    fn ask(&mut self, rate_hz: u32) {
        let wanted = match (&self.stage, self.due()) {
            (Before::Welcome, _) => Wanted { trial: 0, item: 0, conditions: vec![0], rate_hz },
            (_, Some(trial)) => Wanted {
                trial: trial.number,
                item: trial.item,
                conditions: trial.slots.iter().map(|slot| slot.condition).collect(),
                rate_hz,
            },
            _ => return,
        };
        if self.asked != Some(wanted.trial) {
            self.asked = Some(wanted.trial);
            self.fetcher.request(wanted);
        }
    }

    /// Gives the player the trial's sounds, or silence.
    fn load(&mut self, player: &mut Player) {
        let Some(sounds) = &self.sounds else { return player.clear() };
        player.load(sounds.slots.iter().map(|slot| Arc::clone(&slot.samples)).collect());
        for (index, slot) in sounds.slots.iter().enumerate() {
            player.set_gain_db(index, slot.gain_db);
            if let Some(sound) = &slot.rendered {
                self.session.rendered(index, sound, slot.duration_sec);
            }
        }
        player.set_loop_sec(Some(0.0..player.length_sec()));
        self.position_sec = 0.0;
        self.output = output(player);
    }

    /// What sounded since the last frame was heard; a trial in which the sound broke off comes again.
    fn count(&mut self, player: &mut Player) {
        if !player.is_playing() || !self.is_ready() || self.due().is_none() {
            return;
        }
        let passed = player.position_sec() - self.position_sec;
        // The loop has begun again.
        let passed = if passed < 0.0 { passed + player.length_sec() } else { passed };
        self.session.heard(player.selected(), passed);
        if output(player) != self.output {
            let reason = if player.glitches() > self.output.0 { "underrun" } else { "output lost" };
            self.keep(|session| session.void(reason));
            self.begin_trial();
            self.load(player);
            self.notice =
                Some("The sound broke off, so this trial does not count; it comes again later, with the sounds in other places.".into());
        }
    }

    fn room(&mut self) -> Room {
        let progress = self.session.progress();
        let stage = match &self.stage {
            _ if self.session.trial().is_none() => self.after(),
            Before::Welcome => Stage::Before {
                instructions: instructions(&self.session),
                ready: self.is_ready(),
                sounding: self.playing && self.is_ready(),
            },
            Before::Shown(sentence) => Stage::Shown(sentence.clone()),
            Before::Trials if self.session.break_due() => Stage::Pause,
            Before::Trials => self.trial(),
        };
        Room {
            title: self.session.test().plan().title.clone(),
            listener: self.session.listener().to_owned(),
            stage,
            notice: self.notice.clone(),
            silent: None,
            progress: (progress.n_answered, progress.n_total),
        }
    }

    fn trial(&self) -> Stage {
        let Some(trial) = self.session.trial() else { return Stage::Pause };
        let unheard = self.session.may_answer().err().map(|why| why.to_string());
        let unanswered = || self.given().is_none().then(|| "Choose first.".to_owned());
        Stage::Trial(Due {
            training: trial.training,
            question: trial.question,
            slots: trial.slots.iter().enumerate().map(|(i, slot)| (slot.label.clone(), self.session.was_heard(i).is_ok())).collect(),
            ready: self.is_ready(),
            sounding: self.playing.then_some(self.selected).filter(|_| self.is_ready()),
            selected: self.selected,
            place: self.place as f32,
            chosen: self.chosen.clone(),
            ratings: self.ratings.clone(),
            missing: unheard.or_else(unanswered),
        })
    }

    fn after(&mut self) -> Stage {
        if self.summary.is_empty() {
            self.playing = false;
            self.summary = crate::listening::summary(self.session.test()).unwrap_or_else(|error| format!("{error:#}"));
        }
        let test = self.session.test();
        Stage::After {
            summary: self.summary.clone(),
            receipt: self.session.receipt().unwrap_or_default().to_owned(),
            folder: test.folder().display().to_string(),
        }
    }
}

/// Underruns, and what is said of the output: neither may change while a trial is heard.
fn output(player: &Player) -> (u64, Option<String>) {
    (player.glitches(), player.notice().map(str::to_owned))
}

fn shown(feedback: &driftscope_core::listen::Feedback) -> String {
    let verdict = match feedback.is_right {
        Some(true) => "Right. ",
        Some(false) => "Wrong. ",
        None => "",
    };
    format!("{verdict}In the order of the buttons, these were: {}.", feedback.conditions.join(", "))
}

fn instructions(session: &Session) -> Vec<String> {
    let (plan, progress) = (session.test().plan(), session.progress());
    let mut all = Vec::new();
    if let Some(trial) = session.trial() {
        all.push(trial.question.sentence().to_owned());
    }
    let at_most = if progress.may_end_before { "at most " } else { "" };
    let begun = if progress.n_answered > 0 { format!("; {} are answered already", progress.n_answered) } else { String::new() };
    all.push(format!("There are {at_most}{} trials{begun}.", progress.n_total));
    if progress.n_training_left > 0 {
        all.push(format!(
            "{} trials for practice come first: they do not count, and you are told what was what.",
            progress.n_training_left
        ));
    }
    all.push(format!(
        "Every sound of a trial must be heard for {:.1} s (shorter ones whole) before you can answer. Switch as often as you like; the place in the sound is kept.",
        plan.settings.must_hear_sec
    ));
    all.push("Results are shown at the end and not before. You can leave at any time and go on later.".to_owned());
    all.push("Set the level with this sound, and leave it as it is from then on.".to_owned());
    all
}

/// What makes the sounds of a test that holds none: the open store that it was planned on, and its predictor.
fn renderer(test: &Test, sessions: &[Arc<window_session::Session>]) -> anyhow::Result<Option<Render>> {
    let plan = Arc::clone(test.plan());
    let Some(recipe) = plan.recipe.clone().filter(|_| plan.items.iter().any(|item| item.stimuli.iter().any(Option::is_none))) else {
        return Ok(None);
    };
    let recipe: BatteryConfig = serde_json::from_value(recipe).context("the plan does not say how its sounds are made")?;
    let made_of = |what: &str| plan.provenance.get(what).cloned().unwrap_or_default();
    let session = sessions.iter().find(|s| s.corpus.source == made_of("store")).cloned();
    let session = session.context("this test makes its sounds of the store that it was planned on; open that store first")?;
    let wanted = made_of("predictor");
    let predictor = session.predictors.iter().position(|p| p.info.hash == wanted);
    let needs_one = plan.conditions.iter().filter_map(rendition_of).any(Rendition::needs_rollout);
    anyhow::ensure!(
        predictor.is_some() || !needs_one,
        "this test rolls out with the predictor {}; open its checkpoint first",
        open::short(&wanted)
    );
    let predictor = predictor.unwrap_or(session.predictors.len());
    let ctx = JobCtx { seed: plan.seed, ..session.ctx.clone() };
    let mut prepared = None;
    Ok(Some(Box::new(move |item, conditions| {
        let bench = session.bench(predictor)?;
        let prepared = match &mut prepared {
            Some(prepared) => prepared,
            none => none.insert(battery::prepare(&ctx, bench, recipe.clone())?),
        };
        let id = &plan.items[item].id;
        let place = prepared.items.iter().position(|found| found.utterance_id == *id);
        let place = place.with_context(|| format!("the open store does not give the item {id} that was planned"))?;
        let renditions: Option<Vec<Rendition>> = conditions.iter().map(|&c| rendition_of(plan.conditions.get(c)?)).collect();
        let renditions = renditions.context("the plan does not say how its sounds are made")?;
        let sounds = prepared.sounds(&ctx, bench, place, &renditions)?;
        sounds.into_iter().collect::<Option<Vec<_>>>().with_context(|| format!("a sound of {id} cannot be made: its recording is missing"))
    })))
}

#[cfg(test)]
mod tests;
