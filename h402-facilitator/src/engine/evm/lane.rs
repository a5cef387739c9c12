//! The lane: gives nonces, signs, stores and sends what one key settles, pipelined.

use super::{
    super::{Shared, crash_point, drive::changed, open::OpenPayment},
    EvmEngine,
};
use crate::evm::{Fees, Sent};
use alloy_consensus::TxEip1559;
use alloy_primitives::{Bytes, TxKind, U256};
use h402_core::{
    Applied, Change, Clock, Lane, Network, PaymentRow, PaymentUpdate, Settlement, SettlementEvent, SignedTransaction, Store, TransactionId,
    TransactionRow,
};
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::mpsc;

/// Jobs that are signed and stored together.
const BATCH: usize = 64;
/// Beyond this many nonces the lane asks which of them are mined.
const REMEMBERED: usize = 1024;
/// How long to wait before trying again what a store or chain in trouble refused.
const RETRY: Duration = Duration::from_millis(500);

/// A claimed payment to settle by a transaction of ours.
pub(super) struct Job {
    pub open: Arc<OpenPayment>,
    /// Gas that its simulation used.
    pub gas: u64,
}

/// Claimed payments in the order they came; bounded by the engine's permits.
pub(super) struct LaneQueue {
    put: mpsc::UnboundedSender<Job>,
    take: Mutex<Option<mpsc::UnboundedReceiver<Job>>>,
}

impl Default for LaneQueue {
    fn default() -> Self {
        let (put, take) = mpsc::unbounded_channel();
        Self { put, take: Mutex::new(Some(take)) }
    }
}

impl LaneQueue {
    pub(super) fn put(&self, job: Job) {
        // The receiver lives as long as the engine; if it is gone, the row waits in the ledger for the next start.
        if self.put.send(job).is_err() {
            tracing::error!("lane is closed; the payment waits for the next start");
        }
    }

