//! `settle`: claim, hand to the lane, wait for the chain.

use super::{
    Engine, Shared, crash_point,
    evm::lane::Job,
    network::{NetworkEngine, OpenPayment},
    verify::claimant,
};
use crate::evm::EvmChain;
use h402_core::{
    Applied, Attestation, BlockRef, CallerKey, Change, Checked, Clock, EvmFacts, Matched, NewPayment, PaymentKey, PaymentKind, PaymentRow,
    Proof, Receipt, Reject, SettleError, Settlement, Simulation, Store, TransactionId, Undecided, VerifyError,
};
use std::sync::Arc;
use tokio::time::{Instant, timeout_at};

/// A settlement that was taken on, or had been.
pub(super) enum Taken {
    /// Its end has to be waited for.
    Open(Arc<OpenPayment>),
    /// It has ended.
    Ended(PaymentRow),
}

/// How a payment stands that the chain refuses.
enum Standing {
    /// The ledger has it.
    Taken(Taken),
    /// The chain has it, to be claimed as it is.
    Landed(PaymentRow),
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
        let permit = Arc::new(self.shared.admit()?);
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
                let row = self.shared.store.payment(&key).await.map_err(Undecided::from)?;
                return Err(row.map_or(Undecided::Deadline.into(), |row| SettleError::Pending { transaction: row.state.transaction() }));
            }
        };
        let network = self.shared.network(network)?;
        let row = match taken {
            Taken::Ended(row) => row,
            Taken::Open(open) => {
                let mut news = open.news.subscribe();
                let ended = timeout_at(deadline, news.wait_for(|row| row.state.is_settled() || !row.state.is_open())).await;
                match ended {
                    Ok(Ok(row)) => row.clone(),
                    Ok(Err(_)) | Err(_) => {
                        let transaction = open.news.borrow().state.transaction();
                        return Err(SettleError::Pending { transaction });
                    }
                }
            }
        };
        let answer = self.shared.answer(network, row, caller).await;
        drop(permit);
        crash_point("answered");
        answer
    }
}

impl<S: Store, C: Clock> Shared<S, C> {
    async fn take_on(&self, payment: Matched, caller: Option<CallerKey>) -> Result<Taken, SettleError> {
        let network = self.serves(&payment).map_err(refused)?;
        let _flight = self.flights.enter(payment.key()).await;
        if let Some(row) = self.store.payment(&payment.key()).await.map_err(Undecided::from)? {
            return self.again(network, &payment, row, caller).await;
        }
        self.takes(network, &payment)?;
        let checked = payment.check(&self.policy())?;
        let (row, facts) = match self.judged(network, &checked).await {
            Ok((attestation, facts)) => (self.new_row(&checked, attestation.key, Some(&facts), caller), Some(facts)),
            Err(error) => match self.refused_by_chain(network, &checked, error, caller).await? {
                Standing::Taken(taken) => return Ok(taken),
                Standing::Landed(row) => (row, None),
            },
        };
        let claim = NewPayment { row: row.clone(), aliases: checked.matched().aliases() };
        let applied = self.store.apply(Change { claim: Some(claim), ..Change::default() }).await;
        if applied != Ok(Applied::Applied) {
            return self.lost_claim(network, &checked, &row, caller, applied.is_err()).await;
        }
        crash_point("claimed");
        tracing::info!(payment.id = %row.key, network = %network.network(), payer = %row.payer, amount_atomic = %row.amount, "claimed");
        if !row.state.is_open() || row.state.is_settled() {
            // What has moved promises nothing any more.
            let held = claimant(checked.matched());
            self.reservations.release(held.payer, held.asset, &held.key);
            network.enter(row.clone());
            return Ok(Taken::Ended(row));
        }
        let open = network.enter(row);
        if let Some(facts) = facts {
            self.begin(network, &open, checked.matched(), &facts).await;
        }
        Ok(Taken::Open(open))
    }

