//! Figures: one spec renders the preview, PNG, SVG and the CSV of the plotted numbers.
//!
//! A figure is not a screenshot. The same spec and data give the same bytes.

mod render;
mod spec;

pub use render::{FigureError, to_csv, to_png, to_svg, write};
pub use spec::{Band, FigureSpec, Guide, Panel, Provenance, Scale, Series, Stroke, Width};
