//! Every command that the README shows is one that CI runs.

use super::{Finding, markdown, source::Tree};
use crate::{ci, proxy, starter};

const RUN_BY_CI: [&str; 6] = [ci::QUICKSTART, ci::TEST, proxy::PROXY, starter::INIT, starter::CHECK, starter::SERVE];

pub(super) fn unknown(tree: &Tree) -> Vec<Finding> {
    let Some(readme) = tree.get("README.md") else { return vec![Finding::new("commands", "README.md", "is missing")] };
    let mut found = Vec::new();
    let mut shown = Vec::new();
    for (number, line) in markdown::fenced(&readme.text, "sh") {
        let line = line.split(" #").next().unwrap_or(line).trim();
        // A value of the reader's own is no command.
        if line.is_empty() || line.starts_with('#') || line.starts_with("export ") {
            continue;
        }
        shown.push(line);
        if !RUN_BY_CI.contains(&line) {
            found.push(Finding::new("commands", format!("README.md:{number}"), format!("CI never runs `{line}`")));
        }
    }
    for line in [ci::QUICKSTART, ci::TEST].into_iter().filter(|line| !shown.contains(line)) {
        found.push(Finding::new("commands", "README.md", format!("does not show `{line}`")));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{super::fixture::tree, *};

    #[test]
    fn a_command_that_ci_does_not_run_is_caught() {
        let good = format!("```sh\n# first\nexport KEY=0x...\n{}   # the demo\n\n{}\n```\n```text\nrm -r\n```\n", ci::QUICKSTART, ci::TEST);
        assert_eq!(unknown(&tree(&[("README.md", &good)])), []);
        assert_eq!(unknown(&tree(&[("README.md", &good.replace("# first", "cargo run"))])).len(), 1);
        assert_eq!(unknown(&tree(&[("README.md", &good.replace(ci::TEST, ""))])).len(), 1);
        assert_eq!(unknown(&tree(&[])).len(), 1);
    }
}
