//! What can go wrong between the capabilities.

use skykeep_core::Explain;

/// Errors of the rebirth itself.
#[derive(Debug, PartialEq, Eq)]
pub enum RebirthError {
    /// Another holder has the lease.
    LeaseHeld {
        /// Who: a random id of that run.
        holder: String,
        /// Where it comes from.
        from: String,
        /// Since when it has it, RFC 3339.
        since: String,
    },
    /// What was typed to take a castle over is not its name.
    OtherCastle {
        /// What was typed.
        typed: String,
        /// What it is called.
        castle: String,
    },
    /// The castle that the names point to lives.
    OldCastleLives {
        /// This castle.
        castle: String,
        /// How that is known.
        why: String,
    },
    /// Nothing says whether the castle that the names point to lives.
    OldCastleUnknown {
        /// This castle.
        castle: String,
        /// What was looked at.
        why: String,
    },
    /// What was typed to say that the old castle is dead is not the castle's name.
    NotSaidDead {
        /// What was typed.
        typed: String,
        /// What it is called.
        castle: String,
    },
    /// The lease may still be ours, but the store does not say so.
    LeaseUnsure(String),
    /// The lease was ours and is not any more.
    LeaseLost(String),
    /// The lease object is not what we wrote.
    LeaseUnreadable(String),
    /// The castle answered, but not as its owner says it must.
    Unhealthy {
        /// The URL asked.
        url: String,
        /// What came.
        seen: String,
    },
    /// The lock file is for another version of Kubernetes than the castle file.
    LockMismatch {
        /// In the castle file.
        castle: String,
        /// In the lock file.
        lock: String,
    },
    /// The castle file names no bucket for the vault.
    NoVaultPlace,
    /// The vault was not put into its bucket.
    VaultNotPushed {
        /// Bucket and key.
        place: String,
        /// Why.
        why: String,
    },
    /// The commit to be reborn from is not on the branch any more.
    RevisionGone {
        /// The commit.
        revision: String,
        /// The branch.
        branch: String,
        /// Why this commit was wanted.
        because: String,
    },
    /// A step asked for something that no step before it has given.
    NotThere(&'static str),
}

impl Explain for RebirthError {
    fn what(&self) -> String {
        match self {
            RebirthError::LeaseHeld { .. } => "Another rebirth of this castle is at work".into(),
            RebirthError::OtherCastle { .. } => "Nothing was taken over".into(),
            RebirthError::OldCastleLives { .. } => "The names were not moved: the old castle lives".into(),
            RebirthError::OldCastleUnknown { .. } => {
                "The names were not moved: nobody knows whether the old castle is dead".into()
            }
            RebirthError::NotSaidDead { .. } => "Nothing was done".into(),
            RebirthError::LeaseLost(_) => "The lease of this castle was lost".into(),
            RebirthError::LeaseUnsure(_) => "The lease of this castle could not be renewed".into(),
            RebirthError::LeaseUnreadable(_) => "The lease of this castle can't be read".into(),
            RebirthError::Unhealthy { url, .. } => format!("{url} does not answer as it should"),
            RebirthError::LockMismatch { .. } => "castle.yaml and castle.lock do not fit together".into(),
            RebirthError::NoVaultPlace => "The vault has no place to go to".into(),
            RebirthError::VaultNotPushed { place, .. } => format!("The vault at {place} was left as it is"),
            RebirthError::RevisionGone { revision, branch, .. } => {
                let short = revision.get(..12).unwrap_or(revision);
                format!("Commit {short} is no longer on the branch `{branch}`")
            }
            RebirthError::NotThere(_) => "A step of the rebirth lacks its input".into(),
        }
    }

