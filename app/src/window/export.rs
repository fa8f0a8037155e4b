//! What is on screen as a figure on paper: the same numbers, through the core's figure renderer.
//!
//! Rendering and dialogs have a thread of their own: a dialog may stay open for as long as the user likes, and a preview takes a moment.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use driftscope_core::engine::lane::Lane;
use driftscope_core::figure::{self, FigureSpec, Legend, Panel, Provenance, Width};
use driftscope_core::rollout::Schedule;
use eframe::egui;

use super::caption;
use super::command::{ExportFolder, FigureEdit, FigureOf};
use super::curves::{Line, definitions};
use super::memory::Carried;
use super::session::Session;
use super::source::Source;
use super::state::{Notice, SoundState, State};
use super::theme;
use super::view::Choice;
use super::worker::{Delivery, Desk, Rolled};

/// Where figures go when nobody is asked.
pub const DEFAULT_FOLDER: &str = "driftscope-figures";

/// Held from the choice of a free name until its files are there, so that two exports never choose the same.
static WRITING: Mutex<()> = Mutex::new(());

/// Pixels an inch of the preview.
const PREVIEW_DPI: f64 = 120.0;

/// Settings of a figure in preparation.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// Of which view.
    pub of: FigureOf,
    /// Column width.
    pub width: Width,
    /// Text size, pt.
    pub font_size_pt: f64,
    /// Line width, pt.
    pub line_width_pt: f64,
    /// Height of a row of panels, mm.
    pub row_height_mm: f64,
    /// Panels a row.
    pub columns: usize,
    /// With legend.
    pub legend: bool,
    /// With caption.
    pub caption: bool,
    /// File stem.
    pub name: String,
}

impl Draft {
    /// As it is offered at first.
    pub fn new(of: FigureOf, state: &State) -> Self {
        let utterance = state.session().and_then(|s| s.corpus.utterances.get(state.choice().utterance)).map_or("", |u| u.id.as_str());
        Self {
            of,
            width: Width::DoubleColumn,
            font_size_pt: 8.0,
            line_width_pt: 1.0,
            row_height_mm: if of == FigureOf::Timeline { 30.0 } else { 50.0 },
            columns: if of == FigureOf::Timeline { 1 } else { 2 },
            legend: true,
            caption: true,
            name: format!("{}-{}-{}", stem(of), utterance.replace(['/', '\\', ':', '\0'], "_"), state.choice().t0),
        }
    }

    /// Changes one setting.
    pub fn edit(&mut self, edit: FigureEdit) {
        match edit {
            FigureEdit::Of(of) => {
                self.name = self.name.replacen(stem(self.of), stem(of), 1);
                (self.row_height_mm, self.columns) = if of == FigureOf::Timeline { (30.0, 1) } else { (50.0, 2) };
                self.of = of;
            }
            FigureEdit::Width(width) => self.width = width,
            FigureEdit::FontSize(pt) => self.font_size_pt = pt,
            FigureEdit::LineWidth(pt) => self.line_width_pt = pt,
            FigureEdit::RowHeight(mm) => self.row_height_mm = mm,
            FigureEdit::Columns(n) => self.columns = n.max(1),
            FigureEdit::Legend(legend) => self.legend = legend,
            FigureEdit::Caption(caption) => self.caption = caption,
            FigureEdit::Name(name) => self.name = name,
        }
    }
}

/// What a file's name begins with.
fn stem(of: FigureOf) -> &'static str {
    match of {
        FigureOf::Curves => "rollout",
        FigureOf::Comparison => "comparison",
        FigureOf::Timeline => "timeline",
        FigureOf::Trajectory => "trajectory",
    }
}

/// A figure in preparation as it will be on paper.
#[derive(Debug)]
pub struct Preview {
    /// Of which settings.
    pub draft: Draft,
    /// The picture, and its width in mm; or why there is none.
    pub picture: Result<(egui::ColorImage, f64), String>,
}

/// The threads that render and write figures. A preview may be overtaken by the next one; nothing that is to be written is.
#[derive(Debug)]
pub(super) struct Press {
    previews: Lane<(Draft, Result<FigureSpec, String>)>,
    folder: PathBuf,
    desk: Desk,
}

