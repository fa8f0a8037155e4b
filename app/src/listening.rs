//! Listening tests made of a store, and their sounds on the way to an ear: what the window and the command line share.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use driftscope_core::audio::AudioClip;
use driftscope_core::battery::{self, Axis, BatteryConfig, Bench, Rendition};
use driftscope_core::disk;
use driftscope_core::engine::lane::Lane;
use driftscope_core::figure::{self, FigureSpec, Provenance};
use driftscope_core::job::JobCtx;
use driftscope_core::listen::{self, Condition, Design, Draft, DraftItem, Method, Results, Role, Settings, Stop, Test, matched_gains_db};
use driftscope_core::playback;

/// The questions that can be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A, B, X; so many trials.
    Abx,
    /// A, B, X; until it is decided.
    Sequential,
    /// A, B, X; is it the same?
    Equivalence,
    /// A or B.
    Preference,
    /// 0 to 100.
    Mushra,
    /// 1 to 5, for small impairments.
    TripleStimulus,
    /// 2-down-1-up.
    Staircase,
    /// The level that tells most.
    Bayesian,
}

impl Kind {
    /// All, with what they are called and what they are for.
    pub const ALL: [(Self, &str, &str); 8] = [
        (Self::Abx, "ABX", "Is a difference heard? X is A or B: which? The number of trials is decided before."),
        (Self::Sequential, "ABX, sequential", "The same, ended as soon as the answers decide it (Wald)."),
        (Self::Equivalence, "Sounds the same", "Is the difference small enough? Not to have heard one is not enough."),
        (Self::Preference, "Preference", "A or B, without a reference: for free rollouts, which need not match the truth."),
        (Self::Mushra, "MUSHRA-like", "All conditions of an item beside the reference, rated 0 to 100, with hidden reference and anchors."),
        (Self::TripleStimulus, "Small impairments", "Reference, A and B, one of them the reference again, both graded 1 to 5 (BS.1116)."),
        (Self::Staircase, "Threshold, staircase", "From where on is it heard? Two right answers make it harder, a wrong one easier."),
        (Self::Bayesian, "Threshold, Bayesian", "From where on is it heard? Every trial is the one that is expected to tell most."),
    ];

    /// Its row of the table.
    pub fn row(self) -> (Self, &'static str, &'static str) {
        *Self::ALL.iter().find(|(kind, ..)| *kind == self).unwrap_or(&Self::ALL[0])
    }

    /// Asks for a level instead of conditions.
    pub fn is_adaptive(self) -> bool {
        matches!(self, Self::Staircase | Self::Bayesian)
    }

    /// Counts trials; the others have one for each item.
    pub fn counts_trials(self) -> bool {
        !matches!(self, Self::Mushra | Self::TripleStimulus)
    }

    /// How many trials a condition are usual.
    pub fn n_trials(self) -> u32 {
        match self {
            Self::Abx => 16,
            Self::Sequential | Self::Equivalence | Self::Staircase | Self::Bayesian => 40,
            Self::Preference => 10,
            Self::Mushra | Self::TripleStimulus => 1,
        }
    }

    /// The question with its numbers: level .05, a margin of .75, and .8 as the proportion worth finding.
    pub fn design(self, n_trials: u32) -> Design {
        let alpha = 0.05;
        match self {
            Self::Abx => Design::Abx { stop: Stop::Fixed { n_trials }, alpha },
            Self::Sequential => Design::Abx { stop: Stop::Sequential { p1: 0.8, beta: 0.2, max_trials: n_trials }, alpha },
            Self::Equivalence => Design::Equivalence { n_trials, margin: 0.75, alpha },
            Self::Preference => Design::Preference { n_trials, ties: true },
            Self::Mushra => Design::Mushra,
            Self::TripleStimulus => Design::TripleStimulus,
            Self::Staircase => Design::Threshold { method: Method::TwoDownOneUp { first_step: 3 }, n_trials },
            Self::Bayesian => Design::Threshold { method: Method::Bayesian, n_trials },
        }
    }
}

/// A test as it is asked for.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct TestDraft {
    /// For people.
    pub title: String,
    /// What is asked.
    pub design: Design,
    /// What everything is compared with, where the design has a reference.
    pub reference: Rendition,
    /// What is compared.
    pub tested: Vec<Rendition>,
    /// What an adaptive test varies instead.
    pub axis: Option<Axis>,
    /// With the 3.5 and 7 kHz anchors of MUSHRA.
    pub anchors: bool,
    /// Which utterances, how long, how rolled out.
    pub material: BatteryConfig,
    /// How trials are given.
    pub settings: Settings,
}

