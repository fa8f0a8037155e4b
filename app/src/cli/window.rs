//! No command: the window, or, where there is no display, the demo without one.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use driftscope_core::audio::{self, AudioClip};
use driftscope_core::codec::Codec;
use driftscope_core::context::Corpus;
use driftscope_core::job::JobCtx;
use driftscope_core::latents::Store;
use driftscope_core::predict::{Predictor, PredictorConfig, PredictorKind, fit_predictor};

use super::output::ForceArg;
use super::session::Session;
use super::{JsonArg, Report, demo, evaluate, inject, input};
use crate::window::WindowOptions;
use crate::window::session::Material;

/// Opens the window on a store, or on the demo. Without a display the demo runs headless, and the text says where its report is.
pub(super) fn run(project: Option<PathBuf>, checkpoints: Vec<PathBuf>, session: &Session) -> anyhow::Result<Report> {
    if super::doctor::display().is_none() {
        return match project {
            None => headless(session),
            Some(store) => anyhow::bail!(
                "there is no display to show {} on (neither WAYLAND_DISPLAY nor DISPLAY is set); `driftscope inject --store {}` runs without one",
                store.display(),
                store.display()
            ),
        };
    }
    // A store that cannot be opened is said here rather than in a window that comes up empty.
    let store = project.map(|path| Store::open(&path)).transpose()?;
    anyhow::ensure!(
        store.is_some() || checkpoints.is_empty(),
        "--predictor needs the store that it predicts: driftscope STORE --predictor CKPT"
    );
    let loader: crate::window::worker::Loader = match store {
        None => Box::new(|job| Ok(embedded(crate::demo::load(&job.device)?))),
        Some(store) => Box::new(move |job| material(&store, &checkpoints, job)),
    };
    crate::window::open(WindowOptions { device: session.choice, seed: session.seed, loader })?;
    Ok(Report::default())
}

/// The demo's report goes to the user's data folder, where it may replace that of an earlier start.
fn headless(session: &Session) -> anyhow::Result<Report> {
    session.console.notice("no display: running the demo without a window (`driftscope demo --out DIR` does so anywhere)");
    let out = session.registry.folder().with_file_name("demo");
    let args = demo::Args { out, force: ForceArg { force: true }, json: JsonArg::default() };
    demo::run(&args, session)
}

fn embedded(demo: crate::demo::Demo) -> Material {
    Material {
        name: "demo".to_owned(),
        corpus: demo.corpus,
        clips: demo.clips,
        codec: Some(demo.codec),
        made_by: None,
        predictors: demo.predictors,
        baselines: demo.baselines,
    }
}

/// A store with the predictors named, or those found beside it; with none, a ridge is fitted on the spot.
fn material(store: &Store, checkpoints: &[PathBuf], job: &JobCtx) -> anyhow::Result<Material> {
    job.progress.report("Latents", 0, None, "");
    let (corpus, _) = Corpus::read(store)?;
    let mut predictors = predictors(store, checkpoints, &corpus, job)?;
    if !predictors.iter().any(|p| p.info.horizon == 1) {
        job.progress.report("Ridge predictor", 0, None, "");
        let config = PredictorConfig { kind: PredictorKind::Linear, ..PredictorConfig::default() };
        let mut ridge = fit_predictor(job, &corpus, &config, None)?;
        // It lies in no file, so it has no file's hash.
        ridge.info.hash.clear();
        predictors.insert(0, ridge);
    }
    let first = predictors.iter().find(|p| p.info.horizon == 1).context("no predictor with horizon 1")?;
    let baselines = inject::baselines(&corpus, first);
    let codec = Codec::embedded().ok().filter(|codec| store.codec() == Some(&codec.tag()));
    let name = store.path().parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
    Ok(Material {
        name,
        clips: clips(store, &corpus),
        corpus,
        codec,
        made_by: store.codec().map(|c| c.codec.clone()),
        predictors,
        baselines,
    })
}

/// The checkpoints that were asked for, which must fit; or those in `predictors/` beside the store that do.
fn predictors(store: &Store, checkpoints: &[PathBuf], corpus: &Corpus, job: &JobCtx) -> anyhow::Result<Vec<Predictor>> {
    let beside = store.path().parent().unwrap_or(Path::new("")).join("predictors");
    let folders = if checkpoints.is_empty() && beside.is_dir() { vec![beside] } else { checkpoints.to_vec() };
    let mut found = Vec::new();
    for folder in folders {
        for path in evaluate::checkpoints(&folder)? {
            let predictor = Predictor::load(&path, &job.device)?;
            match input::mismatch(&predictor, corpus) {
                None => found.push(predictor),
                Some(why) if !checkpoints.is_empty() => anyhow::bail!("{} {why}", path.display()),
                Some(_) => {}
            }
        }
    }
    found.sort_by(|a, b| (a.info.horizon, &a.info.kind).cmp(&(b.info.horizon, &b.info.kind)));
    Ok(found)
}

/// The recordings, if the index knows all of them and they are still there; the window wants all or none.
fn clips(store: &Store, corpus: &Corpus) -> Vec<AudioClip> {
    let clip = |id: &str| {
        let path = store.utterances().iter().find(|u| u.id == id)?.audio_path.as_ref()?;
        audio::read(path).ok()
    };
    corpus.utterances.iter().map(|u| clip(&u.id)).collect::<Option<Vec<_>>>().unwrap_or_default()
}