impl Press {
    /// Starts the preview's thread; figures go to `folder` when nobody is asked.
    pub(super) fn start(desk: Desk, folder: PathBuf) -> std::io::Result<Self> {
        let reply = desk.clone();
        let previews = Lane::start("figure", move |(draft, spec): (Draft, Result<FigureSpec, String>)| {
            let picture = spec.and_then(|spec| render(&spec));
            reply.deliver(Delivery::Preview(Arc::new(Preview { draft, picture })));
        })?;
        Ok(Self { previews, folder, desk })
    }

    /// Shows the figure in preparation.
    pub(super) fn preview(&self, state: &State) {
        if let Some(draft) = &state.figure {
            self.previews.request((draft.clone(), spec(state, draft)));
        }
    }

    /// Writes the figure in preparation, or the curves as a first draft has them; the outcome is delivered as a notice.
    pub(super) fn write(&self, state: &State, folder: ExportFolder) {
        let draft = state.figure.clone().unwrap_or_else(|| Draft::new(FigureOf::Curves, state));
        let spec = match spec(state, &draft) {
            Ok(spec) => spec,
            Err(why) => return self.desk.deliver(Delivery::Notice(Notice::Problem(format!("There is no figure to write: {why}.")))),
        };
        let carried = state.session().map(|session| Carried::of(&state.view, session, state.position_sec));
        let view = carried.and_then(|carried| serde_json::to_value(carried).ok()).unwrap_or_default();
        let (reply, usual) = (self.desk.clone(), self.folder.clone());
        // A dialog may stay open for as long as the user likes.
        let work = move || {
            let notice = match resolve(folder, usual) {
                Some(folder) => write(spec, &view, &folder),
                None => Notice::Done(not_chosen()),
            };
            reply.deliver(Delivery::Notice(notice));
        };
        if let Err(error) = std::thread::Builder::new().name("export".into()).spawn(work) {
            self.desk.deliver(Delivery::Notice(Notice::Problem(format!("The figure was not written: {error}"))));
        }
    }
}

fn render(spec: &FigureSpec) -> Result<(egui::ColorImage, f64), String> {
    let pixels = figure::to_pixels(spec, PREVIEW_DPI).map_err(|e| e.to_string())?;
    Ok((egui::ColorImage::from_rgba_premultiplied([pixels.width, pixels.height], &pixels.rgba), spec.width.millimeters()))
}

/// The figure that a draft describes; the reason where there is nothing to draw yet.
pub fn spec(state: &State, draft: &Draft) -> Result<FigureSpec, String> {
    let (Some(session), Some(rolled)) = (state.session(), &state.rolled) else { return Err("the curves are being computed".into()) };
    let shown = |line: Line| !state.hidden().contains(&line);
    let bare = FigureSpec {
        name: draft.name.clone(),
        width: draft.width,
        row_height_mm: draft.row_height_mm,
        columns: draft.columns,
        font_size_pt: draft.font_size_pt,
        line_width_pt: draft.line_width_pt,
        provenance: provenance(state, session),
        ..FigureSpec::default()
    };
    let made = match draft.of {
        FigureOf::Curves => FigureSpec {
            panels: with_branches(state, rolled).iter().map(|p| p.panel(shown)).collect(),
            caption: caption_of(session, rolled),
            ..bare
        },
        FigureOf::Comparison if state.comparison.is_empty() => return Err("no predictors are compared; choose some in Compare".into()),
        FigureOf::Comparison => FigureSpec {
            panels: state.comparison.iter().map(|p| p.panel(shown)).collect(),
            caption: format!(
                "Mode D of each predictor over {} starts of {}. Settings: {}; seed {}. {}. Gray: references.",
                rolled.n_starts,
                session.name,
                caption::advance(&rolled.choice.config),
                session.ctx.seed,
                caption::bands()
            ),
            ..bare
        },
        FigureOf::Timeline => timeline(state, session, rolled, bare)?,
        FigureOf::Trajectory => trajectory(state, session, rolled, bare),
    };
    let caption = if draft.caption { made.caption.clone() } else { String::new() };
    let legend = if draft.legend { Legend::Shown } else { Legend::Hidden };
    let panels = made.panels.into_iter().map(|panel| Panel { legend, ..panel }).collect();
    Ok(FigureSpec { caption, panels, ..made })
}

