//! What may depend on what, with which features, from where and under which licence.

use super::Finding;
use crate::metadata::{Foreign, Package};

/// What each of our packages may depend on among our packages. The local chains know none of the three: they are
/// the second opinion.
const ARROWS: [(&str, &[&str]); 4] =
    [("h402-core", &[]), ("h402-tower", &["h402-core"]), ("h402-facilitator", &["h402-core", "h402-devnet"]), ("h402-devnet", &[])];

/// What does I/O, or draws random numbers, and so has no place in the core.
const BANNED_IN_CORE: [&str; 7] = ["tokio", "hyper", "reqwest", "mio", "rand", "getrandom", "socket2"];

/// It turns JSON numbers into maps for everybody in the program.
const BANNED_FEATURES: [(&str, &str); 1] = [("serde_json", "arbitrary_precision")];

const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

const LICENCES: [&str; 14] = [
    "MIT",
    "Apache-2.0",
    "Apache-2.0 WITH LLVM-exception",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "CC0-1.0",
    "MIT-0",
    "0BSD",
    "MPL-2.0",
    "CDLA-Permissive-2.0",
    // libFuzzer.
    "NCSA",
];

/// Packages whose manifest names no licence, and the licence that lies beside it.
const LICENCE_FILES: [(&str, &str, &str); 1] = [("solana-config-interface", "2.0.0", "Apache-2.0")];

pub(super) fn arrows(packages: &[Package]) -> Vec<Finding> {
    let mut found = Vec::new();
    let ours = |name: &String| packages.iter().any(|package| package.name == *name);
    for (name, allowed) in ARROWS {
        let Some(package) = packages.iter().find(|package| package.name == name) else {
            found.push(Finding::new("dependencies", name, "is missing"));
            continue;
        };
        for other in package.dependencies.iter().filter(|other| ours(other) && !allowed.contains(&other.as_str())) {
            found.push(Finding::new("dependencies", name, format!("must not depend on {other}")));
        }
    }
    found
}

/// Reads what `cargo tree --prefix none` prints.
pub(super) fn core_tree(tree: &str) -> Vec<Finding> {
    let mut names: Vec<&str> = tree.lines().filter_map(|line| line.split_whitespace().next()).collect();
    names.sort_unstable();
    names.dedup();
    if !names.contains(&"h402-core") {
        return vec![Finding::new("dependencies", "h402-core", "cargo tree does not know it")];
    }
    let banned = names.into_iter().filter(|name| BANNED_IN_CORE.contains(name));
    banned.map(|name| Finding::new("dependencies", "h402-core", format!("{name} is in its dependency tree"))).collect()
}

pub(super) fn features(everything: &[Foreign]) -> Vec<Finding> {
    let banned = everything.iter().flat_map(|package| {
        let of_it = BANNED_FEATURES.iter().filter(|(name, feature)| package.name == *name && package.features.contains(*feature));
        of_it.map(|(name, feature)| Finding::new("dependencies", *name, format!("feature `{feature}` is on")))
    });
    banned.collect()
}

pub(super) fn origins(everything: &[Foreign]) -> Vec<Finding> {
    let mut found = Vec::new();
    for package in everything {
        let place = format!("{} {}", package.name, package.version);
        if package.source.as_ref().is_some_and(|source| source != REGISTRY) {
            found.push(Finding::new("dependencies", &place, "does not come from crates.io"));
        }
        let beside = LICENCE_FILES.iter().find(|(name, version, _)| package.name == *name && package.version == *version);
        let licence = package.licence.as_deref().or(beside.map(|(_, _, licence)| *licence));
        if !licence.is_some_and(allowed) {
            found.push(Finding::new("dependencies", &place, format!("licence {:?} is not on the list", package.licence)));
        }
    }
    found
}

/// Reads `A OR B AND C` as `(A OR B) AND C`, which is never more generous than SPDX.
fn allowed(expression: &str) -> bool {
    let all = expression.split(" AND ").map(|part| part.trim_matches(['(', ')', ' ']));
    let one = |part: &str| part.replace('/', " OR ").split(" OR ").any(|licence| LICENCES.contains(&licence.trim()));
    all.into_iter().all(one)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn package(name: &str, dependencies: &[&str]) -> Package {
        Package { name: name.to_owned(), dependencies: set(dependencies), ..Package::default() }
    }

    #[test]
    fn an_arrow_in_the_wrong_direction_is_caught() {
        let with = |tower: &[&str], core: &[&str]| {
            arrows(&[
                package("h402-core", core),
                package("h402-tower", tower),
                package("h402-facilitator", &["h402-core", "h402-devnet"]),
                package("h402-devnet", &["serde"]),
            ])
        };
        assert_eq!(with(&["h402-core", "tokio"], &["serde"]), []);
        assert_eq!(with(&["h402-core", "h402-facilitator"], &[]).len(), 1);
        assert_eq!(with(&["h402-core"], &["h402-tower"]).len(), 1);
        assert_eq!(arrows(&[]).len(), 4);
    }

    #[test]
    fn io_in_the_tree_of_the_core_is_caught() {
        assert_eq!(core_tree("h402-core v0.1.0 (/x)\nserde v1.0.0\nrand_core v0.6.4\n"), []);
        assert_eq!(core_tree("h402-core v0.1.0\nserde v1.0.0\ngetrandom v0.3.4 (*)\n").len(), 1);
        assert_eq!(core_tree("").len(), 1);
    }

    fn foreign(licence: Option<&str>, source: Option<&str>, features: &[&str]) -> Vec<Foreign> {
        let owned = |text: &str| text.to_owned();
        let (name, version) = (owned("serde_json"), owned("1.0.0"));
        vec![Foreign { name, version, licence: licence.map(owned), source: source.map(owned), features: set(features) }]
    }

    #[test]
    fn the_feature_that_breaks_numbers_is_caught() {
        assert_eq!(features(&foreign(None, None, &["raw_value"])), []);
        assert_eq!(features(&foreign(None, None, &["raw_value", "arbitrary_precision"])).len(), 1);
    }

    #[test]
    fn a_foreign_origin_or_licence_is_caught() {
        for licence in ["MIT", "GPL-3.0 OR MIT", "MIT/Apache-2.0", "(MIT OR Apache-2.0) AND Unicode-3.0", "MIT AND BSD-3-Clause"] {
            assert_eq!(origins(&foreign(Some(licence), Some(REGISTRY), &[])), [], "{licence}");
        }
        for licence in [Some("GPL-3.0"), Some("MIT AND GPL-3.0"), None] {
            assert_eq!(origins(&foreign(licence, None, &[])).len(), 1, "{licence:?}");
        }
        let named = |version: &str| {
            let name = "solana-config-interface".to_owned();
            foreign(None, None, &[])
                .into_iter()
                .map(|package| Foreign { name: name.clone(), version: version.to_owned(), ..package })
                .collect::<Vec<_>>()
        };
        assert_eq!(origins(&named("2.0.0")), []);
        assert_eq!(origins(&named("2.0.1")).len(), 1, "another version has to be looked at again");
        assert_eq!(origins(&foreign(Some("MIT"), Some("git+https://example.com/x"), &[])).len(), 1);
    }
}
