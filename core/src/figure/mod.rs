//! Figures: one spec renders the preview, PNG, SVG and the CSV of the plotted numbers.
//!
//! A figure is not a screenshot. The same spec and data give the same bytes; sizes are those of the printed page; what made the
//! numbers is inside every file. Steps: [`layout`] places boxes, [`axis`] finds ticks, [`curve`] turns points into strokes, [`svg`]
//! writes them, [`png`] renders that SVG. [`horizons`] and
//! [`trajectory`] are ready specs of what the analyses give. Only curves over axes are drawn here, no images and no waveforms.

mod axis;
mod csv;
mod curve;
mod horizons;
mod layout;
pub mod palette;
mod png;
mod render;
mod spec;
mod svg;
mod text;
mod trajectory;

pub use axis::{Axis, Tick};
pub use csv::to_csv;
pub use horizons::horizons;
pub use render::{FigureError, to_png, to_svg, write};
pub use spec::{Band, FigureSpec, Guide, Mark, Panel, Provenance, Scale, Series, Shape, Stroke, Width};
pub use trajectory::{Path, trajectory};
