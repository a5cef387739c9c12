use super::{Lease as L, LeaseEffect as F, LeaseEvent as E, *};
use proptest::prelude::*;

const TERMS: LeaseTerms = LeaseTerms::DEFAULT;

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Every state and every event, by hand: at 10 s, in epoch 3, held until 11 s, or lost since 10 s.
#[test]
fn every_event_is_answered_in_every_state() {
    let now = ms(10_000);
    let drives = |until| L::Drives { epoch: 3, until: ms(until) };
    let (holding, late) = (drives(11_000), drives(10_000));
    let (begin, end) = (|epoch| F::Begin { epoch }, F::End { epoch: 3 });
    let held = |asked, epoch, left| E::Held { asked: ms(asked), epoch, left: ms(left) };
    let table = [
        (L::Follows, held(9_900, 4, 6_000), L::Drives { epoch: 4, until: ms(14_900) }, begin(4)),
        (L::Follows, held(9_900, 4, 2_000), L::Drives { epoch: 4, until: ms(10_900) }, begin(4)),
        (L::Follows, held(9_900, 4, 60_000), L::Drives { epoch: 4, until: ms(14_900) }, begin(4)),
        (L::Follows, held(5_001, 4, 6_000), L::Drives { epoch: 4, until: ms(10_001) }, begin(4)),
        (L::Follows, held(5_000, 4, 6_000), L::Follows, F::None),
        (L::Follows, held(0, 4, 6_000), L::Follows, F::None),
        (L::Follows, held(10_000, 4, 900), L::Follows, F::None),
        (L::Follows, E::Other, L::Follows, F::None),
        (L::Follows, E::Tick, L::Follows, F::None),
        (L::Follows, E::Fenced { epoch: 3 }, L::Follows, F::None),
        (L::Follows, E::Stop, L::Ended, F::None),
        (holding, held(9_900, 3, 6_000), drives(14_900), F::None),
        (holding, held(4_000, 3, 6_000), holding, F::None),
        (holding, held(9_900, 4, 6_000), L::Follows, end),
        (holding, E::Other, L::Follows, end),
        (holding, E::Tick, holding, F::None),
        (holding, E::Fenced { epoch: 3 }, L::Follows, end),
        (holding, E::Fenced { epoch: 2 }, holding, F::None),
        (holding, E::Stop, L::Ended, end),
        (late, held(9_900, 3, 6_000), L::Follows, end),
        (late, held(9_900, 4, 6_000), L::Follows, end),
        (late, E::Other, L::Follows, end),
        (late, E::Tick, L::Follows, end),
        (late, E::Fenced { epoch: 3 }, L::Follows, end),
        (late, E::Fenced { epoch: 2 }, L::Follows, end),
        (late, E::Stop, L::Ended, end),
        (L::Ended, held(9_900, 4, 6_000), L::Ended, F::None),
        (L::Ended, E::Other, L::Ended, F::None),
        (L::Ended, E::Tick, L::Ended, F::None),
        (L::Ended, E::Fenced { epoch: 3 }, L::Ended, F::None),
        (L::Ended, E::Stop, L::Ended, F::None),
    ];
    for (state, event, next, effect) in table {
        assert_eq!(state.step(event, now, TERMS), (next, effect), "{state:?} {event:?}");
    }
    assert_eq!((holding.epoch_at(now), holding.epoch_at(ms(11_000))), (Some(3), None));
    assert_eq!((late.epoch_at(now), L::Follows.epoch_at(now), L::Ended.epoch_at(now)), (None, None, None));
}

/// What the store does, by its own clock: true time. One holder until its time is over; a new epoch for a new holder.
#[derive(Default)]
struct Store {
    holder: Option<usize>,
    until: u64,
    epoch: u64,
}

impl Store {
    fn ask(&mut self, who: usize, now: u64) -> Option<(u64, Duration)> {
        if self.holder != Some(who) {
            if self.holder.is_some() && now < self.until {
                return None;
            }
            self.holder = Some(who);
            self.epoch += 1;
        }
        self.until = now + u64::try_from(TERMS.ttl.as_millis()).unwrap();
        Some((self.epoch, TERMS.ttl))
    }

    fn release(&mut self, who: usize) {
        if self.holder == Some(who) {
            self.until = 0;
        }
    }
}

/// A process: its clock runs at `rate` thousandths of true time, from `start` on.
struct Process {
    lease: L,
    rate: u64,
    start: u64,
    /// Questions that the store has not seen yet, and answers that have not arrived yet, both with when they were asked.
    asked: Vec<Duration>,
    told: Vec<E>,
}

impl Process {
    fn time(&self, now: u64) -> Duration {
        ms(self.start + now * self.rate / 1000)
    }

    fn step(&mut self, event: E, now: u64) -> F {
        let (lease, effect) = self.lease.step(event, self.time(now), TERMS);
        self.lease = lease;
        effect
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Of any number of processes, whose clocks run up to 15 % too slow or too fast and whose questions and answers take
    /// any time, at most one believes at any time that it drives, and it is the one that the store has, in its epoch.
    #[test]
    fn at_most_one_drives(
        clocks in proptest::collection::vec((850u64..1150, 0u64..1_000_000), 2..5),
        steps in proptest::collection::vec((0usize..4, 0u8..8, 0u64..1500), 1..200),
    ) {
        let new = |(rate, start)| Process { lease: L::Follows, rate, start, asked: Vec::new(), told: Vec::new() };
        let mut processes: Vec<Process> = clocks.into_iter().map(new).collect();
        let (mut store, mut now) = (Store::default(), 0);
        for (who, what, pause) in steps {
            now += pause;
            let who = who % processes.len();
            let process = &mut processes[who];
            match what {
                0 | 1 => process.asked.push(process.time(now)),
                2 | 3 => if !process.asked.is_empty() {
                    let asked = process.asked.remove(0);
                    let answer = store.ask(who, now);
                    process.told.push(answer.map_or(E::Other, |(epoch, left)| E::Held { asked, epoch, left }));
                },
                4 | 5 => if !process.told.is_empty() {
                    let told = process.told.remove(0);
                    process.step(told, now);
                },
                6 => drop(process.step(E::Tick, now)),
                // A process that has ended is replaced by a new one, which knows nothing of the old one's questions.
                _ => {
                    process.step(E::Stop, now);
                    store.release(who);
                    process.lease = L::Follows;
                    process.asked.clear();
                    process.told.clear();
                }
            }
            let driving: Vec<(usize, u64)> =
                processes.iter().enumerate().filter_map(|(who, process)| Some((who, process.lease.epoch_at(process.time(now))?))).collect();
            prop_assert!(driving.len() <= 1, "{driving:?}");
            if let [(who, epoch)] = driving[..] {
                prop_assert_eq!((store.holder, store.epoch), (Some(who), epoch));
                prop_assert!(now < store.until);
            }
        }
    }
}
