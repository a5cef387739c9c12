//! What the dialects differ in at a gate: the headers that carry things, and how a payment and a receipt are written.
//! Everything else about a request is the same, whoever pays.

use super::answer::Refusal;
use h402_core::{
    Address, Dialect, GenesisPrefix, Network, PaymentPayload, Receipt, Reject, SettleError, SignedReceipt,
    wire::{
        self, HeaderError,
        h402::{self, SettleAnswer},
        x402::{self, Accepted, Extensions, v1, v2},
    },
};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{ACCESS_CONTROL_EXPOSE_HEADERS, CONNECTION},
};

/// Carries h402 and x402 version 1.
const X_PAYMENT: HeaderName = HeaderName::from_static(h402::PAYMENT_HEADER);
const X_PAYMENT_RESPONSE: HeaderName = HeaderName::from_static(h402::RECEIPT_HEADER);
/// Carries x402 version 2.
const PAYMENT_SIGNATURE: HeaderName = HeaderName::from_static(v2::PAYMENT_HEADER);
const PAYMENT_RESPONSE: HeaderName = HeaderName::from_static(v2::RECEIPT_HEADER);
pub(super) const PAYMENT_REQUIRED: HeaderName = HeaderName::from_static(v2::CHALLENGE_HEADER);

/// Headers that carry a payment, in any dialect. None ever reaches the handler (T106).
const PAYMENTS: [HeaderName; 2] = [X_PAYMENT, PAYMENT_SIGNATURE];
/// Headers that only a gate may send. A client's are removed, so that no handler can be fooled by one; a handler's are
/// somebody else's.
const OURS: [HeaderName; 3] = [X_PAYMENT_RESPONSE, PAYMENT_RESPONSE, PAYMENT_REQUIRED];

/// Request headers of paying clients, for a CORS layer before the gate to allow: programs of x402 send two that carry no
/// payment.
///
/// ```
/// use h402_tower::gate::{ALLOWED_HEADERS, EXPOSED_HEADERS};
/// let allowed: Vec<&str> = ALLOWED_HEADERS.iter().map(|name| name.as_str()).collect();
/// assert_eq!(allowed, ["x-payment", "payment-signature", "access-control-expose-headers", "payment-retry"]);
/// let exposed: Vec<&str> = EXPOSED_HEADERS.iter().map(|name| name.as_str()).collect();
/// assert_eq!(exposed, ["payment-required", "payment-response", "x-payment-response"]);
/// ```
pub static ALLOWED_HEADERS: [HeaderName; 4] =
    [X_PAYMENT, PAYMENT_SIGNATURE, ACCESS_CONTROL_EXPOSE_HEADERS, HeaderName::from_static("payment-retry")];

/// Response headers of gates, for a CORS layer before the gate to expose to pages.
pub static EXPOSED_HEADERS: [HeaderName; 3] = [PAYMENT_REQUIRED, PAYMENT_RESPONSE, X_PAYMENT_RESPONSE];

/// In which dialect the body of a 402 is written. Its header speaks x402 version 2 whatever the body does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum BodyDialect {
    #[default]
    H402V1,
    X402V1,
}

/// A payment header, and what it speaks.
#[derive(Debug, Clone)]
pub(super) struct Header {
    pub(super) dialect: Dialect,
    value: HeaderValue,
}

/// Takes the one payment header, and removes whatever else only the gate may say (T096, T106, T107). `None` if there is no
/// payment.
pub(super) fn take_payment(headers: &mut HeaderMap, cap: usize) -> Result<Option<Header>, Refusal> {
    let named = |token: &[u8]| PAYMENTS.iter().any(|name| token.trim_ascii().eq_ignore_ascii_case(name.as_str().as_bytes()));
    let in_connection = headers.get_all(CONNECTION).iter().any(|value| value.as_bytes().split(|byte| *byte == b',').any(named));
    let [first, second] = PAYMENTS.each_ref().map(|name| headers.get_all(name).iter().cloned().collect::<Vec<_>>());
    PAYMENTS.iter().chain(&OURS).for_each(|name| {
        headers.remove(name);
    });
    if in_connection {
        // An intermediary was told to drop it: it might be seen here and not there.
        return Err(Refusal::BadRequest("the payment header is named in Connection"));
    }
    let too_long = first.iter().chain(&second).any(|value| value.len() > cap);
    let found = wire::presented(first.iter().map(HeaderValue::as_bytes), second.iter().map(HeaderValue::as_bytes));
    let dialect = match found {
        Ok(None) => return Ok(None),
        Err(HeaderError::Several) => return Err(Refusal::BadRequest("more than one payment header, or a list of them")),
        _ if too_long => return Err(Refusal::HeaderTooLong),
        Ok(Some(found)) => found.dialect,
        Err(HeaderError::TooLong) => return Err(Refusal::HeaderTooLong),
        Err(HeaderError::Rejected(reject)) => return Err(Refusal::Rejected { reject, payer: None }),
        Err(_) => return Err(Refusal::BadRequest("no payment header")),
    };
    Ok(first.into_iter().chain(second).next().map(|value| Header { dialect, value }))
}

