//! What the window works on: a corpus, its sounds, the codec and the predictors, loaded once and never changed.

use driftscope_core::audio::AudioClip;
use driftscope_core::codec::Codec;
use driftscope_core::context::{Corpus, Side};
use driftscope_core::diagnose::References;
use driftscope_core::job::{JobCtx, Progress};
use driftscope_core::predict::{Baselines, Predictor};
use driftscope_core::represent::Pca;
use driftscope_core::rollout::{RolloutConfig, Segment, SegmentConfig, sample_segments};

/// Everything loaded. Values only: whoever wants another session makes another one.
#[derive(Debug)]
pub struct Session {
    /// Shown in the title ("demo").
    pub name: String,
    /// Utterances and their latents.
    pub corpus: Corpus,
    /// The recordings, in the corpus's order; empty where there are none.
    pub clips: Vec<AudioClip>,
    /// The codec that made the latents; without it nothing can be heard.
    pub codec: Option<Codec>,
    /// Why nothing can be heard, where there is no codec.
    pub unheard: String,
    /// All predictors, those for longer horizons (the skyline) too.
    pub predictors: Vec<Predictor>,
    /// What ΔNLL is taken against.
    pub baselines: Baselines,
    /// Principal components of the training frames.
    pub pca: Pca,
    /// Starts over which A–D are averaged.
    pub population: Vec<Segment>,
    /// Reference lines at those starts.
    pub references: References,
    /// Device and seed of all work.
    pub ctx: JobCtx,
}

/// What a session is made of before the work that does not depend on any choice.
#[derive(Debug)]
pub struct Material {
    /// Shown in the title.
    pub name: String,
    /// Utterances and their latents.
    pub corpus: Corpus,
    /// The recordings, in the corpus's order; empty where there are none.
    pub clips: Vec<AudioClip>,
    /// The codec that made the latents, where it is here.
    pub codec: Option<Codec>,
    /// What the store calls the codec that made them.
    pub made_by: Option<String>,
    /// All predictors.
    pub predictors: Vec<Predictor>,
    /// What ΔNLL is taken against.
    pub baselines: Baselines,
}

/// Components of the trajectory view.
const N_COMPONENTS: usize = 3;
/// Starts behind the averaged curves: enough for bands, few enough to follow a slider.
const POPULATION: SegmentConfig = SegmentConfig { n_utterances: 16, segments_per_utterance: 3, max_frames: 2000 };

impl Session {
    /// Draws the starts, computes their reference lines and the principal components.
    pub fn prepare(ctx: &JobCtx, material: Material) -> anyhow::Result<Self> {
        let Material { name, corpus, clips, codec, made_by, predictors, baselines } = material;
        anyhow::ensure!(!corpus.utterances.is_empty(), "{name} holds no utterances; a session needs at least one");
        let first = predictors.iter().find(|p| p.info.horizon == 1);
        let Some(first) = first else { anyhow::bail!("{name} has no predictor with horizon 1; rollouts need one") };
        let (window, n_steps) = (first.info.window, RolloutConfig::default().n_steps);
        ctx.progress.report("Reference lines", 0, None, "");
        let population = sample_segments(&corpus, window, 1, n_steps, &POPULATION, ctx.seed)?;
        let direct: Vec<Predictor> = predictors.iter().filter(|p| p.info.horizon > 1 && p.info.kind == first.info.kind).cloned().collect();
        let config = driftscope_core::diagnose::ReferenceConfig { window, ..Default::default() };
        let references = driftscope_core::diagnose::references(ctx, &corpus, &population, n_steps, &direct, &config)?;
        ctx.progress.report("Principal components", 0, None, "");
        let frames = corpus.side(Side::Train).flat_map(|u| u.latents.values.chunks_exact(corpus.dim));
        let pca = Pca::fit(frames, corpus.dim, N_COMPONENTS.min(corpus.dim));
        Ok(Self {
            name,
            corpus,
            clips,
            codec,
            unheard: unheard(made_by.as_deref()),
            predictors,
            baselines,
            pca,
            population,
            references,
            ctx: JobCtx { progress: Progress::default(), ..ctx.clone() },
        })
    }

    /// Nothing was there to roll out with, so a ridge was fitted; it lies in no file, and so has no hash.
    pub fn has_makeshift_predictor(&self) -> bool {
        matches!(self.predictors.as_slice(), [only] if only.info.kind == "linear" && only.info.hash.is_empty())
    }

    /// Frames of an utterance; 0 for an unknown one.
    pub fn n_frames(&self, utterance: usize) -> usize {
        self.corpus.utterances.get(utterance).map_or(0, |u| u.latents.n_frames())
    }

    /// Seconds a frame lasts.
    pub fn frame_sec(&self) -> f64 {
        1.0 / self.corpus.frame_rate_hz
    }

    /// Lowest and highest start that leave room for the window before and the steps after; `None` if the utterance is too short.
    pub fn start_range(&self, utterance: usize, predictor: usize, n_steps: usize) -> Option<(usize, usize)> {
        let window = self.predictors.get(predictor)?.info.window;
        let last = self.n_frames(utterance).checked_sub(n_steps)?;
        (window <= last).then_some((window, last))
    }
}

fn unheard(made_by: Option<&str>) -> String {
    match made_by.filter(|name| !name.is_empty()) {
        Some(name) => format!("made by another codec ({name}); there is no decoder here, so nothing can be heard"),
        None => "the store does not say which codec made it; there is no decoder here, so nothing can be heard".into(),
    }
}
