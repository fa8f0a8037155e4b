//! What a figure shows.

/// Column widths of the venues.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Width {
    /// Interspeech and ICASSP, one column: 80 mm.
    SingleColumn,
    /// Interspeech and ICASSP, both columns: 170 mm.
    #[default]
    DoubleColumn,
    /// NeurIPS text: 139.7 mm.
    NeurIps,
    /// Any.
    Millimeters(f64),
}

/// Axis scale.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// Linear.
    #[default]
    Linear,
    /// Base-10 logarithm; values ≤ 0 are left out.
    Log10,
}

/// Line pattern.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stroke {
    /// Unbroken.
    #[default]
    Solid,
    /// Dashed.
    Dashed,
    /// In short dashes.
    ShortDashed,
    /// Dotted.
    Dotted,
}

/// Lower and upper edge of a shaded band, one value a point.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Band {
    /// Lower edge.
    pub low: Vec<f64>,
    /// Upper edge.
    pub high: Vec<f64>,
}

/// One curve.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Series {
    /// Legend text.
    pub name: String,
    /// sRGB.
    pub color: [u8; 3],
    /// Pattern.
    pub stroke: Stroke,
    /// Points; a NaN y interrupts the curve and is marked on the axis.
    pub points: Vec<[f64; 2]>,
    /// Shaded band, where there is one.
    pub band: Option<Band>,
}

/// A horizontal line with a name ("climatology").
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Guide {
    /// Legend text.
    pub name: String,
    /// sRGB.
    pub color: [u8; 3],
    /// Pattern.
    pub stroke: Stroke,
    /// Value on the y axis.
    pub y: f64,
}

/// What a [`Mark`] looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// An open circle around the point.
    Ring,
    /// A filled square on it.
    Square,
}

/// A single point with a name ("start of the rollout").
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Mark {
    /// Legend text; marks of one name and shape share one entry.
    pub name: String,
    /// sRGB.
    pub color: [u8; 3],
    /// How it is drawn.
    pub shape: Shape,
    /// Where.
    pub point: [f64; 2],
}

/// A waveform: the area between the least and the greatest sample of each of equal stretches of the x axis.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Envelope {
    /// Legend text.
    pub name: String,
    /// sRGB.
    pub color: [u8; 3],
    /// Where the first stretch begins and the last one ends on the x axis.
    pub x: [f64; 2],
    /// Lowest and highest value of each stretch; of single samples both are the sample. One that is not finite leaves a gap.
    pub extremes: Vec<[f32; 2]>,
}

/// Levels over time and frequency, or any values on a regular grid, as colors with a color bar.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Image {
    /// What is shown ("rollout"); the CSV's name for it.
    pub name: String,
    /// Beside the color bar, with unit: "level, dB".
    pub label: String,
    /// `[n_columns, n_rows]`: columns from left to right, in each the lowest row first. −∞ takes the first color; NaN is drawn gray.
    pub values: Vec<f32>,
    /// Rows of a column.
    pub n_rows: usize,
    /// Left edge of the first column and right edge of the last on the x axis.
    pub x: [f64; 2],
    /// Lower edge of the lowest row and upper edge of the highest; rows are equally high on the y axis, whatever its scale.
    pub y: [f64; 2],
    /// Values of the first and of the last color; what lies beyond them takes the color of that end.
    pub range: [f64; 2],
    /// 256 sRGB colors.
    pub colors: Vec<[u8; 3]>,
}

/// Whether the legend explains what a panel shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Legend {
    /// Its names have entries.
    #[default]
    Shown,
    /// It adds no entry; a figure of which no panel does has no legend.
    Hidden,
}

/// One set of axes.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Panel {
    /// Above the axes.
    pub title: String,
    /// With unit.
    pub x_label: String,
    /// With unit.
    pub y_label: String,
    /// Scale of y.
    pub y_scale: Scale,
    /// Curves, drawn in order.
    pub series: Vec<Series>,
    /// Horizontal reference lines.
    pub guides: Vec<Guide>,
    /// Points that stand out, drawn last.
    pub marks: Vec<Mark>,
    /// Waveforms, drawn below the curves.
    pub envelopes: Vec<Envelope>,
    /// Drawn below everything; its axes end where it does.
    pub image: Option<Image>,
    /// The part of the x axis that is shown; all of it when absent. Points outside are not drawn.
    pub x_range: Option<[f64; 2]>,
    /// Names at 1, 2, 3 … instead of numbers along the x axis.
    pub x_names: Vec<String>,
    /// Whether its names are in the legend.
    pub legend: Legend,
    /// The y axis goes no lower than this, so that a few values far below do not flatten the others; those are marked at its lower end,
    /// with their value.
    pub y_floor: Option<f64>,
}

