//! `decode`: an utterance of a store as sound.

use std::path::PathBuf;

use driftscope_core::audio::write_wav;
use driftscope_core::latents::Store;
use serde_json::json;

use super::input::{self, CodecArgs, StoreArg};
use super::output::{ForceArg, refuse_other_than_wav};
use super::session::Session;
use super::{JsonArg, Report};

/// Decode an utterance of a store to a WAV file
#[derive(Clone, Debug, serde::Serialize, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    store: StoreArg,
    /// Utterance id
    #[arg(long, value_name = "ID")]
    utterance: String,
    #[command(flatten)]
    codec: CodecArgs,
    /// File to write
    #[arg(long, value_name = "OUT.wav")]
    wav: PathBuf,
    #[command(flatten)]
    force: ForceArg,
    #[command(flatten)]
    pub(super) json: JsonArg,
}

pub(super) fn run(args: &Args, session: &Session) -> anyhow::Result<Report> {
    refuse_other_than_wav(&args.wav)?;
    args.force.check(&args.wav)?;
    let store = Store::open(&args.store.store)?;
    let latents = store.read(&args.utterance)?;
    let clip = input::codec_for(store.codec(), store.dim(), &args.codec, session)?.decode(&latents)?;
    write_wav(&args.wav, &clip)?;
    let text = format!("{}: {:.2} s at {} Hz\n", args.wav.display(), clip.duration_sec(), clip.sample_rate_hz);
    let json = json!({ "wav": args.wav, "duration_sec": clip.duration_sec(), "sample_rate_hz": clip.sample_rate_hz });
    Ok(Report { text, json, ..Report::default() })
}
