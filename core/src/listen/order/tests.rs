//! Balance, chance and what a voided trial changes.

use std::collections::BTreeMap;

use super::super::fixture::{golden_ear, plan, test};
use super::*;

const ROLES: [Role; 4] = [Role::Reference, Role::Tested, Role::Tested, Role::Anchor];

fn trials(test: &Test, listener: &str) -> Vec<Trial> {
    let mut order = Order::new(test, listener);
    let mut trials = Vec::new();
    while let Some(trial) = order.trial().cloned() {
        order.answered(&golden_ear(&trial));
        trials.push(trial);
    }
    trials
}

fn counts<K: Ord>(keys: impl Iterator<Item = K>) -> BTreeMap<K, usize> {
    keys.fold(BTreeMap::new(), |mut counts, key| {
        *counts.entry(key).or_default() += 1;
        counts
    })
}

#[test]
fn abx_is_balanced_and_interleaved_and_x_is_a_coin() {
    let folder = tempfile::tempdir().unwrap();
    let test = test(folder.path(), &plan(Design::Abx { stop: Stop::Fixed { n_trials: 16 }, alpha: 0.05 }, &ROLES, 5));
    let (mut x_is_a, mut heads) = (0, Vec::new());
    for listener in 0..40 {
        let all = trials(&test, &format!("listener {listener}"));
        let (training, scored): (Vec<&Trial>, Vec<&Trial>) = all.iter().partition(|t| t.training);
        assert_eq!((training.len(), scored.len()), (3, 32));
        assert_eq!(training[0].conditions(), [0, 3], "the anchor comes first in training, and is not tested");
        for round in scored.chunks(2) {
            assert_eq!(counts(round.iter().map(|t| t.tested(test.plan()))).len(), 2, "every condition once a round");
        }
        for condition in [1, 2] {
            let of: Vec<&&Trial> = scored.iter().filter(|t| t.tested(test.plan()) == Some(condition)).collect();
            let items = counts(of.iter().map(|t| t.item));
            assert!(items.len() == 5 && items.values().all(|&n| n == 3 || n == 4), "{items:?}");
            let n_first = of.iter().filter(|t| t.slots[0].condition == 0).count();
            assert!(n_first.abs_diff(8) <= 1, "the reference is A in {n_first} of 16");
        }
        let n = scored.iter().filter(|t| t.right_slot() == Some(0)).count();
        x_is_a += n;
        heads.push(n);
    }
    // 1280 throws: five standard deviations are 89. A row that was balanced on purpose would have 16 each time.
    assert!(x_is_a.abs_diff(640) < 90, "{x_is_a}");
    assert!(counts(heads.into_iter()).len() > 5);
}

#[test]
fn every_design_asks_all_it_has_to() {
    let folder = tempfile::tempdir().unwrap();
    let preferred = [Role::Tested, Role::Tested, Role::Tested];
    let cases: [(Design, &[Role], usize, usize, Question); 5] = [
        (Design::Equivalence { n_trials: 30, margin: 0.75, alpha: 0.05 }, &ROLES, 60, 3, Question::WhichIsX),
        (Design::Preference { n_trials: 8, ties: true }, &preferred, 24, 2, Question::WhichIsBetterIfAny),
        (Design::Mushra, &ROLES, 6, 5, Question::Rate),
        (Design::TripleStimulus, &ROLES, 12, 3, Question::Grade),
        (Design::Preference { n_trials: 8, ties: false }, &preferred[..2], 8, 2, Question::WhichIsBetter),
    ];
    for (n, (design, roles, n_scored, n_slots, question)) in cases.into_iter().enumerate() {
        let test = test(&folder.path().join(n.to_string()), &plan(design, roles, 6));
        let all = trials(&test, "Ann");
        let scored: Vec<&Trial> = all.iter().filter(|t| !t.training).collect();
        assert_eq!((scored.len(), test.plan().n_scored() as usize), (n_scored, n_scored), "{design:?}");
        assert!(scored.iter().all(|t| t.slots.len() == n_slots && t.question == question), "{design:?}");
        let comparisons = counts(scored.iter().map(|t| t.conditions()));
        assert_eq!(comparisons.len(), test.plan().comparisons().len(), "{design:?}");
        assert!(comparisons.values().all(|n| *n == n_scored / comparisons.len()), "{design:?}");
        assert_eq!(all.iter().map(|t| t.number).collect::<Vec<_>>(), (1..=all.len() as u32).collect::<Vec<_>>());
    }
}

#[test]
fn the_order_follows_from_plan_and_name() {
    let folder = tempfile::tempdir().unwrap();
    let design = Design::Abx { stop: Stop::Fixed { n_trials: 16 }, alpha: 0.05 };
    let one = test(&folder.path().join("1"), &plan(design, &ROLES, 5));
    let other = test(&folder.path().join("2"), &Plan { seed: 8, ..plan(design, &ROLES, 5) });
    assert_eq!(trials(&one, "Ann"), trials(&one, "Ann"));
    assert_ne!(trials(&one, "Ann"), trials(&one, "Ben"));
    assert_ne!(trials(&one, "Ann"), trials(&other, "Ann"));
    let commitment = |test, listener| Order::new(test, listener).commitment();
    assert_eq!(commitment(&one, "Ann"), commitment(&one, "Ann"));
    assert_ne!(commitment(&one, "Ann"), commitment(&one, "Ben"));
    assert_ne!(commitment(&one, "Ann"), commitment(&other, "Ann"));
}

#[test]
fn a_voided_trial_comes_again_later_with_places_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let test = test(folder.path(), &plan(Design::Abx { stop: Stop::Fixed { n_trials: 8 }, alpha: 0.05 }, &ROLES, 4));
    let mut order = Order::new(&test, "Ann");
    let (mut answered, mut again) = (Vec::new(), Vec::new());
    while let Some(trial) = order.trial().cloned() {
        // Every third sound breaks off, once.
        if trial.number % 3 == 0 && trial.number < 30 {
            order.voided();
            assert!(order.trial().is_none_or(|next| next.number == trial.number + 1));
            again.push(trial);
        } else {
            order.answered(&golden_ear(&trial));
            answered.push(trial);
        }
    }
    let scored = || answered.iter().filter(|t| !t.training);
    assert_eq!((scored().count(), answered.len(), order.n_voided() as usize), (16, 19, again.len()));
    let per_item = counts(scored().map(|t| (t.tested(test.plan()), t.item)));
    assert!(per_item.len() == 8 && per_item.values().all(|&n| n == 2), "{per_item:?}");
    let places = |t: &Trial| t.right_slot();
    let later = |voided: &&Trial| {
        answered.iter().find(|t| t.number > voided.number && t.item == voided.item && t.conditions() == voided.conditions()).map(places)
    };
    assert!(again.iter().any(|voided| later(&voided).is_some_and(|place| place != places(voided))), "the coin is thrown anew");
}
