//! No command: the window, or, where there is no display, the demo without one.

use std::path::PathBuf;
use std::sync::Arc;

use driftscope_core::latents::Store;

use super::output::ForceArg;
use super::session::Session;
use super::{JsonArg, Report, demo};
use crate::window::WindowOptions;

/// Opens the window on a store, or on the demo. Without a display the demo runs headless, and the text says where its report is.
pub(super) fn run(project: Option<PathBuf>, checkpoints: Vec<PathBuf>, session: &Session) -> anyhow::Result<Report> {
    if super::doctor::display().is_none() {
        return match project {
            None => headless(session),
            Some(store) => anyhow::bail!(
                "there is no display to show {} on (neither WAYLAND_DISPLAY nor DISPLAY is set); `driftscope inject --store {}` runs without one",
                store.display(),
                store.display()
            ),
        };
    }
    // A store that cannot be opened is said here rather than in a window that comes up empty.
    let store = project.as_deref().map(Store::open).transpose()?;
    anyhow::ensure!(
        store.is_some() || checkpoints.is_empty(),
        "--predictor needs the store that it predicts: driftscope STORE --predictor CKPT"
    );
    let (store, checkpoints) = (store.map(Arc::new), Arc::new(checkpoints));
    crate::window::open(|| WindowOptions {
        device: session.choice,
        seed: session.seed,
        loader: match store.clone() {
            None => Box::new(|job| crate::demo::material(&job.device)),
            Some(store) => {
                let checkpoints = Arc::clone(&checkpoints);
                Box::new(move |job| crate::open::material(&store, &checkpoints, job))
            }
        },
        project: project.clone(),
        memory: Some(crate::open::data_folder().join("sessions")),
        registry: Some(session.registry.clone()),
        figures: PathBuf::from(crate::window::export::DEFAULT_FOLDER),
    })?;
    Ok(Report::default())
}

/// The demo's report goes to the user's data folder, where it may replace that of an earlier start.
fn headless(session: &Session) -> anyhow::Result<Report> {
    session.console.notice("no display: running the demo without a window (`driftscope demo --out DIR` does so anywhere)");
    let out = session.registry.folder().with_file_name("demo");
    let args = demo::Args { out, force: ForceArg { force: true }, json: JsonArg::default() };
    demo::run(&args, session)
}
