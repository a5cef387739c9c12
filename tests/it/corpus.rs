//! What libFuzzer has found of interest, through the same functions again (docs/fuzz.md).

use h402_fuzz::Target;
use std::{collections::BTreeSet, fs, path::PathBuf};

fn corpus() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus")
}

fn inputs(target: &Target) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = fs::read_dir(corpus().join(target.name)).unwrap_or_else(|error| panic!("{}: {error}", target.name));
    let mut inputs: Vec<_> = entries.map(|entry| entry.unwrap().path()).map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    inputs.sort();
    inputs
}

/// T093 to T100, T107: no bytes that were found to lead somewhere make a decoder panic, or say two things.
#[test]
fn every_input_of_the_corpora_holds() {
    for target in Target::ALL {
        let inputs = inputs(&target);
        assert!(inputs.len() >= 5, "{} has a corpus of {}", target.name, inputs.len());
        for (path, bytes) in inputs {
            let held = std::panic::catch_unwind(|| target.run(&bytes));
            assert!(held.is_ok(), "{}", path.display());
            assert!(bytes.len() <= target.longest, "{} is longer than is tried", path.display());
        }
    }
}

/// A corpus that no target reads is a target that was renamed, or forgotten.
#[test]
fn every_corpus_has_its_target() {
    let folders: BTreeSet<String> =
        fs::read_dir(corpus()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let targets: BTreeSet<String> = Target::ALL.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(folders, targets);
}
