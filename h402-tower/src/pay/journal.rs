//! Signed payments are kept before they are sent, so that a crash re-sends and never signs again (T122).

use super::SignedPayment;
use core::future::Future;

/// Names one logical call, across retries and restarts: put it into the request's extensions.
///
/// A call key is good for one payment. Calls of the same key send the same signed payment.
///
/// ```
/// use h402_tower::pay::CallKey;
/// let request = http::Request::get("https://api.example/item").extension(CallKey::new("order-17"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CallKey(String);

impl CallKey {
    /// Takes the caller's own name for the call.
    #[must_use]
    pub fn new(key: impl Into<String>) -> Self {
        Self(key.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Remembers signed payments by call key.
///
/// ```
/// use h402_core::{Assets, EvmKey};
/// use h402_tower::pay::{CallKey, Cap, EvmWallet, Journal, JournalUnavailable, Pay, SignedPayment};
/// use std::{collections::HashMap, sync::Mutex};
///
/// /// Outlives the call, not the process.
/// #[derive(Default)]
/// struct InMemory(Mutex<HashMap<CallKey, SignedPayment>>);
///
/// impl Journal for InMemory {
///     async fn find(&self, call: &CallKey) -> Result<Option<SignedPayment>, JournalUnavailable> {
///         Ok(self.0.lock().unwrap().get(call).cloned())
///     }
///     async fn signed(&self, call: &CallKey, payment: SignedPayment) -> Result<SignedPayment, JournalUnavailable> {
///         Ok(self.0.lock().unwrap().entry(call.clone()).or_insert(payment).clone())
///     }
/// }
///
/// let wallet = EvmWallet::from_key(EvmKey::from_bytes(&[1; 32])?);
/// let layer = Pay::new(wallet, Cap::usd("0.05", &Assets::known())?).with_journal(InMemory::default());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait Journal: Send + Sync + 'static {
    /// The payment that was signed for this call, if one was.
    fn find(&self, call: &CallKey) -> impl Future<Output = Result<Option<SignedPayment>, JournalUnavailable>> + Send;

    /// Stores the payment signed for this call, unless there is one; returns the one that is stored.
    ///
    /// Durable before it returns: the first byte is sent after that. Of concurrent calls with one key all get the
    /// same payment back.
    fn signed(&self, call: &CallKey, payment: SignedPayment) -> impl Future<Output = Result<SignedPayment, JournalUnavailable>> + Send;
}

/// The journal cannot be read or written; nothing is sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("journal is not available: {0}")]
pub struct JournalUnavailable(pub String);

/// Remembers nothing: a crash while a payment is under way forgets it.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoJournal;

impl Journal for NoJournal {
    async fn find(&self, _: &CallKey) -> Result<Option<SignedPayment>, JournalUnavailable> {
        Ok(None)
    }

    async fn signed(&self, _: &CallKey, payment: SignedPayment) -> Result<SignedPayment, JournalUnavailable> {
        Ok(payment)
    }
}
