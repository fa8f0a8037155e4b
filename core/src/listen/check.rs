//! What is wrong with a plan, and what a standard would have otherwise.

use std::collections::BTreeSet;

use super::plan::{Design, Loudness, Plan, Role, Stop};
use super::statistics::{self, BinomialTest, EquivalenceTest, Sequential};

/// Lengths of one item's sounds may differ by this: a frame at 12.5 Hz, the lowest rate of the codecs in use.
pub const LENGTH_TOLERANCE_SEC: f64 = 0.08;

/// Scored trials of a listener; nobody hears more.
const MAX_SCORED: u32 = 10_000;

/// What [`check`] finds. Each is a sentence.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Check {
    /// No test can be made of such a plan.
    pub errors: Vec<String>,
    /// It can, but the standards or good sense say otherwise.
    pub advice: Vec<String>,
}

/// Checks a plan by itself, without its sounds.
pub fn check(plan: &Plan) -> Check {
    let mut found = Check::default();
    if plan.format != 1 {
        found.errors.push(format!("the plan has format {}, and this program reads 1", plan.format));
    }
    check_names(plan, &mut found);
    check_roles(plan, &mut found);
    if found.errors.is_empty() {
        check_design(plan, &mut found);
    }
    check_levels(plan, &mut found);
    check_stimuli(plan, &mut found);
    if found.errors.is_empty() {
        advise(plan, &mut found.advice);
    }
    found
}

/// Conditions of a role.
fn count(plan: &Plan, role: Role) -> usize {
    plan.conditions.iter().filter(|c| c.role == role).count()
}

fn check_names(plan: &Plan, found: &mut Check) {
    let names = plan.conditions.iter().map(|c| ("conditions", c.name.as_str()));
    let mut seen = BTreeSet::new();
    for (what, name) in names.chain(plan.items.iter().map(|i| ("items", i.id.as_str()))) {
        if name.trim().is_empty() {
            found.errors.push(format!("one of the {what} has no name"));
        } else if !seen.insert((what, name)) {
            found.errors.push(format!("two of the {what} are called \"{name}\"; results could not tell them apart"));
        }
    }
    if plan.items.is_empty() {
        found.errors.push("there is no item, so there is nothing to hear".to_owned());
    }
}

fn check_roles(plan: &Plan, found: &mut Check) {
    let (n_references, n_tested) = (count(plan, Role::Reference), count(plan, Role::Tested));
    if plan.design.has_reference() {
        let is_first = plan.conditions.first().is_some_and(|c| c.role == Role::Reference);
        if n_references != 1 || !is_first {
            found.errors.push("the first condition, and no other, is to be the reference".to_owned());
        }
        if n_tested == 0 {
            found.errors.push("a single stimulus is no test: there is no condition to compare with the reference".to_owned());
        }
    } else {
        if n_references > 0 {
            found.errors.push("a preference test has no reference; every condition in it is tested".to_owned());
        }
        if n_tested < 2 {
            found.errors.push(format!("a preference test compares two conditions or more, not {n_tested}"));
        }
    }
}

fn check_design(plan: &Plan, found: &mut Check) {
    let n = plan.n_scored();
    if n == 0 || n > MAX_SCORED {
        found.errors.push(format!("a listener would have {n} scored trials; 1 to {MAX_SCORED} are possible"));
    }
    let n_training = plan.settings.n_training;
    if n_training > MAX_SCORED {
        found.errors.push(format!("{n_training} training trials are more than anyone hears; {MAX_SCORED} are possible"));
    }
    let can_be_shown = match plan.design {
        Design::Abx { stop: Stop::Fixed { n_trials }, alpha } => {
            BinomialTest::detection(alpha).map(|test| n_trials == 0 || test.critical_count(n_trials).is_some())
        }
        Design::Abx { stop: Stop::Sequential { p1, beta, max_trials }, alpha } => {
            Sequential::new(0.5, p1, alpha, beta, max_trials.max(1)).map(|_| true)
        }
        Design::Equivalence { n_trials, margin, alpha } => {
            EquivalenceTest::new(margin, alpha).map(|test| n_trials == 0 || test.critical_count(n_trials).is_some())
        }
        Design::Preference { .. } | Design::Mushra | Design::TripleStimulus | Design::Threshold { .. } => Ok(true),
    };
    match can_be_shown {
        Ok(true) => {}
        Ok(false) => found.errors.push("so few trials cannot show anything, whatever the answers are; plan more".to_owned()),
        Err(error) => found.errors.push(error.to_string()),
    }
}