    fn why(&self) -> String {
        match self {
            RebirthError::LeaseHeld { holder, from, since } => {
                format!("run {holder} {from} has held the lease since {since} and keeps renewing it")
            }
            RebirthError::OldCastleLives { why, .. } | RebirthError::OldCastleUnknown { why, .. } => why.clone(),
            RebirthError::OtherCastle { typed, castle } | RebirthError::NotSaidDead { typed, castle } => {
                format!("the castle here is called `{castle}`, not `{typed}`")
            }
            RebirthError::LeaseLost(seen) | RebirthError::LeaseUnsure(seen) | RebirthError::LeaseUnreadable(seen) => {
                seen.clone()
            }
            RebirthError::Unhealthy { seen, .. } => seen.clone(),
            RebirthError::LockMismatch { castle, lock } => {
                format!("castle.yaml wants Kubernetes {castle}, castle.lock was made for {lock}")
            }
            RebirthError::NoVaultPlace => "castle.yaml has no `vault.s3`".into(),
            RebirthError::VaultNotPushed { why, .. } => why.clone(),
            RebirthError::RevisionGone { because, .. } => format!(
                "it was to be reborn from ({because}), but the whole history of the branch was looked through: it was rewritten since \
                 (a force push)"
            ),
            RebirthError::NotThere(what) => format!("{what} was not there"),
        }
    }

    fn remedy(&self) -> String {
        match self {
            RebirthError::LeaseHeld { .. } => {
                "Let it finish, or stop it there. If that can't be done, take the castle over from here: type its name when asked, \
                 or say `--take-over NAME`."
                    .into()
            }
            RebirthError::OtherCastle { .. } => "Type the name of the castle that is to be taken over.".into(),
            RebirthError::OldCastleLives { castle, .. } => format!(
                "What was built stands and waits. Switch the old castle off (or its pulse job and its entry), then start again: it \
                 goes on from here. If the names are to leave a living castle, say `--old-castle-is-dead {castle}`, or type that \
                 name on the console when asked."
            ),
            RebirthError::OldCastleUnknown { castle, .. } => format!(
                "If you know that it is dead, start again and say `--old-castle-is-dead {castle}` (on the console: type that name \
                 when asked). If it never had the pulse job, `oldCastle: {{pulse: none}}` in castle.yaml says so for good."
            ),
            RebirthError::NotSaidDead { .. } => "Type the name of the castle whose old one is dead.".into(),
            RebirthError::LeaseUnsure(_) => {
                "Check that the state bucket can be reached from here; what waits for it goes on by itself.".into()
            }
            RebirthError::LeaseLost(_) => {
                "Nothing more is changed from here. See what runs elsewhere with `skykeep status`.".into()
            }
            RebirthError::LeaseUnreadable(_) => {
                "Look at the object lease.json in the state bucket; restore an older version of it, or delete it when \
                 no castle stands."
                    .into()
            }
            RebirthError::Unhealthy { .. } => {
                "DNS was not touched. Look at the application with kubectl; start again when it answers.".into()
            }
            RebirthError::LockMismatch { .. } => "Make the lock again with `skykeep lock`.".into(),
            RebirthError::NoVaultPlace => {
                "Add `vault.s3` (bucket, key, region, accessKeyId, secretAccessKey), or copy vault.skv to the address of \
                 `vault.url` yourself."
                    .into()
            }
            RebirthError::VaultNotPushed { .. } => {
                "If the one there is yours and newer, fetch it with `skykeep vault pull`. If it must go, and only then: \
                 `skykeep vault push --replace` (never over a newer version of this vault)."
                    .into()
            }
            RebirthError::RevisionGone { .. } => {
                "Choose: `--head` (on the console: type `head` when asked) takes the branch as it is now, which no castle has run yet; \
                 `gitops.revision` in castle.yaml names another commit of it; or push the old history back."
                    .into()
            }
            RebirthError::NotThere(_) => "This is a fault of the program: please report it with this text.".into(),
        }
    }

    fn is_transient(&self) -> bool {
        matches!(self, RebirthError::Unhealthy { .. } | RebirthError::LeaseUnsure(_))
    }
}
