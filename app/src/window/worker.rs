//! The lane on which everything is computed: rollouts, curves, decoded sound, spectra.
//!
//! A request is the whole choice of the user, so the newest one is all that matters; what did not change since the last one is
//! not made again. Results are handles to immutable values, each with the generation it belongs to. Only functions of the core
//! are called: whatever the window shows can be had without it.

mod long;
mod sounds;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Instant;

use anyhow::Context as _;
use driftscope_core::audio::AudioClip;
use driftscope_core::codec::{CodecError, Pieces};
use driftscope_core::diagnose::{InjectionConfig, InjectionReport, inject};
use driftscope_core::engine::compute::Gpu;
use driftscope_core::engine::lane::Lane;
use driftscope_core::job::{Cancel, JobCtx, Progress};
use driftscope_core::latents::Latents;
use driftscope_core::perceive::Scores;
use driftscope_core::predict::MagnitudeRule;
use driftscope_core::rollout::{Rollout, RolloutConfig, Schedule, Segment, rollout, splice};

use long::Playhead;
use sounds::Pair;

use super::curves::{Curve, CurvePlot, Line, Metric, plots, single_curve};
use super::jobs::JobEvent;
use super::picture::{Difference, Picture, latent_picture};
use super::session::{Ground, Material, Session};
use super::source::Source;
use super::state::Notice;
use super::trace;
use super::view::{Basis, Branch, Choice, Comparand, Pull, View};

/// Resamples behind each band; enough for two digits of an edge, few enough to follow a slider.
const N_RESAMPLES: usize = 200;

/// A trajectory: principal components of one frame after another.
pub type Path = Vec<Vec<f32>>;

/// A rollout and the curves around it, all of one generation.
#[derive(Clone, Debug)]
pub struct Rolled {
    /// Which generation of choices it belongs to.
    pub generation: u64,
    /// That choice.
    pub choice: Choice,
    /// The live rollout from the chosen start (one segment).
    pub live: Rollout,
    /// A–D over the population.
    pub report: InjectionReport,
    /// Starts of that population.
    pub n_starts: usize,
    /// The curves.
    pub plots: Vec<CurvePlot>,
    /// The true trajectory, one point a frame.
    pub true_path: Path,
    /// The live rollout, one point a step.
    pub rolled_path: Path,
    /// The truth, the rollout in its place, and their difference, as frames: what is shown where nothing can be heard. Empty elsewhere.
    pub latent_pictures: Vec<Picture>,
    /// Distance of each rolled frame from the true one, whatever was painted on it, in units of the median ‖Δ‖.
    pub off_truth: Vec<f64>,
    /// Distance of each rolled frame to the training side's, 1 = as true frames.
    pub off_manifold: Vec<f64>,
    /// Time from request to curves.
    pub milliseconds: f64,
    /// What a step of the live rollout took, in microseconds.
    pub step_us: f64,
}

/// A kept rollout.
#[derive(Debug)]
pub struct Kept {
    /// What it was made of.
    pub branch: Branch,
    /// One segment.
    pub rollout: Rollout,
    /// One point a step.
    pub path: Path,
    /// Distance of each frame to the training side's, 1 = as true frames.
    pub off_manifold: Vec<f64>,
    /// Its curve in each plot, in the order of [`Metric::ALL`].
    pub curves: Vec<Curve>,
}

/// Sampled rollouts around the live one.
#[derive(Debug)]
pub struct Fan {
    /// What they were sampled for.
    pub choice: Choice,
    /// One segment a sample.
    pub rollout: Rollout,
    /// One path a sample.
    pub paths: Vec<Path>,
    /// State error of each sample and step, in units of the median ‖Δ‖.
    pub errors: Vec<Vec<f64>>,
    /// Distance of each sample and step to the training side's frames, 1 = as true frames.
    pub off_manifold: Vec<Vec<f64>>,
}

/// A predictor on the chosen segment and over the population.
#[derive(Debug)]
pub struct Compared {
    /// Which.
    pub comparand: Comparand,
    /// The shown choice that it is compared at.
    pub beside: Choice,
    /// "MDN k=1".
    pub name: String,
    /// The rollout from the chosen start.
    pub live: Rollout,
    /// Mode D over its store's population.
    pub report: InjectionReport,
}

/// One source's sound, and how it looks.
#[derive(Debug)]
pub struct Sound {
    /// Which source.
    pub source: Source,
    /// What it was made of.
    pub basis: Basis,
    /// What is heard, at the codec's rate.
    pub clip: AudioClip,
    /// The same at the player's rate.
    pub for_player: Arc<[f32]>,
    /// Integrated loudness (R128), LUFS; `None` where there is none to measure.
    pub loudness_lufs: Option<f64>,
    /// Largest sample of what is played.
    pub peak: f32,
    /// Waveform and spectrogram.
    pub picture: Picture,
    /// Against the truth; `None` for the truth itself.
    pub difference: Option<Difference>,
}

