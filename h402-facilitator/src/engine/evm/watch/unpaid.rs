//! Payments that no transaction of ours has brought to the chain: what else became of them.

use super::{
    super::{
        super::{Shared, drive::Failure, open::OpenPayment},
        EvmEngine,
        carriers::Carrier as OurCarrier,
        landed::Carrier,
    },
    INDEXED, Watcher, is_deep_enough,
};
use crate::{chaos::sabotaged, evm::Head};
use alloy_primitives::B256;
use h402_core::{BlockRef, Clock, PaymentRow, ReceiptFacts, Reject, SettlementEvent, Store, TransactionId, Undecided};
use std::{future::Future, sync::Arc};

/// Seconds of chain time after which an expired authorization cannot come back with a reorg.
const EXPIRED_FOR_GOOD: u64 = 60;

impl<S: Store, C: Clock> Watcher<'_, S, C> {
    /// Finds out what became of a payment that its transaction does not show.
    pub(super) fn explain(&self, open: &Arc<OpenPayment>, hash: B256, receipt: Arc<ReceiptFacts>) {
        let (shared, evm, head) = (self.shared.clone(), self.evm.clone(), self.head);
        self.doubt(open, Some(hash), async move |open, _| shared.without_payment(&evm, &open, hash, &receipt, head).await);
    }

    /// What has expired by chain time with its nonce unused cannot land any more.
    pub(super) fn expire(&self, all: &[Arc<OpenPayment>], head: Head) {
        let margin = if sabotaged("expiry.margin") { 0 } else { EXPIRED_FOR_GOOD };
        for open in all {
            let over = {
                let row = open.news.borrow();
                !row.state.is_decided() && row.expires.is_some_and(|expires| head.time.0 > expires.0.saturating_add(margin))
            };
            if over {
                let (shared, evm) = (self.shared.clone(), self.evm.clone());
                self.doubt(open, None, async move |open, since| shared.expired(&evm, &open, head, since).await);
            }
        }
    }

    /// Looks at a payment in a task of its own, unless that is under way or for later. `look` gets the number of the head since
    /// which it is in doubt.
    fn doubt<F>(&self, open: &Arc<OpenPayment>, transaction: Option<B256>, look: impl FnOnce(Arc<OpenPayment>, u64) -> F)
    where
        F: Future<Output = Result<(), Undecided>> + Send + 'static,
    {
        let key = open.news.borrow().key;
        let Some(since) = self.doubts.begin(key, transaction, self.head.map_or(0, |head| head.number)) else { return };
        let (doubts, looking) = (self.doubts.clone(), look(open.clone(), since));
        tokio::spawn(async move {
            let looked = looking.await;
            if let Err(error) = &looked {
                tracing::warn!(payment.id = %key, %error, "what became of a payment is not known yet");
            }
            doubts.ended(&key, looked.is_ok());
        });
    }
}

impl<S: Store, C: Clock> Shared<S, C> {
    /// Our transaction did not carry the payment. Perhaps somebody else's did (T010).
    async fn without_payment(
        &self,
        evm: &EvmEngine,
        open: &Arc<OpenPayment>,
        hash: B256,
        receipt: &ReceiptFacts,
        head: Option<Head>,
    ) -> Result<(), Undecided> {
        let row = open.news.borrow().clone();
        if row.state.is_decided() || open.term.is_over() {
            return Ok(());
        }
        let transaction = TransactionId::Evm(hash);
        let block = BlockRef { number: receipt.block, hash: receipt.block_hash };
        let shared = self.is_shared(evm, transaction).await?;
        let indexed = head.filter(|head| head.number >= block.number.saturating_add(INDEXED));
        // Whoever says that nobody has used it must have the block in which it failed; that no log comes, the ones after it.
        let seen = indexed.map_or(block, |head| head.block());
        match self.carrier(evm, &row, seen).await? {
            Carrier::Other(_, block) if !is_deep_enough(evm, head, &row, block) => return Ok(()),
            Carrier::Other(carrier, block) => {
                return self.advance(&evm.payments, open, SettlementEvent::Paid { transaction: carrier, block }, None).await;
            }
            // A payment that is there and not shown yet must not be called failed: its payer would pay again.
            Carrier::Hidden if indexed.is_none() => return Err(Undecided::Chain),
            Carrier::None if shared => return self.look_after(evm, open, &row, transaction, block).await,
            Carrier::Hidden | Carrier::None => {}
        }
        let reject = if receipt.success && !shared { Reject::TransferNotObserved } else { Reject::Reverts("it failed on chain".into()) };
        let failure = Failure { word: reject.word(), text: reject.to_string() };
        self.advance(&evm.payments, open, SettlementEvent::Failed { transaction, block }, Some(failure)).await
    }

    /// Whether a transaction of ours carries several payments. One that has carried others is not remembered for ever.
    async fn is_shared(&self, evm: &EvmEngine, transaction: TransactionId) -> Result<bool, Undecided> {
        let TransactionId::Evm(hash) = transaction else { return Ok(false) };
        let known = match evm.carriers.find(&hash) {
            Some(carrier) => Some(carrier),
            None => {
                let stored = self.store.transaction(evm.network(), &transaction).await?;
                stored.as_ref().and_then(OurCarrier::of).map(|carrier| evm.carriers.enter(carrier))
            }
        };
        Ok(known.is_some_and(|carrier| carrier.payments.len() > 1))
    }

    /// Ends a payment whose time is over, unless it is paid. It is in doubt since the head with the number `since`.
    async fn expired(&self, evm: &EvmEngine, open: &Arc<OpenPayment>, head: Head, since: u64) -> Result<(), Undecided> {
        let row: PaymentRow = open.news.borrow().clone();
        if row.state.is_decided() || open.term.is_over() {
            return Ok(());
        }
        let carrier = if sabotaged("expiry.unproven") { Carrier::None } else { self.carrier(evm, &row, head.block()).await? };
        match carrier {
            Carrier::Other(_, block) if !is_deep_enough(evm, Some(head), &row, block) => Ok(()),
            Carrier::Other(transaction, block) => {
                self.advance(&evm.payments, open, SettlementEvent::Paid { transaction, block }, None).await
            }
            // Used, and perhaps not shown yet.
            Carrier::Hidden if head.number < since.saturating_add(INDEXED) => Err(Undecided::Chain),
            // Never used; or used and never shown: cancelled.
            Carrier::None | Carrier::Hidden => {
                let reject = Reject::ExpiresTooSoon { left: 0, required: 0 };
                let failure = Failure { word: reject.word(), text: "the authorization expired before it was settled".into() };
                self.advance(&evm.payments, open, SettlementEvent::Expired, Some(failure)).await
            }
        }
    }
}
