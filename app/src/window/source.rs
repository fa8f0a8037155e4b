//! What can be listened to: the truth, the live rollout and the synthetic modes, each with its name and key.

use driftscope_core::rollout::synthetic::SyntheticMode;

/// One thing to hear. All sources of an utterance have the same length and share one position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
}

impl Source {
    /// All, in the order of their keys 1…8.
    pub const ALL: [Self; 8] =
        [Self::Truth, Self::Rollout, Self::Slow75, Self::Slow50, Self::Slow25, Self::WrongDirection, Self::Stationary, Self::Original];

    /// Name on buttons and in the legend.
    pub fn name(self) -> &'static str {
        match self {
            Self::Truth => "Ground truth",
            Self::Rollout => "Rollout",
            Self::Slow75 => "Slow .75",
            Self::Slow50 => "Slow .50",
            Self::Slow25 => "Slow .25",
            Self::WrongDirection => "Wrong direction",
            Self::Stationary => "Stationary",
            Self::Original => "Recording",
        }
    }

    /// One sentence on what is heard.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Truth => "The true latents, decoded by the same codec as everything else.",
            Self::Rollout => "The true latents up to the start, then the live rollout; silence after its last step.",
            Self::Slow75 => "Every true Δ scaled by 0.75: right direction, wrong magnitude.",
            Self::Slow50 => "Every true Δ scaled by 0.5: right direction, wrong magnitude.",
            Self::Slow25 => "Every true Δ scaled by 0.25: right direction, wrong magnitude.",
            Self::WrongDirection => "Every Δ keeps its true magnitude and points in a seeded random direction.",
            Self::Stationary => "The first frame repeated.",
            Self::Original => "The recording itself, before the codec: what the round trip alone costs.",
        }
    }

    /// The number key that plays it.
    pub fn key_number(self) -> usize {
        Self::ALL.iter().position(|s| *s == self).map_or(0, |i| i + 1)
    }

    /// The synthetic mode behind it, where it is one.
    pub fn synthetic(self) -> Option<SyntheticMode> {
        match self {
            Self::Slow75 => Some(SyntheticMode::Slow { alpha: 0.75 }),
            Self::Slow50 => Some(SyntheticMode::Slow { alpha: 0.5 }),
            Self::Slow25 => Some(SyntheticMode::Slow { alpha: 0.25 }),
            Self::WrongDirection => Some(SyntheticMode::WrongDirection),
            Self::Stationary => Some(SyntheticMode::Stationary),
            Self::Truth | Self::Rollout | Self::Original => None,
        }
    }
}
