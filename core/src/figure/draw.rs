//! Turns the placed figure into what lies on the page.

use super::axis::{Tick, short};
use super::curve::{Missing, MissingKind, outline, runs, thinned};
use super::ink::{Anchor, Direction, Fill, Group, Item, Pen, Point, Segment, line, polygon, rectangle};
use super::layout::{Bar, Entry, Key, LINE, Layout, Place, SAMPLE, TICK, TICK_TEXT, is_marked};
use super::palette::{LIGHT_GRAY, Rgb};
use super::raster::{color_bar, raster, resolution};
use super::{Envelope, FigureSpec, Image, Panel, Scale, Series, Shape, Stroke};

/// Text.
pub(super) const INK: Rgb = [0x22; 3];
const AXIS: Rgb = [0x55; 3];
const GRID: Rgb = [0xe4; 3];
const WHITE: Rgb = [0xff; 3];

/// Opacity of bands.
const BAND: f64 = 0.16;
/// Widths of lines that carry no data, pt.
const AXIS_WIDTH: f64 = 0.6;
const GRID_WIDTH: f64 = 0.5;
/// Outline of a waveform, in line widths: where it is nearly silent it is this wide.
const ENVELOPE_LINE: f64 = 0.4;

/// Everything on the page, a group a panel, then legend and caption.
pub(super) fn draw(spec: &FigureSpec, layout: &Layout) -> Vec<Group> {
    let n_images = spec.panels.iter().filter(|panel| panel.image.is_some()).count();
    let pencil = || Pencil { items: Vec::new(), font: layout.sizes.font, line: layout.sizes.line };
    let mut groups = Vec::new();
    for (panel, place) in spec.panels.iter().zip(&layout.panels) {
        let mut pencil = pencil();
        if let Some(image) = &panel.image {
            pencil.image(image, place, n_images);
        }
        pencil.axes(place, panel.image.is_none());
        pencil.data(panel, place, &layout.keys);
        groups.push(pencil.items);
    }
    let mut legend = pencil();
    layout.legend.iter().for_each(|entry| legend.legend_entry(entry));
    let mut caption = pencil();
    caption.lines(&layout.caption, layout.margin, layout.caption_y, Anchor::Start);
    groups.extend([legend.items, caption.items].into_iter().filter(|group| !group.is_empty()));
    groups
}

struct Pencil {
    items: Vec<Item>,
    font: f64,
    line: f64,
}

impl Pencil {
    fn fill(&mut self, outline: Vec<Segment>, fill: Fill) {
        self.items.push(Item::Shape { outline, fill: Some(fill), pen: None });
    }

    fn trace(&mut self, outline: Vec<Segment>, color: Rgb, width: f64) {
        self.items.push(Item::Shape { outline, fill: None, pen: Some(Pen { color, width, stroke: Stroke::Solid }) });
    }

    fn stroke(&mut self, outline: Vec<Segment>, color: Rgb, stroke: Stroke) {
        self.items.push(Item::Shape { outline, fill: None, pen: Some(Pen { color, width: self.line, stroke }) });
    }

    fn label(&mut self, text: &str, at: Point, anchor: Anchor, size: f64) {
        self.items.push(Item::Text { text: text.to_owned(), at, size, anchor, direction: Direction::Rightwards });
    }

    fn lines(&mut self, lines: &[String], x: f64, first_baseline: f64, anchor: Anchor) {
        for (index, line) in lines.iter().enumerate().filter(|(_, line)| !line.is_empty()) {
            self.label(line, [x, first_baseline + index as f64 * LINE * self.font], anchor, self.font);
        }
    }

    /// Upward lines of text around the height `y`; the last one is centered on `x`, those before it stand to its left.
    fn upward_lines(&mut self, lines: &[String], x: f64, y: f64) {
        for (index, text) in lines.iter().rev().enumerate() {
            let at = [x - index as f64 * LINE * self.font + 0.35 * self.font, y];
            self.items.push(Item::Text { text: text.clone(), at, size: self.font, anchor: Anchor::Middle, direction: Direction::Upwards });
        }
    }

