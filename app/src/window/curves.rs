//! The per-step curves as values: what every line is called, what it is drawn with, and its numbers.
//!
//! The same [`CurvePlot`]s are drawn on screen and exported as a figure, so the two cannot differ. Nothing is computed here but
//! the choice of which of the report's numbers goes on which axis.

use driftscope_core::diagnose::{Band, InjectionReport, ModeReport, References, StepReport, Summary};
use driftscope_core::figure::{self, Panel, Scale, Series, Stroke};
use driftscope_core::rollout::Rollout;

use serde::{Deserialize, Serialize};

use super::theme;
use super::view::Comparand;

/// A quantity per step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Metric {
    /// Cosine of the predicted mean Δ with the true one.
    Cosine,
    /// Distance from the truth after the step, over the median ‖Δ‖.
    StateError,
    /// ‖E[Δ]‖ / ‖Δ‖.
    MagnitudeRatio,
    /// NLL against the unconditional baseline.
    DeltaNll,
}

impl Metric {
    /// All, in the order shown.
    pub const ALL: [Self; 4] = [Self::Cosine, Self::StateError, Self::MagnitudeRatio, Self::DeltaNll];

    /// Name above the plot.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cosine => "Direction cosine",
            Self::StateError => "State error",
            Self::MagnitudeRatio => "Magnitude ratio",
            Self::DeltaNll => "ΔNLL",
        }
    }

    /// Label of the y axis, with unit.
    pub fn axis(self) -> &'static str {
        match self {
            Self::Cosine => "cosine",
            Self::StateError => "‖x̂−x‖ / median ‖Δ‖",
            Self::MagnitudeRatio => "‖E[Δ]‖ / ‖Δ‖",
            Self::DeltaNll => "nats, negative is better",
        }
    }

    /// Scale of the y axis.
    pub fn scale(self) -> Scale {
        match self {
            Self::StateError | Self::MagnitudeRatio => Scale::Log10,
            Self::Cosine | Self::DeltaNll => Scale::Linear,
        }
    }

    /// Its numbers of a step.
    pub fn summary(self, step: &StepReport) -> &Summary {
        match self {
            Self::Cosine => &step.cos,
            Self::StateError => &step.state_err_after,
            Self::MagnitudeRatio => &step.mag_ratio,
            Self::DeltaNll => &step.dnll,
        }
    }

    /// The point of a step: what curves, tables and figures all show.
    pub fn center(self, step: &StepReport) -> Option<f64> {
        self.average().center(self.summary(step))
    }

    /// The band around it.
    pub fn spread(self, step: &StepReport) -> Option<Band> {
        let named = |name: &str| step.bands.get(name).copied().flatten();
        match (self.average(), self) {
            (Average::Mean, Self::StateError) => named("state_err_after"),
            (Average::Mean, _) => named("cos"),
            (Average::Median, _) => Average::quantiles(self.summary(step)),
        }
    }

    /// What is shown of the starts.
    pub fn average(self) -> Average {
        match self {
            Self::Cosine | Self::StateError => Average::Mean,
            Self::MagnitudeRatio | Self::DeltaNll => Average::Median,
        }
    }

    /// Definition card: formula, space, unit, average.
    pub fn definition(self) -> &'static str {
        match self {
            Self::Cosine => {
                "cos(E[Δ], Δ): direction of the predicted mean step against the true one-step Δ[t] = x[t] − x[t−1], in raw latents. \
                 Mean over starts; band: 95 % bootstrap by speaker. At k = 1 part of it is free: Δ holds the visible −x[t−1], so read it \
                 against the time-shuffled null, not against 0."
            }
            Self::StateError => {
                "‖x̂[t] − x[t]‖ after the step and before any injection, in units of the training side's median ‖Δ‖. Mean over starts; \
                 band: 95 % bootstrap by speaker; logarithmic axis. Persistence stands still, climatology is the mean frame, √2·σ is the \
                 distance of two independent draws: where a perfect generator saturates."
            }
            Self::MagnitudeRatio => {
                "‖E[Δ]‖ / ‖Δ‖ of the predicted mean, whatever the magnitude rule and α; 1 is the true magnitude. Median over starts (a true \
                 Δ near 0, as in silence, rules the mean); band: 5 % to 95 % of starts; logarithmic axis."
            }
            Self::DeltaNll => {
                "−ln p(Δ) − (−ln p₀(Δ)): density over Δ in nats against one unconditional Gaussian, paired by frame; below 0 the predictor \
                 knows something. Median over starts (a few frames rule the mean); band: 5 % to 95 % of starts."
            }
        }
    }
}

