//! What happens to the state after each step.

/// After a step: keep the own prediction, or replace the state by the true frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepAction {
    /// The predictor's own frame stays.
    #[default]
    Own,
    /// The true frame replaces it, in the state and in the windows of later steps; frames predicted earlier stay in those windows.
    Truth,
}

/// A named plan of actions, one a step. Truth after every step is teacher forcing: state and windows are always true.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Schedule {
    /// JSON key ("A_teacher", "B_periodic", "C_one_shot", "D_rollout", or the user's).
    pub name: String,
    /// One action for each step, `[n_steps]`.
    pub actions: Vec<StepAction>,
}

impl Schedule {
    /// Mode A: state and window always true.
    pub fn teacher(n_steps: usize) -> Self {
        Self { name: "A_teacher".into(), actions: vec![StepAction::Truth; n_steps] }
    }

    /// True state after the given 1-based steps; the window keeps its predicted frames.
    pub fn inject_after(name: &str, steps: &[usize], n_steps: usize) -> Self {
        let action = |step| if steps.contains(&step) { StepAction::Truth } else { StepAction::Own };
        Self { name: name.to_owned(), actions: (1..=n_steps).map(action).collect() }
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
        self.actions.iter().all(|&action| action == StepAction::Truth)
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
