//! Whether an answer is worth its price, told from its first bytes.
//!
//! The bytes themselves go to the client as they came. Nothing is parsed but the keys on the outermost level, so a
//! number of 64 bits cannot lose its last digits, and an answer of a gigabyte is judged by its beginning.

/// How much of the answer to one call is looked at, in bytes; a batch has that much for each of its calls.
pub const PREFIX: usize = 8 * 1024;

/// What an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// A result, or a batch with at least one.
    Result,
    /// An error, or a batch of nothing but errors.
    Error,
    /// No JSON-RPC at all, such as a page for people.
    Nonsense,
}

/// Reads an answer until it is clear what it is.
///
/// ```
/// use h402_examples::solana_rpc_proxy::{Judge, Verdict};
/// let mut judge = Judge::new(1);
/// assert_eq!(judge.read(br#"{"jsonrpc":"2.0","resu"#), None);
/// assert_eq!(judge.read(br#"lt":18446744073709551615,"id""#), Some(Verdict::Result));
/// ```
#[derive(Debug)]
pub struct Judge {
    /// How many bytes may still be looked at.
    left: usize,
    /// How deep the object lies that has the telling keys: 1 alone, 2 in a batch. 0 before the first bracket.
    level: usize,
    depth: usize,
    string: Option<Text>,
    escaped: bool,
    /// The last key on the level, while its colon is awaited, and then while its value is.
    key: Option<Key>,
    value_of: Option<Key>,
    /// Whether a string on the level would be a key.
    awaits_key: bool,
    verdict: Option<Verdict>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Key {
    Result,
    Error,
    Other,
}

/// A string being read; of a key as much as is needed to tell it from others.
#[derive(Debug)]
enum Text {
    Key(Vec<u8>),
    Any,
}

impl Judge {
    /// Judges the answer to so many calls.
    #[must_use]
    pub fn new(calls: usize) -> Self {
        let left = PREFIX.saturating_mul(calls.max(1));
        Self { left, level: 0, depth: 0, string: None, escaped: false, key: None, value_of: None, awaits_key: false, verdict: None }
    }

    /// Reads on. What it says once it stays.
    pub fn read(&mut self, bytes: &[u8]) -> Option<Verdict> {
        for byte in bytes {
            if self.verdict.is_some() {
                break;
            }
            if self.left == 0 {
                self.verdict = Some(self.out_of_bytes());
                break;
            }
            self.left -= 1;
            self.step(*byte);
        }
        self.verdict
    }

    /// The answer has ended.
    #[must_use]
    pub fn end(&self) -> Verdict {
        self.verdict.unwrap_or(Verdict::Nonsense)
    }

    /// A single call that has told nothing by now is no JSON-RPC. In a batch more may come, and whoever puts failing
    /// calls first shall not get the last one for nothing.
    fn out_of_bytes(&self) -> Verdict {
        if self.level == 2 { Verdict::Result } else { Verdict::Nonsense }
    }

