//! The table `answers`: handlers' answers, kept for a while.

use super::columns::{Columns, stored_millis, unreadable};
use h402_core::{Grant, StoredAnswer, UnixMillis};
use sqlx::{SqliteConnection, sqlite::SqliteRow};

/// Whether an answer is short enough to be kept.
pub(super) fn is_kept(answer: &StoredAnswer) -> bool {
    answer.body.len() <= StoredAnswer::MAX_BODY && pack(&answer.headers).is_some_and(|packed| packed.len() <= StoredAnswer::MAX_BODY)
}

/// Stores the answer of a grant, in place of an older one.
pub(super) async fn store(conn: &mut SqliteConnection, grant: &Grant, answer: &StoredAnswer) -> sqlx::Result<()> {
    let headers = pack(&answer.headers).ok_or_else(|| sqlx::Error::Encode("headers are too long".into()))?;
    sqlx::query("INSERT OR REPLACE INTO answers (key, status, headers, body, stored_at) VALUES (?1, ?2, ?3, ?4, ?5)")
        .bind(grant.key.as_bytes().as_slice())
        .bind(i64::from(answer.status))
        .bind(headers)
        .bind(answer.body.as_ref())
        .bind(stored_millis(grant.updated_at))
        .execute(conn)
        .await?;
    Ok(())
}

/// Reads the answer out of a row that may have none.
pub(super) fn read(row: &SqliteRow) -> sqlx::Result<Option<StoredAnswer>> {
    let columns = Columns(row);
    let Some(status) = columns.maybe_integer("status")? else { return Ok(None) };
    Ok(Some(StoredAnswer {
        status: u16::try_from(status).map_err(|_| unreadable("status"))?,
        headers: unpack(columns.bytes("headers")?).ok_or_else(|| unreadable("headers"))?,
        body: columns.bytes("body")?.to_vec().into(),
    }))
}

/// Deletes answers that are too old, at most `limit` of them.
pub(super) async fn forget_old(conn: &mut SqliteConnection, stored_before: UnixMillis, limit: u32) -> sqlx::Result<u64> {
    let gone = sqlx::query("DELETE FROM answers WHERE key IN (SELECT key FROM answers WHERE stored_at <= ?1 ORDER BY stored_at LIMIT ?2)")
        .bind(stored_millis(stored_before))
        .bind(i64::from(limit))
        .execute(conn)
        .await?;
    Ok(gone.rows_affected())
}

/// Deletes the oldest answers until the rest fit into `budget` bytes, and says how many bytes those are.
pub(super) async fn forget_beyond(conn: &mut SqliteConnection, budget: i64) -> sqlx::Result<u64> {
    sqlx::query(
        "DELETE FROM answers WHERE key IN (SELECT key FROM (SELECT key, sum(length(headers) + length(body)) \
         OVER (ORDER BY stored_at DESC, key) AS so_far FROM answers) WHERE so_far > ?1)",
    )
    .bind(budget)
    .execute(&mut *conn)
    .await?;
    total(conn).await
}

/// How many bytes are kept.
pub(super) async fn total(conn: &mut SqliteConnection) -> sqlx::Result<u64> {
    let row = sqlx::query("SELECT coalesce(sum(length(headers) + length(body)), 0) AS bytes FROM answers").fetch_one(conn).await?;
    Columns(&row).integer("bytes")
}

/// Headers as one blob: each name and value behind its length, four bytes big-endian.
fn pack(headers: &[(String, Vec<u8>)]) -> Option<Vec<u8>> {
    let mut packed = Vec::new();
    for part in headers.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_slice()]) {
        packed.extend(u32::try_from(part.len()).ok()?.to_be_bytes());
        packed.extend(part);
    }
    Some(packed)
}

fn unpack(mut packed: &[u8]) -> Option<Vec<(String, Vec<u8>)>> {
    let mut part = || {
        let (length, rest) = packed.split_first_chunk::<4>()?;
        let (part, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        packed = rest;
        Some(part.to_vec())
    };
    let mut headers = Vec::new();
    while let Some(name) = part() {
        headers.push((String::from_utf8(name).ok()?, part()?));
    }
    packed.is_empty().then_some(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_survive_packing_and_a_cut_blob_is_refused() {
        let headers = vec![("content-type".to_owned(), b"text/plain".to_vec()), ("x".to_owned(), vec![]), ("y".to_owned(), vec![0, 255])];
        let packed = pack(&headers).unwrap();
        assert_eq!(packed.get(..16), Some(b"\0\0\0\x0ccontent-type".as_slice()));
        assert_eq!(unpack(&packed), Some(headers));
        assert_eq!(unpack(&[]), Some(vec![]));
        // Cut behind a whole pair, two headers are left; anywhere else, nothing can be made of it.
        let whole = [0, 4 + 12 + 4 + 10, 4 + 12 + 4 + 10 + 4 + 1 + 4, packed.len()];
        for cut in 0..=packed.len() {
            assert_eq!(unpack(packed.get(..cut).unwrap()).is_some(), whole.contains(&cut), "{cut}");
        }
    }
}
