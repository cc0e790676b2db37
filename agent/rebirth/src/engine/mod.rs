//! The engine: runs a graph of steps, each as soon as what it needs is there, and reports what the time went to.
//!
//! It is pure: it knows nothing of clouds and clusters, only steps, and is tested with a virtual clock.

mod forecast;
mod graph;
mod report;
mod run;
mod schedule;
#[cfg(test)]
mod tests;

pub use forecast::{Outlook, Standing, outlook};
pub use graph::{Graph, GraphError, Outline, Step, Work};
pub use report::{Report, Saving, StepReport, Verdict};
pub use run::{GRACE, STOPPED};