    fn receiver(&self) -> Option<mpsc::UnboundedReceiver<Job>> {
        self.take.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

struct Prepared {
    job: Job,
    row: PaymentRow,
    /// The row's state once the transaction is stored.
    state: Settlement,
    signed: SignedTransaction,
    nonce: u64,
}

/// Works the queue until the engine stops.
pub(super) async fn run<S: Store, C: Clock>(shared: Arc<Shared<S, C>>, evm: Arc<EvmEngine>, mut lane: Lane) {
    let Some(mut jobs) = evm.lane.receiver() else { return };
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        tokio::select! {
            count = jobs.recv_many(&mut batch, BATCH) => if count == 0 { return },
            () = shared.stopped() => return,
        }
        if lane.depth() > REMEMBERED
            && let Ok(mined) = evm.config.chain.account_nonce(evm.config.signer.address()).await
        {
            lane.mined(mined);
        }
        while !batch.is_empty() {
            match sign_and_store(&shared, &evm, &mut lane, &mut batch).await {
                Ok(sends) => {
                    for (open, signed) in sends {
                        tokio::spawn(send(shared.clone(), evm.clone(), open, signed.raw));
                    }
                }
                Err(Trouble) => tokio::select! {
                    () = tokio::time::sleep(RETRY) => {}
                    () = shared.stopped() => return,
                },
            }
        }
    }
}

/// The store, the chain or the signer did not do its part; the jobs are back in the batch and their nonces free.
struct Trouble;

/// Signs the batch and stores it in one change: all of it or none, so that no nonce is left out.
async fn sign_and_store<S: Store, C: Clock>(
    shared: &Arc<Shared<S, C>>,
    evm: &EvmEngine,
    lane: &mut Lane,
    batch: &mut Vec<Job>,
) -> Result<Vec<(Arc<OpenPayment>, SignedTransaction)>, Trouble> {
    let fees = evm.config.chain.fees().await.map_err(|_| Trouble)?;
    let mut prepared: Vec<Prepared> = Vec::with_capacity(batch.len());
    let mut unsigned = Vec::new();
    for job in batch.drain(..) {
        let row = job.open.row.lock().await.clone();
        // What has expired would only burn gas; the watcher ends it once the chain's clock agrees.
        let expired = row.expires.is_some_and(|expires| shared.clock.now().seconds() >= expires);
        if row.state != Settlement::Claimed || expired {
            continue;
        }
        if !unsigned.is_empty() {
            unsigned.push(job);
            continue;
        }
        let nonce = lane.assign();
        match sign(evm, &row, nonce, job.gas, fees).await {
            Some(signed) => match row.state.step(SettlementEvent::Sign(TransactionId::Evm(signed.hash))) {
                Ok(state) => prepared.push(Prepared { job, row, state, signed, nonce }),
                // It ended while it waited; its nonce is the last one given.
                Err(_) => drop(lane.take_back(nonce)),
            },
            None => {
                lane.take_back(nonce);
                unsigned.push(job);
            }
        }
    }
    batch.append(&mut unsigned);
    if prepared.is_empty() {
        return if batch.is_empty() { Ok(Vec::new()) } else { Err(Trouble) };
    }
    let now = shared.clock.now();
    let mut change = Change::default();
    for item in &prepared {
        let transaction = TransactionId::Evm(item.signed.hash);
        change.updates.push(PaymentUpdate { row: changed(&item.row, item.state, now) });
        change.transactions.push(TransactionRow {
            network: evm.network(),
            id: transaction,
            sender: evm.config.signer.address(),
            nonce: item.nonce,
            raw: item.signed.raw.clone(),
            payments: vec![item.row.key],
            done: false,
            signed_at: now,
        });
    }
    if !is_stored(shared, &change).await {
        for item in prepared.into_iter().rev() {
            lane.take_back(item.nonce);
            if let Ok(Some(stored)) = shared.store.payment(&item.row.key).await {
                *item.job.open.row.lock().await = stored;
            }
            batch.push(item.job);
        }
        return Err(Trouble);
    }
    crash_point("signed");
    let mut sends = Vec::with_capacity(prepared.len());
    for (item, update) in prepared.into_iter().zip(change.updates) {
        lane.stored(item.nonce, item.signed.hash);
        let mut row = item.job.open.row.lock().await;
        let was = row.state;
        *row = update.row;
        shared.publish(&evm.payments, &item.job.open, was, &row);
        drop(row);
        sends.push((item.job.open, item.signed));
    }
    Ok(sends)
}

/// Stores what was signed; `false` if a row has changed meanwhile, so that none of it is stored. A store that fails has
/// perhaps done it all the same, and then its nonces are given away: the same change is made until that is known.
async fn is_stored<S: Store, C: Clock>(shared: &Shared<S, C>, change: &Change) -> bool {
    loop {
        let applied = shared.store.apply(change.clone()).await;
        let Some(first) = change.transactions.first() else { return applied == Ok(Applied::Applied) };
        match applied {
            Ok(Applied::Applied) => return true,
            Ok(Applied::Conflict) => match shared.store.transaction(first.network, &first.id).await {
                Ok(found) => return found.is_some(),
                Err(error) => tracing::warn!(%error, "could not look for what was signed"),
            },
            Err(error) => tracing::warn!(%error, "could not store what was signed"),
        }
        tokio::select! {
            () = tokio::time::sleep(RETRY) => {}
            () = shared.stopped() => return false,
        }
    }
}

async fn sign(evm: &EvmEngine, row: &PaymentRow, nonce: u64, gas: u64, fees: Fees) -> Option<SignedTransaction> {
    let (Network::Evm(chain_id), Some(token)) = (evm.network(), row.asset.address.evm()) else { return None };
    let cap = evm.config.max_fee_per_gas;
    let transaction = TxEip1559 {
        chain_id,
        nonce,
        // A third more than the simulation used: storage touched by others meanwhile may cost more.
        gas_limit: gas.saturating_add(gas / 3),
        max_fee_per_gas: fees.max_fee_per_gas.min(cap),
        max_priority_fee_per_gas: fees.max_priority_fee_per_gas.min(cap),
        to: TxKind::Call(token),
        value: U256::ZERO,
        access_list: Default::default(),
        input: row.raw.clone()?,
    };
    evm.config.signer.sign(transaction).await.ok()
}

/// Sends stored bytes in a task of its own.
pub(super) async fn send<S: Store, C: Clock>(shared: Arc<Shared<S, C>>, evm: Arc<EvmEngine>, open: Arc<OpenPayment>, raw: Bytes) {
    shared.send_stored(&evm, &open, &raw).await;
}

impl<S: Store, C: Clock> Shared<S, C> {
    /// Sends stored bytes, ours or the payer's. Whatever the node says proves nothing: from here on the payment is
    /// looked for on chain.
    pub(super) async fn send_stored(&self, evm: &EvmEngine, open: &Arc<OpenPayment>, raw: &Bytes) {
        let sent = evm.config.chain.send(raw).await;
        crash_point("sent");
        if let Sent::Refused(why) = &sent {
            tracing::warn!(payment.id = %open.news.borrow().key, ?why, "node refused the transaction");
        }
        // The watcher looks at once; that the state says `broadcast` is for people, so it may come later.
        evm.sent.notify_one();
        if let Err(error) = self.advance(&evm.payments, open, SettlementEvent::Sent, None).await {
            tracing::warn!(%error, "could not note that a transaction was sent");
        }
    }
}
