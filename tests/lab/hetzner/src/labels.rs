//! Labels: their syntax, and selectors over them.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::error::{Refusal, Result};

pub(crate) type Labels = BTreeMap<String, String>;

/// Letters, digits, and between them also `-`, `_`, `.`; at most `longest`.
fn is_word(text: &str, longest: usize) -> bool {
    let edge = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
    text.len() <= longest
        && edge(text.bytes().next())
        && edge(text.bytes().last())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

fn is_key(key: &str) -> bool {
    match key.split_once('/') {
        Some((prefix, name)) => is_word(prefix, 253) && !prefix.starts_with("hetzner.cloud") && is_word(name, 63),
        None => is_word(key, 63),
    }
}

/// The labels of a request.
pub(crate) fn read(value: Option<&Value>) -> Result<Labels> {
    let Some(value) = value else { return Ok(Labels::new()) };
    let object = value
        .as_object()
        .ok_or_else(|| Refusal::invalid("labels", "not an object"))?;
    let mut labels = Labels::new();
    for (key, value) in object {
        let value = value
            .as_str()
            .ok_or_else(|| Refusal::invalid("labels", "values must be strings"))?;
        if !is_key(key) || !(value.is_empty() || is_word(value, 63)) {
            return Err(Refusal::invalid(
                "labels",
                &format!("label {key}={value} is not correctly formatted"),
            ));
        }
        labels.insert(key.clone(), value.to_owned());
    }
    Ok(labels)
}

/// Whether labels fulfil every term of a selector: `k`, `!k`, `k=v`, `k==v`, `k!=v`, `k in (a,b)`, `k notin (a,b)`.
pub(crate) fn select(selector: &str, labels: &Labels) -> Result<bool> {
    let mut all = true;
    for term in terms(selector) {
        let bad = || Refusal::invalid("label_selector", &format!("`{term}` can't be parsed"));
        let has = |key: &str, value: &str| labels.get(key.trim()).is_some_and(|v| v == value.trim());
        let set = |list: &str| -> Option<Vec<String>> {
            let list = list.trim().strip_prefix('(')?.strip_suffix(')')?;
            Some(list.split(',').map(|v| v.trim().to_owned()).collect())
        };
        all &= if let Some((key, list)) = term.split_once(" notin ") {
            !set(list).ok_or_else(bad)?.iter().any(|v| has(key, v))
        } else if let Some((key, list)) = term.split_once(" in ") {
            set(list).ok_or_else(bad)?.iter().any(|v| has(key, v))
        } else if let Some((key, value)) = term.split_once("!=") {
            !has(key, value)
        } else if let Some((key, value)) = term.split_once("==").or_else(|| term.split_once('=')) {
            has(key, value)
        } else if let Some(key) = term.strip_prefix('!') {
            !labels.contains_key(key.trim())
        } else if is_key(term) {
            labels.contains_key(term)
        } else {
            return Err(bad());
        };
    }
    Ok(all)
}

/// The terms between the commas that stand in no parenthesis.
fn terms(selector: &str) -> Vec<&str> {
    let (mut depth, mut from, mut terms) = (0, 0, Vec::new());
    for (at, c) in selector.char_indices() {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                terms.push(selector.get(from..at).unwrap_or_default().trim());
                from = at + 1;
            }
            _ => {}
        }
    }
    terms.push(selector.get(from..).unwrap_or_default().trim());
    terms
}
