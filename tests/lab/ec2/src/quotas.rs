//! Service Quotas: the three quotas that a castle meets. JSON in and out.

use serde_json::{Value, json};

use crate::config::Config;
use crate::error::{ApiError, Result};

/// GetServiceQuota (only what was raised for this account) and GetAWSDefaultServiceQuota.
pub fn call(cfg: &Config, action: &str, body: &[u8]) -> Result<Value> {
    let applied = match action {
        "GetServiceQuota" => true,
        "GetAWSDefaultServiceQuota" => false,
        _ => return Err(ApiError::bad("UnknownOperationException", "")),
    };
    let ask: Value =
        serde_json::from_slice(body).map_err(|_| ApiError::bad("SerializationException", "the body is no JSON"))?;
    let text = |name: &str| ask.get(name).and_then(Value::as_str).unwrap_or_default();
    let vcpus = f64::from(i32::try_from(cfg.quotas.vcpus).unwrap_or(i32::MAX));
    let small = |n: usize| f64::from(u32::try_from(n).unwrap_or(u32::MAX));
    let all = [
        (
            "ec2",
            "L-1216C47A",
            "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances",
            vcpus,
            5.0,
        ),
        (
            "ec2",
            "L-0263D0A3",
            "EC2-VPC Elastic IPs",
            small(cfg.quotas.addresses),
            5.0,
        ),
        ("vpc", "L-F678F1CE", "VPCs per Region", small(cfg.quotas.vpcs), 5.0),
    ];
    let (service, code) = (text("ServiceCode"), text("QuotaCode"));
    let found = all.iter().find(|(s, c, ..)| *s == service && *c == code);
    // As at AWS, a quota that was never raised has no applied value.
    let found = found.filter(|(.., value, default)| !applied || value != default);
    let (_, _, name, value, default) = found.ok_or_else(|| {
        ApiError::bad(
            "NoSuchResourceException",
            "The request failed because the specified quota does not exist.",
        )
    })?;
    Ok(json!({"Quota": {
        "ServiceCode": service,
        "QuotaCode": code,
        "QuotaName": name,
        "QuotaArn": format!("arn:aws:servicequotas:{}:{}:{service}/{code}", cfg.region, cfg.account),
        "Value": if applied { value } else { default },
        "Unit": "None",
        "Adjustable": true,
        "GlobalQuota": false,
    }}))
}
