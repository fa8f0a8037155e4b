//! `battery`: what codec, synthetic modes and spliced rollouts do to the sound of the same utterances, in every measure.

use std::path::{Path, PathBuf};

use anyhow::bail;
use driftscope_core::audio::{self, AudioClip, write_wav};
use driftscope_core::battery::{Axis, Battery, BatteryConfig, Bench, ConditionReport, Group, Rendition, battery, conditions};
use driftscope_core::codec::Codec;
use driftscope_core::context::Corpus;
use driftscope_core::figure::{self, Provenance};
use driftscope_core::listen::{Loudness, Settings};
use driftscope_core::perceive::Measure;
use driftscope_core::predict::{Baselines, Predictor};
use serde_json::json;

use super::input::{self, CodecArgs, StoreArg};
use super::output::{ForceArg, writable_folder};
use super::schedules::RolloutArgs;
use super::session::Session;
use super::table::{number, table};
use super::{JsonArg, Report};
use crate::demo::{self, Demo};
use crate::listening::{self, Kind, MUST_HEAR_SEC, TestDraft};

/// Measure what is heard: round trip, synthetic modes and spliced rollouts on the same utterances
#[derive(Clone, Debug, serde::Serialize, clap::Args)]
pub(super) struct Args {
    /// Latents store: a .zarr folder, or a folder that holds latents.zarr [default: the embedded demo]
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Checkpoint that rolls out (horizon 1); without one there are no splices [default for the demo: its first]
    #[arg(long, value_name = "CKPT")]
    predictor: Option<PathBuf>,
    #[command(flatten)]
    codec: CodecArgs,
    /// Evaluation utterances drawn, speakers taking turns
    #[arg(long, value_name = "N", default_value_t = 16)]
    items: usize,
    /// Longer utterances are passed over
    #[arg(long, value_name = "SECONDS", default_value_t = 10.0)]
    max_seconds: f64,
    /// Lengths of the splices
    #[arg(long, value_name = "K,…", value_delimiter = ',', default_value = "1,2,4,8,16")]
    splices: Vec<usize>,
    #[command(flatten)]
    rollout: RolloutArgs,
    /// Bootstrap resamples of the bands
    #[arg(long, value_name = "N", default_value_t = 1000)]
    resamples: usize,
    /// Folder for the curves as PDF, SVG, PNG and CSV
    #[arg(long, value_name = "DIR")]
    figures: Option<PathBuf>,
    /// Folder for every sound: CONDITION/UTTERANCE.wav
    #[arg(long, value_name = "DIR")]
    wav: Option<PathBuf>,
    /// Folder for a blind listening test of some of the conditions, on the same utterances; `driftscope listen` and the window take it
    #[arg(long, value_name = "DIR")]
    listen: Option<PathBuf>,
    /// What the listening test asks
    #[arg(long, value_enum, default_value_t = Kind::Abx, requires = "listen")]
    design: Kind,
    /// What it compares with the decoded truth, by the names in the table [default: all splices]
    #[arg(long, value_name = "NAME,…", value_delimiter = ',', requires = "listen")]
    conditions: Vec<String>,
    /// What a threshold test varies: alpha, angle, noise or steps
    #[arg(long, value_name = "AXIS", value_parser = axis, default_value = "steps", requires = "listen")]
    axis: Axis,
    /// Scored trials a condition or pair, or in all of a threshold test [default: what is usual]
    #[arg(long, value_name = "N", requires = "listen")]
    trials: Option<u32>,
    /// Leave level differences as they are
    #[arg(long, requires = "listen")]
    unmatched: bool,
    #[command(flatten)]
    force: ForceArg,
    #[command(flatten)]
    pub(super) json: JsonArg,
}

/// What the command works on, from a store or embedded.
struct Material {
    corpus: Corpus,
    codec: Codec,
    predictor: Option<(Predictor, Baselines)>,
    /// In the order of the corpus.
    recordings: Recordings,
}

