//! Signing and storing: the one way a transaction of ours comes to be, alone, with others, or in place of another.
//!
//! To raise the fee of one that is not mined: take its nonce, its call and its payments from the ledger, make a [`Draft`]
//! of them with higher [`Fees`], and give it to [`Shared::sign_and_store`] and then to [`Shared::send_carrier`]. The
//! first stays stored, and is looked for as long as the second.

use super::{
    super::{Shared, crash_point, drive::changed, lease::Term, open::OpenPayment},
    EvmEngine,
    carriers::Carrier,
    lane::KeyLane,
};
use crate::{chaos::sabotaged, evm::Fees};
use alloy_consensus::TxEip1559;
use alloy_primitives::{Bytes, TxKind, U256};
use h402_core::{
    Applied, Change, Clock, EvmAddress, Network, PaymentKey, PaymentRow, PaymentUpdate, SettlementEvent, Store, TransactionId,
    TransactionRow,
};
use std::{sync::Arc, time::Duration};

/// How long to wait before trying again what a store or chain in trouble refused.
pub(super) const RETRY: Duration = Duration::from_millis(500);

/// A transaction that is about to be signed.
pub(super) struct Draft {
    pub nonce: u64,
    pub to: EvmAddress,
    pub input: Bytes,
    pub gas_limit: u64,
    /// What it offers; the operator's limit is applied to it.
    pub fees: Fees,
    /// The payments it carries, in the order of its calls. Those that are over are carried and not changed.
    pub payments: Vec<Carried>,
}

/// A payment in a transaction of ours.
pub(super) enum Carried {
    /// Its state becomes `signed`.
    Open(Arc<OpenPayment>),
    /// It has ended; what was signed for it keeps its nonce all the same.
    #[allow(dead_code, reason = "whoever raises fees needs it")]
    Over(PaymentKey),
}

/// Nothing was stored: the signer did not sign, or a payment has changed meanwhile. The nonces are free again.
#[derive(Debug)]
pub(super) struct Unstored;

/// A stored transaction that can be sent.
pub(super) struct Stored {
    pub carrier: Arc<Carrier>,
    pub raw: Bytes,
    pub payments: Vec<Arc<OpenPayment>>,
}

struct Prepared {
    row: TransactionRow,
    updates: Vec<(Arc<OpenPayment>, PaymentRow)>,
}

impl<S: Store, C: Clock> Shared<S, C> {
    /// Signs drafts with one key and stores them in one change: all of them or none, so that no nonce is left out.
    ///
    /// # Errors
    /// [`Unstored`]. Whatever the store had changed meanwhile is then known here, too.
    pub(super) async fn sign_and_store(&self, evm: &EvmEngine, lane: &KeyLane, drafts: Vec<Draft>) -> Result<Vec<Stored>, Unstored> {
        let in_term = drafts.iter().flat_map(|draft| &draft.payments).find_map(|carried| match carried {
            Carried::Open(open) => Some(open.term.clone()),
            Carried::Over(_) => None,
        });
        let term = in_term.or_else(|| evm.payments.term()).ok_or(Unstored)?;
        let most = |draft: &Draft| {
            let price = draft.fees.max_fee_per_gas.min(evm.config.max_fee_per_gas);
            (draft.nonce, u128::from(draft.gas_limit).saturating_mul(price))
        };
        if !self.may_sign(evm, lane, &drafts.iter().map(most).collect::<Vec<_>>()) {
            return Err(Unstored);
        }
        let mut prepared = Vec::with_capacity(drafts.len());
        for draft in drafts {
            prepared.push(self.prepare_signed(evm, lane, draft).await?);
        }
        let mut change = Change { fence: Some(term.fence()), ..Change::default() };
        for item in &prepared {
            change.updates.extend(item.updates.iter().map(|(_, row)| PaymentUpdate { row: row.clone() }));
            change.transactions.push(item.row.clone());
        }
        crash_point("sign.post");
        if sabotaged("send.unstored") {
            for item in &prepared {
                evm.config.chain.send(&item.row.raw).await;
            }
        }
        if sabotaged("bump.unstored") && prepared.iter().flat_map(|item| &item.updates).any(|(open, _)| is_signed(open)) {
            for item in &prepared {
                evm.config.chain.send(&item.row.raw).await;
            }
            return Ok(Vec::new());
        }
        if !is_stored(self, &term, &change).await {
            for (open, _) in prepared.iter().flat_map(|item| &item.updates) {
                let mut row = open.row.lock().await;
                if let Ok(Some(stored)) = self.store.payment(&row.key).await
                    && stored.version > row.version
                {
                    let was = row.state;
                    *row = stored;
                    self.publish(&evm.payments, open, was, &row);
                }
            }
            return Err(Unstored);
        }
        let mut stored = Vec::with_capacity(prepared.len());
        for Prepared { row, updates } in prepared {
            // Entered first: once the state names it, the watcher must find it.
            let Some(carrier) = Carrier::of(&row) else { continue };
            let carrier = evm.carriers.enter(carrier);
            lane.stored(&carrier);
            let mut payments = Vec::with_capacity(updates.len());
            for (open, update) in updates {
                let mut row = open.row.lock().await;
                // Somebody may have read it from the ledger already, and gone on.
                if row.version < update.version {
                    let was = row.state;
                    *row = update;
                    self.publish(&evm.payments, &open, was, &row);
                }
                drop(row);
                payments.push(open);
            }
            stored.push(Stored { carrier, raw: row.raw, payments });
        }
        Ok(stored)
    }

