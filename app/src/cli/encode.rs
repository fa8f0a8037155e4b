//! `encode`: audio to a latents store, file by file, so that it can be stopped and resumed and one bad file costs only itself.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use driftscope_core::audio::{self, AudioClip};
use driftscope_core::codec::Codec;
use driftscope_core::latents::{AudioFile, Latents, Split, Store, StoreError, StoreWriter, Utterance, ZarrVersion, scan_audio};
use rayon::prelude::*;
use serde_json::json;

use super::input::CodecArgs;
use super::session::Session;
use super::{JsonArg, Report};

/// Encode folders of audio into a latents store with index and speaker split
#[derive(Clone, Debug, serde::Serialize, clap::Args)]
pub(super) struct Args {
    /// Folders of WAV, FLAC, MP3 or Ogg Vorbis files
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

/// As the peer's.
const DEFAULT_EVAL_SHARE: f64 = 0.22;

/// Files encoded at once: enough for every thread, few enough that stopping is prompt.
const BATCH: usize = 16;

/// What became of the files.
#[derive(Default)]
struct Tally {
    encoded: usize,
    kept: usize,
    seconds: f64,
    problems: Vec<String>,
}

pub(super) fn run(args: &Args, session: &Session) -> anyhow::Result<Report> {
    let mut files = Vec::new();
    for folder in &args.audio {
        files.extend(scan_audio(folder)?);
    }
    unique(&files)?;
    let before = split_before(args, &files)?;
    let codec = args.codec.open()?;
    let version = match args.zarr {
        Some(2) => ZarrVersion::V2,
        None if args.store.join(".zgroup").exists() => ZarrVersion::V2,
        _ => ZarrVersion::V3,
    };
    let mut writer = StoreWriter::create(&args.store, version, codec.dim(), codec.frame_rate_hz(), Some(codec.tag()))?;
    let mut tally = Tally::default();
    let stopped = encode_all(&files, &codec, &mut writer, &mut tally, session);
    // Whatever ended the encoding, what is written gets its index, so that the store opens and can be continued.
    writer.finish()?;
    stopped?;
    if tally.encoded + tally.kept == 0 {
        bail!("none of {} files could be encoded; the first: {}", files.len(), tally.problems.first().map_or("", String::as_str));
    }
    let split = split(args, before, session)?;
    let mut text = format!(
        "{}: {} utterances encoded ({:.1} min), {} already there, {} skipped; D {}, {} Hz\n",
        args.store.display(),
        tally.encoded,
        tally.seconds / 60.0,
        tally.kept,
        tally.problems.len(),
        codec.dim(),
        codec.frame_rate_hz()
    );
    text.push_str(&split);
    let json = json!({
        "store": args.store, "codec": codec.tag(), "encoded": tally.encoded, "already_there": tally.kept,
        "seconds": tally.seconds, "problems": tally.problems,
    });
    let key_metrics = json!({ "utterances": tally.encoded + tally.kept, "skipped": tally.problems.len() });
    Ok(Report { text, json, key_metrics })
}

fn unique(files: &[AudioFile]) -> anyhow::Result<()> {
    let mut seen = BTreeSet::new();
    match files.iter().find(|f| !seen.insert(&f.utterance_id)) {
        None => Ok(()),
        Some(twice) => bail!("two files give the utterance id {} ({} is one); rename one", twice.utterance_id, twice.path.display()),
    }
}

fn encode_all(files: &[AudioFile], codec: &Codec, writer: &mut StoreWriter, tally: &mut Tally, session: &Session) -> anyhow::Result<()> {
    let progress = session.console.progress();
    let todo: Vec<&AudioFile> = files.iter().filter(|f| writer.existing(&f.utterance_id).is_none()).collect();
    tally.kept = files.len() - todo.len();
    let mut done = tally.kept as u64;
    for batch in todo.chunks(BATCH) {
        session
            .cancel
            .check()
            .with_context(|| format!("{done} of {} files are in the store; the same command goes on from there", files.len()))?;
        let encoded: Vec<_> = batch.par_iter().map(|file| encode_one(file, codec)).collect();
        for (file, outcome) in batch.iter().zip(encoded) {
            done += 1;
            let written = match outcome {
                Ok((utterance, latents, energy)) => match writer.write(&utterance, &latents, &energy) {
                    Ok(()) => Ok(utterance.duration_sec),
                    // The next file would meet the same disk.
                    Err(error @ StoreError::Io { .. }) => return Err(error.into()),
                    Err(error) => Err(error.into()),
                },
                Err(error) => Err(error),
            };
            match written {
                Ok(seconds) => {
                    tally.encoded += 1;
                    tally.seconds += seconds;
                }
                Err(error) => {
                    let problem = super::sentence(&error);
                    session.console.warning(&format!("skipped {}: {problem}", file.utterance_id));
                    tally.problems.push(problem);
                }
            }
        }
        progress.report("encode", done, Some(files.len() as u64), "");
    }
    Ok(())
}

fn encode_one(file: &AudioFile, codec: &Codec) -> anyhow::Result<(Utterance, Latents, Vec<f32>)> {
    let clip = audio::resample(&audio::read(&file.path)?, codec.sample_rate_hz())?;
    let latents = codec.encode(&clip).with_context(|| file.path.display().to_string())?;
    let energy = frame_rms(&clip, codec.hop_samples(), latents.n_frames());
    let utterance = Utterance {
        id: file.utterance_id.clone(),
        speaker: file.speaker.clone(),
        n_frames: latents.n_frames(),
        duration_sec: clip.duration_sec(),
        audio_path: Some(std::path::absolute(&file.path).unwrap_or_else(|_| file.path.clone())),
    };
    Ok((utterance, latents, energy))
}

/// RMS of each hop, the last one padded with zeros, `[n_frames]` (the peer's definition).
fn frame_rms(clip: &AudioClip, hop_samples: usize, n_frames: usize) -> Vec<f32> {
    let rms = |frame: usize| {
        let start = (frame * hop_samples).min(clip.samples.len());
        let end = (start + hop_samples).min(clip.samples.len());
        let sum: f64 = clip.samples[start..end].iter().map(|s| f64::from(*s).powi(2)).sum();
        (sum / hop_samples as f64).sqrt() as f32
    };
    (0..n_frames).map(rms).collect()
}

fn share(text: &str) -> Result<f64, String> {
    let share = text.parse().unwrap_or(f64::NAN);
    if share > 0.0 && share < 1.0 { Ok(share) } else { Err("it must be a number between 0 and 1".to_owned()) }
}

fn splits_folder(args: &Args) -> PathBuf {
    args.store.parent().unwrap_or(Path::new("")).join("splits")
}

/// The split that is there already. What cannot work is said before the encoding, not after it.
fn split_before(args: &Args, files: &[AudioFile]) -> anyhow::Result<Option<Split>> {
    let folder = splits_folder(args);
    let speakers: BTreeSet<&String> = files.iter().map(|f| &f.speaker).collect();
    if !folder.exists() {
        if let Some(unknown) = args.eval_speakers.iter().find(|s| !speakers.contains(s)) {
            super::usage!("--eval-speakers: there is no speaker {unknown} among the files");
        }
        return Ok(None);
    }
    let folder = folder.display();
    if !args.eval_speakers.is_empty() || args.eval_share.is_some() {
        bail!("{folder} already splits the speakers; leave out --eval-speakers and --eval-share, or remove that folder");
    }
    let split = Split::read(&splits_folder(args))?;
    if !speakers.iter().any(|s| split.train_speakers.contains(*s) || split.eval_speakers.contains(*s)) {
        bail!("{folder} names none of these speakers, so it is the split of another store; give this store a folder of its own");
    }
    Ok(Some(split))
}

/// Writes `splits/` beside the store. Speakers that a split does not know yet are trained on, so that what was measured on its
/// evaluation side can still be compared. Says what was done.
fn split(args: &Args, before: Option<Split>, session: &Session) -> anyhow::Result<String> {
    let folder = splits_folder(args);
    let store = Store::open(&args.store)?;
    let speakers: BTreeSet<String> = store.utterances().iter().map(|u| u.speaker.clone()).collect();
    let (split, done) = if let Some(mut split) = before {
        let known: BTreeSet<String> = split.train_speakers.union(&split.eval_speakers).cloned().collect();
        let n_new = speakers.difference(&known).count();
        split.train_speakers.extend(speakers.difference(&known).cloned());
        (split, if n_new == 0 { "kept".to_owned() } else { format!("{n_new} new speakers added to train on") })
    } else if speakers.len() < 2 {
        return Ok("only one speaker, so there is no split by speaker; fits and evaluations need two\n".to_owned());
    } else if args.eval_speakers.is_empty() {
        (Split::seeded(&speakers, args.eval_share.unwrap_or(DEFAULT_EVAL_SHARE), session.seed)?, "written".to_owned())
    } else {
        let eval_speakers: BTreeSet<String> = args.eval_speakers.iter().cloned().collect();
        (Split { train_speakers: speakers.difference(&eval_speakers).cloned().collect(), eval_speakers }, "written".to_owned())
    };
    if done != "kept" {
        let utterances: Vec<(String, String)> = store.utterances().iter().map(|u| (u.id.clone(), u.speaker.clone())).collect();
        split.write(&folder, &utterances, session.seed)?;
    }
    let (n_train, n_eval) = (split.train_speakers.len(), split.eval_speakers.len());
    Ok(format!("{}: {done}; {n_train} speakers to train on, {n_eval} to evaluate on\n", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn energy_is_the_rms_of_each_hop() {
        let clip = AudioClip { samples: vec![0.5, -0.5, 0.5, 0.5, 1.0], sample_rate_hz: 4 };
        assert_eq!(frame_rms(&clip, 4, 2), [0.5, 0.5]);
    }
}
