//! The lints that keep panics out of the published crates stay switched on.

use super::{
    Finding,
    source::{Tree, has_word},
};
use crate::metadata::PUBLISHED;

const DENIED: [&str; 5] = ["unwrap_used", "expect_used", "indexing_slicing", "as_conversions", "panic"];

/// Each published crate denies them in its `lib.rs`.
pub(super) fn lints_denied(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for name in PUBLISHED {
        let path = format!("{name}/src/lib.rs");
        let Some((_, rust)) = tree.rust().find(|(file, _)| file.path == path) else {
            found.push(Finding::new("lints", path, "is missing"));
            continue;
        };
        let code: String = rust.lines.concat().split_whitespace().collect();
        let denied = code.split("#![").filter(|part| part.contains("deny(")).collect::<String>();
        for lint in DENIED.iter().filter(|lint| !denied.contains(&format!("clippy::{lint}"))) {
            found.push(Finding::new("lints", &path, format!("does not deny `clippy::{lint}`")));
        }
        if !code.contains("missing_docs") {
            found.push(Finding::new("lints", &path, "does not warn of `missing_docs`"));
        }
    }
    found
}

/// Nobody switches them off again; `#[expect(…, reason = "…")]` says why and goes stale loudly.
pub(super) fn lints_silenced(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (file, rust) in tree.rust().filter(|(file, _)| PUBLISHED.iter().any(|name| file.path.starts_with(&format!("{name}/src/")))) {
        for (number, line) in rust.product().filter(|(_, line)| has_word(line, "allow")) {
            for lint in DENIED.iter().filter(|lint| has_word(line, lint)) {
                found.push(Finding::new("lints", format!("{}:{number}", file.path), format!("allows `clippy::{lint}`")));
            }
        }
    }
    found
}

/// Every package takes part in the workspace's lints.
pub(super) fn lints_of_the_workspace(tree: &Tree) -> Vec<Finding> {
    let manifests = tree.iter().filter(|file| file.path.ends_with("/Cargo.toml") && !file.path.starts_with("fuzz/"));
    let bare = manifests.filter(|file| !file.text.contains("[lints]\nworkspace = true"));
    bare.map(|file| Finding::new("lints", &file.path, "does not take the workspace's lints")).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::fixture::tree, *};

    const GOOD: &str = "#![cfg_attr(\n not(test),\n deny(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, \
                        clippy::as_conversions, clippy::panic)\n)]\n#![warn(missing_docs)]";

    fn crates(core: &str) -> Tree {
        tree(&[("h402-core/src/lib.rs", core), ("h402-tower/src/lib.rs", GOOD), ("h402-facilitator/src/lib.rs", GOOD)])
    }

    #[test]
    fn a_lint_that_is_not_denied_is_caught() {
        assert_eq!(lints_denied(&crates(GOOD)), []);
        for lint in DENIED {
            assert_eq!(lints_denied(&crates(&GOOD.replace(&format!("clippy::{lint}"), "x"))).len(), 1, "{lint}");
        }
        assert_eq!(lints_denied(&crates(&GOOD.replace("clippy::panic", "x /* clippy::panic */"))).len(), 1);
        assert_eq!(lints_denied(&crates(&GOOD.replace("missing_docs", "x"))).len(), 1);
        assert_eq!(lints_denied(&tree(&[])).len(), 3);
    }

    #[test]
    fn a_lint_that_is_silenced_is_caught() {
        let code = "#[allow(clippy::unwrap_used)]\nfn a() {}";
        assert_eq!(lints_silenced(&tree(&[("h402-core/src/a.rs", code)])).len(), 1);
        assert_eq!(lints_silenced(&tree(&[("tests/devnet/src/a.rs", code)])), []);
        let expected = "#[expect(clippy::unwrap_used, reason = \"…\")]\nfn a() {}";
        assert_eq!(lints_silenced(&tree(&[("h402-core/src/a.rs", expected)])), []);
    }

    #[test]
    fn a_package_without_lints_is_caught() {
        assert_eq!(lints_of_the_workspace(&tree(&[("a/Cargo.toml", "[package]\n[lints]\nworkspace = true\n")])), []);
        assert_eq!(lints_of_the_workspace(&tree(&[("a/Cargo.toml", "[package]\n")])).len(), 1);
    }
}
