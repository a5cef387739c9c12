//! Payloads of Solana clusters.

use super::TypeIn;
use crate::{
    Payload, Reject, SentSolanaTransaction, SignedSolanaTransaction, SolanaClaim, base58,
    wire::{base64, json::read_payload as read, signed::transaction},
};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

pub(super) fn parse(text: &str) -> Result<Payload, Reject> {
    Ok(match &*read::<TypeIn<'_>>(text)?.kind {
        "signTransaction" => {
            let wire: SignTransactionIn<'_> = read(text)?;
            let claimed = wire.signature.as_deref().map(signature).transpose()?;
            Payload::SolanaTransaction(SignedSolanaTransaction { signature: claimed, transaction: transaction(&wire.transaction)? })
        }
        "signAndSendTransaction" => {
            let wire: SentIn<'_> = read(text)?;
            let claim = match (wire.signer, wire.signed_message) {
                (None, None) => None,
                (Some(signer), Some(signed)) => Some(SolanaClaim {
                    signer: signer.parse().map_err(|_| Reject::Malformed("signer is not 32 bytes in base58"))?,
                    signed_message: signature(&signed)?,
                }),
                _ => return Err(Reject::Malformed("signer and signedMessage belong together")),
            };
            Payload::SolanaSent(SentSolanaTransaction { signature: signature(&wire.signature)?, claim })
        }
        "signMessage" => return Err(Reject::PayloadType("signMessage")),
        _ => return Err(Reject::PayloadType("not a type of this namespace")),
    })
}

fn signature(text: &str) -> Result<[u8; 64], Reject> {
    base58::read(text).ok_or(Reject::Malformed("signature is not 64 bytes in base58"))
}

#[derive(Deserialize)]
struct SignTransactionIn<'a> {
    #[serde(borrow)]
    signature: Option<Cow<'a, str>>,
    #[serde(borrow)]
    transaction: Cow<'a, str>,
}

#[derive(Deserialize)]
struct SentIn<'a> {
    #[serde(borrow)]
    signature: Cow<'a, str>,
    #[serde(borrow)]
    signer: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "signedMessage")]
    signed_message: Option<Cow<'a, str>>,
}

#[derive(Serialize)]
#[serde(tag = "type")]
pub(super) enum PayloadOut {
    #[serde(rename = "signTransaction")]
    Signed {
        #[serde(skip_serializing_if = "Option::is_none")]
        signature: Option<String>,
        transaction: String,
    },
    #[serde(rename = "signAndSendTransaction")]
    Sent {
        signature: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        signer: Option<String>,
        #[serde(rename = "signedMessage", skip_serializing_if = "Option::is_none")]
        signed_message: Option<String>,
    },
}

impl PayloadOut {
    /// `None` if it is not a payload of Solana clusters.
    pub(super) fn new(payload: &Payload) -> Option<Self> {
        let text = |signature: &[u8; 64]| bs58::encode(signature).into_string();
        Some(match payload {
            Payload::SolanaTransaction(signed) => {
                Self::Signed { signature: signed.signature.as_ref().map(text), transaction: base64::encode(&signed.transaction) }
            }
            Payload::SolanaSent(sent) => Self::Sent {
                signature: text(&sent.signature),
                signer: sent.claim.map(|claim| claim.signer.to_string()),
                signed_message: sent.claim.as_ref().map(|claim| text(&claim.signed_message)),
            },
            Payload::Authorization(_) | Payload::Permit2(_) | Payload::EvmTransaction(_) | Payload::EvmSent(_) => return None,
        })
    }
}
