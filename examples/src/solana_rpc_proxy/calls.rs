//! JSON-RPC requests, read so strictly that no upstream can understand another call than the one that is priced.
//!
//! Parsers differ about repeated keys, unknown keys, numbers beyond 64 bits, deep nesting and what is no JSON at all.
//! Whatever they could read differently is refused here, before anything is charged.

use http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The longest name of a method, in bytes.
const LONGEST_METHOD: usize = 64;
/// The longest id, in bytes as it is written.
const LONGEST_ID: usize = 128;
/// How deep objects and arrays may lie in each other.
const DEEPEST: usize = 32;

/// What a request asks for: one call, or a batch of them.
///
/// ```
/// use h402_examples::solana_rpc_proxy::Calls;
/// let calls = Calls::read(br#"{"jsonrpc":"2.0","id":1,"method":"getSlot"}"#, 10)?;
/// assert_eq!((calls.is_batch(), calls.iter().next().unwrap().method.as_str()), (false, "getSlot"));
/// assert!(Calls::read(br#"{"jsonrpc":"2.0","id":1,"method":"getSlot","method":"getBlock"}"#, 10).is_err());
/// # Ok::<(), h402_examples::solana_rpc_proxy::BadCall>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calls {
    batch: bool,
    calls: Vec<Call>,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The method's name, as nodes compare it: letter by letter.
    pub method: String,
    /// Its id as it was written, a JSON string or integer.
    pub id: String,
}

/// Why a request is not passed on: an HTTP status, and the JSON-RPC error that goes into the body.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct BadCall {
    /// The status of the answer.
    pub status: StatusCode,
    /// The code of the JSON-RPC error.
    pub code: i32,
    /// The call it is about, if there is just one.
    pub id: Option<String>,
    /// What is wrong, for people.
    pub message: String,
}

impl BadCall {
    fn not_json(message: &str) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: -32700, id: None, message: message.to_owned() }
    }

    fn invalid(message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: -32600, id: None, message: message.into() }
    }

    /// A method that is not sold.
    pub(super) fn denied(call: &Call, alone: bool) -> Self {
        let id = alone.then(|| call.id.clone());
        Self { status: StatusCode::FORBIDDEN, code: -32601, id, message: format!("{} is not offered here", call.method) }
    }
}

/// One call as it is on the wire: these keys, each once, and no other.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WireCall<'a> {
    jsonrpc: String,
    #[serde(borrow)]
    id: &'a RawValue,
    method: String,
    /// Absent or `null`, which Solana's own client writes for no parameters.
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

impl Calls {
    /// Reads a request of at most `max_batch` calls.
    ///
    /// # Errors
    /// [`BadCall`], to be answered without asking any upstream.
    pub fn read(body: &[u8], max_batch: usize) -> Result<Self, BadCall> {
        let text = std::str::from_utf8(body).map_err(|_| BadCall::not_json("the body is not UTF-8"))?;
        let whole: &RawValue = serde_json::from_str(text).map_err(|_| BadCall::not_json("the body is not JSON"))?;
        if depth(whole.get()) > DEEPEST {
            return Err(BadCall::invalid(format!("nested deeper than {DEEPEST} levels")));
        }
        if whole.get().starts_with('{') {
            return Ok(Self { batch: false, calls: vec![Call::read(whole)?] });
        }
        let members: Vec<&RawValue> =
            serde_json::from_str(whole.get()).map_err(|_| BadCall::invalid("a JSON-RPC request is an object or an array of objects"))?;
        match members.len() {
            0 => Err(BadCall::invalid("the batch is empty")),
            count if count > max_batch => Err(BadCall::invalid(format!("a batch may have {max_batch} calls, this one has {count}"))),
            _ => Ok(Self { batch: true, calls: members.into_iter().map(Call::read).collect::<Result<_, _>>()? }),
        }
    }

    /// Whether it came as a batch, perhaps of one.
    #[must_use]
    pub fn is_batch(&self) -> bool {
        self.batch
    }

