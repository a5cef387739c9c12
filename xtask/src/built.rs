//! Programs of the workspace, built and found.

use crate::step::{Failure, Line};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

/// Builds programs with this line of cargo; each by its name.
pub(crate) fn programs(line: &str, names: &[&str]) -> Result<BTreeMap<String, PathBuf>, Failure> {
    let line = names.iter().fold(Line::new(line).arg("--message-format=json"), |line, name| line.arg("--bin").arg(*name));
    let built = line.read()?;
    let programs: BTreeMap<_, _> = built.lines().filter_map(executable).filter(|(name, _)| names.contains(&name.as_str())).collect();
    if programs.len() == names.len() { Ok(programs) } else { Err(Failure::new("cargo built other programs than were asked for")) }
}

fn executable(line: &str) -> Option<(String, PathBuf)> {
    let message: serde_json::Value = serde_json::from_str(line).ok()?;
    let path = Path::new(message.get("executable")?.as_str()?);
    Some((path.file_name()?.to_str()?.to_owned(), path.to_owned()))
}
