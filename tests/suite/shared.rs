//! Where the material beside the project is, and what to do when it is not there.

use std::path::PathBuf;

/// A file or folder beside the repository; says so in one line and returns `None` when it is absent (a fresh clone elsewhere).
pub(crate) fn path(relative: &str) -> Option<PathBuf> {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared");
    let path = root.join(relative);
    if path.exists() {
        return Some(path);
    }
    #[expect(clippy::print_stderr, reason = "a skipped comparison is never silent")]
    {
        eprintln!("not compared: ../shared/{relative} is absent");
    }
    None
}
