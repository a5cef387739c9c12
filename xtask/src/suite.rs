//! Runs test suites and counts what they ran: a suite that ran nothing, or left something out, has failed.

use crate::step::{Failure, Line};

/// What the `test result:` lines of libtest add up to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Count {
    passed: u64,
    failed: u64,
    left_out: u64,
}

impl Count {
    fn read(&mut self, line: &str) {
        let Some(result) = line.trim().strip_prefix("test result: ") else { return };
        for part in result.split([';', '.']) {
            let mut words = part.split_whitespace();
            let (Some(number), Some(what)) = (words.next().and_then(|word| word.parse::<u64>().ok()), words.next()) else { continue };
            match what {
                "passed" => self.passed += number,
                "failed" => self.failed += number,
                "ignored" | "filtered" => self.left_out += number,
                _ => {}
            }
        }
    }

    fn verdict(self, line: &Line) -> Result<(), Failure> {
        eprintln!("{line}: {} passed, {} failed, {} left out", self.passed, self.failed, self.left_out);
        match self {
            Self { passed: 0, .. } => Err(Failure::new(format!("{line}: no test ran"))),
            Self { failed: 0, left_out: 0, .. } => Ok(()),
            _ => Err(Failure::new(format!("{line}: {} tests failed, {} were left out", self.failed, self.left_out))),
        }
    }
}

/// Runs a suite whole.
pub(crate) fn run(line: &Line) -> Result<(), Failure> {
    let mut count = Count::default();
    line.watch(|text| count.read(text))?;
    count.verdict(line)
}

/// Runs the part of a suite that the command names; the rest is left out on purpose.
pub(crate) fn run_part(line: &Line) -> Result<(), Failure> {
    let mut count = Count::default();
    line.watch(|text| count.read(text))?;
    Count { left_out: 0, ..count }.verdict(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s";

    fn verdict(lines: &[&str]) -> Result<(), Failure> {
        let mut count = Count::default();
        lines.iter().for_each(|line| count.read(line));
        count.verdict(&Line::new("cargo test"))
    }

    #[test]
    fn a_suite_counts_only_if_it_ran_whole() {
        assert_eq!(verdict(&["running 12 tests", GOOD, GOOD]), Ok(()));
        let bent = [
            "",
            "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s",
            "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.10s",
            "test result: ok. 12 passed; 0 failed; 0 ignored; 0 measured; 3 filtered out; finished in 0.10s",
            "test result: FAILED. 11 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s",
        ];
        for line in bent {
            assert!(verdict(&[line]).is_err(), "{line:?}");
        }
    }
}
