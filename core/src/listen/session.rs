//! One listener's way through a test: which trial is due, whether it may be answered, and every step in the log.
//!
//! A state machine without clock and sound. Whoever plays tells it what was heard ([`Session::heard`]) and gives the trial up where the
//! sound broke off ([`Session::void`]). Nothing it says while trials are left tells how well the listener does.

use super::log::{Event, Log, LogError, Writer};
use super::order::Order;
use super::plan::Design;
use super::test::Test;
use super::trial::{Answer, Trial};

/// Why a session refuses.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The log cannot be read or written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The trial has not been heard as it must be.
    #[error(transparent)]
    NotYet(#[from] NotYet),
    /// The question cannot be answered so.
    #[error("this is no answer to trial {number}: {why}")]
    Answer {
        /// The trial.
        number: u32,
        /// What would be one.
        why: String,
    },
    /// Nobody, or a name that no log can have.
    #[error("a listener needs a name of 1 to 100 characters")]
    Nameless,
}

/// Why the trial may not be answered yet.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum NotYet {
    /// There is none.
    #[error("the test is finished; there is nothing to answer")]
    Finished,
    /// A slot was not heard for long enough.
    #[error("{label} has been heard for {heard_sec:.1} s; listen to {} of it", if *is_whole { "all".to_owned() } else { format!("{must_hear_sec:.1} s") })]
    Unheard {
        /// The slot's label.
        label: String,
        /// So far.
        heard_sec: f64,
        /// What is asked for.
        must_hear_sec: f64,
        /// That is the whole sound.
        is_whole: bool,
    },
    /// A slot that is rendered for this trial has not been.
    #[error("{label} has not been rendered yet")]
    NotRendered {
        /// The slot's label.
        label: String,
    },
}

/// Who writes the log.
#[derive(Clone, Copy, Debug)]
pub struct Writing<'a> {
    /// Name and version of the program.
    pub program: &'a str,
    /// The time as text, asked once a line.
    pub clock: fn() -> String,
}

/// Counts, and nothing of right or wrong. The total does not follow from the answers, so that it tells nothing of them either.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Scored answers.
    pub n_answered: u32,
    /// Scored trials, at most where the answers decide.
    pub n_total: u32,
    /// The test may end before.
    pub may_end_before: bool,
    /// Training trials to come.
    pub n_training_left: u32,
    /// Voided trials.
    pub n_voided: u32,
}

/// What the listener learns from a training trial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feedback {
    /// Whether the answer was right, where one is.
    pub is_right: Option<bool>,
    /// The name of each slot's condition, in the order of the slots.
    pub conditions: Vec<String>,
}

/// A sound that was made for this trial.
#[derive(Clone, Debug, PartialEq)]
struct Rendered {
    sound: String,
    duration_sec: f64,
}

/// A test under way.
#[derive(Debug)]
pub struct Session {
    test: Test,
    listener: String,
    writer: Writer,
    clock: fn() -> String,
    order: Order,
    heard_sec: Vec<f64>,
    rendered: Vec<Option<Rendered>>,
    n_since_break: u32,
    is_finished: bool,
}

impl Session {
    /// A listener's first sitting: the log is made, with the plan's hash and the order of trials in its first line. Fails where the
    /// listener has begun already.
    pub fn start(test: &Test, listener: &str, writing: Writing) -> Result<Self, SessionError> {
        if listener.trim().is_empty() || listener.chars().count() > 100 {
            return Err(SessionError::Nameless);
        }
        let order = Order::new(test, listener);
        let start = Event::Start {
            plan: test.hash().to_owned(),
            program: writing.program.to_owned(),
            listener: listener.to_owned(),
            order: order.commitment(),
            seat: None,
            imported: None,
        };
        let writer = Writer::create(&test.log_path(listener), test, listener, (writing.clock)(), start)?;
        Ok(Self::at(test, listener, writer, writing, order))
    }

