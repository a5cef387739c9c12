//! The README's table of tokens is the built-in one.

use super::{Finding, source::Tree};
use std::collections::BTreeSet;

const TABLE: &str = "h402-core/src/asset/table.rs";

pub(super) fn untold(tree: &Tree) -> Vec<Finding> {
    let (Some(table), Some(readme)) = (tree.get(TABLE), tree.get("README.md")) else {
        return vec![Finding::new("tokens", TABLE, "it or the README is missing")];
    };
    let product = table.text.split("#[cfg(test)]").next().unwrap_or_default();
    let (built_in, told) = (tokens(product), tokens(table_rows(&readme.text).as_str()));
    let untold = built_in.difference(&told).map(|token| Finding::new("tokens", "README.md", format!("does not show {token}")));
    let unknown =
        told.difference(&built_in).map(|token| Finding::new("tokens", "README.md", format!("shows {token}, which is not built in")));
    untold.chain(unknown).collect()
}

fn table_rows(text: &str) -> String {
    text.lines().filter(|line| line.starts_with('|')).flat_map(|line| [line, "\n"]).collect()
}

/// Every EVM address in a text.
fn tokens(text: &str) -> BTreeSet<String> {
    let address = |rest: &str| rest.get(..40).filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit())).map(str::to_lowercase);
    text.split("0x").skip(1).filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::{super::fixture::tree, *};

    #[test]
    fn a_token_in_one_table_only_is_caught() {
        let (one, two) = ("0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913", "0x036CbD53842c5426634e7929541eC2318f3dCF7e");
        let found = |table: &str, readme: &str| untold(&tree(&[(TABLE, table), ("README.md", readme)])).len();
        assert_eq!(found(&format!("usdc(\"{one}\")"), &format!("pays {two}\n| base | `{}` |\n", one.to_lowercase())), 0);
        assert_eq!(found(&format!("usdc(\"{one}\"), usdc(\"{two}\")"), &format!("| base | `{one}` |\n")), 1);
        assert_eq!(found("", &format!("| base | `{one}` |\n")), 1);
        assert_eq!(untold(&tree(&[])).len(), 1);
    }
}
