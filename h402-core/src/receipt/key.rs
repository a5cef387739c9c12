//! Who signs receipts.

use super::BadReceipt;
use core::{fmt, str::FromStr};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use zeroize::Zeroizing;

/// The key that signs receipts: ed25519, for nothing else. Wiped from memory when dropped, never shown.
///
/// ```
/// use h402_core::ReceiptKey;
/// let key = ReceiptKey::from_hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")?;
/// assert_eq!(key.issuer().to_string(), "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
/// assert_eq!(format!("{key:?}"), format!("ReceiptKey({})", key.issuer()));
/// # Ok::<(), h402_core::BadReceiptKey>(())
/// ```
#[derive(Clone)]
pub struct ReceiptKey(SigningKey);

/// Who signed a receipt: an ed25519 public key, 64 hex digits as text.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReceiptIssuer([u8; 32]);

/// A text that is no key. Does not repeat what it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an ed25519 key of 64 hex digits")]
pub struct BadReceiptKey;

impl ReceiptKey {
    /// Takes the 32 secret bytes.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// Reads 64 hex digits, with or without `0x`.
    ///
    /// # Errors
    /// [`BadReceiptKey`].
    pub fn from_hex(text: &str) -> Result<Self, BadReceiptKey> {
        let mut seed = Zeroizing::new([0; 32]);
        let text = text.trim();
        hex::decode_to_slice(text.strip_prefix("0x").unwrap_or(text), seed.as_mut_slice()).map_err(|_| BadReceiptKey)?;
        Ok(Self::from_seed(&seed))
    }

    /// Under which name its receipts are known.
    #[must_use]
    pub fn issuer(&self) -> ReceiptIssuer {
        ReceiptIssuer(self.0.verifying_key().to_bytes())
    }

    pub(super) fn sign(&self, statement: &[u8]) -> [u8; 64] {
        self.0.sign(statement).to_bytes()
    }
}

impl fmt::Debug for ReceiptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReceiptKey({})", self.issuer())
    }
}

impl ReceiptIssuer {
    /// Takes the bytes, whether or not they are a key: nothing verifies under those that are not.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(super) fn verify(&self, statement: &[u8], signature: &[u8; 64]) -> Result<(), BadReceipt> {
        let key = VerifyingKey::from_bytes(&self.0).map_err(|_| BadReceipt::Signature)?;
        key.verify_strict(statement, &Signature::from_bytes(signature)).map_err(|_| BadReceipt::Signature)
    }
}

impl FromStr for ReceiptIssuer {
    type Err = BadReceiptKey;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| BadReceiptKey)?;
        match VerifyingKey::from_bytes(&bytes) {
            Ok(key) if !key.is_weak() => Ok(Self(bytes)),
            _ => Err(BadReceiptKey),
        }
    }
}

impl fmt::Display for ReceiptIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for ReceiptIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
