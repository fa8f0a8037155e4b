//! The window: state, commands and panels over the core's functions.
//!
//! One direction: panels read [`state::State`] and send [`command::Command`]s; [`App::logic`](eframe::App::logic) applies them and
//! takes in what the [`worker`] delivers; [`App::ui`](eframe::App::ui) only draws. Nothing is computed here that the command
//! line cannot compute.

pub mod actions;
pub mod blind;
pub mod caption;
pub mod command;
pub mod curves;
pub mod decimate;
pub mod drawing;
pub mod export;
pub mod gpu;
pub mod jobs;
pub mod layout;
pub mod memory;
mod opening;
pub mod panels;
pub mod picture;
mod player;
pub mod room;
pub mod session;
mod signals;
pub mod source;
pub mod state;
pub mod theme;
pub mod view;
pub mod worker;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use driftscope_core::engine::{DeviceChoice, DevicePlan, Health, WgpuSetup, shareable};
use driftscope_core::job::JobCtx;
use driftscope_core::playback::OutputChoice;
use driftscope_core::run::Registry;
use eframe::{egui, egui_wgpu};

use command::{Command, Commands};
use drawing::Drawings;
use export::Press;
use gpu::Pulse;
use jobs::Runner;
use memory::Memory;
use player::Deck;
use room::{Booth, RoomCommand};
use source::Source;
use state::{Effect, Notice, SoundState, State};
use worker::{Delivery, Loader, Worker};

/// What the command line says about the window.
pub struct WindowOptions {
    /// Device of all computation.
    pub device: DeviceChoice,
    /// Seed of all randomness.
    pub seed: u64,
    /// Makes what the window works on, on the worker's thread.
    pub loader: Loader,
    /// The store that was named; `None` is the demo.
    pub project: Option<PathBuf>,
    /// Where sessions are kept; `None` keeps none.
    pub memory: Option<PathBuf>,
    /// Where fits are recorded.
    pub registry: Option<Registry>,
    /// Where figures go when nobody is asked.
    pub figures: PathBuf,
}

/// Opens the window and returns when it is closed. Without a display this is an error, and nothing was shown. A window that lost the device
/// it was drawn by is opened anew as `options` say, on the CPU, and goes on with the session that it kept.
pub fn open(options: impl Fn() -> WindowOptions) -> anyhow::Result<()> {
    anyhow::ensure!(has_display(), "no display: neither WAYLAND_DISPLAY nor DISPLAY is set");
    if let Ending::DeviceLost = show(options(), None)? {
        let sentence = "The graphics device gave up; this is the window opened anew, and the CPU computes from here on.";
        let again = WindowOptions { device: DeviceChoice::Cpu, ..options() };
        if let Ending::DeviceLost = show(again, Some(Notice::Problem(sentence.into())))? {
            anyhow::bail!("the graphics device gave up twice, and the window with it; what was done is kept for the next start");
        }
    }
    Ok(())
}

/// Why a window was closed.
enum Ending {
    Asked,
    DeviceLost,
}

