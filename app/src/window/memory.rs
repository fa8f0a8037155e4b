//! What outlives the window: its view, layouts, open files and unfinished fits, in one JSON file a project.
//!
//! Written beside and renamed whenever something changed, so that a crash costs seconds. A file that cannot be used is kept under
//! another name and said to be; nothing is ever written over it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use driftscope_core::disk;
use driftscope_core::playback::OutputChoice;
use serde::{Deserialize, Serialize};

use super::jobs::Task;
use super::layout::{self, Layout};
use super::session::Session;
use super::view::View;

/// Of the file's format. A higher one is not read.
const VERSION: u32 = 1;

/// A view with the names of what its numbers point to, so that it means the same when more files are open.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Carried {
    /// What the user decided.
    pub view: View,
    /// Identity of the store's content.
    pub store: String,
    /// Utterance id.
    pub utterance: String,
    /// "MDN k=1", and the checkpoint's hash.
    pub predictor: [String; 2],
    /// The one cursor, seconds.
    pub position_sec: f64,
}

impl Carried {
    /// Names what `view` points to.
    pub fn of(view: &View, session: &Session, position_sec: f64) -> Self {
        let choice = &view.choice;
        let hash = session.predictors.get(choice.predictor).map_or("", |p| p.info.hash.as_str());
        Self {
            store: session.corpus.source.clone(),
            utterance: session.corpus.utterances.get(choice.utterance).map_or_else(String::new, |u| u.id.clone()),
            predictor: [session.predictor_name(choice.predictor), hash.to_owned()],
            view: view.clone(),
            position_sec,
        }
    }

    /// The view as it is in `sessions`; what is not there any more becomes what a first start shows, and is said.
    pub fn placed(&self, sessions: &[std::sync::Arc<Session>]) -> (View, Vec<String>) {
        let mut view = self.view.clone();
        let mut missing = Vec::new();
        let by_content = sessions.iter().position(|s| s.corpus.source == self.store);
        let by_utterance = || sessions.iter().position(|s| s.corpus.utterances.iter().any(|u| u.id == self.utterance));
        let store = by_content.or_else(by_utterance).unwrap_or(0);
        if by_content.is_none() && !self.store.is_empty() {
            missing.push("the latents are not those that it was made of".to_owned());
        }
        let Some(session) = sessions.get(store) else { return (view, missing) };
        let moved = store != view.choice.store;
        view.choice.store = store;
        view.choice.utterance = session.corpus.utterances.iter().position(|u| u.id == self.utterance).unwrap_or_else(|| {
            missing.push(format!("utterance {} is not there", self.utterance));
            session.first_utterance()
        });
        let [name, hash] = &self.predictor;
        let by_hash = session.predictors.iter().position(|p| !hash.is_empty() && p.info.hash == *hash);
        let by_name = || (0..session.predictors.len()).find(|p| session.predictor_name(*p) == *name);
        view.choice.predictor = by_hash.or_else(by_name).unwrap_or_else(|| {
            missing.push(format!("predictor {name} is not there"));
            session.first_predictor()
        });
        let fits = |store: usize, utterance: usize, predictor: usize| {
            sessions.get(store).is_some_and(|s| utterance < s.corpus.utterances.len() && predictor < s.predictors.len())
        };
        view.branches.retain(|b| !moved && fits(b.choice.store, b.choice.utterance, b.choice.predictor));
        view.comparands.retain(|c| !moved && fits(c.store, 0, c.predictor));
        (view, missing)
    }
}

/// Everything that is kept of a project.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Memory {
    /// Of the file's format; set when it is written.
    pub version: u32,
    /// What was on screen.
    pub carried: Carried,
    /// How the panes were arranged.
    pub layout: Option<Layout>,
    /// Arrangements kept under a name.
    pub layouts: BTreeMap<String, Layout>,
    /// Stores, checkpoints and recordings opened besides the project itself, in order.
    pub opened: Vec<Task>,
    /// Fits that were running.
    pub unfinished: Vec<Task>,
    /// Where sound went.
    pub output: OutputChoice,
}

/// What was found of an earlier session.
#[derive(Debug)]
pub enum Found {
    /// None has been.
    Nothing,
    /// What it left.
    Memory(Box<Memory>),
    /// A file that cannot be used, with one sentence on why and where it is now.
    Unusable(String),
}

/// The file of a project: its own name and as many digits of its place as tell two apart.
pub fn file(folder: &Path, project: Option<&Path>) -> PathBuf {
    let name = project.map_or_else(
        || "demo".to_owned(),
        |path| {
            let place = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
            let digits = blake3::hash(place.to_string_lossy().as_bytes()).to_hex();
            let name = place.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
            format!("{name}-{}", &digits[..8])
        },
    );
    folder.join(format!("{name}.json"))
}

/// Held as long as a window has a project: a second one would write over the first one's session and resume its fits.
#[derive(Debug)]
pub struct Hold(#[expect(dead_code, reason = "the lock is let go when it is closed")] std::fs::File);

/// Takes a project's file for this process; `None` where another one has it.
pub fn hold(path: &Path) -> std::io::Result<Option<Hold>> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path.with_added_extension("lock"))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(Hold(file))),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(error)) => Err(error),
    }
}