/// Where recordings are.
enum Recordings {
    Paths(Vec<Option<PathBuf>>),
    Clips(Vec<AudioClip>),
}

impl driftscope_core::battery::Recordings for Recordings {
    fn get(&self, utterance: usize) -> Option<AudioClip> {
        match self {
            Self::Paths(paths) => audio::read(paths.get(utterance)?.as_ref()?).ok(),
            Self::Clips(clips) => clips.get(utterance).cloned(),
        }
    }
}

impl Material {
    fn open(args: &Args, session: &Session) -> anyhow::Result<Self> {
        let Some(store) = &args.store else { return Self::demo(args, session) };
        let (store, corpus) = input::corpus(&StoreArg { store: store.clone() }, session)?;
        let codec = input::codec_for(store.codec(), corpus.dim, &args.codec, session)?;
        let predictor = args.predictor.as_ref().map(|path| input::predictor(path, &corpus, session)).transpose()?;
        let predictor = predictor.map(|predictor| {
            let baselines = crate::open::baselines(&corpus, &predictor);
            (predictor, baselines)
        });
        let path = |id: &str| store.utterances().iter().find(|u| u.id == id).and_then(|u| u.audio_path.clone());
        let recordings = Recordings::Paths(corpus.utterances.iter().map(|u| path(&u.id)).collect());
        Ok(Self { corpus, codec, predictor, recordings })
    }

    fn demo(args: &Args, session: &Session) -> anyhow::Result<Self> {
        let Demo { codec, corpus, clips, predictors, baselines } = demo::load(&session.device()?.device)?;
        let predictor = match &args.predictor {
            None => predictors.into_iter().next().map(|predictor| (predictor, baselines)),
            Some(path) => {
                let predictor = input::predictor(path, &corpus, session)?;
                let baselines = crate::open::baselines(&corpus, &predictor);
                Some((predictor, baselines))
            }
        };
        Ok(Self { corpus, codec, predictor, recordings: Recordings::Clips(clips) })
    }
}

