//! The battery of the notes: what codec, wrong magnitudes, wrong directions and spliced rollouts do to the sound of one set of utterances,
//! in every measure, with bands by speaker.
//!
//! A [`Rendition`] says what is done to an utterance; [`battery`] renders and measures many of them on the same items, and a listening test
//! can be made of the same sounds. Nothing here writes files.

mod rendition;

use std::ops::Range;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use rayon::prelude::*;

pub use rendition::{Axis, Material, Rendition};

use crate::audio::{AudioClip, AudioError};
use crate::codec::{Codec, CodecError};
use crate::context::{Corpus, Side, first_target};
use crate::diagnose::{Band, Bootstrap, Summary};
use crate::job::{Cancelled, JobCtx};
use crate::perceive::{Measure, scores};
use crate::predict::{Baselines, Predictor, PredictorInfo};
use crate::rollout::synthetic::{Accumulation, SyntheticMode, l2_error};
use crate::rollout::{Rollout, RolloutConfig, RolloutError, Schedule, Segment, median_delta_norm, rollout};

/// Sound on either side of the longest splice in what is measured and heard of splices, seconds.
const AROUND_SPLICE_SEC: f64 = 1.0;

/// What sounds are made with.
#[derive(Clone, Copy)]
pub struct Bench<'a> {
    /// The utterances.
    pub corpus: &'a Corpus,
    /// Their codec.
    pub codec: &'a Codec,
    /// Who rolls out, at horizon 1, with its baselines; without one there are no splices.
    pub predictor: Option<(&'a Predictor, &'a Baselines)>,
    /// What the utterances were encoded from.
    pub recordings: &'a dyn Recordings,
}

/// The recordings behind a corpus.
pub trait Recordings: Sync {
    /// That of an utterance (index into the corpus), where it is still there.
    fn get(&self, utterance: usize) -> Option<AudioClip>;
}

impl<F: Fn(usize) -> Option<AudioClip> + Sync> Recordings for F {
    fn get(&self, utterance: usize) -> Option<AudioClip> {
        self(utterance)
    }
}

/// How much is done.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BatteryConfig {
    /// Evaluation utterances, drawn so that speakers take turns.
    pub n_items: usize,
    /// Longer utterances are passed over, seconds.
    pub max_duration_sec: f64,
    /// Lengths of the splices.
    pub splice_steps: Vec<usize>,
    /// How the rollouts advance; its number of steps is that of the longest splice.
    pub rollout: RolloutConfig,
    /// Bootstrap resamples of speakers (0: no bands).
    pub n_resamples: usize,
}

impl Default for BatteryConfig {
    fn default() -> Self {
        Self {
            n_items: 16,
            max_duration_sec: 10.0,
            splice_steps: vec![1, 2, 4, 8, 16],
            rollout: RolloutConfig::default(),
            n_resamples: 1000,
        }
    }
}

/// Why there is no battery.
#[derive(Debug, thiserror::Error)]
pub enum BatteryError {
    /// Nothing to make sounds of.
    #[error("{0}")]
    Input(String),
    /// Decoding failed.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Rolling out failed.
    #[error(transparent)]
    Rollout(#[from] RolloutError),
    /// Nothing to measure in a sound.
    #[error("{name}: {source}")]
    Sound {
        /// Utterance and condition.
        name: String,
        /// What is wrong.
        source: AudioError,
    },
    /// Stopped.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

/// Conditions that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// The codec's round trip, against the recording.
    Reconstruction,
    /// Synthetic modes whose errors add up from the first frame.
    Accumulated,
    /// Synthetic modes from the true frame before.
    PerStep,
    /// Wrong magnitude and wrong direction at the same distance from the truth.
    AtEqualError,
    /// Rollouts in the midst of the truth.
    Splices,
}

impl Group {
    /// For headings.
    pub fn title(self) -> &'static str {
        match self {
            Self::Reconstruction => "Reconstruction (against the recording)",
            Self::Accumulated => "Synthetic modes, accumulated (against the decoded truth)",
            Self::PerStep => "Synthetic modes, per step (against the decoded truth)",
            Self::AtEqualError => "Synthetic modes at equal L2 error (against the decoded truth)",
            Self::Splices => "Spliced rollouts, with 1 s around the longest (against the decoded truth)",
        }
    }

