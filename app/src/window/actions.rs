//! Everything that can be asked for by name: one table for the menus, the palette and the keys.

use std::sync::LazyLock;

use driftscope_core::playback::outputs;
use driftscope_core::predict::MagnitudeRule;
use driftscope_core::rollout::Schedule;
use driftscope_core::rollout::synthetic::Accumulation;
use eframe::egui::{Key, KeyboardShortcut, Modifiers, ThemePreference};

use super::blind::BlindDraft;
use super::command::{Ask, Command, FigureOf};
use super::curves::Metric;
use super::jobs::FitDraft;
use super::layout::{self, Pane};
use super::state::{SoundState, State};
use super::view::{ColorBy, Comparand};

/// Where an action stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Menu {
    /// Files, figures, the end.
    File,
    /// Undo and settings that go back.
    Edit,
    /// Panes, axes, theme.
    View,
    /// What is rolled out.
    Rollout,
    /// What is heard.
    Listen,
    /// In the palette alone: too many for a menu.
    Item,
}

impl Menu {
    /// Those of the menu bar.
    pub const BAR: [(Self, &str); 5] =
        [(Self::File, "File"), (Self::Edit, "Edit"), (Self::View, "View"), (Self::Rollout, "Rollout"), (Self::Listen, "Listen")];
}

/// One thing that can be asked for.
#[derive(Clone, Debug)]
pub struct Action {
    /// Where it stands.
    pub menu: Menu,
    /// Its name; what stands before a colon groups it in its menu.
    pub name: String,
    /// Keys that do the same.
    pub keys: Option<KeyboardShortcut>,
    /// What it asks for.
    pub command: Command,
    /// It can be asked for now.
    pub enabled: bool,
    /// It is in force now.
    pub chosen: bool,
}

const fn plain(key: Key) -> Option<KeyboardShortcut> {
    Some(KeyboardShortcut::new(Modifiers::NONE, key))
}

const fn with_command(key: Key) -> Option<KeyboardShortcut> {
    Some(KeyboardShortcut::new(Modifiers::COMMAND, key))
}

/// "ctrl+shift+Z", "[".
pub fn keys_text(keys: &KeyboardShortcut) -> String {
    let held = [(keys.modifiers.command || keys.modifiers.ctrl, "ctrl+"), (keys.modifiers.shift, "shift+"), (keys.modifiers.alt, "alt+")];
    let held: String = held.iter().filter(|(is, _)| *is).map(|(_, name)| *name).collect();
    let key = match keys.logical_key {
        Key::ArrowLeft => "←",
        Key::ArrowRight => "→",
        Key::ArrowUp => "↑",
        Key::ArrowDown => "↓",
        Key::OpenBracket => "[",
        Key::CloseBracket => "]",
        Key::Comma => ",",
        Key::Period => ".",
        Key::Minus => "-",
        Key::Plus => "+",
        other => other.name(),
    };
    format!("{held}{key}")
}

impl Action {
    /// Opens what lies at a path.
    pub fn open(path: &std::path::Path) -> Self {
        let (name, command) = (format!("Open {}", path.display()), Command::Open(path.to_owned()));
        Self { menu: Menu::Item, name, keys: None, command, enabled: true, chosen: false }
    }
}

/// Keys that work although a slider or button has the focus: those that no widget uses itself.
pub fn works_on_a_widget(keys: &KeyboardShortcut) -> bool {
    !matches!(
        keys.logical_key,
        Key::Space | Key::Enter | Key::ArrowLeft | Key::ArrowRight | Key::ArrowUp | Key::ArrowDown | Key::Home | Key::End
    )
}

/// All actions, as they are now.
pub fn actions(state: &State) -> Vec<Action> {
    let mut all = Table(Vec::new());
    file(state, &mut all);
    edit(state, &mut all);
    view(state, &mut all);
    rollout(state, &mut all);
    listen(state, &mut all);
    items(state, &mut all);
    all.0
}

struct Table(Vec<Action>);

