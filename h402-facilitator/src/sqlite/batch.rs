//! A batch: everything that waited while the last one was written, made durable by one commit.
//!
//! Plain claims are one statement for all of them. Everything else runs one by one, each all or nothing under its
//! own savepoint. A batch that is one statement needs no transaction around it.

use super::{answers, grants, leases, payments, reconciliation, transactions};
use crate::chaos::{crash_point, sabotaged};
use crate::sql::job::{Job, Outcome, Plan, plain_claim};
use h402_core::{Change, NewGrant, NewPayment, PaymentKey, PaymentRow, UnixMillis};
use sqlx::{Row as _, SqliteConnection};
use std::collections::HashSet;

/// Whether a batch is one statement, which is a transaction by itself.
fn is_one(plan: &Plan, jobs: &[Job]) -> bool {
    match (plan.payments.is_empty(), plan.grants.is_empty(), plan.single.as_slice()) {
        (false, true, []) | (true, false, []) => true,
        (true, true, [at]) => jobs.get(*at).is_some_and(is_one_statement),
        _ => false,
    }
}

/// Whether a job is one statement, which is all or nothing by itself.
fn is_one_statement(job: &Job) -> bool {
    match job {
        Job::Change(change) => {
            let Change { claim, updates, transactions, sent, fence } = &**change;
            claim.is_none() && transactions.is_empty() && fence.is_none() && updates.len() + sent.len() <= 1
        }
        Job::Claim(_) | Job::Lease(..) | Job::Reconcile(_) => false,
        Job::Update(_, answer) => answer.is_none(),
        Job::Release(..) | Job::Accept(..) | Job::Touch(_) => true,
    }
}

/// Writes a batch. When this returns `Ok` all of it is durable, and there is one outcome for each job; else none of
/// it happened, unless the error is one of those after which nothing is certain ([`super::fault`]).
pub(super) async fn write(conn: &mut SqliteConnection, jobs: &[Job]) -> sqlx::Result<Vec<Outcome>> {
    let plan = Plan::new(jobs);
    if is_one(&plan, jobs) {
        crash_at(jobs, "intent.pre_fsync");
        let outcomes = run(conn, jobs, &plan).await;
        crash_at(jobs, "intent.post_fsync");
        return outcomes;
    }
    let written = async {
        command(conn, "BEGIN IMMEDIATE").await?;
        let outcomes = run(conn, jobs, &plan).await?;
        crash_at(jobs, "intent.pre_fsync");
        command(conn, "COMMIT").await?;
        crash_at(jobs, "intent.post_fsync");
        Ok(outcomes)
    };
    let written = written.await;
    if written.is_err() {
        // SQLite may have rolled back by itself; then this fails, and that is as good.
        let _rolled_back = command(conn, "ROLLBACK").await;
    }
    written
}

/// A crash point of whatever says something of a payment.
fn crash_at(jobs: &[Job], point: &'static str) {
    if jobs.iter().any(|job| matches!(job, Job::Change(_) | Job::Claim(_) | Job::Update(..))) {
        crash_point(point);
    }
}

/// Runs a statement without values. Transactions are begun and ended by statements: sqlx keeps its own count of
/// open ones, which goes wrong when SQLite rolls back by itself, as it does when the disk is full.
async fn command(conn: &mut SqliteConnection, sql: &'static str) -> sqlx::Result<()> {
    sqlx::query(sql).execute(conn).await?;
    Ok(())
}

async fn run(conn: &mut SqliteConnection, jobs: &[Job], plan: &Plan) -> sqlx::Result<Vec<Outcome>> {
    let mut outcomes = vec![Outcome::Conflict; jobs.len()];
    claim_payments(conn, jobs, &plan.payments, &mut outcomes).await?;
    claim_grants(conn, jobs, &plan.grants, &mut outcomes).await?;
    for at in &plan.single {
        if let (Some(job), Some(outcome)) = (jobs.get(*at), outcomes.get_mut(*at)) {
            *outcome = if is_one_statement(job) { one(conn, job).await? } else { all_or_nothing(conn, job).await? };
        }
    }
    Ok(outcomes)
}

async fn claim_payments(conn: &mut SqliteConnection, jobs: &[Job], group: &[usize], outcomes: &mut [Outcome]) -> sqlx::Result<()> {
    if group.is_empty() {
        return Ok(());
    }
    let at_and_row = || {
        group.iter().filter_map(|at| match jobs.get(*at) {
            Some(Job::Change(change)) => plain_claim(change).map(|row| (*at, row)),
            _ => None,
        })
    };
    let rows: Vec<&PaymentRow> = at_and_row().map(|(_, row)| row).collect();
    let inserted: HashSet<PaymentKey> = payments::insert(conn, &rows).await?.into_iter().collect();
    for (at, row) in at_and_row() {
        if let (Some(outcome), true) = (outcomes.get_mut(at), inserted.contains(&row.key)) {
            *outcome = Outcome::Done;
        }
    }
    Ok(())
}

