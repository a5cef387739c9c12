//! Reads parameters.

use std::str::FromStr;

use alloy_primitives::{Address, B256, Bytes, U256};
use serde_json::Value;

use crate::RpcError;

/// A block parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum At {
    Latest,
    Pending,
    Earliest,
    /// `safe` and `finalized`, which are the same here.
    Final,
    Number(u64),
    Hash(B256),
}

/// The parameters of one call.
pub(super) struct Params<'a>(&'a [Value]);

impl<'a> Params<'a> {
    pub(super) fn new(params: &'a Value) -> Result<Self, RpcError> {
        match params {
            Value::Array(params) => Ok(Self(params)),
            Value::Null => Ok(Self(&[])),
            _ => Err(RpcError::params("non-array args")),
        }
    }

    pub(super) fn get(&self, index: usize) -> Option<&'a Value> {
        self.0.get(index).filter(|value| !value.is_null())
    }

    fn required(&self, index: usize) -> Result<&'a Value, RpcError> {
        self.get(index).ok_or_else(|| RpcError::params(format!("missing value for required argument {index}")))
    }

    pub(super) fn object(&self, index: usize) -> Result<&'a Value, RpcError> {
        let value = self.required(index)?;
        if value.is_object() { Ok(value) } else { Err(invalid(index, "not an object")) }
    }

    pub(super) fn flag(&self, index: usize) -> Result<bool, RpcError> {
        match self.get(index) {
            None => Ok(false),
            Some(value) => value.as_bool().ok_or_else(|| invalid(index, "not a boolean")),
        }
    }

    pub(super) fn address(&self, index: usize) -> Result<Address, RpcError> {
        text(self.required(index)?).ok_or_else(|| invalid(index, "not an address"))
    }

    pub(super) fn hash(&self, index: usize) -> Result<B256, RpcError> {
        text(self.required(index)?).ok_or_else(|| invalid(index, "not a hash"))
    }

    pub(super) fn bytes(&self, index: usize) -> Result<Bytes, RpcError> {
        text(self.required(index)?).ok_or_else(|| invalid(index, "not hex data"))
    }

    pub(super) fn word(&self, index: usize) -> Result<U256, RpcError> {
        quantity(self.required(index)?).ok_or_else(|| invalid(index, "not a quantity"))
    }

    /// A block parameter, the newest block if there is none.
    pub(super) fn at(&self, index: usize) -> Result<At, RpcError> {
        self.get(index).map_or(Ok(At::Latest), |value| block(value).ok_or_else(|| invalid(index, "not a block")))
    }
}

fn invalid(index: usize, why: &str) -> RpcError {
    RpcError::params(format!("invalid argument {index}: {why}"))
}

/// Reads a block's tag, number or hash.
pub(super) fn block(value: &Value) -> Option<At> {
    if let Some(hash) = value.get("blockHash") {
        return text(hash).map(At::Hash);
    }
    let value = value.get("blockNumber").unwrap_or(value);
    match value.as_str()? {
        "latest" => Some(At::Latest),
        "pending" => Some(At::Pending),
        "earliest" => Some(At::Earliest),
        "safe" | "finalized" => Some(At::Final),
        _ => small(value).map(At::Number),
    }
}

/// Reads text of which each value has its own form.
pub(super) fn text<T: FromStr>(value: &Value) -> Option<T> {
    let text = value.as_str()?;
    text.starts_with("0x").then(|| text.parse().ok())?
}

/// Reads a number in hex.
pub(super) fn quantity(value: &Value) -> Option<U256> {
    let digits = value.as_str()?.strip_prefix("0x")?;
    U256::from_str_radix(digits, 16).ok()
}

/// Reads a number in hex that fits 64 bits.
pub(super) fn small(value: &Value) -> Option<u64> {
    quantity(value)?.try_into().ok()
}
