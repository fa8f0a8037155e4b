//! Answers to numbers, design by design.

use serde::Serialize;

use crate::listen::anchors::Anchor;
use crate::listen::log::Log;
use crate::listen::plan::{Design, Method, Plan, Role, Stop};
use crate::listen::statistics::{
    self, AbxResult, Adaptive, Choice, Comparison, ConditionSummary, CurvePoint, DoubleGrade, EquivalenceResult, EquivalenceTest, Friedman,
    GoodnessOfFit, Interval, PairResult, Posterior, Preferred, Rating, Reason, Resampling, Screening, Sequential, StaircaseEstimate,
    StatisticsError, Tally, Threshold, Verdict,
};
use crate::listen::trial::Answer;

/// Level of intervals.
pub(super) const CONFIDENCE: f64 = 0.95;
/// Proportion of right answers at the threshold: half of the differences heard.
const P_THRESHOLD: f64 = 0.75;
/// Points of a psychometric curve.
const N_POINTS: usize = 65;

/// A number with the names of what it is about.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Named<T> {
    /// The condition, or "A – B".
    pub name: String,
    /// Indices in it are those of the plan's conditions.
    pub result: T,
}

/// Right answers of one listener.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PerListener {
    /// Who.
    pub listener: String,
    /// Right answers.
    pub n_right: u32,
    /// Answers.
    pub n_trials: u32,
    /// Clopper-Pearson, 95 %.
    pub interval: Interval,
}

/// An ABX test of one condition, the answers of all listeners together: were all guessing, the sum would be binomial, too.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AbxOutcome {
    /// Of all answers.
    pub pooled: AbxResult,
    /// p-value after Holm's correction over the conditions.
    pub p_holm: f64,
    /// Heard after the correction.
    pub heard: bool,
    /// Chance of p ≤ alpha at true proportions of .7, .8 and .9, before the correction.
    pub power: [f64; 3],
    /// One by one.
    pub listeners: Vec<PerListener>,
}

/// An equivalence test of one condition.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EquivalenceOutcome {
    /// Of all answers.
    pub pooled: EquivalenceResult,
    /// p-value after Holm's correction over the conditions.
    pub p_holm: f64,
    /// The same to within the margin, after the correction.
    pub same: bool,
    /// One by one.
    pub listeners: Vec<PerListener>,
}

/// A sequential test of one condition. The proportions of those who stopped early are no estimates.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SequentialOutcome {
    /// What each listener's test ended with.
    pub listeners: Vec<(PerListener, Verdict)>,
    /// Chances of the test itself.
    pub chances: Chances,
}

/// What a sequential test does to listeners of known ability, exactly.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Chances {
    /// Chance of "heard" for one who guesses.
    pub false_alarm: f64,
    /// The proportion worth finding.
    pub p1: f64,
    /// Chance of "heard" at p1.
    pub power: f64,
}

/// Ratings, or difference grades.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RatingsOutcome {
    /// Every condition.
    pub conditions: Vec<Named<ConditionSummary>>,
    /// Every condition against the hidden reference.
    pub against_reference: Vec<Named<Comparison>>,
    /// The tested conditions against each other; empty for difference grades.
    pub pairs: Vec<Named<Comparison>>,
    /// Whether the tested conditions differ at all; `None` with fewer than three, or too few blocks.
    pub friedman: Option<Friedman>,
}

/// What one listener's adaptive test says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ListenerThreshold {
    /// Who; all of them for the curve of all answers.
    pub listener: String,
    /// Answers.
    pub n_trials: usize,
    /// Level at which 75 % are right, with its 95 % interval.
    pub threshold: Threshold,
    /// Levitt's estimate, beside it (70.7 %).
    pub staircase: Option<StaircaseEstimate>,
    /// P(right) over the axis.
    pub curve: Vec<CurvePoint>,
    /// Right answers and trials of every level.
    pub counts: Vec<(u32, u32)>,
    /// Whether such a curve can have made the answers.
    pub fit: GoodnessOfFit,
}

/// An adaptive test.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ThresholdOutcome {
    /// The levels, in rising order of audibility.
    pub levels: Vec<f64>,
    /// One by one.
    pub listeners: Vec<ListenerThreshold>,
    /// One curve through all answers, for the typical listener of several; their differences make it flatter than any of theirs.
    pub pooled: Option<ListenerThreshold>,
}

