//! JSON-RPC 2.0 messages, written and read strictly.

use super::Endpoint;
use alloy_primitives::Bytes;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

/// One call: a method and its parameters.
#[derive(Debug, Clone)]
pub struct Call {
    method: &'static str,
    params: Box<RawValue>,
}

impl Call {
    /// Makes a call; the parameters are anything that serialises to a JSON array.
    pub fn new(method: &'static str, params: &impl Serialize) -> Self {
        // Only maps with keys that are no strings cannot be written; no parameters are what a node refuses.
        let params = serde_json::value::to_raw_value(params).unwrap_or_else(|_| RawValue::NULL.to_owned());
        Self { method, params }
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &'static str {
        self.method
    }

    /// Whether it hands a transaction to the node.
    pub(super) fn sends(&self) -> bool {
        matches!(self.method, "eth_sendRawTransaction" | "sendTransaction")
    }
}

/// What a node answered instead of a result.
///
/// The message is shortened, and what could be a URL or a key is taken out of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({code})")]
pub struct RpcError {
    /// The code, such as -32000 or 3.
    pub code: i64,
    /// The node's own words, at most 256 bytes of printable text.
    pub message: String,
    /// The data of a revert, if there is any.
    pub data: Option<Bytes>,
}

const MAX_MESSAGE: usize = 256;
/// Revert data longer than this is cut: only its beginning is ever decoded.
const MAX_DATA: usize = 4096;

#[derive(Serialize)]
struct Request<'a> {
    jsonrpc: &'static str,
    id: u64,
    method: &'a str,
    params: &'a RawValue,
}

/// Writes calls under the ids from `first_id` on.
pub(super) fn encode(calls: &[Call], first_id: u64) -> Vec<u8> {
    let requests: Vec<Request<'_>> =
        calls.iter().zip(first_id..).map(|(call, id)| Request { jsonrpc: "2.0", id, method: call.method, params: &call.params }).collect();
    let text = match requests.as_slice() {
        [single] => serde_json::to_vec(single),
        many => serde_json::to_vec(many),
    };
    // Strings, integers and JSON as it is can always be written.
    text.unwrap_or_default()
}

#[derive(Deserialize)]
struct Answer {
    id: Option<u64>,
    #[serde(default, deserialize_with = "present")]
    result: Option<Box<RawValue>>,
    #[serde(default)]
    error: Option<WireError>,
}

#[derive(Deserialize)]
struct WireError {
    code: i64,
    #[serde(default)]
    message: String,
    #[serde(default)]
    data: Option<Box<RawValue>>,
}

/// A `null` that is there is a result like any other.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// Reads the answers to `calls`; none if they are not exactly one per call, each under its id.
pub(super) fn decode(body: &[u8], calls: &[Call], first_id: u64, endpoint: &Endpoint) -> Option<super::Answers> {
    let answers: Vec<Answer> = match calls {
        [_] => vec![serde_json::from_slice(body).ok()?],
        _ => serde_json::from_slice(body).ok()?,
    };
    let mut slots: Vec<Option<Result<Box<RawValue>, RpcError>>> = calls.iter().map(|_| None).collect();
    for answer in answers {
        let at = usize::try_from(answer.id?.checked_sub(first_id)?).ok()?;
        let method = calls.get(at)?.method;
        let slot = slots.get_mut(at)?;
        let outcome = match (answer.result, answer.error) {
            (_, Some(error)) if error.is_throttle(method) => return None,
            (None, Some(error)) => Err(error.read(endpoint)),
            // Some nodes write `"result": null` beside an error, never anything else.
            (Some(result), Some(error)) if result.get() == "null" => Err(error.read(endpoint)),
            (Some(result), None) => Ok(result),
            (Some(_), Some(_)) | (None, None) => return None,
        };
        if slot.replace(outcome).is_some() {
            return None;
        }
    }
    slots.into_iter().collect()
}

/// Whether an answer can be handed on as it is: JSON-RPC, from a node that wants to be asked, and nothing of its URL in an error.
pub(super) fn relayable(body: &[u8], endpoint: &Endpoint) -> bool {
    #[derive(Deserialize)]
    struct Relayed<'a> {
        #[serde(borrow, default)]
        error: Option<&'a RawValue>,
        #[serde(borrow, default, deserialize_with = "present")]
        result: Option<&'a RawValue>,
    }
    let is_fine = |answer: &Relayed<'_>| match answer.error {
        None => answer.result.is_some(),
        Some(error) => match serde_json::from_str::<WireError>(error.get()) {
            Ok(read) => !read.is_throttle("") && !endpoint.is_betrayed_by(error.get()),
            Err(_) => false,
        },
    };
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    match first {
        Some(b'{') => serde_json::from_slice::<Relayed<'_>>(body).is_ok_and(|answer| is_fine(&answer)),
        Some(b'[') => serde_json::from_slice::<Vec<Relayed<'_>>>(body).is_ok_and(|answers| answers.iter().all(is_fine)),
        _ => false,
    }
}

impl WireError {
    /// Whether the endpoint says that it does not want to be asked now. Of logs, -32005 speaks of the range.
    fn is_throttle(&self, method: &str) -> bool {
        self.code == 429 || (self.code == -32005 && method != "eth_getLogs")
    }

    fn read(self, endpoint: &Endpoint) -> RpcError {
        RpcError {
            code: self.code,
            message: printable(&endpoint.redact(&self.message), MAX_MESSAGE),
            data: self.data.as_deref().and_then(|data| revert_data(data.get())),
        }
    }
}

/// At most `max` bytes of letters, digits and ASCII, cut between characters: nothing that turns a log line around.
pub(crate) fn printable(text: &str, max: usize) -> String {
    let mut kept = String::new();
    for char in text.chars().map(|char| if char.is_ascii_graphic() || char.is_alphanumeric() { char } else { ' ' }) {
        if kept.len() + char.len_utf8() > max {
            break;
        }
        kept.push(char);
    }
    kept
}

/// Most nodes put the bytes there as hex, some after a word, some in an object.
fn revert_data(json: &str) -> Option<Bytes> {
    #[derive(Deserialize)]
    struct Nested {
        data: String,
    }
    let text = match serde_json::from_str::<String>(json) {
        Ok(text) => text,
        Err(_) => serde_json::from_str::<Nested>(json).ok()?.data,
    };
    let digits = text.strip_prefix("Reverted ").unwrap_or(&text).strip_prefix("0x")?;
    let digits = digits.get(..MAX_DATA * 2).unwrap_or(digits);
    hex::decode(digits).ok().map(Bytes::from)
}