/// Removes from a handler's answer what is the gate's to say.
pub(super) fn remove_ours(headers: &mut HeaderMap) {
    OURS.iter().for_each(|name| {
        headers.remove(name);
    });
}

/// Sets a header that pages of other origins may read (T108).
pub(super) fn expose(headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
    if let Ok(spelled) = HeaderValue::try_from(name.as_str().to_ascii_uppercase()) {
        headers.append(ACCESS_CONTROL_EXPOSE_HEADERS, spelled);
    }
    headers.insert(name, value);
}

/// A payment as it was decoded.
pub(super) struct Decoded {
    pub(super) payload: PaymentPayload,
    /// Which offer the payer says that it is for. Version 2 of x402 says so, and it selects; what was signed decides.
    pub(super) accepted: Option<Accepted>,
    pub(super) extensions: Extensions,
}

/// Reads a payment header. What cannot be read in version 2 of x402 is 400: its payers know from `accepted` what is offered.
pub(super) fn decode(header: &Header) -> Result<Decoded, Refusal> {
    let bytes = header.value.as_bytes();
    let plain = |payload| Decoded { payload, accepted: None, extensions: Extensions::default() };
    let read = match header.dialect {
        Dialect::H402V1 => h402::decode_payment(bytes).map(plain),
        Dialect::X402V1 => v1::decode_payment(bytes).map(plain),
        Dialect::X402V2 => v2::decode_payment(bytes).map(|payment| {
            let v2::Payment { payload, accepted, extensions, .. } = payment;
            Decoded { payload, accepted: Some(accepted), extensions }
        }),
        _ => Err(Reject::Version),
    };
    read.map_err(|reject| match reject {
        Reject::Undecodable(why) | Reject::Malformed(why) if header.dialect == Dialect::X402V2 => Refusal::BadRequest(why),
        reject => Refusal::Rejected { reject, payer: None },
    })
}

/// What a payer is told of its payment in a receipt header.
#[derive(Debug, Clone)]
pub(super) enum Outcome {
    Settled { receipt: Receipt, credit: Option<SignedReceipt> },
    Unsettled { error: SettleError, network: Network, payer: Address },
}

impl From<Receipt> for Outcome {
    fn from(receipt: Receipt) -> Self {
        Self::Settled { receipt, credit: None }
    }
}

impl Outcome {
    /// Says it in the headers of an answer, in the payer's dialect.
    pub(super) fn write(&self, headers: &mut HeaderMap, dialect: Dialect) {
        let (name, value) = match dialect {
            Dialect::H402V1 => (X_PAYMENT_RESPONSE, h402::encode_receipt(&self.in_h402())),
            Dialect::X402V1 => (X_PAYMENT_RESPONSE, v1::encode_receipt(&self.in_x402(dialect))),
            _ => (PAYMENT_RESPONSE, v2::encode_receipt(&self.in_x402(dialect))),
        };
        if let Some(value) = value.ok().and_then(|text| HeaderValue::try_from(text).ok()) {
            expose(headers, name, value);
        }
    }

    fn in_h402(&self) -> SettleAnswer {
        match self {
            Self::Settled { receipt, credit } => SettleAnswer { credit: credit.clone(), ..SettleAnswer::settled(receipt) },
            Self::Unsettled { error, network, payer } => SettleAnswer::failed(error, *network, Some(*payer)),
        }
    }

    fn in_x402(&self, dialect: Dialect) -> x402::SettleAnswer {
        match self {
            Self::Settled { receipt, credit } => x402::SettleAnswer { credit: credit.clone(), ..x402::SettleAnswer::settled(receipt) },
            Self::Unsettled { error, network, payer } => x402::SettleAnswer::failed(error, dialect, Some(*network), Some(*payer)),
        }
    }
}

/// A refusal as a 402 says it: a word of the dialect, and what it means.
pub(super) fn refused(reject: &Reject, dialect: Dialect, payer: Option<Address>) -> String {
    // Ours is finer than the nearest of h402's own.
    let word = if dialect == Dialect::H402V1 { reject.word() } else { reject.word_in(dialect, payer.and_then(kind_of_network)) };
    format!("{word}: {reject}")
}

/// Words tell EVM and Solana apart, and so do addresses.
fn kind_of_network(payer: Address) -> Option<Network> {
    payer.solana().map(|_| Network::Solana(GenesisPrefix::MAINNET))
}
