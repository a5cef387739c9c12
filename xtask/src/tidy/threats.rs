//! Each threat of the catalogue has a test named after it, or a line that says why it does not apply.

use super::{Finding, source::Tree};
use std::collections::BTreeSet;

const CATALOGUE: &str = "docs/threats.md";
/// How a line says so: `T057 … not applicable: <reason>`.
const EXCUSE: &str = "not applicable: ";

/// Everything that concerns what is built so far.
fn ids() -> impl Iterator<Item = u16> {
    (1..=31).chain(37..=108).chain([136, 137]).chain(141..=173)
}

pub(super) fn uncovered(tree: &Tree) -> Vec<Finding> {
    let Some(catalogue) = tree.get(CATALOGUE) else { return vec![Finding::new("threats", CATALOGUE, "the catalogue is missing")] };
    let tests: Vec<&str> = tests(tree).collect();
    let missing = ids().filter(|id| {
        let tested = tests.iter().any(|name| name.split('_').any(|part| part == format!("t{id:03}")));
        let excused =
            catalogue.text.lines().any(|line| line.contains(&format!("T{id:03}")) && reason(line).split_whitespace().count() >= 3);
        !tested && !excused
    });
    missing.map(|id| Finding::new("threats", CATALOGUE, format!("T{id:03} has neither a test `t{id:03}_…` nor a reason"))).collect()
}

/// Tests that the catalogue names and nobody has.
pub(super) fn gone(tree: &Tree) -> Vec<Finding> {
    let Some(catalogue) = tree.get(CATALOGUE) else { return Vec::new() };
    let tests: BTreeSet<&str> = tests(tree).collect();
    let mut found = Vec::new();
    for (index, line) in catalogue.text.lines().enumerate().filter(|(_, line)| line.starts_with('|')) {
        for name in line.split('`').skip(1).step_by(2).filter(|word| is_test_name(word) && !tests.contains(word)) {
            found.push(Finding::new("threats", format!("{CATALOGUE}:{}", index + 1), format!("there is no test `{name}`")));
        }
    }
    found
}

/// `t012_` and something.
fn is_test_name(word: &str) -> bool {
    let number = word.strip_prefix('t').and_then(|rest| rest.split_once('_')).map_or("", |(number, _)| number);
    number.len() == 3 && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// The names of all functions in test code.
fn tests(tree: &Tree) -> impl Iterator<Item = &str> {
    tree.rust().flat_map(|(_, rust)| rust.numbered()).filter(|(.., test)| *test).filter_map(|(_, line, _)| function(line))
}

fn reason(line: &str) -> &str {
    line.split_once(EXCUSE).map_or("", |(_, reason)| reason)
}

/// The name of the function that a line of code opens.
fn function(line: &str) -> Option<&str> {
    let (_, rest) = line.split_once("fn ")?;
    rest.split(|c: char| !c.is_alphanumeric() && c != '_').next()
}

#[cfg(test)]
mod tests {
    use super::{super::fixture::tree, *};

    #[test]
    fn a_threat_without_test_and_reason_is_caught() {
        let names: String = ids().map(|id| format!("fn t{id:03}_is_refused() {{}}\n")).collect();
        let found = |names: &str, lines: &str| uncovered(&tree(&[("tests/it/threats.rs", names), (CATALOGUE, lines)])).len();
        assert_eq!(found(&names, ""), 0);
        let bent = names.replace("fn t012_is_refused", "fn no_t0123_test");
        assert_eq!(found(&bent, ""), 1);
        assert_eq!(found(&bent, "| T012 | not applicable: we have none of these |"), 0);
        assert_eq!(found(&bent, "| T012 | not applicable: no |"), 1);
        assert_eq!(found(&names.replace("t173_", "t053_t173_a_"), ""), 0);
        assert_eq!(found(&names.replace("fn t031_is_refused() {}", "// fn t031_is_refused() {}"), ""), 1);
        assert_eq!(uncovered(&tree(&[("src/a.rs", &names), (CATALOGUE, "")])).len(), ids().count(), "only tests count");
    }

    #[test]
    fn a_test_that_is_named_and_gone_is_caught() {
        let found = |line: &str| gone(&tree(&[("tests/it/a.rs", "fn t012_a_thing_is_refused() {}"), (CATALOGUE, line)])).len();
        assert_eq!(found("| T012 | It is tried. | `tests/it/a.rs`: `t012_a_thing_is_refused` |"), 0);
        assert_eq!(found("| T012 | It is tried. | `tests/it/a.rs`: `t012_a_thing_was_refused` |"), 1);
    }
}
