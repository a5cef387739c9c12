//! Building a gate. Everything that can be wrong about it is found here, before the first request.

use super::{
    collect::{AnyBody, WholeBody},
    layer::{GateLayer, Limits, Shared, Sold, Terms},
    origin::{AllowedHost, BadOrigin, Origin},
    quote::Pricing,
    sent::SentPayments,
};
use crate::clock::SystemClock;
use h402_core::{CheckPolicy, Clock, Facilitator, Grants, Network, OfferError, ReceiptKey, wire::h402::MAX_HEADER};
use std::{fmt, marker::PhantomData, sync::Arc, time::Duration};

/// The longest handler timeout with which a payment may still be settled after the handler ran.
const MAX_CAPTURE_TIMEOUT: Duration = Duration::from_secs(20);
/// A facilitator's answer to verify and to settle together takes at least this long in bad times.
const MIN_SETTLE_TIME: Duration = Duration::from_secs(10);
/// Beyond this a retired price would be honoured for longer than payments live.
const MAX_QUOTE_TTL: Duration = Duration::from_secs(3600);

/// Asks for payment before anything behind it runs. Build it once, put it on as many routes as there are.
///
/// The origin is what payers know the server by; it is never taken from a request. Where routes are nested under
/// a prefix that the router strips, say so with [`Gate::with_mount`].
///
/// ```
/// use h402_core::{Assets, Facilitator, Network};
/// use h402_tower::gate::{Gate, GateConfigError, GateLayer, MemoryGrants, Origin, Payee, Price};
/// use std::time::Duration;
///
/// fn paid<F: Facilitator>(facilitator: F) -> Result<GateLayer<F, MemoryGrants>, Box<dyn std::error::Error>> {
///     let me = Payee::new(Network::Evm(8453), "0x70997970C51812dc3A010C7d01b50e0d17dc79C8".parse()?);
///     let price = Price::usd("0.01").to(&[me], &Assets::known())?;
///     // `MemoryGrants` forgets on restart; real money wants a durable store.
///     Ok(Gate::new(facilitator, MemoryGrants::new()?, Origin::parse("https://api.example")?, price)
///         .with_description("The weather in Lisbon")
///         .with_handler_timeout(Duration::from_secs(5))
///         .build()?)
/// }
/// ```
#[must_use = "a gate does nothing until it is built"]
pub struct Gate<F, G, M = AnyBody> {
    facilitator: F,
    grants: G,
    origin: Origin,
    price: Arc<dyn Pricing>,
    clock: Arc<dyn Clock>,
    sold: Sold,
    limits: Limits,
    allowed_hosts: Vec<String>,
    sent_secret: Option<[u8; 32]>,
    credit_key: Option<ReceiptKey>,
    body: PhantomData<fn() -> M>,
    collects: bool,
}

