//! Mixture density network.

/// A mixture of diagonal Gaussians over Δ.
#[derive(Clone, Debug)]
pub(super) struct Mdn {}
