//! What an utterance sounds like under a condition.

use std::borrow::Cow;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rand_distr::StandardNormal;

use crate::audio::{self, AudioClip};
use crate::codec::{Codec, CodecError};
use crate::job::Cancel;
use crate::latents::Latents;
use crate::rollout::synthetic::{Accumulation, SyntheticMode, at_l2_error, l2_error, synthesize};
use crate::rollout::{Rollout, splice, splice_between};

/// What is done to an utterance before it is heard.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "rendition", rename_all = "snake_case")]
pub enum Rendition {
    /// Nothing: the recording, before the codec.
    Recording,
    /// The codec's round trip: the true latents, decoded.
    Truth,
    /// A synthetic mode.
    Synthetic {
        /// What is done to the true Δ.
        mode: SyntheticMode,
        /// Whether its errors add up.
        accumulation: Accumulation,
    },
    /// The same, its departure from the truth scaled until it is as far away (root mean square of ‖x̂ − x‖) as another mode.
    AtErrorOf {
        /// What is done to the true Δ.
        mode: SyntheticMode,
        /// The mode whose distance it gets.
        other: SyntheticMode,
        /// Of both.
        accumulation: Accumulation,
    },
    /// Gaussian noise on every frame after the first.
    Noise {
        /// Its standard deviation in every dimension, in units of the median ‖Δ‖/√D of the corpus.
        sigma: f32,
    },
    /// The truth up to the start, then the rollout to its end.
    Rollout,
    /// The truth with the first steps of the rollout in its midst; outside the decoder's reach the sound of the truth is copied.
    Splice {
        /// How many.
        n_steps: usize,
    },
}

/// An utterance and what is known of it.
#[derive(Clone, Copy, Debug)]
pub struct Material<'a> {
    /// The true latents.
    pub truth: &'a Latents,
    /// Their sound, by the codec that renders.
    pub decoded: Option<&'a AudioClip>,
    /// What they were encoded from.
    pub recording: Option<&'a AudioClip>,
    /// A rollout of it, and the row that is its segment.
    pub rollout: Option<(&'a Rollout, usize)>,
    /// Median ‖Δ‖/√D of the corpus ([`crate::rollout::median_delta_norm`]).
    pub noise_unit: f32,
    /// Of random directions and noise.
    pub seed: u64,
}

impl Rendition {
    /// Whether it needs a predictor.
    pub fn needs_rollout(self) -> bool {
        matches!(self, Self::Rollout | Self::Splice { .. })
    }

    /// Short and unique: names conditions, columns and files.
    pub fn name(self) -> String {
        let short = |value: f32| format!("{value:.2}").trim_start_matches('0').to_owned();
        let of_mode = |mode: SyntheticMode| match mode {
            SyntheticMode::GroundTruth => "ground truth".to_owned(),
            SyntheticMode::Stationary => "stationary".to_owned(),
            SyntheticMode::Slow { alpha } => format!("slow {}", short(alpha)),
            SyntheticMode::WrongDirection => "wrong direction".to_owned(),
            SyntheticMode::OffAngle { degrees } => format!("{degrees:.1}° off"),
        };
        let per_step = |accumulation: Accumulation| if accumulation == Accumulation::PerStep { " per step" } else { "" };
        match self {
            Self::Recording => "recording".to_owned(),
            Self::Truth => "ground truth".to_owned(),
            Self::Synthetic { mode, accumulation } => format!("{}{}", of_mode(mode), per_step(accumulation)),
            Self::AtErrorOf { mode, other, accumulation } => {
                format!("{} at the error of {}{}", of_mode(mode), of_mode(other), per_step(accumulation))
            }
            Self::Noise { sigma } => format!("noise {}", short(sigma)),
            Self::Rollout => "rollout".to_owned(),
            Self::Splice { n_steps } => format!("splice {n_steps}"),
        }
    }

    /// What is heard, in a sentence.
    pub fn explanation(self) -> String {
        let of_mode = |mode: SyntheticMode| match mode {
            SyntheticMode::GroundTruth => "Every Δ as it is".to_owned(),
            SyntheticMode::Stationary => "Every Δ zero".to_owned(),
            SyntheticMode::Slow { alpha } => format!("Every true Δ scaled by {alpha}"),
            SyntheticMode::WrongDirection => "Every Δ of its true magnitude in a seeded random direction".to_owned(),
            SyntheticMode::OffAngle { degrees } => {
                format!("Every Δ of its true magnitude, turned by {degrees}° towards a seeded direction")
            }
        };
        let how = |accumulation: Accumulation| match accumulation {
            Accumulation::Accumulated => "added up from the first frame",
            Accumulation::PerStep => "each added to the true frame before it",
        };
        match self {
            Self::Recording => "The recording itself, before the codec.".to_owned(),
            Self::Truth => "The true latents, decoded: what the codec alone does.".to_owned(),
            Self::Synthetic { mode, accumulation } => format!("{}, {}.", of_mode(mode), how(accumulation)),
            Self::AtErrorOf { mode, other, accumulation } => format!(
                "{}, {}; the departure from the truth then scaled to the distance of this: {}.",
                of_mode(mode),
                how(accumulation),
                of_mode(other).to_lowercase()
            ),
            Self::Noise { sigma } => format!("Gaussian noise of {sigma} times the median ‖Δ‖/√D on every frame after the first."),
            Self::Rollout => "The truth up to the start, then the rollout.".to_owned(),
            Self::Splice { n_steps: 1 } => "The truth with one step of the rollout in its midst.".to_owned(),
            Self::Splice { n_steps } => format!("The truth with {n_steps} steps of the rollout in its midst."),
        }
    }

