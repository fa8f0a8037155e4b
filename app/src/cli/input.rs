//! What commands read: stores, predictors, codecs. Everything that does not fit together is said here, before any work.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use driftscope_core::codec::{Codec, CodecKind, CodecOptions, EncodecFrames, EndPadding, Gelu, Tap};
use driftscope_core::context::{Corpus, Side, Source, StoredCorpus};
use driftscope_core::engine::DeviceChoice;
use driftscope_core::latents::{CodecTag, Store, StoreError};
use driftscope_core::predict::Predictor;

use super::session::Session;
use crate::weights::{self, named};

/// `--store`.
#[derive(Clone, Debug, serde::Serialize, clap::Args)]
pub(super) struct StoreArg {
    /// Latents store: a .zarr folder, or a folder that holds latents.zarr
    #[arg(long, value_name = "DIR")]
    pub(super) store: PathBuf,
}

/// `--codec`, where its weights are, and what of it is chosen.
#[derive(Clone, Debug, Default, serde::Serialize, clap::Args)]
pub(super) struct CodecArgs {
    /// Codec [default: demo, or the store's]; for decoding, naming it decodes even what another codec made
    #[arg(long, value_name = "demo|mimi|encodec|calm", value_parser = named::<CodecKind>)]
    codec: Option<CodecKind>,
    /// Its weights [default: the embedded ones, or those in the Hugging Face cache]
    #[arg(long, value_name = "FILE.safetensors")]
    weights: Option<PathBuf>,
    /// Its configuration [default: the one beside the weights, or the published one]
    #[arg(long, value_name = "FILE")]
    codec_config: Option<PathBuf>,
    /// Where in the codec latents are taken and put back [default: continuous]
    #[arg(long, value_name = "continuous|dequantized|projected|normalized", value_parser = named::<Tap>)]
    tap: Option<Tap>,
    /// Frames of EnCodec: 75 Hz, or 12.5 Hz as the mean of six or as six in a row [default: native]
    #[arg(long, value_name = "native|mean-repeated|mean-interpolated|stacked", value_parser = named::<EncodecFrames>)]
    frames: Option<EncodecFrames>,
    /// What fills up sound that ends within a frame [default: waveform]
    #[arg(long, value_name = "waveform|layers", value_parser = named::<EndPadding>)]
    end_padding: Option<EndPadding>,
    /// GELU of the transformers [default: as the codec's authors]
    #[arg(long, value_name = "exact|tanh", value_parser = named::<Gelu>)]
    gelu: Option<Gelu>,
}

impl CodecArgs {
    /// What was asked for, else what made the store, else the demo codec; on the GPU where that was asked for.
    pub(super) fn open(&self, stored: Option<&CodecTag>, session: &Session) -> anyhow::Result<Codec> {
        let stored_kind = stored.and_then(|tag| tag.codec.parse::<CodecKind>().ok());
        let kind = self.codec.or(stored_kind).unwrap_or(CodecKind::Demo);
        let stored = stored.filter(|_| Some(kind) == stored_kind);
        let options = self.options(stored.map(weights::chosen).unwrap_or_default());
        let codec = self.open_as(kind, &options, stored)?;
        // Only then: a GPU's kernels are compiled anew in every run, which takes longer than the CPU takes for most folders.
        let asked = matches!(session.choice, DeviceChoice::Gpu | DeviceChoice::Cuda);
        if kind == CodecKind::Demo || !asked { Ok(codec) } else { Ok(codec.on(&session.job()?)) }
    }

    /// What was chosen, else what `otherwise` says.
    fn options(&self, otherwise: CodecOptions) -> CodecOptions {
        CodecOptions {
            config: self.codec_config.clone().or(otherwise.config),
            tap: self.tap.unwrap_or(otherwise.tap),
            frames: self.frames.unwrap_or(otherwise.frames),
            end: self.end_padding.unwrap_or(otherwise.end),
            gelu: self.gelu.or(otherwise.gelu),
        }
    }