    /// All that has to be right before a claim.
    async fn judged(&self, network: &NetworkEngine, checked: &Checked) -> Result<(Attestation, EvmFacts), VerifyError> {
        self.untaken(checked).await?;
        if matches!(checked.matched().proof(), Proof::Authorization { .. }) {
            network.gas.enough(network).await?;
        }
        self.judge_for_settlement(network, checked).await
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
            return Ok(Standing::Taken(self.again(network, payment, row, caller).await?));
        }
        let row = self.new_row(checked, payment.key(), None, caller);
        match self.landed(network, checked, &row, &error).await? {
            Some((transaction, block)) => Ok(Standing::Landed(PaymentRow { state: Settlement::Included { transaction, block }, ..row })),
            None => Err(refused(error)),
        }
    }

    /// Somebody else's claim was first, or the store is away.
    async fn lost_claim(
        &self,
        network: &NetworkEngine,
        checked: &Checked,
        row: &PaymentRow,
        caller: Option<CallerKey>,
        store_failed: bool,
    ) -> Result<Taken, SettleError> {
        let stored = self.store.payment(&row.key).await;
        if let Ok(Some(stored)) = stored {
            if network.find(&stored.key).is_some() || !stored.state.is_open() {
                return self.again(network, checked.matched(), stored, caller).await;
            }
            if !store_failed {
                return Err(SettleError::Pending { transaction: stored.state.transaction() });
            }
            // The store said no and did it all the same: drive it on like a restart would.
            let claimed = stored.state == Settlement::Claimed;
            let open = network.enter(stored);
            if claimed {
                network.lane.put(Job { open, gas: network.config.max_gas });
            }
            return Err(SettleError::Pending { transaction: None });
        }
        let claimant = claimant(checked.matched());
        self.reservations.release(claimant.payer, claimant.asset, &claimant.key);
        Err(if store_failed { Undecided::Store.into() } else { Reject::AlreadyUsed.into() })
    }

    /// Hands a claimed payment to whatever sends it.
    async fn begin(&self, network: &NetworkEngine, open: &Arc<OpenPayment>, payment: &Matched, facts: &EvmFacts) {
        match payment.proof() {
            Proof::Authorization { .. } => {
                let gas = match facts.simulation {
                    Some(Simulation::Succeeds { gas }) => gas,
                    Some(Simulation::Reverts { .. }) | None => network.config.max_gas,
                };
                network.lane.put(Job { open: open.clone(), gas });
            }
            Proof::EvmTransaction { raw, .. } => self.send_stored(network, open, raw).await,
            Proof::EvmSent { .. } | Proof::SolanaTransaction { .. } | Proof::SolanaSent { .. } => {}
        }
    }

    /// What is stored when a payment is claimed.
    fn new_row(&self, checked: &Checked, key: PaymentKey, facts: Option<&EvmFacts>, caller: Option<CallerKey>) -> PaymentRow {
        let payment = checked.matched();
        let offer = &payment.requirements().offer;
        let now = self.clock.now();
        let (kind, nonce, raw, state) = match payment.proof() {
            Proof::Authorization { authorization, .. } => {
                // The call is kept so that a restart can sign and send it without the payer.
                let call = EvmChain::settlement_call(payment).map(|(_, input)| input);
                (PaymentKind::Authorization, Some(authorization.nonce.0), call, Settlement::Claimed)
            }
            Proof::EvmTransaction { transaction, raw, .. } => {
                let transaction = TransactionId::Evm(transaction.hash);
                (PaymentKind::EvmTransaction, None, Some(raw.clone()), Settlement::Signed { transaction })
            }
            Proof::EvmSent { hash, .. } => {
                let transaction = TransactionId::Evm(*hash);
                let receipt = facts.and_then(|facts| facts.sent.as_ref()?.receipt.as_ref());
                let state = receipt.map_or(Settlement::Broadcast { transaction }, |receipt| Settlement::Included {
                    transaction,
                    block: BlockRef { number: receipt.block, hash: receipt.block_hash },
                });
                (PaymentKind::EvmSent, None, None, state)
            }
            Proof::SolanaTransaction { raw, .. } => (PaymentKind::SolanaTransaction, None, Some(raw.clone()), Settlement::Claimed),
            Proof::SolanaSent { signature, .. } => {
                let transaction = TransactionId::Solana(*signature);
                (PaymentKind::SolanaSent, None, None, Settlement::Broadcast { transaction })
            }
        };
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
            last_block_height: None,
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
