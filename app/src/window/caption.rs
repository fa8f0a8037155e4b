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
    let injected = schedule.actions.iter().zip(1..).filter(|(action, _)| **action == StepAction::Truth).map(|(_, step): (_, usize)| step);
    let injected: Vec<String> = injected.map(|step| step.to_string()).collect();
    match injected.len() {
        0 => "own frames alone".into(),
        _ if schedule.is_teacher() => "state and window always true".into(),
        1 => format!("true state put back after step {}", injected[0]),
        _ => format!("true state put back after steps {}", injected.join(", ")),
    }
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