    fn axes(&mut self, place: &Place, has_grid: bool) {
        let Place { left, top, width, height, .. } = *place;
        let (right, bottom) = (left + width, top + height);
        let (tick, text) = (TICK * self.font, TICK_TEXT * self.font);
        let mut grid = Vec::new();
        let mut marks = line(&[[left, top], [left, bottom], [right, bottom]]);
        for Tick { value, label } in &place.x_ticks {
            let Some(x) = place.page_x(*value) else { continue };
            grid.extend(line(&[[x, top], [x, bottom]]));
            marks.extend(line(&[[x, bottom], [x, bottom + tick]]));
            self.label(label, [x, bottom + tick + 0.95 * self.font], Anchor::Middle, text);
        }
        for Tick { value, label } in &place.y_ticks {
            let Some(y) = place.page_y(*value) else { continue };
            if label.is_empty() {
                marks.extend(line(&[[left, y], [left - 0.5 * tick, y]]));
                continue;
            }
            grid.extend(line(&[[left, y], [right, y]]));
            marks.extend(line(&[[left, y], [left - tick, y]]));
            self.label(label, [left - tick - 0.25 * self.font, y + 0.35 * text], Anchor::End, text);
        }
        if has_grid && !grid.is_empty() {
            self.trace(grid, GRID, GRID_WIDTH);
        }
        self.trace(marks, AXIS, AXIS_WIDTH);
        let title_y = top - 0.6 * self.font - place.title.len().saturating_sub(1) as f64 * LINE * self.font;
        self.lines(&place.title, left, title_y, Anchor::Start);
        self.lines(&place.x_label, left + width / 2.0, place.x_label_y, Anchor::Middle);
        self.upward_lines(&place.y_label, place.y_label_x, top + height / 2.0);
    }

    /// The columns that lie wholly on the axis, and the color bar.
    fn image(&mut self, image: &Image, place: &Place, n_images: usize) {
        let (n_columns, [start, end]) = (image.n_columns(), image.x);
        let edge = |c: usize| start + (end - start) * c as f64 / n_columns as f64;
        let on_page = |c: usize| place.page_x(edge(c));
        let first = (0..=n_columns).find(|c| on_page(*c).is_some());
        let last = (0..=n_columns).rev().find(|c| on_page(*c).is_some());
        let [low, high] = image.y.map(|y| place.page_y(y).unwrap_or(place.top + place.height));
        if let (Some(first), Some(last)) = (first, last)
            && let (true, Some(left), Some(right)) = (first < last, on_page(first), on_page(last))
        {
            let most = resolution([right - left, low - high], n_images);
            let raster = raster(image, first..last, most);
            self.items.push(Item::Picture { raster, place: [left, high, right - left, low - high] });
        }
        if let Some(bar) = &place.bar {
            self.color_bar(image, bar, place);
        }
    }

    fn color_bar(&mut self, image: &Image, bar: &Bar, place: &Place) {
        let (tick, text) = (TICK * self.font, TICK_TEXT * self.font);
        let area = [bar.left, place.top, bar.width, place.height];
        let right = bar.left + bar.width;
        self.items.push(Item::Picture { raster: color_bar(image), place: area });
        let mut marks = rectangle(area);
        for Tick { value, label } in &bar.ticks {
            let Some(position) = bar.axis.position(*value) else { continue };
            let y = place.top + (1.0 - position) * place.height;
            marks.extend(line(&[[right, y], [right + tick, y]]));
            self.label(label, [right + tick + 0.25 * self.font, y + 0.35 * text], Anchor::Start, text);
        }
        self.trace(marks, AXIS, AXIS_WIDTH);
        self.upward_lines(&bar.label, bar.label_x, place.top + place.height / 2.0);
    }

