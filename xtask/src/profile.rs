//! The workspace's build profiles as a cargo configuration file.
//!
//! A package that cargo builds by itself has no profiles: without this everything it needs would be compiled again.

use crate::step::{Failure, Line, root, scratch};

/// Adds the profiles to a command.
pub(crate) fn keep(line: Line) -> Result<Line, Failure> {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).map_err(|error| Failure::new(format!("Cargo.toml: {error}")))?;
    let file = scratch("profile")?.join("profile.toml");
    std::fs::write(&file, profiles(&manifest)).map_err(|error| Failure::new(format!("{}: {error}", file.display())))?;
    Ok(line.arg("--config").arg(file.display().to_string()))
}

fn profiles(manifest: &str) -> String {
    let mut inside = false;
    let lines = manifest.lines().filter(|line| {
        if line.starts_with('[') {
            inside = line.starts_with("[profile.");
        }
        inside
    });
    lines.flat_map(|line| [line, "\n"]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_and_nothing_else_are_taken() {
        let manifest =
            "[package]\nname = \"a\"\n[profile.dev]\ndebug = false\n\n[profile.dev.package]\nb = { opt-level = 3 }\n[lints]\nc = 1\n";
        assert_eq!(profiles(manifest), "[profile.dev]\ndebug = false\n\n[profile.dev.package]\nb = { opt-level = 3 }\n");
    }
}