/// How the starts of a step become one point and its band.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Average {
    /// Mean, with its bootstrap interval.
    Mean,
    /// Median, with the 5 % and 95 % quantiles: where a few starts rule the mean.
    Median,
}

impl Average {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Mean, Self::Median];

    /// The point that stands for a sample.
    pub fn center(self, summary: &Summary) -> Option<f64> {
        match self {
            Self::Mean => summary.mean,
            Self::Median => summary.median,
        }
    }

    /// The band of a median.
    pub fn quantiles(summary: &Summary) -> Option<Band> {
        Some(Band { low: summary.q05?, high: summary.q95? })
    }

    /// Point and band in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::Mean => "mean over starts, band 95 % bootstrap by speaker",
            Self::Median => "median over starts, band 5 % to 95 % of starts",
        }
    }
}

/// A curve or reference line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Line {
    /// Mode A.
    Teacher,
    /// Mode B.
    Periodic,
    /// Mode C.
    OneShot,
    /// Mode D.
    Free,
    /// The rollout from the chosen start.
    Live,
    /// Time-shuffled null.
    Null,
    /// Predictors trained directly for each horizon.
    Skyline,
    /// Ridges fitted directly for each horizon.
    Ridge,
    /// Standing still.
    Persistence,
    /// The mean frame.
    Climatology,
    /// Two independent draws.
    Sqrt2Sigma,
    /// Random directions.
    Chance,
    /// True magnitude.
    One,
    /// No better than the baseline.
    Zero,
    /// A kept rollout.
    Branch(u32),
    /// Mode D of a compared predictor.
    Comparand(Comparand),
}

impl Line {
    /// The lines that the legend lists; all of them can be hidden.
    pub const LEGEND: [Self; 12] = [
        Self::Teacher,
        Self::Periodic,
        Self::OneShot,
        Self::Free,
        Self::Live,
        Self::Null,
        Self::Chance,
        Self::Skyline,
        Self::Ridge,
        Self::Persistence,
        Self::Climatology,
        Self::Sqrt2Sigma,
    ];