fn check_levels(plan: &Plan, found: &mut Check) {
    if !matches!(plan.design, Design::Threshold { .. }) {
        return;
    }
    if plan.axis.is_none() {
        found.errors.push("an adaptive test is to say what its levels are: the plan has no axis".to_owned());
    }
    let tested = || plan.conditions.iter().filter(|c| c.role == Role::Tested);
    if let Some(without) = tested().find(|c| c.level.is_none()) {
        found.errors.push(format!("\"{}\" has no level on the axis of the adaptive test", without.name));
        return;
    }
    let levels: Vec<f64> = tested().filter_map(|c| c.level).collect();
    if let Err(error) = statistics::Axis::new(&levels) {
        found.errors.push(error.to_string());
    }
}

fn check_stimuli(plan: &Plan, found: &mut Check) {
    let is_live = matches!(plan.design, Design::Threshold { .. });
    for item in &plan.items {
        let id = &item.id;
        if item.stimuli.len() != plan.conditions.len() {
            found.errors.push(format!("item \"{id}\" has {} stimuli for {} conditions", item.stimuli.len(), plan.conditions.len()));
            continue;
        }
        let named = plan.conditions.iter().zip(&item.stimuli).map(|(condition, stimulus)| (&condition.name, stimulus.as_ref()));
        let mut lengths: Option<(f64, f64)> = None;
        for (name, stimulus) in named {
            let Some(stimulus) = stimulus else {
                if !is_live {
                    found.errors.push(format!("item \"{id}\" has no sound for \"{name}\"; only adaptive tests render theirs"));
                }
                continue;
            };
            if !is_inside(&stimulus.file) {
                found.errors.push(format!("\"{}\" of item \"{id}\" lies outside the test's folder", stimulus.file));
            }
            if !(stimulus.duration_sec > 0.0 && stimulus.duration_sec.is_finite() && stimulus.gain_db.is_finite()) {
                found.errors.push(format!("\"{name}\" of item \"{id}\" has no length, or its gain is no number"));
                continue;
            }
            let (shortest, longest) = lengths.unwrap_or((stimulus.duration_sec, stimulus.duration_sec));
            lengths = Some((shortest.min(stimulus.duration_sec), longest.max(stimulus.duration_sec)));
        }
        if let Some((shortest, longest)) = lengths.filter(|(shortest, longest)| longest - shortest > LENGTH_TOLERANCE_SEC) {
            found
                .errors
                .push(format!("the sounds of item \"{id}\" last from {shortest:.2} to {longest:.2} s; their length would tell them apart"));
        }
    }
}

/// A path that stays below the plan's folder.
fn is_inside(file: &str) -> bool {
    let mut parts = std::path::Path::new(file).components().peekable();
    parts.peek().is_some() && parts.all(|part| matches!(part, std::path::Component::Normal(_)))
}

