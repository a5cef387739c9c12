use super::*;
use std::sync::Mutex;

/// A clock that stands where it is put.
#[derive(Clone)]
struct StoppedClock(Arc<Mutex<u64>>);

impl StoppedClock {
    fn at(seconds: u64) -> Self {
        Self(Arc::new(Mutex::new(seconds * 1000)))
    }

    fn set(&self, seconds: u64) {
        *self.0.lock().unwrap() = seconds * 1000;
    }
}

impl Clock for StoppedClock {
    fn now(&self) -> UnixMillis {
        UnixMillis(*self.0.lock().unwrap())
    }
}

fn answer(length: usize) -> StoredAnswer {
    StoredAnswer { status: 200, headers: vec![], body: vec![1; length].into() }
}

/// Does once what the writer does from time to time, with the database opened for it alone.
async fn tidy(directory: &Directory, clock: &StoppedClock) -> Duration {
    let path = directory.path("a.db");
    let lock = lock::Lock::take(&path, Duration::ZERO).await.unwrap();
    let readers = Arc::new(reader::Readers::new(vec![]));
    let conn = raw(&path).await;
    let mut writer = writer::Writer { conn, readers, clock: Arc::new(clock.clone()), answer_budget: 1 << 20, answer_bytes: 1 << 20, lock };
    let (after, failure) = writer.tidy().await;
    assert_eq!(failure, None);
    writer.conn.close().await.unwrap();
    after
}

async fn granted(store: &SqliteStore, new: NewGrant) {
    assert_eq!(store.0.write(Job::Claim(Box::new(new))).await, Ok(Outcome::Done));
}

/// T166: a grant goes ten minutes after its payment can no longer be presented, unless something is owed.
#[tokio::test]
async fn t166_grants_are_forgotten_ten_minutes_after_they_expire() {
    let directory = Directory::new();
    let clock = StoppedClock::at(2);
    let options = OpenOptions::default().with_clock(clock.clone());
    let mut store = directory.store_with(options.clone()).await;
    for (n, state) in (0..).zip(GrantState::ALL) {
        let mut new = new_grant(n);
        (new.grant.state, new.aliases) = (state, vec![key(n + 100)]);
        granted(&store, new).await;
    }
    let served = Grant { version: 2, state: GrantState::Served, ..new_grant(3).grant };
    assert!(store.grants().update(&served, Some(answer(10))).await.unwrap());
    apply(&store, claim(0)).await;
    // They expire at second 301.
    let all = GrantState::ALL.to_vec();
    for (second, kept) in [(300, all.clone()), (901, all), (902, vec![GrantState::Owed, GrantState::Credited])] {
        store.close().await.unwrap();
        clock.set(second);
        tidy(&directory, &clock).await;
        store = directory.store_with(options.clone()).await;
        for (n, state) in (0..).zip(GrantState::ALL) {
            for name in [key(n), key(n + 100)] {
                let loaded = store.grants().load(&name).await.unwrap();
                assert_eq!(loaded.is_some(), kept.contains(&state), "{state:?} as {name} at {second} s");
            }
        }
    }
    assert!(is_there(&store, 0).await, "payments are never forgotten");
    // A forgotten payment is free in this table; it cannot be presented any more, and the ledger knows it for ever.
    granted(&store, new_grant(100)).await;
}

/// T166: many go in several transactions, so that no claim waits long for one.
#[tokio::test]
async fn t166_many_grants_are_forgotten_a_few_at_a_time() {
    let directory = Directory::new();
    let clock = StoppedClock::at(2);
    let options = OpenOptions::default().with_clock(clock.clone());
    let store = directory.store_with(options.clone()).await;
    let claims: Vec<_> = (0..1200)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { granted(&store, new_grant(n)).await })
        })
        .collect();
    for claim in claims {
        claim.await.unwrap();
    }
    store.close().await.unwrap();
    clock.set(2000);
    for (left, soon) in [(700, true), (200, true), (0, false)] {
        let after = tidy(&directory, &clock).await;
        assert_eq!(after < Duration::from_secs(1), soon, "{left} are left");
        let store = directory.store_with(options.clone()).await;
        let Grant { payer, asset, .. } = new_grant(0).grant;
        assert_eq!(store.grants().exposure(&payer, &asset, UnixMillis(0)).await.unwrap().unsettled, left);
        store.close().await.unwrap();
    }
}

