//! `encode`: audio to a latents store, file by file, so that it can be stopped and resumed and one bad file costs only itself.

use std::collections::BTreeSet;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, bail};
use driftscope_core::codec::{Codec, Recording, RecordingError};
use driftscope_core::job::{Cancel, Progress};
use driftscope_core::latents::{AudioFile, Split, Store, StoreError, StoreWriter, Utterance, ZarrVersion, scan_audio};
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

/// Encoded utterances that wait to be written.
const WAITING: usize = 4;

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
    let finished = writer.finish();
    stopped?;
    finished?;
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

/// Encodes what is not in the store yet, a file on each thread, and writes it as it comes.
fn encode_all(files: &[AudioFile], codec: &Codec, writer: &mut StoreWriter, tally: &mut Tally, session: &Session) -> anyhow::Result<()> {
    let ids: Vec<&str> = files.iter().map(|f| f.utterance_id.as_str()).collect();
    let is_there = writer.existing_among(&ids);
    let todo: Vec<&AudioFile> = files.iter().zip(&is_there).filter(|(_, there)| !**there).map(|(file, _)| file).collect();
    tally.kept = files.len() - todo.len();
    let meter = Meter::new(session.console.progress(), todo.len());
    // Ends the encoding where the user or the writing does.
    let (stop, asked) = (Cancel::default(), session.cancel.clone());
    let next = AtomicUsize::new(0);
    let (sender, encoded) = mpsc::sync_channel(WAITING);
    let encode = |sender: mpsc::SyncSender<_>| {
        while let Some(file) = todo.get(next.fetch_add(1, Relaxed)) {
            let outcome = codec.encode_file(&file.path, &stop, |seconds| {
                meter.heard(seconds);
                if asked.check().is_err() {
                    stop.cancel();
                }
            });
            if sender.send((*file, outcome)).is_err() || asked.check().is_err() {
                return;
            }
        }
    };
    // Threads of their own: on those that the codec and the store share their work out to, a file that waits to be written would hold
    // up the writing.
    let n_threads = thread::available_parallelism().map_or(1, NonZero::get).min(todo.len());
    let written = thread::scope(|scope| {
        let encode = &encode;
        for index in 0..n_threads {
            let sender = sender.clone();
            thread::Builder::new().name(format!("encode {index}")).spawn_scoped(scope, move || encode(sender))?;
        }
        drop(sender);
        let written = encoded.into_iter().try_for_each(|(file, outcome)| write_one(file, outcome, writer, tally, &meter, session));
        stop.cancel();
        written
    });
    writer.order(&ids);
    written?;
    let n_done = tally.kept + tally.encoded;
    session
        .cancel
        .check()
        .with_context(|| format!("{n_done} of {} files are in the store; the same command goes on from there", files.len()))
}

/// One encoded file into the store. What is wrong with it costs it alone; an error is one that the next file would meet too.
fn write_one(
    file: &AudioFile,
    outcome: Result<Recording, RecordingError>,
    writer: &mut StoreWriter,
    tally: &mut Tally,
    meter: &Meter,
    session: &Session,
) -> anyhow::Result<()> {
    let written = match outcome {
        Ok(recording) => {
            let utterance = Utterance {
                id: file.utterance_id.clone(),
                speaker: file.speaker.clone(),
                n_frames: recording.latents.n_frames(),
                duration_sec: recording.duration_sec,
                audio_path: Some(std::path::absolute(&file.path).unwrap_or_else(|_| file.path.clone())),
            };
            match writer.write(&utterance, &recording.latents, &recording.energy) {
                Ok(()) => Ok(recording.duration_sec),
                Err(error @ StoreError::Io { .. }) => {
                    let n_done = tally.kept + tally.encoded;
                    return Err(error).context(format!("{n_done} utterances are in the store; the same command goes on from there"));
                }
                Err(error) => Err(error.into()),
            }
        }
        Err(RecordingError::Cancelled(_)) => return Ok(()),
        Err(error) => Err(anyhow::Error::from(error)),
    };
    meter.file_done();
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
    Ok(())
}

/// How far the files are, and how fast: seconds of sound in a second, over all threads.
struct Meter {
    progress: Progress,
    began: Instant,
    n_files: u64,
    n_done: AtomicU64,
    milliseconds: AtomicU64,
}

impl Meter {
    fn new(progress: Progress, n_files: usize) -> Self {
        Self { progress, began: Instant::now(), n_files: n_files as u64, n_done: AtomicU64::new(0), milliseconds: AtomicU64::new(0) }
    }

    fn heard(&self, seconds: f64) {
        self.milliseconds.fetch_add((seconds * 1e3) as u64, Relaxed);
        self.report();
    }

    fn file_done(&self) {
        self.n_done.fetch_add(1, Relaxed);
        self.report();
    }

    fn report(&self) {
        let rate = self.milliseconds.load(Relaxed) as f64 / 1e3 / self.began.elapsed().as_secs_f64().max(1e-3);
        self.progress.report("encode", self.n_done.load(Relaxed), Some(self.n_files), format!("{rate:.0} × real time"));
    }
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
    let utterances: Vec<(String, String)> = store.utterances().iter().map(|u| (u.id.clone(), u.speaker.clone())).collect();
    // Also a split that is kept names new utterances of its speakers.
    if done != "kept" || !split.lists(&folder, &utterances) {
        split.write(&folder, &utterances, session.seed)?;
    }
    let (n_train, n_eval) = (split.train_speakers.len(), split.eval_speakers.len());
    Ok(format!("{}: {done}; {n_train} speakers to train on, {n_eval} to evaluate on\n", folder.display()))
}
