//! Transactions as bytes: decoded totally, encoded back to the same bytes.

use super::message::{MessageVersion, SolanaInstruction, SolanaMessage};
use crate::{Reject, SolanaReject};
use alloy_primitives::Bytes;

/// A transaction: a message and one signature, right or wrong, for each key that must sign it.
///
/// ```
/// use h402_core::{Reject, solana::SolanaTransaction};
/// assert!(matches!(SolanaTransaction::decode(&[0xff; 40]), Err(Reject::Solana(_))));
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct SolanaTransaction {
    /// In the order of [`SolanaMessage::signers`]; unchecked.
    pub signatures: Vec<[u8; 64]>,
    /// What is signed.
    pub message: SolanaMessage,
}

impl SolanaTransaction {
    /// Longest transaction, in bytes: one packet.
    pub const MAX_LENGTH: usize = 1232;

    /// Reads a legacy or version 0 transaction. No bytes make it panic, and every index in what it answers is in range.
    ///
    /// # Errors
    /// [`SolanaReject::Undecodable`], which says what is wrong.
    pub fn decode(raw: &[u8]) -> Result<Self, Reject> {
        if raw.len() > Self::MAX_LENGTH {
            return refuse("longer than 1232 bytes");
        }
        let raw = Bytes::copy_from_slice(raw);
        let mut reader = Reader { bytes: &raw, at: 0 };
        let count = reader.length()?;
        let mut signatures = Vec::with_capacity(count.min(Self::MAX_LENGTH / 64));
        for _ in 0..count {
            signatures.push(reader.array()?);
        }
        let message = message(&mut reader)?;
        if signatures.len() != usize::from(message.required_signatures) {
            return refuse("there are more or fewer signatures than are required");
        }
        Ok(Self { signatures, message })
    }

    /// Writes the bytes; what was decoded becomes what it was.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut bytes = Vec::with_capacity(3 + 64 * self.signatures.len() + self.message.bytes.len());
        write_length(&mut bytes, self.signatures.len());
        self.signatures.iter().for_each(|signature| bytes.extend_from_slice(signature));
        bytes.extend_from_slice(&self.message.bytes);
        bytes.into()
    }
}

/// Signatures are replayable: they never appear in debug output.
impl core::fmt::Debug for SolanaTransaction {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("SolanaTransaction").field("message", &self.message).finish_non_exhaustive()
    }
}

/// Reads a message that ends where the bytes end.
pub(super) fn message(reader: &mut Reader<'_>) -> Result<SolanaMessage, Reject> {
    let start = reader.at;
    let first = reader.byte()?;
    let (version, required_signatures) = match first {
        0x80 => (MessageVersion::V0, reader.byte()?),
        0x81.. => return refuse("message version is not known"),
        legacy => (MessageVersion::Legacy, legacy),
    };
    let (readonly_signed, readonly_unsigned) = (reader.byte()?, reader.byte()?);
    let count = reader.length()?;
    // Indices are bytes, so there cannot be more keys; and each key takes 32 bytes of at most 1232.
    let mut keys = Vec::with_capacity(count.min(SolanaTransaction::MAX_LENGTH / 32));
    for _ in 0..count {
        let key = reader.array()?.into();
        if keys.contains(&key) {
            return refuse("a key is there twice");
        }
        keys.push(key);
    }
    let signed = usize::from(required_signatures);
    // The fee payer signs and is written.
    if readonly_signed >= required_signatures || signed.saturating_add(usize::from(readonly_unsigned)) > keys.len() {
        return refuse("header does not fit the keys");
    }
    let blockhash = reader.array()?;
    let count = reader.length()?;
    let mut instructions = Vec::with_capacity(count.min(SolanaTransaction::MAX_LENGTH / 3));
    for _ in 0..count {
        let program = reader.byte()?;
        let accounts = reader.prefixed()?;
        let data = reader.prefixed()?;
        instructions.push(SolanaInstruction { program, accounts, data });
    }
    let (lookups, loaded) = match version {
        MessageVersion::Legacy => (0, 0),
        MessageVersion::V0 => lookups(reader)?,
    };
    if reader.at != reader.bytes.len() {
        return refuse("bytes follow the message");
    }
    let all = keys.len().saturating_add(loaded);
    if all > 256 {
        return refuse("more keys than an index can name");
    }
    for instruction in &instructions {
        if instruction.program == 0 || usize::from(instruction.program) >= keys.len() {
            return refuse("a program is the fee payer or no key of the message");
        }
        if instruction.accounts.iter().any(|index| usize::from(*index) >= all) {
            return refuse("an account is no key of the message");
        }
    }
    let bytes = reader.bytes.slice(start..);
    Ok(SolanaMessage { version, required_signatures, readonly_signed, readonly_unsigned, keys, blockhash, instructions, lookups, bytes })
}

/// How many tables there are, and how many keys they add.
fn lookups(reader: &mut Reader<'_>) -> Result<(usize, usize), Reject> {
    let tables = reader.length()?;
    let mut loaded = 0_usize;
    for _ in 0..tables {
        let _table: [u8; 32] = reader.array()?;
        let (writable, readonly) = (reader.prefixed()?, reader.prefixed()?);
        if writable.is_empty() && readonly.is_empty() {
            return refuse("a lookup table adds no key");
        }
        loaded = loaded.saturating_add(writable.len()).saturating_add(readonly.len());
    }
    Ok((tables, loaded))
}

fn refuse<T>(why: &'static str) -> Result<T, Reject> {
    Err(SolanaReject::Undecodable(why).into())
}

/// Bytes that are read from front to back.
pub(super) struct Reader<'a> {
    pub(super) bytes: &'a Bytes,
    pub(super) at: usize,
}

impl Reader<'_> {
    fn byte(&mut self) -> Result<u8, Reject> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Reject> {
        let Some(array) = self.bytes.get(self.at..).and_then(|rest| rest.first_chunk::<N>()) else {
            return refuse("it ends too early");
        };
        self.at = self.at.saturating_add(N);
        Ok(*array)
    }

    /// A count in one to three bytes of seven bits each, the low ones first, in its only canonical spelling.
    fn length(&mut self) -> Result<usize, Reject> {
        let mut length = 0_usize;
        for shift in [0_u32, 7, 14] {
            let byte = self.byte()?;
            length |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                let canonical = shift == 0 || byte != 0;
                return if canonical && length <= usize::from(u16::MAX) { Ok(length) } else { refuse("a length is not canonical") };
            }
        }
        refuse("a length is not canonical")
    }

    fn prefixed(&mut self) -> Result<Bytes, Reject> {
        let length = self.length()?;
        let end = self.at.saturating_add(length);
        if end > self.bytes.len() {
            return refuse("it ends too early");
        }
        let bytes = self.bytes.slice(self.at..end);
        self.at = end;
        Ok(bytes)
    }
}

/// Writes a count as [`Reader::length`] reads it.
pub(super) fn write_length(bytes: &mut Vec<u8>, length: usize) {
    let mut rest = length;
    loop {
        let low = u8::try_from(rest & 0x7f).unwrap_or_default();
        rest >>= 7;
        if rest == 0 {
            bytes.push(low);
            return;
        }
        bytes.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests;
