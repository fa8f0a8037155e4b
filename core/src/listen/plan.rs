//! What a listening test is, written down before anyone hears it.

use serde::{Deserialize, Serialize};

/// One listening test. As JSON it is `plan.json` of the test's folder; the hash of that file (BLAKE3 of its bytes, as `b3sum` gives it)
/// stands in the first line of every log and in every file of answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Version of this format: 1.
    pub format: u32,
    /// For people.
    pub title: String,
    /// What is asked, and of how many trials.
    pub design: Design,
    /// What is compared. Where the design has a reference it is the first, and the only one with [`Role::Reference`].
    pub conditions: Vec<Condition>,
    /// What the conditions' levels measure, in an adaptive test.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub axis: Option<Axis>,
    /// On what material.
    pub items: Vec<Item>,
    /// What the conditions' renditions are made of, in the words of whoever makes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<serde_json::Value>,
    /// Orders, sides and hidden places follow from it and the listener's name.
    pub seed: u64,
    /// How trials are given.
    pub settings: Settings,
    /// What the stimuli were made of: "store", "predictor", "codec" and the hash of each, and the program's version.
    pub provenance: std::collections::BTreeMap<String, String>,
}

/// The question.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Design {
    /// A, B, and X, which is one of them: which? Every condition against the reference. "Heard" is p ≤ `alpha` of a one-sided binomial
    /// test with p₀ = ½.
    Abx {
        /// When it ends.
        stop: Stop,
        /// Level of the test.
        alpha: f64,
    },
    /// The same trials, asked the other way round: is the proportion of right answers below `margin`? "The same" is p ≤ `alpha` of a
    /// one-sided binomial test with p₀ = `margin`; not to have heard a difference is not enough.
    Equivalence {
        /// Scored trials a condition.
        n_trials: u32,
        /// Proportion of right answers that still counts as the same, above ½ (.75 is half of the differences heard).
        margin: f64,
        /// Level of the test.
        alpha: f64,
    },
    /// A or B, and no reference: every pair of conditions. For free rollouts, which need not match the truth.
    Preference {
        /// Scored trials a pair.
        n_trials: u32,
        /// "No preference" may be answered; such answers are split evenly, and counted.
        ties: bool,
    },
    /// All conditions of an item at once beside the reference, each rated from 0 to 100 in five named bands (BS.1534-3): with a hidden
    /// reference, and with the anchors that the plan's conditions have.
    Mushra,
    /// Reference, and A and B of which one is the reference again: both graded from 1.0 to 5.0 (BS.1116-3), for small impairments.
    TripleStimulus,
    /// Reference, and A and B of which one is the reference: which is the other one? At the level that the answers so far call for.
    /// Conditions other than the reference carry a [`Condition::level`] each, in rising order of audibility.
    Threshold {
        /// How the next level is chosen.
        method: Method,
        /// Scored trials at most.
        n_trials: u32,
    },
}

impl Design {
    /// Whether conditions are compared with a reference, which then is the plan's first.
    pub fn has_reference(&self) -> bool {
        !matches!(self, Self::Preference { .. })
    }
}

impl Plan {
    /// The conditions that are compared at once, in each of the comparisons that are counted apart: the reference and a tested one, a pair,
    /// or all that are rated together. Anchors stand in MUSHRA's only; elsewhere they are for training.
    pub fn comparisons(&self) -> Vec<Vec<usize>> {
        let of = |role: Role| (0..self.conditions.len()).filter(move |&c| self.conditions[c].role == role);
        match self.design {
            Design::Mushra => vec![(0..self.conditions.len()).collect()],
            Design::Preference { .. } => {
                of(Role::Tested).flat_map(|a| of(Role::Tested).filter(move |&b| b > a).map(move |b| vec![a, b])).collect()
            }
            _ => of(Role::Tested).map(|c| vec![0, c]).collect(),
        }
    }

    /// Scored trials of a listener: as many as there are, or at most where the answers decide.
    pub fn n_scored(&self) -> u32 {
        let (n_comparisons, n_items) = (self.comparisons().len() as u32, self.items.len() as u32);
        match self.design {
            Design::Abx { stop: Stop::Fixed { n_trials: n } | Stop::Sequential { max_trials: n, .. }, .. }
            | Design::Equivalence { n_trials: n, .. }
            | Design::Preference { n_trials: n, .. } => n_comparisons.saturating_mul(n),
            Design::Mushra => n_items,
            Design::TripleStimulus => n_comparisons.saturating_mul(n_items),
            Design::Threshold { n_trials, .. } => n_trials,
        }
    }
}

