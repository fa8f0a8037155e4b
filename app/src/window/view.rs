//! What the user decided: all that shapes what is computed and shown.
//!
//! Values only. Undo walks through them, the session file keeps them, a figure carries them.

use std::collections::{BTreeMap, BTreeSet};

use driftscope_core::rollout::synthetic::Accumulation;
use driftscope_core::rollout::{Nudge, RolloutConfig, Schedule, StepAction};
use eframe::egui::ThemePreference;
use serde::{Deserialize, Serialize};

use super::curves::{Line, Metric};
use super::session::Session;
use super::source::Source;
use super::theme;

/// What a rollout is computed from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Choice {
    /// Index into the open stores.
    pub store: usize,
    /// Index into the store's corpus.
    pub utterance: usize,
    /// Index into the store's predictors.
    pub predictor: usize,
    /// First predicted frame.
    pub t0: usize,
    /// How it advances.
    pub config: RolloutConfig,
    /// What becomes of the state after each step of the live rollout; steps beyond the end keep their own frame.
    pub painted: Vec<StepAction>,
    /// How the synthetic modes add up.
    pub accumulation: Accumulation,
    /// Angle off the true direction, degrees (synthetic mode).
    pub angle_degrees: f32,
}

impl Default for Choice {
    fn default() -> Self {
        Self {
            store: 0,
            utterance: 0,
            predictor: 0,
            t0: 0,
            config: RolloutConfig::default(),
            painted: Vec::new(),
            accumulation: Accumulation::default(),
            angle_degrees: 15.0,
        }
    }
}

impl Choice {
    /// What is painted on a 1-based step.
    pub fn action(&self, step: usize) -> StepAction {
        self.painted.get(step - 1).copied().unwrap_or_default()
    }

    /// Paints a 1-based step.
    pub fn paint(&mut self, step: usize, action: StepAction) {
        if self.painted.len() < step {
            self.painted.resize(step, StepAction::Own);
        }
        self.painted[step - 1] = action;
        let kept = self.painted.iter().rposition(|a| *a != StepAction::Own).map_or(0, |last| last + 1);
        self.painted.truncate(kept);
    }

    /// The live rollout's schedule, pushed by `pulls`.
    pub fn schedule(&self, name: &str, pulls: &[Pull], session: &Session) -> Schedule {
        let actions = (1..=self.config.n_steps).map(|step| self.action(step)).collect();
        let inside = pulls.iter().filter(|pull| pull.step <= self.config.n_steps);
        let nudges = inside.map(|pull| Nudge { step: pull.step, by: session.direction(&pull.by) }).collect();
        Schedule { nudges, ..Schedule::of(name, actions) }
    }

    /// The same but for what only the synthetic modes hear.
    pub fn rolls_like(&self, other: &Self) -> bool {
        let bare = |choice: &Self| Self { accumulation: Accumulation::default(), angle_degrees: 0.0, ..choice.clone() };
        bare(self) == bare(other)
    }
}

/// A state pulled by hand: the rollout goes on from where it was put.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pull {
    /// 1-based step.
    pub step: usize,
    /// How far, along the principal components.
    pub by: Vec<f32>,
}

/// A rollout that is kept: with its own settings, and where it was pulled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Branch {
    /// Never used twice in a session.
    pub id: u32,
    /// Given by the user.
    pub name: String,
    /// Settings when it was made.
    pub choice: Choice,
    /// In the order of their steps.
    pub pulls: Vec<Pull>,
}

/// A predictor of an open store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Comparand {
    /// Index into the open stores.
    pub store: usize,
    /// Index into its predictors.
    pub predictor: usize,
}

/// What the points of a trajectory are colored by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ColorBy {
    /// Which path it is; later steps are more opaque.
    #[default]
    Path,
    /// Step of the rollout.
    Step,
    /// State error after the step.
    Error,
    /// Distance to the training side's frames.
    Manifold,
}

impl ColorBy {
    /// All, with names.
    pub const ALL: [(Self, &str); 4] = [(Self::Path, "Path"), (Self::Step, "Step"), (Self::Error, "Error"), (Self::Manifold, "Manifold")];
}

/// Ranges of the curves' axes. The app owns them: plots are told, not asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Axes {
    /// Steps in view, one range for all plots; `None` shows all.
    pub steps: Option<[f64; 2]>,
    /// Values in view of each quantity, as plotted (powers of ten on a logarithmic axis); `None` shows all.
    pub values: BTreeMap<Metric, [f64; 2]>,
    /// Value axes that nothing moves.
    pub pinned: BTreeSet<Metric>,
}

/// The panels at the sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sides {
    /// Left.
    pub library: bool,
    /// Right.
    pub inspector: bool,
}

impl Default for Sides {
    fn default() -> Self {
        Self { library: true, inspector: true }
    }
}

