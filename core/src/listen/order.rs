//! Which trial comes next: a function of the plan, the listener's name and what was answered so far.
//!
//! Balanced are the items and the comparisons (which are interleaved: every one once in each round), and which of A and B is the reference
//! in ABX. What is hidden in one of two places is there by the throw of a coin, each time anew: only then is half right what guessing
//! gives, whatever a listener does. (With places balanced over the test, a listener who says A and B as often is 12 of 16 times right
//! with p = .066, not .038.)

use std::collections::VecDeque;
use std::sync::Arc;

use super::dice::{self, Dice};
use super::plan::{Design, Method, Plan, Role, Stop};
use super::statistics::{Adaptive, Sequential, Verdict};
use super::test::Test;
use super::trial::{Answer, Question, Slot, Trial};

/// The trials of one listener, up to the present one.
#[derive(Clone, Debug)]
pub struct Order {
    plan: Arc<Plan>,
    seed: [u8; 32],
    training: VecDeque<Planned>,
    scored: VecDeque<Planned>,
    rule: Rule,
    trial: Option<Trial>,
    n_answered: u32,
    n_voided: u32,
}

/// A trial to come, without its hidden places.
#[derive(Clone, Debug)]
struct Planned {
    item: usize,
    /// In the plan's order.
    conditions: Vec<usize>,
    /// The second of two conditions is A.
    flipped: bool,
}

/// What answers decide about the trials to come.
#[derive(Clone, Debug)]
enum Rule {
    /// Nothing.
    Fixed,
    /// Comparisons end one by one: the tested condition of each, and its answers.
    Sequential(Sequential, Vec<(usize, Vec<bool>)>),
    /// The level; the conditions in rising order of audibility.
    Adaptive(Box<Adaptive>, Vec<usize>),
}

impl Order {
    /// Before the first trial.
    pub fn new(test: &Test, listener: &str) -> Self {
        let seed = dice::seed(test.hash(), listener);
        let plan = Arc::clone(test.plan());
        let (training, scored, rule) = (training(&plan, &seed), scored(&plan, &seed), Rule::of(&plan));
        let mut order = Self { plan, seed, training, scored, rule, trial: None, n_answered: 0, n_voided: 0 };
        order.trial = order.make(1);
        order
    }

    /// The trial that is due; `None` after the last.
    pub fn trial(&self) -> Option<&Trial> {
        self.trial.as_ref()
    }

    /// Scored answers.
    pub fn n_answered(&self) -> u32 {
        self.n_answered
    }

    /// Voided trials.
    pub fn n_voided(&self) -> u32 {
        self.n_voided
    }

    /// Training trials to come, the present one included.
    pub fn n_training_left(&self) -> u32 {
        self.training.len() as u32
    }

    /// Takes an answer to the present trial, which accepts it.
    pub fn answered(&mut self, answer: &Answer) {
        let Some(trial) = self.trial.take() else { return };
        let right = trial.is_right(answer);
        if trial.training {
            self.training.pop_front();
        } else {
            self.scored.pop_front();
            self.n_answered += 1;
            self.decide(&trial, right == Some(true));
        }
        self.trial = self.make(trial.number + 1);
    }

    /// Gives the present trial up: it comes again after the others, with hidden places of its own.
    pub fn voided(&mut self) {
        let Some(trial) = self.trial.take() else { return };
        self.n_voided += 1;
        let queue = if trial.training { &mut self.training } else { &mut self.scored };
        if let Some(planned) = queue.pop_front() {
            queue.push_back(planned);
        }
        self.trial = self.make(trial.number + 1);
    }

    /// BLAKE3 of all trials as JSON lines, as they are if none is voided and every answer is right, which an adaptive test has at its most
    /// audible level. Written into the log before the first trial, so that later no other order can be said to have been meant.
    pub fn commitment(&self) -> String {
        let mut order = self.clone();
        if matches!(order.rule, Rule::Adaptive(..)) {
            order.rule = Rule::Fixed;
            order.trial = order.make(1);
        }
        let mut hasher = blake3::Hasher::new();
        while let Some(trial) = order.trial.clone() {
            // A struct of numbers and names is written without fail; a log would else not fit its own beginning.
            hasher.update(&serde_json::to_vec(&trial).unwrap_or_default()).update(b"\n");
            order.answered(&trial.right_slot().map_or(Answer::Neither, Answer::Slot));
        }
        hasher.finalize().to_hex().to_string()
    }

