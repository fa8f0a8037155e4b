//! Work that takes longer than a moment: opening stores, adding recordings and checkpoints, fits. Each job has its own thread.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use driftscope_core::audio::{self, AudioClip};
use driftscope_core::battery::{Battery, BatteryConfig, battery};
use driftscope_core::codec::{Codec, CodecKind, CodecOptions, EncodecFrames};
use driftscope_core::context::CorpusUtterance;
use driftscope_core::diagnose::{InjectionConfig, inject};
use driftscope_core::job::{Cancel, JobCtx, Progress, ProgressEvent};
use driftscope_core::latents::Store;
use driftscope_core::predict::{Predictor, PredictorConfig, PredictorKind, fit_predictor};
use driftscope_core::rollout::{RolloutConfig, Schedule};
use driftscope_core::run::{Ending, Environment, Registry};
use serde::{Deserialize, Serialize};
use thread_priority::{ThreadPriority, ThreadPriorityValue, set_current_thread_priority};

use super::blind::BlindDraft;
use super::session::{Ground, Session, predictor_name};
use super::worker::{Delivery, Desk};
use crate::corpus::{self, Plan};
use crate::{open, weights};

/// What a job does.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Task {
    /// Open another store.
    OpenStore {
        /// Its folder.
        path: PathBuf,
    },
    /// Add a checkpoint to an open store.
    AddPredictor {
        /// The checkpoint.
        path: PathBuf,
        /// Index into the open stores.
        store: usize,
    },
    /// Encode a recording and add it to an open store.
    AddAudio {
        /// The recording.
        path: PathBuf,
        /// Index into the open stores.
        store: usize,
    },
    /// Make a store of a folder of recordings, and open it.
    Encode(EncodeDraft),
    /// Train a predictor on an open store.
    Fit(FitDraft),
    /// Render a listening test, and enter the room.
    Blind(Box<BlindDraft>),
    /// Measure what is heard.
    Battery(BatteryDraft),
}

/// A corpus as it is asked for: a folder of recordings through a codec.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EncodeDraft {
    /// Folder of recordings.
    pub audio: PathBuf,
    /// Which codec.
    pub codec: CodecKind,
    /// Its weights, where it is not the one that is compiled in.
    pub weights: Option<PathBuf>,
    /// EnCodec's frames.
    pub frames: EncodecFrames,
    /// Store to write; one that is there is continued.
    pub out: PathBuf,
}

impl EncodeDraft {
    /// As it is offered at first.
    pub fn first(audio: PathBuf) -> Self {
        let mut draft = Self { audio, codec: CodecKind::Demo, weights: None, frames: EncodecFrames::default(), out: PathBuf::new() };
        draft.choose(CodecKind::Demo);
        draft
    }

    /// Takes another codec, with its weights where this machine has them, and names the store after both.
    pub fn choose(&mut self, codec: CodecKind) {
        self.codec = codec;
        self.weights = weights::found(codec);
        let name = self.audio.file_name().map_or_else(|| "recordings".into(), |n| n.to_string_lossy().into_owned());
        self.out = open::data_folder().join("stores").join(format!("{name}-{codec}")).join("latents.zarr");
    }

    /// Nothing is missing.
    pub fn is_complete(&self) -> bool {
        self.codec == CodecKind::Demo || self.weights.is_some()
    }

    fn open_codec(&self) -> anyhow::Result<Codec> {
        let options = CodecOptions { frames: self.frames, ..CodecOptions::default() };
        match &self.weights {
            Some(path) => Ok(weights::open(self.codec, path, &options)?),
            None if self.codec == CodecKind::Demo => Ok(Codec::embedded()?),
            None => anyhow::bail!("no weights of {} were chosen", self.codec),
        }
    }
}

/// A battery as it is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatteryDraft {
    /// Index into the open stores.
    pub store: usize,
    /// Index into its predictors.
    pub predictor: usize,
    /// How it rolls out.
    pub rollout: RolloutConfig,
}

/// What came of it.
#[derive(Debug)]
pub struct Measured {
    /// What was asked for.
    pub draft: BatteryDraft,
    /// The numbers.
    pub battery: Battery,
    /// Of whom, in a few words.
    pub about: String,
}

