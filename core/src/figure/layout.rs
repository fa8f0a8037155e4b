//! Places panels, legend and caption on the page. All lengths in pt from the top left corner.

use super::axis::{Axis, Tick};
use super::text::Ruler;
use super::{FigureSpec, Image, Legend, Panel, Scale, Series, Shape, Stroke};

const PT_PER_MM: f64 = 72.0 / 25.4;

/// Distance between baselines, in font sizes.
pub(super) const LINE: f64 = 1.3;
/// Size of tick labels, in font sizes.
pub(super) const TICK_TEXT: f64 = 0.9;
/// Length of a tick, in font sizes.
pub(super) const TICK: f64 = 0.3;
/// Length of a legend's sample, in font sizes.
pub(super) const SAMPLE: f64 = 2.4;
/// Curves with more points than this carry no markers.
const MOST_MARKERS: usize = 32;

/// Sizes of the spec with defaults in the place of what is no size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) font: f64,
    pub(super) line: f64,
    pub(super) row: f64,
    pub(super) columns: usize,
}

/// Where everything goes.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) sizes: Sizes,
    pub(super) panels: Vec<Place>,
    pub(super) legend: Vec<Entry>,
    /// What every name of every panel looks like, in the legend or not.
    pub(super) keys: Vec<Key>,
    pub(super) caption: Vec<String>,
    /// Baseline of the caption's first line.
    pub(super) caption_y: f64,
    /// Left end of legend and caption.
    pub(super) margin: f64,
}

/// One panel: the rectangle inside its axes, the axes, and its texts.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) left: f64,
    pub(super) top: f64,
    pub(super) width: f64,
    pub(super) height: f64,
    pub(super) x: Axis,
    pub(super) y: Axis,
    /// Nothing is drawn below this value.
    pub(super) floor: f64,
    pub(super) x_ticks: Vec<Tick>,
    pub(super) y_ticks: Vec<Tick>,
    pub(super) title: Vec<String>,
    pub(super) x_label: Vec<String>,
    pub(super) y_label: Vec<String>,
    /// Center of the y label's last line, the one nearest to the axis.
    pub(super) y_label_x: f64,
    /// Baseline of the x label's first line.
    pub(super) x_label_y: f64,
    /// Color bar of its image.
    pub(super) bar: Option<Bar>,
}

/// A color bar: as high as the panel, at its right.
#[derive(Debug)]
pub(super) struct Bar {
    pub(super) left: f64,
    pub(super) width: f64,
    pub(super) axis: Axis,
    pub(super) ticks: Vec<Tick>,
    pub(super) label: Vec<String>,
    /// Center of the label's last line, the one furthest from the bar.
    pub(super) label_x: f64,
}

impl Place {
    /// A point of the panel's numbers on the page; `None` when it cannot be drawn.
    pub(super) fn point(&self, [x, y]: [f64; 2]) -> Option<[f64; 2]> {
        Some([self.page_x(x)?, self.page_y(y)?])
    }

    pub(super) fn page_x(&self, x: f64) -> Option<f64> {
        let inside = |p: &f64| (-1e-9..=1.0 + 1e-9).contains(p);
        self.x.position(x).filter(inside).map(|p| self.left + p * self.width)
    }

    pub(super) fn page_y(&self, y: f64) -> Option<f64> {
        self.y.position(y).filter(|_| y >= self.floor).map(|p| self.top + (1.0 - p) * self.height)
    }
}

/// How one name is drawn everywhere in the figure.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) key: Key,
    pub(super) lines: Vec<String>,
    pub(super) x: f64,
    /// Baseline of the first line.
    pub(super) y: f64,
}

