//! What lies on the page, in the order of drawing: shapes, words and pictures, all lengths in pt from the top left corner.
//!
//! [`svg`](super::svg), [`pdf`](super::pdf) and [`pixels`](super::pixels) write the same items, so that the formats cannot differ.

use super::raster::Raster;
use super::{Stroke, palette::Rgb};

/// Where, from the left and from the top.
pub(super) type Point = [f64; 2];

/// Items of one panel, of the legend, of the caption.
pub(super) type Group = Vec<Item>;

/// One thing on the page.
#[derive(Clone, Debug)]
pub(super) enum Item {
    /// Lines and areas.
    Shape { outline: Vec<Segment>, fill: Option<Fill>, pen: Option<Pen> },
    /// One line of text.
    Text { text: String, at: Point, size: f64, anchor: Anchor, direction: Direction },
    /// Pixels in a rectangle: left, top, width, height.
    Picture { raster: Raster, place: [f64; 4] },
}

/// A piece of an outline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Segment {
    Move(Point),
    Line(Point),
    /// Center and radius; a piece of its own.
    Circle(Point, f64),
    Close,
}

/// How an area is filled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Fill {
    pub(super) color: Rgb,
    pub(super) opacity: f64,
}

/// How a line is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pen {
    pub(super) color: Rgb,
    pub(super) width: f64,
    pub(super) stroke: Stroke,
}

/// Which end of a text `at` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Anchor {
    Start,
    Middle,
    End,
}

/// How a text runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Rightwards,
    /// Turned a quarter to the left, as labels of y axes are.
    Upwards,
}

impl Fill {
    pub(super) fn opaque(color: Rgb) -> Self {
        Self { color, opacity: 1.0 }
    }
}

impl Pen {
    /// Lengths of dash and gap, where the line is broken. A dash of no length is a dot: the line's ends are round then.
    pub(super) fn dashes(&self) -> Option<[f64; 2]> {
        let w = self.width;
        match self.stroke {
            Stroke::Solid => None,
            Stroke::Dashed => Some([4.0 * w, 2.5 * w]),
            Stroke::ShortDashed => Some([1.7 * w, 1.5 * w]),
            Stroke::Dotted => Some([0.0, 2.2 * w]),
        }
    }
}

/// An open line through `points`.
pub(super) fn line(points: &[Point]) -> Vec<Segment> {
    let mut segments: Vec<Segment> = points.iter().map(|p| Segment::Line(*p)).collect();
    if let (Some(first), Some(start)) = (segments.first_mut(), points.first()) {
        *first = Segment::Move(*start);
    }
    segments
}

/// The area within `corners`.
pub(super) fn polygon(corners: &[Point]) -> Vec<Segment> {
    let mut segments = line(corners);
    segments.push(Segment::Close);
    segments
}

/// The area of a rectangle.
pub(super) fn rectangle([left, top, width, height]: [f64; 4]) -> Vec<Segment> {
    let (right, bottom) = (left + width, top + height);
    polygon(&[[left, top], [right, top], [right, bottom], [left, bottom]])
}
