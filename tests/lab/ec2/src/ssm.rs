//! SSM: only the public parameters that name machine images.

use serde_json::{Value, json};

use crate::config::Config;
use crate::error::{ApiError, Result};

/// GetParameter, JSON in and out.
pub fn call(cfg: &Config, action: &str, body: &[u8], now: jiff::Timestamp) -> Result<Value> {
    if action != "GetParameter" {
        return Err(ApiError::bad("UnknownOperationException", ""));
    }
    let ask: Value =
        serde_json::from_slice(body).map_err(|_| ApiError::bad("SerializationException", "the body is no JSON"))?;
    let name = ask.get("Name").and_then(Value::as_str).ok_or_else(|| {
        ApiError::bad(
            "ValidationException",
            "1 validation error detected: Value null at 'name' failed to satisfy constraint: Member must not be null",
        )
    })?;
    let value = cfg
        .parameters
        .get(name)
        .ok_or_else(|| ApiError::bad("ParameterNotFound", ""))?;
    Ok(json!({"Parameter": {
        "ARN": format!("arn:aws:ssm:{}::parameter{name}", cfg.region),
        "DataType": "aws:ec2:image",
        "LastModifiedDate": now.as_second() - 86_400,
        "Name": name,
        "Type": "String",
        "Value": value,
        "Version": 1,
    }}))
}
