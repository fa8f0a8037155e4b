//! Files that are whole or absent.
//!
//! Whatever the program leaves on disk is written under another name beside its place and renamed, so that a crash, a full disk or
//! a stopped run never leaves half a file, and what was there before stays until the new is complete.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Writes the file `path` through `write`; its folder is made when missing. On an error nothing is left and `path` is untouched.
/// A link is followed; what is no file (a device, a pipe) is written to as it is.
pub fn write_beside<T>(path: &Path, write: impl FnOnce(&mut BufWriter<File>) -> io::Result<T>) -> io::Result<T> {
    let followed = if path.is_symlink() { path.canonicalize().ok() } else { None };
    let path = followed.as_deref().unwrap_or(path);
    if path.metadata().is_ok_and(|m| !m.is_file() && !m.is_dir()) {
        let mut file = BufWriter::new(File::options().write(true).open(path)?);
        let value = write(&mut file)?;
        file.flush()?;
        return Ok(value);
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let part = Part(name_beside(path));
    let mut file = BufWriter::new(File::create_new(&part.0)?);
    let value = write(&mut file)?;
    file.flush()?;
    file.get_ref().sync_all()?;
    drop(file);
    fs::rename(&part.0, path)?;
    Ok(value)
}

/// A name for the unfinished `path`, in the same folder, hidden, taken by no other thread or process.
pub fn name_beside(path: &Path) -> PathBuf {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    path.with_file_name(format!(".{name}.{}-{count}.part", std::process::id()))
}

/// Removes what runs that were killed left of `path`. Only for the one who alone may write `path` now.
pub fn remove_unfinished(path: &Path) {
    let start = format!(".{}.", path.file_name().unwrap_or_default().to_string_lossy());
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        if is_unfinished(&name) && name.as_encoded_bytes().starts_with(start.as_bytes()) {
            remove(&entry.path());
        }
    }
}

/// Removes every unfinished file and folder in `folder`, under the same condition.
pub fn remove_all_unfinished(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if is_unfinished(&entry.file_name()) {
            remove(&entry.path());
        }
    }
}

/// Whether a file or folder of this name is one that [`name_beside`] named.
pub fn is_unfinished(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".") && name.as_encoded_bytes().ends_with(b".part")
}

/// What cannot be removed is hidden and never read.
fn remove(path: &Path) {
    let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
}

/// Removes the unfinished file when it is dropped before the rename.
struct Part(PathBuf);

impl Drop for Part {
    fn drop(&mut self) {
        // After the rename there is nothing to remove; before it, the error that ended the writing is the one to report.
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn whole_or_absent() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/file.txt");
        write_beside(&path, |f| f.write_all(b"one")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"one");
        let failed = write_beside(&path, |f| {
            f.write_all(b"tw")?;
            Err::<(), _>(io::Error::other("disk full"))
        });
        assert_eq!(failed.unwrap_err().to_string(), "disk full");
        assert_eq!(fs::read(&path).unwrap(), b"one", "the old file stays");
        assert_eq!(names(path.parent().unwrap()), ["file.txt"], "nothing else is left");
    }

    #[test]
    fn what_a_killed_run_left_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("index");
        for name in [".index.7-0.part", ".other.7-0.part", "index", ".index", "index.part"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        fs::create_dir_all(folder.path().join(".index.7-1.part/inside")).unwrap();
        remove_unfinished(&path);
        let mut left = names(folder.path());
        left.sort();
        assert_eq!(left, [".index", ".other.7-0.part", "index", "index.part"]);
        remove_all_unfinished(folder.path());
        assert_eq!(names(folder.path()).len(), 3);
    }
}
