//! What can be listened to: the truth, the live rollout, splices, branches, compared predictors and the synthetic modes.

use driftscope_core::rollout::synthetic::SyntheticMode;
use serde::{Deserialize, Serialize};

use super::view::Comparand;

/// One thing to hear. All sources of an utterance share one position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Source {
    /// The true latents, decoded: what everything else is compared with.
    Truth,
    /// The truth up to the start, then the live rollout.
    Rollout,
    /// True direction, 0.75 of the magnitude.
    Slow75,
    /// True direction, half the magnitude.
    Slow50,
    /// True direction, a quarter of the magnitude.
    Slow25,
    /// True magnitude, random direction.
    WrongDirection,
    /// The first frame repeated.
    Stationary,
    /// The recording as it was before the codec.
    Original,
    /// True magnitude, direction turned by the chosen angle.
    OffAngle,
    /// The truth with this many steps of the live rollout in its midst.
    Splice(u8),
    /// The truth up to the start, then a kept rollout.
    Branch(u32),
    /// The truth up to the start, then another predictor's rollout with the same settings.
    Comparand(Comparand),
}

impl Source {
    /// Those that are always there, in the order of their keys 1…9.
    pub const FIXED: [Self; 9] = [
        Self::Truth,
        Self::Rollout,
        Self::Slow75,
        Self::Slow50,
        Self::Slow25,
        Self::WrongDirection,
        Self::Stationary,
        Self::Original,
        Self::OffAngle,
    ];
    /// Splices, in order of length.
    pub const SPLICES: [Self; 5] = [Self::Splice(1), Self::Splice(2), Self::Splice(4), Self::Splice(8), Self::Splice(16)];

    /// Name on buttons; that of a branch or a predictor is known to the state ([`super::state::State::source_name`]).
    pub fn name(self) -> String {
        match self {
            Self::Truth => "Ground truth".into(),
            Self::Rollout => "Rollout".into(),
            Self::Slow75 => "Slow .75".into(),
            Self::Slow50 => "Slow .50".into(),
            Self::Slow25 => "Slow .25".into(),
            Self::WrongDirection => "Wrong direction".into(),
            Self::Stationary => "Stationary".into(),
            Self::Original => "Recording".into(),
            Self::OffAngle => "Off angle".into(),
            Self::Splice(steps) => format!("Splice {steps}"),
            Self::Branch(id) => format!("Branch {id}"),
            Self::Comparand(c) => format!("Predictor {}", c.predictor + 1),
        }
    }

    /// One sentence on what is heard.
    pub fn explanation(self) -> String {
        match self {
            Self::Truth => "The true latents, decoded by the same codec as everything else.".into(),
            Self::Rollout => "The true latents up to the start, then the live rollout; silence after its last step.".into(),
            Self::Slow75 => "Every true Δ scaled by 0.75: right direction, wrong magnitude.".into(),
            Self::Slow50 => "Every true Δ scaled by 0.5: right direction, wrong magnitude.".into(),
            Self::Slow25 => "Every true Δ scaled by 0.25: right direction, wrong magnitude.".into(),
            Self::WrongDirection => "Every Δ keeps its true magnitude and points in a seeded random direction.".into(),
            Self::Stationary => "The first frame repeated.".into(),
            Self::Original => "The recording itself, before the codec: what the round trip alone costs.".into(),
            Self::OffAngle => "Every Δ keeps its true magnitude and is turned by the chosen angle towards a seeded direction.".into(),
            Self::Splice(steps) => format!(
                "The truth with {steps} {} of the live rollout in its midst; outside the decoder's reach the true sound is copied.",
                if steps == 1 { "step" } else { "steps" }
            ),
            Self::Branch(_) => "The true latents up to the start, then this kept rollout.".into(),
            Self::Comparand(_) => "The same start and settings, rolled out by this predictor.".into(),
        }
    }

    /// The number key that plays it, where there is one.
    pub fn key_number(self) -> Option<usize> {
        Self::FIXED.iter().position(|s| *s == self).map(|i| i + 1)
    }

    /// Its place in the player; stays the same as long as the program runs.
    pub fn slot(self) -> usize {
        match self {
            Self::Splice(steps) => Self::FIXED.len() + steps.ilog2().min(7) as usize,
            Self::Branch(id) => 32 + 2 * id as usize,
            Self::Comparand(c) => 33 + 2 * (c.store * 64 + c.predictor),
            fixed => fixed.key_number().unwrap_or(1) - 1,
        }
    }

    /// Made from the truth alone.
    pub fn is_synthetic(self) -> bool {
        matches!(self, Self::Slow75 | Self::Slow50 | Self::Slow25 | Self::WrongDirection | Self::Stationary | Self::OffAngle)
    }

    /// The synthetic mode behind it, where it is one.
    pub fn synthetic(self, angle_degrees: f32) -> Option<SyntheticMode> {
        match self {
            Self::Slow75 => Some(SyntheticMode::Slow { alpha: 0.75 }),
            Self::Slow50 => Some(SyntheticMode::Slow { alpha: 0.5 }),
            Self::Slow25 => Some(SyntheticMode::Slow { alpha: 0.25 }),
            Self::WrongDirection => Some(SyntheticMode::WrongDirection),
            Self::Stationary => Some(SyntheticMode::Stationary),
            Self::OffAngle => Some(SyntheticMode::OffAngle { degrees: angle_degrees }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_sources_share_a_place_in_the_player() {
        let comparands = (0..3).flat_map(|store| (0..20).map(move |predictor| Source::Comparand(Comparand { store, predictor })));
        let all: Vec<Source> =
            Source::FIXED.into_iter().chain(Source::SPLICES).chain((1..40).map(Source::Branch)).chain(comparands).collect();
        let slots: std::collections::BTreeSet<usize> = all.iter().map(|s| s.slot()).collect();
        assert_eq!(slots.len(), all.len());
    }
}
