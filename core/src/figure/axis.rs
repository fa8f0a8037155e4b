//! Ranges, ticks and their labels.

use super::Scale;

/// An axis of one panel: what part of the numbers it shows, and where its ticks stand.
#[derive(Clone, Debug, PartialEq)]
pub struct Axis {
    /// Scale.
    pub scale: Scale,
    /// Lower end; positive on a logarithmic scale.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// A labelled tick; minor ticks have an empty label.
#[derive(Clone, Debug, PartialEq)]
pub struct Tick {
    /// Where it stands.
    pub value: f64,
    /// What stands beside it.
    pub label: String,
}

impl Axis {
    /// The axis that shows all `values` (those that are finite, and positive on a logarithmic scale) with `padding`, a fraction of
    /// the range, at both ends.
    pub fn around(values: impl Iterator<Item = f64>, scale: Scale, padding: f64) -> Self {
        let shown = values.filter(|v| is_shown(*v, scale)).map(|v| forward(v, scale));
        let (low, high) = shown.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)));
        let (low, high) = match (low <= high, high - low) {
            (false, _) => (0.0, 1.0),
            // Values that differ by rounding only are one value.
            (true, range) if range <= 1e-12 * high.abs().max(low.abs()) => {
                let half = if scale == Scale::Log10 { 0.5 } else { (0.05 * high.abs()).max(0.5) };
                (low - half, high + half)
            }
            (true, range) => (low - padding * range, high + padding * range),
        };
        Self { scale, low: backward(low, scale), high: backward(high, scale) }
    }

    /// Where a value lies, 0 at the low end and 1 at the high; `None` for one that cannot be drawn.
    pub fn position(&self, value: f64) -> Option<f64> {
        is_shown(value, self.scale).then(|| {
            let (low, high) = (forward(self.low, self.scale), forward(self.high, self.scale));
            (forward(value, self.scale) - low) / (high - low)
        })
    }

    /// The value at a position; the inverse of [`position`](Self::position).
    pub(super) fn value(&self, position: f64) -> f64 {
        let (low, high) = (forward(self.low, self.scale), forward(self.high, self.scale));
        backward(low + position * (high - low), self.scale)
    }

    /// At most about `most` labelled ticks, but at least two, and the minor ones of a logarithmic scale.
    pub fn ticks(&self, most: usize) -> Vec<Tick> {
        let ticks = |most| match self.scale {
            Scale::Linear => linear_ticks(self.low, self.high, most),
            Scale::Log10 => log_ticks(self.low, self.high, most),
        };
        let most = most.max(2);
        // Of a coarse step a single multiple may fall into the range, and one label says nothing of the scale.
        let legible = |ticks: &Vec<Tick>| ticks.iter().filter(|t| !t.label.is_empty()).count() > 1;
        (most..most + 4).map(ticks).find(legible).unwrap_or_else(|| ticks(most))
    }
}

fn is_shown(value: f64, scale: Scale) -> bool {
    value.is_finite() && (scale == Scale::Linear || value > 0.0)
}

fn forward(value: f64, scale: Scale) -> f64 {
    if scale == Scale::Log10 { value.log10() } else { value }
}

fn backward(value: f64, scale: Scale) -> f64 {
    if scale == Scale::Log10 { 10.0_f64.powf(value) } else { value }
}

/// The smallest step of 1, 2 or 5 times a power of ten that gives at most `most` ticks in the range.
fn nice_step(range: f64, most: usize) -> f64 {
    let rough = range / most as f64;
    let power = 10.0_f64.powf(rough.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|f| f * power >= rough * (1.0 - 1e-9)).unwrap_or(10.0);
    factor * power
}

fn linear_ticks(low: f64, high: f64, most: usize) -> Vec<Tick> {
    let step = nice_step(high - low, most);
    let first = (low / step - 1e-9).ceil() as i64;
    let last = (high / step + 1e-9).floor() as i64;
    let largest = step * (first.abs().max(last.abs())) as f64;
    (first..=last).map(|i| Tick { value: i as f64 * step, label: linear_label(i as f64 * step, step, largest) }).collect()
}

/// All labels of an axis have the decimals that its step needs.
fn linear_label(value: f64, step: f64, largest: f64) -> String {
    if !(1e-3..1e5).contains(&largest) {
        return scientific(value, step);
    }
    let decimals = (-(step * (1.0 + 1e-9)).log10().floor()).max(0.0) as usize;
    minus(&format!("{value:.decimals$}"))
}

fn scientific(value: f64, step: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let exponent = (value.abs() * (1.0 + 1e-9)).log10().floor();
    let decimals = (exponent - (step * (1.0 + 1e-9)).log10().floor()).max(0.0) as usize;
    let mantissa = value / 10.0_f64.powf(exponent);
    minus(&format!("{mantissa:.decimals$}·10{}", superscript(exponent as i32)))
}

fn log_ticks(low: f64, high: f64, most: usize) -> Vec<Tick> {
    let decades = high.log10() - low.log10();
    let first = low.log10().floor() as i32;
    let last = high.log10().ceil() as i32;
    let inside = |v: f64| v >= low * (1.0 - 1e-9) && v <= high * (1.0 + 1e-9);
    let whole = (first..=last).filter(|e| inside(10.0_f64.powi(*e))).count();
    if whole < 2 && decades < 0.5 {
        return linear_ticks(low, high, most);
    }
    let labelled: &[i32] = match whole {
        0 | 1 if decades < 1.0 => &[1, 2, 3, 5, 7],
        0..=2 if 3 * whole.max(1) <= most => &[1, 2, 5],
        _ => &[1],
    };
    let every = (whole.div_ceil(most) as i32).max(1);
    let mut ticks = Vec::new();
    for exponent in first..=last {
        for digit in 1..10 {
            let value = f64::from(digit) * 10.0_f64.powi(exponent);
            if !inside(value) || (every > 1 && (digit != 1 || exponent.rem_euclid(every) != 0)) {
                continue;
            }
            let label = if labelled.contains(&digit) { log_label(value, digit, exponent) } else { String::new() };
            ticks.push(Tick { value, label });
        }
    }
    ticks
}