    /// Starts, or resumes where the listener has begun.
    pub fn open(test: &Test, listener: &str, writing: Writing) -> Result<Self, SessionError> {
        match Self::start(test, listener, writing) {
            Err(SessionError::Log(LogError::Begun { .. })) => Self::resume(test, listener, writing),
            other => other,
        }
    }

    /// Goes on where the log ends.
    pub fn resume(test: &Test, listener: &str, writing: Writing) -> Result<Self, SessionError> {
        let path = test.log_path(listener);
        let (mut writer, log, note) = Writer::resume(&path, test)?;
        if log.listener != listener {
            return Err(LogError::OtherListener { path, found: log.listener, listener: listener.to_owned() }.into());
        }
        let (is_finished, n_since_break) = (log.is_finished, since_break(&log));
        if !is_finished {
            writer.append((writing.clock)(), Event::Resume { note })?;
        }
        let mut session = Self::at(test, listener, writer, writing, log.into_order());
        (session.is_finished, session.n_since_break) = (is_finished, n_since_break);
        session.finish()?;
        Ok(session)
    }

    fn at(test: &Test, listener: &str, writer: Writer, writing: Writing, order: Order) -> Self {
        let mut session = Self {
            test: test.clone(),
            listener: listener.to_owned(),
            writer,
            clock: writing.clock,
            order,
            heard_sec: Vec::new(),
            rendered: Vec::new(),
            n_since_break: 0,
            is_finished: false,
        };
        session.forget();
        session
    }

    /// The test.
    pub fn test(&self) -> &Test {
        &self.test
    }

    /// Who listens.
    pub fn listener(&self) -> &str {
        &self.listener
    }

    /// The trial that is due; `None` when the test is finished.
    pub fn trial(&self) -> Option<&Trial> {
        self.order.trial()
    }

    /// A slot of the present trial sounded for so many seconds more.
    pub fn heard(&mut self, slot: usize, seconds: f64) {
        if let Some(heard) = self.heard_sec.get_mut(slot).filter(|_| seconds > 0.0 && seconds.is_finite()) {
            *heard += seconds;
        }
    }

    /// What was rendered for a slot that the plan has no sound for: BLAKE3 of its samples with the gain it is played at (`"… at -2.10 dB"`),
    /// and its length.
    pub fn rendered(&mut self, slot: usize, sound: &str, duration_sec: f64) {
        if let Some(rendered) = self.rendered.get_mut(slot) {
            *rendered = Some(Rendered { sound: sound.to_owned(), duration_sec });
        }
    }

    /// Whether an answer would be taken now; else what is missing first.
    pub fn may_answer(&self) -> Result<(), NotYet> {
        let trial = self.trial().ok_or(NotYet::Finished)?;
        (0..trial.slots.len()).try_for_each(|slot| self.was_heard(slot))
    }

    /// Whether one slot of the present trial was heard for long enough; else how long it was.
    pub fn was_heard(&self, index: usize) -> Result<(), NotYet> {
        let trial = self.trial().ok_or(NotYet::Finished)?;
        if let Some(slot) = trial.slots.get(index) {
            let planned_sec = trial.stimulus(index, self.test.plan()).map(|stimulus| stimulus.duration_sec);
            let rendered_sec = self.rendered[index].as_ref().map(|rendered| rendered.duration_sec);
            let duration_sec = planned_sec.or(rendered_sec).ok_or_else(|| NotYet::NotRendered { label: slot.label.clone() })?;
            let (heard_sec, must_hear_sec) = (self.heard_sec[index], self.test.plan().settings.must_hear_sec.min(duration_sec));
            // Whoever plays counts in blocks of samples; a hundredth of a second is none.
            if heard_sec <= 0.0 || heard_sec < must_hear_sec - 0.01 {
                let is_whole = must_hear_sec >= duration_sec;
                return Err(NotYet::Unheard { label: slot.label.clone(), heard_sec, must_hear_sec, is_whole });
            }
        }
        Ok(())
    }

