//! Real Fourier transforms in f32.

use std::sync::Arc;

use realfft::RealFftPlanner;
pub use realfft::num_complex::Complex;
pub use realfft::{ComplexToReal, RealToComplex};

/// Real to complex, `[n] → [n/2 + 1]`, unnormalized.
pub fn plan_forward(n: usize) -> Arc<dyn RealToComplex<f32>> {
    RealFftPlanner::new().plan_fft_forward(n)
}

/// Complex to real, `[n/2 + 1] → [n]`, unnormalized: forward then inverse multiplies by n.
pub fn plan_inverse(n: usize) -> Arc<dyn ComplexToReal<f32>> {
    RealFftPlanner::new().plan_fft_inverse(n)
}
