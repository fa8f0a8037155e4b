//! The window: state, commands and panels over the core's functions.
//!
//! One direction: panels read [`state::State`] and send [`command::Command`]s; [`App::logic`](eframe::App::logic) applies them and
//! takes in what the [`worker`] delivers; [`App::ui`](eframe::App::ui) only draws. Nothing is computed here that the command
//! line cannot compute.

pub mod caption;
pub mod command;
pub mod curves;
pub mod drawing;
mod export;
pub mod gpu;
pub mod panels;
pub mod picture;
mod player;
pub mod session;
mod signals;
pub mod source;
pub mod state;
pub mod theme;
pub mod worker;

use std::time::Instant;

use anyhow::Context as _;
use driftscope_core::engine::{DeviceChoice, open_device};
use driftscope_core::job::JobCtx;
use driftscope_core::playback::OutputChoice;
use eframe::egui;

use command::Commands;
use drawing::Drawings;
use player::Deck;
use source::Source;
use state::{Effect, SoundState, State};
use worker::{Loader, Worker};

/// What the command line says about the window.
pub struct WindowOptions {
    /// Device of all computation.
    pub device: DeviceChoice,
    /// Seed of all randomness.
    pub seed: u64,
    /// Makes what the window works on, on the worker's thread.
    pub loader: Loader,
}

/// Opens the window and returns when it is closed. Without a display this is an error, and nothing was shown.
pub fn open(options: WindowOptions) -> anyhow::Result<()> {
    let started = Instant::now();
    anyhow::ensure!(has_display(), "no display: neither WAYLAND_DISPLAY nor DISPLAY is set");
    let device = open_device(options.device)?;
    let viewport = egui::ViewportBuilder::default()
        .with_title("Driftscope")
        .with_app_id("driftscope")
        .with_inner_size(theme::WINDOW_SIZE)
        .with_min_inner_size(theme::SMALLEST_WINDOW);
    let native = eframe::NativeOptions { viewport, ..Default::default() };
    let ctx = JobCtx::quiet(device.device, options.seed);
    let build = move |cc: &eframe::CreationContext<'_>| -> Result<Box<dyn eframe::App>, Box<dyn std::error::Error + Send + Sync>> {
        let mut app = App::new(&cc.egui_ctx, ctx, options.loader, &OutputChoice::Default)?;
        app.started = started;
        app.device = device.description;
        app.drawings = Drawings::new(cc.wgpu_render_state.as_ref());
        signals::close_on_request(&cc.egui_ctx)?;
        Ok(Box::new(app))
    };
    // eframe's error is not Sync on every platform, hence the text.
    eframe::run_native("Driftscope", native, Box::new(build)).map_err(|e| anyhow::anyhow!("{e}")).context("the window could not be opened")
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
    deck: Deck,
    drawings: Drawings,
    device: String,
    started: Instant,
    complete: bool,
}

impl App {
    /// Starts loading at once.
    pub fn new(egui_ctx: &egui::Context, ctx: JobCtx, loader: Loader, output: &OutputChoice) -> std::io::Result<Self> {
        theme::install(egui_ctx);
        let deck = Deck::open(output);
        let repaint = egui_ctx.clone();
        let worker = Worker::start(ctx, loader, deck.rate_hz(), move || repaint.request_repaint())?;
        Ok(Self {
            state: State::default(),
            commands: Commands::default(),
            worker,
            deck,
            drawings: Drawings::default(),
            device: String::new(),
            started: Instant::now(),
            complete: false,
        })
    }

    fn carry_out(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Compute => self.worker.compute(self.state.generation, self.state.choice.clone()),
                Effect::Seek => self.deck.seek(),
                Effect::Export(folder) => export::start(&self.state, folder, self.worker.desk()),
            }
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
}

impl eframe::App for App {
    fn logic(&mut self, ctx: &egui::Context, _frame: &mut eframe::Frame) {
        let deliveries: Vec<_> = self.worker.deliveries().collect();
        for delivery in deliveries {
            let effects = self.state.receive(delivery);
            self.carry_out(effects);
        }
        panels::keys(ctx, &mut self.commands);
        for command in self.commands.take() {
            let effects = self.state.apply(command);
            self.carry_out(effects);
        }
        self.deck.sync(&mut self.state);
        ctx.set_theme(self.state.theme);
        self.note_completion();
        if self.state.playing {
            ctx.request_repaint();
        }
    }

    fn raw_input_hook(&mut self, ctx: &egui::Context, raw_input: &mut egui::RawInput) {
        panels::take_tab(ctx, raw_input, &mut self.commands);
    }

    fn ui(&mut self, ui: &mut egui::Ui, _frame: &mut eframe::Frame) {
        panels::window_ui(ui, &self.state, &self.device, &mut self.drawings, &mut self.commands);
        if !self.commands.as_slice().is_empty() {
            // A command is applied before the next frame is drawn, so there must be one.
            ui.ctx().request_repaint();
        }
    }
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
