//! How values are read out of columns, and which of them fit into one.

use alloy_primitives::U256;
use h402_core::{
    Address, Amount, AssetId, CallerKey, EvmAddress, Fingerprint, Network, PaymentKey, StoreUnavailable, TransactionId, UnixMillis,
};
use sqlx::Row as _;

/// What a row of either engine can be asked for.
pub(crate) trait Cells {
    fn cell_integer(&self, column: &str) -> sqlx::Result<Option<i64>>;
    fn cell_text(&self, column: &str) -> sqlx::Result<Option<&str>>;
    fn cell_bytes(&self, column: &str) -> sqlx::Result<Option<&[u8]>>;
    fn cell_flag(&self, column: &str) -> sqlx::Result<Option<bool>>;
}

macro_rules! cells {
    ($row:ty) => {
        impl Cells for $row {
            fn cell_integer(&self, column: &str) -> sqlx::Result<Option<i64>> {
                self.try_get(column)
            }
            fn cell_text(&self, column: &str) -> sqlx::Result<Option<&str>> {
                self.try_get(column)
            }
            fn cell_bytes(&self, column: &str) -> sqlx::Result<Option<&[u8]>> {
                self.try_get(column)
            }
            fn cell_flag(&self, column: &str) -> sqlx::Result<Option<bool>> {
                self.try_get(column)
            }
        }
    };
}

#[cfg(feature = "sqlite")]
cells!(sqlx::sqlite::SqliteRow);
#[cfg(feature = "postgres")]
cells!(sqlx::postgres::PgRow);

/// One row as it is read: every column by name, a value that does not fit is an error.
pub(crate) struct Columns<'r, R>(pub(crate) &'r R);