impl TestDraft {
    /// Reference first, then what is tested in the order of the axis or of the draft.
    fn conditions(&self) -> Vec<Condition> {
        let condition = |rendition: Rendition, role: Role, level: Option<f64>| {
            let rendition_json = serde_json::to_value(rendition).ok();
            Condition { level, rendition: rendition_json, ..Condition::new(rendition.name(), rendition.explanation(), role) }
        };
        let has_reference = !matches!(self.design, Design::Preference { .. });
        let reference = has_reference.then(|| condition(self.reference, Role::Reference, None));
        let tested: Vec<Condition> = match self.axis {
            Some(axis) => axis.levels().into_iter().map(|level| condition(axis.rendition(level), Role::Tested, Some(level))).collect(),
            None => self.tested.iter().map(|r| condition(*r, Role::Tested, None)).collect(),
        };
        reference.into_iter().chain(tested).collect()
    }
}

/// How a condition's sounds are made of a store, where they are.
pub fn rendition_of(condition: &Condition) -> Option<Rendition> {
    serde_json::from_value(condition.rendition.clone()?).ok()
}

/// Renders the draft's sounds and writes plan and stimuli into `folder`. Those of an adaptive test are not rendered: they are made when a
/// trial calls for them. The notes say what was done to the sounds.
pub fn make(ctx: &JobCtx, bench: Bench<'_>, draft: &TestDraft, folder: &Path) -> anyhow::Result<(Test, Vec<String>)> {
    let mut conditions = draft.conditions();
    let mut config = draft.material.clone();
    // The longest splice says how long the rollouts and the stretch that is heard are.
    let renditions: Vec<Rendition> = conditions.iter().filter_map(rendition_of).collect();
    let splices = renditions.iter().filter_map(|r| match r {
        Rendition::Splice { n_steps } => Some(*n_steps),
        _ => None,
    });
    // Those of the material too: the same utterances, cut as they were measured.
    config.splice_steps.extend(splices);
    if renditions.contains(&Rendition::Rollout) && config.splice_steps.is_empty() {
        config.splice_steps = vec![config.rollout.n_steps];
    }
    let prepared = battery::prepare(ctx, bench, config)?;
    if let Some(rendition) = renditions.iter().find(|r| r.needs_rollout()).filter(|_| prepared.predictor.is_none()) {
        anyhow::bail!("{} needs a predictor, and none was named", rendition.name());
    }
    for (condition, rendition) in conditions.iter_mut().zip(&renditions) {
        if let Some(departure) = prepared.departure(bench, *rendition) {
            condition.numbers.extend([("cos".to_owned(), departure.cos), ("state_err".to_owned(), departure.state_err)]);
        }
    }
    let mut items = Vec::new();
    let total = prepared.items.len() as u64;
    for (index, item) in prepared.items.iter().enumerate() {
        ctx.cancel.check()?;
        ctx.progress.report("stimuli", index as u64, Some(total), item.utterance_id.clone());
        let sounds = if draft.axis.is_some() {
            vec![None; conditions.len()]
        } else {
            let made = prepared.sounds(ctx, bench, index, &renditions)?;
            if let Some((condition, _)) = conditions.iter().zip(&made).find(|(_, sound)| sound.is_none()) {
                anyhow::bail!("{}: there is no {} (is its recording still there?)", item.utterance_id, condition.name);
            }
            made
        };
        items.push(DraftItem { id: item.utterance_id.clone(), speaker: item.speaker.clone(), sounds });
    }
    ctx.progress.report("stimuli", total, Some(total), "");
    let mut provenance = std::collections::BTreeMap::from([
        ("store".to_owned(), bench.corpus.source.clone()),
        ("codec".to_owned(), crate::open::named(&bench.codec.tag())),
        ("version".to_owned(), env!("CARGO_PKG_VERSION").to_owned()),
    ]);
    if let Some(predictor) = &prepared.predictor {
        provenance.insert("predictor".to_owned(), predictor.hash.clone());
    }
    let mut made = Draft {
        title: draft.title.clone(),
        design: draft.design,
        conditions,
        axis: draft.axis.map(|axis| listen::Axis { name: axis.label().to_owned(), unit: String::new() }),
        items,
        recipe: Some(serde_json::to_value(&prepared.config)?),
        seed: ctx.seed,
        settings: draft.settings.clone(),
        provenance,
    };
    if draft.anchors {
        made.add_anchors()?;
    }
    let (test, notes) = made.write(folder)?;
    Ok((test, notes))
}

/// Sounds that a trial calls for.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    /// Number of the trial.
    pub trial: u32,
    /// Index into the plan's items.
    pub item: usize,
    /// Indices into the plan's conditions, slot by slot.
    pub conditions: Vec<usize>,
    /// Rate of whoever plays them.
    pub rate_hz: u32,
}

/// They, or why they are not there.
#[derive(Clone, Debug, PartialEq)]
pub struct Fetched {
    /// Number of the trial.
    pub trial: u32,
    /// Slot by slot.
    pub slots: Vec<Heard>,
    /// One sentence.
    pub problem: Option<String>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq)]
