//! The lane on which everything is computed: rollouts, curves, decoded sound, spectra.
//!
//! A request is the whole choice of the user, so the newest one is all that matters; what did not change since the last one is
//! not made again. Results are handles to immutable values, each with the generation it belongs to. Only functions of the core
//! are called: whatever the window shows can be had without it.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Instant;

use anyhow::Context as _;
use driftscope_core::audio::AudioClip;
use driftscope_core::diagnose::{InjectionConfig, InjectionReport, inject};
use driftscope_core::engine::lane::Lane;
use driftscope_core::job::{Cancel, JobCtx, Progress};
use driftscope_core::latents::Latents;
use driftscope_core::playback;
use driftscope_core::rollout::synthetic::{Accumulation, SyntheticMode, synthesize};
use driftscope_core::rollout::{Rollout, Schedule, Segment, rollout, splice};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use rand_distr::StandardNormal;

use super::curves::{CurvePlot, plots};
use super::picture::{Difference, Picture, difference, picture};
use super::session::{Material, Session};
use super::source::Source;
use super::state::{Choice, Notice};
use super::trace;

/// Resamples behind each band; enough for two digits of an edge, few enough to follow a slider.
const N_RESAMPLES: usize = 200;

/// A rollout and the curves around it, all of one generation.
#[derive(Debug)]
pub struct Rolled {
    /// Which choice it belongs to.
    pub generation: u64,
    /// That choice.
    pub choice: Choice,
    /// The live rollout from the chosen start (one segment).
    pub live: Rollout,
    /// A–D over the population.
    pub report: InjectionReport,
    /// The curves.
    pub plots: Vec<CurvePlot>,
    /// The true trajectory in principal components, one point a frame.
    pub true_path: Vec<Vec<f32>>,
    /// The live rollout in principal components, one point a step.
    pub rolled_path: Vec<Vec<f32>>,
    /// Time from request to curves.
    pub milliseconds: f64,
}

/// One source's sound, and how it looks.
#[derive(Debug)]
pub struct Sound {
    /// Which source.
    pub source: Source,
    /// Of which utterance.
    pub utterance: usize,
    /// For [`Source::Rollout`]: of which rollout.
    pub generation: u64,
    /// For synthetic modes: how they added up.
    pub accumulation: Accumulation,
    /// What is heard, at the codec's rate.
    pub clip: AudioClip,
    /// The same at the player's rate.
    pub for_player: Arc<[f32]>,
    /// Waveform and spectrogram.
    pub picture: Picture,
    /// Against the truth; `None` for the truth itself.
    pub difference: Option<Difference>,
}

/// What the worker hands over.
#[derive(Debug)]
pub enum Delivery {
    /// What is being loaded.
    Loading(String),
    /// The session is there.
    Ready(Arc<Session>),
    /// A rollout with its curves.
    Rolled(Arc<Rolled>),
    /// A sound.
    Sound(Arc<Sound>),
    /// A sentence for the user.
    Notice(Notice),
}

/// Makes the session's material; runs on the worker's thread.
pub type Loader = Box<dyn FnOnce(&JobCtx) -> anyhow::Result<Material> + Send>;

enum Request {
    Load(Loader, JobCtx),
    Compute { generation: u64, choice: Choice, cancel: Cancel, asked: Instant },
}

/// The worker as the window sees it.
pub struct Worker {
    lane: Lane<Request>,
    deliveries: Receiver<Delivery>,
    desk: Desk,
    cancel: Cancel,
    /// Stops loading, and whatever the session does.
    closed: Cancel,
}

impl Drop for Worker {
    /// The lane is waited for, and should not be long.
    fn drop(&mut self) {
        self.cancel.cancel();
        self.closed.cancel();
    }
}

impl std::fmt::Debug for Worker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Worker")
    }
}

impl Worker {
    /// Starts the thread and the loading. Sounds are made ready for a player at `player_rate_hz`; `wake` is called after each delivery.
    pub fn start(ctx: JobCtx, loader: Loader, player_rate_hz: u32, wake: impl Fn() + Send + Sync + 'static) -> std::io::Result<Self> {
        let (sender, deliveries) = mpsc::channel();
        let desk = Desk { sender, wake: Arc::new(wake) };
        let mut bench = Bench { desk: desk.clone(), player_rate_hz, session: None, made: BTreeMap::new() };
        let lane = Lane::start("interactive", move |request| bench.serve(request))?;
        let closed = ctx.cancel.clone();
        lane.request(Request::Load(loader, ctx));
        Ok(Self { lane, deliveries, desk, cancel: Cancel::default(), closed })
    }

    /// Asks for the choice's rollout, curves and sounds; what was asked before and is not yet made is dropped.
    pub fn compute(&mut self, generation: u64, choice: Choice) {
        self.cancel.cancel();
        self.cancel = Cancel::default();
        self.lane.request(Request::Compute { generation, choice, cancel: self.cancel.clone(), asked: Instant::now() });
    }

    /// What was made since the last call.
    pub fn deliveries(&self) -> impl Iterator<Item = Delivery> {
        self.deliveries.try_iter()
    }

    /// A way for other threads to say something to the user.
    pub fn desk(&self) -> Desk {
        self.desk.clone()
    }

    /// Waits for the next delivery; for tests.
    pub fn wait(&self, at_most: std::time::Duration) -> Option<Delivery> {
        self.deliveries.recv_timeout(at_most).ok()
    }
}

/// Where results are handed in.
#[derive(Clone)]
pub struct Desk {
    sender: Sender<Delivery>,
    wake: Arc<dyn Fn() + Send + Sync>,
}

