//! Synthetic modes for listening: what the ear makes of a wrong magnitude or a wrong direction. No predictor is involved.

use super::truth::distance;
use crate::latents::Latents;

/// What is done to the true Δ.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SyntheticMode {
    /// `GT`: unchanged.
    GroundTruth,
    /// `A_stationary`: the first frame repeated.
    Stationary,
    /// `B_slow_a…`: true direction, `alpha` of the magnitude.
    Slow {
        /// Factor on the magnitude.
        alpha: f32,
    },
    /// `C_wrong_dir`: true magnitude, seeded random direction.
    WrongDirection,
    /// True magnitude, direction turned by `degrees` towards a seeded random direction orthogonal to the true one.
    /// Per step this is as far off as `Slow` when `2·sin(θ/2) = 1 − α`: 14.4° against α = .75.
    OffAngle {
        /// Angle between the true Δ and the one used.
        degrees: f32,
    },
}

/// Whether errors add up from frame 0 or each step starts from the true frame before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Accumulation {
    /// As the peer: from its own previous state.
    #[default]
    Accumulated,
    /// From the true previous frame.
    PerStep,
}

/// Applies a mode. `normals` yields the standard normal draws of `WrongDirection` and `OffAngle` (dim for each frame after the
/// first); the other modes draw none.
pub fn synthesize(truth: &Latents, mode: SyntheticMode, accumulation: Accumulation, normals: &mut dyn FnMut() -> f32) -> Latents {
    let (n_frames, dim) = (truth.n_frames(), truth.dim);
    let mut out = truth.clone();
    if mode == SyntheticMode::GroundTruth {
        return out;
    }
    for t in 1..n_frames {
        let delta = altered(&truth.delta(t), mode, normals);
        for d in 0..dim {
            let before = match accumulation {
                Accumulation::Accumulated => out.values[(t - 1) * dim + d],
                Accumulation::PerStep => truth.values[(t - 1) * dim + d],
            };
            out.values[t * dim + d] = before + delta[d];
        }
    }
    out
}

/// What becomes of one true Δ under `mode`.
fn altered(delta: &[f32], mode: SyntheticMode, normals: &mut dyn FnMut() -> f32) -> Vec<f32> {
    let scaled = |v: &[f32], factor: f32| v.iter().map(|x| factor * x).collect::<Vec<f32>>();
    let size = norm(delta);
    match mode {
        SyntheticMode::GroundTruth => delta.to_vec(),
        SyntheticMode::Stationary => vec![0.0; delta.len()],
        SyntheticMode::Slow { alpha } => scaled(&scaled(delta, 1.0 / size.max(1e-8)), alpha * size),
        SyntheticMode::WrongDirection => {
            let draw: Vec<f32> = delta.iter().map(|_| normals()).collect();
            scaled(&scaled(&draw, 1.0 / norm(&draw).max(1e-8)), size)
        }
        SyntheticMode::OffAngle { degrees } => {
            let unit = scaled(delta, 1.0 / size.max(1e-8));
            let draw: Vec<f32> = delta.iter().map(|_| normals()).collect();
            let along: f32 = draw.iter().zip(&unit).map(|(a, b)| a * b).sum();
            let across: Vec<f32> = draw.iter().zip(&unit).map(|(a, b)| a - along * b).collect();
            let across = scaled(&across, 1.0 / norm(&across).max(1e-8));
            let (sin, cos) = degrees.to_radians().sin_cos();
            unit.iter().zip(&across).map(|(u, v)| size * (cos * u + sin * v)).collect()
        }
    }
}

/// Overwrites frames `start..` of `truth` by `states` (`[n, dim]`); what follows stays true, jump and all.
pub fn overwrite(truth: &Latents, states: &[f32], start: usize) -> Latents {
    let mut out = truth.clone();
    let from = (start * truth.dim).min(out.values.len());
    let n = states.len().min(out.values.len() - from);
    out.values[from..from + n].copy_from_slice(&states[..n]);
    out
}

/// Root mean square over frames of ‖degraded − truth‖, raw units.
pub fn l2_error(truth: &Latents, degraded: &Latents) -> f64 {
    let n = truth.n_frames().min(degraded.n_frames());
    let sum: f64 = (0..n).map(|t| distance(truth.frame(t), degraded.frame(t)).powi(2)).sum();
    (sum / n.max(1) as f64).sqrt()
}

