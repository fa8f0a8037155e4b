//! `info`: what a store holds, and what made it.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use driftscope_core::latents::Store;
use serde_json::json;

use super::input::StoreArg;
use super::session::Session;
use super::{JsonArg, Report};

/// Utterances that are listed for people.
const LISTED: usize = 40;

/// Say what a store holds, and which codec made it
#[derive(Clone, Debug, serde::Serialize, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    store: StoreArg,
    #[command(flatten)]
    pub(super) json: JsonArg,
}

pub(super) fn run(args: &Args, _session: &Session) -> anyhow::Result<Report> {
    let store = Store::open(&args.store.store)?;
    let utterances = store.utterances();
    let speakers: BTreeSet<&String> = utterances.iter().map(|u| &u.speaker).collect();
    let minutes = utterances.iter().map(|u| u.duration_sec).sum::<f64>() / 60.0;
    let side = |speaker: &String| {
        let split = store.split()?;
        let of = |side: &BTreeSet<String>, name| side.contains(speaker).then_some(name);
        of(&split.train_speakers, "train").or_else(|| of(&split.eval_speakers, "eval"))
    };

    let mut text = format!(
        "{}: {} utterances of {} speakers, {minutes:.1} min; D {} at {} Hz\n",
        store.path().display(),
        utterances.len(),
        speakers.len(),
        store.dim(),
        store.frame_rate_hz()
    );
    match store.codec() {
        Some(tag) => {
            let hash = tag.weights_hash.get(..12).unwrap_or(&tag.weights_hash);
            let _ = writeln!(text, "codec {}, latents taken at {:?}, blake3 of its weights {hash}…", tag.codec, tag.tap);
        }
        None => text.push_str("it does not say which codec made it\n"),
    }
    match store.split() {
        Some(split) => {
            let (n_train, n_eval) = (split.train_speakers.len(), split.eval_speakers.len());
            let _ = writeln!(text, "split by speaker: {n_train} to train on, {n_eval} to evaluate on");
        }
        None => text.push_str("no split by speaker beside it\n"),
    }
    let width = |of: &dyn Fn(usize) -> usize| (0..utterances.len().min(LISTED)).map(of).max().unwrap_or(0);
    let (id, speaker) = (width(&|i| utterances[i].id.chars().count()), width(&|i| utterances[i].speaker.chars().count()));
    for u in utterances.iter().take(LISTED) {
        let side = side(&u.speaker).unwrap_or("–");
        let _ = writeln!(text, "{:id$}  {:speaker$}  {side:5}  {:6} frames  {:7.2} s", u.id, u.speaker, u.n_frames, u.duration_sec);
    }
    if utterances.len() > LISTED {
        let _ = writeln!(text, "… and {} more; --json - lists them all", utterances.len() - LISTED);
    }

    let listed: Vec<_> = utterances
        .iter()
        .map(|u| {
            json!({
                "id": u.id, "speaker": u.speaker, "side": side(&u.speaker), "frames": u.n_frames, "duration_sec": u.duration_sec,
                "audio": u.audio_path,
            })
        })
        .collect();
    let json = json!({
        "store": store.path(), "codec": store.codec(), "dim": store.dim(), "frame_rate_hz": store.frame_rate_hz(),
        "index_hash": store.index_hash(), "speakers": speakers.len(), "utterances": listed,
    });
    Ok(Report { text, json, ..Report::default() })
}
