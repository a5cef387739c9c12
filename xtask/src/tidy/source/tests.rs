use super::*;

#[test]
fn comments_and_literals_are_blanked_and_lines_stay() {
    let cases = [
        ("let a = \"x // y\"; // z", "let a = \"       ;     "),
        ("r#\"a \"b\" }\"# {", "r            {"),
        ("br\"}\" }", "b     }"),
        ("for 'a in x { '}' }", "for 'a in x { '   }"),
        (r"'\'' '\\' b'{'", "'    '    b'  "),
        ("/* a /* b */ { */ c\n\"d\ne\"f", "                  c\n\" \n  f"),
        ("\"\\\"{\" x", "\"     x"),
        ("r#type", "r#type"),
        ("\"ä\" ö", "\"   ö"),
    ];
    for (text, code) in cases {
        assert_eq!(blank(text), code, "{text}");
    }
}

#[test]
fn test_code_is_told_from_the_rest() {
    let text = "\
fn a() { let b = '{'; }
#[cfg(test)]
#[allow(dead_code)]
mod tests {
    fn c() { \"}\"; }
}
fn d() {}
#[cfg(all(test, unix))]
use e::{f, g};
#[cfg(not(test))]
fn h() {}
#[cfg(test)]
mod tests;
";
    let rust = Rust::new("h402-core/src/a.rs", text);
    let product: Vec<usize> = rust.product().map(|(number, _)| number).collect();
    assert_eq!(product, [1, 7, 10, 11]);
}

#[test]
fn test_files_are_told_by_their_path() {
    let test = ["h402-core/src/amount/tests.rs", "h402-core/tests/vectors.rs", "tests/harness/lib.rs", "tests/devnet/tests/evm/pool.rs"];
    let product = ["h402-core/src/amount.rs", "tests/devnet/src/lib.rs", "h402-core/src/contests.rs"];
    for path in test {
        assert!(is_test_file(path), "{path}");
    }
    for path in product {
        assert!(!is_test_file(path), "{path}");
    }
}

#[test]
fn words_are_whole() {
    assert!(has_word("derive(Serialize)", "Serialize"));
    assert!(!has_word("derive(NotSerialize, Serialized)", "Serialize"));
}
