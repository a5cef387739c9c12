//! The table `holds`: what payments promise of their payers' balances between verify and claim, by the server's clock.

use crate::sql::columns::{stored_integer, unreadable};
use h402_core::{Amount, HoldAnswer, HoldAsk, PaymentKey};
use sqlx::{PgConnection, Row as _};

/// Holds a payment, and answers what else its payer has promised.
pub(super) async fn hold(conn: &mut PgConnection, ask: &HoldAsk) -> sqlx::Result<HoldAnswer> {
    let row = sqlx::query("SELECT taken, is_new, others FROM h402_hold($1, $2, $3, $4, $5, $6, $7, $8)")
        .bind(ask.key.as_bytes().as_slice())
        .bind(ask.asset.network.to_string())
        .bind(ask.asset.address.as_bytes())
        .bind(ask.payer.as_bytes())
        .bind(ask.amount.to_be_bytes().as_slice())
        .bind(ask.exclusive)
        .bind(i64::try_from(ask.ttl.as_millis()).unwrap_or(i64::MAX / 2).min(i64::MAX / 2))
        .bind(stored_integer(ask.block))
        .fetch_one(conn)
        .await?;
    if row.try_get("taken")? {
        return Ok(HoldAnswer::Taken);
    }
    let others: Vec<Vec<u8>> = row.try_get("others")?;
    let amount = |bytes: Vec<u8>| Ok(Amount::from_be_bytes(bytes.try_into().map_err(|_| unreadable("amount"))?));
    Ok(HoldAnswer::Held { others: others.into_iter().map(amount).collect::<sqlx::Result<_>>()?, is_new: row.try_get("is_new")? })
}

/// Ends a hold.
pub(super) async fn let_go(conn: &mut PgConnection, key: &PaymentKey) -> sqlx::Result<()> {
    sqlx::query("DELETE FROM holds WHERE key = $1").bind(key.as_bytes().as_slice()).execute(conn).await?;
    Ok(())
}

/// Whether a payment is held now.
pub(super) async fn is_held(conn: &mut PgConnection, key: &PaymentKey) -> sqlx::Result<bool> {
    let held = "SELECT EXISTS (SELECT 1 FROM holds WHERE key = $1 AND until > (extract(epoch FROM clock_timestamp()) * 1000)::bigint)";
    sqlx::query_scalar(held).bind(key.as_bytes().as_slice()).fetch_one(conn).await
}
