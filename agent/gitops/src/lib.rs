//! GitOps: the owner's repository, read without a git program, and Flux brought up from it without writing to it.
//!
//! Inputs: the castle file's `gitops` and `beforeFlux`, the token, the trusted roots, a `kube::Client`. Outputs: the
//! [`Repository`] at one commit, [`Finding`]s of the lint, and in the cluster: what the repository expects
//! ([`before_flux`]), Flux's controllers ([`apply_components`]), its source pinned to the commit ([`apply_sync`]), and
//! all layers followed until they are ready ([`watch_layers`]).
//!
//! Field managers: `skykeep` for whole objects, `skykeep-pin` for `spec.ref.commit` alone, `skykeep-patches` for the root's
//! `spec.patches` alone, so that Flux re-applying its own root (server-side apply as `kustomize-controller`) leaves pin and patches
//! in place. [`Held`] finds all of it again, and [`let_go`] and [`prove`] give a castle back to Git.

mod apply;
mod before;
mod error;
mod fetch;
mod flux;
mod history;
mod images;
mod inject;
mod injected;
mod kustomize;
mod layers;
mod layout;
mod lint;
mod proof;
mod repository;
mod watch;

pub use before::before_flux;
pub use error::GitopsError;
pub use fetch::{Fetched, fetch};
pub use flux::{Sync, apply_components, apply_patches, apply_sync, set_pin};
pub use history::{Commit, Distance};
pub use images::images;
pub use inject::Injection;
pub use injected::{Held, INJECTED, diff, held, pin_diff};
pub use layers::{Layer, LayerState};
pub use layout::Layout;
pub use lint::{Contract, Finding, Report, Severity, WRITES_DNS, lint, lint_with, living};
pub use proof::{Alone, let_go, prove};
pub use repository::{Document, FluxRoot, Repository};
pub use watch::{Outcome, remind_layers, remind_source, watch_layers};
