//! Whether a request may be passed on.
//!
//! What is read here must be what the node reads. So the request is refused unless there is but one way to read it: JSON without
//! anything after it, each member with the four fields of JSON-RPC and each of those once, the method written without escapes.

use super::super::body::Unread;
use h402_core::Undecided;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Methods that read, or that run a transaction and keep nothing.
const READS: [&str; 6] =
    ["getAccountInfo", "getMultipleAccounts", "getLatestBlockhash", "simulateTransaction", "getSignatureStatuses", "getTransaction"];
const SEND: &str = "sendTransaction";

/// Why a request is not answered by the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refused {
    /// Not a request as it has to be.
    Malformed(&'static str),
    /// A method that is not passed on.
    Method {
        /// The call's id as it was written, if the request is that one call.
        id: Option<String>,
    },
    /// Not read to its end.
    Unread(Unread),
    /// More calls than the client, or all clients, may make now.
    TooMany,
    /// The node gave no answer that can be passed on.
    Undecided(Undecided),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Member<'a> {
    #[serde(borrow)]
    jsonrpc: &'a str,
    #[serde(borrow)]
    id: &'a RawValue,
    // A borrowed text is one without escapes.
    #[serde(borrow)]
    method: &'a str,
    #[serde(borrow, default, rename = "params")]
    _params: Option<&'a RawValue>,
}

/// Tells how many calls a request has, if each of them may be passed on.
pub(super) fn check(body: &[u8], allow_send: bool, max_batch: u32) -> Result<u32, Refused> {
    let not_a_call = Refused::Malformed("neither a JSON-RPC call nor a batch of them");
    let is_batch = body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    let members: Vec<&RawValue> = match is_batch {
        true => serde_json::from_slice(body).map_err(|_| not_a_call.clone())?,
        false => vec![serde_json::from_slice(body).map_err(|_| not_a_call.clone())?],
    };
    let calls = match u32::try_from(members.len()) {
        Ok(0) => return Err(Refused::Malformed("the batch is empty")),
        Ok(calls) if calls <= max_batch => calls,
        Ok(_) | Err(_) => return Err(Refused::Malformed("the batch has too many calls")),
    };
    for member in members {
        // An array would be read as the fields in their order.
        if !member.get().starts_with('{') {
            return Err(not_a_call);
        }
        let member: Member<'_> = serde_json::from_str(member.get()).map_err(|_| not_a_call.clone())?;
        if member.jsonrpc != "2.0" {
            return Err(Refused::Malformed("jsonrpc is not \"2.0\""));
        }
        // Without an id there would be no answer, and a node may take other kinds of id for none.
        if !member.id.get().starts_with(|first: char| first == '"' || first == '-' || first.is_ascii_digit()) {
            return Err(Refused::Malformed("id is neither a number nor a text"));
        }
        let passed_on = READS.contains(&member.method) || (allow_send && member.method == SEND);
        if !passed_on {
            let id = (!is_batch).then(|| member.id.get().to_owned());
            return Err(Refused::Method { id });
        }
    }
    Ok(calls)
}

