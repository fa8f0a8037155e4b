//! Files that the user drops, chooses or asks for again: what they are, and what is done with them.

use std::path::{Path, PathBuf};

use driftscope_core::figure;
use driftscope_core::latents::scan_audio;

use super::command::{Ask, Command, Commands};
use super::jobs::{EncodeDraft, Task};
use super::memory::Carried;
use super::state::Notice;
use super::worker::{Delivery, Desk};

/// What a file is, as far as its name and form tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Store,
    Corpus,
    Predictor,
    Audio,
    Figure,
    Test,
}

fn kind(path: &Path) -> Option<Kind> {
    let extension = path.extension().unwrap_or_default().to_string_lossy().to_lowercase();
    match extension.as_str() {
        _ if path.is_dir() && path.join("plan.json").is_file() => Some(Kind::Test),
        "json" if path.file_name().is_some_and(|n| n == "plan.json") => Some(Kind::Test),
        // Whatever else a folder is, what is wrong with it as a store is said when it is opened.
        _ if path.is_dir() && !is_store(path) && scan_audio(path).is_ok() => Some(Kind::Corpus),
        _ if path.is_dir() => Some(Kind::Store),
        "safetensors" | "pt" => Some(Kind::Predictor),
        "wav" | "flac" | "mp3" | "ogg" => Some(Kind::Audio),
        "png" | "svg" | "pdf" => Some(Kind::Figure),
        _ => None,
    }
}

fn is_store(path: &Path) -> bool {
    [".zgroup", ".zarray", "zarr.json"].iter().any(|file| path.join(file).exists())
}

/// Opens a file by what it is.
pub(super) fn open(path: PathBuf, store: usize, desk: Desk, commands: &mut Commands) {
    match kind(&path) {
        Some(Kind::Store) => commands.send(Command::Start(Task::OpenStore { path })),
        Some(Kind::Corpus) => commands.send(Command::DraftEncode(Some(EncodeDraft::first(path)))),
        Some(Kind::Predictor) => commands.send(Command::Start(Task::AddPredictor { path, store })),
        Some(Kind::Audio) => commands.send(Command::Start(Task::AddAudio { path, store })),
        Some(Kind::Figure) => figure_view(&path, &desk),
        Some(Kind::Test) => commands.send(Command::Visit(Some((path, std::env::var("USER").unwrap_or_default())))),
        None => {
            let sentence = format!(
                "{}: not opened; what can be opened are stores (folders), folders of recordings, checkpoints (.safetensors, .pt), recordings (.wav, .flac, .mp3, \
                 .ogg), figures made here (.png, .svg, .pdf) and listening tests (folders with a plan.json)",
                path.display()
            );
            desk.deliver(Delivery::Notice(Notice::Problem(sentence)));
        }
    }
}

/// Reads the view out of a figure.
fn figure_view(path: &Path, desk: &Desk) {
    let carried = figure::read_provenance(path).map_err(|e| e.to_string()).and_then(|origin| {
        let view = origin.view.ok_or_else(|| format!("{}: carries no view; it was not made by the window", path.display()))?;
        serde_json::from_value::<Carried>(view).map_err(|e| format!("{}: its view cannot be read ({e})", path.display()))
    });
    desk.deliver(match carried {
        Ok(carried) => Delivery::Opened(Box::new(carried)),
        Err(sentence) => Delivery::Notice(Notice::Problem(sentence)),
    });
}

/// Asks with the system's dialog, on a thread of its own.
pub(super) fn ask(ask: Ask, store: usize, desk: Desk) {
    let reply = desk.clone();
    let work = move || {
        let dialog = rfd::FileDialog::new();
        let path = match ask {
            Ask::Store => dialog.set_title("Latents store (folder)").pick_folder(),
            Ask::Predictor => dialog.add_filter("Checkpoints", &["safetensors", "pt"]).pick_file(),
            Ask::Corpus => dialog.set_title("Recordings (folder)").pick_folder(),
            Ask::Weights => dialog.add_filter("Weights of a codec", &["safetensors"]).pick_file(),
            Ask::Audio => dialog.add_filter("Recordings", &["wav", "flac", "mp3", "ogg"]).pick_file(),
            Ask::Test => dialog.set_title("Listening test (folder)").pick_folder(),
            Ask::Figure => dialog.add_filter("Figures", &["png", "svg", "pdf"]).pick_file(),
        };
        match path {
            Some(path) => {
                let mut commands = Commands::default();
                match ask {
                    // Asked for as such, whatever it looks like.
                    Ask::Corpus => commands.send(Command::DraftEncode(Some(EncodeDraft::first(path)))),
                    Ask::Weights => commands.send(Command::EncodeWith(path)),
                    _ => open(path, store, reply.clone(), &mut commands),
                }
                for command in commands.take() {
                    reply.deliver(Delivery::Asked(command));
                }
            }
            None => reply.deliver(Delivery::Notice(Notice::Done(
                "Nothing was chosen. If no dialog opened, this system has none to offer (it takes a desktop portal or zenity): drop the file \
                 on the window instead."
                    .into(),
            ))),
        }
    };
    if let Err(error) = std::thread::Builder::new().name("dialog".into()).spawn(work) {
        desk.deliver(Delivery::Notice(Notice::Problem(format!("No dialog could be opened: {error}"))));
    }
}