fn log_label(value: f64, digit: i32, exponent: i32) -> String {
    match exponent {
        -3..=-1 => format!("{value:.*}", exponent.unsigned_abs() as usize),
        0..=4 => format!("{value:.0}"),
        _ if digit == 1 => format!("10{}", superscript(exponent)),
        _ => format!("{digit}·10{}", superscript(exponent)),
    }
}

fn superscript(exponent: i32) -> String {
    const DIGITS: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    exponent.to_string().chars().map(|c| c.to_digit(10).map_or('⁻', |digit| DIGITS[digit as usize])).collect()
}

/// A number beside a mark, in about two digits.
pub(super) fn short(value: f64) -> String {
    minus(&if value.abs() < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") })
}

/// The minus sign in place of the hyphen, and no negative zero.
fn minus(number: &str) -> String {
    match number.strip_prefix('-') {
        Some(zero) if zero.chars().all(|c| matches!(c, '0' | '.')) => zero.to_owned(),
        Some(positive) => format!("−{positive}"),
        None => number.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(low: f64, high: f64, scale: Scale, most: usize) -> Vec<String> {
        let axis = Axis { scale, low, high };
        axis.ticks(most).into_iter().map(|t| t.label).filter(|l| !l.is_empty()).collect()
    }

    #[test]
    fn ticks_are_what_a_person_would_write() {
        for (low, high, scale, most, expected) in [
            (0.0, 1.0, Scale::Linear, 5, vec!["0.0", "0.2", "0.4", "0.6", "0.8", "1.0"]),
            (-0.03, 0.64, Scale::Linear, 4, vec!["0.0", "0.2", "0.4", "0.6"]),
            (0.5, 16.5, Scale::Linear, 8, vec!["2", "4", "6", "8", "10", "12", "14", "16"]),
            (-52.0, 11.0, Scale::Linear, 4, vec!["−40", "−20", "0"]),
            (0.0, 250_000.0, Scale::Linear, 3, vec!["0", "1·10⁵", "2·10⁵"]),
            (0.0, 2.2e-5, Scale::Linear, 3, vec!["0", "1·10⁻⁵", "2·10⁻⁵"]),
            (0.008, 130.0, Scale::Log10, 6, vec!["0.01", "0.1", "1", "10", "100"]),
            (0.9, 12.0, Scale::Log10, 6, vec!["1", "2", "5", "10"]),
            (1.1, 8.0, Scale::Log10, 6, vec!["2", "3", "5", "7"]),
            (1e-9, 1e9, Scale::Log10, 5, vec!["10⁻⁸", "10⁻⁴", "1", "10000", "10⁸"]),
            (100.0, 110.0, Scale::Log10, 3, vec!["100", "105", "110"]),
        ] {
            assert_eq!(labels(low, high, scale, most), expected, "{low}..{high} {scale:?}");
        }
    }

    #[test]
    fn every_range_has_two_labels() {
        for scale in [Scale::Linear, Scale::Log10] {
            for i in 0..400 {
                let low = 0.011 * 1.037_f64.powi(i);
                for factor in [1.03, 1.2, 1.7, 2.9, 3.3, 9.7, 11.0, 30.0, 99.0, 1200.0] {
                    for most in [2, 3, 4, 6] {
                        let labels = labels(low, low * factor, scale, most);
                        assert!(labels.len() > 1, "{low}..{} {scale:?} {most}: {labels:?}", low * factor);
                    }
                }
            }
        }
    }

    #[test]
    fn a_logarithmic_axis_has_minor_ticks() {
        let axis = Axis { scale: Scale::Log10, low: 1.0, high: 1000.0 };
        assert_eq!(axis.ticks(5).iter().filter(|t| t.label.is_empty()).count(), 3 * 8);
    }

    #[test]
    fn ranges_hold_every_value_and_never_collapse() {
        for (values, scale, low, high) in [
            (vec![1.0, 3.0], Scale::Linear, 0.9, 3.1),
            (vec![f64::NAN, 1.0, 3.0, f64::INFINITY], Scale::Linear, 0.9, 3.1),
            (vec![2.0, 2.0], Scale::Linear, 1.5, 2.5),
            (vec![], Scale::Linear, 0.0, 1.0),
            (vec![-1.0, 0.0], Scale::Log10, 1.0, 10.0),
            (vec![0.0, 1.0, 100.0], Scale::Log10, 10.0_f64.powf(-0.1), 10.0_f64.powf(2.1)),
        ] {
            let axis = Axis::around(values.iter().copied(), scale, 0.05);
            assert!((axis.low - low).abs() < 1e-9 && (axis.high - high).abs() < 1e-9, "{values:?} gave {axis:?}");
        }
    }

    #[test]
    fn positions() {
        let axis = Axis { scale: Scale::Log10, low: 1.0, high: 100.0 };
        assert_eq!((axis.position(10.0), axis.position(0.0), axis.position(f64::NAN)), (Some(0.5), None, None));
        assert!((axis.value(0.5) - 10.0).abs() < 1e-12);
    }
}
