//! `settle`: claim, hand to the lane, wait for the chain.

use super::{Engine, Shared, crash_point, network::NetworkEngine, open::OpenPayment, reserve::Claimant, verify::claimant};
use crate::{chaos::sabotaged, window::Share};
use alloy_primitives::Bytes;
use h402_core::{
    Applied, CallerKey, Change, Checked, Clock, Matched, NewPayment, PaymentKey, PaymentKind, PaymentRow, Receipt, Reject, SettleError,
    Settlement, Store, Undecided, VerifyError,
};
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, timeout, timeout_at};

/// How soon a store in trouble is asked again.
const RETRY: Duration = Duration::from_millis(500);
/// How long the ledger is waited for once the time for an answer is over.
const LAST_LOOK: Duration = Duration::from_secs(1);

/// A settlement that was taken on, or had been.
pub(super) enum Taken {
    /// Its end has to be waited for.
    Open(Arc<OpenPayment>),
    /// Another process drives it, or will: its end has to be looked for in the ledger.
    Elsewhere(Box<PaymentRow>),
    /// It has ended.
    Ended(PaymentRow),
}

/// What a claim is about to store.
pub(super) struct Prepared {
    pub row: PaymentRow,
    /// The payment's other names.
    pub aliases: Vec<PaymentKey>,
}

/// What a row keeps that depends on the kind of proof.
pub(super) struct Kept {
    pub kind: PaymentKind,
    pub nonce: Option<[u8; 32]>,
    pub raw: Option<Bytes>,
    pub state: Settlement,
    pub last_block_height: Option<u64>,
}

/// How a claimed payment goes to its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    /// By a transaction of ours; its dry run used this much gas, and it may share a transaction with others or not. Whoever pays
    /// with code may do something else when another account sends it: `pinned` to the key that it was tried from.
    #[cfg(feature = "evm")]
    Lane { gas: u64, company: bool, pinned: bool },
    /// As the bytes that its row keeps.
    Send,
    /// It is there already.
    Nothing,
}

/// How a payment stands that the chain refuses.
enum Standing {
    /// The ledger has it.
    Taken(Taken),
    /// The chain has it, to be claimed as it is.
    Landed(Prepared),
}

impl<S: Store, C: Clock> Engine<S, C> {
    /// Settles a payment and answers within the configured time: with a receipt, a refusal, or as pending.
    ///
    /// Calling again is safe: the same caller gets the same answer, another one a refusal, and the payment is
    /// never sent twice.
    ///
    /// # Errors
    /// [`SettleError`].
    ///
    /// # Cancel safety
    /// Dropping the future does not stop a settlement that has begun; it goes on in its own task.
    pub async fn settle(&self, payment: Matched, caller: Option<CallerKey>) -> Result<Receipt, SettleError> {
        let deadline = Instant::now() + self.shared.answer_within;
        // Held by whatever lasts longer, the task or the wait: callers that hang up free no place early.
        let permit = Arc::new(self.shared.admit(&self.shared.settles)?);
        let key = payment.key();
        let network = payment.network();
        let shared = self.shared.clone();
        let place = permit.clone();
        let begun = tokio::spawn(async move {
            let taken = shared.take_on(payment, caller).await;
            drop(place);
            taken
        });
        let taken = match timeout_at(deadline, begun).await {
            Ok(Ok(taken)) => taken?,
            // The task ended without an answer, or is not done: what it has stored decides.
            Ok(Err(_)) | Err(_) => {
                let looked = timeout(LAST_LOOK, self.shared.store.payment(&key)).await;
                let row = looked.map_err(|_| Undecided::Store)?.map_err(Undecided::from)?;
                return Err(row.map_or(Undecided::Deadline.into(), |row| SettleError::Pending { transaction: row.state.transaction() }));
            }
        };
        let network = self.shared.network(network)?;
        let row = self.shared.ended(taken, deadline).await?;
        let answer = self.shared.answer(network.payments(), row, caller).await;
        drop(permit);
        crash_point("resp.head");
        answer
    }
}