fn show(options: WindowOptions, notice: Option<Notice>) -> anyhow::Result<Ending> {
    let started = Instant::now();
    let plan = DevicePlan::of(options.device);
    // A GPU is opened by the window and shared with it; all else is there, or refused, before there is a window.
    let own = if plan.is_shareable() { None } else { Some(plan.open()?) };
    let viewport = egui::ViewportBuilder::default()
        .with_title("Driftscope")
        .with_app_id("driftscope")
        .with_inner_size(theme::WINDOW_SIZE)
        .with_min_inner_size(theme::SMALLEST_WINDOW);
    let mut native = eframe::NativeOptions { viewport, ..Default::default() };
    if let (None, egui_wgpu::WgpuSetup::CreateNew(setup)) = (&own, &mut native.wgpu_options.wgpu_setup) {
        setup.device_descriptor = Arc::new(shareable);
    }
    let is_lost = Arc::new(AtomicBool::new(false));
    let tells = Arc::clone(&is_lost);
    let build = move |cc: &eframe::CreationContext<'_>| -> Result<Box<dyn eframe::App>, Box<dyn std::error::Error + Send + Sync>> {
        let opened = match (own, &cc.wgpu_render_state) {
            (Some(opened), _) => opened,
            (None, Some(state)) => plan.open_on(setup_of(state))?,
            (None, None) => plan.open()?,
        };
        let opened = opened.measuring_into(&crate::open::measurements());
        let mut app = App::new(&cc.egui_ctx, JobCtx::on(&opened, options.seed), options, &OutputChoice::Default)?;
        app.started = started;
        app.device = opened.description;
        app.pulse = cc.wgpu_render_state.as_ref().map(|state| Pulse::of(&state.device, &state.queue));
        app.is_lost = tells;
        app.drawings = Drawings::new(cc.wgpu_render_state.as_ref());
        app.pace = Pace::of(cc.wgpu_render_state.as_ref());
        app.state.notice = notice.or(app.state.notice);
        signals::close_on_request(&cc.egui_ctx)?;
        Ok(Box::new(app))
    };
    // eframe's error is not Sync on every platform, hence the text.
    eframe::run_native("Driftscope", native, Box::new(build))
        .map_err(|e| anyhow::anyhow!("{e}"))
        .context("the window could not be opened")?;
    Ok(if is_lost.load(Ordering::Relaxed) { Ending::DeviceLost } else { Ending::Asked })
}

/// eframe's device as the engine takes it.
fn setup_of(state: &egui_wgpu::RenderState) -> WgpuSetup {
    let egui_wgpu::RenderState { instance, adapter, device, queue, .. } = state.clone();
    let backend = adapter.get_info().backend;
    WgpuSetup { instance, adapter, device, queue, backend }
}