    /// Whether `trial` is the present one, and takes the level that it had. The Bayesian level is the outcome of long sums, whose last
    /// digits another program or processor may have otherwise; what was heard is what counts.
    pub(super) fn is_present(&mut self, trial: &Trial) -> bool {
        let Some(present) = &mut self.trial else { return false };
        if let (Rule::Adaptive(_, levels), Design::Threshold { method: Method::Bayesian, .. }) = (&self.rule, self.plan.design) {
            let tested = |slots: &[Slot]| slots.iter().position(|slot| slot.condition != 0);
            if let (Some(at), Some(there)) = (tested(&present.slots), tested(&trial.slots))
                && at == there
                && levels.contains(&trial.slots[there].condition)
            {
                present.slots[at].condition = trial.slots[there].condition;
            }
        }
        present == trial
    }

    /// What a scored answer changes.
    fn decide(&mut self, trial: &Trial, is_right: bool) {
        let Some(tested) = trial.tested(&self.plan) else { return };
        match &mut self.rule {
            Rule::Fixed => {}
            Rule::Sequential(test, answers) => {
                let Some((_, right)) = answers.iter_mut().find(|(condition, _)| *condition == tested) else { return };
                right.push(is_right);
                if test.replay(right).0 != Verdict::Continue {
                    self.scored.retain(|planned| !planned.conditions.contains(&tested));
                }
            }
            Rule::Adaptive(adaptive, levels) => {
                if let Some(level_idx) = levels.iter().position(|&c| c == tested) {
                    // The level is one of the axis' own.
                    let _ = adaptive.push(level_idx, is_right);
                }
            }
        }
    }

    fn make(&self, number: u32) -> Option<Trial> {
        let (training, planned) = match self.training.front() {
            Some(planned) => (true, planned),
            None => (false, self.scored.front()?),
        };
        let mut dice = Dice::new(&self.seed, "hidden places", number);
        let labeled = |pairs: &[(&str, usize)]| pairs.iter().map(|&(l, condition)| Slot { label: l.to_owned(), condition }).collect();
        let (mut first, mut second) = (planned.conditions.first().copied()?, planned.conditions.last().copied()?);
        if let (Rule::Adaptive(adaptive, levels), false) = (&self.rule, training) {
            second = levels.get(adaptive.next_level()).copied()?;
        }
        let coin = dice.coin();
        let (slots, question) = match self.plan.design {
            Design::Abx { .. } | Design::Equivalence { .. } => {
                if planned.flipped {
                    (first, second) = (second, first);
                }
                (labeled(&[("A", first), ("B", second), ("X", if coin { first } else { second })]), Question::WhichIsX)
            }
            Design::Preference { ties, .. } => {
                let [a, b] = if coin { [first, second] } else { [second, first] };
                (labeled(&[("A", a), ("B", b)]), if ties { Question::WhichIsBetterIfAny } else { Question::WhichIsBetter })
            }
            Design::Threshold { .. } | Design::TripleStimulus => {
                let [a, b] = if coin { [first, second] } else { [second, first] };
                let question = if self.plan.design == Design::TripleStimulus { Question::Grade } else { Question::WhichDiffers };
                (labeled(&[("Reference", first), ("A", a), ("B", b)]), question)
            }
            Design::Mushra => {
                let mut conditions = planned.conditions.clone();
                dice.shuffle(&mut conditions);
                let reference = Slot { label: "Reference".to_owned(), condition: first };
                let hidden = conditions.into_iter().enumerate().map(|(n, condition)| Slot { label: letter(n), condition });
                (std::iter::once(reference).chain(hidden).collect(), Question::Rate)
            }
        };
        Some(Trial { number, training, item: planned.item, slots, question })
    }
}