impl std::fmt::Debug for Desk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Desk")
    }
}

impl Desk {
    /// Hands something to the window; to a closed window, to nobody.
    pub fn deliver(&self, delivery: Delivery) {
        if self.sender.send(delivery).is_ok() {
            (self.wake)();
        }
    }
}

/// The thread's side: what was made and for what.
struct Bench {
    desk: Desk,
    player_rate_hz: u32,
    session: Option<Arc<Session>>,
    /// Sounds of the current utterance that need not be made again.
    made: BTreeMap<Source, Arc<Sound>>,
}

impl Bench {
    fn serve(&mut self, request: Request) {
        let outcome = catch_unwind(AssertUnwindSafe(|| match request {
            Request::Load(loader, ctx) => self.load(loader, &ctx),
            Request::Compute { generation, choice, cancel, asked } => self.compute(generation, choice, &cancel, asked),
        }));
        let problem = match outcome {
            Ok(Ok(())) => return,
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => "the computation broke off (a bug; the terminal says where); change a setting to try again".into(),
        };
        self.desk.deliver(Delivery::Notice(Notice::Problem(problem)));
    }

    fn load(&mut self, loader: Loader, ctx: &JobCtx) -> anyhow::Result<()> {
        let started = Instant::now();
        let desk = self.desk.clone();
        let progress = Progress::new(move |event| desk.deliver(Delivery::Loading(event.stage)));
        let ctx = JobCtx { progress, ..ctx.clone() };
        let material = loader(&ctx)?;
        trace("material loaded", started);
        let session = Arc::new(Session::prepare(&ctx, material)?);
        trace("session prepared", started);
        self.session = Some(Arc::clone(&session));
        self.desk.deliver(Delivery::Ready(session));
        Ok(())
    }

    fn compute(&mut self, generation: u64, choice: Choice, cancel: &Cancel, asked: Instant) -> anyhow::Result<()> {
        let Some(session) = self.session.clone() else { return Ok(()) };
        let rolled = Arc::new(roll(&session, generation, choice, asked)?);
        trace("slider to curves", asked);
        self.desk.deliver(Delivery::Rolled(Arc::clone(&rolled)));
        let Some(codec) = &session.codec else { return Ok(()) };
        let choice = &rolled.choice;
        self.made.retain(|_, sound| sound.utterance == choice.utterance && sound.accumulation == choice.accumulation);
        let truth = &session.corpus.utterances[choice.utterance].latents;
        for source in [Source::Truth, Source::Rollout].into_iter().chain(Source::ALL) {
            if cancel.check().is_err() {
                return Ok(());
            }
            if self.made.get(&source).is_some_and(|s| source != Source::Rollout || s.generation == generation) {
                continue;
            }
            let clip = match source {
                Source::Truth => codec.decode(truth)?,
                Source::Rollout => codec.decode(&splice(truth, &rolled.live, 0))?,
                Source::Original => match session.clips.get(choice.utterance) {
                    Some(clip) => clip.clone(),
                    None => continue,
                },
                _ => codec.decode(&synthetic_latents(&session, truth, source, choice))?,
            };
            self.keep(source, clip, generation, choice)?;
            trace(source.name(), asked);
        }
        Ok(())
    }

    fn keep(&mut self, source: Source, clip: AudioClip, generation: u64, choice: &Choice) -> anyhow::Result<()> {
        let picture = picture(&clip);
        let difference = self.made.get(&Source::Truth).map(|truth| difference(&clip, &truth.clip, &truth.picture, &picture));
        let for_player = playback::at_rate(&clip, self.player_rate_hz)?;
        let (utterance, accumulation) = (choice.utterance, choice.accumulation);
        let sound = Arc::new(Sound { source, utterance, generation, accumulation, clip, for_player, picture, difference });
        self.made.insert(source, Arc::clone(&sound));
        self.desk.deliver(Delivery::Sound(sound));
        Ok(())
    }
}

/// The live rollout and A–D over the population.
fn roll(session: &Session, generation: u64, choice: Choice, asked: Instant) -> anyhow::Result<Rolled> {
    let Session { ctx, corpus, baselines, population, .. } = session;
    let predictor = session.predictors.get(choice.predictor).context("no such predictor")?;
    let start = [Segment { utterance: choice.utterance, t0: choice.t0 }];
    let live = rollout(ctx, corpus, predictor, baselines, &start, &[choice.schedule()], &choice.config)?;
    let live = live.into_iter().next().context("the rollout gave nothing")?;
    let config = InjectionConfig { rollout: choice.config.clone(), n_resamples: N_RESAMPLES };
    let schedules = Schedule::standard(choice.config.n_steps);
    let report = inject(ctx, corpus, predictor, baselines, population, &schedules, session.references.clone(), &config)?;
    let truth = &corpus.utterances[choice.utterance].latents;
    let project = |frames: &[f32]| frames.chunks_exact(corpus.dim).map(|x| session.pca.project(x)).collect();
    let (true_path, rolled_path) = (project(&truth.values), project(&live.states));
    let plots = plots(&report, Some(&live));
    Ok(Rolled { generation, choice, live, report, plots, true_path, rolled_path, milliseconds: asked.elapsed().as_secs_f64() * 1e3 })
}

fn synthetic_latents(session: &Session, truth: &Latents, source: Source, choice: &Choice) -> Latents {
    let mode = source.synthetic().unwrap_or(SyntheticMode::GroundTruth);
    let mut rng = StdRng::seed_from_u64(session.ctx.seed);
    synthesize(truth, mode, choice.accumulation, &mut || rng.sample(StandardNormal))
}
