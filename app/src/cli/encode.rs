//! `encode`: folders of audio to a latents store.

use std::collections::BTreeSet;
use std::path::PathBuf;

use driftscope_core::latents::{Store, ZarrVersion};
use serde_json::json;

use super::input::CodecArgs;
use super::session::Session;
use super::{JsonArg, Report};
use crate::corpus::{self, Plan};

/// Encode folders of audio into a latents store with index and speaker split
#[derive(Clone, Debug, serde::Serialize, clap::Args)]
pub(super) struct Args {
    /// Folders of WAV, FLAC, MP3 or Ogg Vorbis files. Who speaks is told by the folder that a file's name begins
    /// with (LibriSpeech's, also where its chapters alone are given), else by the first folder below, else by the name up to its first
    /// hyphen or underscore
    #[arg(required = true, value_name = "AUDIO_DIR")]
    audio: Vec<PathBuf>,
    #[command(flatten)]
    codec: CodecArgs,
    /// Store to write; one that is there is continued
    #[arg(long, value_name = "S.zarr")]
    store: PathBuf,
    /// Zarr format [default: 3, or that of the store that is there]
    #[arg(long, value_name = "2|3", value_parser = clap::value_parser!(u8).range(2..=3))]
    zarr: Option<u8>,
    /// Share of the speakers kept for evaluation, between 0 and 1 [default: 0.22]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    eval_share: Option<f64>,
    /// These speakers for evaluation, instead of a seeded draw
    #[arg(long, value_name = "ID,…", value_delimiter = ',')]
    eval_speakers: Vec<String>,
    #[command(flatten)]
    pub(super) json: JsonArg,
}

pub(super) fn run(args: &Args, session: &Session) -> anyhow::Result<Report> {
    let plan = Plan {
        audio: args.audio.clone(),
        store: args.store.clone(),
        zarr: args.zarr.map(|version| if version == 2 { ZarrVersion::V2 } else { ZarrVersion::V3 }),
        eval_share: args.eval_share,
        eval_speakers: args.eval_speakers.clone(),
    };
    let files = plan.files()?;
    let speakers: BTreeSet<&String> = files.iter().map(|f| &f.speaker).collect();
    if let Some(unknown) = args.eval_speakers.iter().find(|s| !speakers.contains(s)) {
        super::usage!("--eval-speakers: there is no speaker {unknown} among the files");
    }
    if !args.eval_speakers.is_empty() && speakers.iter().all(|s| args.eval_speakers.contains(s)) {
        super::usage!("--eval-speakers names all {} speakers of the files; leave some to train on", speakers.len());
    }
    let there = args.store.is_dir().then(|| Store::open(&args.store)).and_then(Result::ok);
    let codec = args.codec.open(there.as_ref().and_then(Store::codec), session)?;
    let tally = corpus::encode(&plan, &files, &codec, &session.job()?, &|sentence| session.console.warning(sentence))?;
    let text = format!(
        "{}: {} utterances encoded ({:.1} min), {} already there, {} skipped; D {}, {} Hz\n{}",
        args.store.display(),
        tally.encoded,
        tally.seconds / 60.0,
        tally.kept,
        tally.problems.len(),
        codec.dim(),
        codec.frame_rate_hz(),
        tally.split
    );
    let json = json!({
        "store": args.store, "codec": codec.tag(), "encoded": tally.encoded, "already_there": tally.kept,
        "seconds": tally.seconds, "problems": tally.problems,
    });
    let key_metrics = json!({ "utterances": tally.encoded + tally.kept, "skipped": tally.problems.len() });
    Ok(Report { text, json, key_metrics })
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().unwrap_or(f64::NAN);
    if share > 0.0 && share < 1.0 { Ok(share) } else { Err("it must be a number between 0 and 1".to_owned()) }
}
