//! Other coordinates for latents: standardized, principal components.

mod normalize;
mod pca;

pub use normalize::Normalizer;
pub use pca::Pca;
