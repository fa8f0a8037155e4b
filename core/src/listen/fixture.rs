//! Plans without sounds, and listeners who know what they hear.

use std::path::Path;

use super::plan::{Axis, Condition, Design, Item, Plan, Role, Settings, Stimulus};
use super::session::{Session, Writing};
use super::test::Test;
use super::trial::{Answer, Question, Trial};

/// Time stands still.
pub(super) const WRITING: Writing<'_> = Writing { program: "driftscope 0.0.0", clock: || "2026-11-21T12:00:00Z".to_owned() };

/// Conditions named by their roles and numbers, items of two seconds.
pub(super) fn plan(design: Design, roles: &[Role], n_items: usize) -> Plan {
    let condition = |(n, &role): (usize, &Role)| {
        let name = match role {
            Role::Reference if n == 0 => "truth".to_owned(),
            Role::Reference => format!("truth {n}"),
            Role::Tested => format!("test {n}"),
            Role::Anchor => format!("anchor {n}"),
        };
        Condition { level: (role == Role::Tested).then_some(n as f64), ..Condition::new(name, "", role) }
    };
    let stimulus = |item: usize, condition: usize| Stimulus {
        file: format!("stimuli/{item}-{condition}.wav"),
        hash: blake3::hash(format!("{item} {condition}").as_bytes()).to_hex().to_string(),
        duration_sec: 2.0,
        gain_db: 0.0,
        loudness_lufs: Some(-23.0),
        ungated: true,
    };
    Plan {
        format: 1,
        title: "a test".to_owned(),
        design,
        conditions: roles.iter().enumerate().map(condition).collect(),
        recipe: None,
        axis: matches!(design, Design::Threshold { .. }).then(|| Axis { name: "step".to_owned(), unit: String::new() }),
        items: (0..n_items)
            .map(|item| Item {
                id: format!("item {item}"),
                speaker: format!("{}", item % 2),
                stimuli: (0..roles.len()).map(|condition| Some(stimulus(item, condition))).collect(),
            })
            .collect(),
        seed: 7,
        settings: Settings::default(),
        provenance: std::collections::BTreeMap::new(),
    }
}

/// A test of that plan in a folder that is empty.
pub(super) fn test(folder: &Path, plan: &Plan) -> Test {
    Test::create(folder, plan).unwrap()
}

/// Hears every slot of the present trial for two seconds and answers.
pub(super) fn answer(session: &mut Session, answer: Answer) {
    for slot in 0..session.trial().unwrap().slots.len() {
        session.heard(slot, 2.0);
    }
    session.answer(answer).unwrap();
}

/// Goes through all that is left of a test.
pub(super) fn listen(session: &mut Session, mut hears: impl FnMut(&Trial) -> Answer) {
    while let Some(trial) = session.trial().cloned() {
        let says = hears(&trial);
        answer(session, says);
    }
}

/// Who hears everything.
pub(super) fn golden_ear(trial: &Trial) -> Answer {
    match (trial.right_slot(), trial.question) {
        (Some(slot), _) => Answer::Slot(slot),
        (None, Question::Rate) => {
            Answer::Ratings(trial.slots[1..].iter().map(|slot| 100.0 - 20.0 * slot.condition.min(5) as f64).collect())
        }
        (None, Question::Grade) => {
            Answer::Ratings(trial.slots[1..].iter().map(|slot| if slot.condition == 0 { 5.0 } else { 3.5 }).collect())
        }
        // The condition that stands first in the plan is preferred.
        (None, _) => Answer::Slot(usize::from(trial.slots[1].condition < trial.slots[0].condition)),
    }
}