impl<S: Store, C: Clock> Shared<S, C> {
    async fn take_on(self: &Arc<Self>, payment: Matched, caller: Option<CallerKey>) -> Result<Taken, SettleError> {
        let _flight = self.flights.enter(payment.key()).await;
        if let Some(row) = self.store.payment(&payment.key()).await.map_err(Undecided::from)? {
            // Taken on before a change of configuration it may be on its way: what is not served any more refuses nothing.
            let network = self.network(row.asset.network).map_err(|_| Undecided::NotConfigured)?;
            network.recovered()?;
            return self.again(network.payments(), &payment, row, caller).await;
        }
        let network = self.serves(&payment).map_err(refused)?;
        self.takes(network, &payment).map_err(refused)?;
        let checked = payment.check(&self.policy())?;
        let (Prepared { row, aliases }, start) = match self.prepare(network, &checked, caller).await {
            Ok((prepared, start)) => (prepared, start),
            Err(error) => match self.refused_by_chain(network, &checked, error, caller).await? {
                Standing::Taken(taken) => return Ok(taken),
                Standing::Landed(prepared) => (prepared, Start::Nothing),
            },
        };
        let aliases = if sabotaged("claim.alias") { Vec::new() } else { aliases };
        let claim = Some(NewPayment { row: row.clone(), aliases }).filter(|_| !sabotaged("claim.skip"));
        crash_point("claim.pre");
        let applied = self.store.apply(Change { claim, ..Change::default() }).await;
        if applied != Ok(Applied::Applied) && !sabotaged("claim.conflict") {
            return self.lost_claim(network, &checked, &row, caller, applied.is_err()).await;
        }
        crash_point("claim.post");
        tracing::info!(payment.id = %row.key, network = %network.network(), payer = %row.payer, amount_atomic = %row.amount, "claimed");
        if row.state.is_decided() {
            // What has moved promises nothing any more.
            let held = claimant(checked.matched());
            self.reservations.release(held.payer, held.asset, &held.key);
            // Whoever drives the network sees it grow old.
            drop(network.payments().enter(row.clone()));
            return Ok(Taken::Ended(row));
        }
        Ok(match network.payments().enter(row.clone()) {
            Some((open, is_new)) => {
                if is_new {
                    self.begin(network, &open, start).await;
                }
                Taken::Open(open)
            }
            None => Taken::Elsewhere(Box::new(row)),
        })
    }

    /// Hands a claimed payment to whatever sends it.
    pub(super) async fn begin(&self, network: &NetworkEngine, open: &Arc<OpenPayment>, start: Start) {
        match network {
            #[cfg(feature = "evm")]
            NetworkEngine::Evm(evm) => self.begin_evm(evm, open, start).await,
            #[cfg(feature = "solana")]
            NetworkEngine::Solana(solana) => self.begin_solana(solana, open, start).await,
        }
    }

    /// All that has to be right before a claim.
    async fn prepare(
        &self,
        network: &NetworkEngine,
        checked: &Checked,
        caller: Option<CallerKey>,
    ) -> Result<(Prepared, Start), VerifyError> {
        self.untaken(checked).await?;
        let promised = self.is_promised(&claimant(checked.matched())).await?;
        let share = if promised { Share::Promised } else { Share::Anybody };
        self.may_ask(checked.matched(), share)?;
        match network {
            #[cfg(feature = "evm")]
            NetworkEngine::Evm(evm) => self.prepare_evm(evm, checked, caller, share).await,
            #[cfg(feature = "solana")]
            NetworkEngine::Solana(solana) => self.prepare_solana(solana, checked, caller, share).await,
        }
    }