    fn open_as(&self, kind: CodecKind, options: &CodecOptions, stored: Option<&CodecTag>) -> anyhow::Result<Codec> {
        if kind == CodecKind::Demo {
            if *options != CodecOptions::default() {
                super::usage!("the demo codec has one form; --codec-config, --tap, --frames, --end-padding and --gelu are for others");
            }
            if self.weights.is_none() {
                return Ok(Codec::embedded()?);
            }
        }
        let named_before = stored.and_then(weights::named_before);
        let weights = self.weights.clone().or(named_before).or_else(|| weights::found(kind));
        match weights {
            Some(path) if self.codec.is_none() && stored.is_none() => {
                weights::open(kind, &path, options).context("no --codec was named, so these were taken for the demo codec's")
            }
            Some(path) => Ok(weights::open(kind, &path, options)?),
            None if let Some(tag) = stored => bail!(
                "the weights of {kind} that made this store are not where they were, or not known here; name the file with --weights (its \
                 blake3 hash begins {})",
                tag.weights_hash.get(..12).unwrap_or(&tag.weights_hash)
            ),
            None => bail!(
                "the weights of {kind} are not on this machine: `driftscope fetch {kind}` downloads them, --weights FILE names a copy"
            ),
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
    let store = open(store, session)?;
    let (corpus, left_out) = Corpus::read(&store)?;
    say_left_out(&store, corpus.utterances.len(), &left_out, session);
    Ok((store, corpus))
}

/// Opens a store to be read in passes, with `memory_mb` of it in memory.
pub(super) fn stored_corpus(store: &StoreArg, memory_mb: usize, session: &Session) -> anyhow::Result<StoredCorpus> {
    let store = open(store, session)?;
    let (corpus, left_out) = StoredCorpus::open(store, memory_mb.saturating_mul(1 << 20), &session.cancel, &session.console.progress())?;
    say_left_out(corpus.store(), Source::from(&corpus).n_utterances(), &left_out, session);
    Ok(corpus)
}

fn open(store: &StoreArg, session: &Session) -> anyhow::Result<Store> {
    let store = Store::open(&store.store)?;
    if store.split().is_none() {
        let path = store.path().display();
        session.console.notice(&format!("{path} has no splits/ beside it; every fourth speaker is taken for evaluation"));
    }
    Ok(store)
}

fn say_left_out(store: &Store, n_kept: usize, left_out: &[StoreError], session: &Session) {
    let n_sideless = store.utterances().len() - n_kept - left_out.len();
    if n_sideless > 0 {
        session.console.warning(&format!("left out: {n_sideless} utterances of speakers on neither side of the split"));
    }
    for problem in left_out {
        session.console.warning(&format!("left out: {problem}"));
    }
}

/// Loads a predictor and checks that it fits the latents; says so where it was fitted on speakers that it is measured on here.
pub(super) fn predictor<'a>(path: &Path, latents: impl Into<Source<'a>>, session: &Session) -> anyhow::Result<Predictor> {
    let latents = latents.into();
    let predictor = Predictor::load(path, &session.device()?.device)?;
    let (name, made) = (path.display(), &predictor.info.provenance);
    if let Some(why) = crate::open::mismatch(&predictor, latents) {
        bail!("{name} {why}");
    }
    let eval: BTreeSet<&str> = latents.outlines().filter(|u| u.side == Side::Eval).map(|u| u.speaker).collect();
    let seen: Vec<&&str> = eval.iter().filter(|s| made.train_speakers.contains(**s)).collect();
    if let Some(first) = seen.first() {
        session.console.warning(&format!(
            "{name} was trained on {} of the {} evaluation speakers ({first}, for one); numbers here are not of unseen speakers",
            seen.len(),
            eval.len()
        ));
    }
    Ok(predictor)
}

/// The codec that decodes latents made by `made_by`: that one, found by its name, or the one asked for. A codec other than the store's is
/// used only when asked for by name.
pub(super) fn codec_for(made_by: Option<&CodecTag>, dim: usize, asked: &CodecArgs, session: &Session) -> anyhow::Result<Codec> {
    let codec = asked.open(made_by, session)?;
    let ours = codec.tag();
    if codec.dim() != dim {
        let made = made_by.map_or_else(|| "another codec".to_owned(), crate::open::named);
        bail!("the latents have {dim} values a frame, but {} decodes {}; they were made by {made}", crate::open::named(&ours), codec.dim());
    }
    if made_by == Some(&ours) {
        return Ok(codec);
    }
    let mismatch = match made_by {
        None => "the store does not say which codec made it".to_owned(),
        Some(tag) if (&tag.codec, &tag.weights_hash) == (&ours.codec, &ours.weights_hash) => {
            format!("the store's latents were taken at \"{}\" of {}, and would be put back at \"{}\"", tag.tap, tag.codec, ours.tap)
        }
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