/// Why a gate cannot be built.
///
/// ```
/// use h402_tower::gate::{GateConfigError, Price};
/// let error: GateConfigError = Price::offers([]).unwrap_err();
/// assert_eq!(error.to_string(), "no offer; a route without a price must say that it is free");
/// ```
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GateConfigError {
    /// No offer, two that a payment could confuse, a payee nobody can pay, an amount not every client reads alike.
    #[error(transparent)]
    Offer(#[from] OfferError),
    /// A price in dollars on a network without an asset that is pegged to it.
    #[error("no configured asset on {network} is pegged to the dollar")]
    NoPeggedAsset {
        /// The network.
        network: Network,
    },
    /// The origin cannot be read.
    #[error(transparent)]
    Origin(#[from] BadOrigin),
    /// An allowed host that is no host.
    #[error("{0:?} is not a host, perhaps with a port")]
    AllowedHost(String),
    /// The mount point does not look like a path.
    #[error("mount point {0:?} does not begin with a slash, or ends with one")]
    Mount(String),
    /// The handler would run for so long that the payment could lapse before it is settled.
    #[error("handler timeout is {0:?}; settled after the handler, at most 20 s; upfront, at most 540 s; never zero")]
    HandlerTimeout(Duration),
    /// The deadline leaves no time to settle.
    #[error("deadline is {deadline:?}, and 10 s more than the handler timeout, {least:?}, are needed")]
    Deadline {
        /// As configured.
        deadline: Duration,
        /// The least that would do.
        least: Duration,
    },
    /// Retired prices are honoured for an hour at most.
    #[error("quote_ttl is {0:?}, at most an hour is possible")]
    QuoteTtl(Duration),
    /// The price reads the body, and the gate does not see it.
    #[error("the price reads the request's body; put CollectBody before the gate and build it with_collected_body")]
    PriceReadsBody,
    /// Nobody could ever pay.
    #[error("max_unsettled is zero")]
    MaxUnsettled,
    /// A payment header cap below 1 KiB or above 16 KiB.
    #[error("payment header cap is {0} bytes; between 1024 and 16384 are possible")]
    HeaderCap(usize),
    /// The secret for sent payments is all zeros.
    #[error("the secret for sent payments is not random")]
    Secret,
}

impl<F: Facilitator, G: Grants> Gate<F, G> {
    /// Sells what is behind the gate at `price`: `facilitator` verifies and settles, `grants` remembers what each
    /// payment opened.
    pub fn new(facilitator: F, grants: G, origin: Origin, price: impl Pricing) -> Self {
        Self {
            facilitator,
            grants,
            origin,
            price: Arc::new(price),
            clock: Arc::new(SystemClock),
            sold: Sold::default(),
            limits: Limits::default(),
            allowed_hosts: Vec::new(),
            sent_secret: None,
            credit_key: None,
            body: PhantomData,
            collects: false,
        }
    }

    /// Binds payments to the request's body, and lets prices depend on it. The gate then takes requests from
    /// [`super::CollectBody`] only.
    pub fn with_collected_body(self) -> Gate<F, G, WholeBody> {
        let Self { facilitator, grants, origin, price, clock, sold, limits, allowed_hosts, sent_secret, credit_key, .. } = self;
        let (body, collects) = (PhantomData, true);
        Gate { facilitator, grants, origin, price, clock, sold, limits, allowed_hosts, sent_secret, credit_key, body, collects }
    }
}

impl<F: Facilitator, G: Grants, M> Gate<F, G, M> {
    /// Says what is sold, for people.
    pub fn with_description(mut self, description: impl Into<String>) -> Self {
        self.sold.description = Some(description.into());
        self
    }

    /// Says which media type the answer has.
    pub fn with_mime_type(mut self, mime_type: impl Into<String>) -> Self {
        self.sold.mime_type = Some(mime_type.into());
        self
    }

    /// The path under which the router has nested the paid routes, such as `/api`, if it takes it off the URI.
    ///
    /// Where the prefix is a parameter, put the gate on the outer router instead: there it sees the whole path.
    pub fn with_mount(mut self, prefix: impl Into<String>) -> Self {
        self.sold.mount = prefix.into();
        self
    }

    /// How long a price is honoured after it was changed; 60 s unless said otherwise.
    pub fn with_quote_ttl(mut self, ttl: Duration) -> Self {
        self.limits.quote_ttl = ttl;
        self
    }

    /// How long the handler may take; 10 s unless said otherwise.
    pub fn with_handler_timeout(mut self, timeout: Duration) -> Self {
        self.limits.handler_timeout = timeout;
        self
    }

    /// When a paid request is answered at the latest; 30 s unless said otherwise.
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.limits.deadline = deadline;
        self
    }

    /// How many payments of one payer in one asset may be unsettled at once. Unless said otherwise 16 with a
    /// facilitator that reserves balances, 1 with one that does not.
    pub fn with_max_unsettled(mut self, payments: u32) -> Self {
        self.limits.max_unsettled = Some(payments);
        self
    }

    /// The longest payment header that is read, in bytes; 16 KiB unless said otherwise.
    pub fn with_header_cap(mut self, bytes: usize) -> Self {
        self.limits.header_cap = bytes;
        self
    }

    /// The hosts requests may be addressed to, each perhaps with a port; the origin's own unless said otherwise.
    pub fn with_allowed_hosts<H: Into<String>>(mut self, hosts: impl IntoIterator<Item = H>) -> Self {
        self.allowed_hosts = hosts.into_iter().map(Into::into).collect();
        self
    }

    /// Runs the handler again, up to `runs` times more, for a payer whose answer was too large to be kept.
    /// Runs that did not deliver count too.
    pub fn with_redelivery(mut self, runs: u8) -> Self {
        self.limits.redeliveries = runs;
        self
    }

    /// Keeps no answers: the same request with the same payment gets 409 with the receipt.
    ///
    /// # Security
    /// A settled authorization stands in its transaction for all to read. While an answer is kept, whoever builds the
    /// payment from there is given the answer, too: use this where answers are for their payer alone.
    pub fn without_kept_answers(mut self) -> Self {
        self.limits.keep_answers = false;
        self
    }

    /// Takes payments that the payer has sent already. Without this they are refused.
    ///
    /// The secret, 32 random bytes kept across restarts and shared by all replicas, makes the challenges that tie
    /// such a payment to one request.
    pub fn accept_sent_payments(mut self, secret: [u8; 32]) -> Self {
        self.sent_secret = Some(secret);
        self
    }

    /// Takes authorizations that no key has signed, for the facilitator to ask the payer's contract: ERC-1271 wallets, and those that
    /// ERC-6492 deploys. Without this they are refused. Their payers pay before the handler runs, whatever the route says, since a
    /// contract may change its mind. An account's own key comes first, and what that has signed goes its usual way.
    ///
    /// The facilitator has to take them, too (`contract_payers`), and the gate believes it: nothing is checked here. Where a
    /// route offers several tokens of one network to one payee, it does not show which of them such a payer means, and it is refused.
    ///
    /// # Security
    /// Only with a facilitator that asks the contract: one that believes any signature has this gate serve whoever names a payer.
    pub fn accept_contract_payers(mut self) -> Self {
        self.limits.contract_payers = true;
        self
    }

    /// Signs credits with this key: a payer who was charged and cannot be served holds a proof that anybody can check.
    /// Without it the credit is the facilitator's receipt and this server's word. All replicas have the same key.
    pub fn with_credit_key(mut self, key: ReceiptKey) -> Self {
        self.credit_key = Some(key);
        self
    }

    /// Lets a handler's own `Cache-Control: public` stand: then whoever shares a cache with a payer gets the answer.
    pub fn with_insecure_public_caching(mut self) -> Self {
        self.limits.public_caching = true;
        self
    }

    /// Takes the time from `clock`.
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.clock = Arc::new(clock);
        self
    }

    /// Checks the whole and makes the layer.
    ///
    /// # Errors
    /// [`GateConfigError`].
    pub fn build(self) -> Result<GateLayer<F, G, M>, GateConfigError> {
        let limits = &self.limits;
        let longest = if self.price.may_capture() { MAX_CAPTURE_TIMEOUT } else { Limits::longest_handler_timeout() };
        if limits.handler_timeout.is_zero() || limits.handler_timeout > longest {
            return Err(GateConfigError::HandlerTimeout(limits.handler_timeout));
        }
        let least = limits.handler_timeout + MIN_SETTLE_TIME;
        if limits.deadline < least {
            return Err(GateConfigError::Deadline { deadline: limits.deadline, least });
        }
        if limits.quote_ttl > MAX_QUOTE_TTL {
            return Err(GateConfigError::QuoteTtl(limits.quote_ttl));
        }
        if self.price.reads_body() && !self.collects {
            return Err(GateConfigError::PriceReadsBody);
        }
        if limits.max_unsettled == Some(0) {
            return Err(GateConfigError::MaxUnsettled);
        }
        if !(1024..=MAX_HEADER).contains(&limits.header_cap) {
            return Err(GateConfigError::HeaderCap(limits.header_cap));
        }
        if !self.sold.mount.is_empty() && (!self.sold.mount.starts_with('/') || self.sold.mount.ends_with('/')) {
            return Err(GateConfigError::Mount(self.sold.mount));
        }
        let sent = self.sent_secret.map(|secret| SentPayments::new(secret).ok_or(GateConfigError::Secret)).transpose()?;
        let port = self.origin.default_port();
        let mut hosts = Vec::new();
        for host in self.allowed_hosts {
            hosts.push(AllowedHost::parse(&host, port).ok_or(GateConfigError::AllowedHost(host))?);
        }
        if hosts.is_empty() {
            hosts.push(self.origin.host().clone());
        }
        let terms = Terms { price: self.price, origin: self.origin, sold: self.sold, hosts, sent, credit_key: self.credit_key };
        Ok(GateLayer::new(Shared::new(self.facilitator, self.grants, self.clock, terms, self.limits)))
    }
}

impl<F, G, M> fmt::Debug for Gate<F, G, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("origin", &self.origin).finish_non_exhaustive()
    }
}

/// The longest a payment may live bounds what can be promised about it.
impl Limits {
    fn longest_handler_timeout() -> Duration {
        Duration::from_secs(CheckPolicy::MAX_LEFT - Self::LIFETIME_MARGIN)
    }
}

#[cfg(test)]
mod tests;
