//! Spec to files.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::draw::draw;
use super::ink::Group;
use super::layout::{Layout, lay_out};
use super::pixels::pixels;
use super::text::Ruler;
use super::{FigureSpec, Origin, Panel, pdf, png, svg, to_csv};
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
    /// An image that is none.
    #[error("figure {name}, panel {panel:?}: the image cannot be drawn: {reason}")]
    Image {
        /// The figure.
        name: String,
        /// Title of the panel.
        panel: String,
        /// What is wrong with it, and what would be right.
        reason: String,
    },
    /// The picture could not be rendered.
    #[error("figure {name} could not be rendered as {format}: {reason}")]
    Render {
        /// The figure.
        name: String,
        /// PNG, SVG or PDF.
        format: &'static str,
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
    Sheet::new(spec, None)?.svg()
}

/// PNG at `dpi`, which is written in the file, as is the provenance.
pub fn to_png(spec: &FigureSpec, dpi: f64) -> Result<Vec<u8>, FigureError> {
    Sheet::new(spec, None)?.png(dpi)
}

/// The same picture for the screen, at `dpi`: what a preview shows while a slider moves.
pub fn to_pixels(spec: &FigureSpec, dpi: f64) -> Result<Pixels, FigureError> {
    let pixmap = Sheet::new(spec, None)?.pixels(dpi)?;
    Ok(Pixels { width: pixmap.width() as usize, height: pixmap.height() as usize, rgba: pixmap.take() })
}

/// An opaque picture.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pixels {
    /// Pixels of a row.
    pub width: usize,
    /// Rows.
    pub height: usize,
    /// `[height, width, 4]`: sRGB and an alpha of 255, row by row from the top.
    pub rgba: Vec<u8>,
}

/// PDF of one page of the figure's size, as LaTeX includes it: lines as lines, text as text in an embedded subset of the font. Title and
/// caption are in its metadata, the provenance is its attachment `provenance.json`.
pub fn to_pdf(spec: &FigureSpec) -> Result<Vec<u8>, FigureError> {
    Sheet::new(spec, None)?.pdf()
}

/// [`write_with_view`] without a view.
pub fn write(spec: &FigureSpec, folder: &Path) -> Result<Vec<PathBuf>, FigureError> {
    write_files(spec, None, folder)
}

/// Writes `NAME.svg`, `NAME.png` (300 dpi), `NAME.pdf` and `NAME.csv` into `folder` (made where it is missing), each beside and renamed.
/// All four are made before the first is written. `view` is whatever the caller needs to show again what the figure shows;
/// [`read_provenance`](super::read_provenance) gives it back from the first three.
pub fn write_with_view(spec: &FigureSpec, view: &serde_json::Value, folder: &Path) -> Result<Vec<PathBuf>, FigureError> {
    write_files(spec, Some(view), folder)
}

fn write_files(spec: &FigureSpec, view: Option<&serde_json::Value>, folder: &Path) -> Result<Vec<PathBuf>, FigureError> {
    let is_plain = |name: &str| !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0', ':']);
    if !is_plain(&spec.name) {
        return Err(FigureError::Name(spec.name.clone()));
    }
    let sheet = Sheet::new(spec, view)?;
    let files = [("svg", sheet.svg()?.into_bytes()), ("png", sheet.png(DPI)?), ("pdf", sheet.pdf()?), ("csv", to_csv(spec).into_bytes())];
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

/// A figure with everything in its place, from which every format is written.
struct Sheet<'a> {
    spec: &'a FigureSpec,
    layout: Layout,
    groups: Vec<Group>,
    origin_json: String,
}

impl<'a> Sheet<'a> {
    fn new(spec: &'a FigureSpec, view: Option<&serde_json::Value>) -> Result<Self, FigureError> {
        if spec.panels.iter().all(Panel::is_empty) {
            return Err(FigureError::Empty(spec.name.clone()));
        }
        for panel in &spec.panels {
            if let Some(reason) = panel.image.as_ref().and_then(|image| image.fault(panel.y_scale)) {
                return Err(FigureError::Image { name: spec.name.clone(), panel: panel.title.clone(), reason });
            }
        }
        let layout = lay_out(spec, &Ruler::new());
        let groups = draw(spec, &layout);
        let origin = Origin { provenance: spec.provenance.clone(), view: view.cloned() };
        Ok(Self { spec, layout, groups, origin_json: json(&origin) })
    }

    fn failed(&self, format: &'static str) -> impl Fn(String) -> FigureError {
        move |reason| FigureError::Render { name: self.spec.name.clone(), format, reason }
    }

    fn svg(&self) -> Result<String, FigureError> {
        let svg = svg::document(self.spec, &self.layout, &self.groups, &self.origin_json);
        svg.map_err(|error| self.failed("SVG")(error.to_string()))
    }

    fn png(&self, dpi: f64) -> Result<Vec<u8>, FigureError> {
        let labels = png::Labels { title: &self.spec.name, origin_json: &self.origin_json };
        png::encode(&self.pixels(dpi)?, dpi, &labels).map_err(|error| self.failed("PNG")(error.to_string()))
    }

    fn pixels(&self, dpi: f64) -> Result<tiny_skia::Pixmap, FigureError> {
        let width = (self.spec.width.millimeters() / 25.4 * dpi).round().max(1.0);
        let too_many = || self.failed("PNG")(format!("{width} pixels across are too many"));
        pixels(&self.layout, &self.groups, width).ok_or_else(too_many)
    }

    fn pdf(&self) -> Result<Vec<u8>, FigureError> {
        pdf::document(self.spec, &self.layout, &self.groups, &self.origin_json).map_err(self.failed("PDF"))
    }
}

/// JSON in characters that every format can hold.
fn json(origin: &Origin) -> String {
    let text = serde_json::to_string(origin).expect("strings and numbers with text as keys are always JSON");
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        // JSON leaves these as they are, XML cannot hold them; outside strings JSON has none.
        let is_unfit = letter.is_control() || matches!(letter, '\u{fffe}' | '\u{ffff}');
        if is_unfit { safe.push_str(&format!("\\u{:04x}", u32::from(letter))) } else { safe.push(letter) }
    }
    safe
}

#[cfg(test)]
mod tests;
