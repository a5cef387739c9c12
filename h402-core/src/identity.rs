//! Payment identity: what the chain treats as one payment, and which request it opens.

use crate::{Address, EvmAddress, Network, TransactionId, network::GenesisPrefix};
use alloy_primitives::{B256, U256};
use core::{fmt, str::FromStr};
use sha2::{Digest, Sha256};

/// What the chain treats as one payment, from typed values and never from header text (T012).
///
/// ```
/// use h402_core::PaymentId;
/// let id = PaymentId::EvmTransaction { chain: 8453, sender: Default::default(), nonce: 7 };
/// assert_eq!(id.key().to_string().len(), 64);
/// assert_ne!(id.key(), PaymentId::EvmTransaction { chain: 1, sender: Default::default(), nonce: 7 }.key());
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PaymentId {
    /// An EIP-3009 authorization: one nonce per payer and token.
    Eip3009 {
        /// Chain id.
        chain: u64,
        /// Token contract.
        token: EvmAddress,
        /// Payer.
        from: EvmAddress,
        /// Authorization nonce.
        nonce: B256,
    },
    /// A Permit2 transfer: one nonce per owner.
    Permit2 {
        /// Chain id.
        chain: u64,
        /// Payer.
        owner: EvmAddress,
        /// Unordered nonce.
        nonce: U256,
    },
    /// An EVM transaction, signed or sent: one account nonce per sender.
    EvmTransaction {
        /// Chain id.
        chain: u64,
        /// Sender.
        sender: EvmAddress,
        /// Account nonce.
        nonce: u64,
    },
    /// A Solana transaction, signed or sent: SHA-256 of its message.
    SolanaMessage {
        /// Cluster.
        genesis: GenesisPrefix,
        /// SHA-256 of the message bytes.
        hash: [u8; 32],
    },
}

/// The 32 bytes under which a payment, or another name of it, is stored.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PaymentKey([u8; 32]);

impl PaymentId {
    /// The key under which the payment is stored.
    #[must_use]
    pub fn key(&self) -> PaymentKey {
        let hash = Hash::new("h402-pid-1");
        PaymentKey(
            match self {
                Self::Eip3009 { chain, token, from, nonce } => hash
                    .field(b"eip3009")
                    .field(&chain.to_be_bytes())
                    .field(token.as_slice())
                    .field(from.as_slice())
                    .field(nonce.as_slice()),
                Self::Permit2 { chain, owner, nonce } => {
                    hash.field(b"permit2").field(&chain.to_be_bytes()).field(owner.as_slice()).field(&nonce.to_be_bytes::<32>())
                }
                Self::EvmTransaction { chain, sender, nonce } => {
                    hash.field(b"evm-tx").field(&chain.to_be_bytes()).field(sender.as_slice()).field(&nonce.to_be_bytes())
                }
                Self::SolanaMessage { genesis, hash: message } => {
                    hash.field(b"solana-message").field(genesis.as_str().as_bytes()).field(message)
                }
            }
            .finish(),
        )
    }
}

impl PaymentKey {
    /// The key of a transaction's own name: an alias of the payment it carries (T173).
    #[must_use]
    pub fn of_transaction(network: Network, transaction: &TransactionId) -> Self {
        let hash = Hash::new("h402-alias-1").field(network.to_string().as_bytes());
        Self(match transaction {
            TransactionId::Evm(id) => hash.field(id.as_slice()).finish(),
            TransactionId::Solana(id) => hash.field(id).finish(),
        })
    }

    /// The key of the name that a payer has given its payment (x402 `payment-identifier`): another alias. Names are each
    /// payer's own, so that nobody can use up somebody else's.
    #[must_use]
    pub fn of_identifier(payer: Address, identifier: &str) -> Self {
        let hash = Hash::new("h402-identifier-1");
        let hash = match payer {
            Address::Evm(address) => hash.field(b"evm").field(address.as_slice()),
            Address::Solana(address) => hash.field(b"solana").field(address.as_bytes()),
        };
        Self(hash.field(identifier.as_bytes()).finish())
    }

