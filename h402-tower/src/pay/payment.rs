//! A signed payment, and what became of it.

use super::Origin;
use core::{fmt, str::FromStr};
use h402_core::{
    Amount, Assets, BadReceipt, Dialect, Matched, Network, Offer, Offers, Payload, PaymentKey, PaymentPayload, ReceiptIssuer,
    ReceiptPurpose, Requirements, Resource, SignedReceipt, Statement, TransferMethod, asset_id,
    wire::{
        WireError,
        h402::{self, SettleAnswer},
        x402::{v1, v2},
    },
};
use http::HeaderValue;
use std::sync::Arc;

/// A signed payment and where it may be sent.
///
/// As a request extension it makes the pay layer send it instead of signing another: this is how a caller resumes
/// a call whose outcome is unknown. Whoever holds it can spend it at its payee, so it is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct SignedPayment {
    header: HeaderValue,
    dialect: Dialect,
    origin: Origin,
    requirements: Requirements,
    amount: Amount,
}

/// First line of a record: its version and dialect. The first is as old as h402 here, and the others are as long as x402.
const RECORDS: [(&str, Dialect); 3] =
    [("h402-payment-1", Dialect::H402V1), ("x402-1-payment-1", Dialect::X402V1), ("x402-2-payment-1", Dialect::X402V2)];

impl SignedPayment {
    pub(super) fn new(
        header: &str,
        dialect: Dialect,
        requirements: Requirements,
        amount: Amount,
        origin: Origin,
    ) -> Result<Self, WireError> {
        Ok(Self { header: secret(header)?, dialect, origin, requirements, amount })
    }

    /// The dialect it is written in, and what is said of it.
    #[must_use]
    pub fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// The only origin it is sent to.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The requirements it pays.
    #[must_use]
    pub fn requirements(&self) -> &Requirements {
        &self.requirements
    }

    /// How much it pays, in the asset's smallest unit.
    #[must_use]
    pub fn amount(&self) -> Amount {
        self.amount
    }

    pub(super) fn header(&self) -> HeaderValue {
        self.header.clone()
    }

    /// The payment's identity, as receipts name it.
    fn key(&self) -> Option<PaymentKey> {
        let Requirements { offer, resource, lifetime_seconds, .. } = &self.requirements;
        let payload = payload(self.dialect, self.header.as_bytes())?;
        let offers = Offers::new(vec![offer.clone()]).ok()?;
        Some(Matched::new(payload, &offers, resource, *lifetime_seconds).ok()?.key())
    }

    /// The text for a [`Journal`](super::Journal) to store. It is as secret as the payment.
    #[must_use]
    pub fn to_record(&self) -> String {
        let header = self.header.to_str().unwrap_or_default();
        let Requirements { offer, resource, lifetime_seconds, .. } = &self.requirements;
        let lifetime = lifetime_seconds.map(|seconds| seconds.to_string()).unwrap_or_default();
        let Self { origin, amount, .. } = self;
        let (network, asset, payee, price) = (offer.network(), offer.asset.id.address, offer.pay_to, offer.amount);
        // The resource is the server's text and stays last: nothing in it can pass for another line.
        let record = RECORDS.iter().find(|(_, dialect)| *dialect == self.dialect).map_or("", |(record, _)| record);
        format!("{record}\n{header}\n{origin}\n{amount}\n{network}\n{asset}\n{payee}\n{price}\n{lifetime}\n{}", resource.url)
    }

    /// Reads a stored text back. The payment itself is the stored one, byte for byte.
    ///
    /// # Errors
    /// [`BadRecord`] if it is damaged, or its asset is not in `assets`.
    pub fn from_record(record: &str, assets: &Assets) -> Result<Self, BadRecord> {
        let lines: Vec<&str> = record.splitn(10, '\n').collect();
        let Ok([record, header, origin, amount, network, asset, payee, price, lifetime, url]) = <[&str; 10]>::try_from(lines) else {
            return Err(BadRecord);
        };
        let (_, dialect) = RECORDS.iter().find(|(known, _)| *known == record).ok_or(BadRecord)?;
        let payload = payload(*dialect, header.as_bytes()).ok_or(BadRecord)?;
        let network: Network = parsed(network)?;
        let id = asset_id(network, asset).map_err(|_| BadRecord)?;
        let asset = assets.get(&id).ok_or(BadRecord)?.clone();
        // A price of somebody else's making need not be one that we would offer.
        let mut offer = Offer::new(asset, Amount::from_atomic(1), parsed(payee)?).map_err(|_| BadRecord)?;
        offer.amount = amount_of(price)?;
        offer.scheme = payload.scheme;
        if matches!(payload.payload, Payload::Permit2(_)) {
            offer.method = TransferMethod::Permit2;
        }
        let lifetime_seconds = if lifetime.is_empty() { None } else { Some(parsed(lifetime)?) };
        let resource = Resource { url: url.to_owned(), ..Resource::default() };
        Ok(Self {
            header: secret(header).map_err(|_| BadRecord)?,
            dialect: *dialect,
            origin: Origin::of_text(origin).ok_or(BadRecord)?,
            requirements: Requirements {
                offer: Arc::new(offer),
                resource: Arc::new(resource),
                lifetime_seconds,
                solana: None,
                facilitator: None,
            },
            amount: amount_of(amount)?,
        })
    }
}

