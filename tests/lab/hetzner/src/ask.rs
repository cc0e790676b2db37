//! One request, and a strict look at what it carries.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::error::{Refusal, Result};

/// What a field holds.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Text,
    Number,
    Bool,
    List,
    Object,
    /// A name or an id.
    NameOrId,
}

pub(crate) struct Asked {
    pub query: BTreeMap<String, Vec<String>>,
    pub body: Map<String, Value>,
}

impl Asked {
    /// Every field is known and of its kind, none that is required is missing.
    pub fn fields(&self, known: &[(&str, bool, Kind)]) -> Result<()> {
        check(&self.body, known)
    }

    pub fn text(&self, key: &str) -> &str {
        self.body.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    pub fn number(&self, key: &str) -> Option<u64> {
        self.body.get(key).and_then(Value::as_u64)
    }

    pub fn list(&self, key: &str) -> &[Value] {
        self.body.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    pub fn one(&self, key: &str) -> Option<&str> {
        self.query.get(key).and_then(|all| all.first()).map(String::as_str)
    }

    /// Only these may stand in the query, besides those of pages and order.
    pub fn only(&self, known: &[&str]) -> Result<()> {
        let pages = ["page", "per_page", "sort"];
        match self
            .query
            .keys()
            .find(|k| !known.contains(&k.as_str()) && !pages.contains(&k.as_str()))
        {
            Some(strange) => Err(Refusal::invalid(strange, "Unknown field.")),
            None => Ok(()),
        }
    }
}

pub(crate) fn check(object: &Map<String, Value>, known: &[(&str, bool, Kind)]) -> Result<()> {
    for (name, required, kind) in known {
        let value = match object.get(*name) {
            None | Some(Value::Null) if *required => {
                return Err(Refusal::invalid(name, "Missing data for required field."));
            }
            None | Some(Value::Null) => continue,
            Some(value) => value,
        };
        let (fits, why) = match kind {
            Kind::Text => (value.is_string(), "Not a valid string."),
            Kind::Number => (value.is_u64(), "Not a valid integer."),
            Kind::Bool => (value.is_boolean(), "Not a valid boolean."),
            Kind::List => (value.is_array(), "Not a valid list."),
            Kind::Object => (value.is_object(), "Not a valid object."),
            Kind::NameOrId => (value.is_string() || value.is_u64(), "Not a valid name or id."),
        };
        if !fits {
            return Err(Refusal::invalid(name, why));
        }
    }
    match object.keys().find(|key| !known.iter().any(|(name, ..)| name == key)) {
        Some(strange) => Err(Refusal::invalid(strange, "Unknown field.")),
        None => Ok(()),
    }
}

/// An inner object of a body, checked.
pub(crate) fn inner<'a>(value: &'a Value, field: &str, known: &[(&str, bool, Kind)]) -> Result<&'a Map<String, Value>> {
    let object = value
        .as_object()
        .ok_or_else(|| Refusal::invalid(field, "Not a valid object."))?;
    check(object, known)?;
    Ok(object)
}
