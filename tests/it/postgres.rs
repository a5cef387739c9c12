//! PostgreSQL: the contract of every store, and what only several processes can break.

use h402_core::{Applied, Grants as _, Store as _};
use h402_facilitator::postgres::{OpenError, OpenOptions, PostgresGrants, PostgresStore};
use h402_tests::{
    contract,
    postgres::{Database, database},
};

mod race;
mod trouble;

async fn open(database: &Database) -> PostgresStore {
    PostgresStore::open(database.url(), OpenOptions::default()).await.unwrap()
}

async fn grants(database: &Database) -> PostgresGrants {
    PostgresGrants::open(database.url(), OpenOptions::default()).await.unwrap()
}

/// A store in a new database.
async fn fresh() -> PostgresStore {
    open(&database().await.unwrap()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_server_of_a_test_run_is_as_durable_as_a_real_one() {
    let Some(here) = database().await else { return };
    let mut conn = here.connect().await;
    for (name, value) in [("fsync", "on"), ("synchronous_commit", "on"), ("full_page_writes", "on")] {
        let set: String = sqlx::query_scalar("SELECT current_setting($1)").bind(name).fetch_one(&mut conn).await.unwrap();
        assert_eq!(set, value, "{name}");
    }
    assert_ne!(database().await.unwrap().url(), here.url(), "each test has its own database");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ledger_keeps_the_contract() {
    if database().await.is_some() {
        contract::store_contract(fresh).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_grants_keep_the_contract() {
    if database().await.is_some() {
        contract::grants_contract(async || fresh().await.grants()).await;
        contract::grants_answers_expire(async || fresh().await.grants()).await;
    }
}

/// T142: a store that was closed, and one whose handles were only dropped, open again with all that was answered.
#[tokio::test(flavor = "multi_thread")]
async fn t142_a_restart_keeps_everything() {
    let Some(here) = database().await else { return };
    contract::store_survives(async || open(&here).await, async |store| store.close().await).await;
    contract::grants_survive(async || grants(&here).await, async |grants| grants.close().await, false).await;
    let here = database().await.unwrap();
    contract::store_survives(async || open(&here).await, async |store| drop(store)).await;
    contract::grants_survive(async || grants(&here).await, async |grants| drop(grants), false).await;
}

/// Three processes that start at once make the tables once, and are one caller.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_database_is_opened_by_many_at_once() {
    let Some(here) = database().await else { return };
    let opened: Vec<_> = (0..6)
        .map(|_| {
            let here = here.clone();
            tokio::spawn(async move { grants(&here).await.identity() })
        })
        .collect();
    let first = grants(&here).await.identity();
    for identity in opened {
        assert_eq!(identity.await.unwrap(), first);
    }
    let other = fresh().await;
    assert_ne!(other.grants().identity(), first, "another database is another caller");
    assert_eq!(other.ready().await, Ok(()));
    other.close().await;
    assert!(other.ready().await.is_err(), "closed");
    assert!(other.payment(&h402_core::PaymentKey::from_bytes([1; 32])).await.is_err(), "closed");
}

/// T157: what is not ours, or was written by a later version, is refused and left as it was.
#[tokio::test(flavor = "multi_thread")]
async fn t157_databases_that_are_not_ours_are_refused() {
    if database().await.is_none() {
        return;
    }
    type Is = fn(&OpenError) -> bool;
    let cases: [(&str, bool, &'static str, Is); 4] = [
        ("newer", true, "UPDATE h402_schema SET version = 1000", |error| {
            matches!(error, OpenError::Newer { found: 1000, known: 1..1000, .. })
        }),
        ("foreign", false, "CREATE TABLE payments (id integer)", |error| matches!(error, OpenError::Foreign { .. })),
        ("unmarked", true, "DELETE FROM h402_schema", |error| matches!(error, OpenError::Foreign { .. })),
        ("no schema", false, "DROP SCHEMA public", |error| matches!(error, OpenError::Database { .. })),
    ];
    for (name, ours, sql, expected) in cases {
        let here = database().await.unwrap();
        if ours {
            open(&here).await.close().await;
        }
        let mut conn = here.connect().await;
        sqlx::raw_sql(sql).execute(&mut conn).await.unwrap();
        let tables = "SELECT string_agg(tablename, ' ' ORDER BY tablename) FROM pg_tables WHERE schemaname = 'public'";
        let before: Option<String> = sqlx::query_scalar(tables).fetch_one(&mut conn).await.unwrap();
        let refused = PostgresStore::open(here.url(), OpenOptions::default()).await.unwrap_err();
        assert!(expected(&refused), "{name}: {refused}");
        assert!(refused.to_string().contains("/test_"), "{name} names the database: {refused}");
        let after: Option<String> = sqlx::query_scalar(tables).fetch_one(&mut conn).await.unwrap();
        assert_eq!(before, after, "{name}");
    }
    // The honest twins: an empty database, one of ours, and a schema of our own beside another program's tables.
    let here = database().await.unwrap();
    for _ in 0..2 {
        open(&here).await.close().await;
    }
    let shared = database().await.unwrap();
    sqlx::raw_sql("CREATE TABLE payments (id integer); CREATE SCHEMA ours").execute(&mut shared.connect().await).await.unwrap();
    let url = format!("{}&options[search_path]=ours", shared.url());
    let store = PostgresStore::open(&url, OpenOptions::default()).await.unwrap();
    assert_eq!(store.apply(contract::a_claim(1)).await, Ok(Applied::Applied));
}

/// Neither a wrong address nor a wrong server shows who asks, nor its password.
#[tokio::test(flavor = "multi_thread")]
async fn no_error_shows_a_password() {
    let cases = ["no address", "postgres://user:hunter2@127.0.0.1:1/h402", "postgres://user:hunter2@[/h402", "mysql://user:hunter2@x/y"];
    for url in cases {
        let refused = PostgresStore::open(url, OpenOptions::default()).await.unwrap_err();
        let told = format!("{refused} {refused:?}");
        assert!(!told.contains("hunter2") && !told.contains("user:"), "{url}: {told}");
    }
    let Some(here) = database().await else { return };
    let url = here.url().replace("h402@", "h402:hunter2@");
    let store = PostgresStore::open(&url, OpenOptions::default()).await.unwrap();
    assert!(!format!("{store:?} {:?}", store.grants()).contains("hunter2"));
}
