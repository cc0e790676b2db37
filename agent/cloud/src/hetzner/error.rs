use skykeep_core::Explain;

/// What Hetzner's API can answer instead of what was asked for.
#[derive(Debug)]
pub enum HetznerError {
    /// No answer, or only a part of one: what was asked may have been carried out.
    NoAnswer(String),
    /// An answer that can't be read.
    Unreadable(String),
    /// A refusal.
    Refused {
        /// HTTP status.
        status: u16,
        /// Hetzner's code, for example `resource_unavailable`.
        code: String,
        /// Its words.
        message: String,
    },
    /// An action that began and failed.
    Failed {
        /// For example `create_server`.
        command: String,
        /// Hetzner's code.
        code: String,
        /// Its words.
        message: String,
    },
    /// What is stored is no token.
    NoToken,
}

/// Codes that mean: not now, without anybody changing anything.
const PASSING: [&str; 10] = [
    "rate_limit_exceeded",
    "conflict",
    "locked",
    "maintenance",
    "timeout",
    "unavailable",
    "service_error",
    "server_error",
    "bad_gateway",
    "robot_unavailable",
];

impl HetznerError {
    /// Hetzner's code, if it gave one.
    pub fn code(&self) -> Option<&str> {
        match self {
            HetznerError::Refused { code, .. } | HetznerError::Failed { code, .. } => Some(code),
            _ => None,
        }
    }

    /// Whether the request may have been carried out although it failed for us.
    pub(super) fn is_unanswered(&self) -> bool {
        match self {
            HetznerError::NoAnswer(_) | HetznerError::Unreadable(_) => true,
            HetznerError::Refused { status, .. } => *status >= 500,
            _ => false,
        }
    }

    /// Whether Hetzner has no machine of this type at this place now, but may have one of another type.
    pub(super) fn is_no_machine(&self) -> bool {
        matches!(self.code(), Some("resource_unavailable" | "placement_error"))
    }

    /// Whether Hetzner does not know the thing.
    pub(super) fn is_not_found(&self) -> bool {
        self.code() == Some("not_found")
    }
}

impl Explain for HetznerError {
    fn what(&self) -> String {
        match self {
            HetznerError::NoAnswer(_) => "Hetzner did not answer".into(),
            HetznerError::Unreadable(_) => "Hetzner's answer can't be read".into(),
            HetznerError::Refused { .. } => "Hetzner refused".into(),
            HetznerError::Failed { command, .. } => format!("Hetzner began `{command}`, and it failed"),
            HetznerError::NoToken => "there is no token for Hetzner".into(),
        }
    }

    fn why(&self) -> String {
        match self {
            HetznerError::NoAnswer(why) | HetznerError::Unreadable(why) => why.clone(),
            HetznerError::Refused { code, message, .. } | HetznerError::Failed { code, message, .. } => {
                format!("{message} ({code})")
            }
            HetznerError::NoToken => "what is stored under `cloud.hetzner.token` is something else".into(),
        }
    }

    fn remedy(&self) -> String {
        let text = match self.code() {
            _ if matches!(self, HetznerError::NoToken) => {
                "Store the token as Hetzner's console shows it once: 64 letters and digits."
            }
            Some("unauthorized") => {
                "Make a new API token in the project's console (Security, API tokens: read and write) and store it."
            }
            Some("forbidden" | "token_readonly") => {
                "The token may only read: make one with read and write permission in the project's console."
            }
            Some("resource_limit_exceeded") => {
                "Ask Hetzner for a higher limit in the console (Limits), or make the castle smaller; what stands is adopted at the next start."
            }
            Some("invalid_input" | "json_error" | "unsupported_error") => {
                "Compare `cloud.hetzner` in castle.yaml with what the console offers at that place."
            }
            Some("protected") => "Take the protection away in the console, then start again.",
            Some("uniqueness_error") => "Look in the project's console who has that name.",
            _ if self.is_transient() => "Start again in a few minutes; what stands is adopted.",
            _ => "Look at Hetzner's words above and at its status page, then start again.",
        };
        text.into()
    }

    fn is_transient(&self) -> bool {
        match self {
            HetznerError::NoAnswer(_) | HetznerError::Unreadable(_) => true,
            HetznerError::Refused { status, code, .. } => *status >= 500 || PASSING.contains(&code.as_str()),
            HetznerError::Failed { code, .. } => PASSING.contains(&code.as_str()),
            HetznerError::NoToken => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_says_what_to_do() {
        let texts: Vec<String> = [
            (401, "unauthorized", "unable to authenticate"),
            (403, "token_readonly", "token is only allowed to perform GET requests"),
            (403, "resource_limit_exceeded", "server limit exceeded"),
            (412, "resource_unavailable", "error during placement"),
            (422, "invalid_input", "unsupported location for server type"),
            (423, "locked", "server is locked"),
            (429, "rate_limit_exceeded", "limit of 3600 requests per hour reached"),
        ]
        .into_iter()
        .map(|(status, code, message)| {
            let error = HetznerError::Refused {
                status,
                code: code.into(),
                message: message.into(),
            };
            format!("{}: {}. {}", error.what(), error.why(), error.remedy())
        })
        .collect();
        insta::assert_snapshot!(texts.join("\n"));
    }
}
