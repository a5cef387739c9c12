use alloy_consensus::TxEip1559;
use h402_core::{EvmAddress, EvmKey, SignedTransaction};

/// Signs the facilitator's own transactions. A closed choice; remote signers join it here.
#[non_exhaustive]
#[derive(Debug, Clone)]
pub enum Signer {
    /// A key in this process's memory.
    Local(EvmKey),
}

/// The signer did not sign; nothing is known to have been signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("signer did not sign")]
pub struct SignError;

impl Signer {
    /// The account it signs for.
    #[must_use]
    pub fn address(&self) -> EvmAddress {
        match self {
            Self::Local(key) => key.address(),
        }
    }

    /// Signs a transaction.
    ///
    /// # Errors
    /// [`SignError`].
    pub async fn sign(&self, transaction: TxEip1559) -> Result<SignedTransaction, SignError> {
        match self {
            Self::Local(key) => key.sign_eip1559(transaction).map_err(|_| SignError),
        }
    }
}