impl<R: Cells> Columns<'_, R> {
    pub(crate) fn integer(&self, column: &str) -> sqlx::Result<u64> {
        self.maybe_integer(column)?.ok_or_else(|| unreadable(column))
    }

    pub(crate) fn maybe_integer(&self, column: &str) -> sqlx::Result<Option<u64>> {
        self.0.cell_integer(column)?.map(|value| u64::try_from(value).map_err(|_| unreadable(column))).transpose()
    }

    pub(crate) fn millis(&self, column: &str) -> sqlx::Result<UnixMillis> {
        self.integer(column).map(UnixMillis)
    }

    pub(crate) fn flag(&self, column: &str) -> sqlx::Result<bool> {
        self.0.cell_flag(column)?.ok_or_else(|| unreadable(column))
    }

    pub(crate) fn text(&self, column: &str) -> sqlx::Result<&str> {
        self.maybe_text(column)?.ok_or_else(|| unreadable(column))
    }

    pub(crate) fn maybe_text(&self, column: &str) -> sqlx::Result<Option<&str>> {
        self.0.cell_text(column)
    }

    /// A text that names one of a closed set.
    pub(crate) fn word<T>(&self, column: &str, read: impl FnOnce(&str) -> Option<T>) -> sqlx::Result<T> {
        read(self.text(column)?).ok_or_else(|| unreadable(column))
    }

    pub(crate) fn bytes(&self, column: &str) -> sqlx::Result<&[u8]> {
        self.maybe_bytes(column)?.ok_or_else(|| unreadable(column))
    }

    pub(crate) fn maybe_bytes(&self, column: &str) -> sqlx::Result<Option<&[u8]>> {
        self.0.cell_bytes(column)
    }

    pub(crate) fn bytes32(&self, column: &str) -> sqlx::Result<[u8; 32]> {
        self.maybe_bytes32(column)?.ok_or_else(|| unreadable(column))
    }

    pub(crate) fn maybe_bytes32(&self, column: &str) -> sqlx::Result<Option<[u8; 32]>> {
        self.maybe_bytes(column)?.map(|bytes| bytes.try_into().map_err(|_| unreadable(column))).transpose()
    }

    pub(crate) fn key(&self, column: &str) -> sqlx::Result<PaymentKey> {
        self.bytes32(column).map(PaymentKey::from_bytes)
    }

    pub(crate) fn fingerprint(&self, column: &str) -> sqlx::Result<Fingerprint> {
        self.bytes32(column).map(Fingerprint::from_bytes)
    }

    pub(crate) fn caller(&self, column: &str) -> sqlx::Result<Option<CallerKey>> {
        Ok(self.maybe_bytes32(column)?.map(CallerKey::from_bytes))
    }

    pub(crate) fn amount(&self, column: &str) -> sqlx::Result<Amount> {
        self.bytes32(column).map(Amount::from_be_bytes)
    }

    pub(crate) fn maybe_u256(&self, column: &str) -> sqlx::Result<Option<U256>> {
        Ok(self.maybe_bytes32(column)?.map(U256::from_be_bytes))
    }

    pub(crate) fn network(&self, column: &str) -> sqlx::Result<Network> {
        self.word(column, |text| text.parse().ok())
    }

    pub(crate) fn address(&self, column: &str) -> sqlx::Result<Address> {
        let bytes = self.bytes(column)?;
        match (<[u8; 20]>::try_from(bytes), <[u8; 32]>::try_from(bytes)) {
            (Ok(evm), _) => Ok(Address::Evm(evm.into())),
            (_, Ok(solana)) => Ok(Address::Solana(solana.into())),
            _ => Err(unreadable(column)),
        }
    }

    pub(crate) fn evm_address(&self, column: &str) -> sqlx::Result<EvmAddress> {
        self.address(column)?.evm().ok_or_else(|| unreadable(column))
    }

    pub(crate) fn asset(&self) -> sqlx::Result<AssetId> {
        Ok(AssetId { network: self.network("network")?, address: self.address("asset")? })
    }

    pub(crate) fn maybe_transaction(&self, column: &str) -> sqlx::Result<Option<TransactionId>> {
        let Some(bytes) = self.maybe_bytes(column)? else { return Ok(None) };
        match (<[u8; 32]>::try_from(bytes), <[u8; 64]>::try_from(bytes)) {
            (Ok(hash), _) => Ok(Some(TransactionId::Evm(hash.into()))),
            (_, Ok(signature)) => Ok(Some(TransactionId::Solana(signature))),
            _ => Err(unreadable(column)),
        }
    }

    pub(crate) fn transaction(&self, column: &str) -> sqlx::Result<TransactionId> {
        self.maybe_transaction(column)?.ok_or_else(|| unreadable(column))
    }
}

/// The stored row is not one of ours; the text names the column and never the value.
pub(crate) fn unreadable(column: &str) -> sqlx::Error {
    sqlx::Error::Decode(format!("column {column} holds a value that cannot be read").into())
}

/// The bytes under which a transaction identifier is stored.
pub(crate) fn transaction_bytes(id: &TransactionId) -> sqlx::Result<Vec<u8>> {
    match id {
        TransactionId::Evm(hash) => Ok(hash.to_vec()),
        TransactionId::Solana(signature) => Ok(signature.to_vec()),
        _ => Err(sqlx::Error::Encode("a kind of transaction identifier this store does not know".into())),
    }
}

/// A time as it is stored; what lies beyond 63 bits (year 292 million) is kept as their end.
pub(crate) fn stored_millis(time: UnixMillis) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

/// A number as it is stored; [`storable`] has been asked before.
pub(crate) fn stored_integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Whether numbers fit the 63-bit integers of SQL. Asked before a change is queued, so that one impossible change
/// does not spoil the batch it would be in.
pub(crate) fn storable(numbers: impl IntoIterator<Item = u64>) -> Result<(), StoreUnavailable> {
    if numbers.into_iter().all(|number| i64::try_from(number).is_ok()) {
        return Ok(());
    }
    Err(StoreUnavailable("a number is beyond what the store can keep".to_owned()))
}
