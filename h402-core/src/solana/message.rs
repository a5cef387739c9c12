//! Messages: what a transaction's signatures are over.

use super::program;
use crate::SolanaAddress;
use alloy_primitives::Bytes;
use sha2::{Digest, Sha256};

/// The two forms of messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageVersion {
    /// Without a version.
    Legacy,
    /// Version 0, which may load keys from lookup tables.
    V0,
}

/// A decoded message. Every index in it is that of one of its keys, or of a key that a lookup table holds.
///
/// It is made by decoding only, so what it says and the bytes that were signed are one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SolanaMessage {
    pub(super) version: MessageVersion,
    pub(super) required_signatures: u8,
    pub(super) readonly_signed: u8,
    pub(super) readonly_unsigned: u8,
    pub(super) keys: Vec<SolanaAddress>,
    pub(super) blockhash: [u8; 32],
    pub(super) instructions: Vec<SolanaInstruction>,
    pub(super) lookups: usize,
    pub(super) bytes: Bytes,
}

/// One instruction of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SolanaInstruction {
    /// Index of the program among the message's own keys; never that of the fee payer.
    pub program: u8,
    /// Indices of the accounts it is given.
    pub accounts: Bytes,
    /// Data.
    pub data: Bytes,
}

impl SolanaMessage {
    /// The texts that it writes to the log, as they are.
    pub fn memos(&self) -> impl Iterator<Item = &[u8]> {
        let memo = |instruction: &&SolanaInstruction| self.key(instruction.program).is_some_and(program::is_memo);
        self.instructions.iter().filter(memo).map(|instruction| instruction.data.as_ref())
    }

    /// Its form.
    #[must_use]
    pub fn version(&self) -> MessageVersion {
        self.version
    }

    /// The keys that must sign, the fee payer first; never none.
    #[must_use]
    pub fn signers(&self) -> &[SolanaAddress] {
        self.keys.get(..usize::from(self.required_signatures)).unwrap_or_default()
    }

    /// The account that pays the fee.
    #[must_use]
    pub fn fee_payer(&self) -> SolanaAddress {
        // A message without keys does not decode.
        self.keys.first().copied().unwrap_or(super::program::SYSTEM)
    }

    /// All keys of its own, each once.
    #[must_use]
    pub fn keys(&self) -> &[SolanaAddress] {
        &self.keys
    }

    /// The recent blockhash it lives by; an account's value if it uses a durable nonce.
    #[must_use]
    pub fn blockhash(&self) -> &[u8; 32] {
        &self.blockhash
    }

    /// What it does, in order.
    #[must_use]
    pub fn instructions(&self) -> &[SolanaInstruction] {
        &self.instructions
    }

    /// How many lookup tables it loads keys from.
    #[must_use]
    pub fn lookups(&self) -> usize {
        self.lookups
    }

    /// The bytes that are signed.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// SHA-256 of the bytes that are signed: the identity of a payment on Solana, whoever signs it how.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(&self.bytes).into()
    }

    /// The key at an index; `None` for one that a lookup table holds.
    #[must_use]
    pub fn key(&self, index: u8) -> Option<&SolanaAddress> {
        self.keys.get(usize::from(index))
    }

    /// Whether the key at an index must sign.
    #[must_use]
    pub fn is_signer(&self, index: u8) -> bool {
        index < self.required_signatures
    }

    /// Whether the message lets the key at an index be written; `false` for one that a lookup table holds.
    #[must_use]
    pub fn is_writable(&self, index: u8) -> bool {
        let index = usize::from(index);
        let signed = usize::from(self.required_signatures);
        if index < signed {
            index < signed.saturating_sub(usize::from(self.readonly_signed))
        } else {
            index < self.keys.len().saturating_sub(usize::from(self.readonly_unsigned))
        }
    }
}
