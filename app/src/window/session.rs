//! What the window works on: a corpus, its sounds, the codec and the predictors, loaded once and never changed.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use driftscope_core::audio::AudioClip;
use driftscope_core::battery::{Bench, Recordings};
use driftscope_core::codec::Codec;
use driftscope_core::context::{Corpus, CorpusUtterance, Side};
use driftscope_core::diagnose::{Manifold, ReferenceConfig, References, references};
use driftscope_core::job::{JobCtx, Progress};
use driftscope_core::predict::{Baselines, Predictor, PredictorInfo};
use driftscope_core::represent::Pca;
use driftscope_core::rollout::{RolloutConfig, Segment, SegmentConfig, sample_segments};

/// What curves of averages are made over and read against, for one length of rollouts.
#[derive(Clone, Debug)]
pub struct Ground {
    /// Steps.
    pub n_steps: usize,
    /// Starts over which A–D are averaged.
    pub population: Vec<Segment>,
    /// Reference lines at those starts.
    pub references: References,
}

/// Everything loaded. Values only: whoever wants another session makes another one.
#[derive(Clone, Debug)]
pub struct Session {
    /// Shown in the title ("demo").
    pub name: String,
    /// The store's folder; the demo has none.
    pub path: Option<PathBuf>,
    /// Utterances and their latents.
    pub corpus: Arc<Corpus>,
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
    /// Standard deviation of each dimension over the training side, `[dim]`.
    pub spread: Vec<f32>,
    /// Distance to the training side's frames.
    pub manifold: Manifold,
    /// Starts and reference lines of rollouts of the usual length.
    pub ground: Arc<Ground>,
    /// Longest rollout for which the population has starts.
    pub most_steps: usize,
    /// Device and seed of all work.
    pub ctx: JobCtx,
}

/// What a session is made of before the work that does not depend on any choice.
#[derive(Debug)]
pub struct Material {
    /// Shown in the title.
    pub name: String,
    /// The store's folder; the demo has none.
    pub path: Option<PathBuf>,
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

impl Recordings for Session {
    fn get(&self, utterance: usize) -> Option<AudioClip> {
        self.clips.get(utterance).cloned()
    }
}

/// Components of the trajectory view.
const N_COMPONENTS: usize = 3;
/// Starts behind the averaged curves: enough for bands, few enough to follow a slider.
const POPULATION: SegmentConfig = SegmentConfig { n_utterances: 16, segments_per_utterance: 3, max_frames: 2000 };

impl Session {
    /// Draws the starts, computes their reference lines and the principal components.
    pub fn prepare(ctx: &JobCtx, material: Material) -> anyhow::Result<Self> {
        let Material { name, path, corpus, clips, codec, made_by, predictors, baselines } = material;
        anyhow::ensure!(!corpus.utterances.is_empty(), "{name} holds no utterances; a session needs at least one");
        anyhow::ensure!(predictors.iter().any(|p| p.info.horizon == 1), "{name} has no predictor with horizon 1; rollouts need one");
        ctx.progress.report("Reference lines", 0, None, "");
        let n_steps = RolloutConfig::default().n_steps;
        let ground = Arc::new(ground(ctx, &corpus, &predictors, n_steps)?);
        ctx.progress.report("Principal components", 0, None, "");
        let frames = corpus.side(Side::Train).flat_map(|u| u.latents.values.chunks_exact(corpus.dim));
        let pca = Pca::fit(frames, corpus.dim, N_COMPONENTS.min(corpus.dim));
        let spread = spread(&corpus, &pca.mean);
        ctx.progress.report("Distances to the data", 0, None, "");
        let manifold = Manifold::fit(&corpus, ctx.seed);
        Ok(Self {
            most_steps: most_steps(&corpus, &predictors).max(n_steps),
            name,
            path,
            corpus: Arc::new(corpus),
            clips,
            codec,
            unheard: unheard(made_by.as_deref()),
            predictors,
            baselines,
            pca,
            spread,
            manifold,
            ground,
            ctx: JobCtx { progress: Progress::default(), ..ctx.clone() },
        })
    }

    /// What renders its sounds, with one of its predictors.
    pub fn bench(&self, predictor: usize) -> anyhow::Result<Bench<'_>> {
        let Some(codec) = &self.codec else { anyhow::bail!("{}", self.unheard) };
        let predictor = self.predictors.get(predictor).filter(|p| p.info.horizon == 1).map(|p| (p, &self.baselines));
        Ok(Bench { corpus: &self.corpus, codec, predictor, recordings: self })
    }

    /// Starts and reference lines for rollouts of `n_steps`.
    pub fn ground(&self, n_steps: usize) -> anyhow::Result<Arc<Ground>> {
        if n_steps == self.ground.n_steps {
            return Ok(Arc::clone(&self.ground));
        }
        Ok(Arc::new(ground(&self.ctx, &self.corpus, &self.predictors, n_steps)?))
    }

    /// The same with one more predictor that fits its latents; `ground` where its horizon adds to the skyline.
    #[must_use]
    pub fn with_predictor(&self, predictor: Predictor, ground: Option<Arc<Ground>>) -> Self {
        let mut session = self.clone();
        session.predictors.push(predictor);
        session.ground = ground.unwrap_or(session.ground);
        session
    }

