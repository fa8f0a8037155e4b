//! What a rollout's numbers mean: every curve beside its null, its ceiling and its spread.
//!
//! Nothing here draws. Means are taken over finite values only, and the others are counted beside them.

mod bootstrap;
mod evaluate;
mod frames;
mod horizons;
mod injection;
mod manifold;
mod reference;
mod report;
mod rows;
mod summary;
pub mod toy;

pub use bootstrap::Band;
pub(crate) use bootstrap::Bootstrap;
pub use evaluate::{EvaluateConfig, Evaluation, HorizonReport, SideMetrics, evaluate};
pub use horizons::RidgeScore;
pub use injection::{InjectionConfig, InjectionReport, ModeReport, StepReport, inject};
pub use manifold::{Manifold, OffManifold};
pub use reference::{ReferenceConfig, References, references};
pub use summary::Summary;

use crate::job::Cancelled;
use crate::latents::StoreError;

/// Why a diagnostic gives no numbers.
#[derive(Debug, thiserror::Error)]
pub enum DiagnoseError {
    /// Corpus, predictors or starts that do not fit each other.
    #[error("{0}")]
    Input(String),
    /// An utterance that could be read before.
    #[error("the store changed while it was read: {0}")]
    Store(#[from] StoreError),
    /// Stopped.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}
