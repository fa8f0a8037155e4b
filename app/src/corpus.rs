//! Folders of recordings to a latents store, file by file, so that it can be stopped and resumed and one bad file costs only itself.

use std::collections::BTreeSet;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use anyhow::{Context as _, bail};
use driftscope_core::codec::{Codec, CodecError, Recording, RecordingError};
use driftscope_core::job::{Cancel, JobCtx, Progress};
use driftscope_core::latents::{AudioFile, Split, Store, StoreError, StoreWriter, Utterance, ZarrVersion, scan_audio};

use crate::cli::sentence;

/// What is to become a store.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    /// Folders of recordings.
    pub(crate) audio: Vec<PathBuf>,
    /// Store to write; one that is there is continued.
    pub(crate) store: PathBuf,
    /// Zarr 2 or 3; else that of the store that is there, else 3.
    pub(crate) zarr: Option<ZarrVersion>,
    /// Share of the speakers kept for evaluation; else the peer's.
    pub(crate) eval_share: Option<f64>,
    /// These speakers for evaluation, instead of a seeded draw.
    pub(crate) eval_speakers: Vec<String>,
}

/// What became of the files.
#[derive(Default)]
pub(crate) struct Tally {
    /// Encoded now.
    pub(crate) encoded: usize,
    /// In the store before.
    pub(crate) kept: usize,
    /// Sound that was encoded.
    pub(crate) seconds: f64,
    /// Files that were skipped, and why.
    pub(crate) problems: Vec<String>,
    /// What was done about the split, for the user.
    pub(crate) split: String,
}

/// Takes a sentence about a file that is skipped.
type Warn<'a> = &'a dyn Fn(&str);

/// As the peer's.
const DEFAULT_EVAL_SHARE: f64 = 0.22;

/// Encoded utterances that wait to be written.
const WAITING: usize = 4;

impl Plan {
    /// The recordings, each with an utterance id of its own.
    pub(crate) fn files(&self) -> anyhow::Result<Vec<AudioFile>> {
        let mut files = Vec::new();
        for folder in &self.audio {
            files.extend(scan_audio(folder)?);
        }
        unique(&files)?;
        Ok(files)
    }
}

/// Encodes `files` into the plan's store and splits its speakers.
pub(crate) fn encode(plan: &Plan, files: &[AudioFile], codec: &Codec, job: &JobCtx, warn: Warn<'_>) -> anyhow::Result<Tally> {
    let before = split_before(plan, files)?;
    let there = if plan.store.join(".zgroup").exists() { ZarrVersion::V2 } else { ZarrVersion::V3 };
    let version = plan.zarr.unwrap_or(there);
    let mut writer = StoreWriter::create(&plan.store, version, codec.dim(), codec.frame_rate_hz(), Some(codec.tag()))?;
    let mut tally = Tally::default();
    let stopped = encode_all(files, codec, &mut writer, &mut tally, job, warn);
    // Whatever ended the encoding, what is written gets its index, so that the store opens and can be continued.
    let finished = writer.finish();
    stopped?;
    finished?;
    if tally.encoded + tally.kept == 0 {
        bail!("none of {} files could be encoded; the first: {}", files.len(), tally.problems.first().map_or("", String::as_str));
    }
    tally.split = split(plan, before, job.seed)?;
    Ok(tally)
}

fn unique(files: &[AudioFile]) -> anyhow::Result<()> {
    let mut seen = BTreeSet::new();
    match files.iter().find(|f| !seen.insert(&f.utterance_id)) {
        None => Ok(()),
        Some(twice) => bail!("two files give the utterance id {} ({} is one); rename one", twice.utterance_id, twice.path.display()),
    }
}

/// Encodes what is not in the store yet, a file on each thread, and writes it as it comes.
fn encode_all(
    files: &[AudioFile],
    codec: &Codec,
    writer: &mut StoreWriter,
    tally: &mut Tally,
    job: &JobCtx,
    warn: Warn<'_>,
) -> anyhow::Result<()> {
    let ids: Vec<&str> = files.iter().map(|f| f.utterance_id.as_str()).collect();
    let is_there = writer.existing_among(&ids);
    let todo: Vec<&AudioFile> = files.iter().zip(&is_there).filter(|(_, there)| !**there).map(|(file, _)| file).collect();
    tally.kept = files.len() - todo.len();
    let meter = Meter::new(job.progress.clone(), todo.len());
    // Ends the encoding where the user or the writing does.
    let (stop, asked) = (Cancel::default(), job.cancel.clone());
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
        let written = encoded.into_iter().try_for_each(|(file, outcome)| write_one(file, outcome, writer, tally, &meter, warn));
        stop.cancel();
        written
    });
    writer.order(&ids);
    written?;
    let n_done = tally.kept + tally.encoded;
    job.cancel.check().with_context(|| format!("{n_done} of {} files are in the store; the same command goes on from there", files.len()))
}