impl Table {
    fn add(&mut self, menu: Menu, name: impl Into<String>, keys: Option<KeyboardShortcut>, command: Command) -> &mut Action {
        self.0.push(Action { menu, name: name.into(), keys, command, enabled: true, chosen: false });
        self.0.last_mut().expect("one was just added")
    }
}

fn file(state: &State, all: &mut Table) {
    let loaded = state.session().is_some();
    all.add(Menu::File, "Open store…", with_command(Key::O), Command::AskOpen(Ask::Store)).enabled = loaded;
    all.add(Menu::File, "Open checkpoint…", None, Command::AskOpen(Ask::Predictor)).enabled = loaded;
    all.add(Menu::File, "Open recording…", None, Command::AskOpen(Ask::Audio)).enabled = loaded;
    all.add(Menu::File, "Encode a folder of recordings…", None, Command::AskOpen(Ask::Corpus)).enabled = loaded;
    all.add(Menu::File, "Open figure…", None, Command::AskOpen(Ask::Figure)).enabled = loaded;
    for path in &state.recent {
        let name = format!("Open recent: {}", path.display());
        all.add(Menu::File, name, None, Command::Open(path.clone())).enabled = loaded;
    }
    for (of, name) in FigureOf::ALL {
        let keys = if of == FigureOf::Curves { with_command(Key::E) } else { None };
        let ready = state.is_current() && (of != FigureOf::Comparison || !state.comparison.is_empty());
        all.add(Menu::File, format!("Export figure: {}…", name.to_lowercase()), keys, Command::DraftFigure(of)).enabled = ready;
    }
    let draft = state.session().map(|_| FitDraft::first(state));
    all.add(Menu::File, "Fit a predictor…", None, Command::DraftFit(draft)).enabled = loaded;
    all.add(Menu::File, "Quit", with_command(Key::Q), Command::Quit);
}

fn edit(state: &State, all: &mut Table) {
    let [undo, redo] = state.can_undo();
    all.add(Menu::Edit, "Undo", with_command(Key::Z), Command::Undo).enabled = undo;
    let redo_keys = KeyboardShortcut::new(Modifiers::COMMAND.plus(Modifiers::SHIFT), Key::Z);
    all.add(Menu::Edit, "Redo", Some(redo_keys), Command::Redo).enabled = redo;
    all.add(Menu::Edit, "Reset rollout", None, Command::ResetRollout);
    all.add(Menu::Edit, "Reset view", None, Command::ResetView);
    all.add(Menu::Edit, "Palette", with_command(Key::K), Command::TogglePalette);
    all.add(Menu::Edit, "Keys", plain(Key::F1), Command::ToggleKeys);
}

fn view(state: &State, all: &mut Table) {
    all.add(Menu::View, "Library", None, Command::ToggleLibrary).chosen = state.view.sides.library;
    all.add(Menu::View, "Inspector", None, Command::ToggleInspector).chosen = state.view.sides.inspector;
    for pane in Pane::ALL {
        let shown = layout::find(&state.layout, pane).is_some_and(|tile| state.layout.is_visible(tile));
        all.add(Menu::View, format!("Pane: {}", pane.name()), None, Command::TogglePane(pane)).chosen = shown;
    }
    all.add(Menu::View, "Layout: as at first start", None, Command::ResetLayout);
    all.add(Menu::View, "Layout: keep as…", None, Command::NameLayout(Some(String::new())));
    for name in state.layouts.keys() {
        all.add(Menu::View, format!("Layout: {name}"), None, Command::LoadLayout(name.clone()));
    }
    for (theme, name) in [(ThemePreference::Dark, "dark"), (ThemePreference::Light, "light"), (ThemePreference::System, "as the system")] {
        all.add(Menu::View, format!("Theme: {name}"), None, Command::SetTheme(theme)).chosen = state.view.theme == theme;
    }
    for scale in [1.0_f32, 1.25, 1.5, 2.0] {
        let name = format!("Scale: {:.0} %", scale * 100.0);
        all.add(Menu::View, name, None, Command::SetScale(scale)).chosen = (state.view.scale - scale).abs() < 0.01;
    }
    for (color_by, name) in ColorBy::ALL {
        let name = format!("Color the trajectory: by {}", name.to_lowercase());
        all.add(Menu::View, name, None, Command::SetColorBy(color_by)).chosen = state.view.color_by == color_by;
    }
    for n in [0, 8, 16, 32] {
        let name = if n == 0 { "Fan: none".to_owned() } else { format!("Fan: {n} samples") };
        all.add(Menu::View, name, None, Command::SetFan(n)).chosen = state.view.fan == n;
    }
}

