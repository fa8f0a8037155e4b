//! Factorized predictor: direction ~ vMF, magnitude ~ LogNormal.

/// Four heads: mean direction, ln κ, μ and ln σ of the log-magnitude.
#[derive(Clone, Debug)]
pub(super) struct VmfLogNormal {}
