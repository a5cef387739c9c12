use super::Engine;
use h402_core::{
    CallerKey, Checked, Claimed, Clock, Facilitator, Lookup, PaymentKey, Receipt, SettleError, Store, Supported, Undecided, Verified,
    VerifyError,
};

/// A facilitator in the caller's own process: the engine behind the port. [`Engine`] has an example.
#[derive(Debug)]
pub struct LocalFacilitator<S, C>(Engine<S, C>);

impl<S, C> Clone for LocalFacilitator<S, C> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<S: Store, C: Clock> LocalFacilitator<S, C> {
    /// Offers an engine to a gate.
    #[must_use]
    pub fn new(engine: Engine<S, C>) -> Self {
        Self(engine)
    }
}

impl<S: Store, C: Clock> Facilitator for LocalFacilitator<S, C> {
    async fn supported(&self) -> Result<Supported, Undecided> {
        Ok(self.0.supported().await)
    }

    async fn verify(&self, payment: Checked, caller: CallerKey) -> Result<Verified, VerifyError> {
        self.0.verify(payment.into_matched(), Some(caller)).await
    }

    async fn settle(&self, payment: &Claimed, caller: CallerKey) -> Result<Receipt, SettleError> {
        self.0.settle(payment.matched().clone(), Some(caller)).await
    }

    async fn lookup(&self, payment: &PaymentKey) -> Result<Lookup, Undecided> {
        Ok(self.0.payment(payment).await?.map_or(Lookup::Unknown, |row| Lookup::Known(row.state)))
    }
}
