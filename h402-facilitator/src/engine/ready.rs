//! What an engine says of itself to whoever asks: whether it can take payments, and how many it has.

use super::{Engine, NetworkReadiness, Phase, Readiness};
use h402_core::{Clock, PaymentTotal, Store, Undecided};

impl<S: Store, C: Clock> Engine<S, C> {
    /// Whether payments can be taken now: store, chains, which chains they are, assets, and the coin for gas and fees.
    /// Of many that ask at once, one looks.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub async fn ready(&self) -> Readiness {
        let seen = self.shared.readiness.ask(async || self.look_around().await).await;
        Readiness { stopping: self.is_stopping(), ..seen }
    }

    /// How many payments the ledger has in each state. Of many that ask at once, one counts.
    ///
    /// # Errors
    /// [`Undecided::Store`].
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub async fn totals(&self) -> Result<Vec<PaymentTotal>, Undecided> {
        self.shared.totals.ask(async || Ok(self.shared.store.totals().await?)).await
    }

    async fn look_around(&self) -> Readiness {
        let store = self.shared.store.ready().await.map_err(|_| Undecided::Store);
        let mut networks = Vec::new();
        for (network, engine) in &self.shared.networks {
            networks.push(NetworkReadiness {
                network: *network,
                drives: engine.payments().term().is_some(),
                state: engine.ready(&self.shared.assets).await.and_then(|()| self.shared.agrees(*network)),
                changed: engine.changed(),
                burnt: engine.burnt(),
            });
        }
        Readiness { stopping: self.is_stopping(), store, networks }
    }

    fn is_stopping(&self) -> bool {
        *self.shared.phase.borrow() > Phase::Open
    }
}
