//! Files and modules are named for what is in them.

use super::{Finding, source::Tree};

const VAGUE: [&str; 8] = ["utils", "util", "helpers", "helper", "manager", "common", "types", "misc"];

pub(super) fn vague(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (file, rust) in tree.rust() {
        let parts = file.path.trim_end_matches(".rs").split('/');
        if let Some(part) = parts.into_iter().find(|part| VAGUE.contains(part)) {
            found.push(Finding::new("names", &file.path, format!("`{part}` says nothing about what is in it")));
        }
        for (number, line, _) in rust.numbered() {
            let mut words = line.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty());
            if words.by_ref().any(|word| word == "mod")
                && let Some(name) = words.next().filter(|name| VAGUE.contains(name))
            {
                found.push(Finding::new(
                    "names",
                    format!("{}:{number}", file.path),
                    format!("module `{name}` says nothing about what is in it"),
                ));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{super::fixture::tree, *};

    #[test]
    fn vague_files_folders_and_modules_are_caught() {
        assert_eq!(vague(&tree(&[("a/src/amount.rs", "mod nonce; use types::X; // mod utils")])), []);
        for path in ["a/src/utils.rs", "a/src/common/mod.rs"] {
            assert_eq!(vague(&tree(&[(path, "")])).len(), 1, "{path}");
        }
        for code in ["mod helpers;", "pub(crate) mod manager { }"] {
            assert_eq!(vague(&tree(&[("a/src/amount.rs", code)])).len(), 1, "{code}");
        }
    }
}
