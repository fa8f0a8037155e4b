//! Teacher-forced pairs as flat matrices.

use super::{Corpus, Outline, Side, Source};

/// Which frames count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Slice {
    /// All valid frames.
    #[default]
    All,
    /// Energy above the median of the training frames.
    HighEnergy,
    /// `0.17 ≤ t / n_frames ≤ 0.83`.
    UtteranceMedial,
}

/// First valid target frame for window length `window` and horizon `horizon`.
pub fn first_target(window: usize, horizon: usize) -> usize {
    (window + horizon).saturating_sub(1).max(1)
}

/// Pairs of one side at one horizon; rows in corpus order.
#[derive(Clone, Debug, Default)]
pub struct Pairs {
    /// `[n, window × dim]`
    pub contexts: Vec<f32>,
    /// `[n, dim]`
    pub deltas: Vec<f32>,
    /// Utterance (index into the corpus) and target frame of each row, `[n]`.
    pub origins: Vec<(usize, usize)>,
    /// Dimensions of a frame.
    pub dim: usize,
    /// Frames in a window.
    pub window: usize,
}

impl Pairs {
    /// Number of rows.
    pub fn len(&self) -> usize {
        self.origins.len()
    }

    /// No rows.
    pub fn is_empty(&self) -> bool {
        self.origins.is_empty()
    }

    /// Cuts pairs from the utterances at `utterance_indices` (indices into `corpus.utterances`).
    pub fn cut(corpus: &Corpus, utterance_indices: &[usize], window: usize, horizon: usize, slice: Slice) -> Self {
        let dim = corpus.dim;
        let origins = target_frames(corpus, utterance_indices, window, horizon, slice);
        let mut pairs = Self {
            contexts: Vec::with_capacity(origins.len() * window * dim),
            deltas: Vec::with_capacity(origins.len() * dim),
            origins,
            dim,
            window,
        };
        for &(utterance, t) in &pairs.origins {
            let latents = &corpus.utterances[utterance].latents;
            let end = (t + 1 - horizon) * dim;
            pairs.contexts.extend_from_slice(&latents.values[end - window * dim..end]);
            pairs.deltas.extend(latents.frame(t).iter().zip(latents.frame(t - 1)).map(|(now, before)| now - before));
        }
        pairs
    }
}

/// Utterance and target frame of every pair of a slice, in corpus order.
pub(crate) fn target_frames(
    corpus: &Corpus,
    utterance_indices: &[usize],
    window: usize,
    horizon: usize,
    slice: Slice,
) -> Vec<(usize, usize)> {
    let source = Source::from(corpus);
    let targets = Targets::new(source, first_target(window, horizon), slice);
    let of = |&index: &usize| targets.of(source.outline(index), |t| t).into_iter().map(move |t| (index, t));
    utterance_indices.iter().flat_map(of).collect()
}

/// Which frames of an utterance are targets.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Targets {
    first: usize,
    slice: Slice,
    /// Of the energy, where the slice asks for it.
    threshold: f64,
}

impl Targets {
    /// Those of `slice`, from frame `first` on.
    pub(crate) fn new(source: Source, first: usize, slice: Slice) -> Self {
        let threshold = if slice == Slice::HighEnergy { median_train_energy(source) } else { f64::NAN };
        Self { first, slice, threshold }
    }

    /// The targets of `utterance`, ascending, where frame `at(t)` stands in the place of frame t.
    pub(crate) fn of(&self, utterance: Outline, at: impl Fn(usize) -> usize) -> Vec<usize> {
        let counts = |t: usize| match self.slice {
            Slice::All => true,
            Slice::HighEnergy => utterance.energy.and_then(|e| e.get(at(t))).is_some_and(|&e| f64::from(e) > self.threshold),
            Slice::UtteranceMedial => (0.17..=0.83).contains(&(t as f64 / utterance.n_frames as f64)),
        };
        (self.first..utterance.n_frames).filter(|&t| counts(t)).collect()
    }
}

/// Median energy over all frames of the training utterances, valid targets or not; NaN (above which is nothing) without energies.
fn median_train_energy(source: Source) -> f64 {
    let train = source.outlines().filter(|u| u.side == Side::Train);
    let mut energies: Vec<f32> = train.filter_map(|u| u.energy).flatten().copied().collect();
    if energies.is_empty() {
        return f64::NAN;
    }
    let (middle, even) = (energies.len() / 2, energies.len().is_multiple_of(2));
    let (below, &mut upper, _) = energies.select_nth_unstable_by(middle, f32::total_cmp);
    match below.iter().copied().max_by(f32::total_cmp) {
        Some(lower) if even => f64::midpoint(f64::from(lower), f64::from(upper)),
        _ => f64::from(upper),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::CorpusUtterance;
    use crate::latents::Latents;

    fn utterance(n_frames: usize, side: Side, energy: Option<Vec<f32>>) -> CorpusUtterance {
        let values = (0..n_frames * 2).map(|v| (v * v) as f32).collect();
        let latents = Latents { values, dim: 2, frame_rate_hz: 12.5 };
        CorpusUtterance { id: String::new(), speaker: String::new(), latents, energy, side }
    }

    fn corpus(utterances: Vec<CorpusUtterance>) -> Corpus {
        Corpus { utterances, dim: 2, frame_rate_hz: 12.5, source: String::new(), codec: None }
    }

    #[test]
    fn windows_end_k_frames_before_the_target() {
        let corpus = corpus(vec![utterance(9, Side::Train, None), utterance(3, Side::Train, None)]);
        for (window, horizon, first) in [(3, 1, 3), (3, 4, 6), (1, 1, 1), (8, 1, 8)] {
            let pairs = Pairs::cut(&corpus, &[0, 1], window, horizon, Slice::All);
            assert_eq!(pairs.origins[0], (0, first));
            let x = &corpus.utterances[0].latents;
            for (row, &(u, t)) in pairs.origins.iter().enumerate().filter(|(_, o)| o.0 == 0) {
                assert_eq!(u, 0);
                let context = &pairs.contexts[row * window * 2..(row + 1) * window * 2];
                assert_eq!(&context[..2], x.frame(t + 1 - horizon - window));
                assert_eq!(&context[window * 2 - 2..], x.frame(t - horizon));
                assert_eq!(pairs.deltas[row * 2..row * 2 + 2], x.delta(t));
            }
        }
        assert!(Pairs::cut(&corpus, &[1], 8, 1, Slice::All).is_empty(), "three frames hold no window of eight");
    }

    #[test]
    fn slices() {
        let corpus = corpus(vec![
            utterance(4, Side::Train, Some(vec![0.0, 1.0, 2.0, 3.0])),
            utterance(6, Side::Eval, Some(vec![9.0, 1.5, 1.6, 0.0, 7.0, 1.0])),
            utterance(100, Side::Train, None),
        ]);
        let frames = |i, slice| target_frames(&corpus, &[i], 1, 1, slice).iter().map(|o| o.1).collect::<Vec<_>>();
        assert_eq!(frames(1, Slice::HighEnergy), [2, 4], "strictly above 1.5, the median of the training side");
        assert_eq!(frames(2, Slice::UtteranceMedial), (17..=83).collect::<Vec<_>>());
        assert!(frames(2, Slice::HighEnergy).is_empty(), "no energy is not high energy");
    }
}