pub(super) fn run(args: &Args, session: &Session) -> anyhow::Result<Report> {
    let config = BatteryConfig {
        n_items: args.items,
        max_duration_sec: args.max_seconds,
        splice_steps: args.splices.clone(),
        rollout: args.rollout.config()?,
        n_resamples: args.resamples,
    };
    let known: Vec<String> = conditions(&config).iter().map(|(_, rendition)| rendition.name()).collect();
    if let Some(name) = args.conditions.iter().find(|name| !known.iter().any(|k| k == name.trim())) {
        super::usage!("no condition is called {name}; there are {}", known.join(", "));
    }
    if args.items == 0 || args.splices.contains(&0) {
        super::usage!("--items and --splices need numbers of at least 1");
    }
    if let Some(folder) = &args.figures {
        args.force.check(&folder.join("battery.svg"))?;
        writable_folder(folder)?;
    }
    if let Some(folder) = &args.listen {
        args.force.check(&folder.join("plan.json"))?;
        writable_folder(folder)?;
    }
    if let Some(folder) = &args.wav {
        let first = std::fs::read_dir(folder).ok().and_then(|mut entries| entries.next());
        if first.is_some() && !args.force.force {
            bail!("{} is not empty; name another folder for --wav, or write into it with --force", folder.display());
        }
        writable_folder(folder)?;
    }
    let material = Material::open(args, session)?;
    if let Some((predictor, _)) = material.predictor.as_ref().filter(|(p, _)| p.info.horizon != 1) {
        bail!("a predictor of horizon {} does not roll out; name one of horizon 1", predictor.info.horizon);
    }
    let bench = Bench {
        corpus: &material.corpus,
        codec: &material.codec,
        predictor: material.predictor.as_ref().map(|(predictor, baselines)| (predictor, baselines)),
        recordings: &material.recordings,
    };
    let battery = battery(&session.job()?, bench, config)?;
    // Before the rest is written: a condition that is not there is said while nothing is.
    let asked = args.listen.as_ref().map(|_| test_draft(args, &battery)).transpose()?;
    for sentence in &battery.left_out {
        session.console.warning(&format!("left out: {sentence}"));
    }
    let mut text = text(&battery);
    if let Some(folder) = &args.figures {
        let spec = figure::battery("battery", &battery, provenance(&battery, &material, session));
        figure::write(&spec, folder)?;
        text.push_str(&format!("\n{}\n", folder.join("battery.pdf (.svg, .png, .csv)").display()));
    }
    if let Some(folder) = &args.wav {
        match write_sounds(&battery, bench, folder, session) {
            // What was measured is told all the same.
            Err(_) if session.cancel.check().is_err() => session.console.warning("stopped: not all sounds were written"),
            Err(error) => return Err(error),
            Ok(()) => text.push_str(&format!("{}\n", folder.display())),
        }
    }
    if let (Some(folder), Some(draft)) = (&args.listen, asked) {
        let made = listening::make(&session.job()?, bench, &draft, folder);
        if made.is_err() {
            // An empty folder that is left behind says nothing; one that holds something stays.
            let _ = std::fs::remove_dir(folder);
        }
        let (test, notes) = made?;
        notes.iter().for_each(|note| session.console.notice(note));
        text.push_str(&format!("{}\n", test.folder().display()));
    }
    let stoi = battery.conditions.iter().map(|c| (c.name.clone(), json!(c.measure(Measure::Stoi).and_then(|m| m.summary.mean))));
    let definitions: serde_json::Map<_, _> = Measure::ALL.iter().map(|m| (m.key().to_owned(), json!(m.definition()))).collect();
    let mut json = json!({
        "version": env!("CARGO_PKG_VERSION"), "seed": session.seed, "latents": material.corpus.source, "codec": material.codec.tag(),
        "definitions": definitions,
    });
    if let (Some(object), serde_json::Value::Object(of_battery)) = (json.as_object_mut(), json!(battery)) {
        object.extend(of_battery);
    }
    Ok(Report { text, key_metrics: serde_json::Value::Object(stoi.collect()), json })
}

fn axis(name: &str) -> Result<Axis, String> {
    let known = || Axis::ALL.map(Axis::key).join(", ");
    Axis::ALL.into_iter().find(|axis| axis.key() == name).ok_or_else(|| format!("no such axis; there are {}", known()))
}

/// The listening test that was asked for, of conditions that were measured.
fn test_draft(args: &Args, battery: &Battery) -> anyhow::Result<TestDraft> {
    let splices = || battery.conditions.iter().filter(|c| c.group == Group::Splices);
    let named = |name: &String| {
        let found = battery.conditions.iter().find(|c| c.name == name.trim()).map(|c| c.rendition);
        let known = || battery.conditions.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", ");
        found.ok_or_else(|| anyhow::anyhow!("no condition is called {name}; there are {}", known()))
    };
    let tested = if args.conditions.is_empty() {
        splices().map(|c| c.rendition).collect()
    } else {
        args.conditions.iter().map(named).collect::<anyhow::Result<Vec<_>>>()?
    };
    let (_, name, _) = args.design.row();
    let loudness = if args.unmatched { Loudness::Unmatched } else { Loudness::Matched };
    Ok(TestDraft {
        title: name.to_owned(),
        design: args.design.design(args.trials.unwrap_or(args.design.n_trials())),
        // What the codec does is heard against the recording.
        reference: if tested.contains(&Rendition::Truth) { Rendition::Recording } else { Rendition::Truth },
        tested,
        axis: args.design.is_adaptive().then_some(args.axis),
        anchors: args.design == Kind::Mushra,
        material: battery.config.clone(),
        settings: Settings { loudness, must_hear_sec: MUST_HEAR_SEC, ..Settings::default() },
    })
}

