use crate::{Authorization, EvmAddress, Permit, Permit2Authorization, SignedAuthorization, SignedPermit, SignedPermit2, TokenDomain};
use alloy_consensus::{SignableTransaction, TxEip1559, TxEnvelope, TxLegacy};
use alloy_eips::eip2718::Encodable2718;
use alloy_primitives::{B256, Bytes, Signature, keccak256};
use alloy_sol_types::Eip712Domain;
use core::fmt;
use k256::ecdsa::SigningKey;
use zeroize::Zeroizing;

/// A secp256k1 key that signs for an EVM account. Wiped from memory when dropped, never shown.
///
/// ```
/// use h402_core::EvmKey;
/// let key = EvmKey::from_hex("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")?;
/// assert_eq!(key.address().to_string(), "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
/// assert_eq!(format!("{key:?}"), "EvmKey(0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266)");
/// # Ok::<(), h402_core::BadKey>(())
/// ```
#[derive(Clone)]
pub struct EvmKey {
    key: SigningKey,
    address: EvmAddress,
}

/// A text or bytes that are no secret key. Does not repeat what it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a secp256k1 secret key of 32 bytes in hex")]
pub struct BadKey;

impl EvmKey {
    /// Takes the 32 secret bytes.
    ///
    /// # Errors
    /// [`BadKey`] if they are zero or beyond the curve's order.
    pub fn from_bytes(secret: &[u8; 32]) -> Result<Self, BadKey> {
        let key = SigningKey::from_slice(secret).map_err(|_| BadKey)?;
        let address = EvmAddress::from_public_key(key.verifying_key());
        Ok(Self { key, address })
    }

    /// Reads 64 hex digits, with or without `0x`.
    ///
    /// # Errors
    /// [`BadKey`].
    pub fn from_hex(text: &str) -> Result<Self, BadKey> {
        let mut secret = Zeroizing::new([0; 32]);
        let digits = text.trim().trim_start_matches("0x");
        hex::decode_to_slice(digits, secret.as_mut_slice()).map_err(|_| BadKey)?;
        Self::from_bytes(&secret)
    }

    /// The account it signs for.
    #[must_use]
    pub fn address(&self) -> EvmAddress {
        self.address
    }

    /// Signs a hash.
    ///
    /// # Errors
    /// [`BadKey`] if the curve refuses, which no hash in practice does.
    pub fn sign_hash(&self, hash: &B256) -> Result<Signature, BadKey> {
        let (signature, recovery) = self.key.sign_prehash_recoverable(hash.as_slice()).map_err(|_| BadKey)?;
        Ok(Signature::from((signature, recovery)))
    }

    /// Signs an EIP-3009 authorization for the token of `domain`.
    ///
    /// # Errors
    /// As [`EvmKey::sign_hash`].
    pub fn sign_authorization(&self, authorization: Authorization, domain: &Eip712Domain) -> Result<SignedAuthorization, BadKey> {
        let hash = super::transfer_with_authorization_hash(&authorization, domain);
        let signature = Bytes::copy_from_slice(&self.sign_hash(&hash)?.as_bytes());
        let version = domain.version.as_ref().map(ToString::to_string);
        Ok(SignedAuthorization { authorization, signature, version })
    }

    /// Signs a Permit2 transfer for the chain of this id; the approval of Permit2 is a matter of its own.
    ///
    /// # Errors
    /// As [`EvmKey::sign_hash`].
    pub fn sign_permit2(&self, authorization: Permit2Authorization, chain_id: u64) -> Result<SignedPermit2, BadKey> {
        let hash = super::permit2_hash(&authorization, chain_id);
        let signature = Bytes::copy_from_slice(&self.sign_hash(&hash)?.as_bytes());
        Ok(SignedPermit2 { authorization, signature, permit: None })
    }

    /// Signs an EIP-2612 permit for the token of `domain` on the chain of this id.
    ///
    /// # Errors
    /// As [`EvmKey::sign_hash`].
    pub fn sign_permit(&self, permit: Permit, domain: &TokenDomain, chain_id: u64) -> Result<SignedPermit, BadKey> {
        let hash = super::permit_hash(&permit, domain, chain_id);
        let signature = Bytes::copy_from_slice(&self.sign_hash(&hash)?.as_bytes());
        Ok(SignedPermit { permit, signature })
    }

    /// Signs a text as wallets do (EIP-191 `personal_sign`).
    ///
    /// # Errors
    /// As [`EvmKey::sign_hash`].
    pub fn sign_message(&self, text: &str) -> Result<Bytes, BadKey> {
        let signature = self.sign_hash(&super::eip191_hash(text.as_bytes()))?;
        Ok(Bytes::copy_from_slice(&signature.as_bytes()))
    }

    /// Signs a legacy transaction with EIP-155 and encodes it for sending.
    ///
    /// # Errors
    /// As [`EvmKey::sign_hash`].
    pub fn sign_legacy(&self, transaction: TxLegacy) -> Result<SignedTransaction, BadKey> {
        let signature = self.sign_hash(&transaction.signature_hash())?;
        Ok(SignedTransaction::new(TxEnvelope::Legacy(transaction.into_signed(signature))))
    }

    /// Signs an EIP-1559 transaction and encodes it for sending.
    ///
    /// # Errors
    /// As [`EvmKey::sign_hash`].
    pub fn sign_eip1559(&self, transaction: TxEip1559) -> Result<SignedTransaction, BadKey> {
        let signature = self.sign_hash(&transaction.signature_hash())?;
        Ok(SignedTransaction::new(TxEnvelope::Eip1559(transaction.into_signed(signature))))
    }
}

impl fmt::Debug for EvmKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EvmKey({})", self.address)
    }
}

/// A signed transaction, ready to send: the same bytes every time.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedTransaction {
    /// Keccak-256 of the bytes.
    pub hash: B256,
    /// What is sent.
    pub raw: Bytes,
}

impl SignedTransaction {
    fn new(envelope: TxEnvelope) -> Self {
        let raw = envelope.encoded_2718();
        Self { hash: keccak256(&raw), raw: raw.into() }
    }
}

impl fmt::Debug for SignedTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedTransaction").field("hash", &self.hash).finish_non_exhaustive()
    }
}
