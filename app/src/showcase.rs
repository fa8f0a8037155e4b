//! What the demo's report shows: every question it answers, in one value.
//!
//! It calls the engine and keeps what comes back; the figures, the tables and the sounds of `report.html` are all made from it, so
//! they cannot differ. It draws nothing and writes nothing.

use anyhow::Context as _;
use driftscope_core::audio::AudioClip;
use driftscope_core::battery::{Material, Rendition};
use driftscope_core::codec::Codec;
use driftscope_core::context::{Corpus, Side};
use driftscope_core::diagnose::{
    EvaluateConfig, Evaluation, InjectionConfig, InjectionReport, ReferenceConfig, evaluate, inject, references,
};
use driftscope_core::job::JobCtx;
use driftscope_core::latents::Latents;
use driftscope_core::perceive::mel_distance;
pub use driftscope_core::predict::family;
use driftscope_core::predict::{Predictor, PredictorInfo};
use driftscope_core::represent::Pca;
use driftscope_core::rollout::synthetic::{Accumulation, SyntheticMode};
use driftscope_core::rollout::{Rollout, RolloutConfig, Schedule, Segment, SegmentConfig, rollout, sample_segments, splice};

use crate::demo::Demo;

/// How much of each is done.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct ShowcaseConfig {
    /// Starts of the injection diagnostic.
    pub segments: SegmentConfig,
    /// Its steps and bands.
    pub injection: InjectionConfig,
    /// Evaluation speakers whose sounds are made, one utterance each.
    pub n_voices: usize,
    /// Steps of the rollouts that are heard.
    pub heard_steps: usize,
}

impl Default for ShowcaseConfig {
    fn default() -> Self {
        Self {
            segments: SegmentConfig::default(),
            injection: InjectionConfig { rollout: RolloutConfig::default(), n_resamples: 1000 },
            n_voices: 2,
            heard_steps: 40,
        }
    }
}

/// Everything that came out.
#[derive(Debug)]
pub struct Showcase {
    /// What was asked for.
    pub config: ShowcaseConfig,
    /// Modes A-D of each predictor with horizon 1.
    pub injections: Vec<(PredictorInfo, InjectionReport)>,
    /// Every predictor at its own horizon.
    pub evaluation: Evaluation,
    /// Principal components of the training frames.
    pub pca: Pca,
    /// What can be heard, voice by voice.
    pub voices: Vec<Voice>,
}

/// One utterance of the evaluation side and what became of it.
#[derive(Debug)]
pub struct Voice {
    /// Its id.
    pub utterance_id: String,
    /// True frames, `[n_frames, dim]`.
    pub truth: Latents,
    /// First predicted frame of the rollouts.
    pub t0: usize,
    /// Free rollouts, one a predictor with horizon 1.
    pub rollouts: Vec<(PredictorInfo, Rollout)>,
    /// Sounds in the order of listening.
    pub sounds: Vec<Sound>,
}

/// Something to hear.
#[derive(Clone, Debug)]
pub struct Sound {
    /// Short name.
    pub name: String,
    /// What is heard, in a sentence.
    pub explanation: String,
    /// The samples.
    pub clip: AudioClip,
    /// Mel distance from the decoded truth (the recording, for the decoded truth itself).
    pub mel_distance: f64,
}

/// Runs all of it on the demo.
pub fn run(ctx: &JobCtx, demo: &Demo, config: ShowcaseConfig) -> anyhow::Result<Showcase> {
    let injections = injections(ctx, demo, &config)?;
    ctx.cancel.check()?;
    let evaluation = evaluate(ctx, &demo.corpus, &demo.predictors, &EvaluateConfig::default())?;
    ctx.cancel.check()?;
    let frames = demo.corpus.side(Side::Train).flat_map(|u| u.latents.values.chunks_exact(demo.corpus.dim));
    let pca = Pca::fit(frames, demo.corpus.dim, 3.min(demo.corpus.dim));
    let mut voices = Vec::new();
    for utterance in showcased(&demo.corpus, config.n_voices) {
        ctx.cancel.check()?;
        ctx.progress.report("sounds", voices.len() as u64, Some(config.n_voices as u64), "");
        voices.push(voice(ctx, demo, utterance, &config)?);
    }
    ctx.progress.report("sounds", voices.len() as u64, Some(voices.len() as u64), "");
    Ok(Showcase { config, injections, evaluation, pca, voices })
}

/// Predictors that can roll out: those for horizon 1.
fn rolling(predictors: &[Predictor]) -> impl Iterator<Item = &Predictor> {
    predictors.iter().filter(|p| p.info.horizon == 1)
}

fn injections(ctx: &JobCtx, demo: &Demo, config: &ShowcaseConfig) -> anyhow::Result<Vec<(PredictorInfo, InjectionReport)>> {
    let n_steps = config.injection.rollout.n_steps;
    let mut reports = Vec::new();
    for predictor in rolling(&demo.predictors) {
        ctx.cancel.check()?;
        let info = &predictor.info;
        let segments = sample_segments(&demo.corpus, info.window, info.horizon, n_steps, &config.segments, ctx.seed)?;
        let of_family = |p: &&Predictor| p.info.kind == info.kind;
        let direct: Vec<Predictor> = demo.predictors.iter().filter(of_family).cloned().collect();
        let lines = ReferenceConfig { window: info.window, ..ReferenceConfig::default() };
        let lines = references(ctx, &demo.corpus, &segments, n_steps, &direct, &lines)?;
        let schedules = Schedule::standard(n_steps);
        let report = inject(ctx, &demo.corpus, predictor, &demo.baselines, &segments, &schedules, lines, &config.injection)?;
        reports.push((info.clone(), report));
    }
    Ok(reports)
}

