//! Receipts that prove themselves: who paid whom what, signed, checked without asking anybody.
//!
//! A receipt is one text: base64url without padding of a statement and an ed25519 signature over it. The statement is
//! fields, each with its length before it as two bytes big-endian, in this order:
//!
//! | field | bytes |
//! | --- | --- |
//! | version | `h402-receipt-1` |
//! | purpose | `settled` or `credit` |
//! | payment | 32 |
//! | request it opened | 32, or none if the issuer does not know it |
//! | network | CAIP-2 |
//! | transaction | 32 (EVM) or 64 (Solana) |
//! | block | number, 8 bytes big-endian, and hash, 32; or none if the issuer does not know it |
//! | asset, payee, payer | 20 (EVM) or 32 (Solana), a field each |
//! | amount | 32, big-endian, in the asset's smallest unit |
//! | time | 8, big-endian, milliseconds since 1970 UTC |
//! | issuer | 32, an ed25519 public key |
//!
//! The signature is 64 bytes and stands behind them without a length. What is signed begins with a zero byte, as no
//! message of Solana does, so a receipt is never a transaction, whatever key signs it.

mod encoding;
mod key;

pub use key::{BadReceiptKey, ReceiptIssuer, ReceiptKey};

use crate::{Address, Amount, AssetId, BlockRef, Fingerprint, PaymentKey, TransactionId, UnixMillis};
use core::{fmt, str::FromStr};
use std::sync::Arc;

/// What an issuer says of one payment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// What it is good for.
    pub purpose: ReceiptPurpose,
    /// The payment.
    pub payment: PaymentKey,
    /// The one request that the payment opened, if the issuer knows it: gates do, facilitators do not.
    pub fingerprint: Option<Fingerprint>,
    /// The transaction that carries it.
    pub transaction: TransactionId,
    /// The block it was seen in. After a reorg of the chain it may be in another.
    pub block: Option<BlockRef>,
    /// What was paid with, on which network.
    pub asset: AssetId,
    /// How much, in the asset's smallest unit.
    pub amount: Amount,
    /// Who was paid.
    pub pay_to: Address,
    /// Who paid.
    pub payer: Address,
    /// When the issuer took the payment on; of a credit, when it became one.
    pub time: UnixMillis,
}

/// What a receipt is good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ReceiptPurpose {
    /// It proves that the payee was paid.
    Settled,
    /// It proves that the payee was paid and did not deliver: the payer has something to claim.
    Credit,
}

/// A statement and its issuer's signature, which [`SignedReceipt::verify`] checks. Cheap to clone.
///
/// ```
/// use h402_core::{Address, Amount, AssetId, Network, PaymentKey, ReceiptKey, ReceiptPurpose, SignedReceipt, Statement};
/// use h402_core::{TransactionId, UnixMillis};
/// let statement = Statement {
///     purpose: ReceiptPurpose::Settled,
///     payment: PaymentKey::from_bytes([1; 32]),
///     fingerprint: None,
///     transaction: TransactionId::Evm([2; 32].into()),
///     block: None,
///     asset: AssetId { network: Network::Evm(8453), address: Address::Evm([3; 20].into()) },
///     amount: Amount::from_atomic(10_000),
///     pay_to: Address::Evm([4; 20].into()),
///     payer: Address::Evm([5; 20].into()),
///     time: UnixMillis(1_800_000_000_000),
/// };
/// let key = ReceiptKey::from_seed(&[7; 32]);
/// let text = SignedReceipt::sign(statement.clone(), &key)?.to_string();
///
/// let receipt: SignedReceipt = text.parse()?;
/// assert_eq!(receipt.verify(&[key.issuer()])?, &statement);
/// let stranger = ReceiptKey::from_seed(&[8; 32]);
/// assert!(receipt.verify(&[stranger.issuer()]).is_err());
/// # Ok::<(), h402_core::BadReceipt>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct SignedReceipt(Arc<Signed>);

#[derive(PartialEq, Eq)]
struct Signed {
    statement: Statement,
    issuer: ReceiptIssuer,
    signature: [u8; 64],
}

/// Why a text proves nothing.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadReceipt {
    /// Longer than any receipt.
    #[error("longer than any receipt")]
    TooLong,
    /// Not base64url without padding.
    #[error("not base64url without padding")]
    Base64,
    /// Not a receipt of this version.
    #[error("not a receipt of version 1")]
    Version,
    /// A field that cannot be read, or does not go with the others.
    #[error("{0} cannot be read, or does not go with the rest")]
    Field(&'static str),
    /// Signed by somebody who is not trusted.
    #[error("signed by {0}, which is not a trusted issuer")]
    Issuer(ReceiptIssuer),
    /// The signature is not the issuer's.
    #[error("the signature is not that of the issuer")]
    Signature,
}

impl ReceiptPurpose {
    /// The word that stands in a receipt.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::Credit => "credit",
        }
    }

    fn from_word(word: &[u8]) -> Option<Self> {
        [Self::Settled, Self::Credit].into_iter().find(|purpose| purpose.as_str().as_bytes() == word)
    }
}

impl SignedReceipt {
    /// Longest text of a receipt, in bytes.
    pub const MAX_TEXT: usize = 1024;

    /// Signs a statement. The same statement and key make the same text.
    ///
    /// # Errors
    /// [`BadReceipt::Field`] if its parts are of different kinds of networks.
    pub fn sign(statement: Statement, key: &ReceiptKey) -> Result<Self, BadReceipt> {
        encoding::is_of_one_kind(&statement)?;
        let issuer = key.issuer();
        let signature = key.sign(&encoding::write(&statement, &issuer));
        Ok(Self(Arc::new(Signed { statement, issuer, signature })))
    }

    /// What it says, if one of `trusted` has signed it.
    ///
    /// # Errors
    /// [`BadReceipt::Issuer`], [`BadReceipt::Signature`].
    pub fn verify(&self, trusted: &[ReceiptIssuer]) -> Result<&Statement, BadReceipt> {
        let Signed { statement, issuer, signature } = &*self.0;
        if !trusted.contains(issuer) {
            return Err(BadReceipt::Issuer(*issuer));
        }
        issuer.verify(&encoding::write(statement, issuer), signature)?;
        Ok(statement)
    }

    /// What it says, proved by nothing yet.
    #[must_use]
    pub fn unverified(&self) -> &Statement {
        &self.0.statement
    }

    /// Who says so, proved by nothing yet.
    #[must_use]
    pub fn issuer(&self) -> ReceiptIssuer {
        self.0.issuer
    }
}

impl FromStr for SignedReceipt {
    type Err = BadReceipt;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() > Self::MAX_TEXT {
            return Err(BadReceipt::TooLong);
        }
        let bytes = encoding::from_base64url(text)?;
        let (statement, signature) = bytes.split_last_chunk::<64>().ok_or(BadReceipt::Version)?;
        let (statement, issuer) = encoding::read(statement)?;
        Ok(Self(Arc::new(Signed { statement, issuer, signature: *signature })))
    }
}

impl fmt::Display for SignedReceipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Signed { statement, issuer, signature } = &*self.0;
        let mut bytes = encoding::write(statement, issuer);
        bytes.extend_from_slice(signature);
        f.write_str(&encoding::to_base64url(&bytes))
    }
}

impl fmt::Debug for SignedReceipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Signed { statement, issuer, .. } = &*self.0;
        f.debug_struct("SignedReceipt").field("statement", statement).field("issuer", issuer).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
