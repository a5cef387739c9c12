//! The rules of the house that no compiler checks. Each has a test that bends it and sees it caught.

mod code;
mod commands;
mod dependencies;
mod layout;
mod links;
mod markdown;
mod names;
mod payment_path;
mod source;
mod tests_kept;
mod threats;
mod tokens;

use crate::{
    metadata,
    step::{Failure, Line},
};
use source::Tree;
use std::fmt;

/// One breach of one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Finding {
    rule: &'static str,
    place: String,
    text: String,
}

impl Finding {
    fn new(rule: &'static str, place: impl Into<String>, text: impl Into<String>) -> Self {
        Self { rule, place: place.into(), text: text.into() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {} [{}]", self.place, self.text, self.rule)
    }
}

pub(crate) fn run() -> Result<(), Failure> {
    let tree = Tree::read()?;
    let packages = metadata::workspace()?;
    let core_needs = Line::new("cargo tree --locked --offline -p h402-core -e normal --prefix none").read()?;
    let everything = metadata::everything()?;
    let findings: Vec<Finding> = [
        layout::too_long(&tree),
        names::vague(&tree),
        payment_path::untyped(&tree),
        payment_path::json_outside_wire(&tree),
        payment_path::io_in_core(&tree),
        code::lints_denied(&tree),
        code::lints_silenced(&tree),
        code::lints_of_the_workspace(&tree),
        tests_kept::left_out(&tree),
        links::broken(&tree),
        links::broken_in_sources(&tree),
        commands::unknown(&tree),
        threats::uncovered(&tree),
        threats::gone(&tree),
        tokens::untold(&tree),
        dependencies::arrows(&packages),
        dependencies::core_tree(&core_needs),
        dependencies::features(&everything),
        dependencies::origins(&everything),
    ]
    .concat();
    for finding in &findings {
        eprintln!("{finding}");
    }
    eprintln!("tidy: {} files, {} packages, {} findings", tree.len(), everything.len(), findings.len());
    if findings.is_empty() { Ok(()) } else { Err(Failure::new(format!("tidy: {} findings", findings.len()))) }
}

#[cfg(test)]
mod fixture;
