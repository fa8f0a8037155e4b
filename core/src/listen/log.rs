//! What happened in a listener's test, line by line, in a file that only grows.
//!
//! Each line is a JSON object: `hash` (BLAKE3 of what follows it on the line), `previous` (the hash of the line before; of the first line,
//! the plan's), `at` and the [`Event`]. So no line can be changed, left out or put in without all lines after it. Whoever changes all of
//! them has to change the last hash too: it is the listener's receipt, and worth noting elsewhere.
//!
//! Nothing here is ever rewritten. A line that a crash cut off is copied to a file beside the log before it is taken away, and the next
//! line says so.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::order::Order;
use super::test::Test;
use super::trial::{Answer, Trial};
use crate::disk;

/// Why a log could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A line is not as it was written.
    #[error("{path}: line {line} was changed after it was written, or is not this log's ({why}); nothing from there on can be trusted")]
    Touched {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What does not fit.
        why: String,
    },
    /// A log of another plan.
    #[error("{path}: belongs to another plan (hash {found}, and this one has {planned})")]
    OtherPlan {
        /// The file.
        path: PathBuf,
        /// In the log.
        found: String,
        /// The hash of the plan at hand.
        planned: String,
    },
    /// A log of somebody else under this name.
    #[error("{path}: is the log of \"{found}\", not of \"{listener}\"")]
    OtherListener {
        /// The file.
        path: PathBuf,
        /// In the log.
        found: String,
        /// Who was expected.
        listener: String,
    },
    /// The listener has been here before.
    #[error("{path}: \"{listener}\" has begun this test already; resume it, or take another name")]
    Begun {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        listener: String,
    },
    /// Another session writes to it.
    #[error("{path}: is being written by another window or program")]
    InUse {
        /// The file.
        path: PathBuf,
    },
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Before the first trial.
    Start {
        /// Hash of the plan.
        plan: String,
        /// Name and version of the program.
        program: String,
        /// Who listens.
        listener: String,
        /// [`Order::commitment`]: which trials will come, fixed before the first of them.
        order: String,
        /// Whose order of trials it is, where it is not that of the listener's name: the seat taken in a bundle.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        seat: Option<String>,
        /// BLAKE3 of the file of answers that the log was made of, where it was not written while listening.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        imported: Option<String>,
    },
    /// A trial was answered.
    Answer {
        /// Which.
        trial: Trial,
        /// How long each slot sounded, seconds.
        heard_sec: Vec<f64>,
        /// For each slot, the BLAKE3 of a sound that was rendered for it and the gain it was played at; absent where the plan has all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rendered: Option<Vec<Option<String>>>,
        /// How often the output ran dry, where such a trial could not be voided; it does not count then.
        #[serde(default, skip_serializing_if = "is_zero")]
        n_underruns: u32,
        /// What was said.
        answer: Answer,
    },
    /// A trial was given up; it comes again later with other hidden places.
    Void {
        /// Which.
        trial: Trial,
        /// Why: "underrun", "the output device went away".
        reason: String,
    },
    /// The listener rests.
    Break,
    /// The program was started again.
    Resume {
        /// What was found and done, where that is worth a word.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
    },
    /// After the last trial.
    Finish {
        /// Scored answers.
        n_answers: u32,
        /// Voided trials.
        n_voided: u32,
    },
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// A line without its hash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// Hash of the line before.
    pub previous: String,
    /// When, as whoever ran the session said.
    pub at: String,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// A log whose every line is as it was written, and gives the trials that its plan calls for.
#[derive(Clone, Debug)]
pub struct Log {
    /// The file.
    pub path: PathBuf,
    /// Who listened.
    pub listener: String,
    /// All lines.
    pub entries: Vec<Entry>,
    /// The test was heard to its end.
    pub is_finished: bool,
    /// Hash of the last line.
    pub receipt: String,
    /// Bytes after the last whole line, left by a crash; 0 in a log that ended well.
    pub n_cut_bytes: usize,
    order: Order,
}

impl Log {
    /// Reads a log and holds it against its test: the chain of hashes, the plan, and every trial as the plan and the answers before call
    /// for it. An error names the first line that does not fit.
    pub fn verify(path: &Path, test: &Test) -> Result<Self, LogError> {
        Self::of(&fs::read(path).map_err(|source| io_error(path, source))?, path, test)
    }