    /// Legend text.
    pub fn name(self) -> &'static str {
        match self {
            Self::Teacher => "A teacher",
            Self::Periodic => "B periodic",
            Self::OneShot => "C one-shot",
            Self::Free => "D rollout",
            Self::Live => "Live",
            Self::Null => "Null",
            Self::Skyline => "Skyline",
            Self::Ridge => "Ridge",
            Self::Persistence => "Persistence",
            Self::Climatology => "Climatology",
            Self::Sqrt2Sigma => "√2·σ",
            Self::Chance => "Chance",
            Self::One => "True magnitude",
            Self::Zero => "Baseline",
            Self::Branch(_) => "Branch",
            Self::Comparand(_) => "Predictor",
        }
    }

    /// What it is, in one sentence.
    pub fn explanation(self) -> &'static str {
        match self {
            Self::Teacher => "Mode A: state and window are always true.",
            Self::Periodic => "Mode B: the true state is put back after steps 4, 8 and 12.",
            Self::OneShot => "Mode C: the true state is put back after step 1.",
            Self::Free => "Mode D: the predictor runs on its own frames.",
            Self::Live => "The rollout from the chosen start alone, with the steps painted in the timeline.",
            Self::Null => {
                "The same kind of measurement on frames shuffled in time within each utterance: what a cosine shows without dynamics."
            }
            Self::Skyline => {
                "Predictors of the same family trained directly for horizons 1, 2, 4, … where there are such: what is left above the \
                 rollout is what better training could win."
            }
            Self::Ridge => "A ridge fitted directly for each horizon on this store's training side: the linear floor under the skyline.",
            Self::Persistence => "Standing still at the last true frame.",
            Self::Climatology => "Always predicting the mean frame of the training side.",
            Self::Sqrt2Sigma => "Distance of two independent draws: where a perfect generator saturates.",
            Self::Chance => "± one standard deviation of the cosine of random directions, 1/√D.",
            Self::One => "The true magnitude.",
            Self::Zero => "No better than the unconditional baseline.",
            Self::Branch(_) => "A kept rollout from its own start and settings.",
            Self::Comparand(_) => "Mode D of this predictor: it runs on its own frames, from the same starts.",
        }
    }

    /// Line pattern.
    pub fn stroke(self) -> Stroke {
        match self {
            Self::Skyline | Self::Ridge => Stroke::Dashed,
            Self::Climatology => Stroke::ShortDashed,
            Self::Null | Self::Sqrt2Sigma | Self::Chance | Self::One | Self::Zero => Stroke::Dotted,
            _ => Stroke::Solid,
        }
    }

    /// A rollout's own line, in contrast to what it is read against.
    pub fn is_rollout(self) -> bool {
        matches!(self, Self::Teacher | Self::Periodic | Self::OneShot | Self::Free)
            || self.is_single()
            || matches!(self, Self::Comparand(_))
    }

    /// Of one start alone.
    pub fn is_single(self) -> bool {
        matches!(self, Self::Live | Self::Branch(_))
    }

    /// There at some steps only: where there is no value, none went missing.
    pub fn is_sparse(self) -> bool {
        self == Self::Skyline
    }

    /// A constant of the axis: zero, one.
    pub fn is_level(self) -> bool {
        matches!(self, Self::One | Self::Zero)
    }

    fn of_mode(mode: &ModeReport) -> Option<Self> {
        match mode.name.as_str() {
            "A_teacher" => Some(Self::Teacher),
            "B_periodic" => Some(Self::Periodic),
            "C_one_shot" => Some(Self::OneShot),
            "D_rollout" => Some(Self::Free),
            _ => None,
        }
    }
}

/// One line's numbers, one a step; `None` where there is no finite value.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Which.
    pub line: Line,
    /// Its name in legends.
    pub name: String,
    /// Value after each step, step 1 first.
    pub values: Vec<Option<f64>>,
    /// Band around each value, where there is one.
    pub bands: Vec<Option<Band>>,
    /// Finite values behind each point.
    pub n: Vec<usize>,
    /// NaN or infinite values left out of each point.
    pub n_nonfinite: Vec<usize>,
}

impl Curve {
    fn reference(line: Line, values: &[f64]) -> Self {
        Self {
            line,
            name: line.name().into(),
            values: values.iter().map(|v| v.is_finite().then_some(*v)).collect(),
            bands: vec![None; values.len()],
            n: vec![0; values.len()],
            n_nonfinite: vec![0; values.len()],
        }
    }

    fn of_mode(line: Line, metric: Metric, mode: &ModeReport) -> Self {
        let steps = &mode.per_step;
        Self {
            line,
            name: line.name().into(),
            values: steps.iter().map(|s| metric.center(s)).collect(),
            bands: steps.iter().map(|s| metric.spread(s)).collect(),
            n: steps.iter().map(|s| metric.summary(s).n).collect(),
            n_nonfinite: steps.iter().map(|s| metric.summary(s).n_nonfinite).collect(),
        }
    }

