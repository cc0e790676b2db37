//! The ground floor of the agent: what every capability speaks in.
//!
//! Inputs: the owner's part (castle file, lock file, extra CAs). Outputs: typed values, errors that say what happened,
//! why and what to do, deadlines for every wait, progress events, and one HTTP client with the right trust roots.

pub mod castle;
pub mod deadline;
pub mod explain;
pub mod http;
pub mod ids;
pub mod lock;
pub mod owner;
pub mod pinned;
pub mod progress;
pub mod registry;
pub mod secret;
pub mod way;

pub use deadline::{Deadline, TimedOut, poll, retry};
pub use explain::{Explain, Explained, Trouble};
pub use ids::{Generation, Tags};
pub use progress::{Event, Progress};
pub use secret::Secret;
