//! Listeners of known ability go through whole tests, and the results say what they can do and no more.

use std::fs;
use std::path::Path;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rayon::prelude::*;

use super::*;
use crate::listen::fixture::{WRITING, golden_ear, listen, plan, test};
use crate::listen::plan::{Method, Role, Stop};
use crate::listen::statistics::{self, Posterior, Psychometric, Tally, Threshold, Verdict};
use crate::listen::trial::{Answer, Question, Trial};
use crate::listen::{Order, Session};

const PAIR: [Role; 2] = [Role::Reference, Role::Tested];

/// A test that `n` listeners have gone through.
fn heard_by(folder: &Path, plan: &crate::listen::Plan, n: usize, hears: impl Fn(usize, &Trial, &mut StdRng) -> Answer) -> Test {
    let test = test(folder, plan);
    for number in 0..n {
        let mut rng = StdRng::seed_from_u64(number as u64);
        let mut session = Session::start(&test, &format!("listener {number}"), WRITING).unwrap();
        listen(&mut session, |trial| hears(number, trial, &mut rng));
    }
    test
}

/// Right with probability `p`.
fn able(p: f64, trial: &Trial, rng: &mut StdRng) -> Answer {
    let right = trial.right_slot().unwrap();
    let wrong = if trial.question == Question::WhichIsX { 1 - right } else { 3 - right };
    Answer::Slot(if rng.random_bool(p) { right } else { wrong })
}

#[track_caller]
fn says(summary: &str, sentences: &[&str]) {
    for sentence in sentences {
        assert!(summary.contains(sentence), "\"{sentence}\" is not in\n{summary}");
    }
}

#[test]
fn abx_tells_who_hears_from_who_guesses() {
    let folder = tempfile::tempdir().unwrap();
    let design = Design::Abx { stop: Stop::Fixed { n_trials: 16 }, alpha: 0.05 };
    let test = heard_by(folder.path(), &plan(design, &[Role::Reference, Role::Tested, Role::Tested], 4), 2, |_, trial, rng| {
        // The first condition is heard nine times of ten, the second never.
        able(if trial.conditions().contains(&1) { 0.9 } else { 0.5 }, trial, rng)
    });
    let results = Results::of(&test).unwrap();
    let Outcome::Abx(conditions) = &results.raw else { panic!("{:?}", results.raw) };
    let [first, second] = [&conditions[0].result, &conditions[1].result];
    assert!(first.heard && !second.heard, "{conditions:?}");
    assert_eq!((first.pooled.tally.n_trials(), second.pooled.tally.n_trials()), (32, 32));
    assert!(first.pooled.interval.low < 0.9 && 0.9 < first.pooled.interval.high);
    assert_eq!(first.listeners.iter().map(|l| l.n_right).sum::<u32>(), first.pooled.tally.n_right());
    let summary = results.summary();
    says(
        &summary,
        &[
            "\"a test\": ABX, 16 trials a condition and listener, one-sided exact binomial test at .05; 2 listeners, 4 items; loudness matched",
            "test 1: heard: ",
            "test 2: not shown to be heard: ",
            "The answers rule out a proportion above ",
            "This does not show that the two are the same.",
            "2 logs as they were written, 0 trials voided.",
        ],
    );
    let csv = results.csv();
    assert_eq!(csv.lines().count(), 1 + 64);
    assert!(csv.starts_with("listener,trial,at,item,speaker,condition,compared_with,level,answer,right,rating,heard_sec\n"));
    let n_right = csv.lines().filter(|line| line.contains(",test 1,truth,1,") && line.contains(",1,,6.000")).count();
    assert_eq!(n_right as u32, first.pooled.tally.n_right());
    let json = serde_json::to_value(&results).unwrap();
    assert_eq!(json["raw"]["results"][0]["name"], "test 1");
    assert_eq!(json["raw"]["results"][0]["result"]["pooled"]["p_value"].as_f64(), Some(first.pooled.p_value));
    assert!(json["screened"].is_null() && json["screening"].is_null(), "no standard leaves out listeners of ABX");
}

