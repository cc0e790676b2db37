//! The shapes of Cloudflare's answers.

use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::records::Record;
use super::{NAME_SERVERS, Refusal, ZONE};
use crate::credentials::CLOUDFLARE_ZONE;
use crate::http::{self as web, Body, param, random_hex, set};

/// A single result.
pub fn one(status: StatusCode, result: Value) -> Response<Body> {
    web::json(
        status,
        &json!({"result": result, "success": true, "errors": [], "messages": []}),
    )
}

/// A refusal.
pub fn refusal(refusal: &Refusal) -> Response<Body> {
    let mut error = json!({"code": refusal.code, "message": refusal.message});
    if let Some((code, message)) = &refusal.chain {
        error["error_chain"] = json!([{"code": code, "message": message}]);
    }
    web::json(
        refusal.status,
        &json!({"result": null, "success": false, "errors": [error], "messages": []}),
    )
}

/// What every answer carries.
pub fn finish(mut response: Response<Body>) -> Response<Body> {
    set(response.headers_mut(), "cf-ray", &format!("{}-FRA", random_hex(8)));
    set(response.headers_mut(), "server", "cloudflare");
    response
}

/// The zone.
pub fn zone() -> Value {
    json!({
        "id": CLOUDFLARE_ZONE, "name": ZONE, "status": "active", "paused": false, "type": "full", "development_mode": 0,
        "name_servers": NAME_SERVERS, "original_name_servers": null, "original_registrar": null, "original_dnshost": null,
        "created_on": "2025-01-01T05:20:00.12345Z", "modified_on": "2025-01-01T05:20:00.12345Z",
        "activated_on": "2025-01-02T00:01:00.12345Z",
        "meta": {"step": 4, "custom_certificate_quota": 0, "page_rule_quota": 3, "phishing_detected": false},
        "owner": {"id": null, "type": "user", "email": null}, "account": {"id": "01a7362d577a6c3019a474fd6f485823", "name": "Rossi"},
        "permissions": ["#dns_records:edit", "#dns_records:read", "#zone:read"],
        "plan": {"id": "0feeeeeeeeeeeeeeeeeeeeeeeeeeeeee", "name": "Free Website", "price": 0, "currency": "USD", "frequency": "",
                 "is_subscribed": false, "can_subscribe": false, "legacy_id": "free", "legacy_discount": false, "externally_managed": false},
    })
}

/// The zones that a query selects.
pub fn zones(query: &[(String, String)]) -> Response<Body> {
    let selected = param(query, "name").is_none_or(|name| name == ZONE)
        && param(query, "status").is_none_or(|status| status == "active");
    paged(if selected { vec![zone()] } else { Vec::new() }, query, 20, 50)
}

/// The records that a query selects, a page of them.
pub fn list(records: &[Record], query: &[(String, String)]) -> Response<Body> {
    let filters: Vec<(&str, &str)> = query
        .iter()
        .map(|(key, value)| (key.as_str(), value.as_str()))
        .collect();
    let any = param(query, "match") == Some("any");
    let fits = |record: &Record| {
        let mut verdicts = filters.iter().filter_map(|(key, value)| {
            let same = |text: &str| text.eq_ignore_ascii_case(value);
            Some(match *key {
                "name" | "name.exact" => same(&record.name),
                "name.contains" => record.name.contains(&value.to_ascii_lowercase()),
                "type" => same(&record.kind),
                "content" | "content.exact" => same(&record.content),
                "content.contains" => record.content.contains(*value),
                "comment" | "comment.exact" => record.comment.as_deref().is_some_and(same),
                "proxied" => record.proxied.to_string() == *value,
                _ => return None,
            })
        });
        if any {
            verdicts.any(|verdict| verdict) || !filters.iter().any(|(key, _)| key.contains("name"))
        } else {
            verdicts.all(|verdict| verdict)
        }
    };
    let mut selected: Vec<&Record> = records.iter().filter(|record| fits(record)).collect();
    selected.sort_by_key(|record| (&record.kind, &record.name));
    if param(query, "direction") == Some("desc") {
        selected.reverse();
    }
    paged(
        selected.into_iter().map(Record::to_json).collect(),
        query,
        100,
        5_000_000,
    )
}

fn paged(all: Vec<Value>, query: &[(String, String)], default: usize, most: usize) -> Response<Body> {
    let number = |name: &str, default: usize| {
        param(query, name)
            .and_then(|value| value.parse::<usize>().ok())
            .unwrap_or(default)
    };
    let (page, per_page) = (number("page", 1).max(1), number("per_page", default).clamp(1, most));
    let total = all.len();
    let result: Vec<Value> = all
        .into_iter()
        .skip((page - 1).saturating_mul(per_page))
        .take(per_page)
        .collect();
    let info = json!({
        "page": page, "per_page": per_page, "count": result.len(), "total_count": total, "total_pages": total.div_ceil(per_page),
    });
    web::json(
        StatusCode::OK,
        &json!({"result": result, "success": true, "errors": [], "messages": [], "result_info": info}),
    )
}
