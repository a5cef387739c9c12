//! Processes end at each of their crash points, for each kind of payment, on both kinds of chain. They are started again on the
//! same files, the same payment is presented again, and ledger, chain, handlers and answers agree.

mod facilitator;
mod gate;

use futures_util::{StreamExt, stream};
use std::future::Future;

const SIGABRT: i32 = 6;
/// Cases at once; each has processes of its own.
const AT_ONCE: usize = 4;

/// Runs every case, and fails with all that has failed.
async fn all<F: Future<Output = ()> + Send + 'static>(cases: Vec<(String, F)>) {
    let count = cases.len();
    let outcomes = stream::iter(cases).map(|(name, case)| async { (name, tokio::spawn(case).await) }).buffer_unordered(AT_ONCE);
    let failed: Vec<String> = outcomes.filter_map(async |(name, outcome)| outcome.is_err().then_some(name)).collect().await;
    assert!(failed.is_empty(), "{} of {count} cases: {failed:#?}", failed.len());
    println!("{count} cases");
}
