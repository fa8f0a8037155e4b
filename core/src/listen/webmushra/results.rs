//! The CSV files that results are written to, one a kind of page.

use std::collections::BTreeMap;
use std::path::Path;

use super::WebmushraError;
use super::config::{Kind, TRAINING, kind_of, page_id};
use crate::listen::log::{Event, Log};
use crate::listen::plan::{Plan, Role};
use crate::listen::statistics::{DoubleGrade, Rating};
use crate::listen::trial::{Answer, Trial};

/// One row of a file, in terms of a plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Who: the column `listener`, else whatever the questionnaire and the session say of the participant.
    pub listener: String,
    /// Index into the plan's items.
    pub item: usize,
    /// Index into the plan's conditions.
    pub condition: usize,
    /// What was answered.
    pub said: Said,
    /// Milliseconds on the page.
    pub time_ms: f64,
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Said {
    /// 0 to 100.
    Rating(f64),
    /// 1.0 to 5.0, of the sound and of the hidden reference.
    Grades {
        /// The sound's.
        object: f64,
        /// The hidden reference's.
        reference: f64,
    },
    /// Which one is the reference.
    Choice {
        /// `None` for "undecided".
        is_right: Option<bool>,
    },
}

/// What webMUSHRA calls the hidden reference, and the anchors that it makes.
const REFERENCE: &str = "reference";
const ANCHORS: [(&str, &str); 2] = [("anchor35", "3.5 kHz"), ("anchor70", "7 kHz")];

/// Columns between those of the participant, which the experiment chooses, and the comment.
fn columns(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Mushra => &["trial_id", "rating_stimulus", "rating_score", "rating_time"],
        Kind::PairedComparison => &["trial_id", "choice_reference", "choice_non_reference", "choice_answer", "choice_time"],
        Kind::Bs1116 => {
            &["trial_id", "rating_reference", "rating_non_reference", "rating_reference_score", "rating_non_reference_score", "rating_time"]
        }
    }
}

/// The name of the last column; webMUSHRA calls the one of `bs1116` by that of a choice.
fn comment(kind: Kind) -> &'static str {
    if kind == Kind::Mushra { "rating_comment" } else { "choice_comment" }
}

/// Reads the results of an experiment that was made of this plan, or this plan of it (`mushra.csv`, `paired_comparison.csv` or
/// `bs1116.csv`). Pages of training are left out.
pub fn read_results(path: &Path, plan: &Plan) -> Result<Vec<Row>, WebmushraError> {
    let failed = |line: u64, reason: String| WebmushraError::Row { path: path.to_owned(), line, reason };
    let broken = |e: csv::Error| failed(e.position().map_or(1, csv::Position::line), e.to_string());
    let kind = kind_of(plan)?;
    let mut reader = csv::ReaderBuilder::new().from_path(path).map_err(broken)?;
    let header = reader.headers().map_err(broken)?.clone();
    let place = |name: &str| header.iter().position(|column| column.trim_start_matches('\u{feff}') == name);
    let mut places = BTreeMap::new();
    for &column in columns(kind) {
        let at = place(column).ok_or_else(|| failed(1, format!("{}.csv has a column {column}, and this file none", kind.name())))?;
        places.insert(column, at);
    }
    // Before the trial stand the experiment's name and whatever it asked of the participant.
    let who: Vec<usize> = place("listener").map_or_else(|| (1..places["trial_id"]).collect(), |at| vec![at]);
    let mut rows = Vec::new();
    for record in reader.records() {
        let record = record.map_err(broken)?;
        let line = record.position().map_or(0, csv::Position::line);
        let cell = |column: &str| record.get(places[column]).unwrap_or_default().trim();
        if cell("trial_id").starts_with(TRAINING) {
            continue;
        }
        let listener = who.iter().filter_map(|&at| record.get(at)).collect::<Vec<_>>().join(" ").trim().to_owned();
        if listener.is_empty() {
            return Err(failed(line, "nothing says who answered; have the questionnaire of the last page ask for a name".to_owned()));
        }
        rows.push(row(plan, kind, listener, &cell).map_err(|reason| failed(line, reason))?);
    }
    Ok(rows)
}