pub struct Heard {
    /// At the rate of whoever plays them.
    pub samples: Arc<[f32]>,
    /// Gain, dB.
    pub gain_db: f64,
    /// Seconds.
    pub duration_sec: f64,
    /// BLAKE3 of its samples and the gain, where it was made for the trial.
    pub rendered: Option<String>,
}

/// Makes sounds that a plan does not hold: an item's, under these conditions, all of one length.
pub type Render = Box<dyn FnMut(usize, &[usize]) -> anyhow::Result<Vec<AudioClip>> + Send>;

/// The thread that reads, renders and resamples.
#[derive(Debug)]
pub struct Fetcher(Lane<Wanted>);

impl Fetcher {
    /// Fetches the sounds of `test`; those that it does not hold are made by `render`.
    pub fn start(test: &Test, mut render: Option<Render>, deliver: impl Fn(Fetched) + Send + 'static) -> std::io::Result<Self> {
        let test = test.clone();
        Ok(Self(Lane::start("stimuli", move |wanted: Wanted| {
            let (slots, problem) = match fetch(&test, render.as_mut(), &wanted) {
                Ok(slots) => (slots, None),
                Err(error) => (Vec::new(), Some(format!("{error:#}"))),
            };
            deliver(Fetched { trial: wanted.trial, slots, problem });
        })?))
    }

    /// Asks for a trial's sounds; those asked for before are not fetched any more.
    pub fn request(&self, wanted: Wanted) {
        self.0.request(wanted);
    }
}

fn fetch(test: &Test, render: Option<&mut Render>, wanted: &Wanted) -> anyhow::Result<Vec<Heard>> {
    let plan = test.plan();
    let item = plan.items.get(wanted.item).context("the plan has no such item")?;
    let stimuli = wanted.conditions.iter().map(|&c| item.stimuli.get(c).and_then(Option::as_ref)).collect::<Option<Vec<_>>>();
    if let Some(stimuli) = stimuli {
        let heard = |stimulus: &driftscope_core::listen::Stimulus| {
            let clip = test.sound(stimulus)?;
            let samples = playback::at_rate(&clip, wanted.rate_hz)?;
            anyhow::Ok(Heard { samples, gain_db: stimulus.gain_db, duration_sec: stimulus.duration_sec, rendered: None })
        };
        return stimuli.into_iter().map(heard).collect();
    }
    let render = render.context("the plan's sounds are made of its store, which is not open")?;
    let clips = render(wanted.item, &wanted.conditions)?;
    let gains_db = matched_gains_db(&clips, plan.settings.loudness)?;
    clips
        .iter()
        .zip(gains_db)
        .map(|(clip, gain_db)| {
            Ok(Heard {
                samples: playback::at_rate(clip, wanted.rate_hz)?,
                gain_db,
                duration_sec: clip.duration_sec(),
                // The gain goes into the log with it, as it stands in the plan of other tests.
                rendered: Some(format!("{} at {gain_db:.2} dB", blake3::hash(bytemuck::cast_slice(&clip.samples)).to_hex())),
            })
        })
        .collect()
}

/// What of every sound must be heard before an answer, seconds: a splice and what is around it, or most of it.
pub const MUST_HEAR_SEC: f64 = 2.5;

/// What writes the logs: stands in the first line of every one.
pub const PROGRAM: &str = concat!("driftscope ", env!("CARGO_PKG_VERSION"));

/// The figure of a test's results, with what its sounds were made of.
pub fn figure(test: &Test, results: &Results) -> FigureSpec {
    let plan = test.plan();
    let made_of = |what: &str| plan.provenance.get(what).cloned().unwrap_or_default();
    let provenance = Provenance {
        store: made_of("store"),
        checkpoint: made_of("predictor"),
        codec: made_of("codec"),
        seed: plan.seed,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        definitions: vec![format!("Listening test {}, plan {}.", plan.title, test.hash()), results.summary()],
    };
    figure::listening("listening", plan, results, provenance)
}

/// Writes what a test proved into `results/` of its folder: `results.json`, `answers.csv`, `summary.txt`, and the figure. What was there of
/// an earlier writing is replaced, since it follows from the same plan and logs.
pub fn write_results(test: &Test) -> anyhow::Result<PathBuf> {
    let (folder, results) = (test.folder().join("results"), Results::of(test)?);
    let cannot = || format!("{}: cannot be written", folder.display());
    std::fs::create_dir_all(&folder).with_context(cannot)?;
    let json = format!("{:#}\n", serde_json::to_value(&results)?);
    for (name, text) in [("results.json", json), ("answers.csv", results.csv()), ("summary.txt", results.summary())] {
        disk::write_beside(&folder.join(name), |file| file.write_all(text.as_bytes())).with_context(cannot)?;
    }
    figure::write(&figure(test, &results), &folder)?;
    Ok(folder)
}

/// What the finished logs of a test say, in the words of a paper.
pub fn summary(test: &Test) -> anyhow::Result<String> {
    Ok(Results::of(test)?.summary())
}
