//! No test and no example is left out.

use super::{Finding, source::Tree};

pub(super) fn left_out(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (file, rust) in tree.rust() {
        for (number, line, _) in rust.numbered() {
            let line: String = line.split_whitespace().collect();
            if line.contains("#[ignore") || line.contains("cfg_attr(") && line.contains(",ignore") {
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
    line.trim_start().strip_prefix("```").is_some_and(|info| info.split(',').any(|word| word.trim().starts_with("ignore")))
}

#[cfg(test)]
mod tests {
    use super::{super::fixture::tree, *};

    #[test]
    fn ignored_tests_and_examples_are_caught() {
        let good = "/// ```\n/// a();\n/// ```\n/// ```no_run\n#[test]\nfn ignore() { \"#[ignore]\"; } // #[ignore]\n";
        assert_eq!(left_out(&tree(&[("a.rs", good), ("a.md", "```sh\n```text\n")])), []);
        let bent = [
            "#[test]\n#[ignore]\nfn a() {}",
            "#[ignore = \"slow\"]",
            "#[cfg_attr(windows, ignore)]",
            "/// ```ignore",
            "//! ```rust,ignore",
            "    /// ```ignore-windows",
        ];
        for code in bent {
            assert_eq!(left_out(&tree(&[("a.rs", code)])).len(), 1, "{code}");
        }
        assert_eq!(left_out(&tree(&[("a.md", "```rust,ignore\n")])).len(), 1);
    }
}
