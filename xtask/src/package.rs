//! Builds what would be published, each crate from its own package and the others from theirs.

use crate::{
    metadata::PUBLISHED,
    profile,
    step::{Failure, Line, scratch},
};
use std::path::{Path, PathBuf};

/// `rest` goes to cargo: `--allow-dirty` while working.
pub(crate) fn run(rest: &[&str]) -> Result<(), Failure> {
    forget_earlier_packages()?;
    let mut line = Line::new("cargo package --locked");
    for name in PUBLISHED {
        line = line.arg("-p").arg(name);
    }
    for word in rest {
        line = line.arg(*word);
    }
    profile::keep(line)?.run()
}

/// Cargo takes a package of one version for unchangeable and keeps what it unpacked and built from it. Ours change
/// without a new version until they are published: a second run on one machine would build the first run's sources.
fn forget_earlier_packages() -> Result<(), Failure> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    let Some(home) = home else { return Err(Failure::new("neither CARGO_HOME nor HOME is set")) };
    // A registry in a folder has no host: its name here begins with the dash before the hash.
    let unpacked = folders(&home.join("registry/src")).into_iter().filter(|folder| name(folder).starts_with('-'));
    let built = scratch("")?.join("../debug/.fingerprint");
    for folder in unpacked.chain([built]).flat_map(|folder| folders(&folder)) {
        if PUBLISHED.iter().any(|package| name(&folder).starts_with(&format!("{package}-"))) {
            std::fs::remove_dir_all(&folder).map_err(|error| Failure::new(format!("remove {}: {error}", folder.display())))?;
        }
    }
    Ok(())
}

fn folders(parent: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect()
}

fn name(folder: &Path) -> &str {
    folder.file_name().and_then(|name| name.to_str()).unwrap_or_default()
}