    /// What its sounds are compared with.
    pub fn reference(self) -> Rendition {
        if self == Self::Reconstruction { Rendition::Recording } else { Rendition::Truth }
    }
}

/// The conditions of the battery, in the order of its tables.
pub fn conditions(config: &BatteryConfig) -> Vec<(Group, Rendition)> {
    use Accumulation::{Accumulated, PerStep};
    let slow = |alpha| SyntheticMode::Slow { alpha };
    // 14.4° is as far from the truth, step by step, as a magnitude of .75.
    let per_step = [slow(0.75), slow(0.5), slow(0.25), SyntheticMode::OffAngle { degrees: 14.4 }, SyntheticMode::WrongDirection];
    let accumulated = [slow(0.75), slow(0.5), slow(0.25), SyntheticMode::WrongDirection, SyntheticMode::Stationary];
    let synthetic = |mode, accumulation| Rendition::Synthetic { mode, accumulation };
    let matched = |alpha| Rendition::AtErrorOf { mode: SyntheticMode::WrongDirection, other: slow(alpha), accumulation: Accumulated };
    let mut all = vec![(Group::Reconstruction, Rendition::Truth)];
    all.extend(accumulated.map(|mode| (Group::Accumulated, synthetic(mode, Accumulated))));
    all.extend(per_step.map(|mode| (Group::PerStep, synthetic(mode, PerStep))));
    all.extend([0.75, 0.5, 0.25].map(|alpha| (Group::AtEqualError, matched(alpha))));
    all.extend(config.splice_steps.iter().map(|&n_steps| (Group::Splices, Rendition::Splice { n_steps })));
    all
}

/// An utterance of the battery.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct BatteryItem {
    /// Its id.
    pub utterance_id: String,
    /// Who speaks.
    pub speaker: String,
    /// How long.
    pub duration_sec: f64,
    /// First frame of its splices.
    pub t0: usize,
    #[serde(skip)]
    utterance: usize,
}

/// One measure of one condition over all items.
#[derive(Clone, Debug, serde::Serialize)]
pub struct MeasureReport {
    /// [`Measure::key`].
    pub measure: &'static str,
    /// Over the items that have the number.
    #[serde(flatten)]
    pub summary: Summary,
    /// 95 % interval of the mean by resampling speakers; `null` for a single speaker.
    pub band: Option<Band>,
    /// Items without the number, and why the first of them has none.
    pub n_without: usize,
    /// Why, where there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Item by item.
    pub values: Vec<Option<f64>>,
}

/// One condition.
#[derive(Clone, Debug, serde::Serialize)]
pub struct ConditionReport {
    /// Where it belongs.
    pub group: Group,
    /// Its name.
    pub name: String,
    /// What is heard.
    pub explanation: String,
    /// How it is made.
    #[serde(flatten)]
    pub rendition: Rendition,
    /// Root mean square over frames of ‖x̂ − x‖, raw units, over all items; only the changed frames count in a splice.
    pub l2_error: Summary,
    /// Every measure.
    pub measures: Vec<MeasureReport>,
}

impl ConditionReport {
    /// A measure's numbers.
    pub fn measure(&self, measure: Measure) -> Option<&MeasureReport> {
        self.measures.iter().find(|report| report.measure == measure.key())
    }
}

/// What came out.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Battery {
    /// What was asked for.
    pub config: BatteryConfig,
    /// Who rolled out.
    pub predictor: Option<PredictorInfo>,
    /// On what material.
    pub items: Vec<BatteryItem>,
    /// In the order of [`conditions`].
    pub conditions: Vec<ConditionReport>,
    /// What was left out and why, a sentence each.
    pub left_out: Vec<String>,
    #[serde(skip)]
    rollout: Option<Rollout>,
    #[serde(skip)]
    noise_unit: f32,
    #[serde(skip)]
    seed: u64,
}

