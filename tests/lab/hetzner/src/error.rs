//! Refusals, with the codes and words of the API's reference. The statuses of 401, 403, 404, 409, 412, 422, 423 and 429 are as they are
//! seen in the wild; no client looks at them, only at the code.

use serde_json::{Value, json};

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub status: u16,
    pub code: &'static str,
    pub message: String,
    pub details: Value,
}

pub(crate) type Result<T, E = Refusal> = std::result::Result<T, E>;

impl Refusal {
    pub fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            details: Value::Null,
        }
    }

    pub fn invalid(field: &str, why: &str) -> Self {
        Self {
            details: json!({"fields": [{"name": field, "messages": [why]}]}),
            ..Self::new(422, "invalid_input", format!("invalid input in field '{field}': {why}"))
        }
    }

    pub fn not_found(what: &str, id: u64) -> Self {
        Self::new(404, "not_found", format!("{what} with ID '{id}' not found"))
    }

    pub fn taken(field: &str) -> Self {
        Self {
            details: json!({"fields": [{"name": field}]}),
            ..Self::new(409, "uniqueness_error", format!("{field} is already used"))
        }
    }

    pub fn locked(what: &str) -> Self {
        Self::new(423, "locked", format!("{what} is locked"))
    }

    pub fn limit(what: &str) -> Self {
        Self::new(403, "resource_limit_exceeded", format!("{what} limit exceeded"))
    }

    pub fn in_use(what: &str) -> Self {
        Self::new(409, "resource_in_use", format!("{what} is still in use"))
    }

    pub fn no_machine() -> Self {
        Self::new(412, "resource_unavailable", "error during placement")
    }

    pub fn body(&self) -> Value {
        json!({"error": {"code": self.code, "message": self.message, "details": self.details}})
    }
}
