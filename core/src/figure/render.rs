//! Spec to files.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::layout::lay_out;
use super::text::Ruler;
use super::{FigureSpec, png, svg, to_csv};
use crate::disk;

/// Resolution of the PNG that [`write`] makes.
const DPI: f64 = 300.0;

/// Why a figure could not be made.
#[derive(Debug, thiserror::Error)]
pub enum FigureError {
    /// A spec without anything to draw.
    #[error("figure {0} has nothing to draw")]
    Empty(String),
    /// A name that cannot be a file's.
    #[error("figure name {0:?} cannot be a file name; use letters, digits, - and _")]
    Name(String),
    /// The picture could not be rendered.
    #[error("figure {name} could not be rendered as PNG: {reason}")]
    Render {
        /// The figure.
        name: String,
        /// What the renderer said.
        reason: String,
    },
    /// Could not be written.
    #[error("{path}: {reason}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
}

/// SVG with text as text, sized in mm, with title, caption and provenance (JSON) as metadata.
pub fn to_svg(spec: &FigureSpec) -> Result<String, FigureError> {
    if spec.panels.iter().all(|panel| panel.series.iter().all(|s| s.points.is_empty()) && panel.guides.is_empty()) {
        return Err(FigureError::Empty(spec.name.clone()));
    }
    Ok(svg::document(spec, &lay_out(spec, &Ruler::new()), &provenance_json(spec)))
}

/// PNG at `dpi`, which is written in the file, as is the provenance.
pub fn to_png(spec: &FigureSpec, dpi: f64) -> Result<Vec<u8>, FigureError> {
    let svg = to_svg(spec)?;
    let labels = png::Labels { title: &spec.name, provenance_json: &provenance_json(spec) };
    png::from_svg(&svg, spec.width.millimeters(), dpi, &labels).map_err(|reason| FigureError::Render { name: spec.name.clone(), reason })
}

/// Writes `NAME.svg`, `NAME.png` (300 dpi) and `NAME.csv` into `folder` (made where it is missing), each beside and renamed. All three
/// are made before the first is written.
pub fn write(spec: &FigureSpec, folder: &Path) -> Result<Vec<PathBuf>, FigureError> {
    let is_plain = |name: &str| !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0', ':']);
    if !is_plain(&spec.name) {
        return Err(FigureError::Name(spec.name.clone()));
    }
    let files = [("svg", to_svg(spec)?.into_bytes()), ("png", to_png(spec, DPI)?), ("csv", to_csv(spec).into_bytes())];
    let failed = |path: &Path, error: &std::io::Error| FigureError::Write { path: path.to_owned(), reason: error.to_string() };
    std::fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    let mut written = Vec::new();
    for (extension, bytes) in files {
        let path = folder.join(format!("{}.{extension}", spec.name));
        disk::write_beside(&path, |file| file.write_all(&bytes)).map_err(|error| failed(&path, &error))?;
        written.push(path);
    }
    Ok(written)
}

fn provenance_json(spec: &FigureSpec) -> String {
    serde_json::to_string(&spec.provenance).expect("a struct of strings and numbers is always JSON")
}

#[cfg(test)]
mod tests;