    fn data(&mut self, panel: &Panel, place: &Place, keys: &[Key]) {
        for series in &panel.series {
            self.band(series, place);
        }
        for envelope in &panel.envelopes {
            self.envelope(envelope, place);
        }
        for guide in &panel.guides {
            if let Some(y) = place.page_y(guide.y) {
                self.stroke(line(&[[place.left, y], [place.left + place.width, y]]), guide.color, guide.stroke);
            }
        }
        // Values below the axis, one row a series, so that none hides another.
        let mut row = place.top + place.height;
        for series in &panel.series {
            self.curve(series, place, marker_of(series, keys));
            let missing = missing_points(series, panel.y_scale, place);
            for missing in &missing {
                let below = matches!(missing.kind, MissingKind::Below(_));
                self.missing(missing, if below { row } else { place.top + place.height }, series.color);
            }
            if missing.iter().any(|m| matches!(m.kind, MissingKind::Below(_))) {
                row -= 1.7 * self.font;
            }
        }
        for mark in &panel.marks {
            if let Some(point) = place.point(mark.point) {
                self.mark(mark.shape, point, mark.color);
            }
        }
    }

    fn mark(&mut self, shape: Shape, [x, y]: Point, color: Rgb) {
        let r = 0.3 * self.font;
        match shape {
            Shape::Ring => self.trace(vec![Segment::Circle([x, y], 1.2 * r)], color, 1.2 * self.line),
            Shape::Square => {
                // A white rim keeps it apart from the lines that it ends.
                let pen = Pen { color: WHITE, width: 0.5 * self.line, stroke: Stroke::Solid };
                let outline = rectangle([x - 0.7 * r, y - 0.7 * r, 1.4 * r, 1.4 * r]);
                self.items.push(Item::Shape { outline, fill: Some(Fill::opaque(color)), pen: Some(pen) });
            }
        }
    }

    fn band(&mut self, series: &Series, place: &Place) {
        let Some(band) = &series.band else { return };
        let edges = series.points.iter().zip(band.low.iter().zip(&band.high)).map(|([x, _], (low, high))| {
            // An edge at or below zero on a logarithmic axis reaches the bottom.
            let bottom = place.top + place.height;
            let low = if low.is_finite() { place.page_y(*low).unwrap_or(bottom) } else { return None };
            Some((place.page_x(*x)?, low, place.page_y(*high)?))
        });
        let shape = areas(edges);
        if !shape.is_empty() {
            self.fill(shape, Fill { color: series.color, opacity: BAND });
        }
    }

    fn envelope(&mut self, envelope: &Envelope, place: &Place) {
        let edges = envelope.columns().map(|[x, low, high]| Some((place.page_x(x)?, place.page_y(low)?, place.page_y(high)?)));
        let outline = areas(edges);
        if !outline.is_empty() {
            let pen = Pen { color: envelope.color, width: ENVELOPE_LINE * self.line, stroke: Stroke::Solid };
            self.items.push(Item::Shape { outline, fill: Some(Fill::opaque(envelope.color)), pen: Some(pen) });
        }
    }

    fn curve(&mut self, series: &Series, place: &Place, marker: Option<usize>) {
        let runs = runs(series.points.iter().map(|point| place.point(*point)));
        let data: Vec<Segment> = runs.iter().filter(|run| run.len() > 1).flat_map(|run| line(&thinned(run))).collect();
        if !data.is_empty() {
            self.stroke(data, series.color, series.stroke);
        }
        let mut shapes = Vec::new();
        for run in &runs {
            for point in run {
                // A lone point is no line, so it is marked even where points are not.
                if marker.is_some() || run.len() == 1 {
                    shapes.extend(marker_outline(marker.unwrap_or(0), *point, 1.7 * self.line));
                }
            }
        }
        if !shapes.is_empty() {
            self.fill(shapes, Fill::opaque(series.color));
        }
    }

    fn missing(&mut self, missing: &Missing, bottom: f64, color: Rgb) {
        let r = 0.28 * self.font;
        let (x, y) = (missing.x, bottom - 1.3 * r);
        let outline = match missing.kind {
            MissingKind::NotFinite => [line(&[[x - r, y - r], [x + r, y + r]]), line(&[[x - r, y + r], [x + r, y - r]])].concat(),
            MissingKind::NotPositive | MissingKind::Below(_) => polygon(&[[x - r, y - r], [x + r, y - r], [x, y + r]]),
        };
        self.stroke(outline, color, Stroke::Solid);
        if let MissingKind::Below(value) = missing.kind {
            self.label(&short(value), [x, y - 1.5 * r], Anchor::Middle, TICK_TEXT * self.font);
        }
    }