/// Renders and measures all conditions on items drawn from the evaluation side.
pub fn battery(ctx: &JobCtx, bench: Bench<'_>, config: BatteryConfig) -> Result<Battery, BatteryError> {
    let mut battery = prepare(ctx, bench, config)?;
    let conditions = conditions(&battery.config);
    let total = (battery.items.len() * conditions.len()) as u64;
    let done = std::sync::atomic::AtomicU64::new(0);
    let measured: Vec<Vec<Outcome>> = (0..battery.items.len())
        .into_par_iter()
        .map(|item| {
            let rendered = battery.rendered(ctx, bench, item)?;
            let outcome = |&(group, rendition): &(Group, Rendition)| {
                ctx.cancel.check()?;
                let outcome = rendered.outcome(ctx, bench, group, rendition);
                let done = 1 + done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                ctx.progress.report("battery", done, Some(total), rendition.name());
                outcome
            };
            conditions.iter().map(outcome).collect()
        })
        .collect::<Result<_, BatteryError>>()?;
    let speakers: Vec<&str> = battery.items.iter().map(|item| item.speaker.as_str()).collect();
    let bootstrap = Bootstrap::new(&speakers, battery.config.n_resamples, ctx.seed);
    for (index, &(group, rendition)) in conditions.iter().enumerate() {
        let outcomes: Vec<&Outcome> = measured.iter().map(|of_item| &of_item[index]).collect();
        if let Some(why) =
            outcomes.iter().find_map(|outcome| outcome.missing.as_ref()).filter(|_| outcomes.iter().all(|o| o.missing.is_some()))
        {
            let sentence = format!("{}: {why}", rendition.name());
            battery.left_out.push(sentence);
            continue;
        }
        let measures = Measure::ALL.iter().enumerate().map(|(row, measure)| {
            let values: Vec<Option<f64>> = outcomes.iter().map(|o| o.values.get(row).and_then(|v| v.as_ref().ok().copied())).collect();
            let numbers: Vec<f64> = values.iter().map(|v| v.unwrap_or(f64::NAN)).collect();
            let reason =
                outcomes.iter().find_map(|o| o.values.get(row).and_then(|v| v.as_ref().err().cloned()).or_else(|| o.missing.clone()));
            MeasureReport {
                measure: measure.key(),
                summary: Summary::of(values.iter().flatten().copied()),
                band: bootstrap.band(&numbers, &speakers),
                n_without: values.iter().filter(|v| v.is_none()).count(),
                reason,
                values,
            }
        });
        let measures = measures.collect();
        let l2_error = Summary::of(outcomes.iter().filter(|o| o.missing.is_none()).map(|o| o.l2_error));
        let (name, explanation) = (rendition.name(), rendition.explanation());
        battery.conditions.push(ConditionReport { group, name, explanation, rendition, l2_error, measures });
    }
    Ok(battery)
}

/// Draws the items and rolls out from all of them; nothing is rendered or measured yet.
pub fn prepare(ctx: &JobCtx, bench: Bench<'_>, mut config: BatteryConfig) -> Result<Battery, BatteryError> {
    let mut left_out = Vec::new();
    if bench.predictor.is_none() && !config.splice_steps.is_empty() {
        config.splice_steps.clear();
        left_out.push("splices: no predictor was named".to_owned());
    }
    config.splice_steps.retain(|&n| n > 0);
    config.rollout.n_steps = config.splice_steps.iter().copied().max().unwrap_or(1);
    let items = items(bench, &config, ctx.seed)?;
    let rolled = match bench.predictor.filter(|_| !config.splice_steps.is_empty()) {
        None => None,
        Some((predictor, baselines)) => {
            let segments: Vec<Segment> = items.iter().map(|item| Segment { utterance: item.utterance, t0: item.t0 }).collect();
            let free = [Schedule::free(config.rollout.n_steps)];
            rollout(ctx, bench.corpus, predictor, baselines, &segments, &free, &config.rollout)?.into_iter().next()
        }
    };
    Ok(Battery {
        predictor: bench.predictor.map(|(predictor, _)| predictor.info.clone()),
        items,
        conditions: Vec::new(),
        left_out,
        rollout: rolled,
        noise_unit: (median_delta_norm(bench.corpus) / (bench.corpus.dim as f64).sqrt()) as f32,
        seed: ctx.seed,
        config,
    })
}

