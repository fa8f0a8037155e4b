//! Every answer as a row, for whoever computes on their own.

use crate::listen::log::{Event, Log};
use crate::listen::plan::{Design, Plan};
use crate::listen::trial::{Answer, Trial};

const COLUMNS: [&str; 12] =
    ["listener", "trial", "at", "item", "speaker", "condition", "compared_with", "level", "answer", "right", "rating", "heard_sec"];

pub(super) fn csv(plan: &Plan, logs: &[Log]) -> String {
    let mut writer = csv::Writer::from_writer(Vec::new());
    // Memory takes whatever is written to it.
    let _ = writer.write_record(COLUMNS);
    for log in logs {
        for entry in &log.entries {
            let Event::Answer { trial, heard_sec, n_underruns: 0, answer, .. } = &entry.event else { continue };
            if !trial.training {
                for row in rows(plan, trial, answer, heard_sec) {
                    let item = &plan.items[trial.item];
                    let head = [log.listener.clone(), trial.number.to_string(), entry.at.clone(), item.id.clone(), item.speaker.clone()];
                    let _ = writer.write_record(head.into_iter().chain(row));
                }
            }
        }
    }
    String::from_utf8(writer.into_inner().unwrap_or_default()).unwrap_or_default()
}

/// From "condition" on: one row, or one a rated sound.
fn rows(plan: &Plan, trial: &Trial, answer: &Answer, heard_sec: &[f64]) -> Vec<[String; 7]> {
    let name = |slot: usize| trial.condition(slot, plan).map_or_else(String::new, |condition| condition.name.clone());
    let heard: f64 = heard_sec.iter().sum();
    match answer {
        Answer::Ratings(ratings) => {
            let row = |(n, rating): (usize, &f64)| {
                let slot = n + 1;
                let label = trial.slots[slot].label.clone();
                let heard = heard_sec.get(slot).copied().unwrap_or(0.0).to_string();
                [name(slot), name(0), String::new(), label, String::new(), rating.to_string(), heard]
            };
            ratings.iter().enumerate().map(row).collect()
        }
        Answer::Slot(_) | Answer::Neither if matches!(plan.design, Design::Preference { .. }) => {
            let preferred = if let Answer::Slot(slot) = answer { name(*slot) } else { "neither".to_owned() };
            vec![[name(0), name(1), String::new(), preferred, String::new(), String::new(), format!("{heard:.3}")]]
        }
        Answer::Slot(_) | Answer::Neither => {
            let tested = trial.tested(plan).and_then(|condition| plan.conditions.get(condition));
            let reference = plan.conditions.first().map_or_else(String::new, |condition| condition.name.clone());
            let label = if let Answer::Slot(slot) = answer { trial.slots[*slot].label.clone() } else { String::new() };
            let level = tested.and_then(|condition| condition.level).map_or_else(String::new, |level| level.to_string());
            let right = trial.is_right(answer).map_or_else(String::new, |right| u8::from(right).to_string());
            let condition = tested.map_or_else(String::new, |condition| condition.name.clone());
            vec![[condition, reference, level, label, right, String::new(), format!("{heard:.3}")]]
        }
    }
}
