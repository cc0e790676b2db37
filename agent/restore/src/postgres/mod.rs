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

/// A point in time as pgBackRest and PostgreSQL read it.
pub fn for_pgbackrest(point: jiff::Timestamp) -> String {
    let text = point.to_string().replace('T', " ");
    format!("{}+00", text.trim_end_matches('Z'))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_point_in_time_keeps_its_zone() {
        let point: jiff::Timestamp = "2026-11-30T08:15:00.5+01:00".parse().unwrap();
        assert_eq!(super::for_pgbackrest(point), "2026-11-30 07:15:00.5+00");
    }
}