/// `degraded` with its departure from `truth` scaled so that [`l2_error`] becomes `target`: modes of different kinds can then
/// be compared by ear at the same distance. Without any departure there is nothing to scale and it stays as it is.
pub fn at_l2_error(truth: &Latents, degraded: &Latents, target: f64) -> Latents {
    let error = l2_error(truth, degraded);
    let factor = if error > 0.0 { target / error } else { 0.0 };
    let mut out = degraded.clone();
    for (value, &true_value) in out.values.iter_mut().zip(&truth.values) {
        *value = (f64::from(true_value) + factor * (f64::from(*value) - f64::from(true_value))) as f32;
    }
    out
}

fn norm(v: &[f32]) -> f32 {
    v.iter().map(|x| x * x).sum::<f32>().sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn truth() -> Latents {
        let values = (0..40_u32).map(|i| (f64::from(i) * 1.7).sin() as f32 + i as f32 * 0.1).collect();
        Latents { values, dim: 4, frame_rate_hz: 12.5 }
    }

    fn draws() -> impl FnMut() -> f32 {
        let mut state = 1_u32;
        move || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state as f32 / u32::MAX as f32 - 0.5
        }
    }

    /// Cosine and norm ratio of the altered Δ with the true one at frame `t`.
    fn against_truth(mode: SyntheticMode, t: usize) -> (f32, f32) {
        let delta = truth().delta(t);
        let changed = altered(&delta, mode, &mut draws());
        let dot: f32 = delta.iter().zip(&changed).map(|(a, b)| a * b).sum();
        (dot / norm(&delta) / norm(&changed), norm(&changed) / norm(&delta))
    }

    #[test]
    fn modes_change_size_or_direction_and_nothing_else() {
        let cases = [
            (SyntheticMode::GroundTruth, Some(1.0), 1.0),
            (SyntheticMode::Slow { alpha: 0.25 }, Some(1.0), 0.25),
            (SyntheticMode::WrongDirection, None, 1.0),
            (SyntheticMode::OffAngle { degrees: 60.0 }, Some(0.5), 1.0),
            (SyntheticMode::OffAngle { degrees: 0.0 }, Some(1.0), 1.0),
        ];
        for (mode, cosine, ratio) in cases {
            let (found, found_ratio) = against_truth(mode, 3);
            assert!(cosine.is_none_or(|c: f32| (c - found).abs() < 1e-5), "{mode:?}: cosine {found}");
            assert!((found_ratio - ratio).abs() < 1e-5, "{mode:?}: ratio {found_ratio}");
        }
    }

    #[test]
    fn stationary_repeats_the_frame_before() {
        let truth = truth();
        let accumulated = synthesize(&truth, SyntheticMode::Stationary, Accumulation::Accumulated, &mut draws());
        let per_step = synthesize(&truth, SyntheticMode::Stationary, Accumulation::PerStep, &mut draws());
        for t in 1..truth.n_frames() {
            assert_eq!(accumulated.frame(t), truth.frame(0));
            assert_eq!(per_step.frame(t), truth.frame(t - 1));
        }
    }

    #[test]
    fn matched_modes_are_equally_far_and_keep_their_first_frame() {
        let truth = truth();
        let slow = synthesize(&truth, SyntheticMode::Slow { alpha: 0.75 }, Accumulation::Accumulated, &mut draws());
        let wrong = synthesize(&truth, SyntheticMode::WrongDirection, Accumulation::Accumulated, &mut draws());
        let matched = at_l2_error(&truth, &wrong, l2_error(&truth, &slow));
        assert!((l2_error(&truth, &matched) - l2_error(&truth, &slow)).abs() < 1e-5);
        assert_eq!(matched.frame(0), truth.frame(0));
        assert_eq!(at_l2_error(&truth, &truth, 1.0), truth);
    }

    #[test]
    fn overwriting_leaves_the_rest_true() {
        let truth = truth();
        let spliced = overwrite(&truth, &[9.0; 8], 3);
        assert_eq!(spliced.frame(2), truth.frame(2));
        assert_eq!(spliced.frame(4), [9.0; 4]);
        assert_eq!(spliced.frame(5), truth.frame(5));
    }
}