fn advise(plan: &Plan, advice: &mut Vec<String>) {
    let (n_tested, n_anchors, n_items) = (count(plan, Role::Tested), count(plan, Role::Anchor), plan.items.len());
    if plan.design == Design::Mushra {
        if n_anchors == 0 {
            advice.push("without anchors at 3.5 and 7 kHz this is not MUSHRA (BS.1534-3), and results are not called so".to_owned());
        }
        if plan.conditions.len() > 12 {
            advice.push(format!("{} sounds are rated at once; BS.1534-3 allows 12 with reference and anchors", plan.conditions.len()));
        }
        let wanted = (n_tested * 3).div_ceil(2).max(5);
        if n_items < wanted {
            advice.push(format!("BS.1534-3 has 1.5 items a system and 5 at least: {wanted}, not {n_items}"));
        }
    }
    if n_items == 1 {
        advice.push("there is one item: what is heard of it says nothing of others".to_owned());
    }
    let longest = durations_sec(plan).fold(0.0, f64::max);
    if longest > 12.0 {
        advice.push(format!("the longest sound has {longest:.1} s; some 10 s and at most 12 s can be compared from memory (BS.1534-3)"));
    }
    if plan.settings.n_training == 0 {
        advice.push("there is no training; the standards have every listener trained first".to_owned());
    }
    if plan.settings.must_hear_sec <= 0.0 {
        advice.push("an answer may come after any instant of sound; let each be heard for a second".to_owned());
    }
    let minutes = minutes(plan);
    if minutes > 30.0 {
        advice.push(format!(
            "one listener will take some {minutes:.0} min; after 20 to 30 min the ear is tired: fewer trials, or several plans"
        ));
    }
    match plan.design {
        Design::Abx { alpha, .. } | Design::Equivalence { alpha, .. } if alpha > 0.05 => {
            advice.push(format!("the level {alpha} is above the usual .05"));
        }
        _ => {}
    }
    if plan.settings.loudness == Loudness::Unmatched {
        advice.push("loudness is not matched: whoever hears a difference may hear the level only".to_owned());
    }
    for item in &plan.items {
        let mut seen = BTreeSet::new();
        if item.stimuli.iter().flatten().any(|s| !seen.insert(&s.hash)) {
            advice.push(format!("two sounds of item \"{}\" are the same to the bit", item.id));
        }
    }
}

fn durations_sec(plan: &Plan) -> impl Iterator<Item = f64> {
    plan.items.iter().flat_map(|item| &item.stimuli).flatten().map(|stimulus| stimulus.duration_sec)
}

/// What a listener may take: each sound of a trial heard one and a half times, and four seconds to answer.
fn minutes(plan: &Plan) -> f64 {
    let n_sounds = durations_sec(plan).count().max(1);
    let mean_sec = durations_sec(plan).sum::<f64>() / n_sounds as f64;
    let n_slots = match plan.design {
        Design::Mushra => plan.conditions.len() + 1,
        Design::Preference { .. } => 2,
        _ => 3,
    };
    f64::from(plan.n_scored() + plan.settings.n_training) * (1.5 * mean_sec * n_slots as f64 + 4.0) / 60.0
}

#[cfg(test)]
mod tests {
    use super::super::fixture::plan;
    use super::super::plan::{Method, Settings};
    use super::*;

    const ABX: Design = Design::Abx { stop: Stop::Fixed { n_trials: 16 }, alpha: 0.05 };
    const PAIR: [Role; 2] = [Role::Reference, Role::Tested];

    #[track_caller]
    fn finds(plan: Plan, expected: &str) {
        let errors = check(&plan).errors;
        assert!(errors.len() == 1 && errors[0].contains(expected), "{errors:?}");
    }

    fn changed(mut plan: Plan, change: impl FnOnce(&mut Plan)) -> Plan {
        change(&mut plan);
        plan
    }

    #[test]
    fn errors_are_sentences() {
        assert_eq!(check(&plan(ABX, &PAIR, 2)), Check::default());
        let of = |change: fn(&mut Plan)| changed(plan(ABX, &PAIR, 2), change);
        finds(of(|p| p.format = 2), "the plan has format 2, and this program reads 1");
        finds(of(|p| p.items.clear()), "there is no item");
        finds(of(|p| p.items[1].id = "item 0".to_owned()), "two of the items are called \"item 0\"");
        finds(of(|p| p.conditions[1].name = " ".to_owned()), "one of the conditions has no name");
        let roles = [Role::Reference, Role::Tested, Role::Reference];
        finds(plan(ABX, &roles, 2), "the first condition, and no other, is to be the reference");
        finds(plan(ABX, &[Role::Tested, Role::Reference], 2), "the first condition, and no other, is to be the reference");
        finds(of(|p| p.items[0].stimuli[1] = None), "item \"item 0\" has no sound for \"test 1\"");
        finds(of(|p| drop(p.items[0].stimuli.pop())), "item \"item 0\" has 1 stimuli for 2 conditions");
        let stimulus = |p: &mut Plan| p.items[0].stimuli[1].take().unwrap();
        for file in ["/etc/passwd", "../a.wav", "", "a/../../b.wav"] {
            let outside = changed(plan(ABX, &PAIR, 2), |p| {
                p.items[0].stimuli[1] = Some(super::super::Stimulus { file: file.to_owned(), ..stimulus(p) });
            });
            finds(outside, "lies outside the test's folder");
        }
        let long =
            changed(plan(ABX, &PAIR, 2), |p| p.items[0].stimuli[1] = Some(super::super::Stimulus { duration_sec: 2.2, ..stimulus(p) }));
        finds(long, "the sounds of item \"item 0\" last from 2.00 to 2.20 s");
    }