/// A fit as it is asked for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FitDraft {
    /// Index into the open stores.
    pub store: usize,
    /// Family.
    pub kind: PredictorKind,
    /// Frames in the window, W.
    pub window: usize,
    /// Horizon k.
    pub horizon: usize,
    /// Hidden width.
    pub hidden_dim: usize,
    /// Optimizer steps.
    pub max_steps: u64,
    /// Checkpoint to write; the state to resume from lies beside it.
    pub out: PathBuf,
}

impl FitDraft {
    /// As it is offered at first: small enough for two cores.
    pub fn first(state: &super::state::State) -> Self {
        let (store, name) = (state.choice().store, state.session().map_or("store", |s| s.name.as_str()));
        // The window of the predictors that are there, so that they can be compared.
        let window = state.session().and_then(|s| s.predictors.get(s.first_predictor())).map_or(8, |p| p.info.window);
        let folder = open::data_folder().join("predictors").join(name);
        let mut fit =
            Self { store, kind: PredictorKind::Mdn, window, horizon: 1, hidden_dim: 128, max_steps: 500, out: folder.join("predictor") };
        fit.rename();
        fit
    }

    /// Names the checkpoint after what is fitted, beside those that are there.
    pub fn rename(&mut self) {
        let stem = format!("{:?}-k{}", self.kind, self.horizon).to_lowercase();
        let names = std::iter::once(stem.clone()).chain((2..).map(|n: u64| format!("{stem}-{n}")));
        let mut files = names.map(|name| self.out.with_file_name(format!("{name}.safetensors")));
        if let Some(free) = files.find(|file| !file.exists() && !file.with_added_extension("state").exists()) {
            self.out = free;
        }
    }

    /// "MDN".
    fn family(&self) -> &'static str {
        match self.kind {
            PredictorKind::Mdn => "MDN",
            PredictorKind::Vmf => "vMF × LogNormal",
            PredictorKind::Linear => "ridge",
        }
    }

    /// The settings as the command line has them.
    pub fn config(&self) -> PredictorConfig {
        let Self { kind, window, horizon, hidden_dim, max_steps, .. } = *self;
        PredictorConfig { kind, window, horizon, hidden_dim, max_steps, ..PredictorConfig::default() }
    }
}

impl Task {
    /// A few words for the list.
    pub fn title(&self) -> String {
        let name = |path: &Path| path.file_name().map_or_else(|| path.display().to_string(), |n| n.to_string_lossy().into_owned());
        match self {
            Self::OpenStore { path } => format!("Open {}", name(path)),
            Self::AddPredictor { path, .. } => format!("Add predictor {}", name(path)),
            Self::AddAudio { path, .. } => format!("Encode {}", name(path)),
            Self::Encode(draft) => format!("Encode {} with {}", name(&draft.audio), draft.codec),
            Self::Fit(fit) => format!("Fit {} k={}", fit.family(), fit.horizon),
            Self::Blind(draft) => format!("Render listening test {}", name(&draft.out)),
            Self::Battery(_) => "Battery".to_owned(),
        }
    }

    /// What it opens is opened again with the session.
    pub fn opens(&self) -> bool {
        matches!(self, Self::OpenStore { .. } | Self::AddPredictor { .. } | Self::AddAudio { .. })
    }

    /// What a stopped one leaves behind lets it go on.
    pub fn resumes(&self) -> bool {
        matches!(self, Self::Fit(_) | Self::Encode(_))
    }
}

/// How a job stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Its thread works.
    Running,
    /// It ended well.
    Done,
    /// It ended with this sentence.
    Failed,
    /// The user stopped it.
    Stopped,
}

/// One job as the window shows it.
#[derive(Clone, Debug)]
pub struct Job {
    /// Never used twice.
    pub id: u64,
    /// What it does.
    pub task: Task,
    /// How it stands.
    pub status: Status,
    /// Newest report.
    pub progress: Option<ProgressEvent>,
    /// What it said, line by line.
    pub log: Vec<String>,
    /// When its thread started.
    pub started: Instant,
    /// Units done when it was first heard of, and when: what a rate is taken from (a resumed fit does not begin at 0).
    pub first: Option<(Instant, u64)>,
}