/// Whoever guesses must be found at the level of the test and no more, whatever the pattern; with balanced places whoever says A and B by
/// turns would be found more often.
#[test]
fn guessing_by_any_pattern_is_found_at_the_level_only() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(Design::Abx { stop: Stop::Fixed { n_trials: 16 }, alpha: 0.05 }, &PAIR, 4);
    let test = test(folder.path(), &plan);
    let patterns: [fn(usize) -> usize; 3] = [|n| n % 2, |_| 0, |n| n / 2 % 2];
    for pattern in patterns {
        let mut n_found = 0;
        for listener in 0..1000 {
            let mut order = Order::new(&test, &format!("listener {listener}"));
            let (mut n, mut n_right) = (0, 0);
            while let Some(trial) = order.trial().cloned() {
                let answer = Answer::Slot(pattern(n));
                n += 1;
                n_right += u32::from(!trial.training && trial.is_right(&answer) == Some(true));
                order.answered(&answer);
            }
            n_found += u32::from(statistics::abx(Tally::new(n_right, 16).unwrap(), 0.05).unwrap().heard);
        }
        // 38.4 of a thousand by the binomial distribution, give or take 6.1; 66 if places were balanced and answers too.
        assert!((18..60).contains(&n_found), "{n_found} of 1000");
    }
}

/// From the plan through order, hidden places and practice to the interval: it must hold the listener's true threshold as often as it says.
#[test]
fn thresholds_of_a_thousand_listeners_lie_in_their_intervals() {
    let folder = tempfile::tempdir().unwrap();
    let mut roles = vec![Role::Tested; 10];
    roles[0] = Role::Reference;
    let design = Design::Threshold { method: Method::Bayesian, n_trials: 30 };
    let test = test(folder.path(), &plan(design, &roles, 4));
    let levels: Vec<f64> = test.plan().conditions.iter().filter_map(|c| c.level).collect();
    let holds = |seed: u64| {
        let mut rng = StdRng::seed_from_u64(seed);
        let listener =
            Psychometric { threshold: rng.random_range(2.0..6.5), slope: rng.random_range(0.9..4.4), lapse: rng.random_range(0.0..0.05) };
        let mut order = Order::new(&test, &format!("listener {seed}"));
        let mut history = Vec::new();
        while let Some(trial) = order.trial().cloned() {
            // Conditions are the reference, then the levels.
            let level_idx = trial.tested(test.plan()).unwrap() - 1;
            let is_right = trial.training || rng.random::<f64>() < listener.p_right(level_idx as f64);
            let right = trial.right_slot().unwrap();
            let answer = Answer::Slot(if is_right { right } else { 3 - right });
            if !trial.training {
                history.push((level_idx, trial.is_right(&answer).unwrap()));
            }
            order.answered(&answer);
        }
        assert_eq!(history.len(), 30);
        let posterior = Posterior::of(&levels, &history).unwrap();
        let truth = posterior.axis().level(listener.position_at(0.75)).unwrap();
        let (from, to) = match posterior.threshold(0.75, 0.95).unwrap() {
            Threshold::Within { from, to, .. } => (from, to),
            Threshold::Below { to } => (None, to),
            Threshold::Above { from } => (from, None),
        };
        from.is_none_or(|from| from <= truth) && to.is_none_or(|to| truth <= to)
    };
    let n_held = (0..1000).into_par_iter().filter(|seed| holds(*seed)).count();
    assert!((930..=995).contains(&n_held), "{n_held} of 1000");
}

#[test]
fn wald_stops_early_for_who_hears_and_who_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let design = Design::Abx { stop: Stop::Sequential { p1: 0.8, beta: 0.2, max_trials: 60 }, alpha: 0.05 };
    let test = heard_by(folder.path(), &plan(design, &PAIR, 4), 2, |number, trial, rng| able([0.95, 0.35][number], trial, rng));
    let results = Results::of(&test).unwrap();
    let Outcome::Sequential(conditions) = &results.raw else { panic!("{:?}", results.raw) };
    let result = &conditions[0].result;
    assert_eq!(result.listeners.iter().map(|(_, verdict)| *verdict).collect::<Vec<_>>(), [Verdict::Heard, Verdict::NotHeard]);
    assert!(result.listeners.iter().all(|(listener, _)| listener.n_trials < 30), "{result:?}");
    assert!(result.chances.false_alarm < 0.05 && result.chances.power > 0.8, "{result:?}");
    says(&results.summary(), &["test 1: heard by 1 of 2 listeners, not heard by 1, undecided for 0, in "]);
}

