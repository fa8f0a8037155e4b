//! Aligned columns of text.

/// First column to the left, the others to the right, two spaces between them.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let n_columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|r| r.get(column)).map(|c| c.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..n_columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).enumerate().map(
            |(column, (cell, &width))| {
                if column == 0 { format!("{cell:width$}") } else { format!("{cell:>width$}") }
            },
        );
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// A number with three decimals, or a dash where there is none.
pub(super) fn number(value: Option<f64>) -> String {
    match value {
        Some(v) if v.is_finite() && v.abs() < 1e4 => format!("{v:.3}"),
        Some(v) if v.is_finite() => format!("{v:.2e}"),
        _ => "–".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align() {
        let rows = [vec!["mode".into(), "cos".into()], vec!["A".into(), "0.125".into()]];
        assert_eq!(table(&rows), "mode    cos\nA     0.125\n");
        assert_eq!([number(Some(f64::NAN)), number(Some(1.0)), number(Some(-12345.0))], ["–", "1.000", "-1.23e4"]);
    }
}
