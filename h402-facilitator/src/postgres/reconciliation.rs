//! The tables `reconciled` and `differences`, and what there is to count.

use crate::sql::columns::{Columns, stored_integer, stored_millis, transaction_bytes};
use crate::sql::differences::{read, read_reached};
use h402_core::{Network, PaymentTotal, Reconciled, Reconciliation, ReconciliationPass, UnixMillis};
use sqlx::PgConnection;

/// How far a network was compared, and what differs.
pub(super) async fn load(conn: &mut PgConnection, network: Network) -> sqlx::Result<Reconciliation> {
    let name = network.to_string();
    let reached = sqlx::query("SELECT * FROM reconciled WHERE network = $1").bind(&name).fetch_optional(&mut *conn).await?;
    let open = sqlx::query("SELECT count(*) AS open FROM differences WHERE network = $1 AND accepted_at IS NULL")
        .bind(&name)
        .fetch_one(&mut *conn)
        .await?;
    let rows = sqlx::query("SELECT * FROM differences WHERE network = $1 AND accepted_at IS NULL ORDER BY found_at, id LIMIT $2")
        .bind(&name)
        .bind(i64::from(Reconciliation::SHOWN))
        .fetch_all(conn)
        .await?;
    Ok(Reconciliation {
        reached: reached.as_ref().map(read_reached).transpose()?.unwrap_or_default(),
        at: reached.as_ref().map(|row| Columns(row).millis("at")).transpose()?,
        open: Columns(&open).integer("open")?,
        differences: rows.iter().map(read).collect::<sqlx::Result<_>>()?,
    })
}

/// Stores a pass. What is there already stays, and nothing goes back.
pub(super) async fn store(conn: &mut PgConnection, pass: &ReconciliationPass) -> sqlx::Result<()> {
    let network = pass.network.to_string();
    for difference in &pass.found {
        sqlx::query(
            "INSERT INTO differences (network, id, kind, tx, payment, asset, pay_to, amount, found_at) \
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
        )
        .bind(&network)
        .bind(difference.id(pass.network).to_vec())
        .bind(difference.kind.as_str())
        .bind(transaction_bytes(&difference.transaction)?)
        .bind(difference.payment.map(|payment| payment.as_bytes().to_vec()))
        .bind(difference.asset.map(|asset| asset.as_bytes().to_vec()))
        .bind(difference.pay_to.map(|pay_to| pay_to.as_bytes().to_vec()))
        .bind(difference.amount.map(|amount| amount.to_be_bytes().to_vec()))
        .bind(stored_millis(difference.found_at))
        .execute(&mut *conn)
        .await?;
    }
    let Reconciled { block, row } = pass.reached;
    sqlx::query(
        "INSERT INTO reconciled AS r (network, block, row_time, row_key, at) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (network) DO UPDATE SET block = greatest(r.block, excluded.block), \
         row_key = CASE WHEN r.row_time IS NULL OR (excluded.row_time, excluded.row_key) > (r.row_time, r.row_key) \
         THEN excluded.row_key ELSE r.row_key END, row_time = greatest(r.row_time, excluded.row_time), at = excluded.at",
    )
    .bind(network)
    .bind(block.map(stored_integer))
    .bind(row.map(|(time, _)| stored_millis(time)))
    .bind(row.map(|(_, key)| key.as_bytes().to_vec()))
    .bind(stored_millis(pass.at))
    .execute(conn)
    .await?;
    Ok(())
}

/// Accepts all that differs, and says how much that was.
pub(super) async fn accept(conn: &mut PgConnection, network: Network, now: UnixMillis) -> sqlx::Result<u64> {
    let accepted = sqlx::query("UPDATE differences SET accepted_at = $2 WHERE network = $1 AND accepted_at IS NULL")
        .bind(network.to_string())
        .bind(stored_millis(now))
        .execute(conn)
        .await?;
    Ok(accepted.rows_affected())
}

/// How many payments of each network are in each state, in one look.
pub(super) async fn totals(conn: &mut PgConnection) -> sqlx::Result<Vec<PaymentTotal>> {
    let counted = "SELECT network, state, count(*) AS count FROM payments GROUP BY network, state ORDER BY network, state";
    let rows = sqlx::query(counted).fetch_all(conn).await?;
    let total = |row| {
        let columns = Columns(row);
        let state = columns.word("state", h402_core::Settlement::word)?;
        Ok(PaymentTotal { network: columns.network("network")?, state, count: columns.integer("count")? })
    };
    rows.iter().map(total).collect()
}