    fn legend_entry(&mut self, entry: &Entry) {
        let length = SAMPLE * self.font;
        let (left, middle) = (entry.x, entry.y - 0.35 * self.font);
        let (right, center) = (left + length, [left + length / 2.0, middle]);
        let swatch = |half: f64| rectangle([left, middle - half, length, 2.0 * half]);
        match &entry.key {
            Key::Line { color, stroke, has_band, marker, .. } => {
                if *has_band {
                    self.fill(swatch(0.4 * self.font), Fill { color: *color, opacity: BAND });
                }
                self.stroke(line(&[[left, middle], [right, middle]]), *color, *stroke);
                if let Some(shape) = marker {
                    self.fill(marker_outline(*shape, center, 1.7 * self.line), Fill::opaque(*color));
                }
            }
            Key::Area { color, .. } => self.fill(swatch(0.3 * self.font), Fill::opaque(*color)),
            Key::Blank(_) => self.fill(swatch(0.3 * self.font), Fill::opaque(LIGHT_GRAY)),
            Key::Mark { shape, .. } => self.mark(*shape, center, INK),
            Key::NotFinite(_) | Key::NotPositive(_) | Key::Below(_) => {
                let kind = if matches!(entry.key, Key::NotFinite(_)) { MissingKind::NotFinite } else { MissingKind::NotPositive };
                self.missing(&Missing { x: center[0], kind }, middle + 0.364 * self.font, AXIS);
            }
        }
        self.lines(&entry.lines, right + 0.5 * self.font, entry.y, Anchor::Start);
    }
}

/// The areas between the edges of each unbroken run: x, lower and upper edge.
fn areas(edges: impl Iterator<Item = Option<(f64, f64, f64)>>) -> Vec<Segment> {
    let edges: Vec<Option<(f64, f64, f64)>> = edges.collect();
    let mut shape = Vec::new();
    for run in edges.split(Option::is_none) {
        let run: Vec<(f64, f64, f64)> = run.iter().flatten().copied().collect();
        if run.len() > 1 {
            shape.extend(polygon(&outline(&run)));
        }
    }
    shape
}

fn marker_of(series: &Series, keys: &[Key]) -> Option<usize> {
    if !is_marked(series) {
        return None;
    }
    let shape = keys.iter().find_map(|key| match key {
        Key::Line { name, color, stroke, marker, .. } if *name == series.name && *color == series.color && *stroke == series.stroke => {
            *marker
        }
        _ => None,
    });
    Some(shape.unwrap_or(0))
}

/// A circle, square, triangle or diamond of about the same weight, so that curves are told apart without color.
fn marker_outline(shape: usize, [x, y]: Point, r: f64) -> Vec<Segment> {
    let corners = |corners: &[Point]| polygon(&corners.iter().map(|[dx, dy]| [x + dx * r, y + dy * r]).collect::<Vec<_>>());
    match shape % 4 {
        0 => vec![Segment::Circle([x, y], r)],
        1 => corners(&[[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]]),
        2 => corners(&[[0.0, -1.25], [1.15, 0.85], [-1.15, 0.85]]),
        _ => corners(&[[0.0, -1.35], [1.2, 0.0], [0.0, 1.35], [-1.2, 0.0]]),
    }
}

fn missing_points(series: &Series, scale: Scale, place: &Place) -> Vec<Missing> {
    let missing = series.points.iter().filter_map(|[x, y]| {
        let kind = match (y.is_finite(), scale) {
            (false, _) => MissingKind::NotFinite,
            (true, Scale::Log10) if *y <= 0.0 => MissingKind::NotPositive,
            (true, _) if *y < place.floor => MissingKind::Below(*y),
            _ => return None,
        };
        Some(Missing { x: place.page_x(*x)?, kind })
    });
    missing.collect()
}
