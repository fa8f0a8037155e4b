//! Dense products, symmetric eigenvectors and positive definite systems, on all threads of rayon's pool.

use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::linalg::solvers::Solve;
pub use faer::{Accum, Mat, MatMut, MatRef};
use faer::{Par, Side};

/// `out = alpha·a·b`, or `out += alpha·a·b`.
pub fn multiply(out: MatMut<'_, f64>, accumulate: Accum, a: MatRef<'_, f64>, b: MatRef<'_, f64>, alpha: f64) {
    faer::linalg::matmul::matmul(out, accumulate, a, b, alpha, Par::rayon(0));
}

/// [`multiply`] in f32.
pub fn multiply_f32(out: MatMut<'_, f32>, accumulate: Accum, a: MatRef<'_, f32>, b: MatRef<'_, f32>, alpha: f32) {
    faer::linalg::matmul::matmul(out, accumulate, a, b, alpha, Par::rayon(0));
}

/// The lower triangle of `out += rowsᵀ·rows`; the upper one is left as it is.
pub fn add_gram_lower(out: MatMut<'_, f64>, rows: MatRef<'_, f64>) {
    let (full, lower) = (BlockStructure::Rectangular, BlockStructure::TriangularLower);
    triangular::matmul(out, lower, Accum::Add, rows.transpose(), full, rows, full, 1.0, Par::rayon(0));
}

/// `matrix⁻¹·right` for a symmetric positive definite matrix, of which the lower triangle is read; `None` if it is not one.
pub fn solve_positive_definite(matrix: MatRef<'_, f64>, right: MatRef<'_, f64>) -> Option<Mat<f64>> {
    matrix.llt(Side::Lower).ok().map(|factor| factor.solve(right))
}

/// Eigenvalues, ascending, and eigenvectors in the columns, of a symmetric matrix, of which the lower triangle is read; `None` where
/// it holds numbers that are not finite.
pub fn symmetric_eigen(matrix: MatRef<'_, f64>) -> Option<(Vec<f64>, Mat<f64>)> {
    let eigen = matrix.self_adjoint_eigen(Side::Lower).ok()?;
    Some((eigen.S().column_vector().iter().copied().collect(), eigen.U().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn solves_and_diagonalizes_what_it_multiplied() {
        let rows = Mat::from_fn(40, 5, |i, j| ((i * 7 + j * 13) % 11) as f64 - 5.0 + if i % 5 == j { 3.0 } else { 0.0 });
        let mut gram = Mat::zeros(5, 5);
        add_gram_lower(gram.as_mut(), rows.as_ref());
        let mut full = Mat::zeros(5, 5);
        multiply(full.as_mut(), Accum::Replace, rows.transpose(), rows.as_ref(), 1.0);
        assert!((0..5).all(|i| (0..=i).all(|j| (gram[(i, j)] - full[(i, j)]).abs() < 1e-9)));

        let right = Mat::from_fn(5, 2, |i, j| (i + j) as f64);
        let solution = solve_positive_definite(gram.as_ref(), right.as_ref()).unwrap();
        let back = &full * &solution;
        assert!((0..5).all(|i| (0..2).all(|j| (back[(i, j)] - right[(i, j)]).abs() < 1e-8)));
        assert!(solve_positive_definite(Mat::<f64>::zeros(5, 5).as_ref(), right.as_ref()).is_none());

        let (values, vectors) = symmetric_eigen(gram.as_ref()).unwrap();
        assert!(values.is_sorted());
        let image = &full * &vectors;
        assert!((0..5).all(|i| (0..5).all(|j| (image[(i, j)] - values[j] * vectors[(i, j)]).abs() < 1e-8)));
    }
}