fn rollout(state: &State, all: &mut Table) {
    let n_steps = state.choice().config.n_steps;
    for (schedule, name) in Schedule::standard(n_steps).into_iter().zip(["A teacher", "B periodic", "C one-shot", "D rollout"]) {
        all.add(Menu::Rollout, format!("Paint steps: {name}"), None, Command::PaintAll(schedule.actions));
    }
    for (rule, name) in
        [(MagnitudeRule::Mean, "mean"), (MagnitudeRule::Median, "median"), (MagnitudeRule::Mode, "mode"), (MagnitudeRule::Sample, "sample")]
    {
        all.add(Menu::Rollout, format!("Magnitude rule: {name}"), None, Command::SetRule(rule)).chosen = state.choice().config.rule == rule;
    }
    for every in [None, Some(1), Some(2), Some(4), Some(8)] {
        let name = every.map_or_else(|| "Re-anchor: never".to_owned(), |n| format!("Re-anchor: every {n}"));
        all.add(Menu::Rollout, name, None, Command::SetReanchor(every)).chosen = state.choice().config.reanchor_every == every;
    }
    all.add(Menu::Rollout, "Keep as branch", plain(Key::B), Command::Branch { from: None, pull: None }).enabled = state.is_current();
    let frame = state.cursor_frame();
    all.add(Menu::Rollout, "Start at the cursor", plain(Key::S), Command::SetStart(frame));
    all.add(Menu::Rollout, "Start one frame earlier", plain(Key::Comma), Command::MoveStart(-1));
    all.add(Menu::Rollout, "Start one frame later", plain(Key::Period), Command::MoveStart(1));
    let truth = all.add(Menu::Rollout, "Inject truth at the cursor's step, or no longer", plain(Key::I), Command::ToggleTruth);
    truth.enabled = state.cursor_step().is_some();
    all.add(Menu::Rollout, "α down", plain(Key::Minus), Command::MoveAlpha(-0.05));
    all.add(Menu::Rollout, "α up", plain(Key::Plus), Command::MoveAlpha(0.05));
    all.add(Menu::Rollout, "α back to 1", None, Command::SetAlpha(1.0));
}

fn listen(state: &State, all: &mut Table) {
    all.add(Menu::Listen, if state.playing { "Pause" } else { "Play" }, plain(Key::Space), Command::TogglePlay);
    all.add(Menu::Listen, "Loop", plain(Key::L), Command::ToggleLoop).chosen = state.view.looping;
    all.add(Menu::Listen, "Begin the loop here", plain(Key::OpenBracket), Command::LoopFrom);
    all.add(Menu::Listen, "End the loop here", plain(Key::CloseBracket), Command::LoopTo);
    all.add(Menu::Listen, "Loop the rollout", None, Command::SetLoop(None));
    all.add(Menu::Listen, "Back to the source before", plain(Key::Tab), Command::SwapSource);
    all.add(Menu::Listen, "Match loudness", plain(Key::M), Command::ToggleLoudness).chosen = state.view.match_loudness;
    const NUMBERS: [Key; 9] = [Key::Num1, Key::Num2, Key::Num3, Key::Num4, Key::Num5, Key::Num6, Key::Num7, Key::Num8, Key::Num9];
    for source in state.view.sources() {
        let keys = source.key_number().and_then(|n| plain(NUMBERS[n - 1]));
        let action = all.add(Menu::Listen, format!("Hear: {}", state.source_name(source)), keys, Command::Listen(source));
        action.enabled = !matches!(state.sound(source), SoundState::Absent(_));
        action.chosen = state.view.source == source;
    }
    let draft = state.session().map(|_| Box::new(BlindDraft::first(state)));
    let heard = state.session().is_some_and(|s| s.codec.is_some());
    all.add(Menu::Listen, "Blind listening test…", with_command(Key::T), Command::DraftBlind(draft)).enabled = heard;
    all.add(Menu::Listen, "Open a listening test…", None, Command::AskOpen(Ask::Test)).enabled = state.session().is_some();
    for (value, name) in [(Accumulation::Accumulated, "accumulated"), (Accumulation::PerStep, "per step")] {
        let name = format!("Synthetic modes: {name}");
        all.add(Menu::Listen, name, None, Command::SetAccumulation(value)).chosen = state.choice().accumulation == value;
    }
    let frames = [
        ("One frame back", Modifiers::NONE, Key::ArrowLeft, Command::MoveCursor(-1)),
        ("One frame on", Modifiers::NONE, Key::ArrowRight, Command::MoveCursor(1)),
        ("One second back", Modifiers::SHIFT, Key::ArrowLeft, Command::MoveCursorSec(-1.0)),
        ("One second on", Modifiers::SHIFT, Key::ArrowRight, Command::MoveCursorSec(1.0)),
        ("To the first frame", Modifiers::NONE, Key::Home, Command::MoveCursorToEnd { last: false }),
        ("To the last frame", Modifiers::NONE, Key::End, Command::MoveCursorToEnd { last: true }),
    ];
    for (name, modifiers, key, command) in frames {
        all.add(Menu::Listen, name, Some(KeyboardShortcut::new(modifiers, key)), command);
    }
}

