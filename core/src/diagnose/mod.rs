//! What a rollout's numbers mean: every curve beside its null, its ceiling and its spread.

mod bootstrap;
mod evaluate;
mod injection;
mod reference;
mod summary;
pub mod toy;

pub use bootstrap::{Band, bootstrap_by_speaker};
pub use evaluate::{EvaluateConfig, Evaluation, HorizonReport, SideMetrics, evaluate};
pub use injection::{InjectionConfig, InjectionReport, ModeReport, StepReport, inject};
pub use reference::{ReferenceConfig, References, references};
pub use summary::Summary;
