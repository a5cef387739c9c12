//! Sending, and what nodes say to it.

use super::{
    EvmChain,
    quantity::{Fixed, read},
};
use crate::rpc::{Reach, RpcError};
use alloy_primitives::{B256, Bytes, keccak256};

/// What became of a transaction that was handed to the node. Only a block proves anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// The node took it.
    Accepted,
    /// The node has it already.
    AlreadyKnown,
    /// The node said why it did not take it now. It may have it from an earlier time, or another node may.
    Refused(SendRefusal),
    /// No answer, or one that is not understood: it may be on its way.
    Unknown,
}

/// Why a node does not take a transaction.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendRefusal {
    /// Its nonce is used: by itself, perhaps.
    NonceTooLow,
    /// Another transaction has its nonce, and this one does not pay enough more.
    ReplacementUnderpriced,
    /// It pays less than the node asks for.
    Underpriced,
    /// Its sender cannot pay for it.
    InsufficientFunds,
    /// Its gas limit is below what its bytes cost.
    GasTooLow,
    /// Its gas limit is above that of a block.
    GasTooHigh,
}

impl EvmChain {
    /// Hands a signed transaction to the node, and on to the next endpoint if one does not answer: always the same
    /// bytes.
    ///
    /// # Cancel safety
    /// Dropping the future leaves open whether it was sent: [`Sent::Unknown`].
    pub async fn send(&self, raw: &Bytes) -> Sent {
        match self.inner.rpc.send_raw(raw, Reach::UntilAnswered).await {
            Ok(Ok(hash)) => match read::<Fixed<B256>>(&hash) {
                Ok(hash) if hash.0 == keccak256(raw) => Sent::Accepted,
                // The node speaks of some other transaction.
                _ => Sent::Unknown,
            },
            Ok(Err(error)) => classify(&error),
            Err(_) => Sent::Unknown,
        }
    }
}

/// The words of geth and its forks, reth, Erigon, Nethermind, Besu and anvil, in lower case. The first that is
/// found counts.
const TEXTS: [(&str, Sent); 28] = [
    ("already known", Sent::AlreadyKnown),
    ("alreadyknown", Sent::AlreadyKnown),
    ("known transaction", Sent::AlreadyKnown),
    ("transaction already imported", Sent::AlreadyKnown),
    ("existing tx with same hash", Sent::AlreadyKnown),
    ("tx already exists in cache", Sent::AlreadyKnown),
    ("nonce too low", Sent::Refused(SendRefusal::NonceTooLow)),
    ("oldnonce", Sent::Refused(SendRefusal::NonceTooLow)),
    ("nonce is too low", Sent::Refused(SendRefusal::NonceTooLow)),
    ("replacement transaction underpriced", Sent::Refused(SendRefusal::ReplacementUnderpriced)),
    ("transaction replacement underpriced", Sent::Refused(SendRefusal::ReplacementUnderpriced)),
    ("replacementnotallowed", Sent::Refused(SendRefusal::ReplacementUnderpriced)),
    ("could not replace existing tx", Sent::Refused(SendRefusal::ReplacementUnderpriced)),
    ("underpriced", Sent::Refused(SendRefusal::Underpriced)),
    ("feetoolow", Sent::Refused(SendRefusal::Underpriced)),
    ("fee too low", Sent::Refused(SendRefusal::Underpriced)),
    ("less than block base fee", Sent::Refused(SendRefusal::Underpriced)),
    ("gas price below configured minimum", Sent::Refused(SendRefusal::Underpriced)),
    ("insufficient funds", Sent::Refused(SendRefusal::InsufficientFunds)),
    ("insufficientfunds", Sent::Refused(SendRefusal::InsufficientFunds)),
    ("upfront cost exceeds account balance", Sent::Refused(SendRefusal::InsufficientFunds)),
    ("intrinsic gas too low", Sent::Refused(SendRefusal::GasTooLow)),
    ("intrinsic gas exceeds gas limit", Sent::Refused(SendRefusal::GasTooLow)),
    ("exceeds block gas limit", Sent::Refused(SendRefusal::GasTooHigh)),
    ("gaslimitexceeded", Sent::Refused(SendRefusal::GasTooHigh)),
    ("gas limit too high", Sent::Refused(SendRefusal::GasTooHigh)),
    ("intrinsic gas too high", Sent::Refused(SendRefusal::GasTooHigh)),
    ("gas too low", Sent::Refused(SendRefusal::GasTooLow)),
];