/// Waveform and spectrogram of the truth, the compared source and their difference, as far as they are in view.
fn timeline(state: &State, session: &Session, rolled: &Rolled, bare: FigureSpec) -> Result<FigureSpec, String> {
    let ready = |source| match state.sound(source) {
        SoundState::Ready(sound) => Ok(sound),
        SoundState::Computing => Err("the sounds are being computed".to_owned()),
        SoundState::Absent(reason) => Err(reason.to_owned()),
    };
    let (truth, other) = (ready(Source::Truth)?, ready(state.view.compared)?);
    let names = [state.source_name(Source::Truth), state.source_name(state.view.compared), "Difference".to_owned()];
    let difference = other.difference.as_ref().ok_or("the compared source is the truth itself; choose another to compare with")?;
    let x_range = Some(state.seconds_in_view());
    let color = |source: Source| theme::source_color(source, &egui::Visuals::light()).to_array();
    let seconds = [truth.clip.duration_sec(), other.clip.duration_sec(), truth.clip.duration_sec().min(other.clip.duration_sec())];
    let waves = [&truth.picture.envelope, &other.picture.envelope, &difference.envelope];
    let levels = [&truth.picture.spectrogram, &other.picture.spectrogram, &difference.spectrogram];
    let loudest = levels[0].db.iter().chain(&levels[1].db).copied().fold(f32::NEG_INFINITY, f32::max);
    let mut panels = Vec::new();
    for i in 0..3 {
        let is_difference = i == 2;
        let [r, g, b, _] = if is_difference { [128, 128, 128, 255] } else { color([Source::Truth, state.view.compared][i]) };
        panels.push(Panel {
            title: names[i].clone(),
            x_label: "time, s".into(),
            y_label: "amplitude".into(),
            envelopes: vec![figure::Envelope {
                name: names[i].clone(),
                color: [r, g, b],
                x: [0.0, seconds[i]],
                extremes: waves[i].clone(),
            }],
            x_range,
            ..Panel::default()
        });
        let (range, label, colors) = if is_difference {
            let limit = f64::from(theme::DIFFERENCE_RANGE_DB);
            ([-limit, limit], "difference, dB", theme::colors(|level| theme::difference(2.0 * level - 1.0, egui::Color32::WHITE)))
        } else {
            ([f64::from(loudest - theme::SPECTROGRAM_RANGE_DB), f64::from(loudest)], "level, dB", theme::colors(theme::heat))
        };
        panels.push(Panel {
            title: names[i].clone(),
            x_label: "time, s".into(),
            y_label: "frequency, kHz".into(),
            image: Some(figure::Image {
                name: names[i].clone(),
                label: label.into(),
                values: levels[i].db.clone(),
                n_rows: levels[i].n_bins,
                x: [0.0, seconds[i]],
                y: [0.0, levels[i].top_hz / 1e3],
                range,
                colors,
            }),
            x_range,
            ..Panel::default()
        });
    }
    let caption = format!(
        "Ground truth against {}, and their difference: of the samples, and of the levels in dB, which share one scale. {}",
        names[1],
        compared_origin(state, session, rolled)
    );
    Ok(FigureSpec { panels, caption, ..bare })
}

/// The plots on screen: the report's, and the kept rollouts of this utterance.
pub fn with_branches(state: &State, rolled: &Rolled) -> Vec<super::curves::CurvePlot> {
    let mut plots = rolled.plots.clone();
    for kept in state.kept.values().filter(|k| state.view.branch(k.branch.id).is_some() && state.is_here(&k.branch.choice)) {
        for (plot, curve) in plots.iter_mut().zip(&kept.curves) {
            plot.curves.push(curve.clone());
        }
    }
    plots
}

