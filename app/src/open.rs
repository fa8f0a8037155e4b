//! What commands and window open alike: stores with their predictors, checkpoints, recordings.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use driftscope_core::audio::{self, AudioClip};
use driftscope_core::context::{Corpus, Pairs, Side, Slice, Source};
use driftscope_core::job::JobCtx;
use driftscope_core::latents::{CodecTag, Store};
use driftscope_core::predict::{Baselines, Predictor, PredictorConfig, PredictorKind, fit_predictor};

use crate::weights;
use crate::window::session::Material;

/// A store with the predictors named, or those found beside it; with none, a ridge is fitted on the spot.
pub(crate) fn material(store: &Store, checkpoints: &[PathBuf], job: &JobCtx) -> anyhow::Result<Material> {
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
    let baselines = baselines(&corpus, first);
    let codec = store.codec().and_then(weights::codec_of);
    let name = store.path().parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
    Ok(Material {
        name,
        clips: clips(store, &corpus),
        corpus,
        codec,
        path: Some(store.path().to_owned()),
        made_by: store.codec().map(|c| c.codec.clone()),
        predictors,
        baselines,
    })
}

/// The checkpoints that were asked for, which must fit; or those in `predictors/` beside the store that do.
fn predictors(store: &Store, asked: &[PathBuf], corpus: &Corpus, job: &JobCtx) -> anyhow::Result<Vec<Predictor>> {
    let beside = store.path().parent().unwrap_or(Path::new("")).join("predictors");
    let folders = if asked.is_empty() && beside.is_dir() { vec![beside] } else { asked.to_vec() };
    let mut found = Vec::new();
    for folder in folders {
        for path in checkpoints(&folder)? {
            let predictor = Predictor::load(&path, &job.device)?;
            match mismatch(&predictor, corpus.into()) {
                None => found.push(predictor),
                Some(why) if !asked.is_empty() => anyhow::bail!("{} {why}", path.display()),
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

/// A checkpoint, or those of a folder in name order.
pub(crate) fn checkpoints(path: &Path) -> anyhow::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries = std::fs::read_dir(path).with_context(|| format!("{}: cannot be read", path.display()))?;
    let files = entries.map(|entry| entry.map(|e| e.path())).collect::<Result<Vec<_>, _>>()?;
    let is_checkpoint = |file: &PathBuf| file.extension().is_some_and(|e| e == "safetensors" || e == "pt");
    let mut files: Vec<_> = files.into_iter().filter(is_checkpoint).collect();
    files.sort();
    if files.is_empty() {
        bail!("{}: holds no checkpoint (*.safetensors, *.pt)", path.display());
    }
    Ok(files)
}

/// The unconditional baselines over the training side's Δ at the predictor's window and horizon.
pub(crate) fn baselines(corpus: &Corpus, predictor: &Predictor) -> Baselines {
    let train: Vec<usize> = (0..corpus.utterances.len()).filter(|&i| corpus.utterances[i].side == Side::Train).collect();
    Baselines::fit(&Pairs::cut(corpus, &train, predictor.info.window, predictor.info.horizon, Slice::All))
}

/// Why a predictor says nothing about these latents: after its name, the rest of a sentence.
pub(crate) fn mismatch(predictor: &Predictor, latents: Source) -> Option<String> {
    let (wanted, dim) = (predictor.info.dim, latents.dim());
    if wanted != dim {
        return Some(format!(
            "predicts frames of {wanted} values, but the store's frames have {dim}; use a predictor fitted on such latents"
        ));
    }
    match (&predictor.info.provenance.codec, latents.codec()) {
        (Some(fitted), Some(stored)) if fitted != stored => Some(format!(
            "was fitted on latents of codec {}, but the store holds those of codec {}; fit one on this store",
            named(fitted),
            named(stored)
        )),
        _ => None,
    }
}

/// A codec by name, tap and the beginning of its weights' hash.
pub(crate) fn named(tag: &CodecTag) -> String {
    let tap = if tag.tap.is_empty() { String::new() } else { format!(", {}", tag.tap) };
    if tag.weights_hash.is_empty() {
        format!("{}{tap}", tag.codec)
    } else {
        format!("{} (weights {}{tap})", tag.codec, short(&tag.weights_hash))
    }
}

/// The first characters of a hash, enough to tell two apart.
pub(crate) fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

/// `$DRIFTSCOPE_DATA`, else the user's data folder, or the working folder where there is none: sessions, predictors and runs lie there.
pub(crate) fn data_folder() -> PathBuf {
    if let Some(folder) = std::env::var_os("DRIFTSCOPE_DATA").filter(|f| !f.is_empty()) {
        return PathBuf::from(folder);
    }
    directories::ProjectDirs::from("", "", "driftscope").map_or_else(PathBuf::new, |dirs| dirs.data_dir().to_owned())
}

/// What was measured on this machine's devices.
pub(crate) fn measurements() -> PathBuf {
    data_folder().join("measured")
}
