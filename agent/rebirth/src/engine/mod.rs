//! The engine: runs a graph of steps, each as soon as what it needs is there, and reports what the time went to.
//!
//! It is pure: it knows nothing of clouds and clusters, only steps, and is tested with a virtual clock.

mod graph;
mod report;
mod run;

pub use graph::{Graph, GraphError, Step, Work};
pub use report::{Report, StepReport, Verdict};
