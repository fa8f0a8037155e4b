//! Principal components of frames.

/// Orthonormal directions of largest variance.
#[derive(Clone, Debug, PartialEq)]
pub struct Pca {
    /// `[dim]`
    pub mean: Vec<f32>,
    /// `[n_components, dim]`, rows orthonormal, largest variance first; sign: the largest entry is positive.
    pub components: Vec<f32>,
    /// Variance along each component, `[n_components]`.
    pub variance: Vec<f64>,
    /// Sum of all variances, of which `variance` is a part.
    pub total_variance: f64,
}

impl Pca {
    /// Fits `n_components` on rows of `dim` values.
    pub fn fit<'a>(rows: impl Iterator<Item = &'a [f32]>, dim: usize, n_components: usize) -> Self {
        let _ = (rows, dim, n_components);
        todo!()
    }

    /// Coordinates of one frame, `[n_components]`.
    pub fn project(&self, frame: &[f32]) -> Vec<f32> {
        let dim = self.mean.len();
        self.components.chunks_exact(dim).map(|c| c.iter().zip(frame).zip(&self.mean).map(|((c, x), m)| c * (x - m)).sum()).collect()
    }
}