/// What a sound measures.
#[derive(Debug)]
pub struct Scored {
    /// The sound.
    pub sound: Arc<Sound>,
    /// What it was held against: the recording, or the truth where there is none.
    pub against: Source,
    /// The numbers.
    pub scores: Scores,
}

/// What is handed to the window.
#[derive(Debug)]
pub enum Delivery {
    /// What is being loaded.
    Loading(String),
    /// The first session is there.
    Ready(Arc<Session>),
    /// A rollout with its curves.
    Rolled(Arc<Rolled>),
    /// A kept rollout.
    Kept(Arc<Kept>),
    /// Sampled rollouts.
    Fan(Arc<Fan>),
    /// A compared predictor.
    Compared(Arc<Compared>),
    /// A sound.
    Sound(Arc<Sound>),
    /// A sound's measures.
    Scored(Arc<Scored>),
    /// From a job.
    Job(JobEvent),
    /// A figure as it will be on paper.
    Preview(Arc<super::export::Preview>),
    /// A file that carries a view was opened.
    Opened(Box<super::memory::Carried>),
    /// What a dialog was answered with.
    Asked(super::command::Command),
    /// Sounds for the listening room.
    Fetched(Box<crate::listening::Fetched>),
    /// A sentence for the user.
    Notice(Notice),
}

/// Makes the session's material; runs on the worker's thread.
pub type Loader = Box<dyn FnOnce(&JobCtx) -> anyhow::Result<Material> + Send>;

/// Everything that a computation depends on.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Of the choice.
    pub generation: u64,
    /// All open stores.
    pub sessions: Vec<Arc<Session>>,
    /// What the user decided.
    pub view: View,
    /// Samples per second that sounds are made ready at.
    pub player_rate_hz: u32,
    /// Where the cursor is: a long utterance is decoded from there on.
    pub position_sec: f64,
}

enum Request {
    Load(Loader, JobCtx),
    Compute { wish: Wish, cancel: Cancel, asked: Instant },
}

/// The worker as the window sees it.
pub struct Worker {
    lane: Lane<Request>,
    deliveries: Receiver<Delivery>,
    desk: Desk,
    cancel: Cancel,
    playhead: Playhead,
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
    /// Starts the thread and the loading. `wake` is called after each delivery.
    pub fn start(ctx: JobCtx, loader: Loader, wake: impl Fn() + Send + Sync + 'static) -> std::io::Result<Self> {
        let (sender, deliveries) = mpsc::channel();
        let desk = Desk { sender, wake: Arc::new(wake) };
        let playhead = Playhead::default();
        let mut bench = Bench::new(desk.clone(), Arc::new(sounds::scorer(desk.clone())?), playhead.clone());
        let lane = Lane::start("interactive", move |request| bench.serve(request))?;
        let closed = ctx.cancel.clone();
        lane.request(Request::Load(loader, ctx));
        Ok(Self { lane, deliveries, desk, cancel: Cancel::default(), playhead, closed })
    }

    /// Asks for all that `wish` needs; what was asked before and is not yet made is dropped.
    pub fn compute(&mut self, wish: Wish) {
        self.cancel.cancel();
        self.cancel = Cancel::default();
        self.playhead.set(wish.position_sec);
        self.lane.request(Request::Compute { wish, cancel: self.cancel.clone(), asked: Instant::now() });
    }