#[cfg(all(unix, not(target_os = "macos")))]
fn has_display() -> bool {
    ["WAYLAND_DISPLAY", "WAYLAND_SOCKET", "DISPLAY"].iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

#[cfg(not(all(unix, not(target_os = "macos"))))]
fn has_display() -> bool {
    true
}

/// The window's content, with or without a window around it.
#[derive(Debug)]
pub struct App {
    /// What the panels read.
    pub state: State,
    commands: Commands,
    worker: Worker,
    runner: Runner,
    press: Press,
    deck: Deck,
    booth: Option<Booth>,
    drawings: Drawings,
    pulse: Option<Pulse>,
    /// The device that draws is gone.
    is_lost: Arc<AtomicBool>,
    keeper: Keeper,
    device: String,
    health: Health,
    lost: bool,
    pace: Pace,
    started: Instant,
    complete: bool,
    closing: bool,
    /// The sentence on screen, and since when.
    said: Option<(Notice, Instant)>,
}

impl App {
    /// Starts loading at once.
    pub fn new(egui_ctx: &egui::Context, ctx: JobCtx, options: WindowOptions, output: &OutputChoice) -> std::io::Result<Self> {
        theme::install(egui_ctx);
        let health = ctx.health.clone();
        let repaint = egui_ctx.clone();
        let worker = Worker::start(ctx.clone(), options.loader, move || repaint.request_repaint())?;
        let runner = Runner::new(worker.desk(), ctx, options.registry);
        let press = Press::start(worker.desk(), options.figures)?;
        let mut state = State::default();
        let keeper = Keeper::new(options.memory, options.project, &mut state);
        let mut app = Self {
            state,
            commands: Commands::default(),
            worker,
            runner,
            press,
            deck: Deck::open(output),
            booth: None,
            drawings: Drawings::default(),
            pulse: None,
            is_lost: Arc::default(),
            keeper,
            device: String::new(),
            health,
            lost: false,
            pace: Pace::default(),
            started: Instant::now(),
            complete: false,
            closing: false,
            said: None,
        };
        app.deck.sync(&mut app.state);
        Ok(app)
    }

    /// Does what [`State::apply`] could not do by itself.
    pub fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Compute => self.worker.compute(self.state.wish()),
                Effect::Seek => self.deck.seek(),
                Effect::Export(folder) => self.press.write(&self.state, folder),
                Effect::Preview => self.press.preview(&self.state),
                Effect::Open(path) => opening::open(path, self.state.choice().store, self.worker.desk(), &mut self.commands),
                Effect::AskOpen(ask) => opening::ask(ask, self.state.choice().store, self.worker.desk()),
                Effect::Start(id, task) => self.runner.start(id, task, &self.state.sessions),
                Effect::Stop(id) => self.runner.stop(id),
                Effect::Output(choice) => {
                    if self.deck.reopen(choice) {
                        self.deck.sync(&mut self.state);
                        self.worker.compute(self.state.wish());
                    }
                }
                Effect::EnterRoom(path, listener) => {
                    let desk = self.worker.desk();
                    let deliver = move |fetched| desk.deliver(Delivery::Fetched(Box::new(fetched)));
                    match Booth::open(&path, &listener, &self.state.sessions, deliver) {
                        Ok(booth) => self.booth = Some(booth),
                        Err(error) => self.state.notice = Some(Notice::Problem(format!("{error:#}"))),
                    }
                }
                Effect::Fetched(sounds) => self.booth.iter_mut().for_each(|booth| booth.receive((*sounds).clone())),
                Effect::Room(RoomCommand::Leave) => self.leave_room(),
                Effect::Room(command) => self.booth.iter_mut().for_each(|booth| booth.act(command.clone())),
                Effect::Close => self.closing = true,
            }
        }
    }

    /// Back to the window; the player is given its sounds again.
    fn leave_room(&mut self) {
        if self.booth.take().is_some() {
            self.state.room = None;
            self.deck.take_back();
        }
    }

    /// Says once how long it took until nothing was missing on screen.
    fn note_completion(&mut self) {
        let there = |source| !matches!(self.state.sound(source), SoundState::Computing);
        if !self.complete && self.state.is_current() && there(Source::Truth) && there(Source::Rollout) {
            self.complete = true;
            trace("start to complete window", self.started);
        }
    }

    /// Says once that the device is gone.
    fn note_loss(&mut self) {
        if let Some(reason) = self.health.lost().filter(|_| !self.lost) {
            self.state.notice = Some(Notice::Problem(format!("The graphics device gave up ({reason}); the CPU computes instead.")));
            self.device = format!("CPU; lost: {}", self.device);
            self.lost = true;
        }
    }

    /// What was done is said for a while; a problem until it was read.
    fn let_notices_go(&mut self, ctx: &egui::Context) {
        match (&self.state.notice, &self.said) {
            (Some(notice), Some((said, since))) if notice == said => {
                if matches!(notice, Notice::Done(_)) {
                    let left = Self::SAID_FOR.saturating_sub(since.elapsed());
                    if left.is_zero() {
                        self.state.notice = None;
                    } else {
                        ctx.request_repaint_after(left);
                    }
                }
            }
            (Some(notice), _) => {
                self.said = Some((notice.clone(), Instant::now()));
                ctx.request_repaint_after(Self::SAID_FOR);
            }
            (None, _) => self.said = None,
        }
    }

    /// How long a sentence about something done stays.
    const SAID_FOR: Duration = Duration::from_secs(8);

    /// A window that is closed while jobs run asks first.
    fn mind_closing(&mut self, ctx: &egui::Context) {
        if ctx.input(|i| i.viewport().close_requested()) && !self.closing && self.state.n_running() > 0 {
            ctx.send_viewport_cmd(egui::ViewportCommand::CancelClose);
            self.commands.send(Command::Quit);
        }
        for file in ctx.input(|i| i.raw.dropped_files.clone()) {
            self.commands.send(Command::Open(file.path().to_owned()));
        }
    }

    fn work(&mut self, ctx: &egui::Context) {
        let deliveries: Vec<Delivery> = self.worker.deliveries().collect();
        for delivery in deliveries {
            let effects = self.state.receive(delivery);
            self.carry_out(effects);
        }
        self.mind_closing(ctx);
        panels::keys(ctx, &self.state, &mut self.commands);
        // Commands may ask for commands (a file that turns out to be a store); each round is applied in order.
        while !self.commands.as_slice().is_empty() {
            for command in self.commands.take() {
                let effects = self.state.apply(command);
                self.carry_out(effects);
            }
        }
        if self.closing {
            ctx.send_viewport_cmd(egui::ViewportCommand::Close);
        }
        match &mut self.booth {
            Some(booth) => self.state.room = Some(booth.sync(self.deck.player())),
            None => self.deck.sync(&mut self.state),
        }
        self.worker.hear_from(self.state.position_sec);
        self.state.remember(ctx.input(|i| i.time));
        self.keeper.keep(&mut self.state);
        ctx.set_theme(self.state.view.theme);
        if (ctx.zoom_factor() - self.state.view.scale).abs() > 1e-3 {
            ctx.set_zoom_factor(self.state.view.scale);
        }
        self.note_completion();
        self.note_loss();
        self.let_notices_go(ctx);
        if self.state.playing || self.booth.as_ref().is_some_and(Booth::is_playing) {
            ctx.request_repaint_after(self.pace.between_frames());
        } else if self.state.n_running() > 0 {
            ctx.request_repaint_after(Duration::from_millis(250));
        }
    }
}

