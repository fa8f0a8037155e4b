//! Results in sentences that a paper can quote. A null is called what it is.

use std::fmt::Write as _;

use super::outcome::{Named, Outcome, RatingsOutcome, ThresholdOutcome};
use super::{ListenerThreshold, Results};
use crate::listen::plan::{Axis, Design, Loudness, Role, Stop};
use crate::listen::statistics::{Interval, Threshold, Unit, Verdict};

/// Listeners after screening (BS.1534-3).
const SUFFICIENT: usize = 20;

pub(super) fn summary(results: &Results) -> String {
    let mut text = heading(results);
    text.push_str(&sentences(&results.raw, results));
    if let Some(rule) = results.screening {
        let out: Vec<&super::Listener> = results.listeners.iter().filter(|l| !l.screened_out.is_empty()).collect();
        let _ = writeln!(text, "Screening ({rule}) leaves out {} of {} listeners.", out.len(), results.listeners.len());
        for listener in &out {
            let _ = writeln!(text, "  {} {}.", listener.name, listener.screened_out.join(" and "));
        }
        match &results.screened {
            Some(screened) if !out.is_empty() => {
                let _ = write!(text, "After screening:\n{}", sentences(screened, results));
            }
            Some(_) => text.push_str("Results after screening are the same.\n"),
            None => text.push_str("After screening nobody is left.\n"),
        }
        let n_left = results.listeners.len() - out.len();
        if results.design == Design::Mushra && n_left < SUFFICIENT {
            let _ = writeln!(text, "{n_left} listeners are left; BS.1534-3 finds {SUFFICIENT} often sufficient.");
        }
    }
    text.push_str(&logs(results));
    text
}

fn heading(results: &Results) -> String {
    let plan = results.test.plan();
    let (n_listeners, n_items) = (results.listeners.len(), results.n_items);
    let has_anchors = plan.conditions.iter().any(|c| c.role == Role::Anchor);
    let test = match results.design {
        Design::Abx { stop: Stop::Fixed { n_trials }, alpha } => {
            format!("ABX, {n_trials} trials a condition and listener, one-sided exact binomial test at {}", proportion(alpha))
        }
        Design::Abx { stop: Stop::Sequential { p1, beta, max_trials }, alpha } => format!(
            "ABX by Wald's sequential test of p = .5 against p = {} (α = {}, β = {}, at most {max_trials} trials a condition and listener)",
            proportion(p1),
            proportion(alpha),
            proportion(beta)
        ),
        Design::Equivalence { n_trials, margin, alpha } => format!(
            "equivalence test in ABX trials, {n_trials} a condition and listener, one-sided exact binomial test of p = {} at {}",
            proportion(margin),
            proportion(alpha)
        ),
        Design::Preference { n_trials, ties } => {
            format!(
                "paired preference without a reference, {n_trials} trials a pair and listener{}",
                if ties { ", ties split evenly" } else { "" }
            )
        }
        Design::Mushra if has_anchors => "MUSHRA (BS.1534-3: hidden reference and anchors)".to_owned(),
        Design::Mushra => "ratings from 0 to 100 beside the reference, with a hidden reference and without anchors (not MUSHRA)".to_owned(),
        Design::TripleStimulus => "double-blind triple stimulus with hidden reference (BS.1116-3)".to_owned(),
        Design::Threshold { n_trials, .. } => format!("adaptive test in trials of two beside a reference, {n_trials} a listener"),
    };
    let who = if results.is_pilot { "a pilot with 1 listener".to_owned() } else { format!("{n_listeners} listeners") };
    let loudness = match results.loudness {
        Loudness::Matched if plan.items.iter().flat_map(|item| &item.stimuli).flatten().any(|s| s.ungated) => {
            "loudness matched to the quietest sound of each item by gain (BS.1770; K-weighted level without gates below 3 s)"
        }
        Loudness::Matched => "loudness matched to the quietest sound of each item by gain (BS.1770)",
        Loudness::Unmatched => "loudness not matched",
    };
    let pilot = if results.is_pilot { "One listener: all numbers are of this listener, and say nothing of others.\n" } else { "" };
    let items = if n_items == 1 { "1 item".to_owned() } else { format!("{n_items} items") };
    format!("\"{}\": {test}; {who}, {items}; {loudness}; intervals are 95 %.\n{pilot}", results.title)
}

fn sentences(outcome: &Outcome, results: &Results) -> String {
    match outcome {
        Outcome::Abx(conditions) => {
            let n = conditions.len();
            conditions.iter().map(|Named { name, result }| format!("{name}: {}\n", abx(result, n))).collect()
        }
        Outcome::Equivalence(conditions) => {
            let n = conditions.len();
            conditions.iter().map(|Named { name, result }| format!("{name}: {}\n", equivalence(result, n))).collect()
        }
        Outcome::Sequential(conditions) => {
            conditions.iter().map(|Named { name, result }| format!("{name}: {}\n", sequential(result))).collect()
        }
        Outcome::Preference(pairs) => pairs.iter().map(|pair| preference(pair, pairs.len(), results)).collect(),
        Outcome::Ratings(outcome) => ratings(outcome, "rated"),
        Outcome::DifferenceGrades(outcome) => ratings(outcome, "difference grade"),
        Outcome::Threshold(outcome) => threshold(outcome, results),
    }
}