impl Job {
    /// A job that begins now.
    pub fn new(id: u64, task: Task) -> Self {
        Self { id, task, status: Status::Running, progress: None, log: Vec::new(), started: Instant::now(), first: None }
    }

    /// A fit that an earlier session left unfinished.
    pub fn left(id: u64, task: Task) -> Self {
        let log = vec!["left unfinished by the session before; resume goes on where it was".into()];
        Self { status: Status::Stopped, log, ..Self::new(id, task) }
    }

    /// Units a second since it was first heard of.
    pub fn rate(&self) -> Option<f64> {
        let (since, from) = self.first?;
        let done = self.progress.as_ref()?.done.checked_sub(from)?;
        let elapsed = since.elapsed().as_secs_f64();
        (done > 0 && elapsed > 0.0).then(|| done as f64 / elapsed)
    }

    /// Seconds until it ends, at its rate so far.
    pub fn seconds_left(&self) -> Option<f64> {
        let progress = self.progress.as_ref()?;
        Some(progress.total?.saturating_sub(progress.done) as f64 / self.rate()?)
    }

    /// Share that is done.
    pub fn share(&self) -> Option<f32> {
        let progress = self.progress.as_ref()?;
        let total = progress.total.filter(|t| *t > 0)?;
        Some((progress.done as f64 / total as f64) as f32)
    }
}

/// What a job hands in.
#[derive(Debug)]
pub struct JobEvent {
    /// Which job.
    pub id: u64,
    /// What happened.
    pub change: JobChange,
}

/// What happened to a job.
#[derive(Debug)]
pub enum JobChange {
    /// It got further.
    Progress(ProgressEvent),
    /// It ended, with one sentence.
    Ended(Status, String, Option<Outcome>),
}

/// What a job made.
#[derive(Debug)]
pub enum Outcome {
    /// Another store.
    Session(Arc<Session>),
    /// A predictor for an open store, with its reference lines where they change.
    Predictor(usize, Box<Predictor>, Option<Arc<Ground>>),
    /// An utterance for an open store.
    Utterance(usize, CorpusUtterance, AudioClip),
    /// A listening test, by its folder, and who listens.
    Test(PathBuf, String),
    /// What is heard, in measures.
    Battery(Arc<Measured>),
}

/// Starts and stops the threads.
#[derive(Debug)]
pub struct Runner {
    desk: Desk,
    ctx: JobCtx,
    registry: Option<Registry>,
    running: BTreeMap<u64, (Cancel, std::thread::JoinHandle<()>)>,
}

impl Runner {
    /// Jobs run on `ctx`'s device and are recorded in `registry`.
    pub fn new(desk: Desk, ctx: JobCtx, registry: Option<Registry>) -> Self {
        Self { desk, ctx, registry, running: BTreeMap::new() }
    }

    /// Starts a job's thread.
    pub fn start(&mut self, id: u64, task: Task, sessions: &[Arc<Session>]) {
        let (desk, cancel) = (self.desk.clone(), Cancel::default());
        let reports = self.desk.clone();
        let progress = Progress::new(move |event| reports.deliver(Delivery::Job(JobEvent { id, change: JobChange::Progress(event) })));
        let ctx = JobCtx { cancel: cancel.clone(), progress, ..self.ctx.clone() };
        let (sessions, registry, told) = (sessions.to_vec(), self.registry.clone(), self.desk.clone());
        let work = move || {
            let change = ended(&task, &ctx, work(&task, &ctx, &sessions, registry.as_ref()));
            desk.deliver(Delivery::Job(JobEvent { id, change }));
        };
        match std::thread::Builder::new().name("job".into()).spawn(work) {
            Ok(thread) => drop(self.running.insert(id, (cancel, thread))),
            Err(error) => {
                let change = JobChange::Ended(Status::Failed, format!("no thread could be started: {error}"), None);
                told.deliver(Delivery::Job(JobEvent { id, change }));
            }
        }
    }

    /// Asks a job to stop.
    pub fn stop(&mut self, id: u64) {
        if let Some((cancel, _)) = self.running.get(&id) {
            cancel.cancel();
        }
    }
}

