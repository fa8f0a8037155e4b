//! Which sound files a folder holds, and who speaks in them.
//!
//! It looks at names only; nothing is opened or decoded here.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::audio::AudioError;

/// Extensions that count as sound.
const EXTENSIONS: [&str; 4] = ["flac", "wav", "mp3", "ogg"];

/// Deeper folders are not searched: a link that points above itself must not be followed for ever.
const MAX_DEPTH: usize = 16;

/// One sound file of a corpus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AudioFile {
    /// File name without extension; where two folders hold the same name, the folders joined in front of it.
    pub utterance_id: String,
    /// See [`scan_audio`].
    pub speaker: String,
    /// Where it is.
    pub path: PathBuf,
}

/// Every WAV, FLAC, MP3 and Ogg file below `folder`, in order of id.
///
/// The speaker is the folder whose name the file name starts with (LibriSpeech: `103/1240/103-1240-0000.flac` is of 103). In a folder of
/// one speaker's chapters (`1240/103-1240-0000.flac`, named `SPEAKER-CHAPTER-NUMBER`) it is in the file name. Else it is the first folder
/// below `folder`, else the file name up to its first `-` or `_`.
pub fn scan_audio(folder: &Path) -> Result<Vec<AudioFile>, AudioError> {
    let mut paths = Vec::new();
    collect(folder, 0, &mut paths).map_err(|source| AudioError::Io { path: folder.into(), source })?;
    let mut n_of_stem: BTreeMap<&OsStr, usize> = BTreeMap::new();
    for path in &paths {
        *n_of_stem.entry(path.file_stem().unwrap_or_default()).or_default() += 1;
    }
    let mut files: Vec<AudioFile> = paths
        .iter()
        .map(|path| {
            let folders = folders_between(folder, path);
            let stem = path.file_stem().unwrap_or_default();
            let text = stem.to_string_lossy().into_owned();
            let speaker = speaker_of(&folders, &text);
            let is_unique = n_of_stem.get(stem) == Some(&1);
            let utterance_id = if is_unique || folders.is_empty() { text } else { format!("{}-{text}", folders.join("-")) };
            AudioFile { utterance_id, speaker, path: path.clone() }
        })
        .collect();
    files.sort_by(|a, b| (&a.utterance_id, &a.path).cmp(&(&b.utterance_id, &b.path)));
    if files.is_empty() {
        let source = io::Error::new(io::ErrorKind::NotFound, "holds no WAV, FLAC, MP3 or Ogg file");
        return Err(AudioError::Io { path: folder.into(), source });
    }
    Ok(files)
}

fn collect(folder: &Path, depth: usize, paths: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_hidden = path.file_name().is_some_and(|n| n.as_encoded_bytes().starts_with(b"."));
        if is_hidden {
            continue;
        }
        if path.is_dir() {
            if depth < MAX_DEPTH {
                collect(&path, depth + 1, paths)?;
            }
        } else if path.extension().and_then(OsStr::to_str).is_some_and(|e| EXTENSIONS.contains(&e.to_ascii_lowercase().as_str())) {
            paths.push(path);
        }
    }
    Ok(())
}

fn folders_between(folder: &Path, path: &Path) -> Vec<String> {
    let relative = path.parent().and_then(|p| p.strip_prefix(folder).ok()).unwrap_or(Path::new(""));
    relative.components().map(|c| c.as_os_str().to_string_lossy().into_owned()).collect()
}

fn speaker_of(folders: &[String], stem: &str) -> String {
    let starts_stem = |name: &&String| stem.strip_prefix(name.as_str()).is_some_and(|rest| rest.starts_with(['-', '_']));
    let own = folders.iter().find(starts_stem);
    if let ([speaker, chapter, _], None, Some(folder)) = (&stem.split('-').collect::<Vec<_>>()[..], own, folders.last())
        && folder == chapter
    {
        return (*speaker).to_owned();
    }
    match own.or(folders.first()) {
        Some(name) => name.clone(),
        None => stem.split(['-', '_']).next().unwrap_or(stem).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(files: &[&str], expected: &[(&str, &str)]) {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let found = scan_audio(folder.path()).unwrap();
        let found: Vec<_> = found.iter().map(|f| (f.utterance_id.as_str(), f.speaker.as_str())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn speakers_of_known_layouts() {
        check(
            &["103/1240/103-1240-0001.flac", "103/1240/103-1240.trans.txt", "78/368/78-368-0002.FLAC"],
            &[("103-1240-0001", "103"), ("78-368-0002", "78")],
        );
        check(&["train-clean-100/103/1240/103-1240-0001.flac"], &[("103-1240-0001", "103")]);
        // The folder of one speaker: its chapters are none.
        check(&["1240/103-1240-0001.flac", "1241/103-1241-0001.flac"], &[("103-1240-0001", "103"), ("103-1241-0001", "103")]);
        // Three numbers may be a date.
        check(&["ann/2024-01-05.wav", "bob/2024-01-06.wav"], &[("2024-01-05", "ann"), ("2024-01-06", "bob")]);
        check(&["p225/p225_001.wav", "p226/p226_001.wav"], &[("p225_001", "p225"), ("p226_001", "p226")]);
        check(&["ann/one.wav", "bob/one.wav", "bob/two.wav"], &[("ann-one", "ann"), ("bob-one", "bob"), ("two", "bob")]);
        check(&["f2-03.wav", "solo.ogg", ".hidden.wav"], &[("f2-03", "f2"), ("solo", "solo")]);
    }

    #[test]
    fn nothing_to_find_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let message = scan_audio(folder.path()).unwrap_err().to_string();
        assert!(message.ends_with("holds no WAV, FLAC, MP3 or Ogg file"), "{message}");
        assert!(scan_audio(&folder.path().join("missing")).unwrap_err().to_string().contains("No such file"));
    }
}
