//! Toy systems with known answers: stable AR(1), unstable, white noise, a vMF walk of known κ.
//!
//! Their cosines, errors and likelihoods are known in closed form, so that the instrument itself can be tested; the derivations
//! stand with the tests that use them.

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand_distr::{Distribution, StandardNormal};

use crate::context::{Corpus, CorpusUtterance, Side};
use crate::latents::Latents;
use crate::predict::von_mises_fisher;

/// SD of ln‖Δ‖ of [`Toy::VmfWalk`]; its mean is 0.
pub const VMF_WALK_LOG_SIGMA: f64 = 0.25;

/// A system whose diagnostics are known in closed form.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Toy {
    /// x\[t\] = a·x\[t−1\] + ε, ε ~ N(0, 1−a²): stationary with unit variance.
    StableAr1 {
        /// |a| < 1
        a: f32,
    },
    /// x\[t\] = a·x\[t−1\] + ε, a > 1, ε ~ N(0, 1), x\[0\] ~ N(0, 1).
    Unstable {
        /// a > 1
        a: f32,
    },
    /// Independent N(0, 1).
    WhiteNoise,
    /// Δ\[t\] = m·d from x\[0\] = 0, d ~ vMF(first axis, κ), ln m ~ N(0, [`VMF_WALK_LOG_SIGMA`]²).
    VmfWalk {
        /// Concentration.
        kappa: f32,
    },
}

/// Makes a corpus of `n_utterances` × `n_frames` × `dim`, each utterance of its own speaker, alternately train and eval.
pub fn toy_corpus(toy: Toy, n_utterances: usize, n_frames: usize, dim: usize, seed: u64) -> Corpus {
    let mut rng = StdRng::seed_from_u64(seed);
    let frame_rate_hz = 12.5;
    let utterances = (0..n_utterances)
        .map(|i| CorpusUtterance {
            id: format!("toy-{i:03}"),
            speaker: i.to_string(),
            latents: Latents { values: path(toy, n_frames, dim, &mut rng), dim, frame_rate_hz },
            energy: None,
            side: if i % 2 == 0 { Side::Train } else { Side::Eval },
        })
        .collect();
    Corpus { utterances, dim, frame_rate_hz, source: format!("{toy:?}, D = {dim}, seed {seed}"), codec: None }
}

/// One path, `[n_frames, dim]`.
fn path(toy: Toy, n_frames: usize, dim: usize, rng: &mut StdRng) -> Vec<f32> {
    let mut values = Vec::with_capacity(n_frames * dim);
    let mut state: Vec<f32> = match toy {
        Toy::VmfWalk { .. } => vec![0.0; dim],
        _ => (0..dim).map(|_| StandardNormal.sample(rng)).collect(),
    };
    for _ in 0..n_frames {
        values.extend_from_slice(&state);
        advance(toy, &mut state, rng);
    }
    values
}

fn advance(toy: Toy, state: &mut [f32], rng: &mut StdRng) {
    let mut linear = |a: f32, noise: f32, rng: &mut StdRng| {
        for x in &mut *state {
            let normal: f32 = StandardNormal.sample(rng);
            *x = a * *x + noise * normal;
        }
    };
    match toy {
        Toy::StableAr1 { a } => linear(a, (1.0 - a * a).sqrt(), rng),
        Toy::Unstable { a } => linear(a, 1.0, rng),
        Toy::WhiteNoise => linear(0.0, 1.0, rng),
        Toy::VmfWalk { kappa } => {
            let axis: Vec<f32> = (0..state.len()).map(|d| if d == 0 { 1.0 } else { 0.0 }).collect();
            let mut direction = vec![0.0; state.len()];
            von_mises_fisher::sample(rng, &axis, f64::from(kappa), &mut direction);
            let normal: f64 = StandardNormal.sample(rng);
            let magnitude = (VMF_WALK_LOG_SIGMA * normal).exp() as f32;
            state.iter_mut().zip(&direction).for_each(|(x, d)| *x += magnitude * d);
        }
    }
}
