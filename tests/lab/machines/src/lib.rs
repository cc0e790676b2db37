//! What a cloud's double needs of whoever makes its machines and networks ([`Backend`]), and one that only remembers.

mod backend;
mod memory;

pub use backend::{Backend, Balancer, HealthCheck, InstanceRules, InstanceSpec, Listener, Protocol, Rule, Supplier};
pub use memory::{Memory, MemoryBackend};