/// One encoded file into the store. What is wrong with it costs it alone; an error is one that the next file would meet too.
fn write_one(
    file: &AudioFile,
    outcome: Result<Recording, RecordingError>,
    writer: &mut StoreWriter,
    tally: &mut Tally,
    meter: &Meter,
    warn: Warn<'_>,
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
        Err(RecordingError::Codec { source: error @ CodecError::Device(_), .. }) => return Err(error.into()),
        Err(error) => Err(anyhow::Error::from(error)),
    };
    meter.file_done();
    match written {
        Ok(seconds) => {
            tally.encoded += 1;
            tally.seconds += seconds;
        }
        Err(error) => {
            let problem = sentence(&error);
            warn(&format!("skipped {}: {problem}", file.utterance_id));
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

fn splits_folder(store: &Path) -> PathBuf {
    store.parent().unwrap_or(Path::new("")).join("splits")
}

/// The split that is there already. What cannot work is said before the encoding, not after it.
fn split_before(plan: &Plan, files: &[AudioFile]) -> anyhow::Result<Option<Split>> {
    let folder = splits_folder(&plan.store);
    let speakers: BTreeSet<&String> = files.iter().map(|f| &f.speaker).collect();
    if !folder.exists() {
        return Ok(None);
    }
    let folder = folder.display();
    if !plan.eval_speakers.is_empty() || plan.eval_share.is_some() {
        bail!("{folder} already splits the speakers; leave out --eval-speakers and --eval-share, or remove that folder");
    }
    let split = Split::read(&splits_folder(&plan.store))?;
    let names = |speaker: &String| split.train_speakers.contains(speaker) || split.eval_speakers.contains(speaker);
    let is_of_this_store = Store::open(&plan.store).is_ok_and(|store| store.utterances().iter().any(|u| names(&u.speaker)));
    if !is_of_this_store && !speakers.iter().any(|speaker| names(speaker)) {
        bail!("{folder} names none of these speakers, so it is the split of another store; give this store a folder of its own");
    }
    Ok(Some(split))
}

/// Writes `splits/` beside the store. Speakers that a split does not know yet are trained on, so that what was measured on its
/// evaluation side can still be compared. Says what was done.
fn split(plan: &Plan, before: Option<Split>, seed: u64) -> anyhow::Result<String> {
    let folder = splits_folder(&plan.store);
    let store = Store::open(&plan.store)?;
    let speakers: BTreeSet<String> = store.utterances().iter().map(|u| u.speaker.clone()).collect();
    let (split, done) = if let Some(mut split) = before {
        let known: BTreeSet<String> = split.train_speakers.union(&split.eval_speakers).cloned().collect();
        let n_new = speakers.difference(&known).count();
        split.train_speakers.extend(speakers.difference(&known).cloned());
        (split, if n_new == 0 { "kept".to_owned() } else { format!("{n_new} new speakers added to train on") })
    } else if speakers.len() < 2 {
        return Ok("only one speaker, so there is no split by speaker; fits and evaluations need two\n".to_owned());
    } else if plan.eval_speakers.is_empty() {
        (Split::seeded(&speakers, plan.eval_share.unwrap_or(DEFAULT_EVAL_SHARE), seed)?, "written".to_owned())
    } else {
        let eval_speakers: BTreeSet<String> = plan.eval_speakers.iter().cloned().collect();
        (Split { train_speakers: speakers.difference(&eval_speakers).cloned().collect(), eval_speakers }, "written".to_owned())
    };
    let utterances: Vec<(String, String)> = store.utterances().iter().map(|u| (u.id.clone(), u.speaker.clone())).collect();
    // Also a split that is kept names new utterances of its speakers.
    if done != "kept" || !split.lists(&folder, &utterances) {
        split.write(&folder, &utterances, seed)?;
    }
    let (n_train, n_eval) = (split.train_speakers.len(), split.eval_speakers.len());
    Ok(format!("{}: {done}; {n_train} speakers to train on, {n_eval} to evaluate on\n", folder.display()))
}