impl Drop for Runner {
    /// A fit writes its state before it stops, and is given the time for it.
    fn drop(&mut self) {
        self.running.values().for_each(|(cancel, _)| cancel.cancel());
        for (_, (_, thread)) in std::mem::take(&mut self.running) {
            let _ = thread.join();
        }
    }
}

fn ended(task: &Task, ctx: &JobCtx, result: anyhow::Result<(String, Outcome)>) -> JobChange {
    match result {
        Ok((said, outcome)) => JobChange::Ended(Status::Done, said, Some(outcome)),
        Err(_) if ctx.cancel.check().is_err() => {
            let kept = if task.resumes() { "; what was done is kept, and resume goes on from there" } else { "" };
            JobChange::Ended(Status::Stopped, format!("{}: stopped{kept}.", task.title()), None)
        }
        Err(error) => JobChange::Ended(Status::Failed, format!("{}: {error:#}", task.title()), None),
    }
}

fn work(task: &Task, ctx: &JobCtx, sessions: &[Arc<Session>], registry: Option<&Registry>) -> anyhow::Result<(String, Outcome)> {
    let session = |store: usize| sessions.get(store).context("that store is not open any more");
    match task {
        Task::OpenStore { path } => {
            let store = Store::open(path)?;
            let opened = Session::prepare(ctx, open::material(&store, &[], ctx)?)?;
            let said = format!("Opened {}: {} utterances.", opened.name, opened.corpus.utterances.len());
            Ok((said, Outcome::Session(Arc::new(opened))))
        }
        Task::AddPredictor { path, store } => {
            let session = session(*store)?;
            let predictor = Predictor::load(path, &ctx.device)?;
            if let Some(why) = open::mismatch(&predictor, session.corpus.as_ref().into()) {
                anyhow::bail!("{} {why}", path.display());
            }
            let said = format!("Added {} to {}.", predictor_name(&predictor.info), session.name);
            let ground = session.ground_with(&predictor)?;
            Ok((said, Outcome::Predictor(*store, Box::new(predictor), ground)))
        }
        Task::AddAudio { path, store } => {
            let session = session(*store)?;
            ctx.progress.report("Encoding", 0, None, "");
            let clip = audio::read(path)?;
            let id = path.file_stem().map_or_else(|| "recording".into(), |stem| stem.to_string_lossy().into_owned());
            let utterance = session.encode(&id, &clip)?;
            let said = format!("Added {id}, {:.1} s, to {}.", clip.duration_sec(), session.name);
            Ok((said, Outcome::Utterance(*store, utterance, clip)))
        }
        Task::Encode(draft) => {
            let codec = draft.open_codec()?;
            let plan = Plan { audio: vec![draft.audio.clone()], store: draft.out.clone(), ..Plan::default() };
            // Skipped files are named when it ends.
            let encoded = beside_the_window(|| corpus::encode(&plan, &plan.files()?, &codec, ctx, &|_| {}))?;
            let store = Store::open(&draft.out)?;
            let opened = Session::prepare(ctx, open::material(&store, &[], ctx)?)?;
            let skipped = match encoded.problems.len() {
                0 => String::new(),
                n => format!(", {n} skipped (the first: {})", encoded.problems[0]),
            };
            let said = format!("{}: {} utterances{skipped}.", draft.out.display(), opened.corpus.utterances.len());
            Ok((said, Outcome::Session(Arc::new(opened))))
        }
        Task::Battery(draft) => {
            let session = session(draft.store)?;
            let config = BatteryConfig { rollout: draft.rollout.clone(), ..BatteryConfig::default() };
            let battery = beside_the_window(|| Ok(battery(ctx, session.bench(draft.predictor)?, config)?))?;
            let who = session.predictor_name(draft.predictor);
            let about = format!("{who} on {} utterances of {}", battery.items.len(), session.name);
            let left_out: String = battery.left_out.iter().map(|sentence| format!(" Left out: {sentence}.")).collect();
            let said = format!("Measured the battery: {about}.{left_out}");
            Ok((said, Outcome::Battery(Arc::new(Measured { draft: draft.clone(), battery, about }))))
        }
        Task::Blind(draft) => {
            let session = session(draft.store)?;
            let made = || crate::listening::make(ctx, session.bench(draft.predictor)?, &draft.draft(), &draft.out);
            let (test, notes) = beside_the_window(made)?;
            let notes: String = notes.iter().map(|note| format!(" {note}.")).collect();
            let said = format!("Made the listening test {}.{notes}", test.folder().display());
            Ok((said, Outcome::Test(draft.out.clone(), draft.listener.trim().to_owned())))
        }
        Task::Fit(fit) => {
            let session = session(fit.store)?;
            let title = format!("fit {}", serde_json::to_value(fit.kind)?.as_str().unwrap_or("predictor"));
            let config = serde_json::json!({ "window": true, "fit": fit, "config": fit.config(), "seed": ctx.seed });
            // A registry that cannot be written costs the record, not the work.
            let run = registry.and_then(|r| r.start(&title, &config, &Environment::current(&format!("{:?}", ctx.device))).ok());
            let result = beside_the_window(|| train(fit, ctx, session));
            if let Some(run) = run {
                let ending = match &result {
                    Ok(_) => Ending::Completed,
                    Err(_) if ctx.cancel.check().is_err() => Ending::Stopped,
                    Err(error) => Ending::Failed(format!("{error:#}")),
                };
                let _ = run.finish(&ending, serde_json::json!({ "checkpoint": fit.out }));
            }
            let predictor = result?;
            let ground = session.ground_with(&predictor)?;
            let worth = worth(&predictor, ctx, session, ground.as_ref().unwrap_or(&session.ground))?;
            let said = format!("Fitted {} on {}: {worth}. {}", predictor_name(&predictor.info), session.name, fit.out.display());
            Ok((said, Outcome::Predictor(fit.store, Box::new(predictor), ground)))
        }
    }
}

