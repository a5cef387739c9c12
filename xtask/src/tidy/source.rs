//! The files of the work tree, and which parts of a Rust file are code, and which of it test code.

use crate::step::{Failure, Line, root};

/// All text files that are in the repository or about to be.
#[derive(Debug)]
pub(super) struct Tree {
    files: Vec<File>,
}

/// A text file.
#[derive(Debug)]
pub(super) struct File {
    /// From the workspace's root, with `/`.
    pub(super) path: String,
    pub(super) text: String,
    rust: Option<Rust>,
}

/// A Rust file, taken apart.
#[derive(Debug)]
pub(super) struct Rust {
    /// The lines, with comments and the contents of literals blanked.
    pub(super) lines: Vec<String>,
    /// Which lines are test code.
    pub(super) test: Vec<bool>,
}

impl Tree {
    pub(super) fn read() -> Result<Self, Failure> {
        let paths = Line::new("git ls-files -z --cached --others --exclude-standard").read()?;
        let files = paths.split('\0').filter(|path| !path.is_empty()).filter_map(|path| {
            let bytes = std::fs::read(root().join(path)).ok()?;
            Some((path.to_owned(), String::from_utf8(bytes).ok()?))
        });
        Ok(Self::new(files))
    }

    pub(super) fn new(files: impl IntoIterator<Item = (String, String)>) -> Self {
        let file = |(path, text): (String, String)| {
            let rust = path.ends_with(".rs").then(|| Rust::new(&path, &text));
            File { path, text, rust }
        };
        Self { files: files.into_iter().map(file).collect() }
    }

    pub(super) fn len(&self) -> usize {
        self.files.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &File> {
        self.files.iter()
    }

    pub(super) fn get(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Whether a file or folder is there.
    pub(super) fn has(&self, path: &str) -> bool {
        let folder = format!("{path}/");
        self.files.iter().any(|file| file.path == path || file.path.starts_with(&folder))
    }

    pub(super) fn rust(&self) -> impl Iterator<Item = (&File, &Rust)> {
        self.files.iter().filter_map(|file| Some((file, file.rust.as_ref()?)))
    }

    /// Markdown files; the recorded messages beside vectors are not ours to correct.
    pub(super) fn markdown(&self) -> impl Iterator<Item = &File> {
        self.files.iter().filter(|file| file.path.ends_with(".md"))
    }
}

impl Rust {
    fn new(path: &str, text: &str) -> Self {
        let code = blank(text);
        let mut test = vec![is_test_file(path); code.lines().count()];
        for (first, last) in test_items(&code) {
            let start = line_of(&code, first);
            let end = line_of(&code, last);
            for line in test.iter_mut().take(end + 1).skip(start) {
                *line = true;
            }
        }
        Self { lines: code.lines().map(str::to_owned).collect(), test }
    }

    /// Line numbers from one and their code, without test code.
    pub(super) fn product(&self) -> impl Iterator<Item = (usize, &str)> {
        self.numbered().filter(|(_, _, test)| !test).map(|(number, line, _)| (number, line))
    }

    /// Line numbers from one, code, and whether it is test code.
    pub(super) fn numbered(&self) -> impl Iterator<Item = (usize, &str, bool)> {
        self.lines.iter().zip(&self.test).enumerate().map(|(index, (line, test))| (index + 1, line.as_str(), *test))
    }
}

/// Whether `word` stands in `code` as a whole identifier.
pub(super) fn has_word(code: &str, word: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        !before.is_some_and(inside) && !after.is_some_and(inside)
    })
}

/// `tests.rs` and everything in a `tests` folder; but the local chains are a program of their own.
pub(super) fn is_test_file(path: &str) -> bool {
    let path = path.strip_prefix("tests/devnet/").unwrap_or(path);
    path.ends_with("/tests.rs") || path.split('/').any(|part| part == "tests")
}

fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count()
}

/// Byte ranges of items under `#[cfg(test)]` or `#[cfg(all(test, …))]`.
fn test_items(code: &str) -> Vec<(usize, usize)> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(at) = code[from..].find("#[").map(|at| from + at) {
        let Some(end) = closing(code, at + 1) else { break };
        from = end;
        let condition: String = code[at + 2..end].split_whitespace().collect();
        if condition == "cfg(test)" || condition.starts_with("cfg(all(test,") {
            let last = item_end(code, end + 1);
            found.push((at, last));
            from = last;
        }
    }
    found
}

/// Where the item that starts after an attribute ends: at its `;`, or at the brace that closes it.
fn item_end(code: &str, start: usize) -> usize {
    let mut at = start;
    while let Some(byte) = code.as_bytes().get(at) {
        match byte {
            b';' => return at,
            b'{' => return closing(code, at).unwrap_or(code.len()),
            b'(' | b'[' => at = closing(code, at).unwrap_or(code.len()),
            _ => {}
        }
        at += 1;
    }
    code.len()
}

/// The bracket that closes the one at `open`.
fn closing(code: &str, open: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        match byte {
            b'(' | b'[' | b'{' => depth += 1,
            b')' | b']' | b'}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// Replaces comments and the contents of literals by spaces, and keeps every line where it is.
fn blank(text: &str) -> String {
    let mut rest = text;
    let mut code = String::with_capacity(text.len());
    while let Some(first) = rest.chars().next() {
        let after_word = code.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_');
        let (kept, skipped) = match literal(rest, after_word) {
            Some((kept, length)) => (kept, length),
            None => (first.len_utf8(), first.len_utf8()),
        };
        code.push_str(&rest[..kept]);
        code.extend(rest[kept..skipped].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
        rest = &rest[skipped..];
    }
    code
}

/// If a comment or literal starts here: how many bytes of it to keep, and its length.
fn literal(rest: &str, after_word: bool) -> Option<(usize, usize)> {
    if rest.starts_with("//") {
        return Some((0, rest.find('\n').unwrap_or(rest.len())));
    }
    if rest.starts_with("/*") {
        return Some((0, block_comment(rest)));
    }
    if let Some(body) = rest.strip_prefix('"') {
        return Some((1, 1 + quoted(body, '"')));
    }
    if let Some(body) = rest.strip_prefix('\'') {
        let mut chars = body.chars();
        let (first, second) = (chars.next()?, chars.next()?);
        // Otherwise it is a lifetime.
        return (first == '\\' || second == '\'').then(|| (1, 1 + quoted(body, '\'')));
    }
    if after_word {
        return None;
    }
    let body = rest.strip_prefix("br").or_else(|| rest.strip_prefix("cr")).or_else(|| rest.strip_prefix('r'))?;
    let fence = body.len() - body.trim_start_matches('#').len();
    let body = body[fence..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(fence));
    let length = body.find(&end).map_or(body.len(), |at| at + end.len());
    Some((1, rest.len() - body.len() + length))
}

fn block_comment(text: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while at < text.len() {
        let rest = &text[at..];
        if rest.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text.len()
}

/// Length of a literal's body with its closing quote.
fn quoted(body: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in body.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + c.len_utf8(),
            _ => {}
        }
    }
    body.len()
}

#[cfg(test)]
mod tests;