    /// `step 16: 0.42 [0.40, 0.45], n = 48` without the step.
    pub fn readout(&self, step_idx: usize) -> String {
        let Some(value) = self.values.get(step_idx).copied().flatten() else {
            return if self.line.is_sparse() { "none at this horizon" } else { "not a number" }.into();
        };
        let mut text = format!("{value:.3}");
        if let Some(band) = self.bands[step_idx] {
            text += &format!(" [{:.3}, {:.3}]", band.low, band.high);
        }
        if self.n[step_idx] > 1 {
            text += &format!(", n = {}", self.n[step_idx]);
        }
        if self.n_nonfinite[step_idx] > 0 {
            text += &format!(", {} not finite", self.n_nonfinite[step_idx]);
        }
        text
    }
}

/// Everything on one set of axes.
#[derive(Clone, Debug, PartialEq)]
pub struct CurvePlot {
    /// What is shown.
    pub metric: Metric,
    /// References first, so that data lies above them.
    pub curves: Vec<Curve>,
}

impl CurvePlot {
    /// The curve of `line`, where this plot has it.
    pub fn curve(&self, line: Line) -> Option<&Curve> {
        self.curves.iter().find(|c| c.line == line)
    }

    /// Number of steps.
    pub fn n_steps(&self) -> usize {
        self.curves.iter().map(|c| c.values.len()).max().unwrap_or(0)
    }

    /// What a screen reader or a test reads: "Direction cosine, 16 steps, D rollout final 0.180, live final 0.120".
    pub fn description(&self) -> String {
        let mut text = format!("{}, {} steps", self.metric.name(), self.n_steps());
        for line in [Line::Free, Line::Live] {
            if let Some(value) = self.curve(line).and_then(|c| c.values.last().copied().flatten()) {
                text += &format!(", {} final {value:.3}", line.name());
            }
        }
        text
    }

    /// The same numbers as a panel of a figure, without the hidden lines.
    pub fn panel(&self, shown: impl Fn(Line) -> bool) -> Panel {
        let series = self.curves.iter().filter(|c| shown(c.line)).map(series).collect();
        Panel {
            title: self.metric.name().into(),
            x_label: "step".into(),
            y_label: self.metric.axis().into(),
            y_scale: self.metric.scale(),
            series,
            ..Panel::default()
        }
    }
}

fn series(curve: &Curve) -> Series {
    let value = |v: Option<f64>| v.unwrap_or(f64::NAN);
    let band = curve.bands.iter().any(Option::is_some).then(|| figure::Band {
        low: curve.bands.iter().map(|b| value(b.map(|b| b.low))).collect(),
        high: curve.bands.iter().map(|b| value(b.map(|b| b.high))).collect(),
    });
    Series {
        name: curve.name.clone(),
        color: theme::line_rgb(curve.line),
        stroke: curve.line.stroke(),
        points: curve
            .values
            .iter()
            .enumerate()
            .filter(|(_, v)| v.is_some() || !curve.line.is_sparse())
            .map(|(i, v)| [(i + 1) as f64, value(*v)])
            .collect(),
        band,
    }
}

/// Definition cards of all metrics and of `lines`, `"name: what it is"`.
pub fn definitions(lines: impl Iterator<Item = Line>) -> Vec<String> {
    let metrics = Metric::ALL.iter().map(|m| format!("{}: {}", m.name(), m.definition()));
    metrics.chain(lines.map(|l| format!("{}: {}", l.name(), l.explanation()))).collect()
}

/// Steps worth a column of a table: the first two, those before and after mode B puts the truth back, and the last.
pub fn table_steps(n_steps: usize) -> Vec<usize> {
    [1, 2, 4, 5, 8, 9, 12, 13].into_iter().filter(|s| *s < n_steps).chain([n_steps]).collect()
}

