//! The tasks that write. Each takes what waits, writes it, answers, and takes again; while it waits for the disk more
//! gathers, and goes into one statement.

use super::change::{self, Part};
use super::connect::{Connector, Rested, in_time};
use super::fault;
use super::open::Tidy;
use crate::chaos::crash_point;
use crate::sql::job::{Job, Outcome, Plan};
use h402_core::StoreUnavailable;
use sqlx::PgConnection;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc, oneshot};

/// At most so many requests are taken at once.
const MOST: usize = 64;
/// So often a transaction is run again that the server undid for the sake of another one.
const REPEATS: u32 = 20;

/// What is sent to the writers.
pub(super) struct Message {
    pub(super) job: Job,
    pub(super) reply: oneshot::Sender<Result<Outcome, StoreUnavailable>>,
}

pub(super) struct Writer {
    pub(super) connector: Connector,
    pub(super) queue: Arc<Mutex<mpsc::Receiver<Message>>>,
    pub(super) tidy: Arc<Tidy>,
    pub(super) rested: Option<Rested>,
}

impl Writer {
    /// Ends when every sender is gone and nothing waits.
    pub(super) async fn run(mut self) {
        let mut messages = Vec::with_capacity(MOST);
        loop {
            // Whoever was just answered may have more to write: let them, so that it becomes one commit and not many.
            tokio::task::yield_now().await;
            if self.queue.lock().await.recv_many(&mut messages, MOST).await == 0 {
                break;
            }
            let (jobs, replies): (Vec<_>, Vec<_>) = messages.drain(..).map(|Message { job, reply }| (job, Some(reply))).unzip();
            self.write(&jobs, replies).await;
        }
        if let Some(rested) = self.rested {
            rested.close().await;
        }
    }

    async fn write(&mut self, jobs: &[Job], mut replies: Vec<Option<oneshot::Sender<Result<Outcome, StoreUnavailable>>>>) {
        let Plan { payments, grants, mut single } = Plan::new(jobs);
        for (group, part) in [(&payments, Part::payments(pick(jobs, &payments))), (&grants, Part::grants(pick(jobs, &grants)))] {
            if group.is_empty() {
                continue;
            }
            match self.durably(&part).await {
                Ok(outcomes) => {
                    for (at, outcome) in group.iter().zip(outcomes) {
                        match outcome {
                            Some(outcome) => answer(&mut replies, *at, Ok(outcome)),
                            None => single.push(*at),
                        }
                    }
                }
                Err(error) => group.iter().for_each(|at| answer(&mut replies, *at, Err(error.clone()))),
            }
        }
        for at in single {
            let Some(job) = jobs.get(at) else { continue };
            let mut written = Ok(vec![None]);
            for _ in 0..REPEATS {
                written = self.durably(&Part::Single(job)).await;
                if !matches!(written.as_deref(), Ok([None])) {
                    break;
                }
            }
            let outcome = written.and_then(|outcomes| {
                outcomes
                    .into_iter()
                    .next()
                    .flatten()
                    .ok_or_else(|| StoreUnavailable("a name is taken and given back again and again".to_owned()))
            });
            if let (Job::Update(_, Some(answer)), Ok(Outcome::Done)) = (job, &outcome) {
                self.tidy.count(answer);
            }
            answer(&mut replies, at, outcome);
        }
    }

    /// Writes one part, again if the server undid it for the sake of another one.
    async fn durably(&mut self, part: &Part<'_>) -> Result<Vec<Option<Outcome>>, StoreUnavailable> {
        let mut repeats = 0;
        loop {
            let mut conn = self.connector.wake(self.rested.take()).await.map_err(|error| fault::unavailable(&error))?;
            if part.is_of_a_payment() {
                crash_point("intent.pre_fsync");
            }
            match in_time(change::write(&mut conn, part)).await {
                Ok(outcomes) => {
                    if part.is_of_a_payment() {
                        crash_point("intent.post_fsync");
                    }
                    self.rested = Some(Rested::now(conn));
                    return Ok(outcomes);
                }
                Err(error) if fault::is_to_repeat(&error) && repeats < REPEATS => {
                    self.rested = Some(Rested::now(conn));
                    repeats += 1;
                    tokio::time::sleep(Duration::from_millis(2) * repeats).await;
                }
                Err(error) => {
                    // Whatever went wrong: what is on the way of this connection nobody waits for any more.
                    close_hard(conn).await;
                    tracing::warn!(%error, "ledger could not be written");
                    return Err(fault::unavailable(&error));
                }
            }
        }
    }
}

fn pick<'a>(jobs: &'a [Job], group: &[usize]) -> Vec<&'a Job> {
    group.iter().filter_map(|at| jobs.get(*at)).collect()
}

fn answer(
    replies: &mut [Option<oneshot::Sender<Result<Outcome, StoreUnavailable>>>],
    at: usize,
    outcome: Result<Outcome, StoreUnavailable>,
) {
    if let Some(reply) = replies.get_mut(at).and_then(Option::take) {
        // A caller that has gone away does not undo what was written for it.
        let _gone = reply.send(outcome);
    }
}

/// Closes the socket without another word.
async fn close_hard(conn: PgConnection) {
    let _closed = sqlx::Connection::close_hard(conn).await;
}
