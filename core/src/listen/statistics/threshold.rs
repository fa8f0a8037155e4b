//! A place on the axis of an adaptive test, or beyond it.

use serde::Serialize;

use super::{Axis, Interval};

/// A threshold in the axis' unit. Nothing is extrapolated: what lies beyond the levels tested is said to.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(tag = "place", rename_all = "snake_case")]
pub enum Threshold {
    /// Between the levels tested.
    Within {
        /// The estimate.
        level: f64,
        /// Less audible end of the interval; `None` beyond the first level.
        from: Option<f64>,
        /// More audible end of the interval; `None` beyond the last level.
        to: Option<f64>,
    },
    /// Heard so well already at the first level, the least audible one.
    Below {
        /// More audible end of the interval, the first level at least; `None` beyond the last level.
        to: Option<f64>,
    },
    /// Not heard so well at the last level, the most audible one.
    Above {
        /// Less audible end of the interval, the last level at most; `None` beyond the first level.
        from: Option<f64>,
    },
}

impl Threshold {
    /// From an estimate and its interval in the audibility coordinate.
    pub(super) fn on(axis: &Axis, position: f64, interval: Interval) -> Self {
        let (from, to) = (axis.level(interval.low.min(axis.last())), axis.level(interval.high.max(0.0)));
        match axis.level(position) {
            Some(level) => Self::Within { level, from, to },
            None if position < 0.0 => Self::Below { to },
            None => Self::Above { from },
        }
    }
}
