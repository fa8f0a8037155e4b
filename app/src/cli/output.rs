//! Files that commands leave behind: never half-written, never over something already there unless asked.

use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context as _, bail};

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

/// Makes a folder with its parents, and proves that it can be written to.
pub(super) fn writable_folder(folder: &Path) -> anyhow::Result<()> {
    let cannot = || format!("{}: cannot write here; name a writable folder", folder.display());
    fs::create_dir_all(folder).with_context(cannot)?;
    tempfile::NamedTempFile::new_in(folder).with_context(cannot)?;
    Ok(())
}

/// Writes `bytes` to a temporary name beside `path`, then renames: a full disk or a crash leaves what was there before.
pub(super) fn write_beside(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let cannot = || format!("{}: cannot be written", path.display());
    fs::create_dir_all(folder).with_context(cannot)?;
    let mut file = tempfile::NamedTempFile::new_in(folder).with_context(cannot)?;
    file.write_all(bytes).with_context(cannot)?;
    file.as_file().sync_all().with_context(cannot)?;
    let file = file.persist(path).map_err(|e| e.error).with_context(cannot)?;
    readable_by_others(&file).with_context(cannot)
}

/// Temporary files are private; results get the usual permissions.
#[cfg(unix)]
fn readable_by_others(file: &fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    file.set_permissions(fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn readable_by_others(_file: &fs::File) -> std::io::Result<()> {
    Ok(())
}