/// Utterances that the palette offers at once.
const MOST_UTTERANCES: usize = 500;

/// What there is too much of for a menu.
fn items(state: &State, all: &mut Table) {
    let Some(session) = state.session() else { return };
    all.add(Menu::Item, "Next utterance", plain(Key::ArrowDown), Command::StepUtterance(1));
    all.add(Menu::Item, "Utterance before", plain(Key::ArrowUp), Command::StepUtterance(-1));
    for (store, open) in state.sessions.iter().enumerate() {
        all.add(Menu::Item, format!("Store: {}", open.name), None, Command::ChooseStore(store)).chosen = store == state.choice().store;
    }
    for (i, _) in session.predictors.iter().enumerate().filter(|(_, p)| p.info.horizon == 1) {
        let name = session.predictor_name(i);
        let action = all.add(Menu::Item, format!("Predictor: {name}"), None, Command::ChoosePredictor(i));
        action.chosen = i == state.choice().predictor;
        let comparand = Comparand { store: state.choice().store, predictor: i };
        let action = all.add(Menu::Item, format!("Compare: {name}"), None, Command::ToggleComparand(comparand));
        action.chosen = state.view.comparands.contains(&comparand);
    }
    for (line, name) in state.legend() {
        let action = all.add(Menu::Item, format!("Curve: {name}"), None, Command::ToggleLine(line));
        action.chosen = !state.hidden().contains(&line);
    }
    let config = &state.choice().config;
    for (value, name) in [(0.0_f32, "0"), (0.25, ".25"), (0.5, ".50"), (0.75, ".75"), (1.0, "1"), (1.5, "1.50")] {
        all.add(Menu::Item, format!("α: {name}"), None, Command::SetAlpha(value)).chosen = (config.alpha - value).abs() < 1e-3;
        let noise = all.add(Menu::Item, format!("Noise σ: {name}"), None, Command::SetNoise(value));
        noise.chosen = (config.noise_sigma - value).abs() < 1e-3;
        let temperature = all.add(Menu::Item, format!("Temperature: {name} (rule sample)"), None, Command::SetTemperature(value));
        temperature.chosen = (config.temperature - value).abs() < 1e-3;
    }
    for degrees in [0.0_f32, 15.0, 30.0, 60.0, 90.0] {
        all.add(Menu::Item, format!("Angle off true: {degrees:.0}°"), None, Command::SetAngle(degrees));
    }
    for n_steps in [4, 8, 16, 24, 32] {
        all.add(Menu::Item, format!("Steps: {n_steps}"), None, Command::SetSteps(n_steps)).enabled = n_steps <= session.most_steps;
    }
    for metric in Metric::ALL {
        let pinned = state.view.axes.pinned.contains(&metric);
        let all_values = all.add(Menu::Item, format!("Show all values: {}", metric.name()), None, Command::ViewValues(metric, None));
        all_values.enabled = !pinned;
    }
    for pane in Pane::ALL {
        all.add(Menu::Item, format!("Go to: {}", pane.name()), None, Command::ShowPane(pane));
    }
    for branch in &state.view.branches {
        all.add(Menu::Item, format!("Branch: take the settings of {}", branch.name), None, Command::AdoptBranch(branch.id));
        all.add(Menu::Item, format!("Branch: drop {}", branch.name), None, Command::DropBranch(branch.id));
    }
    for job in state.jobs.iter().filter(|j| j.status == super::jobs::Status::Running) {
        all.add(Menu::Item, format!("Stop: {}", job.task.title()), None, Command::StopJob(job.id));
    }
    for name in state.layouts.keys() {
        all.add(Menu::Item, format!("Layout: forget {name}"), None, Command::DropLayout(name.clone()));
    }
    for device in OUTPUTS.iter() {
        let choice = driftscope_core::playback::OutputChoice::Device(device.id.clone());
        all.add(Menu::Item, format!("Output: {}", device.name), None, Command::ChooseOutput(choice));
    }
    all.add(Menu::Item, "Output: the system's", None, Command::ChooseOutput(driftscope_core::playback::OutputChoice::Default));
    all.add(Menu::Item, "Output: silence", None, Command::ChooseOutput(driftscope_core::playback::OutputChoice::Silent));
    // A store may hold tens of thousands: only those that what is typed may mean.
    let typed = state.palette.as_ref().map_or("", |p| p.query.as_str()).to_lowercase();
    let last = typed.split_whitespace().last().unwrap_or_default();
    let wanted = |id: &str| last.is_empty() || "utterance:".contains(last) || id.to_lowercase().contains(last);
    for (i, utterance) in session.corpus.utterances.iter().enumerate().filter(|(_, u)| wanted(&u.id)).take(MOST_UTTERANCES) {
        let action = all.add(Menu::Item, format!("Utterance: {}", utterance.id), None, Command::ChooseUtterance(i));
        action.chosen = i == state.choice().utterance;
    }
}

