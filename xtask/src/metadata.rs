//! What cargo knows of the workspace.

use crate::step::{Failure, Line};
use serde_json::Value;
use std::collections::BTreeSet;

/// The crates that are published, in the order in which they depend on each other.
pub(crate) const PUBLISHED: [&str; 3] = ["h402-core", "h402-tower", "h402-facilitator"];

/// A package of the workspace.
#[derive(Debug, Clone, Default)]
pub(crate) struct Package {
    pub(crate) name: String,
    pub(crate) features: BTreeSet<String>,
    /// Names of the packages it depends on, in any way.
    pub(crate) dependencies: BTreeSet<String>,
    /// (kind, name) of its targets, such as `("bench", "claims")`.
    pub(crate) targets: BTreeSet<(String, String)>,
}

/// A package that the workspace is built with.
#[derive(Debug, Clone)]
pub(crate) struct Foreign {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) licence: Option<String>,
    /// Where it comes from; `None` for our own.
    pub(crate) source: Option<String>,
    /// What the whole workspace, with all its features, switches on in it.
    pub(crate) features: BTreeSet<String>,
}

/// The packages of this workspace.
pub(crate) fn workspace() -> Result<Vec<Package>, Failure> {
    let metadata = parse(&Line::new("cargo metadata --format-version 1 --no-deps --locked").read()?)?;
    Ok(list(&metadata, "packages").iter().map(package).collect())
}

/// Everything that is built on this machine, ours included.
pub(crate) fn everything() -> Result<Vec<Foreign>, Failure> {
    let version = Line::new("rustc -vV").read()?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).ok_or_else(|| Failure::new("rustc names no host"))?;
    let metadata = Line::new("cargo metadata --format-version 1 --locked --offline --all-features --filter-platform").arg(host).read()?;
    let metadata = parse(&metadata)?;
    let nodes = metadata.get("resolve").map(|resolve| list(resolve, "nodes")).unwrap_or_default();
    let packages = list(&metadata, "packages");
    let found = nodes.iter().filter_map(|node| {
        let id = text(node, "id")?;
        let package = packages.iter().find(|package| text(package, "id").as_ref() == Some(&id))?;
        Some(Foreign {
            name: text(package, "name")?,
            version: text(package, "version")?,
            licence: text(package, "license"),
            source: text(package, "source"),
            features: list(node, "features").iter().filter_map(|feature| feature.as_str().map(str::to_owned)).collect(),
        })
    });
    Ok(found.collect())
}

fn package(value: &Value) -> Package {
    let features = value.get("features").and_then(Value::as_object);
    let target = |target: &Value| {
        let kind = list(target, "kind").first().and_then(Value::as_str).unwrap_or_default().to_owned();
        Some((kind, text(target, "name")?))
    };
    Package {
        name: text(value, "name").unwrap_or_default(),
        features: features.map(|features| features.keys().cloned().collect()).unwrap_or_default(),
        dependencies: list(value, "dependencies").iter().filter_map(|dependency| text(dependency, "name")).collect(),
        targets: list(value, "targets").iter().filter_map(target).collect(),
    }
}

fn parse(json: &str) -> Result<Value, Failure> {
    serde_json::from_str(json).map_err(|error| Failure::new(format!("cargo metadata: {error}")))
}

fn text(value: &Value, field: &str) -> Option<String> {
    value.get(field)?.as_str().map(str::to_owned)
}

fn list(value: &Value, field: &str) -> Vec<Value> {
    value.get(field).and_then(Value::as_array).cloned().unwrap_or_default()
}