/// What the answers say, by design.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "kind", content = "results", rename_all = "snake_case")]
pub enum Outcome {
    /// Of a fixed number of trials.
    Abx(Vec<Named<AbxOutcome>>),
    /// Of Wald's test.
    Sequential(Vec<Named<SequentialOutcome>>),
    /// Is it the same?
    Equivalence(Vec<Named<EquivalenceOutcome>>),
    /// Every pair.
    Preference(Vec<Named<PairResult>>),
    /// 0 to 100.
    Ratings(RatingsOutcome),
    /// Difference grades, object − reference: 0 down to -4.
    DifferenceGrades(RatingsOutcome),
    /// From where on it is heard.
    Threshold(ThresholdOutcome),
}

/// What the listeners of `logs` said.
pub(super) fn outcome(plan: &Plan, logs: &[&Log]) -> Result<Outcome, StatisticsError> {
    Ok(match plan.design {
        Design::Abx { stop: Stop::Fixed { .. }, alpha } => Outcome::Abx(abx(plan, logs, alpha)?),
        Design::Abx { stop: Stop::Sequential { p1, beta, max_trials }, alpha } => {
            Outcome::Sequential(sequential(plan, logs, &Sequential::new(0.5, p1, alpha, beta, max_trials)?, p1)?)
        }
        Design::Equivalence { margin, alpha, .. } => Outcome::Equivalence(equivalence(plan, logs, &EquivalenceTest::new(margin, alpha)?)?),
        Design::Preference { .. } => Outcome::Preference(preference(plan, logs)?),
        Design::Mushra => Outcome::Ratings(rated(plan, &ratings(logs), true)?),
        Design::TripleStimulus => Outcome::DifferenceGrades(graded(plan, &difference_grades(plan, logs))?),
        Design::Threshold { method, .. } => Outcome::Threshold(threshold(plan, logs, method)?),
    })
}

/// The rule of the design's standard and, for each listener, why it leaves them out; `None` where no standard has one.
pub(super) fn screened_out(plan: &Plan, logs: &[Log]) -> Result<Option<(&'static str, Vec<Vec<String>>)>, StatisticsError> {
    let all: Vec<&Log> = logs.iter().collect();
    Ok(match plan.design {
        Design::Mushra => {
            let mid_anchor = plan.conditions.iter().position(|c| c.role == Role::Anchor && c.name == Anchor::Mid.name());
            let sentence = |reason: &Reason| match reason {
                Reason::ReferenceRatedLow { n_items, of } => format!("rated the hidden reference below 90 on {n_items} of {of} items"),
                Reason::AnchorRatedHigh { n_items, of } => format!("rated the 7 kHz anchor above 90 on {n_items} of {of} items"),
            };
            let screened = statistics::screen(&ratings(&all), Screening { reference: 0, mid_anchor })?;
            let of = |n: usize| screened.iter().filter(|s| s.listener == n).flat_map(|s| s.reasons.iter().map(sentence)).collect();
            let rule =
                "BS.1534-3: out is who rates the hidden reference below 90, or the mid anchor above 90, on more than 15 % of the items";
            Some((rule, (0..logs.len()).map(of).collect()))
        }
        Design::TripleStimulus => {
            let experts = statistics::expertise(&difference_grades(plan, &all), 1.0 - CONFIDENCE)?;
            let is_expert = |n: usize| experts.iter().any(|e| e.listener == n && e.expert);
            let why = "did not tell the objects from the hidden reference (t-test of the difference grades, p > .05)".to_owned();
            let of = |n: usize| if is_expert(n) { Vec::new() } else { vec![why.clone()] };
            let rule = "BS.1116-3: out is whose difference grades are not below 0 by a one-sided t-test at .05";
            Some((rule, (0..logs.len()).map(of).collect()))
        }
        _ => None,
    })
}

/// For the order of bootstraps to follow from the plan.
fn resampling(plan: &Plan) -> Resampling {
    Resampling { seed: plan.seed, confidence: CONFIDENCE, ..Resampling::default() }
}

/// Right or wrong of every answer of a listener to trials with `condition`, in their order.
fn right(plan: &Plan, log: &Log, condition: usize) -> Vec<bool> {
    let of = log.scored().filter(|(trial, _)| trial.tested(plan) == Some(condition));
    of.filter_map(|(trial, answer)| trial.is_right(answer)).collect()
}

/// For each tested condition, its name, every listener's answers, and all of them together.
fn counted(plan: &Plan, logs: &[&Log]) -> Result<Vec<(String, Vec<PerListener>, Tally)>, StatisticsError> {
    let tested = (0..plan.conditions.len()).filter(|&c| plan.conditions[c].role == Role::Tested);
    tested
        .map(|condition| {
            let listeners = logs.iter().map(|log| per_listener(log, &right(plan, log, condition))).collect::<Result<Vec<_>, _>>()?;
            let sum = |of: fn(&PerListener) -> u32| listeners.iter().map(of).sum();
            let tally = Tally::new(sum(|l| l.n_right), sum(|l| l.n_trials))?;
            Ok((plan.conditions[condition].name.clone(), listeners, tally))
        })
        .collect()
}

