//! Causal attention of one head over a window of the past, as positions arrive (Vaswani et al. 2017).
//!
//! Keys and values lie packed as the two products read them, so a position is copied once, when it arrives, and not again for every
//! query that sees it. Sums are taken over whole stretches of positions that do not depend on how many arrive at a time: the same
//! positions give the same bytes in any pieces.
#![expect(clippy::inline_always, reason = "vector instructions reach only what is inlined")]

use faer::MatMut;
use faer::reborrow::ReborrowMut;
use pulp::{Arch, Simd, WithSimd};

use crate::activation::softmax;
use crate::dense::Windows;
use crate::panel::{ACROSS, SPAN, Tile, half_ahead, lanes, products, tiles};

/// What the window left behind is kept until it is worth moving the rest.
const KEPT: usize = 512;

/// Keys and values of one head.
#[derive(Clone, Debug)]
pub struct Head {
    dim: usize,
    /// Positions that a query sees, its own among them.
    context: usize,
    /// Columns of a panel.
    width: usize,
    /// The position it began at: nothing before it is seen.
    begun: usize,
    /// The first position held, a multiple of [`SPAN`].
    first: usize,
    /// The position that comes next.
    next: usize,
    /// `[panels of positions][dim][width]`.
    keys: Vec<f32>,
    /// For each panel of dimensions, `[positions][width]`.
    values: Vec<Vec<f32>>,
    scores: Vec<f32>,
}

impl Head {
    /// Before `position`; `dim` values a key, `context` positions seen. What began elsewhere mixes the same bytes as soon as its window is
    /// full.
    pub fn new(dim: usize, context: usize, position: usize) -> Self {
        let (width, first) = (ACROSS * lanes(), position / SPAN * SPAN);
        let values = vec![vec![0.0; (position - first) * width]; dim.div_ceil(width)];
        Self { dim, context, width, begun: position, first, next: position, keys: Vec::new(), values, scores: Vec::new() }
    }

    /// The next position's key and value.
    fn push(&mut self, key: &[f32], value: &[f32]) {
        let Self { dim, width, .. } = *self;
        let (panel, column) = ((self.next - self.first) / width, (self.next - self.first) % width);
        let n_held = self.keys.len().max((panel + 1) * dim * width);
        self.keys.resize(n_held, 0.0);
        let columns = self.keys[panel * dim * width..].chunks_exact_mut(width);
        columns.zip(key).for_each(|(row, k)| row[column] = *k);
        for (values, value) in self.values.iter_mut().zip(value.chunks(width)) {
            values.extend_from_slice(value);
            values.resize(values.len() + width - value.len(), 0.0);
        }
        self.next += 1;
    }

    /// The first position that the query of one sees.
    fn seen_from(&self, position: usize) -> usize {
        (position + 1).saturating_sub(self.context).max(self.begun)
    }

    /// Where sums begin for it: a stretch's first position.
    fn begin(&self, position: usize) -> usize {
        self.seen_from(position) / SPAN * SPAN
    }

    /// The means of the values that queries at the next positions see, weighted by how each meets their keys, into `mixed` `[n, dim]`.
    /// Keys and values are taken from `keys` and `values` first; all three are windows of `dim` values, one for each of the `n` positions.
    /// Queries are scaled already.
    pub fn attend(&mut self, [queries, keys, values]: [Windows<'_>; 3], mixed: MatMut<'_, f32>) {
        let (n, begin) = (mixed.nrows(), self.next);
        if n == 0 {
            return;
        }
        let outgrown = self.begin(begin) - self.first;
        if outgrown >= KEPT.max(2 * self.context) {
            self.keys.drain(..outgrown * self.dim);
            self.values.iter_mut().for_each(|values| drop(values.drain(..outgrown * self.width)));
            self.first += outgrown;
        }
        for t in 0..n {
            let [key, value] = [keys, values].map(|all| &all.values[t * all.step..][..self.dim]);
            self.push(key, value);
        }
        let from = self.begin(begin);
        let n_columns = (self.next - from).next_multiple_of(self.width);
        let mut scores = std::mem::take(&mut self.scores);
        scores.resize(n * n_columns, 0.0);
        Arch::new().dispatch(Scores { head: self, queries, from, scores: &mut scores, n_columns });
        for (row, position) in scores.chunks_exact_mut(n_columns).zip(begin..) {
            let (first, last) = (self.seen_from(position) - from, position - from);
            softmax(&mut row[first..=last]);
            row[..first].fill(0.0);
            row[last + 1..].fill(0.0);
        }
        Arch::new().dispatch(Mix { head: self, weights: Windows { values: &scores, step: n_columns }, from, mixed });
        self.scores = scores;
    }
}

/// Queries times keys, a panel of positions after the other.
struct Scores<'a> {
    head: &'a Head,
    queries: Windows<'a>,
    /// The position of the first column.
    from: usize,
    scores: &'a mut [f32],
    n_columns: usize,
}

impl WithSimd for Scores<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { head, queries, from, scores, n_columns } = self;
        let Head { dim, width, first, .. } = *head;
        let n = scores.len() / n_columns;
        for column in (0..n_columns).step_by(width) {
            let (keys, beyond) = head.keys[(from - first + column) * dim..].split_at(dim * width);
            // What is read next: the keys behind these, or the values.
            let ahead = if beyond.is_empty() { &head.values[0][(from - first) * width..] } else { beyond };
            tiles(simd, n, &mut ScoresTile { keys, ahead, queries, column, scores, n_columns });
        }
    }
}

