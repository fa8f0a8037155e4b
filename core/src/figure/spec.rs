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

/// One set of axes.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
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
    /// Below the panels.
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