fn row<'r>(plan: &Plan, kind: Kind, listener: String, cell: &impl Fn(&str) -> &'r str) -> Result<Row, String> {
    let number = |column: &str| {
        let text = cell(column);
        text.parse().ok().filter(|v: &f64| v.is_finite()).ok_or_else(|| format!("{column} is \"{text}\", and is to be a number"))
    };
    let within = |column: &str, low: f64, high: f64| {
        let value = number(column)?;
        if (low..=high).contains(&value) { Ok(value) } else { Err(format!("{column} is {value}, and is to lie from {low} to {high}")) }
    };
    let (stimulus, time) = match kind {
        Kind::Mushra => ("rating_stimulus", "rating_time"),
        Kind::PairedComparison => ("choice_non_reference", "choice_time"),
        Kind::Bs1116 => ("rating_non_reference", "rating_time"),
    };
    let said = match kind {
        Kind::Mushra => Said::Rating(within("rating_score", 0.0, 100.0)?),
        Kind::Bs1116 => {
            Said::Grades { object: within("rating_non_reference_score", 1.0, 5.0)?, reference: within("rating_reference_score", 1.0, 5.0)? }
        }
        Kind::PairedComparison => Said::Choice {
            is_right: match cell("choice_answer") {
                "correct" => Some(true),
                "incorrect" => Some(false),
                "undecided" | "unknown" => None,
                other => return Err(format!("choice_answer is \"{other}\", and is to be correct, incorrect or undecided")),
            },
        },
    };
    Ok(Row { listener, item: item(plan, cell("trial_id"))?, condition: condition(plan, cell(stimulus))?, said, time_ms: number(time)? })
}

fn item(plan: &Plan, trial_id: &str) -> Result<usize, String> {
    let is_round = |rest: &str| rest.strip_prefix(" (").and_then(|r| r.strip_suffix(')')).is_some_and(|n| n.parse::<u32>().is_ok());
    let whole = plan.items.iter().position(|item| item.id == trial_id);
    let in_round = || plan.items.iter().position(|item| trial_id.strip_prefix(item.id.as_str()).is_some_and(is_round));
    whole.or_else(in_round).ok_or_else(|| format!("trial \"{trial_id}\" is no item of the plan"))
}

fn condition(plan: &Plan, stimulus: &str) -> Result<usize, String> {
    let named = |name: &str| plan.conditions.iter().position(|c| c.name == name);
    let anchor = || ANCHORS.iter().find(|(theirs, _)| *theirs == stimulus).and_then(|(_, ours)| named(ours));
    let reference = || plan.conditions.iter().position(|c| c.role == Role::Reference).filter(|_| stimulus == REFERENCE);
    reference().or_else(|| named(stimulus)).or_else(anchor).ok_or_else(|| format!("\"{stimulus}\" is no condition of the plan"))
}

/// The listeners, in the order in which they first answered.
fn listeners(rows: &[Row]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for row in rows {
        if !names.contains(&row.listener) {
            names.push(row.listener.clone());
        }
    }
    names
}

/// Ratings of a `mushra.csv`, and the listeners that their indices mean.
pub fn ratings(rows: &[Row]) -> (Vec<String>, Vec<Rating>) {
    let names = listeners(rows);
    let of = |row: &Row| {
        let Said::Rating(value) = row.said else { return None };
        let listener = names.iter().position(|name| *name == row.listener)?;
        Some(Rating { listener, item: row.item, condition: row.condition, value })
    };
    let ratings = rows.iter().filter_map(of).collect();
    (names, ratings)
}

