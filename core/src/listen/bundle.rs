//! A listening test for somebody elsewhere: one folder that opens from disk in any browser, and the file of answers that comes back.
//!
//! The page plays and asks; it computes nothing about the answers and knows none. Its orders are those of the window, made here for as
//! many seats as are asked for: whoever listens takes a seat, and the seat is the listener's name for [`Order`]. Every sound lies under a
//! name that says nothing, written anew (so without the tags of the file it was), all at one rate; and every slot of every trial names its
//! sound in a way of its own ([`token`]), so that X does not look like A in the orders. That keeps a listener from seeing by accident;
//! whoever compares the sounds' files can find out, as with any test whose sounds are given away.
//!
//! A trial during which the output ran dry is not voided, since what comes after is fixed in the folder: it is asked again at once, twice
//! at most, and an answer that was taken all the same says how often it happened.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::order::Order;
use super::plan::{Design, Stimulus, Stop};
use super::test::{PlanError, Test};
use super::trial::{Answer, Question, Trial};
use crate::audio::{self, AudioClip, AudioError};
use crate::disk;

/// Why a bundle could not be written, or answers not be read.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// What comes next depends on the answers.
    #[error(
        "{0} cannot be given away: which trial comes next depends on whether the answers are right, so the page would have to know them; plan a fixed number of trials"
    )]
    NeedsAnswers(&'static str),
    /// No seats, or more than anyone can mean.
    #[error("a bundle has from 1 to {MAX_SEATS} seats, not {0}")]
    Seats(u32),
    /// A sound of the plan.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// A sound that cannot be brought to the common rate.
    #[error(transparent)]
    Audio(#[from] AudioError),
    /// Something else lies where the bundle is to be.
    #[error("{0}: is there already; name a new folder")]
    Exists(PathBuf),
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No file of answers.
    #[error("{path}: is no file of answers from a bundle ({reason})")]
    NotAnswers {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Answers to another test.
    #[error("{path}: answers another plan (hash {found}, and this one has {planned})")]
    OtherPlan {
        /// The file.
        path: PathBuf,
        /// In the file.
        found: String,
        /// The hash of the plan at hand.
        planned: String,
    },
    /// An answer that does not fit its trial.
    #[error("{path}: trial {number}: {reason}")]
    Answer {
        /// The file.
        path: PathBuf,
        /// From 1.
        number: u32,
        /// What is wrong with it.
        reason: String,
    },
}

const MAX_SEATS: u32 = 10_000;

/// What the page is made of.
const HTML: &str = include_str!("../../../assets/listening/page.html");
const STYLE: &str = include_str!("../../../assets/listening/page.css");
const SCRIPTS: [&str; 4] = [
    include_str!("../../../assets/listening/mixer.js"),
    include_str!("../../../assets/listening/session.js"),
    include_str!("../../../assets/listening/trial.js"),
    include_str!("../../../assets/listening/page.js"),
];

/// The name of a seat, from 1: who takes it hears the trials of a listener of that name.
pub fn seat(number: u32) -> String {
    format!("seat-{number:02}")
}

/// Writes the folder: `index.html`, `orders.js` and one script a sound in `stimuli/`. Whole or not at all; nothing may be there before.
///
/// # Errors
/// For designs whose trials depend on the answers, for a plan whose sounds are not as they were, and where the folder cannot be written.
pub fn write_bundle(test: &Test, n_seats: u32, folder: &Path) -> Result<(), BundleError> {
    if !(1..=MAX_SEATS).contains(&n_seats) {
        return Err(BundleError::Seats(n_seats));
    }
    if folder.exists() {
        return Err(BundleError::Exists(folder.to_owned()));
    }
    let question = fixed_question(&test.plan().design)?;
    let sounds = Sounds::of(test)?;
    let orders = orders(test, n_seats, question, &sounds);

    let beside = disk::name_beside(folder);
    let written = write_all(&beside, &orders, &sounds).and_then(|()| std::fs::rename(&beside, folder));
    written.map_err(|source| {
        // What is left is of no use; that it could not be written is what is said.
        let _ = std::fs::remove_dir_all(&beside);
        BundleError::Io { path: folder.to_owned(), source }
    })
}

fn write_all(folder: &Path, orders: &Value, sounds: &Sounds) -> io::Result<()> {
    std::fs::create_dir_all(folder.join("stimuli"))?;
    std::fs::write(folder.join("index.html"), page())?;
    std::fs::write(folder.join("orders.js"), format!("window.LISTENING = {orders};\n"))?;
    for (id, clip) in &sounds.clips {
        let script = format!("sound(\"{id}\", \"{}\");\n", STANDARD.encode(audio::wav_bytes(clip)?));
        std::fs::write(folder.join("stimuli").join(format!("{id}.js")), script)?;
    }
    Ok(())
}

fn page() -> String {
    HTML.replace("/*STYLE*/", STYLE).replace("/*SCRIPT*/", &SCRIPTS.concat())
}

/// What every scored trial asks, in designs whose trials do not depend on the answers.
fn fixed_question(design: &Design) -> Result<Question, BundleError> {
    match design {
        Design::Abx { stop: Stop::Sequential { .. }, .. } => Err(BundleError::NeedsAnswers("a sequential test")),
        Design::Threshold { .. } => Err(BundleError::NeedsAnswers("an adaptive test")),
        Design::Abx { .. } | Design::Equivalence { .. } => Ok(Question::WhichIsX),
        Design::Preference { ties: false, .. } => Ok(Question::WhichIsBetter),
        Design::Preference { ties: true, .. } => Ok(Question::WhichIsBetterIfAny),
        Design::Mushra => Ok(Question::Rate),
        Design::TripleStimulus => Ok(Question::Grade),
    }
}

/// A seat's trials, in their order.
fn trials(test: &Test, seat: &str) -> Vec<Trial> {
    let mut order = Order::new(test, seat);
    let mut trials = Vec::new();
    while let Some(trial) = order.trial().cloned() {
        trials.push(trial);
        // In a fixed design any answer leads to the same next trial.
        order.answered(&Answer::Neither);
    }
    trials
}

/// The sounds under names that say nothing.
struct Sounds {
    rate_hz: u32,
    clips: BTreeMap<String, AudioClip>,
    /// Gains in dB, by the same names.
    gains_db: BTreeMap<String, f64>,
}

/// The file in the bundle that the level is set with.
const CALIBRATION: &str = "calibration";

impl Sounds {
    fn of(test: &Test) -> Result<Self, BundleError> {
        let mut clips = BTreeMap::new();
        let mut gains_db = BTreeMap::new();
        let mut levels_lufs = Vec::new();
        for stimulus in test.plan().items.iter().flat_map(|item| &item.stimuli).flatten() {
            let id = sound_id(test, stimulus);
            levels_lufs.extend(stimulus.loudness_lufs.map(|lufs| lufs + stimulus.gain_db));
            gains_db.insert(id.clone(), stimulus.gain_db);
            clips.insert(id, test.sound(stimulus)?);
        }
        let rate_hz = clips.values().map(|clip: &AudioClip| clip.sample_rate_hz).max().unwrap_or(48_000);
        for clip in clips.values_mut() {
            *clip = audio::resample(clip, rate_hz)?;
        }
        levels_lufs.sort_by(f64::total_cmp);
        // Without a loudness that can be said: the level of broadcast speech.
        let level_lufs = levels_lufs.get(levels_lufs.len() / 2).copied().unwrap_or(-23.0);
        clips.insert(CALIBRATION.to_owned(), noise(rate_hz, level_lufs));
        Ok(Self { rate_hz, clips, gains_db })
    }
}

/// The same sound at the same gain has one name. Without the plan nobody finds it from a sound that they have.
fn sound_id(test: &Test, stimulus: &Stimulus) -> String {
    let text = format!("sound\n{}\n{}\n{}", test.hash(), stimulus.hash, stimulus.gain_db);
    blake3::hash(text.as_bytes()).to_hex()[..12].to_owned()
}

/// Five seconds of pink noise (-3 dB an octave, by P. Kellet's three poles) as loud as the sounds of the test.
fn noise(rate_hz: u32, level_lufs: f64) -> AudioClip {
    let mut rng = StdRng::seed_from_u64(1);
    let mut poles = [0.0_f64; 3];
    let mut samples: Vec<f32> = (0..5 * rate_hz)
        .map(|_| {
            let white = rng.random_range(-1.0..1.0);
            for (state, (pole, gain)) in poles.iter_mut().zip([(0.997_65, 0.099_046), (0.963, 0.296_516_4), (0.57, 1.052_691_3)]) {
                *state = pole * *state + gain * white;
            }
            (0.05 * (poles.iter().sum::<f64>() + 0.1848 * white)) as f32
        })
        .collect();
    let clip = AudioClip { samples: samples.clone(), sample_rate_hz: rate_hz };
    let gain_db = audio::loudness_lufs(&clip).map_or(0.0, |lufs| level_lufs - lufs);
    let gain = 10_f64.powf(gain_db / 20.0).min(1.0 / f64::from(audio::peak(&samples)).max(1e-9)) as f32;
    samples.iter_mut().for_each(|sample| *sample *= gain);
    AudioClip { samples, sample_rate_hz: rate_hz }
}

/// What stands for a sound in one place of the orders: FNV-1a, 64 bits, of where and what, as the page computes it.
fn token(seat: &str, trial_idx: usize, place: &str, what: &str) -> String {
    let text = format!("{seat}|{trial_idx}|{place}|{what}");
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    format!("{hash:016x}")
}

/// `orders.js`: all that the page knows.
fn orders(test: &Test, n_seats: u32, question: Question, sounds: &Sounds) -> Value {
    let plan = &test.plan();
    let seats: Vec<Value> = (1..=n_seats)
        .map(|number| {
            let name = seat(number);
            let trials: Vec<Value> =
                trials(test, &name).iter().enumerate().map(|(idx, trial)| trial_json(test, &name, idx, trial)).collect();
            json!({ "name": name, "trials": trials })
        })
        .collect();
    json!({
        "format": 1,
        "plan": test.hash(),
        "title": plan.title,
        "question": question,
        "ask": question.sentence(),
        "scale": question.scale().map(|(min, max, bands)| json!({ "min": min, "max": max, "bands": bands })),
        "must_hear_sec": plan.settings.must_hear_sec,
        "break_every": plan.settings.break_every,
        "rate_hz": sounds.rate_hz,
        "sounds": sounds.gains_db.iter().map(|(id, gain_db)| (id.clone(), json!({ "gain_db": gain_db }))).collect::<serde_json::Map<_, _>>(),
        "seats": seats,
    })
}

fn trial_json(test: &Test, seat: &str, idx: usize, trial: &Trial) -> Value {
    let slots = trial.slots.iter().enumerate().filter_map(|(place, slot)| {
        let id = sound_id(test, trial.stimulus(place, test.plan())?);
        Some(json!({ "label": slot.label, "token": token(seat, idx, &place.to_string(), &id) }))
    });
    let mut json = json!({ "training": trial.training, "slots": slots.collect::<Vec<_>>() });
    if let (true, Some(shown)) = (trial.training, revealed_slot(trial)) {
        json["reveal"] = token(seat, idx, "reveal", &shown.to_string()).into();
    }
    json
}

/// What a training trial shows: what X was, or where the reference was hidden.
fn revealed_slot(trial: &Trial) -> Option<usize> {
    let hidden = || (1..trial.slots.len()).find(|&slot| trial.slots[slot].condition == trial.slots[0].condition);
    match trial.question {
        Question::Rate | Question::Grade => hidden(),
        _ => trial.right_slot(),
    }
}

/// What the page saved: `answers-NAME.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answers {
    /// Version of this format: 1.
    pub format: u32,
    /// Hash of the plan.
    pub plan: String,
    /// Whose order it was.
    pub seat: String,
    /// Who took it, as they call themselves.
    pub listener: String,
    /// Level that the listener chose, dB, of what the plan has.
    pub level_db: f64,
    /// When, by the listener's clock, as ISO 8601.
    pub started: String,
    /// The same; absent when the test was not heard to its end.
    #[serde(default)]
    pub finished: Option<String>,
    /// The browser, as it calls itself.
    pub user_agent: String,
    /// In the order of the trials, training included.
    pub answers: Vec<Answered>,
}

/// One trial, answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    /// [`Trial::number`].
    pub number: u32,
    /// What was said.
    pub answer: Answer,
    /// How long each slot sounded, seconds.
    pub heard_sec: Vec<f64>,
    /// How often another sound was switched to while one was sounding.
    pub n_switches: u32,
    /// How often the output ran dry while the answer was found, where the browser counts it.
    pub n_underruns: Option<u32>,
    /// Rate of the browser's output; other than that of the sounds, they were resampled.
    pub sample_rate_hz: f64,
    /// When the trial was shown, ISO 8601.
    pub shown: String,
    /// When it was answered.
    pub answered: String,
}

