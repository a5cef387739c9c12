//! The layer: what may be paid, by whom, and how patiently.

use super::{Budget, Cap, Journal, NoJournal, PayService, Wallet, choose::Choice, present::Patience};
use crate::clock::SystemClock;
use core::{fmt, time::Duration};
use h402_core::{Address, Clock};
use std::sync::Arc;
use tower_layer::Layer;

/// Pays for calls that answer 402, at most once per call and never above its [`Cap`].
///
/// The inner service gets requests whose body is [`http_body_util::Full`], because a paid request may have to be sent
/// several times. Request bodies are read whole, up to 1 MiB, and their trailers dropped. Put layers that follow
/// redirects outside of this one: each hop is then a call of its own, and a payment goes only to the origin that
/// asked for it.
///
/// ```
/// use bytes::Bytes;
/// use h402_core::{Assets, EvmKey};
/// use h402_tower::pay::{Cap, EvmWallet, Pay};
/// use http::{Request, Response};
/// use http_body_util::{Empty, Full};
/// use tower::{ServiceBuilder, ServiceExt};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let key = EvmKey::from_hex("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")?;
/// let cap = Cap::usd("0.05", &Assets::known())?;
/// let client = ServiceBuilder::new()
///     .layer(Pay::new(EvmWallet::from_key(key), cap))
///     // A hyper client in real life.
///     .service_fn(|_: Request<Full<Bytes>>| async { Ok::<_, std::io::Error>(Response::new(Full::new(Bytes::from("free")))) });
/// let answer = client.oneshot(Request::get("https://api.example/free").body(Empty::<Bytes>::new())?).await?;
/// assert!(answer.status().is_success());
/// # Ok(())
/// # }
/// ```
#[must_use]
pub struct Pay<W, J = NoJournal> {
    wallet: Arc<W>,
    journal: Arc<J>,
    settings: Settings,
}

/// Everything but the wallet and the journal.
#[derive(Clone)]
pub(super) struct Settings {
    pub(super) cap: Cap,
    pub(super) budget: Option<Budget>,
    pub(super) choice: Choice,
    pub(super) patience: Patience,
    pub(super) foreign_resource: bool,
    pub(super) plain_http: bool,
    pub(super) clock: Arc<dyn Clock>,
}

impl<W: Wallet> Pay<W> {
    /// Pays from `wallet`, each call at most what `cap` allows.
    pub fn new(wallet: W, cap: Cap) -> Self {
        let settings = Settings {
            cap,
            budget: None,
            choice: Choice::default(),
            patience: Patience::default(),
            foreign_resource: false,
            plain_http: false,
            clock: Arc::new(SystemClock),
        };
        Self { wallet: Arc::new(wallet), journal: Arc::new(NoJournal), settings }
    }

    /// Keeps payments of calls that carry a [`CallKey`](super::CallKey) in `journal` before they are sent.
    pub fn with_journal<J: Journal>(self, journal: J) -> Pay<W, J> {
        Pay { wallet: self.wallet, journal: Arc::new(journal), settings: self.settings }
    }
}

impl<W, J> Pay<W, J> {
    /// Limits what all calls together may cost in some time.
    pub fn with_budget(mut self, budget: Budget) -> Self {
        self.settings.budget = Some(budget);
        self
    }

    /// Pays only these payees (T128).
    pub fn with_payees(mut self, payees: impl IntoIterator<Item = Address>) -> Self {
        self.settings.choice.payees = Some(payees.into_iter().collect());
        self
    }

    /// Takes also offers that are not the first of their scheme and network, for servers that match a payment by
    /// what was signed, as [`gate`](crate::gate) does. The reference's servers would refuse such a payment.
    pub fn with_any_offer(mut self) -> Self {
        self.settings.choice.any_offer = true;
        self
    }

    /// How long a call may wait for the outcome of its payment, 90 s unless set.
    pub fn with_deadline(mut self, deadline: Duration) -> Self {
        self.settings.patience.deadline = deadline;
        self
    }

    /// How long one answer to a payment may take before it is sent again, 35 s unless set.
    pub fn with_attempt_timeout(mut self, attempt: Duration) -> Self {
        self.settings.patience.attempt = attempt;
        self
    }

    /// Reads the time, for the validity of authorizations, from `clock`.
    pub fn with_clock(mut self, clock: impl Clock) -> Self {
        self.settings.clock = Arc::new(clock);
        self
    }

    /// Pays also for resources of other origins than the one called. A server can then have its callers sign for
    /// somebody else's resource and use the payment there.
    pub fn with_foreign_resource_allowed_insecure(mut self) -> Self {
        self.settings.foreign_resource = true;
        self
    }

    /// Pays also over plain `http` to other machines, where anybody on the way can take the payment and use it.
    pub fn with_plain_http_allowed_insecure(mut self) -> Self {
        self.settings.plain_http = true;
        self
    }
}

impl<S, W, J> Layer<S> for Pay<W, J> {
    type Service = PayService<S, W, J>;

    fn layer(&self, inner: S) -> Self::Service {
        PayService::new(inner, self.wallet.clone(), self.journal.clone(), Arc::new(self.settings.clone()))
    }
}

impl<W, J> Clone for Pay<W, J> {
    fn clone(&self) -> Self {
        Self { wallet: self.wallet.clone(), journal: self.journal.clone(), settings: self.settings.clone() }
    }
}

impl<W, J> fmt::Debug for Pay<W, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pay").field("cap", &self.settings.cap).field("budget", &self.settings.budget).finish_non_exhaustive()
    }
}