/// The runtime's clock is paused and rings the writer's timer whenever nothing else is to be done.
#[tokio::test(start_paused = true)]
async fn the_writer_forgets_by_itself() {
    let directory = Directory::new();
    let clock = StoppedClock::at(2);
    let store = directory.store_with(OpenOptions::default().with_clock(clock.clone())).await;
    granted(&store, new_grant(1)).await;
    clock.set(2000);
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_secs(31)).await;
        // Answered after whatever the writer was doing.
        store.ready().await.unwrap();
        if store.grants().load(&key(1)).await.unwrap().is_none() {
            return;
        }
    }
    panic!("it is there after fifty minutes");
}

/// An answer is answered for ten minutes to the millisecond, and deleted some time after.
#[tokio::test]
async fn answers_go_after_ten_minutes() {
    let directory = Directory::new();
    let clock = StoppedClock::at(2);
    let options = OpenOptions::default().with_clock(clock.clone());
    let store = directory.store_with(options.clone()).await;
    let grants = store.grants();
    let mut new = new_grant(1);
    // As far as SQLite can count.
    new.grant.expires_at = UnixMillis(u64::MAX / 2);
    granted(&store, new.clone()).await;
    let served = Grant { version: 2, state: GrantState::Served, updated_at: UnixMillis(2000), ..new.grant };
    assert!(grants.update(&served, Some(answer(10))).await.unwrap());
    for (second, kept) in [(2, true), (601, true), (602, false)] {
        clock.set(second);
        assert_eq!(grants.load(&key(1)).await.unwrap(), Some((served.clone(), kept.then(|| answer(10)))), "{second}");
    }
    store.close().await.unwrap();
    for (second, bytes) in [(601, 10), (602, 0)] {
        clock.set(second);
        tidy(&directory, &clock).await;
        let mut conn = raw(&directory.path("a.db")).await;
        assert_eq!(answers::total(&mut conn).await.unwrap(), bytes, "{second}");
        conn.close().await.unwrap();
    }
}

/// The oldest answers make room for the newest; the grants stay.
#[tokio::test]
async fn answers_stay_within_their_budget() {
    let directory = Directory::new();
    let budget = 1 << 20;
    let options = OpenOptions::default().with_clock(StoppedClock::at(100)).with_answer_budget(budget);
    let store = directory.store_with(options.clone()).await;
    let grants = store.grants();
    for n in 0..50 {
        granted(&store, new_grant(n)).await;
        let served = Grant { version: 2, state: GrantState::Served, updated_at: UnixMillis(10_000 + n), ..new_grant(n).grant };
        assert!(grants.update(&served, Some(answer(StoredAnswer::MAX_BODY))).await.unwrap());
        let mut lent = store.0.readers.lend().await.unwrap();
        let bytes = answers::total(lent.connection().unwrap()).await.unwrap();
        assert!(bytes <= budget + 65_536, "{bytes} after {n}");
    }
    store.close().await.unwrap();
    let store = directory.store_with(options).await;
    let mut kept = Vec::new();
    for n in 0..50 {
        kept.push(store.grants().load(&key(n)).await.unwrap().unwrap().1.is_some());
    }
    let newest = kept.iter().rev().take_while(|kept| **kept).count();
    assert!((13..=16).contains(&newest), "{newest} of 64 KiB fit into 1 MiB");
    assert_eq!(kept.iter().filter(|kept| **kept).count(), newest, "the newest ones are kept: {kept:?}");
}
