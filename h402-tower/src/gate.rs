//! The server's side: a tower layer that asks for payment before anything behind it runs.
//!
//! ```text
//! request → price → no payment: 402 with the offers
//!   payment → decode → match → one flight per payment → on record? → verify → claim
//!     capture:  handler → settle → answer with receipt
//!     upfront:  settle → handler → answer with receipt
//! ```
//!
//! `service.rs` tells it in code, from top to bottom. What was promised is kept by rows, not by this process: a
//! payment opens one request, a charge is followed by what was paid for, and whoever presents the same payment
//! again gets the same answer.
//!
//! Put the layer on the routes that cost something, behind nothing that answers from a cache. A CORS layer belongs
//! before the gate: there it answers preflights, and browsers may read the 402 (allow [`ALLOWED_HEADERS`], expose
//! [`EXPOSED_HEADERS`]). Before the listener opens, [`GateLayer::prepare`] asks the facilitator what 402s say of it. What else asks for `OPTIONS` of
//! something that costs is answered 204 by the gate. It needs a tokio runtime with timers.

mod answer;
mod body;
mod challenge;
mod collect;
mod config;
mod debt;
mod dialect;
mod door;
mod facts;
mod flight;
mod future;
mod hold;
mod layer;
mod memory;
mod origin;
mod payment;
mod present;
mod price;
mod quote;
mod run;
mod sent;
mod service;
mod settle;
mod stored;
mod turn;

use crate::chaos::crash_point;

pub use crate::clock::SystemClock;
pub use body::GateBody;
pub use challenge::LeftOutOffer;
pub use collect::{AnyBody, BodyAccess, CollectBody, CollectBodyService, CollectedBody, WholeBody};
pub use config::{Gate, GateConfigError};
pub use debt::RefundError;
pub use dialect::{ALLOWED_HEADERS, EXPOSED_HEADERS};
pub use future::ResponseFuture;
pub use layer::GateLayer;
pub use memory::MemoryGrants;
pub use origin::{BadOrigin, Origin};
pub use payment::{Delivery, Payment};
pub use price::{Payee, Price, PriceChangeError, PriceHandle, UsdPrice};
pub use quote::{PriceError, PriceVersion, PricedOffers, Pricing, Quote, RetiredVersion};
pub use service::GateService;

#[cfg(test)]
mod tests;