impl Refused {
    /// The refusal as a JSON-RPC error.
    pub(super) fn to_json(&self) -> Vec<u8> {
        #[derive(Serialize)]
        struct Answer<'a> {
            jsonrpc: &'static str,
            id: &'a RawValue,
            error: Error<'a>,
        }
        #[derive(Serialize)]
        struct Error<'a> {
            code: i32,
            message: &'a str,
        }
        let (code, message) = match self {
            Self::Malformed(why) => (-32600, *why),
            Self::Method { .. } => (-32601, "the method is not passed on here"),
            Self::Unread(unread) => (-32600, unread.text()),
            Self::TooMany => (-32005, "too many calls; try again in a moment"),
            Self::Undecided(_) => (-32603, "the node gave no answer; try again"),
        };
        let written = match self {
            Self::Method { id: Some(id) } => serde_json::from_str(id).ok(),
            _ => None,
        };
        let answer = Answer { jsonrpc: "2.0", id: written.unwrap_or(RawValue::NULL), error: Error { code, message } };
        // Texts, integers and JSON as it is can always be written.
        serde_json::to_vec(&answer).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: &str) -> String {
        format!(r#"{{"jsonrpc":"2.0","id":7,"method":"{method}","params":[18446744073709551615]}}"#)
    }

    #[test]
    fn what_can_be_read_in_one_way_only_is_passed_on() {
        let good = call("getTransaction");
        let kit = r#"{"id":"0","jsonrpc":"2.0","method":"getLatestBlockhash","params":[{"commitment":"confirmed"}]}"#;
        let batch = format!(" [{good},\n{kit}] ");
        let cases = [(good.as_str(), 1), (kit, 1), (batch.as_str(), 2), (r#"{"jsonrpc":"2.0","id":-1,"method":"getAccountInfo"}"#, 1)];
        for (body, calls) in cases {
            assert_eq!(check(body.as_bytes(), false, 2), Ok(calls), "{body}");
        }
    }

    #[test]
    fn methods_outside_the_list_are_refused_wherever_they_stand() {
        for method in ["sendTransaction", "getBlock", "requestAirdrop", "getaccountinfo", "getAccountInfo ", "", "eth_sendRawTransaction"] {
            let id = Some("7".to_owned());
            assert_eq!(check(call(method).as_bytes(), false, 9), Err(Refused::Method { id }), "{method}");
            let batch = format!("[{},{}]", call("getAccountInfo"), call(method));
            assert_eq!(check(batch.as_bytes(), false, 9), Err(Refused::Method { id: None }), "{method}");
        }
        assert_eq!(check(call("sendTransaction").as_bytes(), true, 9), Ok(1));
        assert_eq!(check(call("requestAirdrop").as_bytes(), true, 9), Err(Refused::Method { id: Some("7".to_owned()) }));
    }

    #[test]
    fn what_others_may_read_otherwise_is_malformed() {
        let good = call("getAccountInfo");
        let cases = [
            ("a method twice", good.replacen('{', r#"{"method":"sendTransaction","#, 1)),
            ("a method twice, once written with escapes", good.replacen('{', r#"{"\u006dethod":"sendTransaction","#, 1)),
            ("a method with escapes", good.replace("getAccountInfo", r"get\u0041ccountInfo")),
            ("another field", good.replacen('{', r#"{"Method":"sendTransaction","#, 1)),
            ("parameters twice", good.replacen('{', r#"{"params":[],"#, 1)),
            ("an id twice", good.replacen('{', r#"{"id":8,"#, 1)),
            ("no id", good.replace(r#""id":7,"#, "")),
            ("no text and no number", good.replace(r#""id":7"#, r#""id":null"#)),
            ("an object for an id", good.replace(r#""id":7"#, r#""id":{"method":"sendTransaction"}"#)),
            ("another version", good.replace(r#""2.0""#, r#""1.0""#)),
            ("no version", good.replace(r#""jsonrpc":"2.0","#, "")),
            ("a method that is no text", good.replace(r#""getAccountInfo""#, r#"["getAccountInfo"]"#)),
            ("something after it", format!("{good}{}", call("sendTransaction"))),
            ("a line after it", format!("{good}\n{}", call("sendTransaction"))),
            ("a byte order mark", format!("\u{feff}{good}")),
            ("a comment", format!("/*{}*/{good}", call("sendTransaction"))),
            ("a comma too many", good.replace("]}", ",]}")),
            ("not a number", good.replace("18446744073709551615", "NaN")),
            ("a batch in a batch", format!("[[{good}]]")),
            ("an array in the order of the fields", r#"[["2.0",7,"getAccountInfo",[]]]"#.to_owned()),
            ("an empty batch", "[]".to_owned()),
            ("a batch that is too long", format!("[{good},{good},{good}]")),
            ("half of it", good[..good.len() / 2].to_owned()),
            ("nothing", String::new()),
        ];
        assert_eq!(check(good.as_bytes(), true, 2), Ok(1));
        for (name, body) in cases {
            let refused = check(body.as_bytes(), true, 2);
            assert!(matches!(refused, Err(Refused::Malformed(_))), "{name}: {refused:?}");
        }
        let mut bytes = good.into_bytes();
        let last = bytes.len() - 4;
        bytes[last] = 0xff;
        assert!(matches!(check(&bytes, true, 2), Err(Refused::Malformed(_))), "not UTF-8");
    }

    #[test]
    fn a_refusal_is_an_answer_to_the_call() {
        let text = |refused: Refused| String::from_utf8(refused.to_json()).unwrap();
        let id = Some(r#""a\"b""#.to_owned());
        let expected = r#"{"jsonrpc":"2.0","id":"a\"b","error":{"code":-32601,"message":"the method is not passed on here"}}"#;
        assert_eq!(text(Refused::Method { id }), expected);
        assert!(text(Refused::TooMany).starts_with(r#"{"jsonrpc":"2.0","id":null,"error":{"code":-32005,"#));
    }
}
