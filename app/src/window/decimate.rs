//! Fewer points for the same pixels.

/// The points of `values` (at x = 1, 2, …) between `from` and `to`, and one on either side: all of them where they are few, else the
/// first, lowest, highest and last of each of `columns` stretches of the axis. What is not there interrupts: pieces are given apart.
pub fn pieces(values: &[Option<f64>], [from, to]: [f64; 2], columns: usize) -> Vec<Vec<[f64; 2]>> {
    let first = (from.floor() - 2.0).clamp(0.0, values.len() as f64) as usize;
    let last = (to.ceil() + 1.0).clamp(first as f64, values.len() as f64) as usize;
    let shown = &values[first..last];
    let most = (columns * 4).max(8);
    let stretch = shown.len().div_ceil(columns.max(1)).max(1);
    let mut pieces = Vec::new();
    let mut piece: Vec<[f64; 2]> = Vec::new();
    let point = |i: usize, value: f64| [(first + i + 1) as f64, value];
    if shown.len() <= most {
        for (i, value) in shown.iter().enumerate() {
            match value {
                Some(value) => piece.push(point(i, *value)),
                None => pieces.push(std::mem::take(&mut piece)),
            }
        }
    } else {
        for (c, column) in shown.chunks(stretch).enumerate() {
            if column.iter().any(Option::is_none) {
                // A gap must stay a gap: columns that have one are given whole.
                for (i, value) in column.iter().enumerate() {
                    match value {
                        Some(value) => piece.push(point(c * stretch + i, *value)),
                        None => pieces.push(std::mem::take(&mut piece)),
                    }
                }
                continue;
            }
            let (mut low, mut high) = (0, 0);
            for (i, value) in column.iter().enumerate() {
                if *value < column[low] {
                    low = i;
                }
                if *value > column[high] {
                    high = i;
                }
            }
            let mut kept = [0, low.min(high), low.max(high), column.len() - 1];
            kept.sort_unstable();
            for (n, i) in kept.iter().enumerate() {
                if (n == 0 || kept[n - 1] != *i)
                    && let Some(value) = column[*i]
                {
                    piece.push(point(c * stretch + i, value));
                }
            }
        }
    }
    pieces.push(piece);
    pieces.retain(|piece| !piece.is_empty());
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_of_every_column_stay() {
        let values: Vec<Option<f64>> =
            (0..100_000).map(|i| Some((f64::from(i) * 0.37).sin() + if i == 51_234 { 9.0 } else { 0.0 })).collect();
        let shown = pieces(&values, [1.0, 100_000.0], 500);
        assert_eq!(shown.len(), 1);
        assert!(shown[0].len() <= 2_000, "{}", shown[0].len());
        assert!(shown[0].iter().any(|p| p[0] == 51_235.0 && p[1] > 8.0), "the one outlier is in the picture");
        assert!(shown[0].windows(2).all(|w| w[0][0] < w[1][0]));
        for (c, column) in values.chunks(200).enumerate() {
            let high = column.iter().flatten().copied().fold(f64::MIN, f64::max);
            assert!(shown[0].iter().any(|p| p[1] == high && (p[0] - 1.0) as usize / 200 == c), "column {c}");
        }
    }

    #[test]
    fn few_points_stay_as_they_are_and_gaps_stay_gaps() {
        let values = [Some(1.0), None, Some(3.0), Some(4.0)];
        assert_eq!(pieces(&values, [0.5, 4.5], 300), [vec![[1.0, 1.0]], vec![[3.0, 3.0], [4.0, 4.0]]]);
        let mut many: Vec<Option<f64>> = vec![Some(0.0); 10_000];
        many[5_000] = None;
        assert_eq!(pieces(&many, [1.0, 10_000.0], 100).len(), 2);
        assert!(pieces(&[], [0.0, 1.0], 100).is_empty());
    }

    #[test]
    fn only_what_is_in_view_is_drawn() {
        let values: Vec<Option<f64>> = (0..1_000).map(|i| Some(f64::from(i))).collect();
        let shown = pieces(&values, [500.0, 510.0], 100);
        assert!(shown[0][0][0] >= 498.0 && shown[0].last().unwrap()[0] <= 512.0 && shown[0].len() >= 11);
    }
}
