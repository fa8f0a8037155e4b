//! The curves on screen as a figure on disk: the same numbers, through the core's figure renderer.
//!
//! Runs on its own thread: a file dialog may stay open for as long as the user likes, and rendering takes a moment.

use std::path::PathBuf;
use std::sync::Arc;

use driftscope_core::figure::{self, FigureSpec, Provenance, Width};

use super::command::ExportFolder;
use super::curves::{Line, Metric};
use super::session::Session;
use super::state::{Notice, State};
use super::worker::{Delivery, Desk, Rolled};

/// Where figures go when nobody is asked.
const DEFAULT_FOLDER: &str = "driftscope-figures";

/// Starts writing what `state` shows; the outcome is delivered as a notice.
pub(super) fn start(state: &State, folder: ExportFolder, desk: Desk) {
    let (Some(session), Some(rolled)) = (state.session.clone(), state.rolled.clone()) else {
        desk.deliver(Delivery::Notice(Notice::Problem("There are no curves to export yet.".into())));
        return;
    };
    let hidden = state.hidden.clone();
    let reply = desk.clone();
    let work = move || {
        let Some(folder) = resolve(folder) else { return };
        let spec = figure_spec(&session, &rolled, |line| !hidden.contains(&line));
        let notice = match figure::write(&spec, &folder) {
            Ok(files) => Notice::Done(said(&files)),
            Err(error) => Notice::Problem(format!("The figure was not written: {error}")),
        };
        reply.deliver(Delivery::Notice(notice));
    };
    if let Err(error) = std::thread::Builder::new().name("export".into()).spawn(work) {
        desk.deliver(Delivery::Notice(Notice::Problem(format!("The figure was not written: {error}"))));
    }
}

fn said(files: &[PathBuf]) -> String {
    let names: Vec<_> = files.iter().filter_map(|f| f.file_name()).map(|n| n.to_string_lossy()).collect();
    let folder = files.first().and_then(|f| f.parent()).map_or_else(String::new, |f| f.display().to_string());
    format!("Wrote {} to {folder}.", names.join(", "))
}

/// `None` when the user closed the dialog.
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
        name: format!("rollout-{utterance}-{}", choice.t0),
        width: Width::DoubleColumn,
        row_height_mm: 55.0,
        columns: 2,
        font_size_pt: 8.0,
        line_width_pt: 1.0,
        panels: rolled.plots.iter().map(|p| p.panel(shown)).collect(),
        caption: format!(
            "Injection modes A–D averaged over {} starts of {} utterances, and the live rollout from frame {} of {utterance}; predictor {} \
             (k = {}), magnitude rule {:?}, α = {}.",
            session.population.len(),
            rolled.report.n_utterances,
            choice.t0,
            predictor.kind,
            predictor.horizon,
            choice.config.rule,
            choice.config.alpha,
        ),
        provenance: Provenance {
            store: session.corpus.source.clone(),
            checkpoint: predictor.hash.clone(),
            codec: session.codec.as_ref().map_or_else(String::new, |c| c.tag().weights_hash),
            seed: session.ctx.seed,
            version: env!("CARGO_PKG_VERSION").into(),
            definitions: Metric::ALL.iter().map(|m| format!("{}: {}", m.name(), m.definition())).collect(),
        },
    }
}
