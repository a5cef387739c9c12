//! The layer, and what all requests of a gate share.

use super::{
    challenge::{LeftOutOffer, Written},
    collect::AnyBody,
    dialect::BodyDialect,
    facts::Facts,
    flight::Flights,
    origin::{AllowedHost, Origin},
    quote::Pricing,
    sent::SentPayments,
    service::GateService,
};
use crate::chaos::sabotaged;
use h402_core::{
    CheckPolicy, Clock, Facilitator, Grants, ReceiptKey, Resource, Undecided, UnixMillis,
    wire::{h402, x402::Extensions},
};
use std::{fmt, marker::PhantomData, sync::Arc, time::Duration};
use tower_layer::Layer;

/// Puts a gate before a service. Made by [`super::Gate::build`]; clones are the same gate.
#[must_use]
pub struct GateLayer<F, G, M = AnyBody> {
    gate: Arc<Shared<F, G>>,
    left_out: Arc<[LeftOutOffer]>,
    body: PhantomData<fn() -> M>,
}

impl<F, G, M> GateLayer<F, G, M> {
    pub(super) fn new(shared: Shared<F, G>, left_out: Vec<LeftOutOffer>) -> Self {
        Self { gate: Arc::new(shared), left_out: left_out.into(), body: PhantomData }
    }

    /// The offers that a 402 does not make in one of its dialects, for want of words or of room: those of a price that is the same
    /// for every request, as it was when the gate was built.
    #[must_use]
    pub fn left_out(&self) -> &[LeftOutOffer] {
        &self.left_out
    }

    /// Asks the facilitator what 402s say of it, and waits for the answer.
    ///
    /// A 402 waits for nobody, so one that is sent before the facilitator has answered leaves out what only the facilitator can
    /// say: who pays the fee, without which x402 has no offer on Solana, and who settles scheme `upto`. Call this before
    /// the listener opens, if the very first payer shall be offered everything. May be dropped at any time.
    ///
    /// # Errors
    /// [`Undecided`] if the facilitator does not answer within ten seconds. The gate is as good as without this call, and
    /// asks again by itself.
    pub async fn prepare(&self) -> Result<(), Undecided>
    where
        F: Facilitator,
        G: Grants,
    {
        self.gate.ask_facts().await
    }

    pub(super) fn gate(&self) -> &Shared<F, G> {
        &self.gate
    }
}

impl<S, F, G, M> Layer<S> for GateLayer<F, G, M> {
    type Service = GateService<S, F, G, M>;

    fn layer(&self, inner: S) -> Self::Service {
        GateService::new(inner, self.gate.clone())
    }
}

impl<F, G, M> Clone for GateLayer<F, G, M> {
    fn clone(&self) -> Self {
        Self { gate: self.gate.clone(), left_out: self.left_out.clone(), body: PhantomData }
    }
}

impl<F, G, M> fmt::Debug for GateLayer<F, G, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GateLayer").field("origin", &self.gate.terms.origin).finish_non_exhaustive()
    }
}

/// What all requests of a gate share.
pub(super) struct Shared<F, G> {
    pub(super) facilitator: F,
    pub(super) grants: G,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) terms: Terms,
    pub(super) limits: Limits,
    pub(super) flights: Flights,
    pub(super) facts: Facts,
    pub(super) written: Written,
    pub(super) built_at: UnixMillis,
}

/// What is sold, to whom, for how much.
pub(super) struct Terms {
    pub(super) price: Arc<dyn Pricing>,
    pub(super) origin: Origin,
    pub(super) hosts: Vec<AllowedHost>,
    pub(super) sold: Sold,
    pub(super) sent: Option<SentPayments>,
    pub(super) credit_key: Option<ReceiptKey>,
    /// What the body of a 402 speaks.
    pub(super) body: BodyDialect,
    /// Whether payments of x402 version 2 may name themselves, or must.
    pub(super) identifiers: Identifiers,
    /// What a 402 says of that.
    pub(super) extensions: Extensions,
}

/// Whether payers may name their payments (x402 `payment-identifier`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Identifiers {
    /// What they say of it is not looked at.
    #[default]
    Ignored,
    Taken,
    Required,
}

/// What is sold, and where.
#[derive(Debug, Clone, Default)]
pub(super) struct Sold {
    pub(super) description: Option<String>,
    pub(super) mime_type: Option<String>,
    pub(super) mount: String,
}

/// How long, how many, how large.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    pub(super) quote_ttl: Duration,
    pub(super) handler_timeout: Duration,
    pub(super) deadline: Duration,
    pub(super) max_unsettled: Option<u32>,
    pub(super) header_cap: usize,
    pub(super) redeliveries: u8,
    pub(super) keep_answers: bool,
    pub(super) contract_payers: bool,
    pub(super) public_caching: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            quote_ttl: Duration::from_secs(60),
            handler_timeout: Duration::from_secs(10),
            deadline: Duration::from_secs(30),
            max_unsettled: None,
            header_cap: h402::MAX_HEADER,
            redeliveries: 0,
            keep_answers: true,
            contract_payers: false,
            public_caching: false,
        }
    }
}

impl Limits {
    /// Offers advertise the handler's time and this many seconds as lifetime.
    pub(super) const LIFETIME_MARGIN: u64 = 60;
    /// A payment must live this many seconds longer than the handler may take.
    const MIN_LEFT_MARGIN: u64 = 25;
    /// Of the deadline, this is kept for settling when verify takes long.
    const SETTLE_RESERVE: Duration = Duration::from_secs(5);

    /// Whole seconds, rounded up.
    fn handler_seconds(&self) -> u64 {
        self.handler_timeout.as_secs() + u64::from(self.handler_timeout.subsec_nanos() > 0)
    }

    /// How long a payment should stay valid from now on, as offers say it, in seconds.
    pub(super) fn lifetime(&self) -> u64 {
        self.handler_seconds() + Self::LIFETIME_MARGIN
    }

    /// How long before the deadline a payment must be verified, so that handler and settling get their time.
    pub(super) fn after_verify(&self) -> Duration {
        self.handler_timeout + Self::SETTLE_RESERVE
    }

    /// How strictly a payment's times are checked.
    pub(super) fn check_policy(&self, now: UnixMillis) -> CheckPolicy {
        let margin = if sabotaged("lifetime.short") { 0 } else { Self::MIN_LEFT_MARGIN };
        CheckPolicy { now, min_left: self.handler_seconds() + margin, max_left: CheckPolicy::MAX_LEFT }
    }
}

impl<F, G> Shared<F, G> {
    pub(super) fn new(facilitator: F, grants: G, clock: Arc<dyn Clock>, terms: Terms, limits: Limits) -> Self {
        let built_at = clock.now();
        Self {
            facilitator,
            grants,
            clock,
            terms,
            limits,
            flights: Flights::default(),
            facts: Facts::default(),
            written: Written::default(),
            built_at,
        }
    }

    pub(super) fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// What is sold, under a URL.
    pub(super) fn resource(&self, url: String) -> Arc<Resource> {
        let Sold { description, mime_type, .. } = &self.terms.sold;
        Arc::new(Resource { url, description: description.clone(), mime_type: mime_type.clone() })
    }
}