    fn of(bytes: &[u8], path: &Path, test: &Test) -> Result<Self, LogError> {
        let touched = |line: usize, why: &str| LogError::Touched { path: path.to_owned(), line, why: why.to_owned() };
        let n_whole_bytes = bytes.iter().rposition(|&b| b == b'\n').map_or(0, |last| last + 1);
        let (mut entries, mut receipt) = (Vec::new(), String::new());
        for (index, line) in bytes[..n_whole_bytes].split_inclusive(|&b| b == b'\n').enumerate() {
            let (entry, hash) = parse(&line[..line.len() - 1]).map_err(|why| touched(index + 1, &why))?;
            if index == 0 && !matches!(entry.event, Event::Start { .. }) {
                return Err(touched(1, "it does not begin a log"));
            }
            if index > 0 && entry.previous != receipt {
                return Err(touched(index + 1, "it does not follow from the line before"));
            }
            receipt = hash;
            entries.push(entry);
        }
        let Some(Entry { previous, event: Event::Start { plan, listener, seat, order: committed, .. }, .. }) = entries.first().cloned()
        else {
            return Err(touched(1, "it does not begin a log"));
        };
        if plan != test.hash() || previous != plan {
            return Err(LogError::OtherPlan { path: path.to_owned(), found: plan, planned: test.hash().to_owned() });
        }
        let mut order = Order::new(test, seat.as_ref().unwrap_or(&listener));
        if order.commitment() != committed {
            return Err(touched(1, "the order of trials is not the one that plan and listener give"));
        }
        let mut is_finished = false;
        for (index, entry) in entries.iter().enumerate().skip(1) {
            is_finished = replay(&mut order, &entry.event, is_finished).map_err(|why| touched(index + 1, &why))?;
        }
        let n_cut_bytes = bytes.len() - n_whole_bytes;
        Ok(Self { path: path.to_owned(), listener, entries, is_finished, receipt, n_cut_bytes, order })
    }

    /// Where the trials stand after the last line.
    pub(super) fn into_order(self) -> Order {
        self.order
    }

    /// The answers that count, in the order of the trials.
    pub fn scored(&self) -> impl Iterator<Item = (&Trial, &Answer)> {
        self.entries.iter().filter_map(|entry| match &entry.event {
            Event::Answer { trial, answer, n_underruns: 0, .. } if !trial.training => Some((trial, answer)),
            _ => None,
        })
    }

    /// Trials that do not count: voided, or answered although the output ran dry.
    pub fn n_voided(&self) -> u32 {
        let is_void = |event: &Event| match event {
            Event::Void { .. } => true,
            Event::Answer { trial, n_underruns, .. } => *n_underruns > 0 && !trial.training,
            _ => false,
        };
        self.entries.iter().filter(|entry| is_void(&entry.event)).count() as u32
    }
}

/// Takes a line's event as the session that wrote it did; whether the test is finished then.
fn replay(order: &mut Order, event: &Event, is_finished: bool) -> Result<bool, String> {
    let expect = |order: &mut Order, trial: &Trial| {
        let is_present = order.is_present(trial);
        is_present.then_some(()).ok_or_else(|| format!("trial {} is not the one that plan and answers call for", trial.number))
    };
    if is_finished {
        return Err("it comes after the end".to_owned());
    }
    match event {
        Event::Start { .. } => return Err("a second beginning".to_owned()),
        Event::Answer { trial, heard_sec, answer, .. } => {
            expect(order, trial)?;
            trial.accepts(answer)?;
            if heard_sec.len() != trial.slots.len() {
                return Err(format!("{} sounds were heard of {}", heard_sec.len(), trial.slots.len()));
            }
            order.answered(answer);
        }
        Event::Void { trial, .. } => {
            expect(order, trial)?;
            order.voided();
        }
        Event::Finish { n_answers, n_voided } => {
            if order.trial().is_some() || (*n_answers, *n_voided) != (order.n_answered(), order.n_voided()) {
                return Err("the end does not fit the trials before it".to_owned());
            }
            return Ok(true);
        }
        Event::Break | Event::Resume { .. } => {}
    }
    Ok(false)
}

/// The bytes of a log that is written at once: what happened, and when.
pub(super) fn whole(test: &Test, events: impl IntoIterator<Item = (String, Event)>) -> io::Result<Vec<u8>> {
    let (mut bytes, mut previous) = (Vec::new(), test.hash().to_owned());
    for (at, event) in events {
        let (line, hash) = line(&Entry { previous, at, event })?;
        bytes.extend(line);
        previous = hash;
    }
    Ok(bytes)
}

/// What a line begins with: the hash of the rest, which begins with `"previous"`.
const HASH: &[u8] = br#"{"hash":""#;

