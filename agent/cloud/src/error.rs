use skykeep_aws::AwsError;
use skykeep_core::{Explain, Explained, Trouble};

use crate::HetznerError;

/// What can go wrong at a cloud.
#[derive(Debug)]
pub enum CloudError {
    /// AWS said no, or nothing.
    Aws {
        /// What we were about, for people.
        doing: String,
        /// Its answer.
        error: Box<AwsError>,
    },
    /// Hetzner said no, or nothing.
    Hetzner {
        /// What we were about, for people.
        doing: String,
        /// Its answer.
        error: Box<HetznerError>,
    },
    /// A wait that ended badly.
    Wait(Trouble),
    /// A node died, or its attempt was used up by one that died: it must be tried again with the next attempt number.
    NodeDied {
        /// `cp1`, `w1`...
        name: String,
        /// The cloud's id.
        id: String,
        /// The cloud's words.
        reason: String,
    },
    /// The supplier has no machine for a node, of no type that the castle file names. Nothing was made.
    NoCapacity {
        /// `cp1`, `w1`...
        name: String,
        /// Where it should have been.
        zone: String,
        /// What the supplier said to each type, in their order.
        said: Vec<String>,
    },
    /// The castle can't be built as it is described.
    Unfit(Explained),
}

impl CloudError {
    /// The supplier's error code, if it gave one.
    pub fn code(&self) -> Option<&str> {
        match self {
            CloudError::Aws { error, .. } => error.code(),
            CloudError::Hetzner { error, .. } => error.code(),
            _ => None,
        }
    }

    /// Whether the same attempt at a node can't succeed any more, but the next one may.
    pub fn uses_attempt_up(&self) -> bool {
        matches!(self, CloudError::NodeDied { .. }) || self.code() == Some("IdempotentParameterMismatch")
    }
}

impl Explain for CloudError {
    fn what(&self) -> String {
        match self {
            CloudError::Aws { doing, error } => format!("{doing} failed: {}", error.what()),
            CloudError::Hetzner { doing, error } => format!("{doing} failed: {}", error.what()),
            CloudError::Wait(trouble) => trouble.explained().what,
            CloudError::NodeDied { name, id, .. } => format!("Node {name} ({id}) died"),
            CloudError::NoCapacity { name, zone, .. } => format!("There is no machine for node {name} in {zone} now"),
            CloudError::Unfit(explained) => explained.what.clone(),
        }
    }

    fn why(&self) -> String {
        match self {
            CloudError::Aws { error, .. } => error.why(),
            CloudError::Hetzner { error, .. } => error.why(),
            CloudError::Wait(trouble) => trouble.explained().why,
            CloudError::NodeDied { reason, .. } => reason.clone(),
            CloudError::NoCapacity { said, .. } => format!("the supplier says {}", said.join(", ")),
            CloudError::Unfit(explained) => explained.why.clone(),
        }
    }

    fn remedy(&self) -> String {
        match self {
            CloudError::Aws { error, .. } => error.remedy(),
            CloudError::Hetzner { error, .. } => error.remedy(),
            CloudError::Wait(trouble) => trouble.explained().remedy,
            CloudError::NodeDied { .. } => {
                "Start again: the dead node is replaced. If it dies again, try another instance type or zone.".into()
            }
            CloudError::NoCapacity { zone, .. } => format!(
                "Add types to `alternatives` in castle.yaml and start again: what stands is adopted. No other zone of castle.yaml may take it: if {zone} stays without any, begin a new generation with other zones."
            ),
            CloudError::Unfit(explained) => explained.remedy.clone(),
        }
    }

    fn is_transient(&self) -> bool {
        match self {
            CloudError::Aws { error, .. } => error.is_transient(),
            CloudError::Hetzner { error, .. } => error.is_transient(),
            CloudError::Wait(trouble) => trouble.is_transient(),
            CloudError::NodeDied { .. } | CloudError::NoCapacity { .. } | CloudError::Unfit(_) => false,
        }
    }
}

impl From<Trouble> for CloudError {
    fn from(trouble: Trouble) -> Self {
        CloudError::Wait(trouble)
    }
}