/// Of 100: low enough for frames to come first, not so low that a display drawn in software leaves a job nothing.
const JOB_PRIORITY: u8 = 25;

/// Runs long work on every core, behind whatever the window and its sound want of it.
fn beside_the_window<T: Send>(work: impl FnOnce() -> anyhow::Result<T> + Send) -> anyhow::Result<T> {
    let yielding = |_| {
        // A system that refuses runs them beside the window's own threads.
        let _ = ThreadPriorityValue::try_from(JOB_PRIORITY).map(|low| set_current_thread_priority(ThreadPriority::Crossplatform(low)));
    };
    let pool = rayon::ThreadPoolBuilder::new().thread_name(|i| format!("job {i}")).start_handler(yielding).build();
    pool.context("no threads for the job")?.install(work)
}

/// What a predictor is worth on voices that it has not seen, teacher-forced: a loss that falls on the training side says little.
fn worth(predictor: &Predictor, ctx: &JobCtx, session: &Session, ground: &Ground) -> anyhow::Result<String> {
    if predictor.info.horizon != 1 {
        return Ok("a direct predictor, for the skyline".into());
    }
    ctx.progress.report("Unseen voices", 0, None, "");
    let config = InjectionConfig { rollout: RolloutConfig { n_steps: ground.n_steps, ..RolloutConfig::default() }, n_resamples: 0 };
    let (corpus, references) = (&session.corpus, ground.references.clone());
    let teacher = [Schedule::teacher(ground.n_steps)];
    let report = inject(ctx, corpus, predictor, &session.baselines, &ground.population, &teacher, references, &config)?;
    let Some(mode) = report.modes.first() else { return Ok(String::new()) };
    let number = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |v| format!("{v:.2}"));
    let overall = &mode.overall;
    Ok(format!("on unseen voices ΔNLL median {}, cosine {}", number(overall.dnll.median), number(overall.cos.mean)))
}

/// Trains, saves, and loads what was saved: what is used is what lies in the file.
fn train(fit: &FitDraft, ctx: &JobCtx, session: &Session) -> anyhow::Result<Predictor> {
    if let Some(folder) = fit.out.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("{}: cannot be made", folder.display()))?;
    }
    let state = fit.out.with_added_extension("state");
    let predictor = fit_predictor(ctx, &session.corpus, &fit.config(), Some(&state))?;
    predictor.save(&fit.out)?;
    match std::fs::remove_file(&state) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(error).with_context(|| format!("{}: cannot be removed", state.display()));
        }
        _ => {}
    }
    Ok(Predictor::load(&fit.out, &ctx.device)?)
}
