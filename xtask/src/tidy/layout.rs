//! No file grows beyond what a reader keeps in mind.

use super::{Finding, source::Tree};

const MOST: usize = 400;

pub(super) fn too_long(tree: &Tree) -> Vec<Finding> {
    let found = tree.rust().filter_map(|(file, rust)| {
        let lines = rust.product().count();
        (lines > MOST).then(|| Finding::new("length", &file.path, format!("{lines} lines besides tests; {MOST} are allowed")))
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::{super::fixture::tree, *};

    #[test]
    fn a_file_of_more_than_400_lines_is_caught() {
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "//\n".repeat(500));
        let good = format!("{}{tests}", "fn a() {}\n".repeat(400));
        let bent = format!("{}{tests}", "fn a() {}\n".repeat(401));
        assert_eq!(too_long(&tree(&[("a.rs", &good)])), []);
        assert_eq!(too_long(&tree(&[("a.rs", &bent)])).len(), 1);
        assert_eq!(too_long(&tree(&[("h402-core/tests/a.rs", &bent)])), []);
    }
}
