//! No test and no example is left out.

use super::{Finding, source::Tree};

/// What leaves a test or an example out, in an attribute or behind a fence.
const LEFT_OUT: &str = "ignore";

pub(super) fn left_out(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (file, rust) in tree.rust() {
        for (number, line, _) in rust.numbered() {
            let line: String = line.split_whitespace().collect();
            let is_marked = |before: &str| line.contains(&format!("{before}{LEFT_OUT}"));
            if is_marked("#[") || line.contains("cfg_attr(") && is_marked(",") {
                found.push(Finding::new("tests", format!("{}:{number}", file.path), "a test that is ignored"));
            }
        }
        for (index, line) in file.text.lines().enumerate() {
            let comment = line.trim_start();
            if let Some(text) = comment.strip_prefix("///").or_else(|| comment.strip_prefix("//!"))
                && ignored_fence(text)
            {
                found.push(Finding::new("tests", format!("{}:{}", file.path, index + 1), "an example that does not run"));
            }
        }
    }
    for file in tree.markdown() {
        for (index, _) in file.text.lines().enumerate().filter(|(_, line)| ignored_fence(line)) {
            found.push(Finding::new("tests", format!("{}:{}", file.path, index + 1), "an example that does not run"));
        }
    }
    found
}

fn ignored_fence(line: &str) -> bool {
    line.trim_start().strip_prefix("```").is_some_and(|info| info.split(',').any(|word| word.trim().starts_with(LEFT_OUT)))
}

#[cfg(test)]
mod tests {
    use super::{super::fixture::tree, *};

    #[test]
    fn ignored_tests_and_examples_are_caught() {
        // Written with another word, so that this file has no such marks of its own.
        let marked = |text: &str| text.replace("OMIT", LEFT_OUT);
        let good = "/// ```\n/// a();\n/// ```\n/// ```no_run\n#[test]\nfn OMIT() { \"#[OMIT]\"; } // #[OMIT]\n";
        assert_eq!(left_out(&tree(&[("a.rs", &marked(good)), ("a.md", "```sh\n```text\n")])), []);
        let bent = [
            "#[test]\n#[OMIT]\nfn a() {}",
            "#[OMIT = \"slow\"]",
            "#[cfg_attr(windows, OMIT)]",
            "/// ```OMIT",
            "//! ```rust,OMIT",
            "    /// ```OMIT-windows",
        ];
        for code in bent {
            assert_eq!(left_out(&tree(&[("a.rs", &marked(code))])).len(), 1, "{code}");
        }
        assert_eq!(left_out(&tree(&[("a.md", &marked("```rust,OMIT\n"))])).len(), 1);
    }
}
