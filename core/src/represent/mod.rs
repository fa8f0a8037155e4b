//! Other coordinates for latents: standardized, principal components.
//!
//! Closed-form representations only; learned ones train through `fit`.

mod normalize;
mod pca;

pub(crate) use normalize::FrameSums;
pub use normalize::Normalizer;
pub use pca::Pca;