    /// Takes the answer, writes it down, and goes on to the next trial. A training trial's answer is shown; of others nothing is said.
    pub fn answer(&mut self, answer: Answer) -> Result<Option<Feedback>, SessionError> {
        self.may_answer()?;
        let trial = self.trial().cloned().ok_or(NotYet::Finished)?;
        trial.accepts(&answer).map_err(|why| SessionError::Answer { number: trial.number, why })?;
        let answer = rounded(answer);
        let is_rendered = self.rendered.iter().any(Option::is_some);
        let sounds = || self.rendered.iter().map(|r| r.as_ref().map(|r| r.sound.clone())).collect();
        let event = Event::Answer {
            trial: trial.clone(),
            heard_sec: self.heard_sec.iter().map(|&sec| round(sec, 1e3)).collect(),
            rendered: is_rendered.then(sounds),
            n_underruns: 0,
            answer: answer.clone(),
        };
        self.append(event)?;
        self.order.answered(&answer);
        self.forget();
        if !trial.training {
            self.n_since_break += 1;
        }
        self.finish()?;
        let name = |slot: usize| trial.condition(slot, self.test.plan()).map_or_else(String::new, |c| c.name.clone());
        let conditions = (0..trial.slots.len()).map(name).collect();
        Ok(trial.training.then(|| Feedback { is_right: trial.is_right(&answer), conditions }))
    }

    /// Gives the present trial up ("underrun"); it comes again later with other hidden places. Nothing happens after the last trial.
    pub fn void(&mut self, reason: &str) -> Result<(), SessionError> {
        let Some(trial) = self.trial().cloned() else { return Ok(()) };
        self.append(Event::Void { trial, reason: reason.to_owned() })?;
        self.order.voided();
        self.forget();
        Ok(())
    }

    /// Whether a pause should be offered now.
    pub fn break_due(&self) -> bool {
        let every = self.test.plan().settings.break_every;
        every > 0 && self.n_since_break >= every && self.trial().is_some()
    }

    /// The listener rests, or declines to; the next pause is due after as many trials again.
    pub fn take_break(&mut self) -> Result<(), SessionError> {
        self.append(Event::Break)?;
        self.n_since_break = 0;
        Ok(())
    }

    /// How far the listener is.
    pub fn progress(&self) -> Progress {
        let plan = self.test.plan();
        Progress {
            n_answered: self.order.n_answered(),
            n_total: plan.n_scored(),
            may_end_before: matches!(plan.design, Design::Abx { stop: super::plan::Stop::Sequential { .. }, .. }),
            n_training_left: self.order.n_training_left(),
            n_voided: self.order.n_voided(),
        }
    }

    /// The last hash of the log once the test is finished: whoever has noted it can tell later that no line was changed.
    pub fn receipt(&self) -> Option<&str> {
        self.is_finished.then(|| self.writer.receipt())
    }

    fn append(&mut self, event: Event) -> Result<(), SessionError> {
        Ok(self.writer.append((self.clock)(), event)?)
    }

    /// Writes the last line after the last trial.
    fn finish(&mut self) -> Result<(), SessionError> {
        if self.trial().is_none() && !self.is_finished {
            self.append(Event::Finish { n_answers: self.order.n_answered(), n_voided: self.order.n_voided() })?;
            self.is_finished = true;
        }
        Ok(())
    }

    /// Nothing of the next trial has been heard.
    fn forget(&mut self) {
        let n_slots = self.trial().map_or(0, |trial| trial.slots.len());
        self.heard_sec = vec![0.0; n_slots];
        self.rendered = vec![None; n_slots];
    }
}

/// Scored answers since the last pause.
fn since_break(log: &Log) -> u32 {
    let since = log.entries.iter().rev().take_while(|entry| entry.event != Event::Break);
    since.filter(|entry| matches!(&entry.event, Event::Answer { trial, .. } if !trial.training)).count() as u32
}

/// Ratings to a hundredth: what a slider can say, and what every reader of JSON reads back as it was.
fn rounded(answer: Answer) -> Answer {
    match answer {
        Answer::Ratings(ratings) => Answer::Ratings(ratings.into_iter().map(|rating| round(rating, 100.0)).collect()),
        other => other,
    }
}

fn round(value: f64, scale: f64) -> f64 {
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests;