    /// The latents that are decoded: those of the truth where nothing was done to them. `None` without the rollout it needs.
    pub fn latents<'a>(self, material: &Material<'a>) -> Option<Cow<'a, Latents>> {
        let truth = material.truth;
        let mut rng = StdRng::seed_from_u64(material.seed);
        let mut synthetic = |mode, accumulation| synthesize(truth, mode, accumulation, &mut || rng.sample(StandardNormal));
        Some(match self {
            Self::Recording | Self::Truth => Cow::Borrowed(truth),
            Self::Synthetic { mode, accumulation } => Cow::Owned(synthetic(mode, accumulation)),
            Self::AtErrorOf { mode, other, accumulation } => {
                let (changed, other) = (synthetic(mode, accumulation), synthetic(other, accumulation));
                Cow::Owned(at_l2_error(truth, &changed, l2_error(truth, &other)))
            }
            Self::Noise { sigma } => {
                let mut noisy = truth.clone();
                for value in noisy.values.iter_mut().skip(truth.dim) {
                    let draw: f32 = rng.sample(StandardNormal);
                    *value += sigma * material.noise_unit * draw;
                }
                Cow::Owned(noisy)
            }
            Self::Rollout => material.rollout.map(|(rolled, row)| Cow::Owned(splice(truth, rolled, row)))?,
            Self::Splice { n_steps } => material.rollout.map(|(rolled, row)| Cow::Owned(splice_between(truth, rolled, row, n_steps).0))?,
        })
    }

    /// Its sound at the codec's rate. `Ok(None)` where the material lacks what it is made of: a recording, or a rollout.
    pub fn sound(self, codec: &Codec, material: &Material<'_>, stop: &Cancel) -> Result<Option<AudioClip>, CodecError> {
        if self == Self::Recording {
            let resampled = |clip| audio::resample(clip, codec.sample_rate_hz()).map_err(|e| CodecError::Input(e.to_string()));
            return material.recording.map(resampled).transpose();
        }
        let Some(latents) = self.latents(material) else { return Ok(None) };
        match (self, material.decoded, material.rollout) {
            (Self::Truth, Some(decoded), _) => Ok(Some(decoded.clone())),
            // In place: the sound around what was changed is copied.
            (Self::Rollout, Some(around), Some((rolled, row))) => {
                codec.decode_between(&latents, rolled.segments[row].t0..latents.n_frames(), around, stop).map(Some)
            }
            (Self::Splice { n_steps }, Some(around), Some((rolled, row))) => {
                let t0 = rolled.segments[row].t0;
                codec.decode_between(&latents, t0..t0 + n_steps.min(rolled.n_steps), around, stop).map(Some)
            }
            _ => codec.decode_unless(&latents, stop).map(Some),
        }
    }
}

/// What an adaptive test varies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Axis {
    /// Factor on the magnitude of every true Δ, per step.
    Alpha,
    /// Angle off the true direction of every Δ, per step, degrees.
    Angle,
    /// Noise on every frame, in units of the median ‖Δ‖/√D.
    Noise,
    /// Steps of the rollout in the midst of the truth.
    Steps,
}

impl Axis {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Alpha, Self::Angle, Self::Noise, Self::Steps];

    /// For axes of plots.
    pub fn label(self) -> &'static str {
        match self {
            Self::Alpha => "α (factor on the magnitude)",
            Self::Angle => "angle off the true direction (°)",
            Self::Noise => "noise σ (median ‖Δ‖/√D)",
            Self::Steps => "steps of rollout",
        }
    }

    /// On the command line.
    pub fn key(self) -> &'static str {
        match self {
            Self::Alpha => "alpha",
            Self::Angle => "angle",
            Self::Noise => "noise",
            Self::Steps => "steps",
        }
    }

    /// Levels in rising order of audibility, from what nobody hears to what everybody does.
    pub fn levels(self) -> Vec<f64> {
        match self {
            Self::Alpha => (0..20).map(|i| 1.0 - f64::from(i + 1) / 20.0).collect(),
            // In equal ratios: from 1° to 90°, and from a fiftieth of a step to twice one.
            Self::Angle => (0..20).map(|i| (90.0_f64.powf(f64::from(i) / 19.0) * 10.0).round() / 10.0).collect(),
            Self::Noise => (0..20).map(|i| (0.02 * 100.0_f64.powf(f64::from(i) / 19.0) * 1000.0).round() / 1000.0).collect(),
            Self::Steps => [1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 24, 32].map(f64::from).to_vec(),
        }
    }

    /// What is heard at a level.
    pub fn rendition(self, level: f64) -> Rendition {
        let accumulation = Accumulation::PerStep;
        match self {
            Self::Alpha => Rendition::Synthetic { mode: SyntheticMode::Slow { alpha: level as f32 }, accumulation },
            Self::Angle => Rendition::Synthetic { mode: SyntheticMode::OffAngle { degrees: level as f32 }, accumulation },
            Self::Noise => Rendition::Noise { sigma: level as f32 },
            Self::Steps => Rendition::Splice { n_steps: level.round() as usize },
        }
    }
}