/// Everything that undo, the session file and a figure's provenance hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct View {
    /// The live rollout.
    pub choice: Choice,
    /// Rollouts kept beside it.
    pub branches: Vec<Branch>,
    /// Number of the next branch.
    pub next_branch: u32,
    /// Predictors compared on the chosen segment.
    pub comparands: BTreeSet<Comparand>,
    /// Heard now, or next.
    pub source: Source,
    /// Heard before.
    pub previous: Source,
    /// Shown against the truth.
    pub compared: Source,
    /// A stretch repeats.
    pub looping: bool,
    /// Which, in seconds; `None` is the rollout's own.
    pub loop_sec: Option<[f64; 2]>,
    /// All sources are as loud as the truth.
    pub match_loudness: bool,
    /// Curves the user hid.
    pub hidden: BTreeSet<Line>,
    /// Ranges of the curves' axes.
    pub axes: Axes,
    /// Seconds in view on the timeline; `None` shows all.
    pub seconds: Option<[f64; 2]>,
    /// Sampled rollouts drawn around the live one.
    pub fan: usize,
    /// What the trajectory's points are colored by.
    pub color_by: ColorBy,
    /// From where the trajectory is seen: yaw and pitch, radians.
    pub orbit: [f32; 2],
    /// How near the trajectory is seen; 1 shows all of the rollouts.
    pub nearness: f32,
    /// What the flat trajectory shows, `[[x, y] lowest, [x, y] highest]`; `None` shows all of the rollouts.
    pub plane: Option<[[f64; 2]; 2]>,
    /// Dark, light, or as the system.
    pub theme: ThemePreference,
    /// Size of everything, 1 = as the system.
    pub scale: f32,
    /// Which panels at the sides are shown.
    pub sides: Sides,
}

impl Default for View {
    fn default() -> Self {
        Self {
            choice: Choice::default(),
            branches: Vec::new(),
            next_branch: 1,
            comparands: BTreeSet::new(),
            source: Source::Rollout,
            previous: Source::Truth,
            compared: Source::Rollout,
            looping: true,
            loop_sec: None,
            match_loudness: false,
            hidden: BTreeSet::new(),
            axes: Axes::default(),
            seconds: None,
            fan: 0,
            color_by: ColorBy::default(),
            orbit: theme::FIRST_ORBIT,
            nearness: 1.0,
            plane: None,
            theme: ThemePreference::System,
            scale: 1.0,
            sides: Sides::default(),
        }
    }
}

impl View {
    /// A kept rollout.
    pub fn branch(&self, id: u32) -> Option<&Branch> {
        self.branches.iter().find(|b| b.id == id)
    }

    /// All sources there are, in the order in which they are made.
    pub fn sources(&self) -> Vec<Source> {
        let branches = self.branches.iter().map(|b| Source::Branch(b.id));
        let comparands = self.comparands.iter().map(|c| Source::Comparand(*c));
        Source::FIXED.into_iter().chain(branches).chain(comparands).chain(Source::SPLICES).collect()
    }
}

/// What a sound is made of: a sound belongs on screen when its basis is the one that is shown.
#[derive(Clone, Debug, PartialEq)]
pub struct Basis {
    store: usize,
    utterance: usize,
    accumulation: Option<Accumulation>,
    angle_degrees: Option<f32>,
    rolled: Option<(Choice, Vec<Pull>)>,
}

impl Basis {
    /// Of a source in `view`, when the rollout on screen is of `rolled`; `None` when there is no such source.
    pub fn of(source: Source, view: &View, rolled: &Choice) -> Option<Self> {
        let (choice, pulls) = match source {
            Source::Branch(id) => view.branch(id).map(|b| (b.choice.clone(), b.pulls.clone()))?,
            Source::Comparand(Comparand { store, predictor }) => (Choice { store, predictor, ..rolled.clone() }, Vec::new()),
            _ => (rolled.clone(), Vec::new()),
        };
        let rolls = matches!(source, Source::Rollout | Source::Splice(_) | Source::Branch(_) | Source::Comparand(_));
        let bare = Choice { accumulation: Accumulation::default(), angle_degrees: 0.0, ..choice };
        Some(Self {
            store: view.choice.store,
            utterance: view.choice.utterance,
            accumulation: source.is_synthetic().then_some(view.choice.accumulation),
            angle_degrees: (source == Source::OffAngle).then_some(view.choice.angle_degrees),
            rolled: rolls.then_some((bare, pulls)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn painting_leaves_no_trace_of_what_was_undone() {
        let mut choice = Choice::default();
        choice.paint(5, StepAction::Truth);
        choice.paint(2, StepAction::Freeze);
        assert_eq!((choice.action(5), choice.action(2), choice.action(9)), (StepAction::Truth, StepAction::Freeze, StepAction::Own));
        choice.paint(5, StepAction::Own);
        choice.paint(2, StepAction::Own);
        assert_eq!(choice, Choice::default());
    }

    #[test]
    fn a_view_survives_its_file() {
        let mut view = View::default();
        view.choice.paint(3, StepAction::Noise);
        view.branches.push(Branch {
            id: 1,
            name: "ä".into(),
            choice: view.choice.clone(),
            pulls: vec![Pull { step: 2, by: vec![1.0, -0.5] }],
        });
        view.axes.values.insert(Metric::Cosine, [0.0, 1.0]);
        view.hidden.insert(Line::Null);
        view.comparands.insert(Comparand { store: 0, predictor: 2 });
        view.source = Source::Comparand(Comparand { store: 0, predictor: 2 });
        let text = serde_json::to_string(&view).unwrap();
        assert_eq!(serde_json::from_str::<View>(&text).unwrap(), view);
        assert_eq!(serde_json::from_str::<View>("{}").unwrap(), View::default(), "what a file leaves out has its default");
    }

    #[test]
    fn a_sound_is_made_anew_only_for_what_it_is_made_of() {
        let before = View::default();
        let mut after = before.clone();
        after.choice.config.alpha = 0.5;
        after.choice.angle_degrees = 40.0;
        let differs = |source| Basis::of(source, &before, &before.choice) != Basis::of(source, &after, &after.choice);
        assert!(differs(Source::Rollout) && differs(Source::Splice(4)) && differs(Source::OffAngle));
        assert!(!differs(Source::Truth) && !differs(Source::Slow50) && !differs(Source::Original));
    }
}