/// The first utterance of each of the first evaluation speakers.
fn showcased(corpus: &Corpus, n_voices: usize) -> Vec<usize> {
    let mut speakers: Vec<&str> = Vec::new();
    let mut chosen = Vec::new();
    for (index, utterance) in corpus.utterances.iter().enumerate().filter(|(_, u)| u.side == Side::Eval) {
        if chosen.len() < n_voices && !speakers.contains(&utterance.speaker.as_str()) {
            speakers.push(&utterance.speaker);
            chosen.push(index);
        }
    }
    chosen
}

fn voice(ctx: &JobCtx, demo: &Demo, utterance: usize, config: &ShowcaseConfig) -> anyhow::Result<Voice> {
    let truth = &demo.corpus.utterances[utterance].latents;
    let mut rollouts = Vec::new();
    let window = rolling(&demo.predictors).map(|p| p.info.window).max().context("no predictor with horizon 1")?;
    // Far enough in that a word was heard before it drifts.
    let t0 = window.max(truth.n_frames() / 4);
    let n_steps = config.heard_steps.min(truth.n_frames().saturating_sub(t0)).max(1);
    for predictor in rolling(&demo.predictors) {
        let advance = RolloutConfig { n_steps, ..config.injection.rollout.clone() };
        let free = [Schedule::free(n_steps)];
        let rolled = rollout(ctx, &demo.corpus, predictor, &demo.baselines, &[Segment { utterance, t0 }], &free, &advance)?;
        rollouts.push((predictor.info.clone(), rolled.into_iter().next().context("the rollout gave nothing")?));
    }
    let sounds = sounds(ctx, demo, utterance, &rollouts)?;
    Ok(Voice { utterance_id: demo.corpus.utterances[utterance].id.clone(), truth: truth.clone(), t0, rollouts, sounds })
}

/// The recording, the decoded truth, the rollouts and the synthetic modes of one utterance.
fn sounds(ctx: &JobCtx, demo: &Demo, utterance: usize, rollouts: &[(PredictorInfo, Rollout)]) -> anyhow::Result<Vec<Sound>> {
    let truth = &demo.corpus.utterances[utterance].latents;
    let recording = driftscope_core::audio::resample(&demo.clips[utterance], demo.codec.sample_rate_hz())?;
    let decoded = demo.codec.decode(truth)?;
    let mut sounds = vec![
        Sound {
            name: "recording".into(),
            explanation: "The recording itself, before the codec.".into(),
            mel_distance: mel_distance(&decoded, &recording)?,
            clip: recording.clone(),
        },
        Sound {
            name: "ground truth".into(),
            explanation: "The true latents, decoded: what everything below is compared with.".into(),
            mel_distance: mel_distance(&recording, &decoded)?,
            clip: decoded.clone(),
        },
    ];
    let mut add = |name: String, explanation: String, latents: &Latents, codec: &Codec| -> anyhow::Result<()> {
        let clip = codec.decode(latents)?;
        // A rollout may end before the utterance does; only what is there can be compared.
        let n_samples = clip.samples.len().min(decoded.samples.len());
        let reference = AudioClip { samples: decoded.samples[..n_samples].to_vec(), sample_rate_hz: decoded.sample_rate_hz };
        sounds.push(Sound { mel_distance: mel_distance(&reference, &clip)?, name, explanation, clip });
        Ok(())
    };
    for (info, rolled) in rollouts {
        let seconds = rolled.segments.first().map_or(0.0, |s| s.t0 as f64 / truth.frame_rate_hz);
        let explanation = format!("True up to {seconds:.2} s, then the {} predictor on its own frames.", family(&info.kind));
        add(format!("rollout {}", family(&info.kind)), explanation, &splice(truth, rolled, 0), &demo.codec)?;
    }
    for rendition in SYNTHETIC {
        ctx.cancel.check()?;
        let material = Material { truth, decoded: None, recording: None, rollout: None, noise_unit: 0.0, seed: ctx.seed };
        let latents = rendition.latents(&material).context("a synthetic mode needs nothing but the truth")?;
        add(rendition.name(), rendition.explanation(), &latents, &demo.codec)?;
    }
    Ok(sounds)
}

/// Synthetic modes in the order of listening. 14.4° is as far from the truth, step by step, as a magnitude of 0.75.
const SYNTHETIC: [Rendition; 8] = {
    use Accumulation::{Accumulated, PerStep};
    use SyntheticMode::{OffAngle, Slow, Stationary, WrongDirection};
    [
        Rendition::Synthetic { mode: Slow { alpha: 0.75 }, accumulation: Accumulated },
        Rendition::Synthetic { mode: Slow { alpha: 0.5 }, accumulation: Accumulated },
        Rendition::Synthetic { mode: Slow { alpha: 0.25 }, accumulation: Accumulated },
        Rendition::Synthetic { mode: WrongDirection, accumulation: Accumulated },
        Rendition::Synthetic { mode: Stationary, accumulation: Accumulated },
        Rendition::Synthetic { mode: Slow { alpha: 0.75 }, accumulation: PerStep },
        Rendition::Synthetic { mode: OffAngle { degrees: 14.4 }, accumulation: PerStep },
        Rendition::Synthetic { mode: WrongDirection, accumulation: PerStep },
    ]
};
