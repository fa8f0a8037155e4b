//! Points to strokes: gaps at what cannot be drawn, and no more detail than print resolves.

/// Two points nearer than this (in pt) cannot be told apart in print at 600 dpi.
const RESOLUTION_PT: f64 = 0.12;

/// A point that interrupts a curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Missing {
    /// Where on the x axis, in pt.
    pub(super) x: f64,
    /// What it was.
    pub(super) kind: MissingKind,
}

/// Why a point cannot be drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum MissingKind {
    /// NaN or infinite.
    NotFinite,
    /// Zero or negative on a logarithmic axis.
    NotPositive,
    /// Finite, but below the panel's floor.
    Below(f64),
}

/// Unbroken runs of points, in pt.
pub(super) fn runs(points: impl Iterator<Item = Option<[f64; 2]>>) -> Vec<Vec<[f64; 2]>> {
    let mut runs = vec![Vec::new()];
    for point in points {
        match (point, runs.last_mut()) {
            (Some(point), Some(run)) => run.push(point),
            (None, Some(run)) if !run.is_empty() => runs.push(Vec::new()),
            _ => {}
        }
    }
    runs.retain(|run| !run.is_empty());
    runs
}

/// The same picture with fewer points: per print column the first, lowest, highest and last of a curve that runs from left to right;
/// of any other curve, those that lie apart.
pub(super) fn thinned(run: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let rightwards = run.windows(2).all(|w| w[0][0] <= w[1][0]);
    if !rightwards {
        return apart(run);
    }
    let mut kept = Vec::new();
    for column in run.chunk_by(|a, b| column_of(a[0]) == column_of(b[0])) {
        if column.len() <= 4 {
            kept.extend_from_slice(column);
            continue;
        }
        let extreme = |sign: f64| (0..column.len()).max_by(|a, b| (sign * column[*a][1]).total_cmp(&(sign * column[*b][1]))).unwrap_or(0);
        let mut indices = [0, extreme(1.0), extreme(-1.0), column.len() - 1];
        indices.sort_unstable();
        kept.extend(indices.iter().map(|i| column[*i]));
    }
    kept.dedup();
    kept
}

/// The outline of a band: its edges thinned to the lowest low and the highest high of each print column.
pub(super) fn outline(edges: &[(f64, f64, f64)]) -> Vec<[f64; 2]> {
    let mut upper = Vec::new();
    let mut lower = Vec::new();
    for column in edges.chunk_by(|a, b| column_of(a.0) == column_of(b.0)) {
        let middle = f64::midpoint(column[0].0, column[column.len() - 1].0);
        upper.push([middle, column.iter().map(|e| e.2).fold(f64::INFINITY, f64::min)]);
        lower.push([middle, column.iter().map(|e| e.1).fold(f64::NEG_INFINITY, f64::max)]);
    }
    upper.extend(lower.into_iter().rev());
    upper
}

fn column_of(x: f64) -> i64 {
    (x / RESOLUTION_PT).floor() as i64
}

fn apart(run: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let mut kept: Vec<[f64; 2]> = Vec::new();
    for (index, point) in run.iter().enumerate() {
        let far = kept.last().is_none_or(|last| (last[0] - point[0]).hypot(last[1] - point[1]) >= RESOLUTION_PT);
        if far || index + 1 == run.len() {
            kept.push(*point);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_split_runs() {
        let p = |x: f64| Some([x, 0.0]);
        for (points, lengths) in [
            (vec![], vec![]),
            (vec![None], vec![]),
            (vec![p(0.0), p(1.0)], vec![2]),
            (vec![None, p(0.0), None, None, p(1.0), p(2.0), None], vec![1, 2]),
        ] {
            let got: Vec<usize> = runs(points.into_iter()).iter().map(Vec::len).collect();
            assert_eq!(got, lengths);
        }
    }

    #[test]
    fn thinning_keeps_the_extremes_of_every_column() {
        let wave: Vec<[f64; 2]> = (0..100_000).map(|i| [f64::from(i) * 1e-3, (f64::from(i) * 0.7).sin()]).collect();
        let thin = thinned(&wave);
        assert!(thin.len() < 3400, "{}", thin.len());
        for (n, column) in wave.chunk_by(|a, b| column_of(a[0]) == column_of(b[0])).enumerate() {
            let highest = column.iter().map(|p| p[1]).fold(f64::MIN, f64::max);
            assert!(thin.iter().any(|p| p[1] == highest && column_of(p[0]) == n as i64));
        }
        let few = &wave[..3];
        assert_eq!(thinned(few), few);
    }

    #[test]
    fn a_spiral_keeps_its_shape_and_its_end() {
        let spiral: Vec<[f64; 2]> = (0..5000).map(|i| f64::from(i) * 0.01).map(|t| [t * t.cos(), t * t.sin()]).collect();
        let thin = thinned(&spiral);
        assert_eq!(thin.last(), spiral.last());
        assert!(thin.len() > 1000 && thin.windows(2).all(|w| (w[0][0] - w[1][0]).hypot(w[0][1] - w[1][1]) < 1.0));
    }

    #[test]
    fn a_band_is_one_closed_outline() {
        // In pt, y grows downwards: the upper edge has the smaller number.
        assert_eq!(outline(&[(0.0, 9.0, 1.0), (1.0, 8.0, 2.0)]), [[0.0, 1.0], [1.0, 2.0], [1.0, 8.0], [0.0, 9.0]]);
    }
}
