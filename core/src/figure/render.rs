//! Spec to SVG, PNG and CSV.

use std::path::{Path, PathBuf};

use super::FigureSpec;

/// Why a figure could not be made.
#[derive(Debug, thiserror::Error)]
pub enum FigureError {
    /// A spec without anything to draw.
    #[error("figure {0} has nothing to draw")]
    Empty(String),
    /// Could not be written.
    #[error("{path}: {reason}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
}

/// SVG with text as text.
pub fn to_svg(spec: &FigureSpec) -> Result<String, FigureError> {
    let _ = spec;
    todo!()
}

/// PNG at `dpi`, which is written in the file.
pub fn to_png(spec: &FigureSpec, dpi: f64) -> Result<Vec<u8>, FigureError> {
    let _ = (spec, dpi);
    todo!()
}

/// Every plotted number: `panel,series,x,y,low,high`.
pub fn to_csv(spec: &FigureSpec) -> String {
    let _ = spec;
    todo!()
}

/// Writes `NAME.svg`, `NAME.png` (300 dpi) and `NAME.csv` into `folder`, each beside and renamed.
pub fn write(spec: &FigureSpec, folder: &Path) -> Result<Vec<PathBuf>, FigureError> {
    let _ = (spec, folder);
    todo!()
}