    /// A refusal, unless the chain refuses what is done: another copy was claimed and settled here meanwhile, so that
    /// the ledger has the answer, or it was brought to the chain by others.
    async fn refused_by_chain(
        &self,
        network: &NetworkEngine,
        checked: &Checked,
        error: VerifyError,
        caller: Option<CallerKey>,
    ) -> Result<Standing, SettleError> {
        let payment = checked.matched();
        if let Some(row) = self.store.payment(&payment.key()).await.map_err(Undecided::from)? {
            return Ok(Standing::Taken(self.again(network.payments(), payment, row, caller).await?));
        }
        let landed = match network {
            #[cfg(feature = "evm")]
            NetworkEngine::Evm(evm) => self.landed_evm(evm, checked, &error, caller).await?,
            #[cfg(feature = "solana")]
            NetworkEngine::Solana(solana) => self.landed_solana(solana, checked, &error, caller).await?,
        };
        landed.map(Standing::Landed).ok_or(refused(error))
    }

    /// Somebody else's claim was first, or the store is away.
    async fn lost_claim(
        self: &Arc<Self>,
        network: &NetworkEngine,
        checked: &Checked,
        row: &PaymentRow,
        caller: Option<CallerKey>,
        store_failed: bool,
    ) -> Result<Taken, SettleError> {
        let claimed = claimant(checked.matched());
        match self.store.payment(&row.key).await {
            Ok(Some(stored)) => {
                // The store said no and did it all the same: drive it on like a restart would.
                if store_failed && stored.state.is_open() {
                    network.resume(stored.clone());
                }
                let driven = network.payments().find(&stored.key).is_some();
                if driven || self.store.is_shared() || stored.state.is_decided() {
                    return self.again(network.payments(), checked.matched(), stored, caller).await;
                }
                Err(SettleError::Pending { transaction: stored.state.transaction() })
            }
            Err(_) if store_failed => {
                tokio::spawn(self.clone().find_claim(network.clone(), claimed));
                Err(Undecided::Store.into())
            }
            known => {
                self.reservations.release(claimed.payer, claimed.asset, &claimed.key);
                Err(if store_failed || known.is_err() { Undecided::Store.into() } else { Reject::AlreadyUsed.into() })
            }
        }
    }

    /// Finds out whether a claim was made that the store gave no answer to, however long that takes: a restart alone would
    /// drive it on otherwise. Until then it keeps what it has reserved.
    async fn find_claim(self: Arc<Self>, network: NetworkEngine, claimed: Claimant) {
        loop {
            tokio::select! {
                biased;
                () = self.stopped() => return,
                () = sleep(RETRY) => {}
            }
            // Whoever claims it anew meanwhile is done before this looks.
            let _flight = self.flights.enter(claimed.key).await;
            match self.store.payment(&claimed.key).await {
                Ok(Some(row)) if row.state.is_open() => return network.resume(row),
                Ok(Some(_)) => return,
                Ok(None) => return self.reservations.release(claimed.payer, claimed.asset, &claimed.key),
                Err(error) => tracing::warn!(payment.id = %claimed.key, %error, "could not find out whether a payment is claimed"),
            }
        }
    }

    /// What is stored when a payment is claimed.
    pub(super) fn new_row(&self, payment: &Matched, key: PaymentKey, caller: Option<CallerKey>, kept: Kept) -> PaymentRow {
        let offer = &payment.requirements().offer;
        let now = self.clock.now();
        let Kept { kind, nonce, raw, state, last_block_height } = kept;
        PaymentRow {
            key,
            asset: offer.asset.id,
            payer: payment.payer(),
            pay_to: offer.pay_to,
            amount: payment.amount(),
            kind,
            nonce,
            caller,
            state,
            answer: None,
            expires: payment.expires(),
            last_block_height,
            raw,
            claimed_at: now,
            updated_at: now,
            version: 1,
        }
    }
}

fn refused(error: VerifyError) -> SettleError {
    match error {
        VerifyError::Rejected(reject) => reject.into(),
        VerifyError::Undecided(undecided) => undecided.into(),
    }
}
