//! Links between our own documents lead somewhere.

use super::{Finding, markdown, source::Tree};

/// Relative links of Markdown files.
pub(super) fn broken(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for file in tree.markdown() {
        let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
        for (number, line) in markdown::prose(&file.text) {
            for target in targets(line).filter(|target| !target.contains("://") && !target.starts_with("mailto:")) {
                let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
                let path = if path.is_empty() { file.path.clone() } else { join(folder, path) };
                if let Some(why) = miss(tree, &path, anchor) {
                    found.push(Finding::new("links", format!("{}:{number}", file.path), format!("{target}: {why}")));
                }
            }
        }
    }
    found
}

/// `docs/….md#…` in the comments of sources.
pub(super) fn broken_in_sources(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (file, _) in tree.rust().filter(|(file, _)| !file.path.starts_with("xtask/")) {
        for (index, line) in file.text.lines().enumerate().filter(|(_, line)| line.trim_start().starts_with("//")) {
            for (at, _) in line.match_indices("docs/") {
                let end = |c: char| !c.is_ascii_alphanumeric() && !matches!(c, '/' | '.' | '#' | '-' | '_');
                let target = line[at..].split(end).next().unwrap_or_default().trim_end_matches('.');
                let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
                if path.ends_with(".md")
                    && let Some(why) = miss(tree, path, anchor)
                {
                    found.push(Finding::new("links", format!("{}:{}", file.path, index + 1), format!("{target}: {why}")));
                }
            }
        }
    }
    found
}

fn miss(tree: &Tree, path: &str, anchor: &str) -> Option<&'static str> {
    if !tree.has(path.trim_end_matches('/')) {
        return Some("no such file");
    }
    let anchored = anchor.is_empty() || tree.get(path).is_none_or(|file| markdown::anchors(&file.text).iter().any(|known| known == anchor));
    (!anchored).then_some("no such heading")
}

fn targets(line: &str) -> impl Iterator<Item = &str> {
    line.split("](").skip(1).filter_map(|rest| rest.split(')').next())
}

fn join(folder: &str, path: &str) -> String {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::{super::fixture::tree, *};

    #[test]
    fn links_that_lead_nowhere_are_caught() {
        let others = [("README.md", "# One\n"), ("docs/wire.md", "# Amount of it\n")];
        let all = |text| tree(&[others[0], others[1], ("docs/adr/1.md", text)]);
        let good = [
            "[a](../wire.md)",
            "[a](../wire.md#amount-of-it)",
            "[a](../../README.md#one)",
            "[a](..)",
            "[a](https://example.com/x.md)",
            "```text\n[a](nowhere.md)\n```",
        ];
        for text in good {
            assert_eq!(broken(&all(text)), [], "{text}");
        }
        for text in ["[a](wire.md)", "[a](../wire.md#price)", "[a](#two)", "x [a](..) [b](2.md)"] {
            assert_eq!(broken(&all(text)).len(), 1, "{text}");
        }
    }

    #[test]
    fn comments_that_point_nowhere_are_caught() {
        let all = |text| tree(&[("docs/wire.md", "# Amount\n"), ("h402-core/src/a.rs", text)]);
        assert_eq!(broken_in_sources(&all("/// See docs/wire.md#amount.\n//! docs/wire.md.\n")), []);
        for text in ["/// docs/wire.md#price", "// docs/wires.md; x"] {
            assert_eq!(broken_in_sources(&all(text)).len(), 1, "{text}");
        }
    }
}
