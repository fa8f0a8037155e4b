//! A listening test as it is prepared in the window.

use std::path::PathBuf;

use driftscope_core::battery::{Axis, BatteryConfig, Rendition};
use driftscope_core::listen::{Loudness, Settings};
use driftscope_core::rollout::synthetic::{Accumulation, SyntheticMode};
use driftscope_core::run::Timestamp;
use serde::{Deserialize, Serialize};

use super::state::State;
use crate::listening::{Kind, MUST_HEAR_SEC, TestDraft};
use crate::open;

/// A test in preparation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BlindDraft {
    /// Index into the open stores.
    pub store: usize,
    /// Index into its predictors: who rolls out.
    pub predictor: usize,
    /// Who listens.
    pub listener: String,
    /// The question.
    pub kind: Kind,
    /// What everything is compared with.
    pub reference: Rendition,
    /// What is compared.
    pub tested: Vec<Rendition>,
    /// What an adaptive test varies.
    pub axis: Axis,
    /// Scored trials a condition or pair, or in all where the level is adapted.
    pub n_trials: u32,
    /// Which utterances, how long, and how the rollouts advance.
    pub material: BatteryConfig,
    /// Whether level differences are taken away.
    pub loudness: Loudness,
    /// Trials for practice.
    pub n_training: u32,
    /// Where the test is written.
    pub out: PathBuf,
}

impl BlindDraft {
    /// As it is offered at first: is a splice of four steps heard?
    pub fn first(state: &State) -> Self {
        let choice = state.choice();
        let name = format!("test-{}", Timestamp::now().compact());
        Self {
            store: choice.store,
            predictor: choice.predictor,
            listener: std::env::var("USER").unwrap_or_default(),
            kind: Kind::Abx,
            reference: Rendition::Truth,
            tested: vec![Rendition::Splice { n_steps: 4 }],
            axis: Axis::Steps,
            n_trials: Kind::Abx.n_trials(),
            material: BatteryConfig {
                n_items: 8,
                max_duration_sec: 8.0,
                splice_steps: Vec::new(),
                rollout: choice.config.clone(),
                ..BatteryConfig::default()
            },
            loudness: Loudness::Matched,
            n_training: 3,
            out: open::data_folder().join("listening").join(name),
        }
    }

    /// What can be compared.
    pub fn offered() -> Vec<Rendition> {
        use Accumulation::{Accumulated, PerStep};
        let slow = |alpha| SyntheticMode::Slow { alpha };
        let splices = [1, 2, 4, 8, 16].map(|n_steps| Rendition::Splice { n_steps });
        let accumulated = [slow(0.75), slow(0.5), slow(0.25), SyntheticMode::WrongDirection];
        let per_step = [slow(0.75), slow(0.5), SyntheticMode::OffAngle { degrees: 14.4 }];
        let mut all = vec![Rendition::Truth, Rendition::Rollout];
        all.extend(splices);
        all.extend(accumulated.map(|mode| Rendition::Synthetic { mode, accumulation: Accumulated }));
        all.extend(per_step.map(|mode| Rendition::Synthetic { mode, accumulation: PerStep }));
        all
    }

    /// Takes another question, with as many trials as it needs.
    pub fn ask(&mut self, kind: Kind) {
        self.kind = kind;
        self.n_trials = kind.n_trials();
        self.material.n_items = if kind.counts_trials() { 8 } else { 6 };
    }

    /// Takes a condition in or out.
    pub fn toggle(&mut self, rendition: Rendition) {
        if self.tested.contains(&rendition) {
            self.tested.retain(|r| *r != rendition);
        } else {
            self.tested.push(rendition);
            let order = Self::offered();
            self.tested.sort_by_key(|r| order.iter().position(|o| o == r));
        }
    }

    /// What is missing, if anything.
    pub fn missing(&self) -> Option<&'static str> {
        let n = self.tested.iter().filter(|r| **r != self.reference).count();
        match () {
            () if self.listener.trim().is_empty() => Some("Who listens?"),
            () if !self.kind.is_adaptive() && n == 0 => Some("Choose what is compared."),
            () if self.kind == Kind::Preference && n < 2 => Some("A preference needs two conditions."),
            () => None,
        }
    }

    /// How many scored trials that makes at most.
    pub fn n_scored(&self) -> u32 {
        let n = self.tested.iter().filter(|r| **r != self.reference).count() as u32;
        match self.kind {
            Kind::Staircase | Kind::Bayesian => self.n_trials,
            Kind::Mushra => self.material.n_items as u32,
            Kind::TripleStimulus => self.material.n_items as u32 * n,
            Kind::Preference => self.n_trials * n * n.saturating_sub(1) / 2,
            Kind::Abx | Kind::Sequential | Kind::Equivalence => self.n_trials * n,
        }
    }

    /// As it is made.
    pub fn draft(&self) -> TestDraft {
        let tested = self.tested.iter().copied().filter(|r| *r != self.reference).collect();
        let (_, name, _) = self.kind.row();
        TestDraft {
            // What is compared stands in the plan and in the results, and not before the listener's eyes.
            title: name.to_owned(),
            design: self.kind.design(self.n_trials),
            reference: self.reference,
            tested,
            axis: self.kind.is_adaptive().then_some(self.axis),
            anchors: self.kind == Kind::Mushra,
            material: self.material.clone(),
            settings: Settings {
                loudness: self.loudness,
                n_training: self.n_training,
                must_hear_sec: MUST_HEAR_SEC,
                ..Settings::default()
            },
        }
    }
}