fn trajectory(state: &State, session: &Session, rolled: &Rolled, bare: FigureSpec) -> FigureSpec {
    let frame_sec = session.frame_sec();
    let truth = &session.corpus.utterances[rolled.choice.utterance].latents.values;
    let start_sec = rolled.choice.t0 as f64 * frame_sec;
    let mut paths = vec![figure::Path { name: "Rollout", color: theme::line_rgb(Line::Free), frames: &rolled.live.states, start_sec }];
    let fan = state.fan.as_ref().filter(|fan| state.view.fan > 0 && fan.choice.rolls_like(&rolled.choice));
    for states in fan.into_iter().flat_map(|fan| fan.rollout.states.chunks_exact(fan.rollout.n_steps * fan.rollout.dim)) {
        // One entry in the legend for all of them.
        paths.push(figure::Path { name: "Samples", color: theme::FAN_ON_PAPER, frames: states, start_sec });
    }
    for kept in state.kept.values().filter(|k| state.is_here(&k.branch.choice)) {
        paths.push(figure::Path {
            name: &kept.branch.name,
            color: theme::line_rgb(Line::Branch(kept.branch.id)),
            frames: &kept.rollout.states,
            start_sec: kept.branch.choice.t0 as f64 * frame_sec,
        });
    }
    let mut drawn = figure::trajectory(&bare.name, &session.pca, truth, frame_sec, &paths, bare.provenance.clone());
    // Many samples lie below what is read against them, and their ends are no marks.
    for panel in &mut drawn.panels {
        panel.series.sort_by_key(|series| series.color != theme::FAN_ON_PAPER);
        panel.marks.retain(|mark| mark.color != theme::FAN_ON_PAPER);
    }
    let caption = format!("{} {}", drawn.caption.trim_end(), origin(session, &rolled.choice, &rolled.live.schedule));
    FigureSpec { panels: drawn.panels, caption: caption.trim().to_owned(), ..bare }
}

fn provenance(state: &State, session: &Session) -> Provenance {
    let choice = state.choice();
    Provenance {
        store: session.corpus.source.clone(),
        checkpoint: session.predictors.get(choice.predictor).map_or_else(String::new, |p| p.info.hash.clone()),
        codec: session.codec.as_ref().map_or_else(String::new, |c| c.tag().weights_hash),
        seed: session.ctx.seed,
        version: env!("CARGO_PKG_VERSION").into(),
        definitions: definitions(Line::LEGEND.into_iter().filter(|line| !state.hidden().contains(line))),
    }
}

/// Writes under a name that no earlier figure has.
fn write(mut spec: FigureSpec, view: &serde_json::Value, folder: &Path) -> Notice {
    let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    spec.name = free_name(&spec.name, folder);
    match std::path::absolute(folder)
        .map_err(|e| e.to_string())
        .and_then(|f| figure::write_with_view(&spec, view, &f).map_err(|e| e.to_string()))
    {
        Ok(files) => Notice::Done(said(&files)),
        Err(error) => Notice::Problem(format!("The figure was not written: {error}")),
    }
}

/// `stem`, else `stem-2`, `stem-3`, …: the first of which nothing lies in `folder`.
fn free_name(stem: &str, folder: &Path) -> String {
    let taken = |name: &String| ["svg", "png", "pdf", "csv"].iter().any(|extension| folder.join(format!("{name}.{extension}")).exists());
    let numbered = (2..).map(|n: u64| format!("{stem}-{n}"));
    std::iter::once(stem.to_owned()).chain(numbered).find(|name| !taken(name)).unwrap_or_else(|| stem.to_owned())
}

/// A dialog that was closed and one that could not be opened look the same from here.
fn not_chosen() -> String {
    let folder = std::path::absolute(DEFAULT_FOLDER).unwrap_or_else(|_| DEFAULT_FOLDER.into());
    format!(
        "No folder was chosen. If no dialog opened, this system has none to offer (it takes a desktop portal or zenity): \"Export figure\" \
         writes to {} without one.",
        folder.display()
    )
}