fn line(entry: &Entry) -> io::Result<(Vec<u8>, String)> {
    let body = serde_json::to_vec(entry)?;
    let rest = &body[1..];
    let hash = blake3::hash(rest).to_hex().to_string();
    Ok(([HASH, hash.as_bytes(), br#"","#, rest, b"\n"].concat(), hash))
}

/// A line (without its end) and its hash.
fn parse(line: &[u8]) -> Result<(Entry, String), String> {
    let broken = || "its hash does not fit its content".to_owned();
    let (hash, rest) = line.strip_prefix(HASH).and_then(|rest| rest.split_at_checked(64)).ok_or("it is no line of a log")?;
    let rest = rest.strip_prefix(br#"","#).ok_or_else(broken)?;
    let expected = blake3::hash(rest).to_hex();
    if expected.as_bytes() != hash {
        return Err(broken());
    }
    let entry = serde_json::from_slice(&[b"{", rest].concat()).map_err(|e| format!("it cannot be read: {e}"))?;
    Ok((entry, expected.to_string()))
}

/// The end of a log, held by one session.
#[derive(Debug)]
pub(super) struct Writer {
    path: PathBuf,
    file: File,
    /// Hash of the last line.
    last: String,
    /// Length up to and with the last line.
    n_bytes: u64,
}

impl Writer {
    /// A new log, beginning with `start`; fails where one was begun. What is there without a whole line is kept beside it.
    pub(super) fn create(path: &Path, test: &Test, listener: &str, at: String, start: Event) -> Result<Self, LogError> {
        let (file, bytes) = open(path, OpenOptions::new().create(true))?;
        if bytes.contains(&b'\n') {
            return Err(LogError::Begun { path: path.to_owned(), listener: listener.to_owned() });
        }
        let mut writer = Self { path: path.to_owned(), file, last: test.hash().to_owned(), n_bytes: 0 };
        if !bytes.is_empty() {
            writer.keep_aside(&bytes)?;
        }
        writer.append(at, start)?;
        Ok(writer)
    }

    /// Goes on after the last whole line of a log, which is verified; a line that was cut off is kept beside it, and the note says where.
    pub(super) fn resume(path: &Path, test: &Test) -> Result<(Self, Log, Option<String>), LogError> {
        let (file, bytes) = open(path, &mut OpenOptions::new())?;
        let log = Log::of(&bytes, path, test)?;
        let n_whole = bytes.len() - log.n_cut_bytes;
        let mut writer = Self { path: path.to_owned(), file, last: log.receipt.clone(), n_bytes: n_whole as u64 };
        let note = if log.n_cut_bytes > 0 { Some(writer.keep_aside(&bytes[n_whole..])?) } else { None };
        Ok((writer, log, note))
    }

    /// Copies what a crash left of a line to a file beside the log, and only then takes it away.
    fn keep_aside(&mut self, cut: &[u8]) -> Result<String, LogError> {
        let aside = (1..u32::MAX).map(|n| self.path.with_extension(format!("cut-{n}"))).find(|p| !p.exists()).unwrap_or_default();
        disk::write_beside(&aside, |file| file.write_all(cut)).map_err(|source| io_error(&aside, source))?;
        self.file.set_len(self.n_bytes).map_err(|source| io_error(&self.path, source))?;
        let name = aside.file_name().unwrap_or_default().to_string_lossy();
        Ok(format!("a line that was cut off after {} bytes is kept as {name}", cut.len()))
    }

    /// Adds a line. When this returns, it is on the disk; when it fails, nothing of it counts.
    pub(super) fn append(&mut self, at: String, event: Event) -> Result<(), LogError> {
        let (bytes, hash) = line(&Entry { previous: self.last.clone(), at, event }).map_err(|source| io_error(&self.path, source))?;
        self.write(&bytes).map_err(|source| io_error(&self.path, source))?;
        (self.last, self.n_bytes) = (hash, self.n_bytes + bytes.len() as u64);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        // A full disk may have taken half of the line that was to stand here.
        if self.file.metadata()?.len() != self.n_bytes {
            self.file.set_len(self.n_bytes)?;
        }
        self.file.write_all(bytes)?;
        self.file.sync_data()
    }

    /// Hash of the last line.
    pub(super) fn receipt(&self) -> &str {
        &self.last
    }
}

/// Opens a log to add to it, alone, and reads what is there.
fn open(path: &Path, options: &mut OpenOptions) -> Result<(File, Vec<u8>), LogError> {
    let mut file = options.read(true).append(true).open(path).map_err(|source| io_error(path, source))?;
    lock(&file, path)?;
    let mut bytes = Vec::new();
    // By the same handle: on some systems a lock keeps all others from reading, too.
    file.read_to_end(&mut bytes).map_err(|source| io_error(path, source))?;
    Ok((file, bytes))
}

fn io_error(path: &Path, source: io::Error) -> LogError {
    LogError::Io { path: path.to_owned(), source }
}

fn lock(file: &File, path: &Path) -> Result<(), LogError> {
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => Err(LogError::InUse { path: path.to_owned() }),
        // Some file systems know no locks; then there is none.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
    }
}

#[cfg(test)]
mod tests;
