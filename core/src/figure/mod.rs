//! Figures: one spec renders the preview, SVG, PNG, PDF and the CSV of the plotted numbers.
//!
//! A figure is not a screenshot. The same spec and data give the same bytes; sizes are those of the printed page; what made the
//! numbers is inside every file, and the view that it shows can be, for [`read_provenance`] to give back. Steps: [`layout`] places boxes,
//! [`axis`] finds ticks, [`curve`] turns points into strokes, [`raster`] turns cells into pixels, [`draw`] makes [`ink`] of them, which
//! [`svg`], [`pdf`] and [`pixels`] write, the last as [`png`]. [`horizons`] and [`trajectory`] are ready specs of what the analyses give; curves,
//! waveforms and spectrograms are drawn of anything. Nothing is computed here but what is needed to draw it.

mod axis;
mod battery;
mod csv;
mod curve;
mod draw;
mod horizons;
mod ink;
mod layout;
mod listening;
pub mod palette;
mod pdf;
mod pixels;
mod png;
mod raster;
mod read;
mod render;
mod spec;
mod svg;
mod text;
mod trajectory;

pub use axis::{Axis, Tick};
pub use battery::battery;
pub use csv::to_csv;
pub use horizons::horizons;
pub use listening::listening;
pub use read::{ReadError, read_provenance};
pub use render::{FigureError, Pixels, to_pdf, to_pixels, to_png, to_svg, write, write_with_view};
pub use spec::{Band, Envelope, FigureSpec, Guide, Image, Legend, Mark, Origin, Panel, Provenance, Scale, Series, Shape, Stroke, Width};
pub use trajectory::{Path, trajectory};