/// What a legend entry shows beside its name.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Key {
    /// A curve or a guide.
    Line {
        name: String,
        color: [u8; 3],
        stroke: Stroke,
        has_band: bool,
        /// Shape of its markers, where it has any.
        marker: Option<usize>,
    },
    /// A waveform.
    Area { name: String, color: [u8; 3] },
    /// Points that stand out.
    Mark { name: String, shape: Shape },
    /// How many cells of images have no value.
    Blank(usize),
    /// How many points could not be drawn.
    NotFinite(usize),
    /// How many points lie below the axis.
    Below(usize),
    /// How many points lie at or below zero on a logarithmic axis.
    NotPositive(usize),
}

impl Key {
    fn text(&self) -> String {
        let points = |n: &usize| if *n == 1 { "1 point".to_owned() } else { format!("{n} points") };
        match self {
            Self::Line { name, .. } | Self::Area { name, .. } | Self::Mark { name, .. } => name.clone(),
            Self::Blank(1) => "no value (1 cell)".to_owned(),
            Self::Blank(n) => format!("no value ({n} cells)"),
            Self::Below(n) => format!("below the axis, with its value ({})", points(n)),
            Self::NotFinite(n) => format!("not finite ({})", points(n)),
            Self::NotPositive(n) => format!("zero or negative ({})", points(n)),
        }
    }
}

/// Whether the points of a series are marked one by one.
pub(super) fn is_marked(series: &Series) -> bool {
    series.stroke == Stroke::Solid && series.points.len() <= MOST_MARKERS
}

/// Places everything.
pub(super) fn lay_out(spec: &FigureSpec, ruler: &Ruler) -> Layout {
    let sizes = Sizes::of(spec);
    let font = sizes.font;
    let width = spec.width.millimeters() * PT_PER_MM;
    let cell = width / sizes.columns as f64;
    let mut panels: Vec<Place> = spec.panels.iter().map(|panel| sketch(panel, cell, &sizes, ruler)).collect();
    place_columns(&mut panels, width, &sizes, ruler);
    let mut y = 0.4 * font;
    for (row, specs) in panels.chunks_mut(sizes.columns).zip(spec.panels.chunks(sizes.columns)) {
        y = place_row(row, specs, y, &sizes, ruler) + 0.9 * font;
    }
    let margin = 0.3 * font;
    let keys = keys(spec.panels.iter());
    let mut legend = legend_entries(spec, &keys, ruler, width - 2.0 * margin - (SAMPLE + 0.5) * font, font);
    y = flow(&mut legend, y, margin, width, ruler, font);
    let caption = ruler.wrap(&spec.caption, font, width - 2.0 * margin);
    let caption_y = y + font;
    if !caption.is_empty() {
        y += caption.len() as f64 * LINE * font;
    }
    Layout { width, height: y + 0.4 * font, sizes, panels, legend, keys, caption, caption_y, margin }
}

impl Sizes {
    fn of(spec: &FigureSpec) -> Self {
        let default = FigureSpec::default();
        let positive = |value: f64, otherwise: f64| if value.is_finite() && value > 0.0 { value } else { otherwise };
        let columns = if spec.columns == 0 { default.columns } else { spec.columns };
        Self {
            font: positive(spec.font_size_pt, default.font_size_pt),
            line: positive(spec.line_width_pt, default.line_width_pt),
            row: positive(spec.row_height_mm, default.row_height_mm) * PT_PER_MM,
            columns: columns.min(spec.panels.len().max(1)),
        }
    }
}

/// Axes and y ticks, which decide how much room the left side needs; the rest is filled in by what follows.
fn sketch(panel: &Panel, cell: f64, sizes: &Sizes, ruler: &Ruler) -> Place {
    let (x, y) = axes(panel);
    let floor = panel.y_floor.unwrap_or(f64::NEG_INFINITY);
    let height = (sizes.row - 4.5 * sizes.font).max(4.0 * sizes.font);
    let y_ticks = y.ticks((height / (2.2 * sizes.font)) as usize);
    Place {
        left: 0.0,
        top: 0.0,
        width: cell,
        height,
        x,
        y,
        floor,
        // Named ones stand where they must; numbers wait for the width.
        x_ticks: panel.x_names.iter().enumerate().map(|(i, name)| Tick { value: (i + 1) as f64, label: name.clone() }).collect(),
        y_ticks,
        title: Vec::new(),
        x_label: Vec::new(),
        y_label: ruler.wrap(&panel.y_label, sizes.font, height + 2.0 * sizes.font),
        y_label_x: 0.0,
        x_label_y: 0.0,
        bar: panel.image.as_ref().map(|image| color_bar(image, height, sizes, ruler)),
    }
}

