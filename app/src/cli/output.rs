//! Files that commands leave behind: never half-written, never over something already there unless asked.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, bail};
use driftscope_core::disk;

/// `--force`, for commands that write files.
#[derive(Clone, Copy, Debug, Default, serde::Serialize, clap::Args)]
pub(super) struct ForceArg {
    /// Replace results that are already there
    #[arg(long)]
    pub(super) force: bool,
}

impl ForceArg {
    /// Fails if `path` exists and replacing was not asked for; called before the work, not after it.
    pub(super) fn check(self, path: &Path) -> anyhow::Result<()> {
        if self.force || !path.exists() {
            return Ok(());
        }
        bail!("{} already exists; name another place, or replace it with --force", path.display())
    }
}

/// A file is asked for where a folder stands.
pub(super) fn refuse_folder(path: &Path) -> anyhow::Result<()> {
    if path.is_dir() {
        bail!("{} is a folder; name a file", path.display());
    }
    Ok(())
}

/// Refuses to write a sound into a file that says it is something else. Called before the work.
pub(super) fn refuse_other_than_wav(path: &Path) -> anyhow::Result<()> {
    refuse_folder(path)?;
    if !path.extension().is_some_and(|end| end.eq_ignore_ascii_case("wav")) {
        bail!("{}: sounds are written as WAV; name a file that ends in .wav", path.display());
    }
    Ok(())
}

/// A report replaces only another: a JSON object that is no store's metadata. Called before the work.
pub(super) fn refuse_other_than_report(path: &Path) -> anyhow::Result<()> {
    refuse_folder(path)?;
    if !path.is_file() {
        return Ok(());
    }
    let object: Option<serde_json::Map<String, serde_json::Value>> =
        fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    if object.is_none_or(|o| o.contains_key("zarr_format")) {
        bail!("{} is there and is no report; name another file for --json", path.display());
    }
    Ok(())
}

/// Makes a folder with its parents, and proves that it can be written to.
pub(super) fn writable_folder(folder: &Path) -> anyhow::Result<()> {
    let cannot = || format!("{}: cannot write here; name a writable folder", folder.display());
    fs::create_dir_all(folder).with_context(cannot)?;
    let probe = disk::name_beside(&folder.join("probe"));
    fs::write(&probe, []).with_context(cannot)?;
    fs::remove_file(&probe).with_context(cannot)
}

/// Writes `bytes` beside `path` and renames: a full disk or a crash leaves what was there before.
pub(super) fn write_beside(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    disk::write_beside(path, |file| file.write_all(bytes)).with_context(|| format!("{}: cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sound_is_written_where_its_name_says_wav() {
        for (name, is_written) in [("a.wav", true), ("b.WAV", true), ("c.mp3", false), ("d", false), (".", false)] {
            assert_eq!(refuse_other_than_wav(Path::new(name)).is_ok(), is_written, "{name}");
        }
    }
}
