use super::*;

#[tokio::test]
async fn a_second_open_is_refused_and_names_the_file() {
    let directory = Directory::new();
    let store = directory.store().await;
    let path = directory.path("a.db");
    let refused = SqliteStore::open(&path, OpenOptions::default()).await.unwrap_err();
    let real = std::fs::canonicalize(&path).unwrap();
    assert_eq!(refused.to_string(), format!("{0} is open in another process, which holds {0}.lock", real.display()));
    assert!(matches!(SqlGrants::open(&path, OpenOptions::default()).await, Err(OpenError::Locked { .. })), "for grants alike");
    let other = SqliteStore::open(directory.path("b.db"), OpenOptions::default()).await.unwrap();
    assert_eq!(apply(&other, claim(1)).await, Applied::Applied, "another file is another database");
    store.close().await.unwrap();
    SqliteStore::open(&path, OpenOptions::default()).await.unwrap().close().await.unwrap();
}

#[cfg(unix)]
#[tokio::test]
async fn a_database_has_one_lock_under_all_its_names() {
    let directory = Directory::new();
    let _store = directory.store().await;
    std::fs::create_dir(directory.path("sub")).unwrap();
    std::os::unix::fs::symlink(directory.path("a.db"), directory.path("link.db")).unwrap();
    for name in ["link.db", "sub/../a.db", "./a.db"] {
        let refused = SqliteStore::open(directory.path(name), OpenOptions::default()).await;
        assert!(matches!(refused, Err(OpenError::Locked { .. })), "{name}");
    }
}

#[tokio::test]
async fn an_open_waits_as_long_as_it_is_told_to() {
    let directory = Directory::new();
    let store = directory.store().await;
    let path = directory.path("a.db");
    let waiting =
        tokio::spawn(async move { SqliteStore::open(path, OpenOptions::default().with_lock_wait(Duration::from_secs(60))).await });
    apply(&store, claim(1)).await;
    // Dropping the last handle closes.
    drop(store);
    let store = waiting.await.unwrap().unwrap();
    assert!(is_there(&store, 1).await);
}

#[cfg(unix)]
#[tokio::test]
async fn only_the_owner_can_read_the_files() {
    use std::os::unix::fs::PermissionsExt as _;
    let directory = Directory::new();
    let store = directory.store().await;
    apply(&store, claim(1)).await;
    for name in ["a.db", "a.db-wal", "a.db-shm", "a.db.lock"] {
        assert_eq!(std::fs::metadata(directory.path(name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn files_that_are_not_ours_are_refused_and_left_as_they_were() {
    let directory = Directory::new();
    directory.store().await.close().await.unwrap();
    let ours = std::fs::read(directory.path("a.db")).unwrap();
    let write = async |name: &str, sql: &'static str, start: &[u8]| {
        std::fs::write(directory.path(name), start).unwrap();
        let mut conn = raw(&directory.path(name)).await;
        sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
        conn.close().await.unwrap();
    };
    write("newer.db", "PRAGMA user_version = 1000", &ours).await;
    write("foreign.db", "CREATE TABLE payments (id INTEGER)", &[]).await;
    write("marked.db", "PRAGMA application_id = 77", &ours).await;
    write("versioned.db", "PRAGMA user_version = 1", &[]).await;
    std::fs::write(directory.path("text.db"), "not a database, and long enough to have a header of 100 bytes".repeat(4)).unwrap();
    type Is = fn(&OpenError) -> bool;
    let cases: [(&str, Is); 5] = [
        ("newer.db", |error| matches!(error, OpenError::Newer { found: 1000, known: 1..1000, .. })),
        ("foreign.db", |error| matches!(error, OpenError::Foreign { .. })),
        ("marked.db", |error| matches!(error, OpenError::Foreign { .. })),
        ("versioned.db", |error| matches!(error, OpenError::Foreign { .. })),
        ("text.db", |error| matches!(error, OpenError::Database { .. })),
    ];
    for (name, expected) in cases {
        let before = std::fs::read(directory.path(name)).unwrap();
        let refused = SqliteStore::open(directory.path(name), OpenOptions::default()).await.unwrap_err();
        assert!(expected(&refused), "{name}: {refused}");
        assert!(refused.to_string().contains(name), "{refused}");
        assert_eq!(std::fs::read(directory.path(name)).unwrap(), before, "{name}");
    }
    let missing = SqliteStore::open(directory.path("no/where.db"), OpenOptions::default()).await.unwrap_err();
    assert!(matches!(missing, OpenError::Io { .. }), "{missing}");
    // The honest twins: an empty file and one of ours.
    write("empty.db", "", &[]).await;
    write("ours.db", "", &ours).await;
    for name in ["empty.db", "ours.db"] {
        SqliteStore::open(directory.path(name), OpenOptions::default()).await.unwrap().close().await.unwrap();
    }
}

#[tokio::test]
async fn the_database_is_as_durable_as_it_says() {
    let directory = Directory::new();
    let store = directory.store().await;
    apply(&store, claim(1)).await;
    let mut lent = store.0.readers.lend().await.unwrap();
    let journal: String = sqlx::query_scalar("PRAGMA journal_mode").fetch_one(lent.connection().unwrap()).await.unwrap();
    assert_eq!(journal, "wal");
    assert!(sqlx::query("DELETE FROM payments").execute(lent.connection().unwrap()).await.is_err(), "readers only read");
}
