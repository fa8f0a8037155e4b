//! The time-shuffled null: the same frames, in no order.

use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;

use crate::context::Corpus;

/// The corpus with the frames of each utterance (and their energies) in a seeded random order.
pub(super) fn shuffled(corpus: &Corpus, seed: u64) -> Corpus {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut out = corpus.clone();
    for (utterance, original) in out.utterances.iter_mut().zip(&corpus.utterances) {
        let mut order: Vec<usize> = (0..original.latents.n_frames()).collect();
        order.shuffle(&mut rng);
        utterance.latents.values = order.iter().flat_map(|&t| original.latents.frame(t)).copied().collect();
        utterance.energy = original.energy.as_ref().map(|energy| order.iter().filter_map(|&t| energy.get(t)).copied().collect());
    }
    out
}
