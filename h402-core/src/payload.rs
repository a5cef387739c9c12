//! Payment payloads: what a payer presents.

use crate::{Address, Amount, EvmAddress, Network, Scheme, SignedReceipt, SolanaAddress, base58};
use alloy_primitives::{B256, Bytes, U256};
use core::fmt;

/// The protocol and version a peer speaks; answers go out in the dialect that came in.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// h402 version 1.
    H402V1,
    /// x402 version 1.
    X402V1,
    /// x402 version 2.
    X402V2,
}

/// A decoded payment header: syntactically right, nothing about it checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PaymentPayload {
    /// How it was spelled.
    pub dialect: Dialect,
    /// Scheme the payer followed.
    pub scheme: Scheme,
    /// Network the payer paid on.
    pub network: Network,
    /// Resource the payer says it pays for.
    pub resource: Option<String>,
    /// The proof itself.
    pub payload: Payload,
}

/// The proof of payment.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Payload {
    /// EVM `authorization`: a signed EIP-3009 authorization that the facilitator submits.
    Authorization(SignedAuthorization),
    /// EVM `permit2Authorization`: a signed Permit2 transfer that the facilitator submits through a canonical proxy.
    Permit2(SignedPermit2),
    /// EVM `signedTransaction`: a transaction signed by the payer and not sent yet.
    EvmTransaction(SignedEvmTransaction),
    /// EVM `signAndSendTransaction`: the hash of a transaction the payer has sent.
    EvmSent(SentEvmTransaction),
    /// Solana `signTransaction`: a transaction signed by the payer and not sent yet.
    SolanaTransaction(SignedSolanaTransaction),
    /// Solana `signAndSendTransaction`: the signature of a transaction the payer has sent.
    SolanaSent(SentSolanaTransaction),
}

/// Whether there is something left to settle (h402 `type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PaymentClass {
    /// Signed, not on chain: the facilitator settles it.
    Payload,
    /// Already sent by the payer.
    Transaction,
}

impl Payload {
    /// Whether there is something left to settle.
    #[must_use]
    pub fn class(&self) -> PaymentClass {
        match self {
            Self::Authorization(_) | Self::Permit2(_) | Self::EvmTransaction(_) | Self::SolanaTransaction(_) => PaymentClass::Payload,
            Self::EvmSent(_) | Self::SolanaSent(_) => PaymentClass::Transaction,
        }
    }
}

/// The fields of EIP-3009 `TransferWithAuthorization`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authorization {
    /// Who pays.
    pub from: EvmAddress,
    /// Who is paid.
    pub to: EvmAddress,
    /// How much, in the token's smallest unit.
    pub value: Amount,
    /// Unix seconds after which it is valid.
    pub valid_after: U256,
    /// Unix seconds before which it is valid.
    pub valid_before: U256,
    /// Random, chosen by the payer, usable once per payer and token.
    pub nonce: B256,
}

/// An authorization and its signature bytes as received (64, 65 or more bytes).
#[derive(Clone, PartialEq, Eq)]
pub struct SignedAuthorization {
    /// What was signed.
    pub authorization: Authorization,
    /// As received; at most 8 KiB.
    pub signature: Bytes,
    /// `version` of the domain it was signed under, as the payer says; decides nothing.
    pub version: Option<String>,
}

/// The fields of a Permit2 `PermitWitnessTransferFrom` for one of the canonical x402 proxies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit2Authorization {
    /// Who pays.
    pub from: EvmAddress,
    /// With what.
    pub token: EvmAddress,
    /// How much, in the token's smallest unit; in scheme `upto` at most.
    pub amount: Amount,
    /// The proxy that may move it.
    pub spender: EvmAddress,
    /// Chosen by the payer, usable once per payer.
    pub nonce: U256,
    /// Unix seconds up to which it is valid.
    pub deadline: U256,
    /// What the proxy is bound to.
    pub witness: Permit2Witness,
}

/// What a payer binds the proxy to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permit2Witness {
    /// Who is paid.
    pub to: EvmAddress,
    /// Unix seconds from which on it is valid.
    pub valid_after: U256,
    /// Who may settle it: in scheme `upto` one account, in `exact` none is named and anybody may.
    pub facilitator: Option<EvmAddress>,
}

/// A Permit2 transfer and its signature bytes as received.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedPermit2 {
    /// What was signed.
    pub authorization: Permit2Authorization,
    /// As received; at most 8 KiB.
    pub signature: Bytes,
    /// The payer's approval of Permit2, where the facilitator is to bring it to the chain (`eip2612GasSponsoring`).
    pub permit: Option<SignedPermit>,
}

