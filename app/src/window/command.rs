//! Everything a panel can ask for. Panels never write state; they push commands, and [`super::state::State::apply`] decides.

use std::path::PathBuf;

use driftscope_core::figure::Width;
use driftscope_core::playback::OutputChoice;
use driftscope_core::predict::MagnitudeRule;
use driftscope_core::rollout::StepAction;
use driftscope_core::rollout::synthetic::Accumulation;
use eframe::egui::ThemePreference;

use super::curves::{Line, Metric};
use super::jobs::Task;
use super::source::Source;
use super::view::{ColorBy, Comparand, Pull, View};

/// One wish of the user.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// Work on another open store.
    ChooseStore(usize),
    /// Show another utterance (index into the corpus).
    ChooseUtterance(usize),
    /// Show the utterance so many places further down the list.
    StepUtterance(i64),
    /// Roll out with another predictor (index into the session's).
    ChoosePredictor(usize),
    /// First predicted frame.
    SetStart(usize),
    /// Move the start by whole frames.
    MoveStart(i64),
    /// Steps of the rollouts.
    SetSteps(usize),
    /// Put the cursor on a frame.
    SetCursor(usize),
    /// Move the cursor by whole frames.
    MoveCursor(i64),
    /// Move the cursor by seconds, onto a frame.
    MoveCursorSec(f64),
    /// Put the cursor on a step of the rollout, 1-based; 0 is the last true frame.
    SetStep(usize),
    /// Put the cursor on the first or the last frame.
    MoveCursorToEnd {
        /// The last.
        last: bool,
    },
    /// Factor on every predicted Δ.
    SetAlpha(f32),
    /// Add to that factor.
    MoveAlpha(f32),
    /// Which point of the distribution advances the state.
    SetRule(MagnitudeRule),
    /// True state after every N steps.
    SetReanchor(Option<usize>),
    /// Noise on the state after each step.
    SetNoise(f32),
    /// Spread of samples.
    SetTemperature(f32),
    /// Angle off the true direction, degrees.
    SetAngle(f32),
    /// What becomes of the state after a 1-based step.
    Paint {
        /// Which.
        step: usize,
        /// What.
        action: StepAction,
    },
    /// Put the truth back after the cursor's step, or no longer.
    ToggleTruth,
    /// What the pointer paints.
    SetBrush(StepAction),
    /// Paint all steps at once: modes A–D are presets of it.
    PaintAll(Vec<StepAction>),
    /// How the synthetic modes add up.
    SetAccumulation(Accumulation),
    /// All rollout settings back to their defaults.
    ResetRollout,
    /// Keep the live rollout, or the rollout that the pull starts from, as a branch of its own.
    Branch {
        /// The branch that is pulled; `None` is the live rollout.
        from: Option<u32>,
        /// Where it is pulled to; `None` keeps it as it is.
        pull: Option<Pull>,
    },
    /// Give a branch a name.
    RenameBranch(u32, String),
    /// Take a branch's settings for the live rollout.
    AdoptBranch(u32),
    /// Drop a branch.
    DropBranch(u32),
    /// Compare a predictor, or no longer.
    ToggleComparand(Comparand),
    /// Listen to a source from the cursor on.
    Listen(Source),
    /// Play or pause.
    TogglePlay,
    /// Back to the source heard before.
    SwapSource,
    /// Repeat the loop's stretch.
    ToggleLoop,
    /// Begin the loop at the cursor.
    LoopFrom,
    /// End the loop at the cursor.
    LoopTo,
    /// The loop's stretch in seconds; `None` is the rollout's own.
    SetLoop(Option<[f64; 2]>),
    /// Play all sources as loud as the truth, or as they are.
    ToggleLoudness,
    /// Sound goes elsewhere.
    ChooseOutput(OutputChoice),
    /// Show or hide a curve everywhere.
    ToggleLine(Line),
    /// The pointer is on a curve, at a step.
    Hover(Option<(Line, usize)>),
    /// Steps in view in all plots.
    ViewSteps(Option<[f64; 2]>),
    /// Values in view of one plot, as plotted.
    ViewValues(Metric, Option<[f64; 2]>),
    /// Keep the value axis of a plot as it is, `[low, high]` as plotted, or let it go.
    PinValues(Metric, [f64; 2]),
    /// Seconds in view on the timeline.
    ViewSeconds(Option<[f64; 2]>),
    /// Sampled rollouts around the live one.
    SetFan(usize),
    /// What the trajectory is colored by.
    SetColorBy(ColorBy),
    /// Turn the trajectory, radians about the vertical and towards the viewer.
    TurnTrajectory(eframe::egui::Vec2),
    /// See the trajectory from nearer, or from further away.
    Approach(f32),
    /// What the flat trajectory shows, lowest and highest corner.
    ViewPlane(Option<[[f64; 2]; 2]>),
    /// See the trajectory as at first start.
    ResetTrajectory,
    /// All ranges and views as at first start; no computation changes.
    ResetView,
    /// Dark, light, or as the system.
    SetTheme(ThemePreference),
    /// Size of everything.
    SetScale(f32),
    /// Show or hide the library.
    ToggleLibrary,
    /// Show or hide the inspector.
    ToggleInspector,
    /// Show or hide a pane of the center.
    TogglePane(super::layout::Pane),
    /// Bring a pane to the front of its tabs.
    ShowPane(super::layout::Pane),
    /// Panes as at first start.
    ResetLayout,
    /// Keep the arrangement of panes under a name.
    SaveLayout(String),
    /// Arrange the panes as they were kept.
    LoadLayout(String),
    /// Forget a kept arrangement.
    DropLayout(String),
    /// Back to before the last choice.
    Undo,
    /// Forward again.
    Redo,
    /// Take over a whole view, as from a figure.
    Restore(Box<View>),
    /// Open or close the palette.
    TogglePalette,
    /// What is typed in the palette.
    PaletteQuery(String),
    /// Which of its rows is chosen.
    PaletteRow(usize),
    /// Prepare a figure of a view.
    DraftFigure(FigureOf),
    /// Change the figure in preparation.
    EditFigure(FigureEdit),
    /// Close it.
    CloseFigure,
    /// Write the figure.
    Export(ExportFolder),
    /// Open a file by what it is: store, checkpoint, recording, figure.
    Open(PathBuf),
    /// Ask for a file or folder, then open it.
    AskOpen(Ask),
    /// Do something that takes time.
    Start(Task),
    /// Stop a job.
    StopJob(u64),
    /// Start a stopped job again; a fit goes on from where it was.
    ResumeJob(u64),
    /// Prepare a fit.
    DraftFit(Option<super::jobs::FitDraft>),
    /// Prepare the encoding of a folder.
    DraftEncode(Option<super::jobs::EncodeDraft>),
    /// These weights for the encoding in preparation.
    EncodeWith(PathBuf),
    /// Prepare a listening test.
    DraftBlind(Option<Box<super::blind::BlindDraft>>),
    /// Ask who listens to the test that lies at a path (`None` closes the question).
    Visit(Option<(PathBuf, String)>),
    /// Enter the listening room: a test's folder, and who listens.
    EnterRoom(PathBuf, String),
    /// Something in the listening room.
    Room(super::room::RoomCommand),
    /// Type a layout's name (`None` closes the question).
    NameLayout(Option<String>),
    /// Show or hide the list of keys.
    ToggleKeys,
    /// The notice was read.
    DismissNotice,
    /// Close the window; asks while a job runs.
    Quit,
    /// Close it, whatever runs.
    QuitNow,
    /// Do not close it.
    KeepOpen,
}

