//! Ledger and chain are compared, every minute: what differs is stored, told, and too much of it stops new payments (T159).
//!
//! Two things are looked at, and only what is final. Every transaction that a key of ours has signed must be in the ledger, with
//! nothing moved in it that the ledger does not explain. And every payment that has become final must be on chain, as the
//! ledger says.

#[cfg(feature = "evm")]
mod evm;
#[cfg(feature = "solana")]
mod solana;

use super::{Engine, Shared, network::NetworkEngine};
use crate::StartError;
use h402_core::{
    Clock, Difference, Network, PaymentRow, Reconciled, Reconciliation, ReconciliationPass, ShownTransaction, Store, TransactionId,
    Undecided, UnixMillis, differences,
};
use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

/// How ledger and chain are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReconcileConfig {
    /// How often.
    pub every: Duration,
    /// With more differences on a network than this no new payments are taken there, until an operator has accepted them.
    pub stop_above: u64,
}

impl Default for ReconcileConfig {
    fn default() -> Self {
        Self { every: Duration::from_secs(60), stop_above: 5 }
    }
}

/// Final payments looked at in one pass.
const PAGE: u32 = 500;
/// What became final later than this ago is left for the next pass: another process may be storing what became so before it.
const SETTLED_FOR: Duration = Duration::from_secs(2);
/// Passes that may fail one after the other before that is an error in the log.
const MISSED: u32 = 10;
/// How often every process looks whether another has found differences.
const LOOK: Duration = Duration::from_secs(5);

/// What one pass has found, and how far it got.
pub(super) struct Found {
    reached: Reconciled,
    differences: Vec<Difference>,
    /// There is more to look at.
    more: bool,
}

/// A transaction as the chain shows it, if it does, and what the ledger ties to it.
pub(super) struct Tied {
    shown: Option<ShownTransaction>,
    rows: Vec<PaymentRow>,
}

/// What a node did not show when it was first asked: a node that lags shows it the second time.
pub(super) type Suspects = BTreeSet<TransactionId>;

/// Compares until the engine stops, in whichever process drives; in the others, looks what that one has found.
pub(super) async fn run<S: Store, C: Clock>(shared: Arc<Shared<S, C>>, engine: NetworkEngine) {
    let network = engine.network();
    let every = shared.reconcile.every;
    let mut suspects = Suspects::new();
    let mut next = tokio::time::Instant::now() + every;
    let mut compared = tokio::time::Instant::now();
    loop {
        tokio::select! {
            biased;
            () = shared.stopped() => return,
            () = tokio::time::sleep(every.min(LOOK)) => {}
        }
        let drives = engine.payments().term().is_some();
        if !drives {
            compared = tokio::time::Instant::now();
        } else if tokio::time::Instant::now() >= next {
            next = tokio::time::Instant::now() + every;
            // What one pass has compared stays so, whatever becomes of the next.
            let mut passed = shared.pass(&engine, None, &mut suspects).await;
            while let Ok((true, _)) = passed {
                passed = shared.pass(&engine, None, &mut suspects).await;
            }
            if let Err(error) = &passed {
                tracing::warn!(%network, %error, "could not compare ledger and chain");
            }
            if passed.is_ok() {
                compared = tokio::time::Instant::now();
            } else if compared.elapsed() >= every.saturating_mul(MISSED) {
                // Nobody looks meanwhile whether a key does something else, and new payments are taken.
                tracing::error!(%network, seconds = compared.elapsed().as_secs(), "ledger and chain could not be compared for long");
            }
        }
        shared.look(network).await;
    }
}

impl<S: Store, C: Clock> Shared<S, C> {
    /// One pass; whether there is more to look at, and after which block.
    async fn pass(&self, engine: &NetworkEngine, from: Option<u64>, suspects: &mut Suspects) -> Result<(bool, Option<u64>), Undecided> {
        let network = engine.network();
        let mut reached = self.store.reconciliation(network).await?.reached;
        reached.block = from.or(reached.block);
        let found = match engine {
            #[cfg(feature = "evm")]
            NetworkEngine::Evm(evm) => self.compare_evm(evm, reached, suspects).await?,
            #[cfg(feature = "solana")]
            NetworkEngine::Solana(solana) => self.compare_solana(solana, reached, suspects).await?,
        };
        for difference in &found.differences {
            let Difference { kind, transaction, payment, .. } = difference;
            let payment = payment.map(tracing::field::display);
            tracing::error!(%network, kind = kind.as_str(), %transaction, payment.id = payment, "ledger and chain differ");
        }
        self.store
            .reconcile(ReconciliationPass { network, reached: found.reached, found: found.differences, at: self.clock.now() })
            .await?;
        Ok((found.more, found.reached.block))
    }

