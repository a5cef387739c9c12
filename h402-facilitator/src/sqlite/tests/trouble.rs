use super::*;

/// T151: a full disk fails the call that needed room and nothing else; with room again all goes on.
#[tokio::test]
async fn t151_a_full_disk_fails_what_needs_room() {
    type Make = fn(u64) -> Change;
    let shapes: [(&str, Make); 2] = [("one statement", claim), ("a transaction", |n| claim_with(n, &[n + 100_000]))];
    for (shape, make) in shapes {
        let directory = Directory::new();
        let store = directory.store_with(OpenOptions::default().with_max_bytes(400 << 10)).await;
        let mut last = 0;
        while store.apply(make(last)).await == Ok(Applied::Applied) {
            last += 1;
            assert!(last < 10_000, "{shape}: the disk is never full");
        }
        assert!(last > 10, "{shape}: {last}");
        assert!(store.apply(make(last)).await.is_err(), "{shape}: still full");
        assert!(!is_there(&store, last).await, "{shape}");
        assert_eq!(store.is_taken(&key(last + 100_000)).await, Ok(false), "{shape}");
        for n in 0..last {
            assert!(is_there(&store, n).await, "{shape}: {n} was answered as written");
        }
        assert_eq!(apply(&store, update(0, 2)).await, Applied::Applied, "{shape}: what needs no room is written");
        store.close().await.unwrap();
        let store = directory.store_with(OpenOptions::default()).await;
        assert_eq!(apply(&store, make(last)).await, Applied::Applied, "{shape}: there is room again");
    }
}

/// T151: one call that finds no room takes down its batch, and every caller of the batch is told.
#[tokio::test]
async fn t151_nobody_in_a_failed_batch_is_told_yes() {
    let directory = Directory::new();
    let store = directory.store_with(OpenOptions::default().with_max_bytes(400 << 10)).await;
    let tasks: Vec<_> = (0..2000)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { (n, store.apply(claim_with(n, &[n + 100_000])).await) })
        })
        .collect();
    let mut failed = 0;
    for task in tasks {
        let (n, answer) = task.await.unwrap();
        assert_eq!(is_there(&store, n).await, answer == Ok(Applied::Applied), "{n}: {answer:?}");
        failed += usize::from(answer.is_err());
    }
    assert!(failed > 0, "the disk is never full");
}

/// Breaks the root page of a table.
pub(super) async fn break_table(path: &Path, table: &str) {
    let mut conn = raw(path).await;
    let root: i64 = sqlx::query_scalar("SELECT rootpage FROM sqlite_schema WHERE name = ?").bind(table).fetch_one(&mut conn).await.unwrap();
    conn.close().await.unwrap();
    let mut bytes = std::fs::read(path).unwrap();
    let at = usize::try_from(root - 1).unwrap() * 4096;
    bytes[at..at + 8].fill(0xff);
    std::fs::write(path, bytes).unwrap();
}

/// T151: an error after which nothing is certain ends all writing, also of what could still be written.
#[tokio::test]
async fn t151_writing_ends_when_nothing_is_certain() {
    for broken in [true, false] {
        let directory = Directory::new();
        let store = directory.store().await;
        for n in 0..50 {
            apply(&store, claim(n)).await;
        }
        store.close().await.unwrap();
        if broken {
            break_table(&directory.path("a.db"), "payments").await;
        }
        // It was closed properly, so nothing was looked for.
        let store = directory.store().await;
        store.ready().await.unwrap();
        let claimed = store.apply(claim(1000)).await;
        assert_eq!(claimed.is_err(), broken, "{claimed:?}");
        assert_eq!(store.ready().await.is_err(), broken, "another table, after the error");
        let granted = store.0.write(Job::Claim(Box::new(new_grant(1)))).await;
        assert_eq!(granted.is_err(), broken, "another port, after the error");
        assert_eq!(granted.err(), claimed.err(), "the first error is what everybody is told");
        store.close().await.unwrap();
        // Whoever saw it fail does not say that it is whole.
        let again = SqliteStore::open(directory.path("a.db"), OpenOptions::default()).await;
        assert_eq!(matches!(again, Err(OpenError::Damaged { .. })), broken, "{again:?}");
    }
}
