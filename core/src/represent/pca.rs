//! Principal components of frames.
//!
//! The covariance is summed in f64 block by block, so the rows are never all in memory at once, and diagonalized.

use driftscope_numerics::linear::{Accum, Mat, MatRef, multiply, symmetric_eigen};

/// Rows that are multiplied at once.
const BLOCK_ROWS: usize = 1024;

/// Orthonormal directions of largest variance.
#[derive(Clone, Debug, PartialEq)]
pub struct Pca {
    /// `[dim]`
    pub mean: Vec<f32>,
    /// `[n_components, dim]`, rows orthonormal, largest variance first; sign: the largest entry is positive.
    pub components: Vec<f32>,
    /// Variance along each component, `[n_components]` (n − 1 in the denominator).
    pub variance: Vec<f64>,
    /// Sum of all variances, of which `variance` is a part.
    pub total_variance: f64,
}

impl Pca {
    /// Fits `n_components` (at most `dim`) on rows of `dim` finite values. Without rows all variances are 0.
    pub fn fit<'a>(rows: impl Iterator<Item = &'a [f32]>, dim: usize, n_components: usize) -> Self {
        let Moments { n, mean, scatter } = Moments::of(rows, dim);
        let denominator = (n as f64 - 1.0).max(1.0);
        let (values, vectors) = symmetric_eigen(scatter.as_ref()).expect("a symmetric matrix of finite numbers has eigenvectors");
        let mut pca = Self {
            mean: mean.iter().map(|&m| m as f32).collect(),
            components: Vec::with_capacity(n_components.min(dim) * dim),
            variance: Vec::with_capacity(n_components.min(dim)),
            total_variance: (0..dim).map(|d| scatter[(d, d)]).sum::<f64>() / denominator,
        };
        // Eigenvalues come in ascending order.
        for i in (0..dim).rev().take(n_components) {
            let direction: Vec<f64> = (0..dim).map(|d| vectors[(d, i)]).collect();
            let largest = direction.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap_or(1.0);
            pca.components.extend(direction.iter().map(|&v| (v * largest.signum()) as f32));
            pca.variance.push(values[i].max(0.0) / denominator);
        }
        pca
    }

    /// Coordinates of one frame, `[n_components]`.
    pub fn project(&self, frame: &[f32]) -> Vec<f32> {
        let dim = self.mean.len();
        self.components.chunks_exact(dim).map(|c| c.iter().zip(frame).zip(&self.mean).map(|((c, x), m)| c * (x - m)).sum()).collect()
    }

    /// The frame that `coordinates` (`[n_components]`) stand for, `[dim]`; what the components leave out is the mean's.
    pub fn reconstruct(&self, coordinates: &[f32]) -> Vec<f32> {
        let mut frame = self.mean.clone();
        for (component, coordinate) in self.components.chunks_exact(self.mean.len()).zip(coordinates) {
            frame.iter_mut().zip(component).for_each(|(x, c)| *x += c * coordinate);
        }
        frame
    }
}

/// Number of rows, mean `[dim]` and Σ (x − mean)(x − mean)ᵀ `[dim, dim]`.
struct Moments {
    n: u64,
    mean: Vec<f64>,
    scatter: Mat<f64>,
}

impl Moments {
    fn of<'a>(mut rows: impl Iterator<Item = &'a [f32]>, dim: usize) -> Self {
        // Rows are shifted by the first one, so that a large mean does not eat the digits of a small variance.
        let Some(first) = rows.next() else { return Self { n: 0, mean: vec![0.0; dim], scatter: Mat::zeros(dim, dim) } };
        let shift: Vec<f64> = first.iter().map(|&x| f64::from(x)).collect();
        let mut moments = Self { n: 1, mean: vec![0.0; dim], scatter: Mat::zeros(dim, dim) };
        let mut block: Vec<f64> = Vec::with_capacity(BLOCK_ROWS * dim);
        for row in rows {
            block.extend(row.iter().zip(&shift).map(|(&x, s)| f64::from(x) - s));
            if block.len() == BLOCK_ROWS * dim {
                moments.add(&block, dim);
                block.clear();
            }
        }
        moments.add(&block, dim);
        let n = moments.n as f64;
        moments.mean.iter_mut().for_each(|m| *m /= n);
        for (i, j) in (0..dim).flat_map(|i| (0..dim).map(move |j| (i, j))) {
            moments.scatter[(i, j)] -= n * moments.mean[i] * moments.mean[j];
        }
        moments.mean.iter_mut().zip(&shift).for_each(|(m, s)| *m += s);
        moments
    }

    /// Adds rows to the sums (`mean` holds the sum until the end).
    fn add(&mut self, block: &[f64], dim: usize) {
        let n_rows = block.len() / dim;
        self.n += n_rows as u64;
        for row in block.chunks_exact(dim) {
            self.mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
        }
        let rows = MatRef::from_row_major_slice(block, n_rows, dim);
        multiply(self.scatter.as_mut(), Accum::Add, rows.transpose(), rows, 1.0);
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn an_ellipse_gives_its_axes() {
        // Points ±a·u, ±b·v with u = (.6, .8), v = (−.8, .6): mean 0, variances 2a²/3 and 2b²/3, shifted by (100, −50).
        let (a, b) = (3.0_f32, 1.0_f32);
        let points: Vec<[f32; 2]> =
            [(a, 0.6, 0.8), (-a, 0.6, 0.8), (b, -0.8, 0.6), (-b, -0.8, 0.6)].map(|(s, x, y)| [100.0 + s * x, -50.0 + s * y]).to_vec();
        let pca = Pca::fit(points.iter().map(<[f32; 2]>::as_slice), 2, 2);
        let near = |found: &[f64], expected: &[f64]| {
            assert!(found.len() == expected.len() && found.iter().zip(expected).all(|(f, e)| (f - e).abs() < 1e-4), "{found:?}");
        };
        near(&pca.variance, &[6.0, 2.0 / 3.0]);
        near(&[pca.total_variance], &[20.0 / 3.0]);
        near(&pca.components.iter().map(|&c| f64::from(c)).collect::<Vec<_>>(), &[0.6, 0.8, 0.8, -0.6]);
        near(&pca.project(&[103.0, -46.0]).iter().map(|&c| f64::from(c)).collect::<Vec<_>>(), &[5.0, 0.0]);
    }

    #[test]
    fn all_components_give_the_frame_back() {
        let mut rng = StdRng::seed_from_u64(3);
        let rows: Vec<f32> = (0..3000 * 7).map(|i| rng.random_range(-1.0..1.0) * (1 + i % 7) as f32 + 1000.0).collect();
        let pca = Pca::fit(rows.chunks_exact(7), 7, 99);
        assert_eq!(pca.variance.len(), 7);
        assert!(pca.variance.is_sorted_by(|a, b| a >= b));
        for row in rows.chunks_exact(7).take(20) {
            let back = pca.reconstruct(&pca.project(row));
            assert!(row.iter().zip(&back).all(|(x, y)| (x - y).abs() < 1e-3), "{row:?} {back:?}");
        }
    }

    #[test]
    fn few_rows_do_no_harm() {
        let none = Pca::fit(std::iter::empty(), 3, 2);
        assert_eq!((none.variance.as_slice(), none.total_variance), ([0.0, 0.0].as_slice(), 0.0));
        let one = Pca::fit(std::iter::once([1.0, 2.0, 3.0].as_slice()), 3, 2);
        assert_eq!((one.mean.as_slice(), one.total_variance), ([1.0, 2.0, 3.0].as_slice(), 0.0));
    }
}
