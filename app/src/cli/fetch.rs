//! `fetch`: the published weights of a codec into the Hugging Face cache, which other programs share.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use driftscope_core::codec::CodecKind;
use driftscope_core::job::Progress;
use hf_hub::Cache;
use hf_hub::api::sync::{Api, ApiBuilder, ApiError};
use serde_json::json;

use super::session::Session;
use super::{JsonArg, Report};
use crate::weights::{DEFAULT_LANGUAGE, Published, hub, named, published};

/// Download a codec's published weights from huggingface.co into its cache
#[derive(Clone, Debug, serde::Serialize, clap::Args)]
pub(super) struct Args {
    /// Whose
    #[arg(value_name = "mimi|encodec|calm", value_parser = named::<CodecKind>)]
    codec: CodecKind,
    /// CALM's codec of this language
    #[arg(long, value_name = "NAME", default_value = DEFAULT_LANGUAGE)]
    language: String,
    /// CALM's weights that only decode, whose terms need not be accepted first
    #[arg(long)]
    decoder_only: bool,
    #[command(flatten)]
    pub(super) json: JsonArg,
}

/// How often a download looks whether it should stop.
const LOOK: Duration = Duration::from_millis(100);

pub(super) fn run(args: &Args, session: &Session) -> anyhow::Result<Report> {
    if args.codec != CodecKind::Calm && (args.decoder_only || args.language != DEFAULT_LANGUAGE) {
        super::usage!("--decoder-only and --language choose among the weights of calm, not of {}", args.codec);
    }
    let mut all = published(args.codec, &args.language);
    let Some(published) = (if args.decoder_only { all.pop() } else { all.into_iter().next() }) else {
        super::usage!("the {} codec is compiled in; mimi, encodec and calm can be fetched", args.codec);
    };
    let hub = hub().context("there is no home folder; name a folder for the weights with HF_HOME")?;
    let hub = std::path::absolute(&hub).unwrap_or(hub);
    let (path, was_there) = match published.in_cache(&hub) {
        Some(path) => (path, true),
        None => (download(&published, &hub, session)?, false),
    };
    let how = if was_there { "is there already" } else { "fetched" };
    let text = format!("{}: {how}; `--codec {}` finds it\n", path.display(), args.codec);
    let json = json!({
        "codec": args.codec, "repository": published.repository, "file": published.file, "license": published.license,
        "path": path, "was_there": was_there,
    });
    Ok(Report { text, json, ..Report::default() })
}

/// Says what is about to be downloaded, and downloads it.
fn download(published: &Published, hub: &Path, session: &Session) -> anyhow::Result<PathBuf> {
    let Published { repository, file, license, note, about_mb, .. } = published;
    let size = about_mb.map_or("a size that the network tells".to_owned(), |mb| format!("about {mb} MB"));
    let note = if note.is_empty() { String::new() } else { format!("; {note}") };
    // Said before the network is asked: whoever has none learns what to look for elsewhere.
    session.console.notice(&format!(
        "{repository}: {file}, {size}, license {license} (https://huggingface.co/{repository}){note}; into {}",
        hub.display()
    ));
    let failed = |error: ApiError| anyhow::anyhow!(sentence(published, &error));
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let cache = Cache::new(hub.to_owned());
    let token = set("HF_TOKEN").or_else(|| cache.token());
    let endpoint = set("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
    let api = ApiBuilder::from_cache(cache).with_endpoint(endpoint).with_token(token).with_progress(false).build().map_err(failed)?;
    let n_bytes = api.metadata(&api.model((*repository).to_owned()).url(file)).map_err(failed)?.size();
    session.console.notice(&format!("{file}: {:.1} MB", n_bytes as f64 / 1e6));
    let path = get(&api, repository, file, session)?.map_err(failed)?;
    let n_there = path.metadata().with_context(|| path.display().to_string())?.len();
    if n_there != n_bytes as u64 {
        let _ = std::fs::remove_file(path.canonicalize().unwrap_or_else(|_| path.clone()));
        bail!("{repository}: {file} ended after {n_there} of {n_bytes} bytes; the same command tries again");
    }
    // Where it is published, the configuration lies beside the weights; without it the published one is assumed.
    let config = Path::new(file).with_file_name("config.json");
    let _ = get(&api, repository, &config.to_string_lossy(), session)?;
    Ok(path)
}

/// Downloads on a thread of its own, so that it can be stopped; what came so far is gone on with next time.
fn get(api: &Api, repository: &str, file: &str, session: &Session) -> anyhow::Result<Result<PathBuf, ApiError>> {
    let (sender, receiver) = mpsc::channel();
    let (files, name) = (api.model(repository.to_owned()), file.to_owned());
    let told = Told { progress: session.console.progress(), file: name.clone(), n_done: 0, n_bytes: 0 };
    thread::Builder::new().name("fetch".to_owned()).spawn(move || sender.send(files.download_with_progress(&name, told)))?;
    loop {
        match receiver.recv_timeout(LOOK) {
            Ok(outcome) => return Ok(outcome),
            Err(RecvTimeoutError::Timeout) => {
                session.cancel.check().context("what came so far is kept; the same command goes on from there")?;
            }
            Err(RecvTimeoutError::Disconnected) => bail!("{file}: the download broke off; the same command tries again"),
        }
    }
}

/// Our progress as the library tells it.
struct Told {
    progress: Progress,
    file: String,
    n_done: usize,
    n_bytes: usize,
}

impl hf_hub::api::Progress for Told {
    fn init(&mut self, size: usize, _filename: &str) {
        (self.n_done, self.n_bytes) = (0, size);
    }

    fn update(&mut self, size: usize) {
        self.n_done += size;
        let percent = 100 * self.n_done as u64 / self.n_bytes.max(1) as u64;
        self.progress.report("fetch %", percent, Some(100), self.file.clone());
    }

    fn finish(&mut self) {}
}

/// The library's error as one sentence that says what to do.
fn sentence(published: &Published, error: &ApiError) -> String {
    let Published { repository, file, is_gated, .. } = published;
    let error = error.to_string();
    let is = |status: &str| error.contains(&format!("status: {status}"));
    if is("401") || is("403") {
        let gate = if *is_gated { "its terms must be accepted" } else { "it asks who you are" };
        let instead = if *is_gated { "; or fetch the decoder alone with --decoder-only" } else { "" };
        return format!(
            "{repository} is not given to everybody: {gate} on https://huggingface.co/{repository}, and a token is needed in HF_TOKEN or \
             from `hf auth login`{instead}"
        );
    }
    if is("404") {
        return format!("{repository} holds no {file}; look on https://huggingface.co/{repository} for what there is");
    }
    format!("{file} of {repository} could not be fetched ({error}); try again with a network, or name a copy of it with --weights")
}
