//! The levels of an adaptive test, and the coordinate in which the psychometric function is logistic.

use serde::Serialize;

use super::StatisticsError;

/// Levels in rising order of audibility. Their values rise or fall, with any spacing.
///
/// The audibility coordinate u of a level is its place in this list: 0 for the first, 1 for the second, linear in the level's value between
/// neighbors. Equal steps make u linear in the level, equal ratios in its logarithm: the spacing says on which scale the axis is even.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Axis {
    levels: Vec<f64>,
}

impl Axis {
    /// At least two finite levels that rise, or fall, throughout; else an error.
    pub fn new(levels: &[f64]) -> Result<Self, StatisticsError> {
        if levels.len() < 2 {
            return Err(StatisticsError::TooFewLevels { n_levels: levels.len() });
        }
        let falling = levels[1] < levels[0];
        let in_order = |position: usize| {
            let level = levels[position];
            level.is_finite() && (position == 0 || (level != levels[position - 1] && (level < levels[position - 1]) == falling))
        };
        match (0..levels.len()).find(|&position| !in_order(position)) {
            Some(position) => Err(StatisticsError::LevelsOutOfOrder { position, level: levels[position] }),
            None => Ok(Self { levels: levels.to_vec() }),
        }
    }

    /// The levels, as given.
    pub fn levels(&self) -> &[f64] {
        &self.levels
    }

    /// Audibility coordinate of the last level.
    pub(super) fn last(&self) -> f64 {
        (self.levels.len() - 1) as f64
    }

    /// Audibility coordinate of a level; `None` outside of the levels.
    pub fn position(&self, level: f64) -> Option<f64> {
        self.levels.windows(2).enumerate().find_map(|(index, ends)| {
            let share = (level - ends[0]) / (ends[1] - ends[0]);
            (0.0..=1.0).contains(&share).then_some(index as f64 + share)
        })
    }

    /// Level at an audibility coordinate; `None` outside of 0..=n−1.
    pub fn level(&self, position: f64) -> Option<f64> {
        if !(0.0..=self.last()).contains(&position) {
            return None;
        }
        let index = (position as usize).min(self.levels.len() - 2);
        let share = position - index as f64;
        Some((1.0 - share) * self.levels[index] + share * self.levels[index + 1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_levels_are_each_others_inverse() {
        for (levels, position, level) in [
            (&[1.0, 0.75, 0.5, 0.0][..], 2.5, 0.25),
            (&[1.0, 2.0, 4.0, 8.0], 1.5, 3.0),
            (&[-3.0, 5.0], 0.0, -3.0),
            (&[-3.0, 5.0], 1.0, 5.0),
        ] {
            let axis = Axis::new(levels).unwrap();
            assert_eq!(axis.level(position), Some(level));
            assert_eq!(axis.position(level), Some(position));
        }
        let axis = Axis::new(&[1.0, 0.5]).unwrap();
        assert_eq!((axis.level(-0.01), axis.level(1.01), axis.level(f64::NAN)), (None, None, None));
        assert_eq!((axis.position(1.01), axis.position(0.49), axis.position(f64::NAN)), (None, None, None));
    }

    #[test]
    fn what_is_no_order_is_refused_where_it_breaks() {
        assert_eq!(Axis::new(&[1.0]), Err(StatisticsError::TooFewLevels { n_levels: 1 }));
        for (levels, at) in [
            (&[0.0, 1.0, 1.0][..], 2),
            (&[0.0, 1.0, 0.5], 2),
            (&[2.0, 1.0, 1.5, 0.0], 2),
            (&[1.0, 1.0], 1),
            (&[f64::NAN, 1.0], 0),
            (&[0.0, f64::INFINITY], 1),
            (&[1.0, f64::NAN, 0.0], 1),
        ] {
            match Axis::new(levels) {
                Err(StatisticsError::LevelsOutOfOrder { position, .. }) => assert_eq!(position, at, "{levels:?}"),
                other => panic!("{levels:?} gave {other:?}"),
            }
        }
    }
}
