//! One trial: what sounds under which label, what is asked, and what counts as an answer.

use serde::{Deserialize, Serialize};

use super::plan::{Condition, Plan, Role, Stimulus};

/// What a listener hears and is asked at once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trial {
    /// From 1, in the order of presentation; trials that were voided count.
    pub number: u32,
    /// Does not count, and its answer is shown.
    pub training: bool,
    /// Index into the plan's items.
    pub item: usize,
    /// What can be heard, in the order of the buttons.
    pub slots: Vec<Slot>,
    /// What is asked.
    pub question: Question,
}

/// A button and what it plays.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Slot {
    /// "A", "B", "X", "Reference": all that a listener may know.
    pub label: String,
    /// Index into the plan's conditions.
    pub condition: usize,
}

/// What is asked. The slot "Reference", where there is one, is the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Question {
    /// Slots A, B, X: is X A or B? Answered by [`Answer::Slot`] 0 or 1.
    WhichIsX,
    /// Slots Reference, A, B: which of A and B is not the reference? Answered by [`Answer::Slot`] 1 or 2.
    WhichDiffers,
    /// Slots A, B: which is better? Answered by [`Answer::Slot`] 0 or 1.
    WhichIsBetter,
    /// The same, and [`Answer::Neither`] may be said.
    WhichIsBetterIfAny,
    /// Slots Reference, A, B, C, …: how good is each from 0 to 100 ([`Answer::Ratings`] of all but the first)?
    Rate,
    /// Slots Reference, A, B: how small is the impairment of each from 1.0 to 5.0, of which one has none ([`Answer::Ratings`] of both)?
    Grade,
}

impl Question {
    /// As a listener reads it.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::WhichIsX => "Which of A and B is X?",
            Self::WhichDiffers => "Which of A and B is not the reference?",
            Self::WhichIsBetter => "Which do you prefer, A or B?",
            Self::WhichIsBetterIfAny => "Which do you prefer, A or B, or neither?",
            Self::Rate => "How good is each sound beside the reference? One of them is the reference itself.",
            Self::Grade => "How much is each of A and B impaired against the reference? One of them is the reference itself and has 5.0.",
        }
    }

    /// The scale of ratings with its named bands, worst first: `(lowest, highest, names)`.
    pub fn scale(self) -> Option<(f64, f64, [&'static str; 5])> {
        match self {
            // BS.1534-3, continuous quality scale.
            Self::Rate => Some((0.0, 100.0, ["Bad", "Poor", "Fair", "Good", "Excellent"])),
            // BS.1116-3, impairment scale; the names stand at 1, 2, 3, 4 and 5.
            Self::Grade => {
                Some((1.0, 5.0, ["Very annoying", "Annoying", "Slightly annoying", "Perceptible, but not annoying", "Imperceptible"]))
            }
            _ => None,
        }
    }
}

/// What a listener says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    /// Index of the slot that was asked for.
    Slot(usize),
    /// No preference.
    Neither,
    /// One number for each slot but the first (the reference), in the order of the slots.
    Ratings(Vec<f64>),
}

impl Trial {
    /// Whether the question can be answered so; else why not.
    pub fn accepts(&self, answer: &Answer) -> Result<(), String> {
        let between = |slot: usize, slots: [usize; 2]| {
            let labels = slots.map(|s| self.slots.get(s).map_or("", |slot| slot.label.as_str()));
            if slots.contains(&slot) { Ok(()) } else { Err(format!("the answer is {} or {}", labels[0], labels[1])) }
        };
        match (self.question, answer) {
            (Question::WhichIsX | Question::WhichIsBetter | Question::WhichIsBetterIfAny, Answer::Slot(slot)) => between(*slot, [0, 1]),
            (Question::WhichDiffers, Answer::Slot(slot)) => between(*slot, [1, 2]),
            (Question::WhichIsBetterIfAny, Answer::Neither) => Ok(()),
            (Question::WhichIsBetter, Answer::Neither) => Err("one of A and B is to be preferred".to_owned()),
            (Question::Rate | Question::Grade, Answer::Ratings(ratings)) => self.accepts_ratings(ratings),
            (Question::Rate | Question::Grade, _) => Err("every sound is to be rated".to_owned()),
            (Question::WhichIsX | Question::WhichDiffers, _) => Err("one of A and B is to be chosen, if need be by guessing".to_owned()),
            (Question::WhichIsBetter | Question::WhichIsBetterIfAny, _) => Err("A or B is to be chosen, not rated".to_owned()),
        }
    }