/// The fields of an EIP-2612 `permit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Permit {
    /// Whose tokens.
    pub owner: EvmAddress,
    /// Which.
    pub token: EvmAddress,
    /// Who may move them.
    pub spender: EvmAddress,
    /// How many, in the token's smallest unit.
    pub value: Amount,
    /// The owner's next permit nonce at the token.
    pub nonce: U256,
    /// Unix seconds up to which it is valid.
    pub deadline: U256,
}

/// An EIP-2612 permit and its signature bytes as received.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedPermit {
    /// What was signed.
    pub permit: Permit,
    /// As received.
    pub signature: Bytes,
}

/// A raw signed EVM transaction and the payer's signature over the resource.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedEvmTransaction {
    /// EIP-2718 envelope or legacy RLP.
    pub raw: Bytes,
    /// EIP-191 signature over the resource text.
    pub signed_message: Bytes,
}

/// The hash of a sent EVM transaction and its sender's signature over the resource.
#[derive(Clone, PartialEq, Eq)]
pub struct SentEvmTransaction {
    /// Transaction hash.
    pub hash: B256,
    /// EIP-191 signature over the resource text.
    pub signed_message: Bytes,
}

/// A signed Solana transaction in wire form.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedSolanaTransaction {
    /// The payer's claim of its first signature; decides nothing.
    pub signature: Option<[u8; 64]>,
    /// Wire transaction, at most 1 232 bytes.
    pub transaction: Bytes,
}

/// The signature of a sent Solana transaction, and who says that it was theirs.
#[derive(Clone, PartialEq, Eq)]
pub struct SentSolanaTransaction {
    /// First signature of the transaction.
    pub signature: [u8; 64],
    /// Who claims it. The reference sends none, and such payments are not accepted: whoever sees a transaction on
    /// chain could claim it (T088).
    pub claim: Option<SolanaClaim>,
}

/// The payer's signature over the resource: our own addition to the protocol.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SolanaClaim {
    /// Who signed it.
    pub signer: SolanaAddress,
    /// ed25519 signature over exactly the resource text.
    pub signed_message: [u8; 64],
}

/// Signed bytes are replayable: they never appear in debug output.
macro_rules! redacted {
    ($($name:ident { $($shown:ident),* })*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct(stringify!($name))$(.field(stringify!($shown), &self.$shown))*.finish_non_exhaustive()
            }
        }
    )*};
}
redacted! {
    SignedAuthorization { authorization }
    SignedPermit2 { authorization }
    SignedPermit { permit }
    SignedEvmTransaction {}
    SentEvmTransaction { hash }
    SignedSolanaTransaction {}
    SentSolanaTransaction {}
    SolanaClaim { signer }
}

/// The identifier of a transaction on some chain, as it is shown to people and looked up.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TransactionId {
    /// EVM transaction hash.
    Evm(B256),
    /// First signature of a Solana transaction.
    Solana([u8; 64]),
}

impl fmt::Display for TransactionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Evm(hash) => write!(f, "{hash}"),
            Self::Solana(signature) => f.write_str(&bs58::encode(signature).into_string()),
        }
    }
}

impl core::str::FromStr for TransactionId {
    type Err = BadTransactionId;
    /// One spelling per transaction (T059): lower-case `0x` hex of 32 bytes, or 64 bytes in base58.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Some(digits) = text.strip_prefix("0x") {
            let canonical = digits.len() == 64 && !digits.bytes().any(|b| b.is_ascii_uppercase());
            let mut hash = [0; 32];
            return match hex::decode_to_slice(digits, &mut hash) {
                Ok(()) if canonical => Ok(Self::Evm(B256::from(hash))),
                _ => Err(BadTransactionId),
            };
        }
        base58::read(text).map(Self::Solana).ok_or(BadTransactionId)
    }
}

/// A text that is no transaction identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("neither a lower-case 0x hash of 32 bytes nor a base58 signature of 64 bytes")]
pub struct BadTransactionId;

/// What a settled payment left behind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Network it was settled on.
    pub network: Network,
    /// The transaction that carries it.
    pub transaction: TransactionId,
    /// Who paid.
    pub payer: Address,
    /// The facilitator's signature under all of it, if it gives one.
    pub signed: Option<SignedReceipt>,
}
