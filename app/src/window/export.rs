//! The curves on screen as a figure on disk: the same numbers, through the core's figure renderer.
//!
//! Runs on its own thread: a file dialog may stay open for as long as the user likes, and rendering takes a moment.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use driftscope_core::figure::{self, FigureSpec, Provenance, Width};

use super::caption;
use super::command::ExportFolder;
use super::curves::{Line, definitions};
use super::session::Session;
use super::state::{Notice, State};
use super::worker::{Delivery, Desk, Rolled};

/// Where figures go when nobody is asked.
const DEFAULT_FOLDER: &str = "driftscope-figures";

/// Held from the choice of a free name until its files are there, so that two exports never choose the same.
static WRITING: Mutex<()> = Mutex::new(());

/// Starts writing what `state` shows; the outcome is delivered as a notice.
pub(super) fn start(state: &State, folder: ExportFolder, desk: Desk) {
    let (Some(session), Some(rolled)) = (state.session.clone(), state.rolled.clone()) else {
        desk.deliver(Delivery::Notice(Notice::Problem("There are no curves to export yet.".into())));
        return;
    };
    let hidden = state.hidden.clone();
    let reply = desk.clone();
    let work = move || {
        let notice = match resolve(folder) {
            Some(folder) => write(figure_spec(&session, &rolled, |line| !hidden.contains(&line)), &folder),
            None => Notice::Done(not_chosen()),
        };
        reply.deliver(Delivery::Notice(notice));
    };
    if let Err(error) = std::thread::Builder::new().name("export".into()).spawn(work) {
        desk.deliver(Delivery::Notice(Notice::Problem(format!("The figure was not written: {error}"))));
    }
}

/// Writes under a name that no earlier figure has.
fn write(mut spec: FigureSpec, folder: &Path) -> Notice {
    let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    spec.name = free_name(&spec.name, folder);
    match std::path::absolute(folder).map_err(|e| e.to_string()).and_then(|f| figure::write(&spec, &f).map_err(|e| e.to_string())) {
        Ok(files) => Notice::Done(said(&files)),
        Err(error) => Notice::Problem(format!("The figure was not written: {error}")),
    }
}

/// `stem`, else `stem-2`, `stem-3`, …: the first of which nothing lies in `folder`.
fn free_name(stem: &str, folder: &Path) -> String {
    let taken = |name: &String| ["svg", "png", "csv"].iter().any(|extension| folder.join(format!("{name}.{extension}")).exists());
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
fn resolve(folder: ExportFolder) -> Option<PathBuf> {
    match folder {
        ExportFolder::Default => Some(PathBuf::from(DEFAULT_FOLDER)),
        ExportFolder::Path(path) => Some(path),
        ExportFolder::Ask => rfd::FileDialog::new().set_title("Folder for the figure").pick_folder(),
    }
}

/// The four plots as one figure.
fn figure_spec(session: &Arc<Session>, rolled: &Rolled, shown: impl Fn(Line) -> bool + Copy) -> FigureSpec {
    let choice = &rolled.choice;
    let utterance = session.corpus.utterances.get(choice.utterance).map_or("", |u| u.id.as_str());
    let predictor = &session.predictors[choice.predictor].info;
    FigureSpec {
        name: format!("rollout-{}-{}", utterance.replace(['/', '\\', ':', '\0'], "_"), choice.t0),
        width: Width::DoubleColumn,
        row_height_mm: 55.0,
        columns: 2,
        font_size_pt: 8.0,
        line_width_pt: 1.0,
        panels: rolled.plots.iter().map(|p| p.panel(shown)).collect(),
        caption: caption_of(session, rolled),
        provenance: Provenance {
            store: session.corpus.source.clone(),
            checkpoint: predictor.hash.clone(),
            codec: session.codec.as_ref().map_or_else(String::new, |c| c.tag().weights_hash),
            seed: session.ctx.seed,
            version: env!("CARGO_PKG_VERSION").into(),
            definitions: definitions(Line::LEGEND.into_iter().filter(|line| shown(*line))),
        },
    }
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
        session.population.len(),
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
            let Notice::Done(sentence) = write(spec.clone(), folder.path()) else { panic!("not written") };
            assert!(sentence.contains(wanted) && sentence.contains(&*folder.path().to_string_lossy()), "{sentence}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 9);
    }
}