    /// Takes bytes read from a store.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for PaymentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for PaymentKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PaymentKey {
    type Err = BadPaymentKey;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| BadPaymentKey)?;
        Ok(Self(bytes))
    }
}

/// A text that is no payment key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not 64 hex digits")]
pub struct BadPaymentKey;

/// The request a payment opens: one payment, one fingerprint (T002, T016).
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    /// Hashes method, configured origin, path and query exactly as received, and the body where the route binds it.
    #[must_use]
    pub fn new(method: &str, origin: &str, path_and_query: &str, body: Option<&[u8]>) -> Self {
        let hash = Hash::new("h402-fp-1").field(method.as_bytes()).field(origin.as_bytes()).field(path_and_query.as_bytes());
        Self(match body {
            Some(body) => hash.field(&Sha256::digest(body)).finish(),
            None => hash.finish(),
        })
    }

    /// Takes bytes read from a store.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// Who asks a facilitator: equal keys are one caller that repeats itself, others exclude each other.
///
/// Sent as `Idempotency-Key`. A gate makes it from the fingerprint and the random identity of its grant
/// store, so two gates without a shared store are two callers.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CallerKey([u8; 32]);

impl CallerKey {
    /// The key of a gate for one request.
    #[must_use]
    pub fn of_gate(store: &[u8; 32], fingerprint: &Fingerprint) -> Self {
        Self(Hash::new("h402-caller-1").field(store).field(fingerprint.as_bytes()).finish())
    }

    /// The key of a caller that sent `text` as its `Idempotency-Key`.
    #[must_use]
    pub fn of_text(text: &str) -> Self {
        match text.parse::<PaymentKey>() {
            Ok(PaymentKey(bytes)) => Self(bytes),
            Err(_) => Self(Hash::new("h402-caller-text-1").field(text.as_bytes()).finish()),
        }
    }

    /// Takes bytes read from a store.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes to store.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The text to send as `Idempotency-Key`.
    #[must_use]
    pub fn to_header(self) -> String {
        hex::encode(self.0)
    }
}

impl fmt::Debug for CallerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallerKey(..)")
    }
}

/// The hash of a list of fields under a name.
pub(crate) fn hash(domain: &str, fields: &[&[u8]]) -> [u8; 32] {
    fields.iter().fold(Hash::new(domain), |hash, field| hash.field(field)).finish()
}

/// SHA-256 over length-prefixed fields, so that no two field lists share their bytes.
struct Hash(Sha256);

impl Hash {
    fn new(domain: &str) -> Self {
        Self(Sha256::new()).field(domain.as_bytes())
    }

    fn field(mut self, bytes: &[u8]) -> Self {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        self.0.update(length.to_be_bytes());
        self.0.update(bytes);
        self
    }

    fn finish(self) -> [u8; 32] {
        self.0.finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_a_request_changes_its_fingerprint() {
        let base = Fingerprint::new("POST", "https://a.example", "/item?id=1", Some(b"{}"));
        let others = [
            Fingerprint::new("PUT", "https://a.example", "/item?id=1", Some(b"{}")),
            Fingerprint::new("POST", "https://b.example", "/item?id=1", Some(b"{}")),
            Fingerprint::new("POST", "https://a.example", "/item?id=2", Some(b"{}")),
            Fingerprint::new("POST", "https://a.example", "/item?id=1", Some(b"{ }")),
            Fingerprint::new("POST", "https://a.example", "/item?id=1", None),
            Fingerprint::new("POSTh", "ttps://a.example", "/item?id=1", Some(b"{}")),
        ];
        assert!(others.iter().all(|other| *other != base));
        assert_eq!(base, Fingerprint::new("POST", "https://a.example", "/item?id=1", Some(b"{}")));
    }

    #[test]
    fn a_fingerprint_is_sha256_of_length_prefixed_fields() {
        // Made with python3: sha256 over 8-byte big-endian lengths and fields.
        let fp = Fingerprint::new("GET", "https://api.example", "/a?b=c", None);
        assert_eq!(format!("{fp:?}"), GET_FINGERPRINT);
    }
    const GET_FINGERPRINT: &str = "4c26d208fc3fc2eb5d25aa7d0f2ba27f1aefdeff2c4bd06f6783f134130f8d44";
}