#[test]
fn the_same_is_shown_and_not_assumed() {
    let folder = tempfile::tempdir().unwrap();
    let design = |n_trials| Design::Equivalence { n_trials, margin: 0.75, alpha: 0.05 };
    for (n_trials, same) in [(40, true), (8, false)] {
        let test = heard_by(&folder.path().join(n_trials.to_string()), &plan(design(n_trials), &PAIR, 4), 1, |_, trial, _| {
            // Right in every other trial.
            Answer::Slot(if trial.number % 2 == 0 { trial.right_slot().unwrap() } else { 1 - trial.right_slot().unwrap() })
        });
        let results = Results::of(&test).unwrap();
        let Outcome::Equivalence(conditions) = &results.raw else { panic!("{:?}", results.raw) };
        assert_eq!(conditions[0].result.same, same);
        let expected =
            if same { "test 1: the same to within a proportion of .75 right: 20 of 40 right" } else { "not shown to be the same" };
        says(&results.summary(), &[expected, "a pilot with 1 listener", "One listener: all numbers are of this listener"]);
    }
}

#[test]
fn preferences_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let design = Design::Preference { n_trials: 12, ties: true };
    let test = heard_by(folder.path(), &plan(design, &[Role::Tested; 3], 4), 2, |_, trial, rng| match trial.conditions()[..] {
        // The third condition is worse than both others, which are as good.
        [0, 1] if rng.random_bool(0.3) => Answer::Neither,
        [0, 1] => Answer::Slot(rng.random_range(0..2)),
        _ => golden_ear(trial),
    });
    let results = Results::of(&test).unwrap();
    let summary = results.summary();
    says(
        &summary,
        &[
            "no preference shown between test 0 and test 1: ",
            " without preference; win rate of the former ",
            "test 0 preferred to test 2: 24 for test 0 and 0 for test 2 of 24; win rate of the former 100 % (86 to 100 %), p = 1.2e-7 (Holm p = 3.6e-7)",
            "test 1 preferred to test 2: 24 for test 1",
        ],
    );
    assert!(results.csv().lines().filter(|line| line.contains("neither")).count() > 0);
}

#[test]
fn mushra_is_screened_and_shown_beside() {
    let folder = tempfile::tempdir().unwrap();
    let roles = [Role::Reference, Role::Tested, Role::Tested, Role::Anchor, Role::Anchor];
    let mut plan = plan(Design::Mushra, &roles, 5);
    plan.conditions[4].name = "7 kHz".to_owned();
    let test = heard_by(folder.path(), &plan, 6, |number, trial, rng| {
        if number == 5 {
            // Who rates at random.
            return Answer::Ratings(trial.slots[1..].iter().map(|_| f64::from(rng.random_range(0..=100))).collect());
        }
        let quality = [100.0, 80.0, 50.0, 20.0, 40.0];
        Answer::Ratings(trial.slots[1..].iter().map(|s| quality[s.condition] - rng.random_range(0.0..5.0)).collect())
    });
    let results = Results::of(&test).unwrap();
    let (Outcome::Ratings(raw), Some(Outcome::Ratings(screened))) = (&results.raw, &results.screened) else { panic!("{results:?}") };
    let mean = |outcome: &RatingsOutcome, n: usize| outcome.conditions[n].result.mean;
    assert!((mean(screened, 0) - 97.5).abs() < 1.0 && mean(raw, 0) < mean(screened, 0), "{raw:?}");
    assert_eq!((raw.conditions[0].result.n_ratings, screened.conditions[0].result.n_ratings), (30, 25));
    assert_eq!(screened.pairs.iter().map(|pair| pair.name.as_str()).collect::<Vec<_>>(), ["test 2 – test 1"]);
    let out: Vec<&str> = results.listeners.iter().filter(|l| !l.screened_out.is_empty()).map(|l| l.name.as_str()).collect();
    assert_eq!(out, ["listener 5"]);
    says(
        &results.summary(),
        &[
            "MUSHRA (BS.1534-3: hidden reference and anchors); 6 listeners, 5 items",
            "leaves out 1 of 6 listeners.\n  listener 5 rated the hidden reference below 90 on ",
            "After screening:\ntruth: rated 97.",
            "5 listeners are left; BS.1534-3 finds 20 often sufficient.",
        ],
    );
    assert_eq!(results.csv().lines().count(), 1 + 6 * 5 * 5);
}