/// All plots of a report; with `live`, that rollout's single start is among them.
pub fn plots(report: &InjectionReport, live: Option<&Rollout>) -> Vec<CurvePlot> {
    Metric::ALL.iter().map(|metric| plot(*metric, report, live)).collect()
}

fn plot(metric: Metric, report: &InjectionReport, live: Option<&Rollout>) -> CurvePlot {
    let n_steps = live.map(|l| l.n_steps).or_else(|| report.modes.first().map(|m| m.per_step.len())).unwrap_or(0);
    let mut curves = references(metric, &report.references, n_steps);
    for mode in &report.modes {
        curves.extend(Line::of_mode(mode).map(|line| Curve::of_mode(line, metric, mode)));
    }
    curves.extend(live.map(|live| single_curve(Line::Live, Line::Live.name(), metric, live, report.references.median_delta_norm)));
    CurvePlot { metric, curves }
}

/// Mode D of several predictors, on the references of the first: `(which, name, report)`.
pub fn compared(reports: &[(Comparand, String, &InjectionReport)]) -> Vec<CurvePlot> {
    let Some((_, _, first)) = reports.first() else { return Vec::new() };
    let n_steps = first.modes.first().map_or(0, |m| m.per_step.len());
    let plot = |metric: &Metric| {
        let mut curves = references(*metric, &first.references, n_steps);
        // Skylines are a predictor's own; of several, none is drawn.
        curves.retain(|c| c.line != Line::Skyline);
        for (comparand, name, report) in reports {
            let free = report.modes.iter().find(|mode| Line::of_mode(mode) == Some(Line::Free));
            curves.extend(free.map(|mode| Curve { name: name.clone(), ..Curve::of_mode(Line::Comparand(*comparand), *metric, mode) }));
        }
        CurvePlot { metric: *metric, curves }
    };
    Metric::ALL.iter().map(plot).collect()
}

fn references(metric: Metric, references: &References, n_steps: usize) -> Vec<Curve> {
    let flat = |line, value| Curve::reference(line, &vec![value; n_steps]);
    match metric {
        Metric::Cosine => {
            let mut chance = flat(Line::Chance, 0.0);
            let sd = references.chance_cos_sd;
            chance.bands = vec![Some(Band { low: -sd, high: sd }); n_steps];
            let skyline = Curve { values: references.skyline_cos.clone(), ..flat(Line::Skyline, f64::NAN) };
            vec![chance, Curve::reference(Line::Null, &references.null_cos), Curve::reference(Line::Ridge, &references.ridge_cos), skyline]
        }
        Metric::StateError => vec![
            Curve::reference(Line::Persistence, &references.persistence_state_err),
            flat(Line::Climatology, references.climatology_state_err),
            flat(Line::Sqrt2Sigma, references.sqrt2_sigma_state_err),
            Curve::reference(Line::Ridge, &references.ridge_state_err),
        ],
        Metric::MagnitudeRatio => vec![flat(Line::One, 1.0)],
        Metric::DeltaNll => vec![flat(Line::Zero, 0.0)],
    }
}

/// The curve of one rollout from one start.
pub fn single_curve(line: Line, name: &str, metric: Metric, live: &Rollout, median_delta_norm: f64) -> Curve {
    let values = (0..live.n_steps).map(|i| {
        let value = match metric {
            Metric::Cosine => f64::from(live.cos[i]),
            Metric::StateError => f64::from(live.state_err_after[i]) / median_delta_norm,
            Metric::MagnitudeRatio => f64::from(live.mag_ratio[i]),
            Metric::DeltaNll => f64::from(live.nll[i]) - f64::from(live.nll_baseline[i]),
        };
        value.is_finite().then_some(value)
    });
    let values: Vec<_> = values.collect();
    Curve {
        line,
        name: name.to_owned(),
        bands: vec![None; values.len()],
        n: values.iter().map(|v| usize::from(v.is_some())).collect(),
        n_nonfinite: values.iter().map(|v| usize::from(v.is_none())).collect(),
        values,
    }
}
