use super::trouble::break_table;
use super::*;

const HEADER: usize = 32;
const FRAME: usize = 24 + 4096;

/// Counts the commits that are whole in a log: frames that state the size of the database after them, which the
/// format description at sqlite.org/fileformat2.html#walformat puts at bytes 4 to 8 of a frame.
fn commits(log: &[u8]) -> usize {
    let frames = log.get(HEADER..).unwrap_or_default().chunks_exact(FRAME);
    frames.filter(|frame| frame[4..8] != [0; 4]).count()
}

/// A store as a power cut leaves it: the database, and a log with ten commits of one claim each.
async fn cut_off(directory: &Directory) -> (Vec<u8>, Vec<u8>, usize) {
    let store = directory.store().await;
    for n in 100..200 {
        apply(&store, claim(n)).await;
    }
    store.close().await.unwrap();
    let store = directory.store().await;
    store.ready().await.unwrap();
    let read = |name| std::fs::read(directory.path(name)).unwrap();
    let before = commits(&read("a.db-wal"));
    for n in 0..10 {
        apply(&store, claim(n)).await;
    }
    let (database, log) = (read("a.db"), read("a.db-wal"));
    assert_eq!(commits(&log), before + 10);
    store.close().await.unwrap();
    (database, log, before)
}

async fn reopen(directory: &Directory, database: &[u8], log: &[u8]) -> Result<SqliteStore, OpenError> {
    std::fs::write(directory.path("b.db"), database).unwrap();
    std::fs::write(directory.path("b.db-wal"), log).unwrap();
    SqliteStore::open(directory.path("b.db"), OpenOptions::default()).await
}

/// How many of the ten claims are there; they must be the first ones.
async fn recovered(store: &SqliteStore, case: &str) -> usize {
    let mut there = Vec::new();
    for n in 0..10 {
        there.push(is_there(store, n).await);
    }
    let count = there.iter().filter(|there| **there).count();
    assert!(there[..count].iter().all(|there| *there), "{case}: {there:?}");
    count
}

/// T151: wherever the log is cut, the database is as of the last commit that is whole, and can be written again.
#[tokio::test]
async fn t151_a_torn_log_recovers_to_the_last_commit() {
    let directory = Directory::new();
    let (database, log, before) = cut_off(&directory).await;
    let frames = (log.len() - HEADER) / FRAME;
    let cuts = (0..=frames).flat_map(|frame| [0, 1, 23, 24, 2000, FRAME - 1].map(|more| HEADER + frame * FRAME + more));
    let mut seen = std::collections::BTreeSet::new();
    for cut in [0, 1, HEADER - 1].into_iter().chain(cuts).filter(|cut| *cut <= log.len()) {
        let store = reopen(&directory, &database, &log[..cut]).await.unwrap();
        let expected = commits(&log[..cut]).saturating_sub(before);
        assert_eq!(recovered(&store, &format!("cut at {cut}")).await, expected, "cut at {cut}");
        seen.insert(expected);
        assert_eq!(apply(&store, claim(50)).await, Applied::Applied, "cut at {cut}");
        store.close().await.unwrap();
    }
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), (0..=10).collect::<Vec<_>>(), "every number of commits was left once");
}

/// T151: a log with a wrong byte counts up to the frame before.
#[tokio::test]
async fn t151_a_wrong_byte_in_the_log_ends_it_there() {
    let directory = Directory::new();
    let (database, log, before) = cut_off(&directory).await;
    for at in (HEADER..log.len()).step_by(1237) {
        let mut log = log.clone();
        log[at] ^= 0x10;
        let whole = HEADER + (at - HEADER) / FRAME * FRAME;
        let expected = commits(&log[..whole]).saturating_sub(before);
        let store = reopen(&directory, &database, &log).await.unwrap();
        assert_eq!(recovered(&store, &format!("byte {at}")).await, expected, "byte {at}");
        store.close().await.unwrap();
    }
}

/// T151: after an unclean stop the database is looked at before anything is written to it.
#[tokio::test]
async fn t151_a_damaged_database_is_not_opened_after_a_crash() {
    let directory = Directory::new();
    let (database, log, _) = cut_off(&directory).await;
    let store = reopen(&directory, &database, &log).await.unwrap();
    assert_eq!(recovered(&store, "undamaged").await, 10);
    store.close().await.unwrap();
    for table in ["payments", "payments_unfinished"] {
        std::fs::write(directory.path("c.db"), &database).unwrap();
        break_table(&directory.path("c.db"), table).await;
        let damaged = std::fs::read(directory.path("c.db")).unwrap();
        // Frames of this page would hide the damage, so only the log's first commit is left, which has none.
        let refused = reopen(&directory, &damaged, &log[..HEADER + FRAME]).await;
        assert!(matches!(refused, Err(OpenError::Damaged { .. })), "{table}: {refused:?}");
        // Nor the second time, when there is no log any more.
        assert!(!directory.path("b.db-wal").exists());
        let refused = SqliteStore::open(directory.path("b.db"), OpenOptions::default()).await;
        assert!(matches!(refused, Err(OpenError::Damaged { .. })), "{table}: {refused:?}");
    }
}

/// T142: rows a dead process was working on are free at once; their versions and all else are as they were.
#[tokio::test]
async fn t142_rows_of_a_dead_process_are_free() {
    let directory = Directory::new();
    let store = directory.store().await;
    let mut new = new_grant(1);
    new.grant.busy_until = UnixMillis(u64::MAX / 4);
    assert_eq!(store.0.write(Job::Claim(Box::new(new.clone()))).await, Ok(Outcome::Done));
    let grants = store.grants();
    let (stored, _) = grants.load(&key(1)).await.unwrap().unwrap();
    assert_eq!(stored, new.grant, "busy while its process lives");
    let (database, log) = (std::fs::read(directory.path("a.db")).unwrap(), std::fs::read(directory.path("a.db-wal")).unwrap());
    let again = reopen(&directory, &database, &log).await.unwrap();
    let (stored, _) = again.grants().load(&key(1)).await.unwrap().unwrap();
    assert_eq!(stored, new.grant.idle());
}