struct ScoresTile<'a> {
    keys: &'a [f32],
    ahead: &'a [f32],
    queries: Windows<'a>,
    column: usize,
    scores: &'a mut [f32],
    n_columns: usize,
}

impl Tile for ScoresTile<'_> {
    #[inline(always)]
    fn tile<S: Simd, const R: usize>(&mut self, simd: S, from: usize) {
        let rows: [&[f32]; R] = std::array::from_fn(|r| &self.queries.values[(from + r) * self.queries.step..]);
        let sums = products::<S, R, ACROSS>(simd, rows, self.keys, half_ahead(self.ahead, self.keys.len(), from));
        for (r, sums) in sums.iter().enumerate() {
            let sums: &[f32] = pulp::bytemuck::cast_slice(sums);
            self.scores[(from + r) * self.n_columns + self.column..][..sums.len()].copy_from_slice(sums);
        }
    }
}

/// Weights times values, a panel of dimensions after the other.
struct Mix<'a> {
    head: &'a Head,
    weights: Windows<'a>,
    /// The position of the first weight.
    from: usize,
    mixed: MatMut<'a, f32>,
}

impl WithSimd for Mix<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { head, weights, from, mut mixed } = self;
        let n = mixed.nrows();
        let values_of = |panel: usize| &head.values[panel % head.values.len()][(from - head.first) * head.width..];
        for panel in 0..head.values.len() {
            let columns = mixed.rb_mut().subcols_mut(panel * head.width, head.width.min(head.dim - panel * head.width));
            tiles(simd, n, &mut MixTile { values: values_of(panel), ahead: values_of(panel + 1), weights, mixed: columns });
        }
    }
}

struct MixTile<'a> {
    values: &'a [f32],
    ahead: &'a [f32],
    weights: Windows<'a>,
    mixed: MatMut<'a, f32>,
}

impl Tile for MixTile<'_> {
    #[inline(always)]
    fn tile<S: Simd, const R: usize>(&mut self, simd: S, from: usize) {
        let rows: [&[f32]; R] = std::array::from_fn(|r| &self.weights.values[(from + r) * self.weights.step..]);
        let sums = products::<S, R, ACROSS>(simd, rows, self.values, half_ahead(self.ahead, self.values.len(), from));
        for (r, sums) in sums.iter().enumerate() {
            let sums: &[f32] = pulp::bytemuck::cast_slice(sums);
            let mut row = self.mixed.rb_mut().row_mut(from + r);
            row.rb_mut().iter_mut().zip(sums).for_each(|(mixed, sum)| *mixed = *sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::panel::values;

    /// In pieces of any length, beyond the window and long enough that the past is forgotten: the formula, and the same bytes.
    #[test]
    fn every_query_mixes_what_its_window_shows() {
        for (dim, context, n) in [(8, 5, 40), (64, 250, 1300), (40, 100, 900)] {
            let (row, all) = (3 * dim, values(n * 3 * dim, dim as u32));
            let attended = |piece: usize| {
                let mut head = Head::new(dim, context, 0);
                let mut mixed = vec![f32::NAN; n * dim];
                for (rows, mixed) in all.chunks(piece * row).zip(mixed.chunks_mut(piece * dim)) {
                    let windows = [0, dim, 2 * dim].map(|at| Windows { values: &rows[at..], step: row });
                    let n_rows = mixed.len() / dim;
                    head.attend(windows, MatMut::from_row_major_slice_mut(mixed, n_rows, dim));
                }
                mixed
            };
            let mixed = attended(n);
            for piece in [1, 2, 16, 77] {
                assert!(attended(piece) == mixed, "pieces of {piece} give other bytes");
            }
            // Begun in the middle of a stretch: as soon as the window is full.
            let (begun, mut late) = (70.min(n / 3), vec![f32::NAN; n * dim]);
            let mut head = Head::new(dim, context, begun);
            for t in begun..n {
                let windows = [0, dim, 2 * dim].map(|at| Windows { values: &all[t * row + at..], step: row });
                head.attend(windows, MatMut::from_row_major_slice_mut(&mut late[t * dim..(t + 1) * dim], 1, dim));
            }
            let full = (begun + context - 1) * dim;
            assert!(late[full..] == mixed[full..] && late[begun * dim..].iter().all(|x| x.is_finite()), "{dim} of {context}: begun later");
            for t in [0, 1, context - 1, context, n / 2, n - 1] {
                let at = |t: usize, part: usize, d: usize| f64::from(all[t * row + part * dim + d]);
                let seen = (t + 1).saturating_sub(context)..=t;
                let weights: Vec<f64> = seen.clone().map(|s| (0..dim).map(|d| at(t, 0, d) * at(s, 1, d)).sum::<f64>().exp()).collect();
                let total: f64 = weights.iter().sum();
                for d in 0..dim {
                    let want = seen.clone().zip(&weights).map(|(s, w)| w * at(s, 2, d)).sum::<f64>() / total;
                    let got = f64::from(mixed[t * dim + d]);
                    assert!((got - want).abs() < 1e-5, "{dim} of {context}: position {t}, dimension {d} is {got}, not {want}");
                }
            }
        }
    }
}
