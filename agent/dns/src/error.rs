//! What can go wrong with DNS.

use skykeep_core::Explain;

/// An error of the DNS supplier or of the name servers.
#[derive(Debug, thiserror::Error)]
#[error("{}: {}", Explain::what(self), Explain::why(self))]
pub enum DnsError {
    /// The supplier did not answer.
    Unreachable(String),
    /// The token is not one of the supplier's.
    Token(String),
    /// The token may not do this in the zone.
    Permission {
        /// The zone.
        zone: String,
        /// What the supplier said.
        why: String,
    },
    /// The token by which other tokens are switched may not do that.
    EditsTokens(String),
    /// A token that is to be switched is not there.
    NoToken {
        /// Its id.
        id: String,
        /// What the supplier said.
        why: String,
    },
    /// The zone is not in the account, or the token can't see it.
    NoZone(String),
    /// The supplier does not serve the zone at present.
    NotActive {
        /// The zone.
        zone: String,
        /// Its state.
        status: String,
    },
    /// The supplier refused a change; nothing of it was made.
    Refused(String),
    /// The supplier asks to slow down.
    Throttled(String),
    /// An answer that makes no sense.
    Rubbish {
        /// What is wrong.
        why: String,
        /// Whether it may pass by itself.
        passing: bool,
    },
    /// A name server failed or could not be asked.
    ServerFailed {
        /// Where it is.
        server: String,
        /// What happened.
        why: String,
    },
    /// A name server does not serve the zone as its primary.
    NotPrimary {
        /// Where it is.
        server: String,
        /// The zone.
        zone: String,
    },
    /// The shared key is not one that the name server knows.
    Key(String),
    /// The name server knows the key and forbids what it was used for.
    KeyMayNot {
        /// Where it is.
        server: String,
        /// The zone.
        zone: String,
    },
    /// Records changed between our reading and our writing.
    ChangedMeanwhile(String),
    /// A name of the castle file is not in the zone.
    Foreign {
        /// The name.
        name: String,
        /// The zone.
        zone: String,
    },
    /// There is no address to point at.
    NoAddress,
    /// No name server could be found or asked.
    Servers(String),
}

impl Explain for DnsError {
    fn what(&self) -> String {
        match self {
            Self::Unreachable(_) => "Cloudflare can't be reached".into(),
            Self::Token(_) => "Cloudflare does not know our token".into(),
            Self::Permission { zone, .. } => format!("Our token may not change the DNS records of {zone}"),
            Self::EditsTokens(_) => "Our token can't switch other API tokens at Cloudflare".into(),
            Self::NoToken { id, .. } => format!("The API token {id} can't be switched at Cloudflare"),
            Self::NoZone(zone) => format!("Our token sees no zone {zone} at Cloudflare"),
            Self::NotActive { zone, .. } => format!("Cloudflare does not serve {zone}"),
            Self::Refused(_) => "Cloudflare refused the change; nothing of it was made".into(),
            Self::Throttled(_) => "Cloudflare asks us to slow down".into(),
            Self::Rubbish { .. } => "Cloudflare gave an answer that can't be used".into(),
            Self::ServerFailed { server, .. } => format!("The name server {server} can't be used"),
            Self::NotPrimary { server, zone } => format!("The name server {server} takes no changes of {zone}"),
            Self::Key(_) => "The shared key (TSIG) does not fit the name server's".into(),
            Self::KeyMayNot { server, zone } => format!("Our key may not read or change {zone} at {server}"),
            Self::ChangedMeanwhile(zone) => format!("Nothing was written to {zone}"),
            Self::Foreign { name, zone } => format!("{name} is not a name of the zone {zone}"),
            Self::NoAddress => "There is no address that the names could point at".into(),
            Self::Servers(_) => "The name servers of the zone can't be asked".into(),
        }
    }

    fn why(&self) -> String {
        match self {
            Self::Unreachable(why)
            | Self::Token(why)
            | Self::EditsTokens(why)
            | Self::Refused(why)
            | Self::Throttled(why)
            | Self::Servers(why) => why.clone(),
            Self::Permission { why, .. } | Self::NoToken { why, .. } | Self::Rubbish { why, .. } => why.clone(),
            Self::NoZone(_) => "it is in another account, or the token lacks the permission Zone: Read for it".into(),
            Self::NotActive { status, .. } => format!("its status is `{status}`"),
            Self::ServerFailed { why, .. } => why.clone(),
            Self::NotPrimary { .. } => "it is not the zone's primary".into(),
            Self::Key(why) => why.clone(),
            Self::KeyMayNot { .. } => "it answered REFUSED".into(),
            Self::ChangedMeanwhile(_) => {
                "somebody changed the records between our reading and our writing, so the server made nothing of it"
                    .into()
            }
            Self::Foreign { .. } => "castle.yaml lists it among the names that move".into(),
            Self::NoAddress => "the entry has none".into(),
        }
    }

    fn remedy(&self) -> String {
        match self {
            Self::Unreachable(_) | Self::Throttled(_) => "Look at the network, wait a minute and start again.",
            Self::Token(_) => "Make a token with Zone: Read and DNS: Edit for this zone, and put it where castle.yaml looks for it.",
            Self::EditsTokens(_) => {
                "Make a token with the permission API Tokens: Edit, nothing else, and put it where `oldCastle.takeAway.cloudflare.with` looks for it."
            }
            Self::NoToken { .. } => {
                "Take its id anew from the token's page at Cloudflare, or take it out of `oldCastle.takeAway` when it was deleted."
            }
            Self::Permission { .. } | Self::NoZone(_) => {
                "At Cloudflare, give the token Zone: Read and DNS: Edit for this zone (My Profile, API Tokens), or mend `dns.cloudflare.zone`."
            }
            Self::NotActive { .. } => "Finish the zone's set-up at Cloudflare (name servers at the registrar), then start again.",
            Self::Refused(_) => "Read Cloudflare's words; change the records by hand if they stand in the way, then start again.",
            Self::Rubbish { .. } => "Start again; if it stays, look at Cloudflare's status page.",
            Self::ServerFailed { .. } => "Look at the server and at the network (TCP port 53), then start again.",
            Self::NotPrimary { .. } => "Name the zone's primary server in `dns.rfc2136.server`.",
            Self::Key(_) => {
                "Compare the key's name, algorithm and secret with the server's configuration, let it transfer and update the zone \
                 (Knot: `acl` with `action: [transfer, update]`), and compare both clocks: five minutes apart is too much."
            }
            Self::KeyMayNot { .. } => {
                "Let the key transfer and update the zone (Knot: `acl` with `action: [transfer, update]`; BIND: `allow-transfer` and \
                 `update-policy`)."
            }
            Self::ChangedMeanwhile(_) => "Start again: it is planned anew from what stands there now.",
            Self::Foreign { .. } => "Write full names that end with the zone's name.",
            Self::NoAddress => "This is a fault of the program: please report it with this text.",
            Self::Servers(_) => "Check that this network lets DNS (port 53, UDP and TCP) out, then start again.",
        }
        .into()
    }

    fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable(_)
                | Self::Throttled(_)
                | Self::Servers(_)
                | Self::ServerFailed { .. }
                | Self::ChangedMeanwhile(_)
                | Self::Rubbish { passing: true, .. }
        )
    }
}
