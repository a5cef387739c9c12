//! The one task that writes: takes what waits, writes it in one commit, answers, and takes again.

use super::batch;
use super::fault::{self, Fault};
use super::lock::Lock;
use super::reader::Readers;
use super::statement::MAX_ROWS;
use super::{answers, grants};
use crate::chaos::sabotaged;
use crate::sql::job::{Job, Outcome};
use h402_core::{Clock, StoreUnavailable, StoredAnswer, UnixMillis};
use sqlx::{Connection as _, SqliteConnection};
use std::{sync::Arc, time::Duration};
use tokio::{sync::mpsc, sync::oneshot, time::Instant};

/// This many requests may wait; the next one waits to wait.
const QUEUE: usize = 4096;
/// How often rows that are not needed any more are looked for.
const TIDY_EVERY: Duration = Duration::from_secs(30);
/// How soon again, if there were more than go in one transaction.
const TIDY_MORE: Duration = Duration::from_millis(50);
/// At most so many of them go in one transaction, so that no claim waits long for it.
const TIDY_ROWS: u32 = 500;
/// A grant is kept so long after its payment can no longer be presented.
const GRANTS_KEPT: Duration = Duration::from_secs(600);

/// What is sent to the writer.
pub(super) enum Message {
    Write(Job, oneshot::Sender<Result<Outcome, StoreUnavailable>>),
    /// Write what waits, put everything into the database file, close it and let go of the lock.
    Close(oneshot::Sender<Result<(), StoreUnavailable>>),
}

pub(super) struct Writer {
    pub(super) conn: SqliteConnection,
    pub(super) readers: Arc<Readers>,
    pub(super) clock: Arc<dyn Clock>,
    /// How many bytes of answers are kept.
    pub(super) answer_budget: u64,
    /// How many there are, or a little more.
    pub(super) answer_bytes: u64,
    /// Held as long as the database is open; the last field, so that it is let go of last.
    pub(super) lock: Lock,
}