/// Evaluation utterances that are long and short enough, speakers taking turns, each with a start that leaves room for the longest splice.
fn items(bench: Bench<'_>, config: &BatteryConfig, seed: u64) -> Result<Vec<BatteryItem>, BatteryError> {
    let corpus = bench.corpus;
    let rate = corpus.frame_rate_hz;
    let first = bench.predictor.map_or(1, |(predictor, _)| first_target(predictor.info.window, predictor.info.horizon));
    let least = first + config.rollout.n_steps;
    let mut eval: Vec<usize> = (0..corpus.utterances.len()).filter(|&u| corpus.utterances[u].side == Side::Eval).collect();
    let n_eval = eval.len();
    let n_frames = |u: usize| corpus.utterances[u].latents.n_frames();
    eval.retain(|&u| n_frames(u) >= least && n_frames(u) as f64 / rate <= config.max_duration_sec);
    let mut rng = StdRng::seed_from_u64(seed);
    eval.shuffle(&mut rng);
    let mut turns = std::collections::BTreeMap::<&str, usize>::new();
    let mut in_turns: Vec<(usize, usize)> = Vec::new();
    for &u in &eval {
        let turn = turns.entry(corpus.utterances[u].speaker.as_str()).or_default();
        in_turns.push((*turn, u));
        *turn += 1;
    }
    in_turns.sort_by_key(|(turn, _)| *turn);
    if in_turns.is_empty() {
        return Err(BatteryError::Input(format!(
            "none of the {n_eval} evaluation utterances has between {least} frames (window and longest splice) and {:.0} s; allow longer ones or \
             shorter splices",
            config.max_duration_sec
        )));
    }
    let item = |&(_, u): &(usize, usize)| {
        let utterance = &corpus.utterances[u];
        BatteryItem {
            utterance_id: utterance.id.clone(),
            speaker: utterance.speaker.clone(),
            duration_sec: n_frames(u) as f64 / rate,
            // A third of the way in: something was heard before, and truth follows.
            t0: (n_frames(u) / 3).clamp(first, n_frames(u) - config.rollout.n_steps),
            utterance: u,
        }
    };
    Ok(in_turns.iter().take(config.n_items.max(1)).map(item).collect())
}

/// What one sound measures.
struct Outcome {
    l2_error: f64,
    values: Vec<Result<f64, String>>,
    missing: Option<String>,
}

/// One item with what its sounds are made of.
struct Rendered<'a> {
    battery: &'a Battery,
    item: usize,
    truth: &'a crate::latents::Latents,
    decoded: AudioClip,
    recording: Option<AudioClip>,
}

/// How far a rendition is from the truth, whatever is heard of it; means over items and frames.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Departure {
    /// Cosine of x̂\[t\] − x\[t−1\] with the true Δ\[t\]; of a splice, that of the predicted Δ with the true one at its last step.
    pub cos: f64,
    /// ‖x̂\[t\] − x\[t\]‖ / median ‖Δ‖; of a splice, after its last step.
    pub state_err: f64,
}

impl Battery {
    /// How far a rendition is from the truth, over all items; `None` where it cannot be made or nothing of it is finite.
    pub fn departure(&self, bench: Bench<'_>, rendition: Rendition) -> Option<Departure> {
        let median = f64::from(self.noise_unit) * (bench.corpus.dim as f64).sqrt();
        let mut both: Vec<[f64; 2]> = Vec::new();
        for (index, item) in self.items.iter().enumerate() {
            let truth = &bench.corpus.utterances[item.utterance].latents;
            let rollout = self.rollout.as_ref().map(|rolled| (rolled, index));
            let material = Material { truth, decoded: None, recording: None, rollout, noise_unit: self.noise_unit, seed: self.seed };
            let latents = rendition.latents(&material)?;
            let error = |t: usize| norm(&minus(latents.frame(t), truth.frame(t))) / median;
            if let Rendition::Splice { n_steps } = rendition {
                let rolled = self.rollout.as_ref()?;
                let cos = rolled.cos.get(index * rolled.n_steps + n_steps.checked_sub(1)?)?;
                both.push([f64::from(*cos), error(item.t0 + n_steps - 1)]);
            } else {
                both.extend((1..truth.n_frames().min(latents.n_frames())).map(|t| {
                    let (advance, delta) = (minus(latents.frame(t), truth.frame(t - 1)), truth.delta(t));
                    let dot: f64 = advance.iter().zip(&delta).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                    [dot / (norm(&advance) * norm(&delta)), error(t)]
                }));
            }
        }
        let mean = |column: usize| Summary::of(both.iter().map(|pair| pair[column])).mean;
        Some(Departure { cos: mean(0)?, state_err: mean(1)? })
    }