impl Rule {
    fn of(plan: &Plan) -> Self {
        let tested = || (0..plan.conditions.len()).filter(|&c| plan.conditions[c].role == Role::Tested);
        match plan.design {
            Design::Abx { stop: Stop::Sequential { p1, beta, max_trials }, alpha } => {
                match Sequential::new(0.5, p1, alpha, beta, max_trials) {
                    Ok(test) => Self::Sequential(test, tested().map(|c| (c, Vec::new())).collect()),
                    Err(_) => Self::Fixed,
                }
            }
            Design::Threshold { method, .. } => {
                let levels: Vec<f64> = tested().filter_map(|c| plan.conditions[c].level).collect();
                match Adaptive::new(&levels, method) {
                    Ok(adaptive) => Self::Adaptive(Box::new(adaptive), tested().collect()),
                    Err(_) => Self::Fixed,
                }
            }
            _ => Self::Fixed,
        }
    }
}

/// A to Z, then A1, B1, …
fn letter(n: usize) -> String {
    let letter = char::from(b'A' + (n % 26) as u8);
    if n < 26 { letter.to_string() } else { format!("{letter}{}", n / 26) }
}

/// `n` items, each as often as the others (± 1), in rounds of all of them in a new order.
fn items(plan: &Plan, n: usize, dice: &mut Dice) -> Vec<usize> {
    let n_items = plan.items.len();
    let mut items = Vec::with_capacity(n + n_items);
    while items.len() < n && n_items > 0 {
        let mut round: Vec<usize> = (0..n_items).collect();
        dice.shuffle(&mut round);
        items.extend(round);
    }
    items.truncate(n);
    items
}

/// For the items in their order: half of them this way first, and every item the other way when it comes again.
fn flips(plan: &Plan, items: &[usize], dice: &mut Dice) -> Vec<bool> {
    let mut next: Vec<bool> = (0..plan.items.len()).map(|i| i % 2 == 0).collect();
    dice.shuffle(&mut next);
    let mut flip = |item: usize| {
        next[item] = !next[item];
        next[item]
    };
    items.iter().map(|&item| flip(item)).collect()
}

fn scored(plan: &Plan, seed: &[u8; 32]) -> VecDeque<Planned> {
    let mut comparisons = plan.comparisons();
    if matches!(plan.design, Design::Threshold { .. }) {
        // One row of trials whose level is not known yet; until then the most audible stands for it.
        comparisons = comparisons.pop().into_iter().collect();
    }
    let n_rounds = plan.n_scored() as usize / comparisons.len().max(1);
    let rows: Vec<Vec<(usize, bool)>> = (0..comparisons.len() as u32)
        .map(|comparison| {
            let mut dice = Dice::new(seed, "items", comparison);
            let items = items(plan, n_rounds, &mut dice);
            let flips = flips(plan, &items, &mut dice);
            items.into_iter().zip(flips).collect()
        })
        .collect();
    let mut planned = VecDeque::new();
    for round in 0..n_rounds {
        let mut order: Vec<usize> = (0..comparisons.len()).collect();
        Dice::new(seed, "comparisons", round as u32).shuffle(&mut order);
        planned.extend(order.into_iter().map(|comparison| {
            let (item, flipped) = rows[comparison][round];
            Planned { item, conditions: comparisons[comparison].clone(), flipped }
        }));
    }
    planned
}

/// The widest contrasts first: with an anchor where there is one, else of conditions that stand far apart in the plan.
fn training(plan: &Plan, seed: &[u8; 32]) -> VecDeque<Planned> {
    let mut dice = Dice::new(seed, "training", 0);
    let mut comparisons = plan.comparisons();
    if plan.design != Design::Mushra && plan.design.has_reference() {
        comparisons.extend((0..plan.conditions.len()).filter(|&c| plan.conditions[c].role == Role::Anchor).map(|c| vec![0, c]));
    }
    comparisons.sort_by_key(|conditions| {
        let (first, last) = (conditions.first().copied().unwrap_or(0), conditions.last().copied().unwrap_or(0));
        (plan.conditions.get(last).is_none_or(|c| c.role != Role::Anchor), std::cmp::Reverse(last - first))
    });
    let n = plan.settings.n_training as usize;
    let items = items(plan, n, &mut dice);
    let of = |(n, item): (usize, usize)| {
        let conditions = comparisons.get(n % comparisons.len().max(1)).cloned().unwrap_or_default();
        Planned { item, conditions, flipped: dice.coin() }
    };
    items.into_iter().enumerate().map(of).collect()
}

#[cfg(test)]
mod tests;