    /// Reference lines as they are with `predictor`; `None` where it changes nothing in them.
    pub fn ground_with(&self, predictor: &Predictor) -> anyhow::Result<Option<Arc<Ground>>> {
        // Starts must leave room for the longest window.
        let longest = self.predictors.iter().map(|p| p.info.window).max().unwrap_or(0);
        if predictor.info.horizon == 1 && predictor.info.window <= longest {
            return Ok(None);
        }
        let mut predictors = self.predictors.clone();
        predictors.push(predictor.clone());
        Ok(Some(Arc::new(ground(&self.ctx, &self.corpus, &predictors, self.ground.n_steps)?)))
    }

    /// A recording as an utterance of an unseen voice, encoded by the store's own codec.
    pub fn encode(&self, id: &str, clip: &AudioClip) -> anyhow::Result<CorpusUtterance> {
        let codec = self.codec.as_ref().with_context(|| format!("nothing can be encoded here: {}", self.unheard))?;
        let latents = codec.encode(clip)?;
        Ok(CorpusUtterance { id: id.to_owned(), speaker: id.to_owned(), latents, energy: None, side: Side::Eval })
    }

    /// The same with one more utterance; with its recording, where all others have theirs.
    #[must_use]
    pub fn with_utterance(&self, utterance: CorpusUtterance, clip: AudioClip) -> Self {
        let mut session = self.clone();
        let mut corpus = Corpus::clone(&self.corpus);
        corpus.utterances.push(utterance);
        if session.clips.len() + 1 == corpus.utterances.len() {
            session.clips.push(clip);
        }
        session.corpus = Arc::new(corpus);
        session
    }

    /// The direction in latent space that `along` (principal components) stands for, raw units, `[dim]`.
    pub fn direction(&self, along: &[f32]) -> Vec<f32> {
        let at_mean = self.pca.reconstruct(along);
        at_mean.iter().zip(&self.pca.mean).map(|(x, mean)| x - mean).collect()
    }

    /// "MDN k=1".
    pub fn predictor_name(&self, predictor: usize) -> String {
        let Some(own) = self.predictors.get(predictor).map(|p| predictor_name(&p.info)) else { return "no predictor".into() };
        // Several of one family are told apart by their order.
        let before = self.predictors[..predictor].iter().filter(|p| predictor_name(&p.info) == own).count();
        if before == 0 { own } else { format!("{own} #{}", before + 1) }
    }

    /// The first utterance that no fit has seen, or the first of all.
    pub fn first_utterance(&self) -> usize {
        self.ground.population.first().map_or(0, |s| s.utterance)
    }

    /// The first that can roll out.
    pub fn first_predictor(&self) -> usize {
        self.predictors.iter().position(|p| p.info.horizon == 1).unwrap_or(0)
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

/// "MDN k=1".
pub fn predictor_name(info: &PredictorInfo) -> String {
    let kind = match info.kind.as_str() {
        "mdn" => "MDN",
        "vmf" => "vMF × LogNormal",
        "linear" => "Ridge",
        "persistence" => "Persistence",
        "climatology" => "Climatology",
        other => other,
    };
    format!("{kind} k={}", info.horizon)
}

fn ground(ctx: &JobCtx, corpus: &Corpus, predictors: &[Predictor], n_steps: usize) -> anyhow::Result<Ground> {
    let first = predictors.iter().find(|p| p.info.horizon == 1).context("no predictor with horizon 1")?;
    let window = first.info.window;
    let longest = predictors.iter().filter(|p| p.info.horizon == 1).map(|p| p.info.window).max().unwrap_or(window);
    let population = sample_segments(corpus, longest, 1, n_steps, &POPULATION, ctx.seed)?;
    let direct: Vec<Predictor> = predictors.iter().filter(|p| p.info.horizon > 1 && p.info.kind == first.info.kind).cloned().collect();
    let config = ReferenceConfig { window, ..Default::default() };
    let references = references(ctx, corpus, &population, n_steps, &direct, &config)?;
    Ok(Ground { n_steps, population, references })
}

/// Root mean square distance from `mean` of each dimension.
fn spread(corpus: &Corpus, mean: &[f32]) -> Vec<f32> {
    let (mut sums, mut n) = (vec![0.0_f64; mean.len()], 0_usize);
    for frame in corpus.side(Side::Train).flat_map(|u| u.latents.values.chunks_exact(mean.len())) {
        sums.iter_mut().zip(frame.iter().zip(mean)).for_each(|(sum, (x, m))| *sum += f64::from(x - m).powi(2));
        n += 1;
    }
    sums.iter().map(|sum| (sum / n.max(1) as f64).sqrt().max(1e-12) as f32).collect()
}

/// The longest rollout that most unseen utterances have room for.
fn most_steps(corpus: &Corpus, predictors: &[Predictor]) -> usize {
    let window = predictors.iter().map(|p| p.info.window).max().unwrap_or(0);
    let mut frames: Vec<usize> = corpus.side(Side::Eval).map(|u| u.latents.n_frames()).collect();
    frames.sort_unstable();
    frames.get(frames.len() / 4).map_or(0, |shorter| shorter.saturating_sub(window + 1) / 2)
}

fn unheard(made_by: Option<&str>) -> String {
    match made_by.filter(|name| !name.is_empty()) {
        Some(name) => format!("made by another codec ({name}); there is no decoder here, so nothing can be heard"),
        None => "the store does not say which codec made it; there is no decoder here, so nothing can be heard".into(),
    }
}
