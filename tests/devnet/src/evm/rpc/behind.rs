//! What a node says that does not have the newest blocks yet.

use serde_json::{Value, json};

use super::params;
use crate::RpcError;

/// The parameters as they are understood there; none if they ask for a block that is not there.
pub(super) fn asked(method: &str, params: &Value, newest: u64) -> Option<Value> {
    let mut params = params.clone();
    if method == "eth_getLogs" {
        let filter = params.get_mut(0)?;
        let last = filter.get("toBlock").and_then(params::small).map_or(newest, |last| last.min(newest));
        filter["toBlock"] = json!(format!("{last:#x}"));
        if filter.get("fromBlock").and_then(params::small).is_some_and(|first| first > last) {
            // Nothing is that new: an empty range at its end.
            filter["address"] = json!([format!("{:?}", alloy_primitives::Address::ZERO)]);
            filter["fromBlock"] = filter["toBlock"].clone();
        }
        return Some(params);
    }
    for param in params.as_array_mut()? {
        match param.as_str() {
            Some("latest" | "pending") => *param = json!(format!("{newest:#x}")),
            // A hash and an address are no numbers.
            Some(text) if text.len() < 20 && params::small(param).is_some_and(|number| number > newest) => return None,
            _ => {}
        }
    }
    Some(params)
}

/// The answer as far as it is there: a transaction in a later block is in none.
pub(super) fn seen(answer: Value, newest: u64) -> Value {
    let later = answer.get("blockNumber").and_then(params::small).is_some_and(|number| number > newest);
    if later { Value::Null } else { answer }
}

/// The answer to a question about a block that is not there.
pub(super) fn missing(method: &str) -> Result<Value, RpcError> {
    if method == "eth_getBlockByNumber" { Ok(Value::Null) } else { Err(RpcError::server("header not found")) }
}