/// When an ABX test ends.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "rule", rename_all = "snake_case")]
pub enum Stop {
    /// After so many scored trials a condition, decided before.
    Fixed {
        /// How many.
        n_trials: u32,
    },
    /// Wald's sequential test of p = ½ against p = `p1`, at the level of the design and with this chance of missing p1.
    Sequential {
        /// Proportion of right answers worth finding.
        p1: f64,
        /// Chance of missing it.
        beta: f64,
        /// No decision after so many scored trials a condition.
        max_trials: u32,
    },
}

/// How an adaptive test chooses its next level.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "method", rename_all = "snake_case")]
pub enum Method {
    /// Two right answers in a row make it harder by a level, one wrong answer makes it easier (Levitt 1971): converges to 70.7 % right.
    /// Steps of `first_step` levels up to the second reversal, then of one.
    TwoDownOneUp {
        /// Levels a step before the second reversal.
        first_step: u32,
    },
    /// The level that is expected to tell most about threshold and slope (Kontsevich and Tyler 1999).
    Bayesian,
}

/// Something that stimuli are made under.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Short and unique: "ground truth", "rollout", "α .75", "3.5 kHz".
    pub name: String,
    /// In a sentence.
    pub explanation: String,
    /// Its part in the test.
    pub role: Role,
    /// Place on the axis of an adaptive test (α, degrees, σ, steps), in the axis' unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub level: Option<f64>,
    /// Numbers that it has besides what is heard, to be drawn beside it: "cos", "state_err".
    #[serde(default, skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    pub numbers: std::collections::BTreeMap<String, f64>,
    /// How its sounds are made, in the words of whoever makes them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rendition: Option<serde_json::Value>,
}

/// The axis of an adaptive test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Axis {
    /// "α", "angle", "noise σ", "rollout step".
    pub name: String,
    /// "°", "steps"; empty for a plain number.
    pub unit: String,
}

impl Condition {
    /// One without level, numbers and recipe.
    pub fn new(name: impl Into<String>, explanation: impl Into<String>, role: Role) -> Self {
        let (name, explanation) = (name.into(), explanation.into());
        Self { name, explanation, role, level: None, numbers: std::collections::BTreeMap::new(), rendition: None }
    }
}

/// A condition's part in the test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// What the others are compared with.
    Reference,
    /// What is tested.
    Tested,
    /// Made worse on purpose, to show that the listener uses the scale.
    Anchor,
}

/// One piece of material under every condition.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// Short and unique; the utterance's id where it is one.
    pub id: String,
    /// Speaker, where it is known: results are resampled by it.
    #[serde(default)]
    pub speaker: String,
    /// In the order of the plan's conditions. `None` is rendered when a trial first calls for it (adaptive tests); the log then says what
    /// was heard.
    pub stimuli: Vec<Option<Stimulus>>,
}

/// One sound.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stimulus {
    /// WAV or FLAC file, relative to the plan. Its name tells nothing of the condition.
    pub file: String,
    /// BLAKE3 of the file, hex.
    pub hash: String,
    /// Length in seconds, the same for every condition of an item.
    pub duration_sec: f64,
    /// Gain when it is played, dB: brings the conditions of an item to the quietest of them where the plan says so; else 0.
    pub gain_db: f64,
    /// Loudness before the gain, LUFS; `None` where it cannot be said.
    pub loudness_lufs: Option<f64>,
    /// The loudness is the ungated K-weighted level, since the sound is too short for the gates (below 3 s).
    #[serde(default)]
    pub ungated: bool,
}

/// How trials are given.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Whether level differences are taken away.
    pub loudness: Loudness,
    /// Trials before the scored ones that do not count and whose answer is shown.
    pub n_training: u32,
    /// Every stimulus of a trial must have sounded so long before an answer is taken, seconds (shorter ones whole).
    pub must_hear_sec: f64,
    /// A pause is offered after so many scored trials; 0 for none.
    pub break_every: u32,
}

impl Default for Settings {
    fn default() -> Self {
        Self { loudness: Loudness::Matched, n_training: 3, must_hear_sec: 1.0, break_every: 20 }
    }
}

/// Whether level differences between the conditions of an item are part of what is tested.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loudness {
    /// Taken away, by gain only and down to the quietest.
    #[default]
    Matched,
    /// Left as they are: a wrong magnitude may change the level, and then that is the effect.
    Unmatched,
}