impl eframe::App for App {
    fn logic(&mut self, ctx: &egui::Context, _frame: &mut eframe::Frame) {
        self.pace.begin();
        if self.pulse.as_ref().is_some_and(|pulse| !pulse.is_there()) {
            self.is_lost.store(true, Ordering::Relaxed);
            self.closing = true;
        }
        self.work(ctx);
        self.pace.pause();
    }

    fn raw_input_hook(&mut self, ctx: &egui::Context, raw_input: &mut egui::RawInput) {
        panels::take_tab(ctx, &self.state, raw_input, &mut self.commands);
    }

    fn ui(&mut self, ui: &mut egui::Ui, _frame: &mut eframe::Frame) {
        if self.is_lost.load(Ordering::Relaxed) {
            return;
        }
        self.pace.resume();
        let mut layout = std::mem::replace(&mut self.state.layout, egui_tiles::Tree::empty(egui::Id::unique("center")));
        let about = panels::About { device: &self.device, pace: self.pace.sentence() };
        panels::window_ui(ui, &self.state, &about, &mut layout, &mut self.drawings, &mut self.commands);
        self.state.layout = layout;
        if !self.commands.as_slice().is_empty() {
            // A command is applied before the next frame is drawn, so there must be one.
            ui.ctx().request_repaint();
        }
        self.pace.end(self.state.n_running());
    }

    fn on_exit(&mut self) {
        // Nobody is left to be told.
        let _ = self.keeper.write(&self.state);
        self.pace.report();
    }
}

/// Writes the session's file whenever something changed, at most every few seconds.
#[derive(Debug)]
struct Keeper {
    file: Option<PathBuf>,
    _hold: Option<memory::Hold>,
    written: Option<Memory>,
    due: Instant,
    failed: bool,
}

impl Keeper {
    /// Between two writes.
    const PAUSE: Duration = Duration::from_secs(3);

    fn new(folder: Option<PathBuf>, project: Option<PathBuf>, state: &mut State) -> Self {
        let mut file = folder.as_ref().map(|folder| memory::file(folder, project.as_deref()));
        // A folder that cannot be locked is one that cannot be written: that is said when it is tried.
        let hold = file.as_deref().and_then(|file| memory::hold(file).transpose());
        if file.is_some() && hold.is_none() {
            file = None;
            let sentence = "Another window has this project open: this one starts fresh, and its session is not kept.";
            state.notice = Some(Notice::Problem(sentence.into()));
        }
        if let (Some(folder), Some(file)) = (&folder, &file) {
            state.recall(memory::read(file));
            state.recent = memory::recent(folder);
            if let Some(project) = &project {
                // A list that cannot be written costs a convenience, no work.
                let _ = memory::remember_recent(folder, project);
            }
        }
        Self { file, _hold: hold.and_then(Result::ok), written: None, due: Instant::now() + Self::PAUSE, failed: false }
    }

    fn keep(&mut self, state: &mut State) {
        if Instant::now() < self.due || self.failed {
            return;
        }
        self.due = Instant::now() + Self::PAUSE;
        if let Err(error) = self.write(state) {
            self.failed = true;
            state.notice = Some(Notice::Problem(format!("This session is not kept: {error}")));
        }
    }