/// Axes that show everything. An image fills them; curves alone keep a little distance from their ends.
fn axes(panel: &Panel) -> (Axis, Axis) {
    let points = || panel.series.iter().flat_map(|s| &s.points);
    let edges = |of: fn(&Image) -> [f64; 2]| panel.image.iter().flat_map(of);
    let bands = panel.series.iter().filter_map(|s| s.band.as_ref()).flat_map(|b| b.low.iter().chain(&b.high)).copied();
    let samples = panel.envelopes.iter().flat_map(|e| e.extremes.iter().flatten()).map(|v| f64::from(*v));
    let along = panel.envelopes.iter().flat_map(|e| e.x).chain(edges(|image| image.x));
    let [x_padding, y_padding] = match (panel.image.is_some(), panel.envelopes.is_empty()) {
        (true, _) => [0.0, 0.0],
        (_, false) => [0.0, 0.06],
        _ => [0.025, 0.06],
    };
    let x = match panel.x_range {
        Some([low, high]) if low.is_finite() && high.is_finite() && low < high => Axis { scale: Scale::Linear, low, high },
        _ => Axis::around(points().map(|p| p[0]).chain(along), Scale::Linear, x_padding),
    };
    let floor = panel.y_floor.unwrap_or(f64::NEG_INFINITY);
    let values = points().map(|p| p[1]).chain(bands).chain(samples).chain(panel.guides.iter().map(|g| g.y)).chain(edges(|image| image.y));
    let y = Axis::around(values.map(|y| if y < floor { floor } else { y }), panel.y_scale, y_padding);
    (x, y)
}

/// The bar at a distance from the panel's right edge; [`place_columns`] moves it there.
fn color_bar(image: &Image, height: f64, sizes: &Sizes, ruler: &Ruler) -> Bar {
    let font = sizes.font;
    let [low, high] = image.range;
    let axis = Axis { scale: Scale::Linear, low, high };
    let ticks = axis.ticks((height / (2.2 * font)) as usize);
    let label = ruler.wrap(&image.label, font, height + 2.0 * font);
    let (left, width) = (0.7 * font, 0.8 * font);
    let label_x =
        left + width + (TICK + 0.25 + 0.8) * font + widest(&ticks, font, ruler) + label.len().saturating_sub(1) as f64 * LINE * font;
    Bar { left, width, axis, ticks, label, label_x }
}

fn widest(ticks: &[Tick], font: f64, ruler: &Ruler) -> f64 {
    ticks.iter().map(|t| ruler.width(&t.label, TICK_TEXT * font)).fold(0.0, f64::max)
}

/// Left ends and widths: axes of one column stand under each other, and all plots are equally wide.
fn place_columns(panels: &mut [Place], width: f64, sizes: &Sizes, ruler: &Ruler) {
    let Sizes { font, columns, .. } = *sizes;
    let mut margins = vec![0.0_f64; columns];
    let mut labels = vec![0.0_f64; columns];
    // Half of the last x tick label may stand out to the right.
    let mut rights = vec![1.2 * font; columns];
    for (index, place) in panels.iter().enumerate() {
        let ticks = widest(&place.y_ticks, font, ruler);
        let label = if place.y_label.is_empty() { 0.0 } else { (place.y_label.len() as f64 * LINE + 0.2) * font };
        let column = index % columns;
        margins[column] = margins[column].max(ticks + (TICK + 0.5) * font + label);
        labels[column] = labels[column].max(ticks + (TICK + 0.5) * font);
        rights[column] = rights[column].max(place.bar.as_ref().map_or(0.0, |bar| bar.label_x + 0.9 * font));
    }
    let between = 0.6 * font;
    let taken: f64 = margins.iter().chain(&rights).sum::<f64>() + between * (columns - 1) as f64;
    let plot = ((width - taken) / columns as f64).max(2.0 * font);
    for (index, place) in panels.iter_mut().enumerate() {
        let column = index % columns;
        place.left = margins[..=column].iter().chain(&rights[..column]).sum::<f64>() + (plot + between) * column as f64;
        place.width = plot;
        if let Some(bar) = &mut place.bar {
            bar.left += place.left + plot;
            bar.label_x += place.left + plot;
        }
        place.y_label_x = place.left - labels[column] - 0.5 * font;
        if place.x_ticks.is_empty() {
            place.x_ticks = fitting_ticks(&place.x, plot, font, ruler);
        }
    }
}