fn said(files: &[PathBuf]) -> String {
    let names: Vec<_> = files.iter().filter_map(|f| f.file_name()).map(|n| n.to_string_lossy()).collect();
    let folder = files.first().and_then(|f| f.parent()).map_or_else(String::new, |f| f.display().to_string());
    format!("Wrote {} to {folder}", names.join(", "))
}

/// `None` when the user closed the dialog, or there is none.
fn resolve(folder: ExportFolder, usual: PathBuf) -> Option<PathBuf> {
    match folder {
        ExportFolder::Default => Some(usual),
        ExportFolder::Path(path) => Some(path),
        ExportFolder::Ask => rfd::FileDialog::new().set_title("Folder for the figure").pick_folder(),
    }
}

/// Where the compared source comes from: a branch has its own settings, and what is made from the truth alone has none of a rollout's.
fn compared_origin(state: &State, session: &Session, rolled: &Rolled) -> String {
    match state.view.compared {
        Source::Rollout | Source::Splice(_) => origin(session, &rolled.choice, &rolled.live.schedule),
        Source::Branch(id) => {
            let kept = state.kept.get(&id);
            kept.map_or_else(String::new, |kept| origin(session, &kept.branch.choice, &kept.rollout.schedule))
        }
        Source::Comparand(comparand) => {
            let compared = state.compared.get(&comparand);
            let choice = Choice { predictor: comparand.predictor, ..rolled.choice.clone() };
            compared.map_or_else(String::new, |compared| origin(session, &choice, &compared.live.schedule))
        }
        _ => {
            let id = session.corpus.utterances.get(rolled.choice.utterance).map_or("", |u| u.id.as_str());
            format!("Utterance {id} of {}; seed {}.", session.name, session.ctx.seed)
        }
    }
}

/// Where a rollout comes from, in one sentence.
fn origin(session: &Session, choice: &Choice, schedule: &Schedule) -> String {
    format!(
        "Rollout of {} steps from frame {} ({:.2} s) of utterance {} of {} ({}). Predictor: {}. Settings: {}; seed {}.",
        choice.config.n_steps,
        choice.t0,
        choice.t0 as f64 * session.frame_sec(),
        session.corpus.utterances.get(choice.utterance).map_or("", |u| u.id.as_str()),
        session.name,
        caption::plan(schedule),
        session.predictor_name(choice.predictor),
        caption::advance(&choice.config),
        session.ctx.seed
    )
}

/// Everything that shaped the curves, so that whoever finds the figure can make it again.
fn caption_of(session: &Session, rolled: &Rolled) -> String {
    let choice = &rolled.choice;
    let utterance = session.corpus.utterances.get(choice.utterance).map_or("", |u| u.id.as_str());
    let predictor = &session.predictors[choice.predictor].info;
    format!(
        "Live: the rollout from frame {} ({:.2} s) of utterance {utterance} ({}). {}; over {} starts of {} utterances of {}. Predictor: {}, \
         k = {}, window {}. Settings: {}; seed {}. {}. Gray: references.",
        choice.t0,
        choice.t0 as f64 * session.frame_sec(),
        caption::plan(&rolled.live.schedule),
        caption::modes(&rolled.report),
        rolled.n_starts,
        rolled.report.n_utterances,
        session.name,
        predictor.kind,
        predictor.horizon,
        predictor.window,
        caption::advance(&choice.config),
        session.ctx.seed,
        caption::bands(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_earlier_figure_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let spec = FigureSpec {
            name: "rollout-a-7".into(),
            panels: vec![figure::Panel {
                guides: vec![figure::Guide { name: "one".into(), color: [0; 3], stroke: figure::Stroke::Solid, y: 1.0 }],
                ..Default::default()
            }],
            ..FigureSpec::default()
        };
        for wanted in ["rollout-a-7.png", "rollout-a-7-2.png", "rollout-a-7-3.png"] {
            let Notice::Done(sentence) = write(spec.clone(), &serde_json::Value::Null, folder.path()) else { panic!("not written") };
            assert!(sentence.contains(wanted) && sentence.contains(&*folder.path().to_string_lossy()), "{sentence}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 12);
    }
}