    fn write(&mut self, state: &State) -> Result<(), String> {
        let (Some(file), Some(memory)) = (&self.file, state.memory()) else { return Ok(()) };
        if self.written.as_ref() == Some(&memory) {
            return Ok(());
        }
        memory.write(file).map_err(|error| format!("{}: {error}", file.display()))?;
        self.written = Some(memory);
        Ok(())
    }
}

/// How long the window's own work takes, frame by frame: logic and drawing, before presentation.
#[derive(Debug, Default)]
struct Pace {
    adapter: String,
    software: bool,
    began: Option<Instant>,
    spent: Duration,
    ended: Option<Instant>,
    own_ms: Vec<f32>,
    /// The frames of those that were drawn while a job ran.
    beside_job_ms: Vec<f32>,
    between_ms: Vec<f32>,
}

impl Pace {
    /// Frames that the numbers are taken over.
    const FRAMES: usize = 600;

    fn of(render_state: Option<&egui_wgpu::RenderState>) -> Self {
        let info = render_state.map(|r| r.adapter.get_info());
        Self {
            adapter: info.as_ref().map_or_else(String::new, |i| format!("{} ({:?})", i.name, i.backend)),
            software: info.is_some_and(|i| i.device_type == eframe::wgpu::DeviceType::Cpu),
            ..Self::default()
        }
    }

    /// While sound plays: a display drawn in software leaves the cores to the computation between frames.
    fn between_frames(&self) -> Duration {
        if self.software { Duration::from_millis(33) } else { Duration::ZERO }
    }

    fn begin(&mut self) {
        let now = Instant::now();
        if let Some(ended) = self.ended {
            push(&mut self.between_ms, now - ended);
        }
        self.spent = Duration::ZERO;
        self.began = Some(now);
    }

    fn pause(&mut self) {
        self.spent += self.began.take().map_or(Duration::ZERO, |began| began.elapsed());
    }

    fn resume(&mut self) {
        self.began = Some(Instant::now());
    }

    fn end(&mut self, n_jobs: usize) {
        self.pause();
        push(&mut self.own_ms, self.spent);
        if n_jobs > 0 {
            push(&mut self.beside_job_ms, self.spent);
        }
        self.ended = Some(Instant::now());
    }

    /// "own work a frame 2.1 ms (99 %: 4.0 ms); presentation and waiting 11.2 ms; llvmpipe (Vulkan)".
    fn sentence(&self) -> String {
        let Some([median, late]) = quantiles(&self.own_ms) else { return String::new() };
        let present = quantiles(&self.between_ms).map_or(0.0, |q| q[0]);
        let adapter = &self.adapter;
        let beside = quantiles(&self.beside_job_ms)
            .map_or_else(String::new, |[median, late]| format!(", while a job ran {median:.1} ms (99 %: {late:.1} ms)"));
        format!("own work a frame {median:.1} ms (99 %: {late:.1} ms){beside}; presentation and waiting {present:.1} ms; {adapter}")
    }

    fn report(&self) {
        if std::env::var_os("DRIFTSCOPE_TRACE").is_some() {
            #[expect(clippy::print_stderr, reason = "asked for by the user's environment")]
            {
                eprintln!("trace: {}", self.sentence());
            }
        }
    }
}

fn push(times: &mut Vec<f32>, time: Duration) {
    if times.len() == Pace::FRAMES {
        times.remove(0);
    }
    times.push(time.as_secs_f32() * 1e3);
}

/// Median and 99 % quantile.
fn quantiles(times: &[f32]) -> Option<[f32; 2]> {
    let mut sorted = times.to_vec();
    sorted.sort_by(f32::total_cmp);
    let last = sorted.len().checked_sub(1)?;
    Some([sorted[last / 2], sorted[(last as f64 * 0.99).round() as usize]])
}

/// With `DRIFTSCOPE_TRACE` set: one line on stderr with the time since `since`.
fn trace(what: &str, since: Instant) {
    if std::env::var_os("DRIFTSCOPE_TRACE").is_some() {
        #[expect(clippy::print_stderr, reason = "asked for by the user's environment")]
        {
            eprintln!("trace: {what}: {:.1} ms", since.elapsed().as_secs_f64() * 1e3);
        }
    }
}
