//! A row of the table `answers`: headers are one blob.

use super::columns::{Cells, Columns, unreadable};
use h402_core::StoredAnswer;

/// Whether an answer is short enough to be kept.
pub(crate) fn is_kept(answer: &StoredAnswer) -> bool {
    answer.body.len() <= StoredAnswer::MAX_BODY && pack(&answer.headers).is_some_and(|packed| packed.len() <= StoredAnswer::MAX_BODY)
}

/// Reads the answer out of a row that may have none.
pub(crate) fn read<R: Cells>(row: &R) -> sqlx::Result<Option<StoredAnswer>> {
    let columns = Columns(row);
    let Some(status) = columns.maybe_integer("status")? else { return Ok(None) };
    Ok(Some(StoredAnswer {
        status: u16::try_from(status).map_err(|_| unreadable("status"))?,
        headers: unpack(columns.bytes("headers")?).ok_or_else(|| unreadable("headers"))?,
        body: columns.bytes("body")?.to_vec().into(),
    }))
}

/// Headers as one blob: each name and value behind its length, four bytes big-endian.
pub(crate) fn pack(headers: &[(String, Vec<u8>)]) -> Option<Vec<u8>> {
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
