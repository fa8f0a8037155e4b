//! How far a frame is from the frames that speech makes: distance to its nearest neighbors among the training side's.
//!
//! By brute force over a seeded sample, in raw latents; the unit is the same distance of true frames of unseen speakers, so 1 is where
//! truth lies and the percentile says how many true frames are nearer.

use driftscope_numerics::elementwise::squared_distance;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rayon::prelude::*;

use crate::context::{Corpus, Side};

/// Neighbors whose distances are averaged.
const N_NEIGHBORS: usize = 5;
/// Training frames kept; more of them would lower every distance alike.
const MOST_FRAMES: usize = 8_192;
/// True frames whose distances make the unit and the percentiles.
const MOST_PROBES: usize = 512;

/// A sample of the training side's frames, and how far true frames lie from it.
#[derive(Clone, Debug)]
pub struct Manifold {
    /// `[n, dim]`
    frames: Vec<f32>,
    dim: usize,
    /// Distances of true frames, raw units, ascending.
    of_truth: Vec<f64>,
}

/// Where a frame lies.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OffManifold {
    /// Mean distance to the 5 nearest training frames, over the median of that of true frames of unseen speakers; NaN for a frame that is
    /// not finite.
    pub distance: f64,
    /// Share of those true frames that are nearer, 0 ..= 1.
    pub percentile: f64,
}

impl Manifold {
    /// Samples frames of the training side, and as probes frames of the evaluation side (of the training side where there is no other:
    /// then a frame's own utterance lies among its neighbors, and the unit is small).
    pub fn fit(corpus: &Corpus, seed: u64) -> Self {
        let of = |side| corpus.side(side).flat_map(|u| u.latents.values.chunks_exact(corpus.dim)).collect::<Vec<&[f32]>>();
        let (train, eval) = (of(Side::Train), of(Side::Eval));
        let mut rng = StdRng::seed_from_u64(seed);
        let mut sample = |frames: &[&[f32]], most: usize| -> Vec<f32> {
            frames.sample(&mut rng, most.min(frames.len())).flat_map(|frame| frame.iter().copied()).collect()
        };
        let frames = sample(&train, MOST_FRAMES);
        let probes = sample(if eval.is_empty() { &train } else { &eval }, MOST_PROBES);
        let mut manifold = Self { frames, dim: corpus.dim, of_truth: Vec::new() };
        manifold.of_truth = probes.par_chunks_exact(corpus.dim).map(|frame| manifold.raw(frame)).collect();
        manifold.of_truth.retain(|d| d.is_finite());
        manifold.of_truth.sort_by(f64::total_cmp);
        manifold
    }

    /// Where `frame` (`[dim]`) lies.
    pub fn place(&self, frame: &[f32]) -> OffManifold {
        let raw = self.raw(frame);
        let median = self.of_truth.get(self.of_truth.len() / 2).copied().unwrap_or(f64::NAN);
        let nearer = self.of_truth.partition_point(|d| *d < raw);
        let percentile = if raw.is_finite() { nearer as f64 / self.of_truth.len().max(1) as f64 } else { f64::NAN };
        OffManifold { distance: raw / median, percentile }
    }

    /// [`OffManifold::distance`] of each of `frames` (`[n, dim]`).
    pub fn distances(&self, frames: &[f32]) -> Vec<f64> {
        frames.par_chunks_exact(self.dim).map(|frame| self.place(frame).distance).collect()
    }

    /// Mean distance to the nearest neighbors, raw units.
    fn raw(&self, frame: &[f32]) -> f64 {
        if frame.iter().any(|x| !x.is_finite()) {
            return f64::NAN;
        }
        let mut nearest = [f32::INFINITY; N_NEIGHBORS];
        for other in self.frames.chunks_exact(self.dim) {
            let distance = squared_distance(frame, other);
            if distance < nearest[N_NEIGHBORS - 1] {
                nearest[N_NEIGHBORS - 1] = distance;
                nearest.sort_by(f32::total_cmp);
            }
        }
        let found: Vec<f64> = nearest.iter().filter(|d| d.is_finite()).map(|d| f64::from(*d).sqrt()).collect();
        if found.is_empty() { f64::NAN } else { found.iter().sum::<f64>() / found.len() as f64 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnose::toy::{Toy, toy_corpus};

    #[test]
    fn truth_lies_at_one_and_what_leaves_is_further() {
        let corpus = toy_corpus(Toy::StableAr1 { a: 0.9 }, 12, 120, 6, 3);
        let manifold = Manifold::fit(&corpus, 7);
        let unseen: Vec<&[f32]> = corpus.side(Side::Eval).flat_map(|u| u.latents.values.chunks_exact(6)).collect();
        let mut of_truth: Vec<f64> = unseen.iter().map(|x| manifold.place(x).distance).collect();
        of_truth.sort_by(f64::total_cmp);
        let median = of_truth[of_truth.len() / 2];
        assert!((median - 1.0).abs() < 0.1, "{median}");
        let far: Vec<f32> = unseen[0].iter().map(|x| x * 4.0 + 20.0).collect();
        let place = manifold.place(&far);
        assert!(place.distance > 5.0 && place.percentile == 1.0, "{place:?}");
        let lost = manifold.place(&[f32::NAN; 6]);
        assert!(lost.distance.is_nan() && lost.percentile.is_nan());
    }

    #[test]
    fn a_training_frame_is_its_own_neighbor() {
        let corpus = toy_corpus(Toy::StableAr1 { a: 0.9 }, 12, 120, 6, 3);
        let manifold = Manifold::fit(&corpus, 7);
        let mean = |side: Side| {
            let places: Vec<f64> = corpus.side(side).flat_map(|u| manifold.distances(&u.latents.values)).collect();
            places.iter().sum::<f64>() / places.len() as f64
        };
        assert!(mean(Side::Train) < mean(Side::Eval));
    }
}