/// What a figure is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FigureOf {
    /// The four plots of the rollout.
    Curves,
    /// The four plots of compared predictors.
    Comparison,
    /// Waveform and spectrogram of truth, compared source and difference.
    Timeline,
    /// The paths in principal components.
    Trajectory,
}

impl FigureOf {
    /// All, with names.
    pub const ALL: [(Self, &str); 4] =
        [(Self::Curves, "Curves"), (Self::Comparison, "Comparison"), (Self::Timeline, "Timeline"), (Self::Trajectory, "Trajectory")];
}

/// One change to a figure in preparation.
#[derive(Clone, Debug, PartialEq)]
pub enum FigureEdit {
    /// Of another view.
    Of(FigureOf),
    /// Column width.
    Width(Width),
    /// Text size, pt.
    FontSize(f64),
    /// Line width, pt.
    LineWidth(f64),
    /// Height of a row of panels, mm.
    RowHeight(f64),
    /// Panels a row.
    Columns(usize),
    /// With legend.
    Legend(bool),
    /// With caption.
    Caption(bool),
    /// File stem.
    Name(String),
}

/// What is asked for with the system's dialog.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A latents store.
    Store,
    /// A predictor's checkpoint.
    Predictor,
    /// A recording.
    Audio,
    /// A folder of recordings, to be made a store.
    Corpus,
    /// Weights of a codec, for the encoding in preparation.
    Weights,
    /// A figure made here.
    Figure,
    /// A listening test.
    Test,
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
pub struct Commands {
    asked: Vec<Command>,
    hovering: bool,
}

impl Commands {
    /// Asks for something.
    pub fn send(&mut self, command: Command) {
        self.asked.push(command);
    }

    /// The pointer is on a plot, near a curve or not; said in every frame in which it is.
    pub fn hover(&mut self, now: Option<(Line, usize)>, before: Option<(Line, usize)>) {
        self.hovering = true;
        if now != before {
            self.send(Command::Hover(now));
        }
    }

    /// All plots have spoken: the pointer is on none of them where none has said so.
    pub fn end_hover(&mut self, before: Option<(Line, usize)>) {
        if !std::mem::take(&mut self.hovering) && before.is_some() {
            self.send(Command::Hover(None));
        }
    }

    /// Takes all that was asked for.
    pub fn take(&mut self) -> Vec<Command> {
        std::mem::take(&mut self.asked)
    }

    /// What was asked for so far.
    pub fn as_slice(&self) -> &[Command] {
        &self.asked
    }
}
