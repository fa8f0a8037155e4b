//! What happens to the state after each step.

/// What the state is after a step, and with it the frame that enters the windows of later steps; frames predicted earlier stay in those.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepAction {
    /// The predictor's own frame stays.
    #[default]
    Own,
    /// The true frame replaces it.
    Truth,
    /// The state before the step plus a seeded Gaussian step, SD = median ‖Δ‖/√D a component: as long as a true one, in no direction.
    Noise,
    /// The state before the step stays.
    Freeze,
}

impl StepAction {
    /// All, in the order in which a click walks through them.
    pub const ALL: [Self; 4] = [Self::Own, Self::Truth, Self::Noise, Self::Freeze];
}

/// A push on the state after a step, whatever the step's action made of it: how a rollout branches off by hand.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Nudge {
    /// 1-based step after which it is given.
    pub step: usize,
    /// What is added to the state, raw units, `[dim]`.
    pub by: Vec<f32>,
}

/// A named plan of actions, one a step. Truth after every step and no nudge is teacher forcing: state and windows are always true.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Schedule {
    /// JSON key ("A_teacher", "B_periodic", "C_one_shot", "D_rollout", or the user's).
    pub name: String,
    /// One action for each step, `[n_steps]`.
    pub actions: Vec<StepAction>,
    /// Pushes by hand, in the order of their steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nudges: Vec<Nudge>,
}

impl Schedule {
    /// A plan without nudges.
    pub fn of(name: &str, actions: Vec<StepAction>) -> Self {
        Self { name: name.to_owned(), actions, nudges: Vec::new() }
    }

    /// Mode A: state and window always true.
    pub fn teacher(n_steps: usize) -> Self {
        Self::of("A_teacher", vec![StepAction::Truth; n_steps])
    }

    /// True state after the given 1-based steps; the window keeps its predicted frames.
    pub fn inject_after(name: &str, steps: &[usize], n_steps: usize) -> Self {
        let action = |step| if steps.contains(&step) { StepAction::Truth } else { StepAction::Own };
        Self::of(name, (1..=n_steps).map(action).collect())
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

    /// Whether every step is followed by the truth.
    pub fn is_teacher(&self) -> bool {
        self.nudges.is_empty() && self.actions.iter().all(|&action| action == StepAction::Truth)
    }

    /// What the state is pushed by after a 1-based step.
    pub(super) fn nudge(&self, step: usize) -> Option<&[f32]> {
        self.nudges.iter().find(|n| n.step == step).map(|n| n.by.as_slice())
    }

    /// The same plan with the true state after every `every` steps besides.
    pub(super) fn reanchored(&self, every: Option<usize>) -> Self {
        let mut plan = self.clone();
        if let Some(every) = every.filter(|&n| n > 0) {
            plan.actions.iter_mut().skip(every - 1).step_by(every).for_each(|action| *action = StepAction::Truth);
        }
        plan
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn painted(schedule: &Schedule) -> String {
        schedule.actions.iter().map(|a| if *a == StepAction::Truth { '#' } else { '.' }).collect()
    }

    #[test]
    fn plans_are_what_their_names_say() {
        let cases = [
            (Schedule::teacher(6), "######"),
            (Schedule::one_shot(6), "#....."),
            (Schedule::free(6), "......"),
            (Schedule::periodic(13), "...#...#...#."),
            (Schedule::free(7).reanchored(Some(3)), "..#..#."),
            (Schedule::one_shot(5).reanchored(Some(2)), "##.#."),
            (Schedule::free(3).reanchored(Some(1)), "###"),
            (Schedule::free(3).reanchored(None), "..."),
        ];
        for (schedule, expected) in cases {
            assert_eq!(painted(&schedule), expected, "{}", schedule.name);
        }
        assert!(Schedule::free(3).reanchored(Some(1)).is_teacher());
    }
}
