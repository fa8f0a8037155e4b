//! What commands read: stores, predictors, codecs. Everything that does not fit together is said here, before any work.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use driftscope_core::codec::{Codec, DemoCodec};
use driftscope_core::context::{Corpus, Side};
use driftscope_core::latents::{CodecTag, Store};
use driftscope_core::predict::Predictor;

use super::session::Session;

/// `--store`.
#[derive(Clone, Debug, serde::Serialize, clap::Args)]
pub(super) struct StoreArg {
    /// Latents store: a .zarr folder, or a folder that holds latents.zarr
    #[arg(long, value_name = "DIR")]
    pub(super) store: PathBuf,
}

/// Codecs by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(super) enum CodecName {
    /// The embedded 12.5 Hz × 64 codec
    Demo,
}

/// `--codec` and `--weights`.
#[derive(Clone, Debug, serde::Serialize, clap::Args)]
pub(super) struct CodecArgs {
    /// Codec [default: demo]; for decoding, naming it decodes even what another codec made
    #[arg(long, value_enum)]
    codec: Option<CodecName>,
    /// Its weights, instead of the embedded ones
    #[arg(long, value_name = "FILE")]
    weights: Option<PathBuf>,
}

impl CodecArgs {
    pub(super) fn open(&self) -> anyhow::Result<Codec> {
        match (self.codec.unwrap_or(CodecName::Demo), &self.weights) {
            (CodecName::Demo, None) => Ok(Codec::embedded()?),
            (CodecName::Demo, Some(path)) => {
                let bytes = std::fs::read(path).with_context(|| format!("{}: cannot be read", path.display()))?;
                Ok(Codec::Demo(Arc::new(DemoCodec::from_bytes(&bytes, &path.display().to_string())?)))
            }
        }
    }
}

/// Speakers named in a text file, one a line.
pub(super) fn speakers(file: &Path) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("{}: cannot be read", file.display()))?;
    let speakers: Vec<String> = text.lines().map(str::trim).filter(|l| !l.is_empty()).map(str::to_owned).collect();
    if speakers.is_empty() {
        bail!("{}: names no speaker; write one a line", file.display());
    }
    Ok(speakers)
}

/// Opens a store and reads it into memory with its split.
pub(super) fn corpus(store: &StoreArg, session: &Session) -> anyhow::Result<(Store, Corpus)> {
    let store = Store::open(&store.store)?;
    if store.split().is_none() {
        let path = store.path().display();
        session.console.notice(&format!("{path} has no splits/ beside it; every fourth speaker is taken for evaluation"));
    }
    let (corpus, left_out) = Corpus::read(&store)?;
    let n_sideless = store.utterances().len() - corpus.utterances.len() - left_out.len();
    if n_sideless > 0 {
        session.console.warning(&format!("left out: {n_sideless} utterances of speakers on neither side of the split"));
    }
    for problem in &left_out {
        session.console.warning(&format!("left out: {problem}"));
    }
    Ok((store, corpus))
}

/// Loads a predictor and checks that it fits the latents; says so where it was fitted on speakers that it is measured on here.
pub(super) fn predictor(path: &Path, corpus: &Corpus, session: &Session) -> anyhow::Result<Predictor> {
    let predictor = Predictor::load(path, &session.device()?.device)?;
    let (name, made) = (path.display(), &predictor.info.provenance);
    if let Some(why) = crate::open::mismatch(&predictor, corpus) {
        bail!("{name} {why}");
    }
    let eval: BTreeSet<&String> = corpus.side(Side::Eval).map(|u| &u.speaker).collect();
    let seen: Vec<&&String> = eval.iter().filter(|s| made.train_speakers.contains(**s)).collect();
    if let Some(first) = seen.first() {
        session.console.warning(&format!(
            "{name} was trained on {} of the {} evaluation speakers ({first}, for one); numbers here are not of unseen speakers",
            seen.len(),
            eval.len()
        ));
    }
    Ok(predictor)
}

/// The codec that decodes latents made by `made_by`. A codec other than that one is used only when asked for by name.
pub(super) fn codec_for(made_by: Option<&CodecTag>, dim: usize, asked: &CodecArgs, session: &Session) -> anyhow::Result<Codec> {
    let codec = asked.open()?;
    let ours = codec.tag();
    if codec.dim() != dim {
        bail!(
            "the latents have {dim} values a frame, but the {} codec decodes {}; they were made by another codec",
            ours.codec,
            codec.dim()
        );
    }
    if made_by == Some(&ours) {
        return Ok(codec);
    }
    let mismatch = match made_by {
        None => "the store does not say which codec made it".to_owned(),
        Some(tag) => {
            format!("the store was made by codec {}, and the one at hand is {}", crate::open::named(tag), crate::open::named(&ours))
        }
    };
    if asked.codec.is_none() {
        bail!("{mismatch}; encode the audio again, or decode anyway by naming it with --codec {}", ours.codec);
    }
    session.console.notice(&format!("{mismatch}; decoded as asked, the sound may be wrong"));
    Ok(codec)
}

/// Index of an utterance in the corpus.
pub(super) fn utterance(corpus: &Corpus, id: &str) -> anyhow::Result<usize> {
    let found = corpus.utterances.iter().position(|u| u.id == id);
    let example = corpus.utterances.first().map_or_else(String::new, |u| format!(" (there is {}, for one)", u.id));
    found.with_context(|| format!("the store has no utterance {id} on either side of its split{example}"))
}
