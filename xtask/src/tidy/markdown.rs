//! The little of Markdown that the rules need.

/// The lines of a text outside code fences.
pub(super) fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            return None;
        }
        (!fenced).then_some((index + 1, line))
    })
}

/// The lines in code fences whose language is `language`.
pub(super) fn fenced<'a>(text: &'a str, language: &'a str) -> impl Iterator<Item = (usize, &'a str)> {
    let mut inside: Option<&str> = None;
    text.lines().enumerate().filter_map(move |(index, line)| {
        match (inside, line.trim_start().strip_prefix("```")) {
            (None, Some(info)) => inside = Some(info.trim()),
            (Some(_), Some(_)) => inside = None,
            (Some(info), None) if info == language => return Some((index + 1, line.trim())),
            _ => {}
        }
        None
    })
}

/// The names under which other documents link to a text's headings.
pub(super) fn anchors(text: &str) -> Vec<String> {
    let headings = prose(text).filter(|(_, line)| line.starts_with('#')).map(|(_, line)| slug(line.trim_start_matches('#')));
    let named = text.split("<a id=\"").skip(1).filter_map(|rest| rest.split('"').next()).map(str::to_owned);
    headings.chain(named).collect()
}

fn slug(heading: &str) -> String {
    let kept = heading.trim().chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_become_anchors_as_on_the_web_page() {
        let text = "# The house\n## `Store`, then act!\n```text\n# no heading\n```\n<a id=\"amount\"></a>\n";
        assert_eq!(anchors(text), ["the-house", "store-then-act", "amount"]);
    }

    #[test]
    fn fences_are_read_by_language() {
        let text = "```sh\na\n```\n```text\nb\n```\n```sh\nc\n```\n";
        assert_eq!(fenced(text, "sh").collect::<Vec<_>>(), [(2, "a"), (8, "c")]);
    }
}
