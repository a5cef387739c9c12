//! What passes between the gate and the handler.

use h402_core::{Address, Amount, Asset, Network, PaymentKey, TransactionId};
use std::sync::Arc;

/// The payment behind a request, as the handler finds it in the request's extensions.
///
/// Proof enough: nothing but the gate puts it there. The payment header itself never reaches the handler.
///
/// ```
/// use h402_tower::gate::Payment;
/// fn greet<B>(request: &http::Request<B>) -> String {
///     match request.extensions().get::<Payment>() {
///         Some(payment) => format!("hello {}, thank you for {}", payment.payer, payment.amount.to_units(payment.asset.decimals)),
///         None => "hello stranger".to_owned(), // a free route, or no gate
///     }
/// }
/// assert_eq!(greet(&http::Request::new(())), "hello stranger");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Payment {
    /// Who pays.
    pub payer: Address,
    /// How much, in the asset's smallest unit; in scheme `upto` the most, see [`Delivery::DeliveredFor`].
    pub amount: Amount,
    /// With what.
    pub asset: Arc<Asset>,
    /// On which network.
    pub network: Network,
    /// The payment's identity.
    pub key: PaymentKey,
    /// The transaction, if the money has moved already (`upfront`).
    pub transaction: Option<TransactionId>,
    /// Which run of the handler for this payment this is, from 1. Above 1 an earlier run did not deliver, or its
    /// answer was lost.
    pub run: u8,
}

impl Payment {
    /// A key for the handler's own side effects: the same in every run for this payment, and for no other.
    #[must_use]
    pub fn idempotency_key(&self) -> String {
        self.key.to_string()
    }
}

/// Whether an answer is what was paid for, said by the handler in the response's extensions.
///
/// Without it a 2xx status is a delivery and nothing else is.
///
/// ```
/// use h402_tower::gate::Delivery;
/// let mut response = http::Response::new("no such record");
/// *response.status_mut() = http::StatusCode::NOT_FOUND;
/// // The search itself was the service: it is charged all the same.
/// response.extensions_mut().insert(Delivery::Delivered);
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The payer got what was paid for, whatever the status.
    Delivered,
    /// The payer got it, and it costs this much, in the asset's smallest unit. Where a payment is by scheme `upto` that is what
    /// is charged, never more than the payer has signed and the offer has asked for, and nothing at all for zero: the payment
    /// then stays good for the same request. Without it the whole is charged. Any other payment is of a fixed amount, and
    /// this says no more than [`Delivery::Delivered`].
    ///
    /// ```
    /// use h402_core::Amount;
    /// use h402_tower::gate::{Delivery, Payment};
    /// fn answer(payment: &Payment, tokens: u128) -> http::Response<String> {
    ///     let price = Amount::from_units("0.000002", payment.asset.decimals).unwrap_or(payment.amount);
    ///     let mut response = http::Response::new(format!("{tokens} tokens"));
    ///     let cost = price.to_u256().saturating_mul(alloy_primitives::U256::from(tokens));
    ///     response.extensions_mut().insert(Delivery::DeliveredFor(cost.into()));
    ///     response
    /// }
    /// ```
    DeliveredFor(Amount),
    /// The payer did not get it; `capture` routes charge nothing.
    NotDelivered,
}
