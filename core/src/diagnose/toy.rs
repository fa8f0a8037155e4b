//! Toy systems with known answers: stable AR(1), unstable, white noise, a vMF walk of known κ.

use crate::context::Corpus;

/// A system whose diagnostics are known in closed form.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Toy {
    /// x[t] = a·x[t−1] + ε, ε ~ N(0, 1−a²): stationary with unit variance.
    StableAr1 {
        /// |a| < 1
        a: f32,
    },
    /// x[t] = a·x[t−1] + ε, a > 1.
    Unstable {
        /// a > 1
        a: f32,
    },
    /// Independent N(0, 1).
    WhiteNoise,
    /// Δ[t] = m·d, d ~ vMF(fixed μ, κ), ln m ~ N(μ_m, σ_m²).
    VmfWalk {
        /// Concentration.
        kappa: f32,
    },
}

/// Makes a corpus of `n_utterances` × `n_frames` × `dim`, alternate speakers on alternate sides.
pub fn toy_corpus(toy: Toy, n_utterances: usize, n_frames: usize, dim: usize, seed: u64) -> Corpus {
    let _ = (toy, n_utterances, n_frames, dim, seed);
    todo!()
}