/// Reads a file of answers and holds it against its test: the plan, the seat, and every answer and what was heard for it.
/// Gives each trial with its answer.
pub fn read_answers(path: &Path, test: &Test) -> Result<(Answers, Vec<Trial>), BundleError> {
    let not = |reason: String| BundleError::NotAnswers { path: path.to_owned(), reason };
    let bytes = std::fs::read(path).map_err(|source| BundleError::Io { path: path.to_owned(), source })?;
    let answers: Answers = serde_json::from_slice(&bytes).map_err(|e| not(e.to_string()))?;
    if answers.format != 1 {
        return Err(not(format!("it has format {}, and this program reads 1", answers.format)));
    }
    if answers.plan != test.hash() {
        return Err(BundleError::OtherPlan { path: path.to_owned(), found: answers.plan, planned: test.hash().to_owned() });
    }
    fixed_question(&test.plan().design)?;
    let number = answers.seat.strip_prefix("seat-").and_then(|n| n.parse().ok()).filter(|&n| seat(n) == answers.seat);
    if number.is_none_or(|n: u32| !(1..=MAX_SEATS).contains(&n)) {
        return Err(not(format!("\"{}\" is no seat; seats are called {} and so on", answers.seat, seat(1))));
    }
    let mut trials = trials(test, &answers.seat);
    if answers.answers.len() > trials.len() {
        return Err(not(format!("it has {} answers to {} trials", answers.answers.len(), trials.len())));
    }
    trials.truncate(answers.answers.len());
    for (trial, answered) in trials.iter().zip(&answers.answers) {
        fits(trial, answered, test).map_err(|reason| BundleError::Answer { path: path.to_owned(), number: trial.number, reason })?;
    }
    Ok((answers, trials))
}

fn fits(trial: &Trial, answered: &Answered, test: &Test) -> Result<(), String> {
    if answered.number != trial.number {
        return Err(format!("an answer to trial {} stands in its place", answered.number));
    }
    trial.accepts(&answered.answer)?;
    if answered.heard_sec.len() != trial.slots.len() {
        return Err(format!("{} sounds were heard of {}", answered.heard_sec.len(), trial.slots.len()));
    }
    for (place, (&heard_sec, slot)) in answered.heard_sec.iter().zip(&trial.slots).enumerate() {
        let whole_sec = trial.stimulus(place, test.plan()).map_or(0.0, |stimulus| stimulus.duration_sec);
        let needed_sec = test.plan().settings.must_hear_sec.min(whole_sec);
        // Written in milliseconds, and lengths may differ by a sample.
        if heard_sec < needed_sec - 0.01 {
            return Err(format!("{} was heard for {heard_sec:.2} s only, not {needed_sec:.2}", slot.label));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