/// As many x ticks as have labels that keep apart.
fn fitting_ticks(axis: &Axis, plot: f64, font: f64, ruler: &Ruler) -> Vec<Tick> {
    let mut most = (plot / (2.0 * font)) as usize;
    loop {
        let ticks = axis.ticks(most);
        let widest = widest(&ticks, font, ruler);
        let fits = ticks.len() < 2 || (widest + 0.8 * font) * ticks.len() as f64 <= plot + widest;
        if fits || most <= 2 {
            return ticks;
        }
        most -= 1;
    }
}

/// Tops and heights of one row, whose titles and x labels share lines; returns where the row ends.
fn place_row(row: &mut [Place], specs: &[Panel], top: f64, sizes: &Sizes, ruler: &Ruler) -> f64 {
    let font = sizes.font;
    for (place, panel) in row.iter_mut().zip(specs) {
        place.title = ruler.wrap(&panel.title, font, place.width + font);
        place.x_label = ruler.wrap(&panel.x_label, font, place.width + 2.0 * font);
    }
    let most = |lines: fn(&Place) -> usize| row.iter().map(lines).max().unwrap_or(0) as f64;
    let title = most(|p| p.title.len()) * LINE * font + 0.3 * font;
    let tick_labels = (TICK + 1.1) * font;
    let x_label = most(|p| p.x_label.len()) * LINE * font;
    let height = (sizes.row - title - tick_labels - x_label).max(4.0 * font);
    for place in row.iter_mut() {
        place.top = top + title;
        place.height = height;
        // Room was made for the labels as sketched: finer ones that are wider have none.
        let most = (height / (2.2 * font)) as usize;
        let fit = |axis: &Axis, sketched: &mut Vec<Tick>| {
            let ticks = axis.ticks(most);
            if widest(&ticks, font, ruler) <= widest(sketched, font, ruler) {
                *sketched = ticks;
            }
        };
        fit(&place.y, &mut place.y_ticks);
        if let Some(bar) = &mut place.bar {
            fit(&bar.axis, &mut bar.ticks);
        }
        place.x_label_y = place.top + height + tick_labels + font;
    }
    top + title + height + tick_labels + x_label
}

/// Entries of the panels that have any, drawn as in `all`.
fn legend_entries(spec: &FigureSpec, all: &[Key], ruler: &Ruler, limit: f64, font: f64) -> Vec<Entry> {
    let mut shown = keys(spec.panels.iter().filter(|panel| panel.legend == Legend::Shown));
    for key in &mut shown {
        let Key::Line { name, color, stroke, marker, .. } = key else { continue };
        let same = |other: &&Key| matches!(other, Key::Line { name: n, color: c, stroke: s, .. } if n == name && c == color && s == stroke);
        if let Some(Key::Line { marker: drawn, .. }) = all.iter().find(same) {
            *marker = *drawn;
        }
    }
    shown.into_iter().map(|key| Entry { lines: ruler.wrap(&key.text(), font, limit), key, x: 0.0, y: 0.0 }).collect()
}

