//! What a rollout's numbers mean: every curve beside its null, its ceiling and its spread.
//!
//! Nothing here draws. Means are taken over finite values only, and the others are counted beside them.

mod bootstrap;
mod evaluate;
mod horizons;
mod injection;
mod manifold;
mod reference;
mod report;
mod shuffle;
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
