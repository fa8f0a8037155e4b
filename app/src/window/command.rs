//! Everything a panel can ask for. Panels never write state; they push commands, and [`super::state::State::apply`] decides.

use std::path::PathBuf;

use driftscope_core::predict::MagnitudeRule;
use driftscope_core::rollout::synthetic::Accumulation;
use eframe::egui::ThemePreference;

use super::curves::Line;
use super::source::Source;

/// One wish of the user.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Show another utterance (index into the corpus).
    ChooseUtterance(usize),
    /// Roll out with another predictor (index into the session's).
    ChoosePredictor(usize),
    /// First predicted frame.
    SetStart(usize),
    /// Put the cursor on a frame.
    SetCursor(usize),
    /// Move the cursor by whole frames.
    MoveCursor(i64),
    /// Move the cursor by seconds, onto a frame.
    MoveCursorSec(f64),
    /// Put the cursor on a step of the rollout, 1-based; 0 is the last true frame.
    SetStep(usize),
    /// Factor on every predicted Δ.
    SetAlpha(f32),
    /// Which point of the distribution advances the state.
    SetRule(MagnitudeRule),
    /// True state after every N steps.
    SetReanchor(Option<usize>),
    /// Noise on the state after each step.
    SetNoise(f32),
    /// Spread of samples.
    SetTemperature(f32),
    /// Put the true state back after this 1-based step, or no longer.
    ToggleInjection(usize),
    /// How the synthetic modes add up.
    SetAccumulation(Accumulation),
    /// All rollout settings back to their defaults.
    ResetRollout,
    /// Listen to a source from the cursor on.
    Listen(Source),
    /// Play or pause.
    TogglePlay,
    /// Back to the source heard before.
    SwapSource,
    /// Repeat the rollout's stretch.
    ToggleLoop,
    /// Show or hide a curve everywhere.
    ToggleLine(Line),
    /// Dark, light, or as the system.
    SetTheme(ThemePreference),
    /// Write the curves as a figure.
    Export(ExportFolder),
    /// Turn the trajectory, radians about the vertical and towards the viewer.
    TurnTrajectory(eframe::egui::Vec2),
    /// See the trajectory as at first start.
    ResetTrajectory,
    /// The notice was read.
    DismissNotice,
}

/// Where a figure goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ExportFolder {
    /// `driftscope-figures` in the working folder.
    Default,
    /// Ask with the system's dialog.
    Ask,
    /// This one.
    Path(PathBuf),
}

/// Commands of one frame, in order.
#[derive(Debug, Default)]
pub struct Commands(Vec<Command>);

impl Commands {
    /// Asks for something.
    pub fn send(&mut self, command: Command) {
        self.0.push(command);
    }

    /// Takes all that was asked for.
    pub fn take(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.0)
    }

    /// What was asked for so far.
    pub fn as_slice(&self) -> &[Command] {
        &self.0
    }
}