fn per_listener(log: &Log, right: &[bool]) -> Result<PerListener, StatisticsError> {
    let (n_right, n_trials) = (right.iter().filter(|&&r| r).count() as u32, right.len() as u32);
    let interval = match Tally::new(n_right, n_trials) {
        Ok(tally) => tally.clopper_pearson(CONFIDENCE)?,
        // Every trial of the condition was voided: nothing is known.
        Err(_) => Interval { low: 0.0, high: 1.0 },
    };
    Ok(PerListener { listener: log.listener.clone(), n_right, n_trials, interval })
}

fn abx(plan: &Plan, logs: &[&Log], alpha: f64) -> Result<Vec<Named<AbxOutcome>>, StatisticsError> {
    let counted = counted(plan, logs)?;
    let results = counted.iter().map(|(_, _, tally)| statistics::abx(*tally, alpha)).collect::<Result<Vec<_>, _>>()?;
    let adjusted = statistics::holm(&results.iter().map(|result| result.p_value).collect::<Vec<_>>());
    let test = statistics::BinomialTest::detection(alpha)?;
    let each = counted.into_iter().zip(results).zip(adjusted).map(|(((name, listeners, tally), pooled), p_holm)| {
        let power = [0.7, 0.8, 0.9].map(|p_true| test.power(tally.n_trials(), p_true));
        Named { name, result: AbxOutcome { pooled, p_holm, heard: pooled.heard && p_holm <= alpha, power, listeners } }
    });
    Ok(each.collect())
}

fn equivalence(plan: &Plan, logs: &[&Log], test: &EquivalenceTest) -> Result<Vec<Named<EquivalenceOutcome>>, StatisticsError> {
    let counted = counted(plan, logs)?;
    let results = counted.iter().map(|(_, _, tally)| test.result(*tally)).collect::<Result<Vec<_>, _>>()?;
    let adjusted = statistics::holm(&results.iter().map(|result| result.p_value).collect::<Vec<_>>());
    let each = counted.into_iter().zip(results).zip(adjusted).map(|(((name, listeners, _), pooled), p_holm)| Named {
        name,
        result: EquivalenceOutcome { pooled, p_holm, same: pooled.same && p_holm <= pooled.alpha, listeners },
    });
    Ok(each.collect())
}

fn sequential(plan: &Plan, logs: &[&Log], test: &Sequential, p1: f64) -> Result<Vec<Named<SequentialOutcome>>, StatisticsError> {
    let chances = Chances { false_alarm: test.characteristic(0.5).heard, p1, power: test.characteristic(p1).heard };
    let tested = (0..plan.conditions.len()).filter(|&c| plan.conditions[c].role == Role::Tested);
    tested
        .map(|condition| {
            let of = |log: &&Log| {
                let right = right(plan, log, condition);
                Ok((per_listener(log, &right)?, test.replay(&right).0))
            };
            let listeners = logs.iter().map(of).collect::<Result<_, StatisticsError>>()?;
            Ok(Named { name: plan.conditions[condition].name.clone(), result: SequentialOutcome { listeners, chances } })
        })
        .collect()
}

fn preference(plan: &Plan, logs: &[&Log]) -> Result<Vec<Named<PairResult>>, StatisticsError> {
    let mut choices = Vec::new();
    for (listener, log) in logs.iter().enumerate() {
        for (trial, answer) in log.scored() {
            let preferred = match answer {
                Answer::Slot(0) => Preferred::First,
                Answer::Slot(_) => Preferred::Second,
                _ => Preferred::Neither,
            };
            let pair = (trial.slots[0].condition, trial.slots[1].condition);
            choices.push(Choice { listener, item: trial.item, pair, preferred });
        }
    }
    let results = statistics::preferences(&choices, resampling(plan))?;
    Ok(results.into_iter().map(|result| Named { name: versus(plan, result.pair.0, result.pair.1), result }).collect())
}

fn versus(plan: &Plan, a: usize, b: usize) -> String {
    format!("{} – {}", plan.conditions[a].name, plan.conditions[b].name)
}

/// Every rating of every listener; the hidden reference's, too.
fn ratings(logs: &[&Log]) -> Vec<Rating> {
    let mut ratings = Vec::new();
    for (listener, log) in logs.iter().enumerate() {
        for (trial, answer) in log.scored() {
            let Answer::Ratings(values) = answer else { continue };
            let slots = trial.slots[1..].iter().zip(values);
            ratings.extend(slots.map(|(slot, &value)| Rating { listener, item: trial.item, condition: slot.condition, value }));
        }
    }
    ratings
}