#[test]
fn small_impairments_are_differences_and_guessers_are_screened() {
    let folder = tempfile::tempdir().unwrap();
    let roles = [Role::Reference, Role::Tested, Role::Tested];
    let test = heard_by(folder.path(), &plan(Design::TripleStimulus, &roles, 6), 6, |number, trial, rng| {
        let impaired = 4.0 - rng.random_range(0.0..0.5);
        let takes_for_object =
            |slot: usize| if number == 5 { slot == 1 + trial.number as usize % 2 } else { trial.slots[slot].condition != 0 };
        Answer::Ratings([1, 2].map(|slot| if takes_for_object(slot) { impaired } else { 5.0 }).to_vec())
    });
    let results = Results::of(&test).unwrap();
    let Some(Outcome::DifferenceGrades(screened)) = &results.screened else { panic!("{results:?}") };
    assert_eq!(screened.conditions.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["test 1", "test 2"]);
    assert!(screened.conditions.iter().all(|c| c.result.mean < -1.0 && c.result.mean > -1.5), "{screened:?}");
    says(
        &results.summary(),
        &[
            "double-blind triple stimulus",
            "leaves out 1 of 6 listeners.\n  listener 5 did not tell",
            "test 1 – truth: -1.0",
            "After screening:\ntest 1: difference grade -1.",
        ],
    );
}

#[test]
fn thresholds_lie_where_the_listener_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let roles: Vec<Role> = std::iter::once(Role::Reference).chain([Role::Tested; 12]).collect();
    // Levels are 1 to 12; three out of four are right at level 7, the seventh.
    let ear = Psychometric { threshold: 6.0, slope: 1.5, lapse: 0.02 };
    let at_75 = 1.0 + ear.position_at(0.75);
    for (n, method) in [Method::Bayesian, Method::TwoDownOneUp { first_step: 3 }].into_iter().enumerate() {
        let design = Design::Threshold { method, n_trials: 60 };
        let test = heard_by(&folder.path().join(n.to_string()), &plan(design, &roles, 4), 2, |_, trial, rng| {
            let level = trial.conditions()[1] - 1;
            able(ear.p_right(level as f64), trial, rng)
        });
        let results = Results::of(&test).unwrap();
        let Outcome::Threshold(outcome) = &results.raw else { panic!("{:?}", results.raw) };
        assert_eq!((outcome.listeners.len(), outcome.pooled.as_ref().map(|all| all.n_trials)), (2, Some(120)));
        for listener in outcome.listeners.iter().chain(&outcome.pooled) {
            let Threshold::Within { level, from: Some(from), to: Some(to) } = listener.threshold else {
                panic!("{:?}", listener.threshold)
            };
            assert!((level - at_75).abs() < 1.5 && from < at_75 && at_75 < to && to - from < 6.0, "{method:?}: {:?}", listener.threshold);
        }
        says(
            &results.summary(),
            &["adaptive test in trials of two beside a reference, 60 a listener", "listener 0: 75 % right at step = "],
        );
    }
}

#[test]
fn only_whole_logs_count_and_the_others_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let design = Design::Abx { stop: Stop::Fixed { n_trials: 5 }, alpha: 0.05 };
    let test = test(folder.path(), &plan(design, &PAIR, 2));
    assert!(Results::of(&test).unwrap_err().to_string().ends_with("no listener has finished the test; results are shown when one has"));
    let mut begun = Session::start(&test, "Ann", WRITING).unwrap();
    let sentence = Results::of(&test).unwrap_err().to_string();
    assert!(sentence.ends_with("no listener has finished the test (1 are on their way); results are shown when one has"), "{sentence}");
    begun.void("underrun").unwrap();
    listen(&mut begun, golden_ear);
    for name in ["Ben", "Cid"] {
        listen(&mut Session::start(&test, name, WRITING).unwrap(), golden_ear);
    }
    drop(Session::start(&test, "Dan", WRITING).unwrap());
    let path = test.log_path("Ben");
    fs::write(&path, fs::read_to_string(&path).unwrap().replacen("\"slot\":0", "\"slot\":1", 1)).unwrap();
    fs::write(test.log_path("Eve"), fs::read(test.log_path("Cid")).unwrap()).unwrap();
    fs::write(test.folder().join("log-notes.jsonl"), "my notes\n").unwrap();
    let results = Results::of(&test).unwrap();
    let summary = results.summary();
    says(
        &summary,
        &[
            "2 listeners",
            "test 1: heard: 10 of 10 right (100 %; 69 to 100 %), p = .001",
            "2 logs as they were written, 1 trials voided; 1 not finished, not counted.",
            "log-Ben.jsonl: line ",
            "log-Eve.jsonl: is a copy of another listener's log",
            "log-notes.jsonl: line 1 was changed after it was written, or is not this log's (it is no line of a log)",
        ],
    );
}
