//! The service that [`Pay`](super::Pay) makes.

use super::{Journal, PayError, Wallet, call, error::BoxError, layer::Settings};
use bytes::Bytes;
use core::{
    fmt,
    future::Future,
    mem,
    pin::Pin,
    task::{Context, Poll},
};
use futures_util::future::BoxFuture;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use std::sync::Arc;
use tower_service::Service;

/// Pays for calls that answer 402. Made by [`Pay`](super::Pay).
///
/// # Cancel safety
/// Dropping a call before its payment is sent loses nothing but a count in the [`Budget`](super::Budget). After that
/// the payment is under way and only a [`Journal`] still knows it.
///
/// ```
/// use h402_core::{Assets, EvmKey};
/// use h402_tower::pay::{Cap, EvmWallet, Pay, PayService};
/// use tower::Layer;
///
/// let key = EvmKey::from_bytes(&[1; 32])?;
/// let pay = Pay::new(EvmWallet::from_key(key), Cap::usd("0.05", &Assets::known())?);
/// let service: PayService<(), _> = pay.layer(());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct PayService<S, W, J = super::NoJournal> {
    inner: S,
    wallet: Arc<W>,
    journal: Arc<J>,
    settings: Arc<Settings>,
}

impl<S, W, J> PayService<S, W, J> {
    pub(super) fn new(inner: S, wallet: Arc<W>, journal: Arc<J>, settings: Arc<Settings>) -> Self {
        Self { inner, wallet, journal, settings }
    }
}

impl<S, B, RB, W, J> Service<Request<B>> for PayService<S, W, J>
where
    S: Service<Request<Full<Bytes>>, Response = Response<RB>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Send,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
    RB: Body + Send,
    RB::Data: Send,
    RB::Error: Into<BoxError>,
    W: Wallet,
    J: Journal,
{
    type Response = Response<RB>;
    type Error = PayError<S::Error>;
    type Future = ResponseFuture<RB, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(PayError::Inner)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The clone has not been polled ready; the original has. Take the original.
        let spare = self.inner.clone();
        let ready = mem::replace(&mut self.inner, spare);
        let (wallet, journal, settings) = (self.wallet.clone(), self.journal.clone(), self.settings.clone());
        ResponseFuture(Box::pin(async move { call::run(ready, &*wallet, &*journal, &settings, request).await }))
    }
}

impl<S: Clone, W, J> Clone for PayService<S, W, J> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), wallet: self.wallet.clone(), journal: self.journal.clone(), settings: self.settings.clone() }
    }
}

impl<S: fmt::Debug, W, J> fmt::Debug for PayService<S, W, J> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PayService").field("inner", &self.inner).field("cap", &self.settings.cap).finish_non_exhaustive()
    }
}

/// The answer to come. Made by [`PayService`].
#[must_use]
pub struct ResponseFuture<RB, E>(BoxFuture<'static, Result<Response<RB>, PayError<E>>>);

impl<RB, E> Future for ResponseFuture<RB, E> {
    type Output = Result<Response<RB>, PayError<E>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

impl<RB, E> fmt::Debug for ResponseFuture<RB, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResponseFuture(..)")
    }
}
