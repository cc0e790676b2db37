//! Many changes in one transaction: deletes, patches, puts, posts, in this order; all or none.

use http::StatusCode;
use serde_json::{Value, json};

use super::Refusal;
use super::records::{self, Record};

/// The free plan's limit.
const LIMIT: usize = 200;

/// Applies the batch to `records`; on an error the caller throws `records` away.
pub fn apply(records: &mut Vec<Record>, body: &Value) -> Result<Value, Refusal> {
    let part = |name: &str| {
        body.get(name)
            .and_then(Value::as_array)
            .map_or(&[] as &[Value], Vec::as_slice)
    };
    let total = ["deletes", "patches", "puts", "posts"]
        .iter()
        .map(|name| part(name).len())
        .sum::<usize>();
    if total == 0 {
        return Err(Refusal::invalid(
            9207,
            "Request body is invalid: no operation in the batch.",
        ));
    }
    if total > LIMIT {
        return Err(Refusal::new(
            StatusCode::BAD_REQUEST,
            81045,
            format!("A batch may hold at most {LIMIT} operations."),
        ));
    }
    let id = |operation: &Value| {
        operation
            .get("id")
            .and_then(Value::as_str)
            .map(str::to_owned)
            .ok_or_else(|| Refusal::invalid(9207, "id is required."))
    };
    let mut done = json!({"deletes": null, "patches": null, "puts": null, "posts": null});
    let mut note = |name: &str, results: Vec<Value>| {
        if body.get(name).is_some() {
            done[name] = results.into();
        }
    };
    let mut results = Vec::new();
    for operation in part("deletes") {
        results.push(records::delete(records, &id(operation)?)?.to_json());
    }
    note("deletes", std::mem::take(&mut results));
    for operation in part("patches") {
        results.push(records::edit(records, &id(operation)?, operation)?.to_json());
    }
    note("patches", std::mem::take(&mut results));
    for operation in part("puts") {
        results.push(records::overwrite(records, &id(operation)?, operation)?.to_json());
    }
    note("puts", std::mem::take(&mut results));
    for operation in part("posts") {
        results.push(records::create(records, operation)?.to_json());
    }
    note("posts", results);
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delete_makes_room_for_a_post_of_the_same_batch() {
        let mut records = records::old_castle();
        let body = json!({
            "posts": [{"type": "CNAME", "name": "blog", "content": "elsewhere.example"}],
            "deletes": [{"id": records[0].id}],
        });
        let done = apply(&mut records, &body).unwrap();
        assert_eq!(done["posts"][0]["type"], "CNAME");
        assert!(done["puts"].is_null());
    }

    #[test]
    fn an_unknown_id_fails_the_whole_batch() {
        let mut records = records::old_castle();
        let body = json!({"posts": [{"type": "A", "name": "n", "content": "192.0.2.1"}], "deletes": [{"id": "none"}]});
        assert_eq!(apply(&mut records, &body).unwrap_err().code, 81044);
    }
}