    fn step(&mut self, byte: u8) {
        if let Some(text) = &mut self.string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => return self.end_string(),
                _ => {}
            }
            if let Text::Key(read) = text
                && read.len() <= "result".len()
            {
                read.push(byte);
            }
            return;
        }
        if byte.is_ascii_whitespace() {
            return;
        }
        if byte == b':' {
            self.value_of = self.key.take();
            return;
        }
        self.key = None;
        if let Some(key) = self.value_of.take() {
            self.value_begins(key, byte);
        }
        match byte {
            b'"' if self.at_level() && self.awaits_key => self.string = Some(Text::Key(Vec::new())),
            b'"' if self.depth > 0 => self.string = Some(Text::Any),
            b'{' | b'[' => self.open(byte),
            b'}' | b']' => self.close(),
            b',' if self.at_level() => self.awaits_key = true,
            _ if self.depth == 0 => self.verdict = Some(Verdict::Nonsense),
            _ => {}
        }
    }

    fn at_level(&self) -> bool {
        self.level > 0 && self.depth == self.level
    }

    fn end_string(&mut self) {
        if let Some(Text::Key(read)) = self.string.take() {
            self.awaits_key = false;
            self.key = Some(match read.as_slice() {
                b"result" => Key::Result,
                b"error" => Key::Error,
                _ => Key::Other,
            });
        }
    }

    fn value_begins(&mut self, key: Key, byte: u8) {
        match key {
            Key::Result => self.verdict = Some(Verdict::Result),
            // Some servers write `"error":null` beside a result.
            Key::Error if byte != b'n' && self.level == 1 => self.verdict = Some(Verdict::Error),
            Key::Error | Key::Other => {}
        }
    }

    fn open(&mut self, byte: u8) {
        if self.level == 0 {
            self.level = if byte == b'{' { 1 } else { 2 };
        }
        self.depth += 1;
        // An array in a batch has no keys, and what is in it tells nothing.
        self.awaits_key = self.at_level() && byte == b'{';
    }

    fn close(&mut self) {
        self.awaits_key = false;
        match self.depth {
            0 => self.verdict = Some(Verdict::Nonsense),
            1 => self.verdict = Some(Verdict::Error),
            _ => {}
        }
        self.depth = self.depth.saturating_sub(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// In one piece, and byte by byte.
    fn judge(answer: &[u8], calls: usize) -> Verdict {
        let mut whole = Judge::new(calls);
        whole.read(answer);
        let mut bytes = Judge::new(calls);
        for byte in answer {
            bytes.read(&[*byte]);
        }
        assert_eq!(whole.end(), bytes.end(), "{}", String::from_utf8_lossy(answer));
        whole.end()
    }

    #[test]
    fn results_are_told_from_errors() {
        use Verdict::{Error, Nonsense, Result};
        let cases = [
            (r#"{"jsonrpc":"2.0","result":1,"id":1}"#, Result),
            (r#"{"jsonrpc":"2.0","result":null,"id":1}"#, Result),
            (r#"{"id":1,"jsonrpc":"2.0","result":{"error":{"code":1}}}"#, Result),
            (r#" { "id" : "error" , "error" : null , "result" : [ ] } "#, Result),
            (r#"{"id":"\"error\":1,","result":"x"}"#, Result),
            (r#"{"jsonrpc":"2.0","error":{"code":-32602,"message":"result"},"id":1}"#, Error),
            (r#"{"jsonrpc":"2.0","id":1,"error":"no"}"#, Error),
            (r#"{"jsonrpc":"2.0","context":{"result":1},"error":{}}"#, Error),
            (r#"{"jsonrpc":"2.0","context":["result",1],"error":{}}"#, Error),
            (r#"{"jsonrpc":"2.0","id":1,"error":null}"#, Error),
            (r#"{"jsonrpc":"2.0","id":"result"}"#, Error),
            (r#"{"resultx":1}"#, Error),
            (r#"{"resul":1}"#, Error),
            ("", Nonsense),
            ("<html>result</html>", Nonsense),
            ("\"result\"", Nonsense),
            ("7", Nonsense),
            ("]", Nonsense),
            ("{\"jsonrpc\":\"2.0\",", Nonsense),
            ("{}", Error),
            ("[]", Error),
            (r#"[{"error":{},"id":1},{"id":2,"error":{"message":"\"result\":"}}]"#, Error),
            (r#"[{"error":{},"id":1},{"id":2,"result":0}]"#, Result),
            (r#"[{"result":{},"id":1},{"id":2,"error":{}}]"#, Result),
            (r#"[["result",1],{"error":1}]"#, Error),
            (r#"[["result",{"result":1}]]"#, Error),
            (r#"[["a","result"]]"#, Error),
        ];
        for (answer, want) in cases {
            assert_eq!(judge(answer.as_bytes(), 2), want, "{answer}");
        }
    }

    #[test]
    fn the_first_bytes_decide() {
        let late = |spaces: usize| format!("{{{}\"result\":1}}", " ".repeat(spaces));
        assert_eq!(judge(late(PREFIX - 20).as_bytes(), 1), Verdict::Result);
        assert_eq!(judge(late(PREFIX).as_bytes(), 1), Verdict::Nonsense);
        // A result that is there is one whatever comes after it.
        let large = format!(r#"{{"result":"{}"}}"#, "x".repeat(100_000));
        assert_eq!(judge(large.as_bytes(), 1), Verdict::Result);
    }

    #[test]
    fn a_batch_is_given_up_only_when_every_call_failed() {
        let error = |length: usize| format!(r#"{{"id":1,"error":{{"data":"{}"}}}}"#, "x".repeat(length));
        let all = format!("[{},{}]", error(PREFIX - 100), error(PREFIX - 100));
        assert_eq!(judge(all.as_bytes(), 2), Verdict::Error);
        let last = format!("[{},{}]", error(PREFIX - 100), r#"{"id":2,"result":1}"#);
        assert_eq!(judge(last.as_bytes(), 2), Verdict::Result);
        // Too much to look at: somebody who sends failing calls first gets nothing for free.
        let more = format!("[{},{}]", error(2 * PREFIX), r#"{"id":2,"result":1}"#);
        assert_eq!(judge(more.as_bytes(), 2), Verdict::Result);
    }
}