    /// Learns how many differences there are. As long as that is not known, they are too many.
    pub(super) async fn look(&self, network: Network) {
        let open = match self.store.reconciliation(network).await {
            Ok(Reconciliation { open, .. }) => open,
            Err(error) => {
                tracing::warn!(%network, %error, "could not look for differences");
                return;
            }
        };
        let Some(differing) = self.differing.get(&network) else { return };
        let was = differing.swap(open, Ordering::AcqRel);
        if was != open && (open > 0 || was != u64::MAX) {
            tracing::warn!(%network, differences = open, stops = open > self.reconcile.stop_above, "differences of ledger and chain");
        }
    }

    /// Whether new payments may be taken, as far as ledger and chain agree.
    pub(super) fn agrees(&self, network: Network) -> Result<(), Undecided> {
        let differing = self.differing.get(&network).map_or(0, |differing| differing.load(Ordering::Acquire));
        if differing > self.reconcile.stop_above { Err(Undecided::Unreconciled) } else { Ok(()) }
    }

    /// The payments that have become final since the last pass.
    async fn new_finals(&self, network: Network, reached: &Reconciled) -> Result<Vec<PaymentRow>, Undecided> {
        let until = UnixMillis(self.clock.now().0.saturating_sub(u64::try_from(SETTLED_FOR.as_millis()).unwrap_or_default()));
        Ok(self.store.finals(network, reached.row, until, PAGE).await?)
    }

    /// Compares what is tied together. What is missed at first sight is looked for once more, and how far the pass got stays
    /// where it was.
    fn judge_pass(&self, tied: Vec<Tied>, was: Reconciled, mut reached: Reconciled, page: usize, suspects: &mut Suspects) -> Found {
        let now = self.clock.now();
        let mut found = Vec::new();
        let mut again = false;
        for Tied { shown, rows } in tied {
            let first = rows.first().and_then(|row| row.state.transaction());
            if let (None, Some(transaction)) = (&shown, first)
                && suspects.insert(transaction)
            {
                again = true;
                continue;
            }
            found.extend(differences(shown.as_ref(), &rows, now));
        }
        if again {
            reached.row = was.row;
        } else {
            suspects.clear();
        }
        let more = !again && (page == usize::try_from(PAGE).unwrap_or(usize::MAX));
        Found { reached, differences: found, more }
    }
}

impl<S: Store, C: Clock> Engine<S, C> {
    /// How a network's ledger and chain stand to each other.
    ///
    /// # Errors
    /// [`Undecided::Store`].
    pub async fn reconciliation(&self, network: Network) -> Result<Reconciliation, Undecided> {
        Ok(self.shared.store.reconciliation(network).await?)
    }

    /// Compares the ledger with its chains once, without settling anything: with the chains up to what is final there. From
    /// `from_block` on if it is given, else from where the last comparison ended.
    ///
    /// # Errors
    /// [`StartError`] if a chain contradicts the configuration. What came of each network stands beside it.
    pub async fn reconcile_once(
        config: super::EngineConfig,
        store: S,
        clock: C,
        from_block: Option<u64>,
    ) -> Result<Vec<(Network, Result<Reconciliation, Undecided>)>, StartError> {
        let shared = Shared::new(config, store, clock).await?;
        let mut all = Vec::new();
        for (network, engine) in &shared.networks {
            all.push((*network, shared.whole(engine, from_block).await));
        }
        Ok(all)
    }
}

impl<S: Store, C: Clock> Shared<S, C> {
    async fn whole(&self, engine: &NetworkEngine, mut from: Option<u64>) -> Result<Reconciliation, Undecided> {
        engine.ensure_checked(&self.assets).await?;
        let mut suspects = Suspects::new();
        loop {
            let (more, block) = self.pass(engine, from, &mut suspects).await?;
            // What is stored may be further than what is looked at again.
            from = block;
            // What was suspected is looked at once more, by itself.
            if !more && suspects.is_empty() {
                return Ok(self.store.reconciliation(engine.network()).await?);
            }
        }
    }
}
