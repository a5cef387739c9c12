//! Clocks and lines.

use std::time::{Duration, Instant};

/// Prints one figure.
pub(crate) fn line(what: &str, figure: impl std::fmt::Display) {
    println!("{what:<74} {figure}");
}

/// Prints a ratio beside its goal.
pub(crate) fn ratio(what: &str, ratio: f64, goal: &str) {
    println!("{what:<74} {ratio:.2}  (goal {goal})");
}

/// Nanoseconds of one call, the best of several rounds: the floor and the measured alternate in the same run.
pub(crate) fn alternate(rounds: usize, calls: u32, mut floor: impl FnMut(), mut measured: impl FnMut()) -> (f64, f64) {
    let time = |call: &mut dyn FnMut()| {
        let start = Instant::now();
        for _ in 0..calls {
            call();
        }
        start.elapsed().as_secs_f64() * 1e9 / f64::from(calls)
    };
    let mut best = (f64::MAX, f64::MAX);
    for _ in 0..rounds {
        best.0 = best.0.min(time(&mut floor));
        best.1 = best.1.min(time(&mut measured));
    }
    best
}

/// The value in the middle: of ratios of neighbouring rounds, one that other work on the machine hardly moves.
pub(crate) fn median(figures: &mut [f64]) -> f64 {
    figures.sort_unstable_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// The value below which `percent` of the durations lie, in milliseconds.
pub(crate) fn percentile(durations: &mut [Duration], percent: usize) -> f64 {
    durations.sort_unstable();
    let at = (durations.len() * percent / 100).min(durations.len().saturating_sub(1));
    durations[at].as_secs_f64() * 1e3
}
