//! The inner payload, which both versions spell alike. Its fields tell what kind it is.

mod permit2;

use crate::{
    Network, Payload, Reject, SignedSolanaTransaction,
    wire::{
        WireError, base64, json,
        signed::{AuthorizationOut, SignedAuthorizationIn, transaction},
        x402::Extensions,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::borrow::Cow;

/// Reads the payload of a payment on `network`, with what `extensions` add to it.
pub(super) fn parse(text: &str, network: Network, extensions: &Extensions) -> Result<Payload, Reject> {
    let kind: KindIn<'_> = json::read_payload(text)?;
    let several = [kind.authorization, kind.permit2_authorization, kind.transaction].into_iter().flatten().count() > 1;
    if several {
        return Err(Reject::Malformed("payload is of two kinds at once"));
    }
    match network {
        Network::Evm(_) if kind.authorization.is_some() => {
            let wire: SignedAuthorizationIn<'_> = json::read_payload(text)?;
            Ok(Payload::Authorization(wire.parse()?))
        }
        Network::Evm(_) if kind.permit2_authorization.is_some() => permit2::parse(text, extensions).map(Payload::Permit2),
        Network::Solana(_) if kind.transaction.is_some() => {
            let wire: TransactionIn<'_> = json::read_payload(text)?;
            let transaction = transaction(&wire.transaction)?;
            Ok(Payload::SolanaTransaction(SignedSolanaTransaction { signature: None, transaction }))
        }
        Network::Evm(_) | Network::Solana(_) => Err(Reject::PayloadType("not a payload of this network")),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct KindIn<'a> {
    #[serde(borrow)]
    authorization: Option<&'a RawValue>,
    #[serde(borrow)]
    permit2_authorization: Option<&'a RawValue>,
    #[serde(borrow)]
    transaction: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct TransactionIn<'a> {
    #[serde(borrow)]
    transaction: Cow<'a, str>,
}

/// A payload as we spell it.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum PayloadOut<'a> {
    Authorization { signature: String, authorization: AuthorizationOut<'a> },
    Permit2(permit2::Permit2Out),
    Transaction { transaction: String },
}

impl<'a> PayloadOut<'a> {
    pub(super) fn new(payload: &'a Payload) -> Result<Self, WireError> {
        match payload {
            Payload::Authorization(signed) => Ok(Self::Authorization {
                signature: signed.signature.to_string(),
                authorization: AuthorizationOut::new(&signed.authorization, None),
            }),
            Payload::Permit2(signed) => Ok(Self::Permit2(permit2::Permit2Out::new(signed))),
            Payload::SolanaTransaction(signed) => Ok(Self::Transaction { transaction: base64::encode(&signed.transaction) }),
            Payload::EvmTransaction(_) | Payload::EvmSent(_) | Payload::SolanaSent(_) => {
                Err(WireError::Field("x402 has no payload of this kind"))
            }
        }
    }
}

/// Adds what a payload says elsewhere than in itself: the payer's approval of Permit2.
pub(super) fn extend(extensions: &Extensions, payload: &Payload) -> Result<Extensions, WireError> {
    let mut extended = extensions.clone();
    if let Payload::Permit2(signed) = payload {
        permit2::extend(&mut extended, signed)?;
    }
    Ok(extended)
}