    async fn prepare_signed(&self, evm: &EvmEngine, lane: &KeyLane, draft: Draft) -> Result<Prepared, Unstored> {
        let Network::Evm(chain_id) = evm.network() else { return Err(Unstored) };
        let cap = evm.config.max_fee_per_gas;
        let transaction = TxEip1559 {
            chain_id,
            nonce: draft.nonce,
            gas_limit: draft.gas_limit,
            max_fee_per_gas: draft.fees.max_fee_per_gas.min(cap),
            max_priority_fee_per_gas: draft.fees.max_priority_fee_per_gas.min(cap),
            to: TxKind::Call(draft.to),
            value: U256::ZERO,
            access_list: Default::default(),
            input: draft.input,
        };
        let signed = lane.signer.sign(transaction).await.map_err(|_| Unstored)?;
        let id = TransactionId::Evm(signed.hash);
        let now = self.clock.now();
        let mut payments = Vec::with_capacity(draft.payments.len());
        let mut updates = Vec::new();
        let mut wanted = draft.payments.is_empty();
        for carried in draft.payments {
            let open = match carried {
                Carried::Open(open) => open,
                Carried::Over(key) => {
                    payments.push(key);
                    wanted = true;
                    continue;
                }
            };
            let row = open.row.lock().await.clone();
            payments.push(row.key);
            // One that ended meanwhile stays as it is; its call then moves nothing.
            if let Ok(state) = row.state.step(SettlementEvent::Sign(id)) {
                updates.push((open, changed(&row, state, now)));
                wanted = true;
            }
        }
        if !wanted {
            return Err(Unstored);
        }
        let row = TransactionRow {
            network: evm.network(),
            id,
            sender: lane.signer.address(),
            nonce: draft.nonce,
            raw: signed.raw,
            payments,
            done: false,
            cost: None,
            signed_at: now,
        };
        Ok(Prepared { row, updates })
    }

    /// Sends a stored transaction of ours; that it was sent is noted of all its payments afterwards.
    pub(super) async fn send_carrier(self: Arc<Self>, evm: Arc<EvmEngine>, stored: Stored) {
        let sent = self.send_raw(&evm, &stored.raw, &stored.carrier.hash).await;
        // The lane waits for the send only.
        tokio::spawn(async move {
            futures_util::future::join_all(stored.payments.iter().map(|open| self.note_sent(&evm, open, sent))).await;
        });
    }
}

/// Whether something was signed for a payment before.
fn is_signed(open: &OpenPayment) -> bool {
    open.news.borrow().state.transaction().is_some()
}

/// Stores what was signed; `false` if a row has changed meanwhile, so that none of it is stored. A store that fails has
/// perhaps done it all the same, and then its nonces are given away: the same change is made until that is known.
async fn is_stored<S: Store, C: Clock>(shared: &Shared<S, C>, term: &Term, change: &Change) -> bool {
    loop {
        let applied = shared.store.apply(change.clone()).await;
        let Some(first) = change.transactions.first() else { return applied == Ok(Applied::Applied) };
        match applied {
            Ok(Applied::Applied) => return true,
            // Another process signs for this key now; nothing of this will be sent.
            Ok(Applied::Fenced) => {
                term.end();
                return false;
            }
            Ok(Applied::Conflict) => match shared.store.transaction(first.network, &first.id).await {
                Ok(found) => return found.is_some(),
                Err(error) => tracing::warn!(%error, "could not look for what was signed"),
            },
            Err(error) => tracing::warn!(%error, "could not store what was signed"),
        }
        tokio::select! {
            biased;
            () = shared.stopped() => return false,
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}