/// Reads what an earlier session left.
pub fn read(path: &Path) -> Found {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Found::Nothing,
        Err(error) => return set_aside(path, &format!("cannot be read ({error})")),
    };
    let version = serde_json::from_str::<serde_json::Value>(&text).map(|v| v.get("version").and_then(serde_json::Value::as_u64));
    match version {
        Ok(Some(version)) if version > u64::from(VERSION) => {
            set_aside(path, &format!("was written by a newer Driftscope (format {version}; this one knows {VERSION})"))
        }
        Ok(Some(_)) => match serde_json::from_str::<Memory>(&text) {
            Ok(mut memory) => {
                memory.layout = memory.layout.filter(layout::is_whole);
                memory.layouts.retain(|_, kept| layout::is_whole(kept));
                Found::Memory(Box::new(memory))
            }
            Err(error) => set_aside(path, &format!("is no session of this program ({error})")),
        },
        Ok(None) => set_aside(path, "is no session of this program"),
        Err(_) => set_aside(path, "is damaged"),
    }
}

/// Keeps a file that cannot be used out of the way of the next one.
fn set_aside(path: &Path, why: &str) -> Found {
    let free = (1..1_000).map(|n: u64| path.with_added_extension(format!("kept-{n}"))).find(|p| !p.exists());
    let aside = free.filter(|aside| std::fs::rename(path, aside).is_ok());
    let kept = aside.map_or_else(String::new, |aside| format!("; it is kept as {}", aside.display()));
    Found::Unusable(format!("The session file {} {why}{kept}. This session starts fresh.", path.display()))
}

impl Memory {
    /// Writes it beside and renames it.
    pub fn write(&self, path: &Path) -> std::io::Result<()> {
        let json = serde_json::to_vec(&Self { version: VERSION, ..self.clone() })?;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        disk::write_beside(path, |file| file.write_all(&json))
    }
}

/// Projects opened lately, newest first; a file that cannot be read is an empty list.
pub fn recent(folder: &Path) -> Vec<PathBuf> {
    let text = std::fs::read_to_string(folder.join("recent.json")).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

/// Puts a project at the head of that list.
pub fn remember_recent(folder: &Path, project: &Path) -> std::io::Result<()> {
    let project = std::path::absolute(project)?;
    let mut list = recent(folder);
    list.retain(|p| *p != project);
    list.insert(0, project);
    list.truncate(12);
    std::fs::create_dir_all(folder)?;
    let json = serde_json::to_vec(&list)?;
    disk::write_beside(&folder.join("recent.json"), |file| file.write_all(&json))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_comes_back_and_a_bad_file_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), None);
        assert!(matches!(read(&path), Found::Nothing));
        let mut memory = Memory { layout: Some(layout::first()), ..Memory::default() };
        memory.carried.view.choice.config.alpha = 0.5;
        memory.write(&path).unwrap();
        let Found::Memory(again) = read(&path) else { panic!("not read") };
        assert_eq!((again.carried.clone(), again.layout.clone()), (memory.carried.clone(), memory.layout.clone()));
        let whole = std::fs::read_to_string(&path).unwrap();
        for (content, reason) in [
            (whole[..whole.len() / 2].to_owned(), "is damaged"),
            (whole.replacen("\"version\":1", "\"version\":9", 1), "newer Driftscope (format 9; this one knows 1)"),
            ("[1, 2]".to_owned(), "is no session"),
            ("{\"version\": 1, \"carried\": 7}".to_owned(), "is no session"),
        ] {
            std::fs::write(&path, &content).unwrap();
            let Found::Unusable(sentence) = read(&path) else { panic!("{reason}: used") };
            assert!(sentence.contains(reason) && sentence.contains("kept as"), "{sentence}");
            assert!(!path.exists());
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 4, "all four are kept");
    }

    #[test]
    fn a_project_is_held_by_one_window() {
        let folder = tempfile::tempdir().unwrap();
        let path = file(folder.path(), None);
        let first = hold(&path).unwrap();
        assert!(first.is_some() && hold(&path).unwrap().is_none());
        drop(first);
        assert!(hold(&path).unwrap().is_some());
    }

    #[test]
    fn projects_of_one_name_have_their_own_files() {
        let folder = Path::new("/f");
        let names = ["/a/x/latents.zarr", "/b/x/latents.zarr", "/a/y/latents.zarr"].map(|p| file(folder, Some(Path::new(p))));
        assert_eq!(names.iter().collect::<std::collections::BTreeSet<_>>().len(), 3);
        assert!(names[0].to_string_lossy().starts_with("/f/x-"));
    }

    #[test]
    fn recent_projects_are_listed_once_newest_first() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["/a", "/b", "/a"] {
            remember_recent(folder.path(), Path::new(name)).unwrap();
        }
        assert_eq!(recent(folder.path()), [PathBuf::from("/a"), PathBuf::from("/b")]);
        std::fs::write(folder.path().join("recent.json"), "half").unwrap();
        assert!(recent(folder.path()).is_empty());
    }
}