/// What every name looks like, and how many numbers could not be drawn as they are.
fn keys<'a>(panels: impl Iterator<Item = &'a Panel> + Clone) -> Vec<Key> {
    let mut keys: Vec<Key> = Vec::new();
    let mut n_marked = 0;
    for series in panels.clone().flat_map(|panel| &panel.series) {
        let marked = is_marked(series);
        add_line(&mut keys, &series.name, series.color, series.stroke, series.band.is_some(), marked.then_some(n_marked));
        n_marked = keys.iter().filter(|k| matches!(k, Key::Line { marker: Some(_), .. })).count();
    }
    for guide in panels.clone().flat_map(|panel| &panel.guides) {
        add_line(&mut keys, &guide.name, guide.color, guide.stroke, false, None);
    }
    let areas = panels.clone().flat_map(|p| &p.envelopes).map(|e| Key::Area { name: e.name.clone(), color: e.color });
    let marks = panels.clone().flat_map(|p| &p.marks).map(|m| Key::Mark { name: m.name.clone(), shape: m.shape });
    for key in areas.chain(marks) {
        if !keys.contains(&key) && !key.text().is_empty() {
            keys.push(key);
        }
    }
    let count = |wanted: fn(&Panel, f64) -> bool| {
        panels.clone().map(|panel| panel.series.iter().flat_map(|s| &s.points).filter(|p| wanted(panel, p[1])).count()).sum::<usize>()
    };
    let gaps = panels.clone().flat_map(|p| &p.envelopes).flat_map(|e| &e.extremes).filter(|e| e.iter().any(|v| !v.is_finite())).count();
    let blank = panels.clone().flat_map(|p| &p.image).flat_map(|image| &image.values).filter(|v| v.is_nan()).count();
    let not_finite = count(|_, y| !y.is_finite()) + gaps;
    let not_positive = count(|panel, y| panel.y_scale == Scale::Log10 && y <= 0.0 && y.is_finite());
    let below = count(|panel, y| panel.y_floor.is_some_and(|floor| y < floor && y.is_finite()));
    keys.extend((below > 0).then_some(Key::Below(below)));
    keys.extend((not_finite > 0).then_some(Key::NotFinite(not_finite)));
    keys.extend((not_positive > 0).then_some(Key::NotPositive(not_positive)));
    keys.extend((blank > 0).then_some(Key::Blank(blank)));
    keys
}

/// One entry for each name that looks the same everywhere.
fn add_line(keys: &mut Vec<Key>, name: &str, color: [u8; 3], stroke: Stroke, has_band: bool, marker: Option<usize>) {
    let same = keys.iter_mut().find_map(|key| match key {
        Key::Line { name: n, color: c, stroke: s, has_band, marker } if n == name && *c == color && *s == stroke => {
            Some((has_band, marker))
        }
        _ => None,
    });
    match same {
        Some((band, shape)) => {
            *band |= has_band;
            *shape = shape.or(marker);
        }
        None if name.is_empty() => {}
        None => keys.push(Key::Line { name: name.to_owned(), color, stroke, has_band, marker }),
    }
}

/// Fills rows from the left; returns where the legend ends.
fn flow(entries: &mut [Entry], top: f64, margin: f64, width: f64, ruler: &Ruler, font: f64) -> f64 {
    let (mut x, mut y, mut lines) = (margin, top, 0);
    for entry in entries.iter_mut() {
        let text = entry.lines.iter().map(|line| ruler.width(line, font)).fold(0.0, f64::max);
        let needed = (SAMPLE + 0.5) * font + text;
        if x > margin && x + needed > width - margin {
            (x, y, lines) = (margin, y + lines as f64 * LINE * font + 0.15 * font, 0);
        }
        (entry.x, entry.y) = (x, y + font);
        lines = lines.max(entry.lines.len());
        x += needed + 1.5 * font;
    }
    if entries.is_empty() { y } else { y + lines as f64 * LINE * font + 0.5 * font }
}
