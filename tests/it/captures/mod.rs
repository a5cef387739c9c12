//! What the reference's programs were recorded to say, against what ours say.
//!
//! Every recording in tests/vectors/captures is accounted for: the same, or different with a written reason, or not
//! applicable with a reason. A difference that is not written fails; a written one that has gone fails as well.

mod difference;
mod facilitator;
mod gate;
mod http;
mod pay;
mod recording;
mod vectors;

use difference::Found;
use h402_tests::rig::Rig;
use recording::{Part, Recording, additions, recordings};
use std::{collections::BTreeSet, fmt::Write as _};

/// How a recording compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    Same,
    Different,
    NotApplicable,
}

#[tokio::test(flavor = "multi_thread")]
async fn every_recording_is_the_same_or_different_for_a_written_reason() {
    let rig = Rig::start().await;
    let additions = additions();
    let mut used = BTreeSet::new();
    let mut faults: Vec<String> =
        additions.iter().filter(|addition| !is_reason(&addition.reason)).map(|addition| format!("no reason: {}", addition.what)).collect();
    let known: Vec<String> = additions.into_iter().map(|addition| addition.what).collect();
    let mut table: [(Standing, Vec<String>); 3] = [Standing::Same, Standing::Different, Standing::NotApplicable].map(|it| (it, Vec::new()));
    for recording in recordings() {
        let mut found = Found::new(known.iter().cloned());
        for part in &recording.compare {
            match part {
                Part::Gate => gate::compare(&recording, &mut found).await,
                Part::Pay => pay::compare(&recording, &mut found).await,
                Part::Facilitator => facilitator::compare(&recording, &mut found),
                Part::Http => http::compare(&recording, &rig, &mut found).await,
            }
        }
        let (standing, wrong) = account(&recording, &found.differences);
        used.extend(found.additions);
        faults.extend(wrong.into_iter().map(|fault| format!("{}: {fault}", recording.name)));
        table.iter_mut().find(|(known, _)| *known == standing).unwrap().1.push(recording.name);
    }
    faults.extend(known.iter().filter(|what| !used.contains(*what)).map(|what| format!("addition {what:?} is not seen any more")));
    println!("{}", print(&table));
    let [same, different, not_applicable] = [0, 1, 2].map(|index: usize| table[index].1.len());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert_eq!(same + different + not_applicable, 108, "recordings");
    let docs = include_str!("../../../docs/wire.md").split_whitespace().collect::<Vec<_>>().join(" ");
    let counts = format!("Today {same} are the same, {different} differ, and {not_applicable} cannot be compared");
    assert!(docs.contains(&counts), "docs/wire.md does not say: {counts}");
}

/// How a recording stands, and whatever is not accounted for.
fn account(recording: &Recording, differences: &[String]) -> (Standing, Vec<String>) {
    let written: Vec<&String> = recording.wanted.iter().flat_map(|wanted| &wanted.differences).collect();
    let mut faults = Vec::new();
    let reasons = recording.wanted.iter().map(|wanted| &wanted.reason).chain(&recording.not_applicable);
    faults.extend(reasons.filter(|reason| !is_reason(reason)).map(|reason| format!("no reason: {reason:?}")));
    faults.extend(differences.iter().filter(|found| !written.contains(found)).map(|found| format!("not written: {found}")));
    faults.extend(written.iter().filter(|known| !differences.contains(known)).map(|known| format!("not so any more: {known}")));
    if recording.compare.is_empty() != recording.not_applicable.is_some() {
        faults.push("is compared, or says why it is not".to_owned());
    }
    let standing = match (&recording.not_applicable, differences) {
        (Some(_), _) => Standing::NotApplicable,
        (None, []) => Standing::Same,
        (None, _) => Standing::Different,
    };
    (standing, faults)
}

/// One sentence at least.
fn is_reason(text: &str) -> bool {
    text.split_whitespace().count() > 3 && text.ends_with('.')
}

fn print(table: &[(Standing, Vec<String>)]) -> String {
    let mut text = String::new();
    for (standing, names) in table {
        let word = match standing {
            Standing::Same => "same",
            Standing::Different => "different",
            Standing::NotApplicable => "not applicable",
        };
        writeln!(text, "{word} {}", names.len()).unwrap();
        for name in names {
            writeln!(text, "  {name}").unwrap();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn faults(compare: serde_json::Value, differences: &[&str]) -> Vec<String> {
        let mut recording = json!({"name": "it", "note": "", "compare": ["gate"]});
        recording.as_object_mut().unwrap().extend(compare.as_object().unwrap().clone());
        let differences: Vec<String> = differences.iter().map(|&it| it.to_owned()).collect();
        account(&serde_json::from_value(recording).unwrap(), &differences).1
    }

    /// Without these, a table of reasons would soon be a table of stories.
    #[test]
    fn what_is_not_written_and_what_is_not_so_any_more_are_faults() {
        let written = json!({"wanted": [{"differences": ["a"], "reason": "It is better that way."}]});
        assert_eq!(faults(json!({}), &[]), [] as [&str; 0]);
        assert_eq!(faults(written.clone(), &["a"]), [] as [&str; 0]);
        assert_eq!(faults(json!({}), &["a"]), ["not written: a"]);
        assert_eq!(faults(written.clone(), &["a", "b"]), ["not written: b"]);
        assert_eq!(faults(written, &[]), ["not so any more: a"]);
        let bare = json!({"wanted": [{"differences": ["a"], "reason": "Because."}]});
        assert_eq!(faults(bare, &["a"]), [r#"no reason: "Because.""#]);
        assert_eq!(faults(json!({"compare": []}), &[]), ["is compared, or says why it is not"]);
        let excused = json!({"compare": [], "notApplicable": "There is no such thing here."});
        assert_eq!(faults(excused, &[]), [] as [&str; 0]);
        assert_eq!(faults(json!({"notApplicable": "There is no such thing here."}), &[]), ["is compared, or says why it is not"]);
    }
}
