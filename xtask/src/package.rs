//! Builds what would be published, each crate from its own package and the others from theirs.

use crate::{
    metadata::PUBLISHED,
    profile,
    step::{Failure, Line},
};

/// `rest` goes to cargo: `--allow-dirty` while working.
pub(crate) fn run(rest: &[&str]) -> Result<(), Failure> {
    let mut line = Line::new("cargo package --locked");
    for name in PUBLISHED {
        line = line.arg("-p").arg(name);
    }
    for word in rest {
        line = line.arg(*word);
    }
    profile::keep(line)?.run()
}