/// A text that is no record of a signed payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the record of a signed payment in a known asset")]
pub struct BadRecord;

/// What a payment header holds.
fn payload(dialect: Dialect, header: &[u8]) -> Option<PaymentPayload> {
    match dialect {
        Dialect::H402V1 => h402::decode_payment(header).ok(),
        Dialect::X402V1 => v1::decode_payment(header).ok(),
        Dialect::X402V2 => Some(v2::decode_payment(header).ok()?.payload),
        _ => None,
    }
}

fn parsed<T: FromStr>(text: &str) -> Result<T, BadRecord> {
    text.parse().map_err(|_| BadRecord)
}

fn amount_of(text: &str) -> Result<Amount, BadRecord> {
    Amount::from_atomic_text(text).map_err(|_| BadRecord)
}

fn secret(text: &str) -> Result<HeaderValue, WireError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| WireError::Base64)?;
    value.set_sensitive(true);
    Ok(value)
}

impl fmt::Debug for SignedPayment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedPayment")
            .field("origin", &self.origin)
            .field("asset", &self.requirements.offer.asset.id)
            .field("amount", &self.amount)
            .finish_non_exhaustive()
    }
}

/// Response extension: a payment was signed and sent for this answer.
///
/// The server has it; whether it was settled is what the receipt says, and a receipt is the server's word (T125).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paid {
    /// The receipt, if there is one that can be read.
    pub receipt: Option<SettleAnswer>,
    /// What the server asked for.
    pub requirements: Requirements,
    /// What was paid, in the asset's smallest unit.
    pub amount: Amount,
    /// The payment: put into the same request's extensions it gets the same answer again, if the server keeps it.
    pub payment: SignedPayment,
}

/// Why an answer to a payment proves nothing by itself.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unproved {
    /// No signed receipt came with it.
    #[error("there is no signed receipt")]
    Unsigned,
    /// It is signed by nobody who is trusted, or not signed at all.
    #[error(transparent)]
    Receipt(#[from] BadReceipt),
    /// It is a good receipt of something else.
    #[error("the receipt is of another payment")]
    Another,
}

impl Paid {
    /// What a trusted facilitator has signed of this payment: that it was settled, in which transaction.
    ///
    /// # Errors
    /// [`Unproved`]. The payment may be settled all the same.
    ///
    /// ```
    /// use h402_core::ReceiptIssuer;
    /// use h402_tower::pay::Paid;
    /// fn transaction<B>(answer: &http::Response<B>, facilitator: ReceiptIssuer) -> Option<String> {
    ///     let paid = answer.extensions().get::<Paid>()?;
    ///     Some(paid.proved(&[facilitator]).ok()?.transaction.to_string())
    /// }
    /// ```
    pub fn proved(&self, trusted: &[ReceiptIssuer]) -> Result<&Statement, Unproved> {
        let answer = self.receipt.as_ref().ok_or(Unproved::Unsigned)?;
        let statement = self.of_this(answer.signed.as_ref(), ReceiptPurpose::Settled, trusted)?;
        if answer.transaction == Some(statement.transaction) { Ok(statement) } else { Err(Unproved::Another) }
    }

    /// The credit that a server has signed for this payment, which it took and did not serve.
    ///
    /// # Errors
    /// [`Unproved`].
    pub fn credit(&self, trusted: &[ReceiptIssuer]) -> Result<&Statement, Unproved> {
        let answer = self.receipt.as_ref().ok_or(Unproved::Unsigned)?;
        self.of_this(answer.credit.as_ref(), ReceiptPurpose::Credit, trusted)
    }

    fn of_this<'a>(
        &self,
        receipt: Option<&'a SignedReceipt>,
        purpose: ReceiptPurpose,
        trusted: &[ReceiptIssuer],
    ) -> Result<&'a Statement, Unproved> {
        let said = receipt.ok_or(Unproved::Unsigned)?.verify(trusted)?;
        let offer = &self.requirements.offer;
        let of_this = (said.purpose, said.asset, said.pay_to, said.amount) == (purpose, offer.asset.id, offer.pay_to, self.amount);
        // Two payments of one payer to one payee may be of one amount: a receipt of yesterday's is none of today's.
        if of_this && self.payment.key() == Some(said.payment) { Ok(said) } else { Err(Unproved::Another) }
    }
}

/// Response extension of a 402: this call's payment was presented and refused. No other was signed.
///
/// A server that lies may still settle it until it expires, so it stays counted in the [`Budget`](super::Budget).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The refused payment.
    pub payment: SignedPayment,
    /// What the server says became of it, if it says so in a receipt.
    pub receipt: Option<SettleAnswer>,
    /// Whether this was the answer to the first sending. If not, an earlier one had no known outcome, and a server
    /// without a memory may refuse what it has settled: look at the chain before paying again.
    pub first_answer: bool,
}