fn difference_grades(plan: &Plan, logs: &[&Log]) -> Vec<Rating> {
    let mut grades = Vec::new();
    for (listener, log) in logs.iter().enumerate() {
        for (trial, answer) in log.scored() {
            let (Answer::Ratings(values), Some(condition)) = (answer, trial.tested(plan)) else { continue };
            let of = |is_object: bool| {
                let mut slots = trial.slots[1..].iter().zip(values);
                slots.find(|(slot, _)| (slot.condition == condition) == is_object).map_or(f64::NAN, |(_, &value)| value)
            };
            grades.push(DoubleGrade { listener, item: trial.item, condition, object: of(true), reference: of(false) });
        }
    }
    statistics::difference_grades(&grades)
}

fn rated(plan: &Plan, ratings: &[Rating], with_pairs: bool) -> Result<RatingsOutcome, StatisticsError> {
    let named = |comparison: Comparison| Named { name: versus(plan, comparison.condition, comparison.with), result: comparison };
    let summaries = statistics::summarize(ratings, resampling(plan))?;
    let against = statistics::compare_with(ratings, 0, resampling(plan))?;
    let tested: Vec<Rating> = ratings.iter().copied().filter(|r| plan.conditions[r.condition].role == Role::Tested).collect();
    let pairs = if with_pairs { statistics::compare_pairs(&tested, resampling(plan))? } else { Vec::new() };
    let n_tested = plan.conditions.iter().filter(|c| c.role == Role::Tested).count();
    let name = |summary: ConditionSummary| Named { name: plan.conditions[summary.condition].name.clone(), result: summary };
    Ok(RatingsOutcome {
        conditions: summaries.into_iter().map(name).collect(),
        against_reference: against.into_iter().map(named).collect(),
        pairs: pairs.into_iter().map(named).collect(),
        friedman: if n_tested > 2 { statistics::friedman_of(&tested).ok().map(|(friedman, _)| friedman) } else { None },
    })
}

/// Difference grades against none at all: the reference's difference from itself.
fn graded(plan: &Plan, differences: &[Rating]) -> Result<RatingsOutcome, StatisticsError> {
    let mut zeros: Vec<Rating> = differences.iter().map(|r| Rating { condition: 0, value: 0.0, ..*r }).collect();
    zeros.sort_by_key(|r| (r.listener, r.item));
    zeros.dedup_by_key(|r| (r.listener, r.item));
    let mut outcome = rated(plan, &[differences, &zeros].concat(), false)?;
    outcome.conditions.retain(|named| named.result.condition != 0);
    Ok(outcome)
}

fn threshold(plan: &Plan, logs: &[&Log], method: Method) -> Result<ThresholdOutcome, StatisticsError> {
    let tested: Vec<usize> = (0..plan.conditions.len()).filter(|&c| plan.conditions[c].role == Role::Tested).collect();
    let levels: Vec<f64> = tested.iter().filter_map(|&c| plan.conditions[c].level).collect();
    let history = |log: &Log| -> Vec<(usize, bool)> {
        let level = |condition: usize| tested.iter().position(|&c| c == condition);
        log.scored().filter_map(|(trial, answer)| Some((level(trial.tested(plan)?)?, trial.is_right(answer)?))).collect()
    };
    let of = |listener: &str, history: &[(usize, bool)], staircase: Option<StaircaseEstimate>| {
        let posterior = Posterior::of(&levels, history)?;
        Ok(ListenerThreshold {
            listener: listener.to_owned(),
            n_trials: history.len(),
            threshold: posterior.threshold(P_THRESHOLD, CONFIDENCE)?,
            staircase,
            curve: posterior.curve(N_POINTS, CONFIDENCE)?,
            counts: posterior.counts().to_vec(),
            fit: posterior.goodness_of_fit(plan.seed)?,
        })
    };
    let listeners = logs.iter().map(|log| {
        let history = history(log);
        of(&log.listener, &history, Adaptive::replay(&levels, method, &history)?.staircase_estimate(CONFIDENCE)?)
    });
    let listeners = listeners.collect::<Result<Vec<_>, StatisticsError>>()?;
    let all: Vec<(usize, bool)> = logs.iter().flat_map(|log| history(log)).collect();
    let pooled = if logs.len() > 1 { Some(of("all listeners", &all, None)?) } else { None };
    Ok(ThresholdOutcome { levels, listeners, pooled })
}
