//! PostgreSQL: the contract of every store, and what only several processes can break.

use h402_tests::postgres;

#[tokio::test(flavor = "multi_thread")]
async fn the_server_of_a_test_run_is_as_durable_as_a_real_one() {
    let Some(database) = postgres::database().await else { return };
    let mut conn = database.connect().await;
    for (name, value) in [("fsync", "on"), ("synchronous_commit", "on"), ("full_page_writes", "on")] {
        let set: String = sqlx::query_scalar("SELECT current_setting($1)").bind(name).fetch_one(&mut conn).await.unwrap();
        assert_eq!(set, value, "{name}");
    }
    assert_ne!(postgres::database().await.unwrap().url(), database.url(), "each test has its own database");
}