fn abx(result: &super::AbxOutcome, n_conditions: usize) -> String {
    let pooled = &result.pooled;
    let verdict = if result.heard { "heard" } else { "not shown to be heard" };
    let counts = right_of(pooled.tally.n_right(), pooled.tally.n_trials(), pooled.interval);
    let mut text = format!("{verdict}: {counts}, {}{}.", p(pooled.p_value), holm(result.p_holm, n_conditions));
    if !result.heard {
        let found = match pooled.found_with_power {
            Some(p) => format!("so many trials find who is right in {} with a power of .8", percent(p)),
            None => "so few trials find nobody with a power of .8".to_owned(),
        };
        let _ = write!(
            text,
            " The answers rule out a proportion above {} (one-sided {}); {found}. This does not show that the two are the same.",
            percent(pooled.rules_out_above),
            percent(1.0 - pooled.alpha)
        );
    }
    text
}

fn equivalence(result: &super::EquivalenceOutcome, n_conditions: usize) -> String {
    let pooled = &result.pooled;
    let verdict = if result.same { "the same" } else { "not shown to be the same" };
    let counts = right_of(pooled.tally.n_right(), pooled.tally.n_trials(), pooled.interval);
    let test = format!("{}{} that p is {} or more", p(pooled.p_value), holm(result.p_holm, n_conditions), proportion(pooled.margin));
    let text = format!("{verdict} to within a proportion of {} right: {counts}, {test}.", proportion(pooled.margin));
    if result.same {
        return text;
    }
    format!("{text} So many trials show it with a chance of {} where nothing is heard.", percent(pooled.power_if_guessing))
}

fn sequential(result: &super::SequentialOutcome) -> String {
    let count = |verdict: Verdict| result.listeners.iter().filter(|(_, v)| *v == verdict).count();
    let n_trials: u32 = result.listeners.iter().map(|(listener, _)| listener.n_trials).sum();
    let chances = result.chances;
    format!(
        "heard by {} of {} listeners, not heard by {}, undecided for {}, in {n_trials} trials. The test finds who is right in {} with a chance \
         of {}, and who guesses with one of {}; \"not heard\" rules out the former only.",
        count(Verdict::Heard),
        result.listeners.len(),
        count(Verdict::NotHeard),
        count(Verdict::Undecided),
        percent(chances.p1),
        percent(chances.power),
        percent(chances.false_alarm)
    )
}

fn preference(pair: &Named<crate::listen::statistics::PairResult>, n_pairs: usize, results: &Results) -> String {
    let (conditions, result) = (&results.test.plan().conditions, &pair.result);
    let name = |condition: usize| conditions[condition].name.as_str();
    let n = result.n_first + result.n_second + result.n_ties;
    let is_shown = result.p_holm <= 0.05;
    let verdict = match (is_shown, result.win_rate > 0.5) {
        (true, true) => format!("{} preferred to {}", name(result.pair.0), name(result.pair.1)),
        (true, false) => format!("{} preferred to {}", name(result.pair.1), name(result.pair.0)),
        (false, _) => format!("no preference shown between {} and {}", name(result.pair.0), name(result.pair.1)),
    };
    let ties = if result.n_ties > 0 { format!(", {} without preference", result.n_ties) } else { String::new() };
    format!(
        "{verdict}: {} for {} and {} for {} of {n}{ties}; win rate of the former {} ({}), {}{} (two-sided).\n",
        result.n_first,
        name(result.pair.0),
        result.n_second,
        name(result.pair.1),
        percent(result.win_rate),
        interval_percent(result.interval),
        p(result.p_value),
        holm(result.p_holm, n_pairs)
    )
}