    /// The calls, in their order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Call> {
        self.calls.iter()
    }

    /// The id of the only call.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        if self.batch { None } else { self.calls.first().map(|call| call.id.as_str()) }
    }
}

impl Call {
    fn read(raw: &RawValue) -> Result<Self, BadCall> {
        // An array would be read as the fields in their order.
        if !raw.get().starts_with('{') {
            return Err(BadCall::invalid("a call is an object; batches do not nest"));
        }
        let call: WireCall<'_> = serde_json::from_str(raw.get())
            .map_err(|_| BadCall::invalid("a call has jsonrpc, id, method and perhaps params, each once and nothing else"))?;
        let id = call.id.get();
        if !is_id(id) {
            return Err(BadCall::invalid(format!(
                "an id is an integer of 64 bits or a string, of at most {LONGEST_ID} bytes; notifications are not offered"
            )));
        }
        let refuse = |message: &str| Err(BadCall { id: Some(id.to_owned()), ..BadCall::invalid(message) });
        if call.jsonrpc != "2.0" {
            return refuse("jsonrpc is not \"2.0\"");
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if call.method.is_empty() || call.method.len() > LONGEST_METHOD || !call.method.bytes().all(plain) {
            return refuse("method is not the name of a method");
        }
        if call.params.is_some_and(|params| !params.get().starts_with(['[', '{'])) {
            return refuse("params is neither an array nor an object");
        }
        Ok(Self { method: call.method, id: id.to_owned() })
    }
}

fn is_id(raw: &str) -> bool {
    let integer = || raw.parse::<u64>().is_ok() || raw.parse::<i64>().is_ok();
    raw.len() <= LONGEST_ID && (integer() || serde_json::from_str::<String>(raw).is_ok())
}

/// How deep brackets lie in each other, outside of strings. The text is JSON.
fn depth(text: &str) -> usize {
    let (mut now, mut deepest, mut string, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if string => escaped = true,
            b'"' => string = !string,
            _ if string => {}
            b'[' | b'{' => {
                now += 1;
                deepest = deepest.max(now);
            }
            b']' | b'}' => now = now.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Result<Vec<(String, String)>, (u16, i32)> {
        let calls = Calls::read(body.as_bytes(), 3).map_err(|bad| (bad.status.as_u16(), bad.code))?;
        Ok(calls.iter().map(|call| (call.method.clone(), call.id.clone())).collect())
    }

    #[test]
    fn calls_are_read() {
        let cases: [(&str, &[(&str, &str)]); 10] = [
            (r#"{"jsonrpc":"2.0","id":1,"method":"getSlot"}"#, &[("getSlot", "1")]),
            (r#" {"params":[],"method":"getSlot","id":"a","jsonrpc":"2.0"} "#, &[("getSlot", "\"a\"")]),
            (r#"{"jsonrpc":"2.0","id":18446744073709551615,"method":"getSlot","params":{}}"#, &[("getSlot", "18446744073709551615")]),
            (r#"{"jsonrpc":"2.0","id":-9223372036854775808,"method":"getSlot"}"#, &[("getSlot", "-9223372036854775808")]),
            (r#"{"jsonrpc":"2.0","id":0,"method":"get_slot"}"#, &[("get_slot", "0")]),
            (r#"{"jsonrpc":"2.0","id":0,"method":"getHealth","params":null}"#, &[("getHealth", "0")]),
            (r#"{"jsonrpc":"2.0","id":1,"meth\u006fd":"get\u0053lot"}"#, &[("getSlot", "1")]),
            (r#"{"jsonrpc":"2.0","id":1,"method":"a","params":["}]]{\"[[[["]}"#, &[("a", "1")]),
            (r#"[{"jsonrpc":"2.0","id":1,"method":"a"}]"#, &[("a", "1")]),
            (
                r#"[{"jsonrpc":"2.0","id":1,"method":"a"},{"jsonrpc":"2.0","id":1,"method":"b"},{"jsonrpc":"2.0","id":2,"method":"a"}]"#,
                &[("a", "1"), ("b", "1"), ("a", "2")],
            ),
        ];
        for (body, want) in cases {
            let want = want.iter().map(|(method, id)| ((*method).to_owned(), (*id).to_owned())).collect();
            assert_eq!(read(body), Ok(want), "{body}");
        }
    }

    /// Each of these is read differently by one parser or another; every one of them differs from a call that is
    /// read above in one place.
    #[test]
    fn what_parsers_could_disagree_about_is_refused() {
        let deep =
            |levels: usize| format!(r#"{{"jsonrpc":"2.0","id":1,"method":"a","params":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
        let long = |length: usize| format!(r#"{{"jsonrpc":"2.0","id":"{}","method":"a"}}"#, "x".repeat(length));
        let cases = [
            ("", -32700),
            ("getSlot", -32700),
            ("\u{feff}{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\"}", -32700),
            (r#"{"jsonrpc":"2.0","id":1,"method":"a"}{}"#, -32700),
            (r#"{"jsonrpc":"2.0","id":1,"method":"a",}"#, -32700),
            (r#"{"jsonrpc":"2.0","id":01,"method":"a"}"#, -32700),
            (r#"{"jsonrpc":"2.0","id":1,"method":"a"} // getSlot"#, -32700),
            ("7", -32600),
            ("null", -32600),
            (r#""getSlot""#, -32600),
            ("{}", -32600),
            ("[]", -32600),
            ("[1]", -32600),
            (r#"["2.0",1,"a"]"#, -32600),
            (r#"[["2.0",1,"a"]]"#, -32600),
            (r#"[[{"jsonrpc":"2.0","id":1,"method":"a"}]]"#, -32600),
            (r#"{"jsonrpc":"2.0","id":1,"method":"a","method":"b"}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":1,"method":"a","meth\u006fd":"b"}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":1,"method":"a","Method":"b"}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":1,"id":2,"method":"a"}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":1,"method":"a","params":[],"params":[1]}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":1,"method":"a","more":1}"#, -32600),
            (r#"{"jsonrpc":"2.0","method":"a"}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":null,"method":"a"}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":1.0,"method":"a"}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":1e2,"method":"a"}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":18446744073709551616,"method":"a"}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":[1],"method":"a"}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":"\ud800","method":"a"}"#, -32600),
            (r#"{"jsonrpc":"1.0","id":1,"method":"a"}"#, -32600),
            (r#"{"jsonrpc":2.0,"id":1,"method":"a"}"#, -32600),
            (r#"{"id":1,"method":"a"}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":1,"method":""}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":1,"method":"a "}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":1,"method":"a\u0000"}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":1,"method":["a"]}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":1,"method":"a","params":null,"params":[]}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":1,"method":"a","params":true}"#, -32600),
            (r#"{"jsonrpc":"2.0","id":1,"method":"a","params":"x"}"#, -32600),
            (&deep(DEEPEST), -32600),
            (&long(LONGEST_ID - 1), -32600),
            (
                r#"[{"jsonrpc":"2.0","id":1,"method":"a"},{"jsonrpc":"2.0","id":2,"method":"a"},{"jsonrpc":"2.0","id":3,"method":"a"},{"jsonrpc":"2.0","id":4,"method":"a"}]"#,
                -32600,
            ),
        ];
        for (body, code) in cases {
            assert_eq!(read(body), Err((400, code)), "{body}");
        }
        assert!(read(&deep(DEEPEST - 1)).is_ok());
        assert!(read(&long(LONGEST_ID - 2)).is_ok());
        assert!(Calls::read(b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\",\"params\":[\"\xff\"]}", 1).is_err(), "not UTF-8");
    }

    #[test]
    fn an_error_names_the_call_it_is_about() {
        let bad = Calls::read(br#"{"jsonrpc":"2.0","id":"x7","method":"no name"}"#, 1).unwrap_err();
        assert_eq!(bad.id.as_deref(), Some("\"x7\""));
    }
}
