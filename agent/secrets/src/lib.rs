//! Secrets from the stores that the castle file names.
//!
//! Inputs: the references of the castle file, a way to look into the open vault, the Infisical project, an HTTP client,
//! the files of the Git repository. Each store is behind one trait (`store`).
//! Output: [`Secrets`], complete, or one error that names everything that is missing. Nothing partial is ever returned.

mod error;
mod infisical;
mod json;
mod resolve;
mod sops;
mod store;

pub use error::SecretsError;
pub use infisical::{Listed, read_listing};
pub use resolve::{Secrets, resolve, resolve_sops};
pub use sops::{age, read as read_sops};
