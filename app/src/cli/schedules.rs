//! Injection modes and rollout settings as options.

use super::usage;
use driftscope_core::predict::MagnitudeRule;
use driftscope_core::rollout::{RolloutConfig, Schedule, StepAction};

/// More than any store's utterance has; a number mistyped must not ask for all memory.
const MOST_STEPS: usize = 1_000_000;

/// How a rollout advances.
#[derive(Clone, Debug, serde::Serialize, clap::Args)]
pub(super) struct RolloutArgs {
    /// Steps of each rollout
    #[arg(long, value_name = "K", default_value_t = 16)]
    pub(super) steps: usize,
    /// Which point of the predicted distribution the state advances by
    #[arg(long, value_enum, default_value_t = Rule::Median)]
    rule: Rule,
    /// Factor on every predicted Δ
    #[arg(long, default_value_t = 1.0)]
    alpha: f32,
    /// True state after every N steps
    #[arg(long, value_name = "N")]
    reanchor: Option<usize>,
    /// Spread of samples (rule sample)
    #[arg(long, default_value_t = 1.0)]
    temperature: f32,
    /// Noise on the state after each step, in units of the median ‖Δ‖/√D
    #[arg(long, value_name = "SIGMA", default_value_t = 0.0)]
    noise: f32,
}

/// `--rule` as clap knows it.
#[derive(Clone, Copy, Debug, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
enum Rule {
    Mean,
    Median,
    Mode,
    Sample,
}

impl RolloutArgs {
    pub(super) fn config(&self) -> anyhow::Result<RolloutConfig> {
        if !(1..=MOST_STEPS).contains(&self.steps) || self.reanchor == Some(0) {
            usage!("a rollout needs at least one step and at most {MOST_STEPS}, and --reanchor at least one");
        }
        let rule = match self.rule {
            Rule::Mean => MagnitudeRule::Mean,
            Rule::Median => MagnitudeRule::Median,
            Rule::Mode => MagnitudeRule::Mode,
            Rule::Sample => MagnitudeRule::Sample,
        };
        Ok(RolloutConfig {
            n_steps: self.steps,
            rule,
            alpha: self.alpha,
            reanchor_every: self.reanchor,
            temperature: self.temperature,
            noise_sigma: self.noise,
        })
    }
}

/// `A`, `B`, `C`, `D`, `after:3+7` for the true state after steps 3 and 7, or `paint:otnf` for one letter a step.
pub(super) fn schedule(text: &str, n_steps: usize) -> anyhow::Result<Schedule> {
    match text.trim() {
        "A" | "a" | "A_teacher" => return Ok(Schedule::teacher(n_steps)),
        "B" | "b" | "B_periodic" => return Ok(Schedule::periodic(n_steps)),
        "C" | "c" | "C_one_shot" => return Ok(Schedule::one_shot(n_steps)),
        "D" | "d" | "D_rollout" => return Ok(Schedule::free(n_steps)),
        _ => {}
    }
    if let Some(letters) = text.trim().strip_prefix("paint:") {
        return painted(letters, n_steps);
    }
    let steps = text.trim().strip_prefix("after:").map(|list| list.split('+').map(|s| s.trim().parse()).collect::<Result<Vec<usize>, _>>());
    match steps {
        Some(Ok(steps)) if steps.iter().all(|s| (1..=n_steps).contains(s)) => {
            let name = steps.iter().map(ToString::to_string).collect::<Vec<_>>().join("_");
            Ok(Schedule::inject_after(&format!("after_{name}"), &steps, n_steps))
        }
        _ => usage!(
            "{text} is no mode; use A, B, C, D, after:3+7 for the true state after steps 3 and 7 of {n_steps}, or paint:otnf for one letter a \
             step (own, truth, noise, freeze)"
        ),
    }
}

/// One letter a step; steps beyond the last letter keep their own frame.
fn painted(letters: &str, n_steps: usize) -> anyhow::Result<Schedule> {
    let action = |letter: char| match letter {
        'o' => Ok(StepAction::Own),
        't' => Ok(StepAction::Truth),
        'n' => Ok(StepAction::Noise),
        'f' => Ok(StepAction::Freeze),
        other => usage!("paint:{letters}: {other} paints nothing; the letters are o (own), t (truth), n (noise), f (freeze)"),
    };
    let mut actions = letters.to_lowercase().chars().map(action).collect::<anyhow::Result<Vec<_>>>()?;
    if actions.is_empty() || actions.len() > n_steps {
        usage!("paint:{letters} has {} letters for {n_steps} steps; it takes one a step, and at least one", actions.len());
    }
    actions.resize(n_steps, StepAction::Own);
    Ok(Schedule::of(&format!("paint_{letters}"), actions))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_by_letter_and_by_step() {
        assert_eq!(schedule("A", 16).unwrap(), Schedule::teacher(16));
        assert_eq!(schedule(" d ", 16).unwrap(), Schedule::free(16));
        let painted = schedule("after:1+3", 4).unwrap();
        let (own, truth) = (StepAction::Own, StepAction::Truth);
        assert_eq!(painted.actions, [truth, own, truth, own]);
        assert_eq!(painted.name, "after_1_3");
        use StepAction::{Freeze, Noise};
        assert_eq!(schedule("paint:oTnf", 5).unwrap().actions, [own, truth, Noise, Freeze, own]);
        for bad in ["E", "after:0", "after:17", "after:", "", "paint:", "paint:ox", "paint:ooooooooooooooooo"] {
            assert!(schedule(bad, 16).is_err(), "{bad}");
        }
    }
}