impl Writer {
    /// Starts the task and returns the way to it. It ends when it is told to close or every sender is gone.
    pub(super) fn start(self) -> mpsc::Sender<Message> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        tokio::spawn(self.run(receiver));
        sender
    }

    async fn run(mut self, mut receiver: mpsc::Receiver<Message>) {
        let mut failed: Option<StoreUnavailable> = None;
        let mut closers = Vec::new();
        let mut messages = Vec::with_capacity(MAX_ROWS);
        let mut tidy_at = Instant::now() + TIDY_EVERY;
        loop {
            // Whoever was just answered may have more to write: let them, so that it becomes one commit and not many.
            tokio::task::yield_now().await;
            let received = tokio::select! {
                biased;
                received = receiver.recv_many(&mut messages, MAX_ROWS) => received,
                () = tokio::time::sleep_until(tidy_at) => 0,
            };
            if received == 0 && receiver.is_closed() && receiver.is_empty() {
                break;
            }
            let (mut jobs, mut replies) = (Vec::with_capacity(received), Vec::with_capacity(received));
            for message in messages.drain(..) {
                match message {
                    Message::Write(job, reply) => {
                        jobs.push(job);
                        replies.push(reply);
                    }
                    Message::Close(done) => {
                        receiver.close();
                        closers.push(done);
                    }
                }
            }
            if failed.is_none() && !jobs.is_empty() {
                failed = self.write(&jobs, replies).await;
            } else if let Some(failure) = &failed {
                answer(replies, || Err(failure.clone()));
            }
            if Instant::now() >= tidy_at && failed.is_none() {
                let (after, failure) = self.tidy().await;
                (tidy_at, failed) = (Instant::now() + after, failure);
            }
        }
        self.close(closers, failed).await;
    }

    /// Writes a batch and answers it; what it returns is the end of all writing.
    async fn write(&mut self, jobs: &[Job], replies: Vec<oneshot::Sender<Result<Outcome, StoreUnavailable>>>) -> Option<StoreUnavailable> {
        if sabotaged("store.early") {
            answer(replies, || Ok(Outcome::Done));
            let _unheard = batch::write(&mut self.conn, jobs).await;
            return None;
        }
        match batch::write(&mut self.conn, jobs).await {
            Ok(outcomes) => {
                self.answer_bytes = self.answer_bytes.saturating_add(jobs.iter().map(answer_bytes).sum());
                let mut outcomes = outcomes.into_iter();
                answer(replies, || outcomes.next().ok_or_else(|| StoreUnavailable("a request was lost".to_owned())));
                if self.answer_bytes > self.answer_budget { self.forget_beyond_budget().await } else { None }
            }
            Err(error) => {
                let unavailable = fault::unavailable(&error);
                answer(replies, || Err(unavailable.clone()));
                ended(&error)
            }
        }
    }

    /// Deletes what is not needed any more, a little at a time, and says after how long to do it again.
    pub(super) async fn tidy(&mut self) -> (Duration, Option<StoreUnavailable>) {
        let now = self.clock.now();
        let before = |kept: Duration| UnixMillis(now.0.saturating_sub(u64::try_from(kept.as_millis()).unwrap_or(u64::MAX)));
        let tidied = async {
            let conn = &mut self.conn;
            let answers = answers::forget_old(conn, before(Duration::from_secs(StoredAnswer::KEPT_SECONDS)), TIDY_ROWS).await?;
            let grants = grants::forget(conn, before(GRANTS_KEPT), TIDY_ROWS).await?;
            self.answer_bytes = answers::total(conn).await?;
            Ok(if answers.max(grants) < u64::from(TIDY_ROWS) { TIDY_EVERY } else { TIDY_MORE })
        };
        match tidied.await {
            Ok(after) => (after, None),
            Err(error) => (TIDY_EVERY, ended(&error)),
        }
    }

    /// Makes room for a while, so that not every answer costs a look at all of them.
    async fn forget_beyond_budget(&mut self) -> Option<StoreUnavailable> {
        let target = self.answer_budget - self.answer_budget / 8;
        match answers::forget_beyond(&mut self.conn, i64::try_from(target).unwrap_or(i64::MAX)).await {
            Ok(bytes) => {
                self.answer_bytes = bytes;
                None
            }
            Err(error) => ended(&error),
        }
    }

    async fn close(self, closers: Vec<oneshot::Sender<Result<(), StoreUnavailable>>>, failed: Option<StoreUnavailable>) {
        self.readers.close().await;
        // The last connection to close puts the log into the database file and removes it.
        let closed = self.conn.close().await.map_err(|error| fault::unavailable(&error));
        match &closed {
            Ok(()) if failed.is_none() => self.lock.release_closed(),
            Ok(()) => {}
            Err(error) => tracing::error!(%error, "ledger was not closed in order"),
        }
        for closer in closers {
            let _gone = closer.send(closed.clone());
        }
    }
}

/// Logs an error, and says so if it is the end of all writing.
fn ended(error: &sqlx::Error) -> Option<StoreUnavailable> {
    match fault::judge(error) {
        Fault::Passing => {
            tracing::warn!(%error, "ledger could not be written");
            None
        }
        Fault::Final => {
            tracing::error!(%error, "ledger cannot be trusted to be written; find out why and restart");
            Some(fault::unavailable(error))
        }
    }
}

fn answer<T>(replies: Vec<oneshot::Sender<T>>, mut outcome: impl FnMut() -> T) {
    for reply in replies {
        // A caller that has gone away does not undo what was written for it.
        let _gone = reply.send(outcome());
    }
}

fn answer_bytes(job: &Job) -> u64 {
    match job {
        Job::Update(_, Some(answer)) => {
            let headers: usize = answer.headers.iter().map(|(name, value)| name.len() + value.len() + 8).sum();
            u64::try_from(answer.body.len() + headers).unwrap_or(u64::MAX)
        }
        Job::Change(_)
        | Job::Claim(_)
        | Job::Update(_, None)
        | Job::Lease(..)
        | Job::Release(..)
        | Job::Reconcile(_)
        | Job::Accept(..)
        | Job::Touch(_) => 0,
    }
}