fn ratings(outcome: &RatingsOutcome, what: &str) -> String {
    let range = |interval: Option<Interval>| interval.map_or_else(String::new, |i| format!(" ({:.1} to {:.1})", i.low, i.high));
    let mut text = String::new();
    for Named { name, result } in &outcome.conditions {
        let [_, median, _] = result.quartiles;
        let _ = writeln!(
            text,
            "{name}: {what} {:.1}{}, median {median:.1}, of {} ratings.",
            result.mean,
            range(result.interval),
            result.n_ratings
        );
    }
    for (n, comparisons) in [&outcome.against_reference, &outcome.pairs].into_iter().map(|all| (all.len(), all)) {
        for Named { name, result } in comparisons {
            let unit = if result.unit == Unit::Listeners { "listeners" } else { "items" };
            if result.wilcoxon.n == 0 {
                let _ = writeln!(text, "{name}: rated alike throughout; there is nothing to test.");
                continue;
            }
            let shown = if result.p_holm <= 0.05 { "" } else { "; no difference is shown" };
            let _ = writeln!(
                text,
                "{name}: {:+.1}{}, Wilcoxon's signed ranks over {} {unit} {}{}{shown}.",
                result.mean_difference,
                range(result.interval),
                result.wilcoxon.n,
                p(result.wilcoxon.p_value),
                holm(result.p_holm, n)
            );
        }
    }
    if let Some(friedman) = &outcome.friedman {
        let (chi, degrees, blocks) = (friedman.statistic, friedman.degrees_of_freedom, friedman.n_blocks);
        let _ = writeln!(text, "All tested conditions: Friedman's χ²({degrees}) = {chi:.2} over {blocks} blocks, {}.", p(friedman.p_value));
    }
    text
}

fn threshold(outcome: &ThresholdOutcome, results: &Results) -> String {
    let plain = Axis { name: "level".to_owned(), unit: String::new() };
    let axis = results.test.plan().axis.as_ref().unwrap_or(&plain);
    let all = outcome.pooled.iter().chain(&outcome.listeners);
    all.map(|listener| format!("{}: {}\n", listener.listener, heard_from(listener, axis, &outcome.levels))).collect()
}

fn heard_from(listener: &ListenerThreshold, axis: &Axis, levels: &[f64]) -> String {
    let unit = if axis.unit.is_empty() || axis.unit.starts_with('°') { axis.unit.clone() } else { format!(" {}", axis.unit) };
    let at = |level: f64| format!("{}{unit}", short(level));
    let end = |level: Option<f64>, beyond: &str| level.map_or_else(|| beyond.to_owned(), at);
    let first = at(levels.first().copied().unwrap_or(f64::NAN));
    let last = at(levels.last().copied().unwrap_or(f64::NAN));
    let (before, after) = (format!("before {first}"), format!("beyond {last}"));
    let n = listener.n_trials;
    let text = match listener.threshold {
        Threshold::Within { level, from, to } => {
            format!("75 % right at {} = {} ({} to {}), of {n} trials", axis.name, at(level), end(from, &before), end(to, &after))
        }
        Threshold::Below { to } => format!(
            "75 % right at the least audible level already ({} = {first}; the interval ends {}), of {n} trials",
            axis.name,
            end(to, &after)
        ),
        Threshold::Above { from } => format!(
            "75 % right not reached at the most audible level ({} = {last}; the interval begins {}), of {n} trials",
            axis.name,
            end(from, &before)
        ),
    };
    let fit = if listener.fit.p_value < 0.05 {
        format!("; the curve does not fit the answers ({})", p(listener.fit.p_value))
    } else {
        String::new()
    };
    format!("{text}{fit}.")
}

fn logs(results: &Results) -> String {
    let n_voided: u32 = results.listeners.iter().map(|listener| listener.n_voided).sum();
    let logs =
        if results.listeners.len() == 1 { "1 log as it was".to_owned() } else { format!("{} logs as they were", results.listeners.len()) };
    let mut text = format!("Plan {}; {logs} written, {n_voided} trials voided", &results.plan[..16]);
    if results.n_unfinished > 0 {
        let _ = write!(text, "; {} not finished, not counted", results.n_unfinished);
    }
    text.push_str(".\n");
    for sentence in &results.left_out {
        let _ = writeln!(text, "Left out: {sentence}.");
    }
    text
}

fn right_of(n_right: u32, n_trials: u32, interval: Interval) -> String {
    let share = f64::from(n_right) / f64::from(n_trials.max(1));
    format!("{n_right} of {n_trials} right ({}; {})", percent(share), interval_percent(interval))
}

fn interval_percent(interval: Interval) -> String {
    format!("{:.0} to {:.0} %", interval.low * 100.0, interval.high * 100.0)
}

fn percent(share: f64) -> String {
    format!("{:.0} %", share * 100.0)
}

/// Of one of several tests.
fn holm(p_holm: f64, n_tests: usize) -> String {
    if n_tests > 1 { format!(" (Holm {})", p(p_holm)) } else { String::new() }
}

/// "p = .038", "p = 3.1e-7".
fn p(p_value: f64) -> String {
    if p_value < 5e-4 { format!("p = {p_value:.1e}") } else { format!("p = {}", proportion((p_value * 1e3).round() / 1e3)) }
}

/// As papers write what cannot pass 1: without the zero before the point.
fn proportion(value: f64) -> String {
    let text = short(value);
    text.strip_prefix("0.").map_or(text.clone(), |digits| format!(".{digits}"))
}

/// Four digits at most, none that say nothing.
fn short(value: f64) -> String {
    let digits = if value.abs() < 1.0 { 4 } else { 2 };
    let text = format!("{value:.digits$}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}