/// Pairs of grades of a `bs1116.csv`, and the listeners that their indices mean.
pub fn grades(rows: &[Row]) -> (Vec<String>, Vec<DoubleGrade>) {
    let names = listeners(rows);
    let of = |row: &Row| {
        let Said::Grades { object, reference } = row.said else { return None };
        let listener = names.iter().position(|name| *name == row.listener)?;
        Some(DoubleGrade { listener, item: row.item, condition: row.condition, object, reference })
    };
    let grades = rows.iter().filter_map(of).collect();
    (names, grades)
}

/// Of a `paired_comparison.csv`, for each condition: right answers, wrong ones, and those who were undecided.
pub fn tallies(rows: &[Row]) -> BTreeMap<usize, [u32; 3]> {
    let mut tallies: BTreeMap<usize, [u32; 3]> = BTreeMap::new();
    for row in rows {
        if let Said::Choice { is_right } = row.said {
            let place = match is_right {
                Some(true) => 0,
                Some(false) => 1,
                None => 2,
            };
            tallies.entry(row.condition).or_default()[place] += 1;
        }
    }
    tallies
}

/// Our answers as webMUSHRA would have written them. Time is what was heard; `session_uuid` is the log's receipt.
pub fn results_csv(plan: &Plan, test_id: &str, logs: &[Log]) -> Result<String, WebmushraError> {
    let kind = kind_of(plan)?;
    let mut writer = csv::Writer::from_writer(Vec::new());
    let head = ["session_test_id", "listener", "session_uuid"];
    // Memory takes whatever is written to it.
    let _ = writer.write_record(head.iter().chain(columns(kind)).chain(&[comment(kind)]));
    for log in logs {
        let mut n_heard: BTreeMap<(usize, usize), u32> = BTreeMap::new();
        for entry in &log.entries {
            let Event::Answer { trial, heard_sec, n_underruns: 0, answer, .. } = &entry.event else { continue };
            if trial.training {
                continue;
            }
            let round = n_heard.entry((trial.item, trial.tested(plan).unwrap_or(0))).or_default();
            let id = page_id(&plan.items[trial.item].id, *round);
            *round += 1;
            let time_ms = (heard_sec.iter().sum::<f64>() * 1000.0).round().to_string();
            for cells in cells(plan, trial, answer) {
                let row = [test_id, &log.listener, &log.receipt, &id].map(str::to_owned).into_iter();
                let _ = writer.write_record(row.chain(cells).chain([time_ms.clone(), String::new()]));
            }
        }
    }
    Ok(String::from_utf8(writer.into_inner().unwrap_or_default()).unwrap_or_default())
}

/// What stands between the trial and the time.
fn cells(plan: &Plan, trial: &Trial, answer: &Answer) -> Vec<Vec<String>> {
    let name = |condition: usize| match &plan.conditions[condition] {
        condition if condition.role == Role::Reference => REFERENCE.to_owned(),
        condition => condition.name.clone(),
    };
    let tested = trial.tested(plan).map_or_else(String::new, name);
    match answer {
        Answer::Ratings(grades) if trial.slots.len() == 3 && trial.question == crate::listen::trial::Question::Grade => {
            let of = |is_reference: bool| {
                let mut slots = trial.slots[1..].iter().zip(grades);
                slots.find(|(slot, _)| (slot.condition == 0) == is_reference).map_or_else(String::new, |(_, grade)| grade.to_string())
            };
            vec![vec![REFERENCE.to_owned(), tested, of(true), of(false)]]
        }
        Answer::Ratings(ratings) => {
            trial.slots[1..].iter().zip(ratings).map(|(slot, rating)| vec![name(slot.condition), rating.to_string()]).collect()
        }
        Answer::Slot(_) | Answer::Neither => {
            let said = match trial.is_right(answer) {
                Some(true) => "correct",
                Some(false) => "incorrect",
                None => "undecided",
            };
            vec![vec![REFERENCE.to_owned(), tested, said.to_owned()]]
        }
    }
}
