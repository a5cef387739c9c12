//! What may not be on the way of a payment: untyped JSON, JSON names outside `wire`, input and output in the core.

use super::{
    Finding,
    source::{File, Rust, Tree, has_word},
};

const TYPED: [&str; 6] = [
    "h402-core/src",
    "h402-tower/src",
    "h402-facilitator/src/engine",
    "h402-facilitator/src/evm",
    "h402-facilitator/src/rpc",
    "h402-facilitator/src/server",
];

/// Of the standard library; clippy.toml of the core bans some of their functions by name, this the whole of them.
const IO: [&str; 8] = ["net", "fs", "thread", "process", "env", "io", "Instant", "SystemTime"];

/// `serde_json::Value` takes the last of two equal keys and turns large numbers into floats.
pub(super) fn untyped(tree: &Tree) -> Vec<Finding> {
    let inside = |path: &str| TYPED.iter().any(|part| under(path, part));
    found(tree, "untyped", inside, |line| {
        let untyped = has_word(line, "Value") || has_word(line, "Map") || line.contains("json!");
        (untyped && has_word(line, "serde_json")).then(|| "`serde_json::Value` on the path of a payment".to_owned())
    })
}

/// Only `h402-core::wire` knows JSON names; domain types have counterparts there.
pub(super) fn json_outside_wire(tree: &Tree) -> Vec<Finding> {
    let inside = |path: &str| under(path, "h402-core/src") && !under(path, "h402-core/src/wire");
    found(tree, "wire", inside, |line| {
        let word = ["Serialize", "Deserialize", "serde", "serde_json"].into_iter().find(|word| has_word(line, word))?;
        Some(format!("`{word}` outside h402-core::wire"))
    })
}

/// The core is told the time and asks nobody.
pub(super) fn io_in_core(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (file, rust) in tree.rust().filter(|(file, _)| under(&file.path, "h402-core/src")) {
        let product: Vec<(usize, &str)> = rust.product().collect();
        for (index, (number, line)) in product.iter().enumerate().filter(|(_, (_, line))| has_word(line, "std")) {
            // A `use` may go on for some lines.
            let rest: String = product.iter().skip(index).map(|(_, line)| *line).collect::<Vec<_>>().join(" ");
            let start = line.find("std").unwrap_or(0);
            let path = path(&rest[start..]);
            for word in IO.into_iter().filter(|word| has_word(&path, word)) {
                found.push(Finding::new("no I/O", format!("{}:{number}", file.path), format!("`std::{word}` in the core")));
            }
        }
    }
    found
}

/// A path or a whole `use` tree, from its first word to what cannot belong to it.
fn path(code: &str) -> String {
    let mut depth = 0_usize;
    let belongs = |c: &char| {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth > 0 || *c == '}' || *c == '_' || *c == ':' || c.is_alphanumeric() || c.is_whitespace()
    };
    code.chars().take_while(belongs).collect()
}

fn found(tree: &Tree, rule: &'static str, inside: impl Fn(&str) -> bool, breach: impl Fn(&str) -> Option<String>) -> Vec<Finding> {
    let look = |(file, rust): (&File, &Rust)| {
        let lines = rust.product().filter_map(|(number, line)| Some((number, breach(line)?)));
        lines.map(|(number, text)| Finding::new(rule, format!("{}:{number}", file.path), text)).collect::<Vec<_>>()
    };
    tree.rust().filter(|(file, _)| inside(&file.path)).flat_map(look).collect()
}

/// `a/b` holds `a/b.rs` and everything in the folder `a/b`.
fn under(path: &str, part: &str) -> bool {
    path.strip_prefix(part).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::{super::fixture::tree, *};

    type Rule = fn(&Tree) -> Vec<Finding>;

    fn caught(rule: Rule, path: &str, code: &str) -> usize {
        rule(&tree(&[(path, code)])).len()
    }

    #[test]
    fn untyped_json_is_caught_on_the_path_of_a_payment() {
        let bent = ["let v: serde_json::Value = x;", "use serde_json::{Map, Value};", "serde_json::json!({})"];
        for code in bent {
            assert_eq!(caught(untyped, "h402-facilitator/src/rpc.rs", code), 1, "{code}");
            assert_eq!(caught(untyped, "h402-tower/src/gate/price.rs", code), 1, "{code}");
            assert_eq!(caught(untyped, "h402-facilitator/src/sqlite.rs", code), 0, "{code}");
            assert_eq!(caught(untyped, "h402-tower/src/gate/tests.rs", code), 0, "{code}");
        }
        assert_eq!(caught(untyped, "h402-core/src/amount.rs", "serde_json::from_str::<RawValue>(json); // serde_json::Value"), 0);
    }

    #[test]
    fn json_names_are_caught_outside_wire() {
        let code = "#[derive(Serialize)] struct A;";
        assert_eq!(caught(json_outside_wire, "h402-core/src/amount.rs", code), 1);
        assert_eq!(caught(json_outside_wire, "h402-core/src/wire/h402.rs", code), 0);
        assert_eq!(caught(json_outside_wire, "h402-core/src/wire.rs", code), 0);
        assert_eq!(caught(json_outside_wire, "h402-core/src/wired.rs", code), 1);
    }

    #[test]
    fn input_and_output_are_caught_in_the_core() {
        let bent = [
            "use std::net as n;",
            "std :: fs::read(x)",
            "let a = std::time::Instant::now();",
            "std::env::var(x)",
            "use std::{\n    collections::BTreeMap,\n    time::SystemTime,\n};",
        ];
        for code in bent {
            assert_eq!(caught(io_in_core, "h402-core/src/time.rs", code), 1, "{code}");
            assert_eq!(caught(io_in_core, "h402-core/src/tests.rs", code), 0, "{code}");
        }
        for code in ["use core::time::Duration;", "use std::{collections::BTreeMap, sync::Arc}; mod net;", "f(std::sync::Arc::new(1), fs)"]
        {
            assert_eq!(caught(io_in_core, "h402-core/src/time.rs", code), 0, "{code}");
        }
    }
}
