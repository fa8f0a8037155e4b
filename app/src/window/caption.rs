//! What a figure's caption says: everything that shaped its curves.

use driftscope_core::diagnose::InjectionReport;
use driftscope_core::predict::MagnitudeRule;
use driftscope_core::rollout::{RolloutConfig, Schedule, StepAction};

use super::curves::{Average, Metric};

/// "A teacher: state and window always true; B periodic: …", as it was run, re-anchoring included.
pub fn modes(report: &InjectionReport) -> String {
    let mode = |schedule: &Schedule| format!("{}: {}", schedule.name.replace('_', " "), plan(schedule));
    report.rollouts.iter().map(|r| mode(&r.schedule)).collect::<Vec<_>>().join("; ")
}

/// What a schedule does, in words.
pub fn plan(schedule: &Schedule) -> String {
    if schedule.is_teacher() {
        return "state and window always true".into();
    }
    let after = |wanted: StepAction, what: &str| {
        let steps = schedule.actions.iter().zip(1_usize..).filter(|(action, _)| **action == wanted);
        let steps: Vec<String> = steps.map(|(_, step)| step.to_string()).collect();
        let plural = if steps.len() > 1 { "s" } else { "" };
        (!steps.is_empty()).then(|| format!("{what} step{plural} {}", steps.join(", ")))
    };
    let parts = [
        after(StepAction::Truth, "true state put back after"),
        after(StepAction::Noise, "a random step in place of"),
        after(StepAction::Freeze, "frozen at"),
        (!schedule.nudges.is_empty()).then(|| {
            let steps: Vec<String> = schedule.nudges.iter().map(|n| n.step.to_string()).collect();
            format!("pushed by hand after {}", steps.join(", "))
        }),
    ];
    let said: Vec<String> = parts.into_iter().flatten().collect();
    if said.is_empty() { "own frames alone".into() } else { said.join("; ") }
}

/// What points and bands are of each metric.
pub fn bands() -> String {
    let names = |average| Metric::ALL.iter().filter(|m| m.average() == average).map(|m| m.name()).collect::<Vec<_>>().join(" and ");
    Average::ALL.map(|average| format!("{}: {}", names(average), average.words())).join("; ")
}

/// Every setting that a rollout advances by.
pub fn advance(config: &RolloutConfig) -> String {
    let rule = match config.rule {
        MagnitudeRule::Mean => "mean",
        MagnitudeRule::Median => "median",
        MagnitudeRule::Mode => "mode",
        MagnitudeRule::Sample => "sample",
    };
    let anchor = config.reanchor_every.map_or_else(|| "never re-anchored".to_owned(), |n| format!("re-anchored every {n} steps"));
    let RolloutConfig { alpha, temperature, noise_sigma, .. } = config;
    // Adding 0.0 turns a slider's negative zero into zero.
    format!("magnitude rule {rule}, α = {alpha:.2}, temperature {temperature:.2}, noise σ = {:.2}, {anchor}", noise_sigma + 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plans_are_said_as_they_run() {
        for (schedule, words) in [
            (Schedule::teacher(4), "state and window always true"),
            (Schedule::periodic(16), "true state put back after steps 4, 8, 12"),
            (Schedule::one_shot(4), "true state put back after step 1"),
            (Schedule::free(4), "own frames alone"),
            (
                Schedule::of("painted", vec![StepAction::Noise, StepAction::Freeze, StepAction::Noise, StepAction::Truth]),
                "true state put back after step 4; a random step in place of steps 1, 3; frozen at step 2",
            ),
        ] {
            assert_eq!(plan(&schedule), words);
        }
    }

    #[test]
    fn every_setting_is_said() {
        let config = RolloutConfig { alpha: 0.5, reanchor_every: Some(4), noise_sigma: 0.25, ..RolloutConfig::default() };
        assert_eq!(advance(&config), "magnitude rule median, α = 0.50, temperature 1.00, noise σ = 0.25, re-anchored every 4 steps");
    }
}
