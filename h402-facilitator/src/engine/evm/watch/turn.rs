//! More open payments than memory is to hold: which of them are looked at in turn, and what the ledger says of the others.

use super::{
    super::{super::recover, carriers::Carrier},
    Watcher,
};
use crate::evm::Head;
use h402_core::{Clock, Store, TransactionId, Undecided};
use std::sync::Arc;

impl<S: Store, C: Clock> Watcher<'_, S, C> {
    /// Where more is open than there is room for, others come in the place of those that were looked at.
    pub(super) async fn turn(&mut self, head: Option<Head>) -> Result<(), Undecided> {
        self.evm.payments.put_aside();
        let entered = recover::enter_some(self.shared, &self.evm.payments, |row| self.evm.resume(row)).await?;
        if entered.is_empty() {
            return Ok(());
        }
        let entered: Vec<_> = entered.iter().filter_map(|key| self.evm.payments.find(key)).collect();
        self.fresh().await?;
        if let Some(head) = head
            && self.deepen(&entered, head).await?.0
        {
            self.looked = None;
        }
        Ok(())
    }

    /// What our keys have signed: what is known of it, or, where not all is held, what the ledger says.
    pub(super) async fn ours(&self, transaction: TransactionId) -> Result<Option<Arc<Carrier>>, Undecided> {
        let TransactionId::Evm(hash) = transaction else { return Ok(None) };
        match self.evm.carriers.find(&hash) {
            None if !self.evm.payments.is_whole() => {
                let stored = self.shared.store.transaction(self.evm.network(), &transaction).await?;
                Ok(stored.as_ref().and_then(Carrier::of).map(|carrier| self.evm.carriers.enter(carrier)))
            }
            known => Ok(known),
        }
    }
}
