//! Reads parameters.

use std::str::FromStr;

use base64::{Engine, prelude::BASE64_STANDARD};
use bincode::Options;
use serde::de::DeserializeOwned;
use serde_json::Value;
use solana_hash::Hash;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_transaction_status::{TransactionBinaryEncoding, UiTransactionEncoding};

use crate::RpcError;

/// The longest transaction in bytes.
const PACKET: usize = 1232;
/// The longest text of that many bytes in each encoding.
const BASE58: usize = 1683;
const BASE64: usize = 1644;

/// The parameters of one call.
pub(super) struct Params<'a>(&'a [Value]);

impl<'a> Params<'a> {
    pub(super) fn new(params: &'a Value) -> Result<Self, RpcError> {
        match params {
            Value::Array(params) => Ok(Self(params)),
            Value::Null => Ok(Self(&[])),
            _ => Err(RpcError::params("`params` should be an array")),
        }
    }

    pub(super) fn optional<T: DeserializeOwned>(&self, index: usize) -> Result<Option<T>, RpcError> {
        match self.0.get(index) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => {
                serde_json::from_value(value.clone()).map(Some).map_err(|error| RpcError::params(format!("Invalid params: {error}.")))
            }
        }
    }

    pub(super) fn or_default<T: DeserializeOwned + Default>(&self, index: usize) -> Result<T, RpcError> {
        self.optional(index).map(Option::unwrap_or_default)
    }

    pub(super) fn required<T: DeserializeOwned>(&self, index: usize) -> Result<T, RpcError> {
        self.optional(index)?.ok_or_else(|| RpcError::params(format!("`params` should have at least {} argument(s)", index + 1)))
    }

    pub(super) fn pubkey(&self, index: usize) -> Result<Pubkey, RpcError> {
        pubkey(&self.required::<String>(index)?)
    }

    pub(super) fn hash(&self, index: usize) -> Result<Hash, RpcError> {
        Hash::from_str(&self.required::<String>(index)?).map_err(|error| RpcError::params(format!("{error:?}")))
    }
}

pub(super) fn pubkey(text: &str) -> Result<Pubkey, RpcError> {
    Pubkey::from_str(text).map_err(|error| RpcError::params(format!("Invalid param: {error:?}")))
}

pub(super) fn signature(text: &str) -> Result<Signature, RpcError> {
    Signature::from_str(text).map_err(|error| RpcError::params(format!("Invalid param: {error:?}")))
}

/// How a transaction is written; base58 if nothing is said.
pub(super) fn binary(encoding: Option<UiTransactionEncoding>) -> Result<TransactionBinaryEncoding, RpcError> {
    let encoding = encoding.unwrap_or(UiTransactionEncoding::Base58);
    encoding
        .into_binary_encoding()
        .ok_or_else(|| RpcError::params(format!("unsupported encoding: {encoding}. Supported encodings: base58, base64")))
}

/// Decodes a transaction or a message; bytes after its end are ignored, as on a node.
pub(super) fn decode<T: DeserializeOwned>(text: &str, encoding: TransactionBinaryEncoding) -> Result<T, RpcError> {
    let name = std::any::type_name::<T>();
    let (kind, longest) = match encoding {
        TransactionBinaryEncoding::Base58 => ("base58", BASE58),
        TransactionBinaryEncoding::Base64 => ("base64", BASE64),
    };
    if text.len() > longest {
        let length = text.len();
        return Err(RpcError::params(format!("{kind} encoded {name} too large: {length} bytes (max: encoded/raw {longest}/{PACKET})")));
    }
    let invalid = |error: String| RpcError::params(format!("invalid {kind} encoding: {error}"));
    let raw = match encoding {
        TransactionBinaryEncoding::Base58 => bs58::decode(text).into_vec().map_err(|error| invalid(format!("{error:?}")))?,
        TransactionBinaryEncoding::Base64 => BASE64_STANDARD.decode(text).map_err(|error| invalid(format!("{error:?}")))?,
    };
    if raw.len() > PACKET {
        return Err(RpcError::params(format!("decoded {name} too large: {} bytes (max: {PACKET} bytes)", raw.len())));
    }
    let options = bincode::options().with_limit(PACKET as u64).with_fixint_encoding().allow_trailing_bytes();
    options.deserialize(&raw).map_err(|error| RpcError::params(format!("failed to deserialize {name}: {error}")))
}
