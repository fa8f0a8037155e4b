//! Sweeps over parameters that a training step waits for: here they are optimized fully whatever the caller's profile.

/// The scalars of one AdamW update, in the precision of the parameters.
#[derive(Clone, Copy, Debug)]
pub struct AdamWFactors {
    /// Scales the gradient (clipping).
    pub gradient: f32,
    /// What the running mean keeps, β₁.
    pub mean: f32,
    /// What the running mean square keeps, β₂.
    pub square: f32,
    /// What decay leaves of the parameter.
    pub keep: f32,
    /// Learning rate over the mean's bias correction.
    pub rate: f32,
    /// Inverse root of the mean square's bias correction.
    pub root: f32,
    /// Added to the root mean square.
    pub epsilon: f32,
}

/// AdamW (Loshchilov, Hutter 2019) on slices of one length: parameters, gradients, running means and mean squares.
pub fn adamw(parameters: &mut [f32], gradients: &[f32], means: &mut [f32], squares: &mut [f32], f: AdamWFactors) {
    for (((p, g), m), v) in parameters.iter_mut().zip(gradients).zip(means).zip(squares) {
        let g = g * f.gradient;
        *m = f.mean * *m + (1.0 - f.mean) * g;
        *v = f.square * *v + (1.0 - f.square) * g * g;
        *p = f.keep * *p - f.rate * *m / (v.sqrt() * f.root + f.epsilon);
    }
}

/// Sum of squares, in a fixed order of eight partial sums.
pub fn sum_of_squares(values: &[f32]) -> f64 {
    let mut sums = [0.0_f32; 8];
    let chunks = values.chunks_exact(8);
    let rest: f32 = chunks.remainder().iter().map(|v| v * v).sum();
    for chunk in chunks {
        sums.iter_mut().zip(chunk).for_each(|(sum, v)| *sum += v * v);
    }
    f64::from(sums.iter().sum::<f32>() + rest)
}

/// ‖a − b‖², in a fixed order of eight partial sums; what is beyond the shorter of the two is left out.
pub fn squared_distance(a: &[f32], b: &[f32]) -> f32 {
    let n = a.len().min(b.len());
    let (a, b) = (&a[..n], &b[..n]);
    let mut sums = [0.0_f32; 8];
    let (xs, ys) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = xs.remainder().iter().zip(ys.remainder()).map(|(x, y)| (x - y) * (x - y)).sum();
    for (x, y) in xs.zip(ys) {
        sums.iter_mut().zip(x.iter().zip(y)).for_each(|(sum, (x, y))| *sum += (x - y) * (x - y));
    }
    sums.iter().sum::<f32>() + rest
}