/// Asking the system for its devices takes a while, and is noisy on some: done once.
static OUTPUTS: LazyLock<Vec<driftscope_core::playback::OutputDevice>> = LazyLock::new(outputs);

/// Those that fit what is typed, best first: every word must be found, and where its letters start a word counts more.
pub fn matching(all: Vec<Action>, query: &str) -> Vec<Action> {
    let words: Vec<String> = query.to_lowercase().split_whitespace().map(str::to_owned).collect();
    let score = |action: &Action| -> Option<usize> {
        // Nobody types Greek.
        let name = action.name.to_lowercase().replace('α', "alpha α").replace('σ', "sigma σ").replace('Δ', "delta Δ");
        words.iter().try_fold(0, |sum, word| {
            let at = name.find(word.as_str())?;
            let starts = at == 0 || !name[..at].ends_with(char::is_alphanumeric);
            Some(sum + at.min(40) + if starts { 0 } else { 100 })
        })
    };
    let mut found: Vec<(usize, Action)> =
        all.into_iter().filter_map(|a| Some((score(&a)? + if a.enabled { 0 } else { 1_000 }, a))).collect();
    found.sort_by_key(|(score, _)| *score);
    found.into_iter().map(|(_, action)| action).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_actions_share_keys() {
        let all = actions(&State::default());
        let mut keys: Vec<_> = all.iter().filter_map(|a| a.keys).map(|k| format!("{k:?}")).collect();
        let n = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), n);
    }

    #[test]
    fn the_best_match_comes_first() {
        let names = |query: &str| matching(actions(&State::default()), query).into_iter().map(|a| a.name).collect::<Vec<_>>();
        assert_eq!(names("slow .5")[0], "Hear: Slow .50");
        assert_eq!(names("THEME dark")[0], "Theme: dark");
        assert!(names("no such thing").is_empty());
        assert!(names("").len() > 60);
    }
}