fn provenance(battery: &Battery, material: &Material, session: &Session) -> Provenance {
    let definitions = Measure::ALL.iter().map(|m| format!("{}: {}", m.title(), m.definition()));
    Provenance {
        store: material.corpus.source.clone(),
        checkpoint: battery.predictor.as_ref().map_or_else(String::new, |p| p.hash.clone()),
        codec: material.codec.tag().weights_hash,
        seed: session.seed,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        definitions: definitions.collect(),
    }
}

fn text(battery: &Battery) -> String {
    let speakers: std::collections::BTreeSet<&str> = battery.items.iter().map(|i| i.speaker.as_str()).collect();
    let n = battery.items.len();
    let mut text = format!("{n} utterances of {} speakers; means, and of STOI the 95 % band by speaker\n", speakers.len());
    if speakers.len() < FEW_SPEAKERS {
        text.push_str("so few speakers make bands that are too narrow; draw more utterances with --items\n");
    }
    for group in battery.conditions.chunk_by(|a, b| a.group == b.group) {
        let head = ["", "L2", "band of STOI"].map(str::to_owned);
        let rows = std::iter::once(head.into_iter().chain(Measure::ALL.map(Measure::title)).collect()).chain(group.iter().map(row));
        text.push_str(&format!("\n{}\n{}", group[0].group.title(), table(&rows.collect::<Vec<_>>())));
    }
    text.push_str(
        "\nPESQ aligns the sounds in time first, and has no number where the delay varies: read it beside STOI and the mel distance\n",
    );
    text
}

/// Fewer than these, and resampling speakers gives bands that hold too rarely.
const FEW_SPEAKERS: usize = 5;

fn row(condition: &ConditionReport) -> Vec<String> {
    let band = condition.measure(Measure::Stoi).and_then(|m| m.band);
    let cell = |measure: Measure| match condition.measure(measure) {
        Some(report) if report.n_without > 0 => format!("{} (n {})", number(report.summary.mean), report.summary.n),
        report => number(report.and_then(|m| m.summary.mean)),
    };
    let first = [
        condition.name.clone(),
        number(condition.l2_error.mean),
        band.map_or_else(|| number(None), |b| format!("{:.3}…{:.3}", b.low, b.high)),
    ];
    first.into_iter().chain(Measure::ALL.map(cell)).collect()
}

/// Every sound of every condition, under one name an utterance, with the sounds that they were compared with.
fn write_sounds(battery: &Battery, bench: Bench<'_>, folder: &Path, session: &Session) -> anyhow::Result<()> {
    let job = session.job()?;
    let groups = [vec![Group::Reconstruction, Group::Accumulated, Group::PerStep, Group::AtEqualError], vec![Group::Splices]];
    for item in 0..battery.items.len() {
        job.progress.report("sounds", item as u64, Some(battery.items.len() as u64), "");
        for group in &groups {
            let of_group = battery.conditions.iter().filter(|c| group.contains(&c.group)).map(|c| c.rendition);
            let spliced = group.contains(&Group::Splices);
            let references = [Rendition::Truth, Rendition::Recording];
            let renditions: Vec<Rendition> = references.into_iter().chain(of_group.filter(|r| !references.contains(r))).collect();
            if spliced && renditions.len() == references.len() {
                continue;
            }
            for (rendition, clip) in renditions.iter().zip(battery.sounds(&job, bench, item, &renditions)?) {
                let around = if spliced && references.contains(rendition) { ", around the splices" } else { "" };
                let place = folder.join(format!("{}{around}", rendition.name()));
                if let Some(clip) = clip {
                    std::fs::create_dir_all(&place)?;
                    write_wav(&place.join(format!("{}.wav", battery.items[item].utterance_id.replace(['/', '\\'], "_"))), &clip)?;
                }
            }
        }
    }
    job.progress.report("sounds", battery.items.len() as u64, Some(battery.items.len() as u64), "");
    Ok(())
}
