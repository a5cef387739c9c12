//! The JSON-RPC that callers of the Solana RPC proxy send.

#[allow(dead_code, unreachable_pub)]
#[path = "../../examples/src/solana_rpc_proxy/calls.rs"]
mod calls;

use calls::Calls;
use serde_json::Value;

const MAX_BATCH: usize = 8;

/// What is priced is what any reader sees.
pub(crate) fn all(bytes: &[u8]) {
    let Ok(read) = Calls::read(bytes, MAX_BATCH) else { return };
    assert!((1..=MAX_BATCH).contains(&read.iter().len()));
    let value: Value = serde_json::from_slice(bytes).expect("what was read is JSON");
    assert_eq!(read.is_batch(), value.is_array());
    let members = if let Value::Array(members) = value { members } else { vec![value] };
    assert_eq!(members.len(), read.iter().len());
    for (call, member) in read.iter().zip(&members) {
        assert_eq!(member["method"].as_str(), Some(call.method.as_str()));
        assert_eq!(member["jsonrpc"], "2.0");
        assert_eq!(serde_json::from_str::<Value>(&call.id).ok().as_ref(), member.get("id"));
        assert!(member["id"].is_string() || member["id"].is_u64() || member["id"].is_i64());
        let keys = member.as_object().expect("a call is an object").keys();
        assert!(keys.into_iter().all(|key| ["jsonrpc", "id", "method", "params"].contains(&key.as_str())));
    }
}