    /// The cursor is there now: what is still to be decoded of a long utterance comes from there on.
    pub fn hear_from(&self, position_sec: f64) {
        self.playhead.set(position_sec);
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

/// The thread's side: what was made and for what, so that nothing is made twice.
struct Bench {
    desk: Desk,
    player_rate_hz: u32,
    sessions: Vec<Arc<Session>>,
    grounds: BTreeMap<(usize, usize), Arc<Ground>>,
    rolled: Option<Arc<Rolled>>,
    kept: BTreeMap<u32, Arc<Kept>>,
    fan: Option<Arc<Fan>>,
    compared: BTreeMap<Comparand, Arc<Compared>>,
    sounds: BTreeMap<Source, Arc<Sound>>,
    /// What there is of a long truth, and of which.
    pieces: Option<(Basis, Pieces)>,
    /// The newest rollout that was heard before the truth around it.
    ahead: Option<(Source, Basis)>,
    playhead: Playhead,
    /// Works beside this thread.
    scorer: Arc<Lane<Vec<Pair>>>,
}

impl Bench {
    fn new(desk: Desk, scorer: Arc<Lane<Vec<Pair>>>, playhead: Playhead) -> Self {
        Self {
            desk,
            scorer,
            playhead,
            pieces: None,
            ahead: None,
            player_rate_hz: 0,
            sessions: Vec::new(),
            grounds: BTreeMap::new(),
            rolled: None,
            kept: BTreeMap::new(),
            fan: None,
            compared: BTreeMap::new(),
            sounds: BTreeMap::new(),
        }
    }

    fn serve(&mut self, request: Request) {
        let outcome = catch_unwind(AssertUnwindSafe(|| match request {
            Request::Load(loader, ctx) => self.load(loader, &ctx),
            Request::Compute { wish, cancel, asked } => self.compute(wish, &cancel, asked),
        }));
        let problem = match outcome {
            Ok(Ok(())) => return,
            // Overtaken by the next wish.
            Ok(Err(error)) if matches!(error.downcast_ref::<CodecError>(), Some(CodecError::Cancelled(_))) => return,
            Ok(Err(error)) => format!("{error:#}"),
            Err(_) => "the computation broke off (a bug; the terminal says where); change a setting to try again".into(),
        };
        self.desk.deliver(Delivery::Notice(Notice::Problem(problem)));
    }

    fn load(&mut self, loader: Loader, ctx: &JobCtx) -> anyhow::Result<()> {
        let started = Instant::now();
        let desk = self.desk.clone();
        let progress = Progress::new(move |event| desk.deliver(Delivery::Loading(event.stage.into_owned())));
        let ctx = JobCtx { progress, ..ctx.clone() };
        let material = loader(&ctx)?;
        trace("material loaded", started);
        let session = Arc::new(Session::prepare(&ctx, material)?);
        trace("session prepared", started);
        self.desk.deliver(Delivery::Ready(session));
        Ok(())
    }

    /// Curves first, then the sound that is listened to, then all else.
    fn compute(&mut self, wish: Wish, cancel: &Cancel, asked: Instant) -> anyhow::Result<()> {
        let Wish { generation, sessions, view, player_rate_hz, .. } = wish;
        let unchanged = self.sessions.len() == sessions.len() && self.sessions.iter().zip(&sessions).all(|(a, b)| Arc::ptr_eq(a, b));
        if !unchanged {
            *self = Self::new(self.desk.clone(), Arc::clone(&self.scorer), self.playhead.clone());
            self.sessions = sessions;
        }
        if self.player_rate_hz != player_rate_hz {
            self.player_rate_hz = player_rate_hz;
            self.sounds.clear();
        }
        let session = Arc::clone(self.sessions.get(view.choice.store).context("no such store is open")?);
        let rolled = match &self.rolled {
            Some(rolled) if rolled.generation == generation && rolled.choice.rolls_like(&view.choice) => Arc::clone(rolled),
            _ => {
                let ground = self.ground(&session, view.choice.store, view.choice.config.n_steps)?;
                let rolled = Arc::new(roll(&session, &ground, generation, view.choice.clone(), asked)?);
                trace("slider to curves", asked);
                self.rolled = Some(Arc::clone(&rolled));
                self.desk.deliver(Delivery::Rolled(Arc::clone(&rolled)));
                rolled
            }
        };
        self.rollout_ahead(&session, &view, &rolled, cancel, asked)?;
        for source in [Source::Truth, view.source] {
            self.sound(&session, &view, &rolled, source, cancel, asked)?;
        }
        self.keep_branches(&view, cancel)?;
        self.spread_fan(&session, &view, &rolled, cancel)?;
        self.compare(&view, &rolled, cancel)?;
        for source in [Source::Rollout, view.compared].into_iter().chain(view.sources()) {
            if cancel.check().is_err() {
                return Ok(());
            }
            self.sound(&session, &view, &rolled, source, cancel, asked)?;
        }
        self.score(&session, &view, &rolled);
        Ok(())
    }

    fn ground(&mut self, session: &Session, store: usize, n_steps: usize) -> anyhow::Result<Arc<Ground>> {
        if let Some(ground) = self.grounds.get(&(store, n_steps)) {
            return Ok(Arc::clone(ground));
        }
        let ground = session.ground(n_steps)?;
        self.grounds.insert((store, n_steps), Arc::clone(&ground));
        Ok(ground)
    }

    fn keep_branches(&mut self, view: &View, cancel: &Cancel) -> anyhow::Result<()> {
        self.kept.retain(|id, _| view.branch(*id).is_some());
        for branch in view.branches.iter().filter(|b| b.choice.store == view.choice.store) {
            if cancel.check().is_err() {
                return Ok(());
            }
            let same = |kept: &Arc<Kept>| {
                kept.branch.choice == branch.choice && kept.branch.pulls == branch.pulls && kept.branch.name == branch.name
            };
            if self.kept.get(&branch.id).is_some_and(same) {
                continue;
            }
            let Some(session) = self.sessions.get(branch.choice.store).cloned() else { continue };
            let rollout = roll_one(&session, &branch.choice, &branch.pulls)?;
            let path = project(&session, &rollout.states);
            let unit = session.ground.references.median_delta_norm;
            let line = Line::Branch(branch.id);
            let curves = Metric::ALL.iter().map(|metric| single_curve(line, &branch.name, *metric, &rollout, unit)).collect();
            let kept =
                Arc::new(Kept { branch: branch.clone(), path, off_manifold: session.manifold.distances(&rollout.states), rollout, curves });
            self.kept.insert(branch.id, Arc::clone(&kept));
            self.desk.deliver(Delivery::Kept(kept));
        }
        Ok(())
    }

    fn spread_fan(&mut self, session: &Session, view: &View, rolled: &Rolled, cancel: &Cancel) -> anyhow::Result<()> {
        let made = self.fan.as_ref().is_some_and(|fan| fan.choice.rolls_like(&rolled.choice) && fan.paths.len() == view.fan);
        if view.fan == 0 || made || cancel.check().is_err() {
            return Ok(());
        }
        let choice = &rolled.choice;
        let config = RolloutConfig { rule: MagnitudeRule::Sample, ..choice.config.clone() };
        let starts = vec![Segment { utterance: choice.utterance, t0: choice.t0 }; view.fan];
        let predictor = session.predictors.get(choice.predictor).context("no such predictor")?;
        let schedule = choice.schedule("fan", &[], session);
        let sampled = rollout(&drawn(session), &session.corpus, predictor, &session.baselines, &starts, &[schedule], &config)?;
        let sampled = sampled.into_iter().next().context("the rollout gave nothing")?;
        let unit = session.ground.references.median_delta_norm;
        let states = || sampled.states.chunks_exact(config.n_steps * session.corpus.dim);
        let paths = states().map(|states| project(session, states)).collect();
        let errors = sampled.state_err_after.chunks_exact(config.n_steps).map(|row| row.iter().map(|e| f64::from(*e) / unit).collect());
        let (errors, off_manifold) = (errors.collect(), states().map(|states| session.manifold.distances(states)).collect());
        let fan = Arc::new(Fan { choice: choice.clone(), rollout: sampled, paths, errors, off_manifold });
        self.fan = Some(Arc::clone(&fan));
        self.desk.deliver(Delivery::Fan(fan));
        Ok(())
    }

    fn compare(&mut self, view: &View, rolled: &Rolled, cancel: &Cancel) -> anyhow::Result<()> {
        self.compared.retain(|comparand, made| view.comparands.contains(comparand) && made.beside.rolls_like(&rolled.choice));
        for comparand in &view.comparands {
            if cancel.check().is_err() {
                return Ok(());
            }
            if self.compared.contains_key(comparand) {
                continue;
            }
            let Some(choice) = beside(&self.sessions, &rolled.choice, *comparand) else { continue };
            let session = Arc::clone(&self.sessions[comparand.store]);
            let ground = self.ground(&session, comparand.store, choice.config.n_steps)?;
            let live = roll_one(&session, &choice, &[])?;
            let report = population(&session, &ground, &choice, &[Schedule::free(choice.config.n_steps)])?;
            let name = comparand_name(&self.sessions, *comparand);
            let made = Arc::new(Compared { comparand: *comparand, beside: rolled.choice.clone(), name, live, report });
            self.compared.insert(*comparand, Arc::clone(&made));
            self.desk.deliver(Delivery::Compared(made));
        }
        Ok(())
    }
}

/// The choice that a compared predictor is rolled out with: the same utterance, the same time, the same settings.
pub fn beside(sessions: &[Arc<Session>], choice: &Choice, comparand: Comparand) -> Option<Choice> {
    let (own, other) = (sessions.get(choice.store)?, sessions.get(comparand.store)?);
    let id = &own.corpus.utterances.get(choice.utterance)?.id;
    let utterance = other.corpus.utterances.iter().position(|u| u.id == *id)?;
    let ratio = own.frame_sec() / other.frame_sec();
    let scaled = |frames: usize| (frames as f64 * ratio).round() as usize;
    let n_steps = scaled(choice.config.n_steps).max(1);
    let (first, last) = other.start_range(utterance, comparand.predictor, n_steps)?;
    Some(Choice {
        store: comparand.store,
        utterance,
        predictor: comparand.predictor,
        t0: scaled(choice.t0).clamp(first, last),
        config: RolloutConfig { n_steps, ..choice.config.clone() },
        painted: if comparand.store == choice.store { choice.painted.clone() } else { Vec::new() },
        ..choice.clone()
    })
}

/// "MDN k=1", with its store where several are open.
pub fn comparand_name(sessions: &[Arc<Session>], comparand: Comparand) -> String {
    let Some(session) = sessions.get(comparand.store) else { return "no such store".into() };
    let name = session.predictor_name(comparand.predictor);
    if sessions.len() > 1 { format!("{name} · {}", session.name) } else { name }
}

/// The session's context, for rollouts that leave their states on the GPU to be drawn from there.
fn drawn(session: &Session) -> JobCtx {
    JobCtx { gpu: session.ctx.gpu.as_ref().map(Gpu::drawn), ..session.ctx.clone() }
}

/// One rollout from the choice's start.
fn roll_one(session: &Session, choice: &Choice, pulls: &[Pull]) -> anyhow::Result<Rollout> {
    let predictor = session.predictors.get(choice.predictor).context("no such predictor")?;
    let start = [Segment { utterance: choice.utterance, t0: choice.t0 }];
    let schedule = choice.schedule("live", pulls, session);
    let rolled = rollout(&drawn(session), &session.corpus, predictor, &session.baselines, &start, &[schedule], &choice.config)?;
    rolled.into_iter().next().context("the rollout gave nothing")
}

/// Modes over the population.
fn population(session: &Session, ground: &Ground, choice: &Choice, schedules: &[Schedule]) -> anyhow::Result<InjectionReport> {
    let predictor = session.predictors.get(choice.predictor).context("no such predictor")?;
    let config = InjectionConfig { rollout: choice.config.clone(), n_resamples: N_RESAMPLES };
    let references = ground.references.clone();
    Ok(inject(&session.ctx, &session.corpus, predictor, &session.baselines, &ground.population, schedules, references, &config)?)
}

/// The live rollout and A–D over the population.
fn roll(session: &Session, ground: &Ground, generation: u64, choice: Choice, asked: Instant) -> anyhow::Result<Rolled> {
    let began = Instant::now();
    let live = roll_one(session, &choice, &[])?;
    let step_us = began.elapsed().as_secs_f64() * 1e6 / live.n_steps as f64;
    let report = population(session, ground, &choice, &Schedule::standard(choice.config.n_steps))?;
    let truth = &session.corpus.utterances[choice.utterance].latents;
    let (true_path, rolled_path) = (project(session, &truth.values), project(session, &live.states));
    let off_manifold = session.manifold.distances(&live.states);
    let unit = report.references.median_delta_norm;
    let distance = |(a, b): (&[f32], &[f32])| a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>().sqrt() / unit;
    let true_frames = truth.values[choice.t0 * live.dim..].chunks_exact(live.dim);
    let off_truth = live.states.chunks_exact(live.dim).zip(true_frames).map(distance).collect();
    let latent_pictures = if session.codec.is_none() { latent_pictures(session, truth, &live) } else { Vec::new() };
    let plots = plots(&report, Some(&live));
    let milliseconds = asked.elapsed().as_secs_f64() * 1e3;
    let n_starts = ground.population.len();
    Ok(Rolled {
        generation,
        choice,
        live,
        report,
        n_starts,
        plots,
        true_path,
        rolled_path,
        latent_pictures,
        off_truth,
        off_manifold,
        milliseconds,
        step_us,
    })
}

fn latent_pictures(session: &Session, truth: &Latents, live: &Rollout) -> Vec<Picture> {
    let (mean, unit) = (&session.pca.mean, session.ground.references.median_delta_norm);
    let (t0, spliced) = (live.segments[0].t0, splice(truth, live, 0));
    let (before, rolled) = spliced.values.split_at(t0 * truth.dim);
    let off = rolled.iter().zip(&truth.values[before.len()..]).map(|(a, b)| a - b);
    let difference: Vec<f32> = vec![0.0; before.len()].into_iter().chain(off).collect();
    let none = vec![0.0; truth.dim];
    vec![
        latent_picture(&truth.values, mean, &session.spread, unit),
        latent_picture(&spliced.values, mean, &session.spread, unit),
        latent_picture(&difference, &none, &session.spread, unit),
    ]
}

fn project(session: &Session, frames: &[f32]) -> Path {
    frames.chunks_exact(session.corpus.dim).map(|x| session.pca.project(x)).collect()
}