    #[test]
    fn a_design_must_be_able_to_show_something() {
        let abx = |n_trials, alpha| plan(Design::Abx { stop: Stop::Fixed { n_trials }, alpha }, &PAIR, 2);
        finds(abx(4, 0.05), "so few trials cannot show anything");
        finds(abx(0, 0.05), "a listener would have 0 scored trials");
        finds(abx(20_000, 0.05), "a listener would have 20000 scored trials");
        finds(abx(16, 1.5), "alpha");
        let same = |n_trials, margin| plan(Design::Equivalence { n_trials, margin, alpha: 0.05 }, &PAIR, 2);
        assert!(check(&same(3, 0.75)).errors.is_empty());
        finds(same(2, 0.75), "so few trials cannot show anything");
        finds(same(20, 0.5), "margin");
        let wald = |p1, beta| plan(Design::Abx { stop: Stop::Sequential { p1, beta, max_trials: 30 }, alpha: 0.05 }, &PAIR, 2);
        finds(wald(0.4, 0.2), "p1");
        finds(wald(0.8, 0.0), "beta");
        finds(
            plan(Design::Preference { n_trials: 10, ties: false }, &[PAIR[0], PAIR[1], PAIR[1]], 2),
            "a preference test has no reference",
        );
        let threshold = Design::Threshold { method: Method::Bayesian, n_trials: 30 };
        let levels = [Role::Reference, Role::Tested, Role::Tested, Role::Tested];
        assert!(check(&plan(threshold, &levels, 2)).errors.is_empty());
        finds(changed(plan(threshold, &levels, 2), |p| p.axis = None), "the plan has no axis");
        finds(changed(plan(threshold, &levels, 2), |p| p.conditions[2].level = None), "\"test 2\" has no level");
        finds(changed(plan(threshold, &levels, 2), |p| p.conditions[2].level = Some(9.0)), "level");
    }

    #[test]
    fn the_standards_advise() {
        let mushra = [Role::Reference, Role::Tested, Role::Tested, Role::Anchor, Role::Anchor];
        assert_eq!(check(&plan(Design::Mushra, &mushra, 5)), Check::default());
        for (plan, expected) in [
            (plan(Design::Mushra, &mushra[..3], 5), "without anchors at 3.5 and 7 kHz this is not MUSHRA"),
            (plan(Design::Mushra, &mushra, 4), "BS.1534-3 has 1.5 items a system and 5 at least: 5, not 4"),
            (plan(Design::Mushra, &[&mushra[..], &[Role::Tested; 8]].concat(), 15), "13 sounds are rated at once"),
            (plan(ABX, &[&PAIR[..], &[Role::Tested; 9]].concat(), 5), "one listener will take some 35 min"),
            (changed(plan(ABX, &PAIR, 5), |p| p.settings = Settings { n_training: 0, ..Settings::default() }), "there is no training"),
            (changed(plan(ABX, &PAIR, 5), |p| p.settings.loudness = Loudness::Unmatched), "loudness is not matched"),
        ] {
            let found = check(&plan);
            assert!(found.errors.is_empty() && found.advice.len() == 1 && found.advice[0].contains(expected), "{found:?}");
        }
    }
}
