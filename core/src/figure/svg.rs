//! Writes the placed figure as SVG, with text as text.

use std::fmt::Write as _;

use super::axis::{Tick, short};
use super::curve::{Missing, MissingKind, outline, runs, thinned};
use super::layout::{Entry, Key, LINE, Layout, Place, SAMPLE, TICK, TICK_TEXT, is_marked};
use super::text::FAMILIES;
use super::{FigureSpec, Panel, Scale, Series, Shape, Stroke};

const INK: &str = "#222222";
const AXIS: &str = "#555555";
const GRID: &str = "#e4e4e4";

/// The whole document.
pub(super) fn document(spec: &FigureSpec, layout: &Layout, provenance_json: &str) -> String {
    let (width, height) = (layout.width, layout.height);
    let millimeters = |pt: f64| number(pt / 72.0 * 25.4);
    let mut svg = Svg { text: String::new(), font: layout.sizes.font, line: layout.sizes.line };
    svg.raw(&format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}mm\" height=\"{}mm\" viewBox=\"0 0 {} {}\" font-family=\"{FAMILIES}\" \
         font-size=\"{}\" fill=\"{INK}\">\n",
        millimeters(width),
        millimeters(height),
        number(width),
        number(height),
        number(svg.font),
    ));
    svg.raw(&format!("<title>{}</title>\n<desc>{}</desc>\n", escaped(&spec.name), escaped(&spec.caption)));
    svg.raw(&format!("<metadata>{}</metadata>\n", escaped(provenance_json)));
    svg.raw(&format!("<rect width=\"{}\" height=\"{}\" fill=\"#ffffff\"/>\n", number(width), number(height)));
    for (panel, place) in spec.panels.iter().zip(&layout.panels) {
        svg.raw("<g>\n");
        svg.axes(place);
        svg.data(panel, place, &layout.legend);
        svg.raw("</g>\n");
    }
    for entry in &layout.legend {
        svg.legend_entry(entry);
    }
    svg.lines(&layout.caption, layout.margin, layout.caption_y, "start");
    svg.raw("</svg>\n");
    svg.text
}

/// Two decimals (a 7000th of an inch) and no trailing zeros.
fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\n' | '\t' => safe.push(letter),
            // XML has no way to hold other control characters.
            control if control.is_control() => safe.push('\u{fffd}'),
            other => safe.push(other),
        }
    }
    safe
}

