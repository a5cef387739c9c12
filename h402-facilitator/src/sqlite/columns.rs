//! How values are kept in columns.

use h402_core::{
    Address, Amount, AssetId, CallerKey, EvmAddress, Fingerprint, Network, PaymentKey, StoreUnavailable, TransactionId, UnixMillis,
};
use sqlx::{Row as _, sqlite::SqliteRow};

/// One row as it is read: every column by name, a value that does not fit is an error.
pub(super) struct Columns<'r>(pub(super) &'r SqliteRow);

impl Columns<'_> {
    pub(super) fn integer(&self, column: &str) -> sqlx::Result<u64> {
        self.maybe_integer(column)?.ok_or_else(|| unreadable(column))
    }

    pub(super) fn maybe_integer(&self, column: &str) -> sqlx::Result<Option<u64>> {
        let value: Option<i64> = self.0.try_get(column)?;
        value.map(|value| u64::try_from(value).map_err(|_| unreadable(column))).transpose()
    }

    pub(super) fn millis(&self, column: &str) -> sqlx::Result<UnixMillis> {
        self.integer(column).map(UnixMillis)
    }

    pub(super) fn text(&self, column: &str) -> sqlx::Result<&str> {
        self.0.try_get(column)
    }

    pub(super) fn maybe_text(&self, column: &str) -> sqlx::Result<Option<&str>> {
        self.0.try_get(column)
    }

    /// A text that names one of a closed set.
    pub(super) fn word<T>(&self, column: &str, read: impl FnOnce(&str) -> Option<T>) -> sqlx::Result<T> {
        read(self.text(column)?).ok_or_else(|| unreadable(column))
    }

    pub(super) fn bytes(&self, column: &str) -> sqlx::Result<&[u8]> {
        self.0.try_get(column)
    }

    pub(super) fn maybe_bytes(&self, column: &str) -> sqlx::Result<Option<&[u8]>> {
        self.0.try_get(column)
    }

    pub(super) fn bytes32(&self, column: &str) -> sqlx::Result<[u8; 32]> {
        self.maybe_bytes32(column)?.ok_or_else(|| unreadable(column))
    }

    pub(super) fn maybe_bytes32(&self, column: &str) -> sqlx::Result<Option<[u8; 32]>> {
        self.maybe_bytes(column)?.map(|bytes| bytes.try_into().map_err(|_| unreadable(column))).transpose()
    }

    pub(super) fn key(&self, column: &str) -> sqlx::Result<PaymentKey> {
        self.bytes32(column).map(PaymentKey::from_bytes)
    }

    pub(super) fn fingerprint(&self, column: &str) -> sqlx::Result<Fingerprint> {
        self.bytes32(column).map(Fingerprint::from_bytes)
    }

    pub(super) fn caller(&self, column: &str) -> sqlx::Result<Option<CallerKey>> {
        Ok(self.maybe_bytes32(column)?.map(CallerKey::from_bytes))
    }

    pub(super) fn amount(&self, column: &str) -> sqlx::Result<Amount> {
        self.bytes32(column).map(Amount::from_be_bytes)
    }

    pub(super) fn network(&self, column: &str) -> sqlx::Result<Network> {
        self.word(column, |text| text.parse().ok())
    }

    pub(super) fn address(&self, column: &str) -> sqlx::Result<Address> {
        let bytes = self.bytes(column)?;
        match (<[u8; 20]>::try_from(bytes), <[u8; 32]>::try_from(bytes)) {
            (Ok(evm), _) => Ok(Address::Evm(evm.into())),
            (_, Ok(solana)) => Ok(Address::Solana(solana.into())),
            _ => Err(unreadable(column)),
        }
    }

    pub(super) fn evm_address(&self, column: &str) -> sqlx::Result<EvmAddress> {
        self.address(column)?.evm().ok_or_else(|| unreadable(column))
    }

    pub(super) fn asset(&self) -> sqlx::Result<AssetId> {
        Ok(AssetId { network: self.network("network")?, address: self.address("asset")? })
    }

    pub(super) fn maybe_transaction(&self, column: &str) -> sqlx::Result<Option<TransactionId>> {
        let Some(bytes) = self.maybe_bytes(column)? else { return Ok(None) };
        match (<[u8; 32]>::try_from(bytes), <[u8; 64]>::try_from(bytes)) {
            (Ok(hash), _) => Ok(Some(TransactionId::Evm(hash.into()))),
            (_, Ok(signature)) => Ok(Some(TransactionId::Solana(signature))),
            _ => Err(unreadable(column)),
        }
    }

    pub(super) fn transaction(&self, column: &str) -> sqlx::Result<TransactionId> {
        self.maybe_transaction(column)?.ok_or_else(|| unreadable(column))
    }
}

/// The stored row is not one of ours; the text names the column and never the value.
pub(super) fn unreadable(column: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("column {column} holds a value that cannot be read").into())
}

/// The bytes under which a transaction identifier is stored.
pub(super) fn transaction_bytes(id: &TransactionId) -> sqlx::Result<Vec<u8>> {
    match id {
        TransactionId::Evm(hash) => Ok(hash.to_vec()),
        TransactionId::Solana(signature) => Ok(signature.to_vec()),
        _ => Err(sqlx::Error::Encode("a kind of transaction identifier this store does not know".into())),
    }
}

/// A time as it is stored; what lies beyond SQLite's integers (year 292 million) is kept as their end.
pub(super) fn stored_millis(time: UnixMillis) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

/// A number as it is stored; [`storable`] has been asked before.
pub(super) fn stored_integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Whether numbers fit SQLite's 63-bit integers. Asked before a change is queued, so that one impossible change
/// does not spoil the batch it would be in.
pub(super) fn storable(numbers: impl IntoIterator<Item = u64>) -> Result<(), StoreUnavailable> {
    if numbers.into_iter().all(|number| i64::try_from(number).is_ok()) {
        return Ok(());
    }
    Err(StoreUnavailable("a number is beyond what the store can keep".to_owned()))
}
