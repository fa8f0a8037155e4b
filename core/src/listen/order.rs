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

    /// Whether `trial` is the present one, and takes the level that it had. The Bayesian level is the outcome of long sums, whose last digits
    /// another program or processor may have otherwise; what was heard is what counts.
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
mod tests {
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
}
