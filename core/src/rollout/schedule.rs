//! What happens to the state after each step.

/// After a step: keep the own prediction, or replace the state by the true frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepAction {
    /// The predictor's own frame stays.
    #[default]
    Own,
    /// The true frame replaces it.
    Truth,
}

/// A named plan of actions, one a step.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Schedule {
    /// JSON key ("A_teacher", "B_periodic", "C_one_shot", "D_rollout", or the user's).
    pub name: String,
    /// Teacher forcing: state and window are always true.
    pub teacher: bool,
    /// One action for each step, `[n_steps]`.
    pub actions: Vec<StepAction>,
}

impl Schedule {
    /// Mode A: state and window always true.
    pub fn teacher(n_steps: usize) -> Self {
        Self { name: "A_teacher".into(), teacher: true, actions: vec![StepAction::Truth; n_steps] }
    }

    /// True state after the given 1-based steps; the window keeps its predicted frames.
    pub fn inject_after(name: &str, steps: &[usize], n_steps: usize) -> Self {
        let action = |step| if steps.contains(&step) { StepAction::Truth } else { StepAction::Own };
        Self { name: name.to_owned(), teacher: false, actions: (1..=n_steps).map(action).collect() }
    }

    /// Mode B: after steps 4, 8, 12.
    pub fn periodic(n_steps: usize) -> Self {
        Self::inject_after("B_periodic", &[4, 8, 12], n_steps)
    }

    /// Mode C: after step 1.
    pub fn one_shot(n_steps: usize) -> Self {
        Self::inject_after("C_one_shot", &[1], n_steps)
    }

    /// Mode D: never.
    pub fn free(n_steps: usize) -> Self {
        Self::inject_after("D_rollout", &[], n_steps)
    }

    /// Modes A, B, C, D.
    pub fn standard(n_steps: usize) -> Vec<Self> {
        vec![Self::teacher(n_steps), Self::periodic(n_steps), Self::one_shot(n_steps), Self::free(n_steps)]
    }
}