/// Nodes tell these apart by text alone; what is not in the table is unknown, which is always safe.
fn classify(error: &RpcError) -> Sent {
    let text = error.message.to_ascii_lowercase();
    TEXTS.iter().find(|(words, _)| text.contains(words)).map_or(Sent::Unknown, |(_, sent)| *sent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use SendRefusal as R;

    #[test]
    fn nodes_words_are_told_apart() {
        let cases = [
            // geth 1.13 to 1.16.
            ("already known", Sent::AlreadyKnown),
            ("nonce too low: next nonce 5, tx nonce 4", Sent::Refused(R::NonceTooLow)),
            ("replacement transaction underpriced", Sent::Refused(R::ReplacementUnderpriced)),
            ("transaction underpriced: tip needed 1000000, tip permitted 0", Sent::Refused(R::Underpriced)),
            ("insufficient funds for gas * price + value: balance 0, tx cost 21000, overshot 21000", Sent::Refused(R::InsufficientFunds)),
            ("intrinsic gas too low: gas 100, minimum needed 21000", Sent::Refused(R::GasTooLow)),
            ("exceeds block gas limit", Sent::Refused(R::GasTooHigh)),
            ("max fee per gas less than block base fee: address 0x00, maxFeePerGas: 1, baseFee: 2", Sent::Refused(R::Underpriced)),
            ("known transaction: 9fc76417374aa880d4449a1f7f31ec597f00b1f6f3dd2d66f4c9c6c445836d8b", Sent::AlreadyKnown),
            ("txpool is full", Sent::Unknown),
            ("nonce too high", Sent::Unknown),
            ("invalid sender", Sent::Unknown),
            ("only replay-protected (EIP-155) transactions allowed over RPC", Sent::Unknown),
            ("tx fee (2.00 ether) exceeds the configured cap (1.00 ether)", Sent::Unknown),
            // Nethermind.
            ("AlreadyKnown", Sent::AlreadyKnown),
            ("OldNonce, Current nonce: 5, nonce of rejected tx: 4", Sent::Refused(R::NonceTooLow)),
            ("ReplacementNotAllowed", Sent::Refused(R::ReplacementUnderpriced)),
            ("FeeTooLow, EffectivePriorityFeePerGas too low 1 < 2", Sent::Refused(R::Underpriced)),
            ("FeeTooLowToCompete", Sent::Refused(R::Underpriced)),
            ("InsufficientFunds, Account balance: 0, cumulative cost: 21000", Sent::Refused(R::InsufficientFunds)),
            ("GasLimitExceeded, Gas limit: 30000000, gas limit of rejected tx: 40000000", Sent::Refused(R::GasTooHigh)),
            // Erigon.
            ("ALREADY_EXISTS: already known", Sent::AlreadyKnown),
            ("existing tx with same hash", Sent::AlreadyKnown),
            ("INTERNAL_ERROR: insufficient funds", Sent::Refused(R::InsufficientFunds)),
            ("could not replace existing tx", Sent::Refused(R::ReplacementUnderpriced)),
            ("underpriced", Sent::Refused(R::Underpriced)),
            ("gas limit too high", Sent::Refused(R::GasTooHigh)),
            // Besu.
            ("Known transaction", Sent::AlreadyKnown),
            ("Nonce too low", Sent::Refused(R::NonceTooLow)),
            ("Upfront cost exceeds account balance", Sent::Refused(R::InsufficientFunds)),
            ("Intrinsic gas exceeds gas limit", Sent::Refused(R::GasTooLow)),
            ("Transaction gas limit exceeds block gas limit", Sent::Refused(R::GasTooHigh)),
            ("Gas price below configured minimum gas price", Sent::Refused(R::Underpriced)),
            ("Transaction replacement underpriced", Sent::Refused(R::ReplacementUnderpriced)),
            // anvil; those of 1.7.1 as it answered them.
            ("intrinsic gas too high -- tx.gas_limit > env.block.gas_limit", Sent::Refused(R::GasTooHigh)),
            ("invalid chain id for signer", Sent::Unknown),
            ("transaction already imported", Sent::AlreadyKnown),
            ("Insufficient funds for gas * price + value", Sent::Refused(R::InsufficientFunds)),
            // Anything else.
            ("", Sent::Unknown),
            ("internal error", Sent::Unknown),
            ("unknown account", Sent::Unknown),
        ];
        for (message, want) in cases {
            let error = RpcError { code: -32000, message: message.to_owned(), data: None };
            assert_eq!(classify(&error), want, "{message}");
        }
    }
}