    fn accepts_ratings(&self, ratings: &[f64]) -> Result<(), String> {
        let n_rated = self.slots.len().saturating_sub(1);
        if ratings.len() != n_rated {
            return Err(format!("{n_rated} sounds are to be rated, not {}", ratings.len()));
        }
        let (lowest, highest, _) = self.question.scale().unwrap_or((0.0, 100.0, [""; 5]));
        for (slot, rating) in self.slots[1..].iter().zip(ratings) {
            if !(lowest..=highest).contains(rating) {
                return Err(format!("{} is rated {rating}; ratings lie from {lowest} to {highest}", slot.label));
            }
        }
        if self.question == Question::Grade && !ratings.contains(&highest) {
            return Err("one of A and B is the reference itself and must have 5.0".to_owned());
        }
        Ok(())
    }

    /// The slot that is right, where one is.
    pub fn right_slot(&self) -> Option<usize> {
        let condition = |slot: usize| self.slots.get(slot).map(|s| s.condition);
        match self.question {
            Question::WhichIsX => (0..2).find(|&slot| condition(slot) == condition(2)),
            Question::WhichDiffers => (1..3).find(|&slot| condition(slot) != condition(0)),
            _ => None,
        }
    }

    /// Whether an answer is right; `None` where there is no right and wrong.
    pub fn is_right(&self, answer: &Answer) -> Option<bool> {
        self.right_slot().map(|slot| *answer == Answer::Slot(slot))
    }

    /// The conditions that the trial compares with each other, each once, in the plan's order.
    pub fn conditions(&self) -> Vec<usize> {
        let mut conditions: Vec<usize> = self.slots.iter().map(|slot| slot.condition).collect();
        conditions.sort_unstable();
        conditions.dedup();
        conditions
    }

    /// The condition that is compared with the reference, in trials of two.
    pub fn tested(&self, plan: &Plan) -> Option<usize> {
        let mut others = self.conditions().into_iter().filter(|&c| plan.conditions.get(c).is_some_and(|c| c.role != Role::Reference));
        others.next().filter(|_| others.next().is_none())
    }

    /// What a slot plays as the plan has it; `None` where it is to be rendered.
    pub fn stimulus<'p>(&self, slot: usize, plan: &'p Plan) -> Option<&'p Stimulus> {
        plan.items.get(self.item)?.stimuli.get(self.slots.get(slot)?.condition)?.as_ref()
    }

    /// The condition of a slot as the plan has it.
    pub fn condition<'p>(&self, slot: usize, plan: &'p Plan) -> Option<&'p Condition> {
        plan.conditions.get(self.slots.get(slot)?.condition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(question: Question, conditions: &[usize]) -> Trial {
        let slots = conditions.iter().enumerate().map(|(n, &condition)| Slot { label: format!("S{n}"), condition }).collect();
        Trial { number: 1, training: false, item: 0, slots, question }
    }

    #[test]
    fn what_is_right() {
        for (question, conditions, right) in [
            (Question::WhichIsX, [0, 2, 2], Some(1)),
            (Question::WhichIsX, [0, 2, 0], Some(0)),
            (Question::WhichDiffers, [0, 0, 2], Some(2)),
            (Question::WhichDiffers, [0, 2, 0], Some(1)),
            (Question::Grade, [0, 2, 0], None),
        ] {
            assert_eq!(trial(question, &conditions).right_slot(), right, "{question:?} {conditions:?}");
        }
    }

    #[test]
    fn what_is_an_answer() {
        let ratings = |all: &[f64]| Answer::Ratings(all.to_vec());
        for (question, answer, why) in [
            (Question::WhichIsX, Answer::Slot(1), ""),
            (Question::WhichIsX, Answer::Slot(2), "the answer is S0 or S1"),
            (Question::WhichIsX, Answer::Neither, "one of A and B is to be chosen, if need be by guessing"),
            (Question::WhichDiffers, Answer::Slot(2), ""),
            (Question::WhichDiffers, Answer::Slot(0), "the answer is S1 or S2"),
            (Question::WhichIsBetter, Answer::Neither, "one of A and B is to be preferred"),
            (Question::WhichIsBetterIfAny, Answer::Neither, ""),
            (Question::WhichIsBetterIfAny, ratings(&[1.0]), "A or B is to be chosen, not rated"),
            (Question::Rate, ratings(&[0.0, 100.0]), ""),
            (Question::Rate, ratings(&[50.0]), "2 sounds are to be rated, not 1"),
            (Question::Rate, ratings(&[50.0, 100.5]), "S2 is rated 100.5; ratings lie from 0 to 100"),
            (Question::Rate, ratings(&[f64::NAN, 50.0]), "S1 is rated NaN; ratings lie from 0 to 100"),
            (Question::Grade, ratings(&[5.0, 1.0]), ""),
            (Question::Grade, ratings(&[4.9, 1.0]), "one of A and B is the reference itself and must have 5.0"),
            (Question::Grade, Answer::Slot(1), "every sound is to be rated"),
        ] {
            let said = trial(question, &[0, 2, 0]).accepts(&answer);
            assert_eq!(said, if why.is_empty() { Ok(()) } else { Err(why.to_owned()) }, "{question:?} {answer:?}");
        }
    }
}
