//! Figures: one spec renders the preview, PNG, SVG and the CSV of the plotted numbers.
//!
//! A figure is not a screenshot. The same spec and data give the same bytes.

mod horizons;
pub mod palette;
mod render;
mod spec;
mod trajectory;

pub use horizons::horizons;
pub use render::{FigureError, to_csv, to_png, to_svg, write};
pub use spec::{Band, FigureSpec, Guide, Panel, Provenance, Scale, Series, Stroke, Width};
pub use trajectory::{Path, trajectory};
