//! PostgreSQL from a pgBackRest repository.
//!
//! [`inspect`] looks at it from the laptop; [`order`] has a job run in the cluster, inside the owner's own database image;
//! [`job`] is what runs there. The real `pgbackrest` and `postgres` do the work; here it is said which, when, and what must be true
//! before anybody may use the database. The repository that it came from is only read: a reborn database archives to a path of its own.

mod base;
pub mod conf;
mod fault;
pub mod info;
pub mod inspect;
pub mod job;
mod marker;
pub mod order;
mod programs;
mod server;
mod spec;
pub mod wal;

pub use fault::Fault;
pub use spec::{Outcome, Spec};