async fn claim_grants(conn: &mut SqliteConnection, jobs: &[Job], group: &[usize], outcomes: &mut [Outcome]) -> sqlx::Result<()> {
    if group.is_empty() {
        return Ok(());
    }
    let at_and_new = || {
        group.iter().filter_map(|at| match jobs.get(*at) {
            Some(Job::Claim(new)) => Some((*at, &**new)),
            _ => None,
        })
    };
    let rows: Vec<&NewGrant> = at_and_new().map(|(_, new)| new).collect();
    let inserted: HashSet<PaymentKey> = grants::insert(conn, &rows).await?.into_iter().collect();
    for (at, new) in at_and_new() {
        let Some(outcome) = outcomes.get_mut(at) else { continue };
        *outcome = if inserted.contains(&new.grant.key) { Outcome::Done } else { not_claimed(conn, new).await? };
    }
    Ok(())
}

/// Why a grant was not inserted: its payment is known, or its payer has too much open.
async fn not_claimed(conn: &mut SqliteConnection, new: &NewGrant) -> sqlx::Result<Outcome> {
    for key in [&new.grant.key].into_iter().chain(&new.aliases) {
        if let Some(grant) = grants::find(conn, key).await? {
            return Ok(Outcome::Known(Box::new(grant)));
        }
    }
    Ok(Outcome::TooManyUnsettled)
}

/// Runs one job under a savepoint, so that a conflict leaves nothing behind.
async fn all_or_nothing(conn: &mut SqliteConnection, job: &Job) -> sqlx::Result<Outcome> {
    command(conn, "SAVEPOINT job").await?;
    let outcome = one(conn, job).await?;
    if matches!(outcome, Outcome::Done | Outcome::Lease(_) | Outcome::Count(_)) {
        command(conn, "RELEASE job").await?;
        return Ok(outcome);
    }
    command(conn, "ROLLBACK TO job; RELEASE job").await?;
    match job {
        Job::Claim(new) => not_claimed(conn, new).await,
        Job::Change(_) | Job::Update(..) | Job::Lease(..) | Job::Release(..) | Job::Reconcile(_) | Job::Accept(..) | Job::Touch(_) => {
            Ok(outcome)
        }
    }
}

async fn one(conn: &mut SqliteConnection, job: &Job) -> sqlx::Result<Outcome> {
    let done = match job {
        Job::Change(change) => {
            if let Some(fence) = &change.fence
                && !sabotaged("fence.skip")
                && !leases::is_current(conn, fence).await?
            {
                return Ok(Outcome::Fenced);
            }
            apply(conn, change).await?
        }
        Job::Claim(new) => claim(conn, new).await?,
        Job::Update(grant, answer) => {
            let updated = grants::update(conn, grant).await?;
            if let (true, Some(answer)) = (updated, answer) {
                answers::store(conn, grant, answer).await?;
            }
            updated
        }
        Job::Lease(ask, now) => return Ok(Outcome::Lease(leases::ask(conn, ask, *now).await?)),
        Job::Release(network, holder) => {
            leases::release(conn, *network, holder).await?;
            true
        }
        Job::Reconcile(pass) => {
            reconciliation::store(conn, pass).await?;
            true
        }
        Job::Accept(network, now) => return Ok(Outcome::Count(reconciliation::accept(conn, *network, *now).await?)),
        Job::Touch(now) => touch(conn, *now).await?,
    };
    Ok(if done { Outcome::Done } else { Outcome::Conflict })
}

async fn apply(conn: &mut SqliteConnection, change: &Change) -> sqlx::Result<bool> {
    let Change { claim, updates, transactions: signed, sent, fence: _ } = change;
    if let Some(NewPayment { row, aliases }) = claim {
        if payments::insert(conn, &[row]).await?.is_empty() {
            return Ok(false);
        }
        for alias in aliases {
            if !payments::take_key(conn, alias, Some(&row.key)).await? {
                return Ok(false);
            }
        }
    }
    for update in updates {
        if !payments::update(conn, &update.row).await? {
            return Ok(false);
        }
    }
    for transaction in signed {
        if !transactions::insert(conn, transaction).await? {
            return Ok(false);
        }
    }
    for news in sent {
        transactions::mark(conn, news).await?;
    }
    Ok(true)
}

async fn claim(conn: &mut SqliteConnection, new: &NewGrant) -> sqlx::Result<bool> {
    if grants::insert(conn, &[new]).await?.is_empty() {
        return Ok(false);
    }
    for alias in &new.aliases {
        if !grants::take_key(conn, alias, &new.grant.key).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn touch(conn: &mut SqliteConnection, now: UnixMillis) -> sqlx::Result<bool> {
    let touched = sqlx::query("INSERT INTO liveness (id, at) VALUES (1, ?1) ON CONFLICT (id) DO UPDATE SET at = excluded.at RETURNING id")
        .bind(crate::sql::columns::stored_millis(now))
        .fetch_one(conn)
        .await?;
    Ok(touched.try_get::<i64, _>("id")? == 1)
}

#[cfg(test)]
mod tests;
