//! Names that tie everything one rebirth creates together.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// One rebirth of a castle: a ULID, so that it also says when it began (milliseconds since 1970, UTC).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Generation(Ulid);

impl Generation {
    /// A new generation that begins at `unix_ms` with ten bytes of randomness.
    pub fn new(unix_ms: u64, random: u128) -> Self {
        Generation(Ulid::from_parts(unix_ms, random))
    }

    /// When this generation began, seconds since 1970.
    pub fn began(&self) -> i64 {
        i64::try_from(self.0.timestamp_ms() / 1000).unwrap_or(i64::MAX)
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Generation {
    type Err = ulid::DecodeError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ulid::from_string(text).map(Generation)
    }
}

/// The tags that everything we create in a cloud carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tags {
    /// The castle's name (tag `skykeep.dev/castle`).
    pub castle: String,
    /// The generation (tag `skykeep.dev/generation`).
    pub generation: Generation,
}

/// Tag key: the castle's name.
pub const TAG_CASTLE: &str = "skykeep.dev/castle";
/// Tag key: the generation.
pub const TAG_GENERATION: &str = "skykeep.dev/generation";
/// Tag key: the role of the thing within the castle, for example `subnet-a` or `node-cp1`.
pub const TAG_ROLE: &str = "skykeep.dev/role";
