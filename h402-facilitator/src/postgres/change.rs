//! What waits is written: plain claims many at a time, in one statement; everything else one by one, each in a
//! transaction of its own.

use super::{fault, grants, leases, payments, reconciliation, statement, transactions};
use crate::chaos::sabotaged;
use crate::sql::{
    columns::stored_millis,
    job::{Job, Outcome, plain_claim},
};
use h402_core::{Change, NewGrant, NewPayment, PaymentKey, PaymentRow};
use sqlx::PgConnection;
use std::collections::HashSet;

/// Jobs that are written together, or one that is not.
pub(super) enum Part<'a> {
    /// Plain claims of payments, no key twice.
    Payments(Vec<&'a PaymentRow>),
    /// Claims of grants without other names, no key twice nor any payer and asset.
    Grants(Vec<&'a NewGrant>),
    Single(&'a Job),
}

impl<'a> Part<'a> {
    /// Whether it says something of a payment, and so has crash points.
    pub(super) fn is_of_a_payment(&self) -> bool {
        !matches!(self, Self::Single(Job::Lease(..) | Job::Release(..) | Job::Reconcile(_) | Job::Accept(..) | Job::Touch(_)))
    }

    /// Those of the jobs that are claims of payments.
    pub(super) fn payments(jobs: impl IntoIterator<Item = &'a Job>) -> Self {
        Self::Payments(jobs.into_iter().filter_map(|job| if let Job::Change(change) = job { plain_claim(change) } else { None }).collect())
    }

    /// Those of the jobs that are claims of grants.
    pub(super) fn grants(jobs: impl IntoIterator<Item = &'a Job>) -> Self {
        Self::Grants(jobs.into_iter().filter_map(|job| if let Job::Claim(new) = job { Some(&**new) } else { None }).collect())
    }
}

/// Writes one part: when this is `Ok` it is durable, and there is an outcome for each of its jobs, in order. `None` is the
/// outcome of a job that has to be written by itself. After an error nothing of it happened, unless the connection is gone.
pub(super) async fn write(conn: &mut PgConnection, part: &Part<'_>) -> sqlx::Result<Vec<Option<Outcome>>> {
    match part {
        Part::Payments(rows) => {
            let claimed: HashSet<PaymentKey> = payments::claim(conn, rows).await?.into_iter().collect();
            let outcome = |row: &&PaymentRow| if claimed.contains(&row.key) { Outcome::Done } else { Outcome::Conflict };
            Ok(rows.iter().map(outcome).map(Some).collect())
        }
        Part::Grants(new) => {
            let claimed = in_transaction(conn, async |conn| {
                grants::lock_payers(conn, new).await?;
                Ok((grants::claim(conn, new).await?, true))
            });
            let claimed: HashSet<PaymentKey> = claimed.await?.into_iter().collect();
            Ok(new.iter().map(|new| claimed.contains(&new.grant.key).then_some(Outcome::Done)).collect())
        }
        Part::Single(job) => Ok(vec![single(conn, job).await?]),
    }
}

async fn single(conn: &mut PgConnection, job: &Job) -> sqlx::Result<Option<Outcome>> {
    let done = match job {
        Job::Change(change) if is_one_statement(change) => steps(conn, change).await?,
        Job::Change(change) => {
            return in_transaction(conn, async |conn| {
                if let Some(fence) = &change.fence
                    && !sabotaged("fence.skip")
                    && !leases::is_current(conn, fence).await?
                {
                    return Ok((Some(Outcome::Fenced), false));
                }
                let done = steps(conn, change).await?;
                Ok((Some(if done { Outcome::Done } else { Outcome::Conflict }), done))
            })
            .await;
        }
        Job::Claim(new) => return claim(conn, new).await,
        Job::Update(grant, answer) => grants::update(conn, grant, answer.as_ref()).await?,
        Job::Lease(ask, _) => return Ok(Some(Outcome::Lease(leases::ask(conn, ask).await?))),
        Job::Release(network, holder) => {
            leases::release(conn, *network, holder).await?;
            true
        }
        Job::Reconcile(pass) => {
            in_transaction(conn, async |conn| Ok((reconciliation::store(conn, pass).await?, true))).await.map(|()| true)?
        }
        Job::Accept(network, now) => return Ok(Some(Outcome::Count(reconciliation::accept(conn, *network, *now).await?))),
        Job::Touch(now) => {
            let touch = sqlx::query("UPDATE liveness SET at = $1 WHERE id = 1").bind(stored_millis(*now));
            touch.execute(conn).await?.rows_affected() == 1
        }
    };
    Ok(Some(if done { Outcome::Done } else { Outcome::Conflict }))
}

/// Whether a change is one statement, which is all or nothing by itself.
fn is_one_statement(change: &Change) -> bool {
    let Change { claim, updates, transactions, sent, fence } = change;
    claim.is_none() && transactions.is_empty() && fence.is_none() && updates.len() + sent.len() <= 1
}

/// Makes a change; on `false` it has to be rolled back.
async fn steps(conn: &mut PgConnection, change: &Change) -> sqlx::Result<bool> {
    let Change { claim, updates, transactions: signed, sent, fence: _ } = change;
    let mut keys: Vec<_> = signed.iter().map(|row| (PaymentKey::of_transaction(row.network, &row.id), None)).collect();
    if let Some(NewPayment { row, aliases }) = claim {
        keys.extend([&row.key].into_iter().chain(aliases).map(|key| (*key, Some(row.key))));
    }
    if !keys.is_empty() && !payments::take_keys(conn, keys).await? {
        return Ok(false);
    }
    if let Some(NewPayment { row, .. }) = claim
        && !payments::insert(conn, row).await?
    {
        return Ok(false);
    }
    // In the order of their keys, as far as they can be.
    let mut rows: Vec<&PaymentRow> = updates.iter().map(|update| &update.row).collect();
    rows.sort_by_key(|row| row.key);
    for round in statement::rounds(rows.iter().copied(), |row: &PaymentRow| row.key) {
        if !payments::update(conn, &round).await? {
            return Ok(false);
        }
    }
    if !signed.is_empty() && !transactions::insert(conn, signed).await? {
        return Ok(false);
    }
    for round in statement::rounds(sent, |sent| (sent.network.to_string(), sent.id.to_string())) {
        transactions::mark(conn, &round).await?;
    }
    Ok(true)
}

/// Claims a grant. `None` if a name was taken by a grant that has been forgotten meanwhile: the claim is to be tried again.
async fn claim(conn: &mut PgConnection, new: &NewGrant) -> sqlx::Result<Option<Outcome>> {
    let (names_were_free, inserted) = in_transaction(conn, async |conn| {
        grants::lock_payers(conn, &[new]).await?;
        let free = grants::take_keys(conn, new).await?;
        let inserted = free && grants::insert(conn, new).await?;
        Ok(((free, inserted), inserted))
    })
    .await?;
    if inserted {
        return Ok(Some(Outcome::Done));
    }
    if names_were_free {
        return Ok(Some(Outcome::TooManyUnsettled));
    }
    let known = grants::find_any(conn, [&new.grant.key].into_iter().chain(&new.aliases)).await?;
    Ok(known.map(|grant| Outcome::Known(Box::new(grant))))
}

/// Runs statements as one transaction, committed if they say so.
async fn in_transaction<T>(
    conn: &mut PgConnection,
    statements: impl AsyncFnOnce(&mut PgConnection) -> sqlx::Result<(T, bool)>,
) -> sqlx::Result<T> {
    command(conn, "BEGIN").await?;
    match statements(conn).await {
        Ok((value, true)) => {
            command(conn, "COMMIT").await?;
            Ok(value)
        }
        Ok((value, false)) => {
            command(conn, "ROLLBACK").await?;
            Ok(value)
        }
        Err(error) => {
            if fault::is_to_repeat(&error) {
                command(conn, "ROLLBACK").await?;
            }
            Err(error)
        }
    }
}

/// Runs a statement without values. Transactions are begun and ended by statements: sqlx would roll one back by
/// itself only when the connection is used again.
async fn command(conn: &mut PgConnection, sql: &'static str) -> sqlx::Result<()> {
    sqlx::raw_sql(sql).execute(conn).await?;
    Ok(())
}