fn hex([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

fn path(points: &[[f64; 2]]) -> String {
    let mut data = String::new();
    for (index, [x, y]) in points.iter().enumerate() {
        let _ = write!(data, "{}{} {}", if index == 0 { 'M' } else { 'L' }, number(*x), number(*y));
    }
    data
}

struct Svg {
    text: String,
    font: f64,
    line: f64,
}

impl Svg {
    fn raw(&mut self, markup: &str) {
        self.text.push_str(markup);
    }

    fn label(&mut self, text: &str, x: f64, y: f64, anchor: &str, size: f64) {
        let size = if size == self.font { String::new() } else { format!(" font-size=\"{}\"", number(size)) };
        let anchor = if anchor == "start" { String::new() } else { format!(" text-anchor=\"{anchor}\"") };
        self.raw(&format!("<text x=\"{}\" y=\"{}\"{anchor}{size}>{}</text>\n", number(x), number(y), escaped(text)));
    }

    fn lines(&mut self, lines: &[String], x: f64, first_baseline: f64, anchor: &str) {
        for (index, line) in lines.iter().enumerate().filter(|(_, line)| !line.is_empty()) {
            self.label(line, x, first_baseline + index as f64 * LINE * self.font, anchor, self.font);
        }
    }

    fn axes(&mut self, place: &Place) {
        let Place { left, top, width, height, .. } = *place;
        let (right, bottom) = (left + width, top + height);
        let (tick, text) = (TICK * self.font, TICK_TEXT * self.font);
        let mut grid = String::new();
        let mut marks = String::new();
        for Tick { value, label } in &place.x_ticks {
            let Some(x) = place.page_x(*value) else { continue };
            grid += &path(&[[x, top], [x, bottom]]);
            marks += &path(&[[x, bottom], [x, bottom + tick]]);
            self.label(label, x, bottom + tick + 0.95 * self.font, "middle", text);
        }
        for Tick { value, label } in &place.y_ticks {
            let Some(y) = place.page_y(*value) else { continue };
            if label.is_empty() {
                marks += &path(&[[left, y], [left - 0.5 * tick, y]]);
                continue;
            }
            grid += &path(&[[left, y], [right, y]]);
            marks += &path(&[[left, y], [left - tick, y]]);
            self.label(label, left - tick - 0.25 * self.font, y + 0.35 * text, "end", text);
        }
        self.raw(&format!("<path d=\"{grid}\" stroke=\"{GRID}\" stroke-width=\"0.5\" fill=\"none\"/>\n"));
        let frame = path(&[[left, top], [left, bottom], [right, bottom]]);
        self.raw(&format!("<path d=\"{frame}{marks}\" stroke=\"{AXIS}\" stroke-width=\"0.6\" fill=\"none\"/>\n"));
        let title_y = top - 0.6 * self.font - place.title.len().saturating_sub(1) as f64 * LINE * self.font;
        self.lines(&place.title, left, title_y, "start");
        self.lines(&place.x_label, left + width / 2.0, place.x_label_y, "middle");
        for (index, line) in place.y_label.iter().rev().enumerate() {
            let x = number(place.y_label_x - index as f64 * LINE * self.font + 0.35 * self.font);
            let y = number(top + height / 2.0);
            self.raw(&format!("<text transform=\"translate({x} {y}) rotate(-90)\" text-anchor=\"middle\">{}</text>\n", escaped(line)));
        }
    }

    fn data(&mut self, panel: &Panel, place: &Place, legend: &[Entry]) {
        for series in &panel.series {
            self.band(series, place);
        }
        for guide in &panel.guides {
            if let Some(y) = place.page_y(guide.y) {
                self.stroke(&path(&[[place.left, y], [place.left + place.width, y]]), guide.color, guide.stroke);
            }
        }
        // Values below the axis, one row a series, so that none hides another.
        let mut row = place.top + place.height;
        for series in &panel.series {
            self.curve(series, place, marker_of(series, legend));
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

    fn mark(&mut self, shape: Shape, [x, y]: [f64; 2], color: [u8; 3]) {
        let (r, color) = (0.3 * self.font, hex(color));
        let (x, y, width) = (number(x), number(y), number(1.2 * self.line));
        match shape {
            Shape::Ring => self.raw(&format!(
                "<circle cx=\"{x}\" cy=\"{y}\" r=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"{width}\"/>\n",
                number(1.2 * r)
            )),
            Shape::Square => {
                // A white rim keeps it apart from the lines that it ends.
                let side = number(1.4 * r);
                self.raw(&format!(
                    "<rect x=\"{x}\" y=\"{y}\" width=\"{side}\" height=\"{side}\" transform=\"translate(-{half} -{half})\" \
                     fill=\"{color}\" stroke=\"#ffffff\" stroke-width=\"{rim}\"/>\n",
                    half = number(0.7 * r),
                    rim = number(0.5 * self.line),
                ));
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
        let edges: Vec<Option<(f64, f64, f64)>> = edges.collect();
        let mut shape = String::new();
        for run in edges.split(Option::is_none) {
            let run: Vec<(f64, f64, f64)> = run.iter().flatten().copied().collect();
            if run.len() > 1 {
                shape += &path(&outline(&run));
                shape.push('Z');
            }
        }
        if !shape.is_empty() {
            self.raw(&format!("<path d=\"{shape}\" fill=\"{}\" fill-opacity=\"0.16\"/>\n", hex(series.color)));
        }
    }

    fn stroke(&mut self, data: &str, color: [u8; 3], stroke: Stroke) {
        let w = self.line;
        let pattern = match stroke {
            Stroke::Solid => String::new(),
            Stroke::Dashed => format!(" stroke-dasharray=\"{} {}\"", number(4.0 * w), number(2.5 * w)),
            Stroke::ShortDashed => format!(" stroke-dasharray=\"{} {}\"", number(1.7 * w), number(1.5 * w)),
            Stroke::Dotted => format!(" stroke-dasharray=\"0 {}\" stroke-linecap=\"round\"", number(2.2 * w)),
        };
        let color = hex(color);
        self.raw(&format!(
            "<path d=\"{data}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"{}\"{pattern} stroke-linejoin=\"round\"/>\n",
            number(w)
        ));
    }

    fn curve(&mut self, series: &Series, place: &Place, marker: Option<usize>) {
        let runs = runs(series.points.iter().map(|point| place.point(*point)));
        let data: String = runs.iter().filter(|run| run.len() > 1).map(|run| path(&thinned(run))).collect();
        if !data.is_empty() {
            self.stroke(&data, series.color, series.stroke);
        }
        let mut shapes = String::new();
        for run in &runs {
            for point in run {
                // A lone point is no line, so it is marked even where points are not.
                if marker.is_some() || run.len() == 1 {
                    shapes += &marker_path(marker.unwrap_or(0), *point, 1.7 * self.line);
                }
            }
        }
        if !shapes.is_empty() {
            self.raw(&format!("<path d=\"{shapes}\" fill=\"{}\"/>\n", hex(series.color)));
        }
    }

    fn missing(&mut self, missing: &Missing, bottom: f64, color: [u8; 3]) {
        let r = 0.28 * self.font;
        let (x, y) = (missing.x, bottom - 1.3 * r);
        let data = match missing.kind {
            MissingKind::NotFinite => path(&[[x - r, y - r], [x + r, y + r]]) + &path(&[[x - r, y + r], [x + r, y - r]]),
            MissingKind::NotPositive | MissingKind::Below(_) => path(&[[x - r, y - r], [x + r, y - r], [x, y + r]]) + "Z",
        };
        self.stroke(&data, color, Stroke::Solid);
        if let MissingKind::Below(value) = missing.kind {
            self.label(&short(value), x, y - 1.5 * r, "middle", TICK_TEXT * self.font);
        }
    }

    fn legend_entry(&mut self, entry: &Entry) {
        let length = SAMPLE * self.font;
        let (left, right, middle) = (entry.x, entry.x + length, entry.y - 0.35 * self.font);
        let center = [entry.x + length / 2.0, middle];
        match &entry.key {
            Key::Line { color, stroke, has_band, marker, .. } => {
                if *has_band {
                    let half = 0.4 * self.font;
                    let shape = path(&[[left, middle - half], [right, middle - half], [right, middle + half], [left, middle + half]]);
                    self.raw(&format!("<path d=\"{shape}Z\" fill=\"{}\" fill-opacity=\"0.16\"/>\n", hex(*color)));
                }
                self.stroke(&path(&[[left, middle], [right, middle]]), *color, *stroke);
                if let Some(shape) = marker {
                    let shape = marker_path(*shape, center, 1.7 * self.line);
                    self.raw(&format!("<path d=\"{shape}\" fill=\"{}\"/>\n", hex(*color)));
                }
            }
            Key::Mark { shape, .. } => self.mark(*shape, center, [0x22; 3]),
            Key::NotFinite(_) | Key::NotPositive(_) | Key::Below(_) => {
                let kind = if matches!(entry.key, Key::NotFinite(_)) { MissingKind::NotFinite } else { MissingKind::NotPositive };
                self.missing(&Missing { x: center[0], kind }, middle + 0.364 * self.font, [0x55; 3]);
            }
        }
        self.lines(&entry.lines, right + 0.5 * self.font, entry.y, "start");
    }
}

fn marker_of(series: &Series, legend: &[Entry]) -> Option<usize> {
    if !is_marked(series) {
        return None;
    }
    let shape = legend.iter().find_map(|entry| match &entry.key {
        Key::Line { name, color, stroke, marker, .. } if *name == series.name && *color == series.color && *stroke == series.stroke => {
            *marker
        }
        _ => None,
    });
    Some(shape.unwrap_or(0))
}

/// A circle, square, triangle or diamond of about the same weight, so that curves are told apart without color.
fn marker_path(shape: usize, [x, y]: [f64; 2], r: f64) -> String {
    let polygon = |corners: &[[f64; 2]]| path(&corners.iter().map(|[dx, dy]| [x + dx * r, y + dy * r]).collect::<Vec<_>>()) + "Z";
    match shape % 4 {
        0 => {
            let (left, r, d) = (number(x - r), number(r), number(2.0 * r));
            format!("M{left} {}a{r} {r} 0 1 0 {d} 0a{r} {r} 0 1 0 -{d} 0Z", number(y))
        }
        1 => polygon(&[[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]]),
        2 => polygon(&[[0.0, -1.25], [1.15, 0.85], [-1.15, 0.85]]),
        _ => polygon(&[[0.0, -1.35], [1.2, 0.0], [0.0, 1.35], [-1.2, 0.0]]),
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