/// What made the numbers; embedded in every file.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Provenance {
    /// Identity of the store.
    pub store: String,
    /// Hash of the checkpoint.
    pub checkpoint: String,
    /// Hash of the codec's weights.
    pub codec: String,
    /// Seed.
    pub seed: u64,
    /// Program version.
    pub version: String,
    /// Formula, space, unit, average, n of each quantity shown.
    pub definitions: Vec<String>,
}

/// What a figure's file says of itself; see [`read_provenance`](super::read_provenance).
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Origin {
    /// What made the numbers.
    #[serde(flatten)]
    pub provenance: Provenance,
    /// The view that the figure shows, in the form of whoever wrote it with [`write_with_view`](super::write_with_view).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view: Option<serde_json::Value>,
}

/// A figure. Sizes that are no positive number count as the default's.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct FigureSpec {
    /// File stem, and the title that the file carries (a paper's figure has none in it: the caption is below).
    pub name: String,
    /// Column width.
    pub width: Width,
    /// Height of one row of panels in mm.
    pub row_height_mm: f64,
    /// Panels a row.
    pub columns: usize,
    /// Text size in pt.
    pub font_size_pt: f64,
    /// Line width in pt.
    pub line_width_pt: f64,
    /// Axes, row by row.
    pub panels: Vec<Panel>,
    /// Below the panels, and in the file's metadata; empty for none.
    pub caption: String,
    /// What made it.
    pub provenance: Provenance,
}

impl Default for FigureSpec {
    /// Two panels a row on both columns of a page, set in 8 pt.
    fn default() -> Self {
        Self {
            name: "figure".to_owned(),
            width: Width::default(),
            row_height_mm: 50.0,
            columns: 2,
            font_size_pt: 8.0,
            line_width_pt: 1.0,
            panels: Vec::new(),
            caption: String::new(),
            provenance: Provenance::default(),
        }
    }
}

impl Width {
    /// In mm; the default's where the number given is none.
    pub fn millimeters(self) -> f64 {
        match self {
            Self::SingleColumn => 80.0,
            Self::DoubleColumn => 170.0,
            Self::NeurIps => 139.7,
            Self::Millimeters(width) if width.is_finite() && width > 0.0 => width,
            Self::Millimeters(_) => Self::default().millimeters(),
        }
    }
}

impl Panel {
    /// Whether there is nothing to draw.
    pub(super) fn is_empty(&self) -> bool {
        self.image.is_none()
            && self.guides.is_empty()
            && self.series.iter().all(|s| s.points.is_empty())
            && self.envelopes.iter().all(|e| e.extremes.is_empty())
    }
}

impl Envelope {
    /// Center of a stretch on the x axis with its lowest and highest value, left to right.
    pub(super) fn columns(&self) -> impl Iterator<Item = [f64; 3]> {
        let width = (self.x[1] - self.x[0]) / self.extremes.len().max(1) as f64;
        let center = move |i: usize| self.x[0] + (i as f64 + 0.5) * width;
        self.extremes.iter().enumerate().map(move |(i, [low, high])| [center(i), f64::from(*low), f64::from(*high)])
    }
}

impl Image {
    /// Number of columns.
    pub(super) fn n_columns(&self) -> usize {
        self.values.len() / self.n_rows.max(1)
    }

    /// Why it cannot be drawn, and what would be right.
    pub(super) fn fault(&self, y_scale: Scale) -> Option<String> {
        let ends = |[low, high]: [f64; 2]| low.is_finite() && high.is_finite() && low < high;
        let (n_values, n_rows) = (self.values.len(), self.n_rows);
        if n_rows == 0 || n_values == 0 || !n_values.is_multiple_of(n_rows) {
            return Some(format!("{n_values} values are no whole columns of {n_rows} rows"));
        }
        if self.colors.len() != 256 {
            return Some(format!("it has {} colors instead of 256", self.colors.len()));
        }
        let named = [("x edges", self.x), ("y edges", self.y), ("range of colors", self.range)];
        if y_scale == Scale::Log10 && self.y[0] <= 0.0 {
            return Some(format!("its rows begin at {}, which a logarithmic axis does not have", self.y[0]));
        }
        let wrong = named.into_iter().find(|(_, range)| !ends(*range));
        wrong.map(|(name, [low, high])| format!("its {name} are {low} and {high} instead of two finite numbers, the lower first"))
    }
}
