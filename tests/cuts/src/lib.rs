//! Power cuts at engine level. The product's own steps of state, cloud, lease, journal, node plans and DNS run against doubles on
//! loopback, are cut off, and run again on another "laptop"; what would need real nodes is scripted ([`story::SCRIPTED`]).
//!
//! Input: seeds. Output: per cut, where it fell and what stood in the end.

pub mod front;
pub mod relay;
pub mod s3;
pub mod story;
pub mod world;
