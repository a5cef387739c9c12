//! For tests: a tree of files from memory.

use super::source::Tree;

pub(super) fn tree(files: &[(&str, &str)]) -> Tree {
    Tree::new(files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())))
}
