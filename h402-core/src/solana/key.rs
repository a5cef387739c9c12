use crate::SolanaAddress;
use core::fmt;
use ed25519_dalek::{Signer, SigningKey};
use zeroize::Zeroizing;

/// An ed25519 key that signs for a Solana account. Wiped from memory when dropped, never shown.
///
/// ```
/// use h402_core::SolanaKey;
/// let key = SolanaKey::from_seed(&[7; 32]);
/// assert_eq!(format!("{key:?}"), format!("SolanaKey({})", key.address()));
/// assert_eq!(key.sign(b"text").len(), 64);
/// ```
#[derive(Clone)]
pub struct SolanaKey(SigningKey);

/// A text that is no secret key. Does not repeat what it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not 64 bytes of a Solana key in base58 or as a JSON array of numbers, or its public half is another key's")]
pub struct BadSolanaKey;

impl SolanaKey {
    /// Takes the 32 secret bytes.
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// Reads 64 bytes, secret and public half, as wallets export them (base58) or as `solana-keygen` writes them
    /// (a JSON array of numbers).
    ///
    /// # Errors
    /// [`BadSolanaKey`], also if the public half is not that of the secret one.
    pub fn from_text(text: &str) -> Result<Self, BadSolanaKey> {
        let text = text.trim();
        let mut pair = Zeroizing::new([0; 64]);
        match text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(numbers) => {
                let mut numbers = numbers.split(',');
                for byte in pair.iter_mut() {
                    *byte = numbers.next().and_then(|number| number.trim().parse().ok()).ok_or(BadSolanaKey)?;
                }
                if numbers.next().is_some() {
                    return Err(BadSolanaKey);
                }
            }
            // A shorter text would silently be padded.
            None if bs58::decode(text).onto(pair.as_mut_slice()) == Ok(64) => {}
            None => return Err(BadSolanaKey),
        }
        SigningKey::from_keypair_bytes(&pair).map(Self).map_err(|_| BadSolanaKey)
    }

    /// The account it signs for.
    #[must_use]
    pub fn address(&self) -> SolanaAddress {
        SolanaAddress::from_bytes(self.0.verifying_key().to_bytes())
    }

    /// Signs bytes.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for SolanaKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SolanaKey({})", self.address())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The two spellings are those of wallets and of `solana-keygen`.
    #[test]
    fn both_spellings_of_a_key_are_read_and_a_bent_one_is_not() {
        let seed: [u8; 32] = core::array::from_fn(|at| u8::try_from(at).unwrap());
        let key = SolanaKey::from_seed(&seed);
        let pair: Vec<u8> = seed.into_iter().chain(*key.address().as_bytes()).collect();
        let base58 = bs58::encode(&pair).into_string();
        let json = format!("{pair:?}");
        for text in [&base58, &json, &format!(" {json}\n")] {
            assert_eq!(SolanaKey::from_text(text).unwrap().address(), key.address());
        }
        // RFC 8032's way from a seed to its key, computed with another program.
        assert_eq!(hex::encode(key.address().as_bytes()), "03a107bff3ce10be1d70dd18e74bc09967e4d6309ba50d5f1ddc8664125531b8");
        let mut bent = pair.clone();
        bent[40] ^= 1;
        let short = &pair[..63];
        for text in [bs58::encode(&bent).into_string(), format!("{bent:?}"), format!("{short:?}"), "[256]".into(), String::new()] {
            assert!(SolanaKey::from_text(&text).is_err());
        }
    }
}