    fn rendered<'a>(&'a self, ctx: &JobCtx, bench: Bench<'a>, item: usize) -> Result<Rendered<'a>, BatteryError> {
        let utterance = self.items[item].utterance;
        let truth = &bench.corpus.utterances[utterance].latents;
        let decoded = bench.codec.decode_unless(truth, &ctx.cancel)?;
        Ok(Rendered { battery: self, item, truth, decoded, recording: bench.recordings.get(utterance) })
    }

    /// The sounds of one item under many renditions, at the codec's rate, all of one length: cut to the stretch around the splices if one of
    /// them is heard as a splice, else whole. `None` where one cannot be made (no recording, no rollout).
    pub fn sounds(
        &self,
        ctx: &JobCtx,
        bench: Bench<'_>,
        item: usize,
        renditions: &[Rendition],
    ) -> Result<Vec<Option<AudioClip>>, BatteryError> {
        let rendered = self.rendered(ctx, bench, item)?;
        let stretch = renditions.iter().any(|r| matches!(r, Rendition::Splice { .. })).then(|| rendered.around_splices(bench));
        renditions
            .iter()
            .map(|rendition| {
                ctx.cancel.check()?;
                let clip = rendition.sound(bench.codec, &rendered.material(), &ctx.cancel)?;
                Ok(clip.map(|clip| cut(&clip, stretch.clone().unwrap_or(0..rendered.decoded.samples.len()))))
            })
            .collect()
    }
}

impl Rendered<'_> {
    fn material(&self) -> Material<'_> {
        Material {
            truth: self.truth,
            decoded: Some(&self.decoded),
            recording: self.recording.as_ref(),
            rollout: self.battery.rollout.as_ref().map(|rolled| (rolled, self.item)),
            noise_unit: self.battery.noise_unit,
            seed: self.battery.seed,
        }
    }

    /// Samples from just before the start to just after the longest splice.
    fn around_splices(&self, bench: Bench<'_>) -> Range<usize> {
        let (hop, rate) = (bench.codec.hop_samples(), f64::from(bench.codec.sample_rate_hz()));
        let around = (AROUND_SPLICE_SEC * rate) as usize;
        let t0 = self.battery.items[self.item].t0;
        let to = (t0 + self.battery.config.rollout.n_steps) * hop + around;
        (t0 * hop).saturating_sub(around)..to.min(self.decoded.samples.len())
    }

    fn outcome(&self, ctx: &JobCtx, bench: Bench<'_>, group: Group, rendition: Rendition) -> Result<Outcome, BatteryError> {
        let material = self.material();
        let missing = |why: &str| Outcome { l2_error: f64::NAN, values: Vec::new(), missing: Some(why.to_owned()) };
        let Some(reference) = group.reference().sound(bench.codec, &material, &ctx.cancel)? else {
            return Ok(missing("the recordings are not where the store's index says"));
        };
        let Some(latents) = rendition.latents(&material) else { return Ok(missing("no predictor was named")) };
        let Some(sound) = rendition.sound(bench.codec, &material, &ctx.cancel)? else { return Ok(missing("there is no such sound")) };
        let stretch =
            if group == Group::Splices { self.around_splices(bench) } else { 0..sound.samples.len().min(reference.samples.len()) };
        let l2_error = match rendition {
            // The true frames around a splice would only dilute it.
            Rendition::Splice { n_steps } => l2_error(self.truth, &latents) * (latents.n_frames() as f64 / n_steps as f64).sqrt(),
            _ => l2_error(self.truth, &latents),
        };
        let named =
            |source| BatteryError::Sound { name: format!("{}, {}", self.battery.items[self.item].utterance_id, rendition.name()), source };
        let scores = scores(&cut(&reference, stretch.clone()), &cut(&sound, stretch)).map_err(named)?;
        let values = scores.all.into_iter().map(|(_, score)| score.map(|s| s.value).map_err(|why| why.to_string())).collect();
        Ok(Outcome { l2_error, values, missing: None })
    }
}

fn minus(a: &[f32], b: &[f32]) -> Vec<f32> {
    a.iter().zip(b).map(|(a, b)| a - b).collect()
}

fn norm(v: &[f32]) -> f64 {
    v.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt()
}

/// A stretch of a sound; where the sound ends before, silence.
fn cut(clip: &AudioClip, stretch: Range<usize>) -> AudioClip {
    let samples = stretch.map(|i| clip.samples.get(i).copied().unwrap_or(0.0)).collect();
    AudioClip { samples, sample_rate_hz: clip.sample_rate_hz }
}
