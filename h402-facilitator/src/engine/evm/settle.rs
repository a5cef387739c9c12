//! Taking on a payment: what is stored of it, and how it goes to the chain.

use super::{
    super::{
        Shared,
        open::OpenPayment,
        reserve::Holder,
        settle::{Kept, Prepared, Start},
    },
    EvmEngine,
    queue::Job,
};
use h402_core::{
    BlockRef, CallerKey, Checked, Clock, EvmFacts, Matched, PaymentKey, PaymentKind, PaymentRow, Proof, Settlement, Simulation, Store,
    TransactionId, Undecided, VerifyError,
};
use std::sync::Arc;

impl<S: Store, C: Clock> Shared<S, C> {
    /// All that has to be right before a claim.
    pub(in crate::engine) async fn prepare_evm(
        &self,
        evm: &EvmEngine,
        checked: &Checked,
        caller: Option<CallerKey>,
    ) -> Result<(Prepared, Start), VerifyError> {
        let payment = checked.matched();
        let (attestation, facts) = self.judge_evm(evm, checked, Holder::Settlement).await?;
        let start = match payment.proof() {
            Proof::Authorization { .. } => {
                let gas = match facts.simulation {
                    Some(Simulation::Succeeds { gas }) => gas,
                    Some(Simulation::Reverts { .. }) | None => evm.config.max_gas,
                };
                // A payer with code may do anything when it is paid from: it shares no transaction with others.
                Start::Lane { gas, company: !facts.payer_has_code && !payment.is_for_contract() }
            }
            Proof::EvmTransaction { .. } => Start::Send,
            Proof::EvmSent { .. } | Proof::SolanaTransaction { .. } | Proof::SolanaSent { .. } => Start::Nothing,
        };
        let row = self.evm_row(evm, payment, attestation.key, Some(&facts), caller)?;
        Ok((Prepared { row, aliases: payment.aliases() }, start))
    }

    /// What is stored when a payment is claimed.
    pub(super) fn evm_row(
        &self,
        evm: &EvmEngine,
        payment: &Matched,
        key: PaymentKey,
        facts: Option<&EvmFacts>,
        caller: Option<CallerKey>,
    ) -> Result<PaymentRow, Undecided> {
        let kept = match payment.proof() {
            Proof::Authorization { authorization, .. } => Kept {
                kind: PaymentKind::Authorization,
                nonce: Some(authorization.nonce.0),
                // The call is kept so that a restart can sign and send it without the payer.
                raw: evm.config.chain.settling_call(payment).map(|(_, input)| input),
                state: Settlement::Claimed,
                last_block_height: None,
            },
            Proof::EvmTransaction { transaction, raw, .. } => Kept {
                kind: PaymentKind::EvmTransaction,
                nonce: None,
                raw: Some(raw.clone()),
                state: Settlement::Signed { transaction: TransactionId::Evm(transaction.hash) },
                last_block_height: None,
            },
            Proof::EvmSent { hash, .. } => {
                let transaction = TransactionId::Evm(*hash);
                let receipt = facts.and_then(|facts| facts.sent.as_ref()?.receipt.as_ref());
                let state = receipt.map_or(Settlement::Broadcast { transaction }, |receipt| Settlement::Included {
                    transaction,
                    block: BlockRef { number: receipt.block, hash: receipt.block_hash },
                });
                Kept { kind: PaymentKind::EvmSent, nonce: None, raw: None, state, last_block_height: None }
            }
            Proof::SolanaTransaction { .. } | Proof::SolanaSent { .. } => return Err(Undecided::WrongChain),
        };
        Ok(self.new_row(payment, key, caller, kept))
    }

    /// Hands a claimed payment to whatever sends it.
    pub(in crate::engine) async fn begin_evm(&self, evm: &EvmEngine, open: &Arc<OpenPayment>, start: Start) {
        match start {
            Start::Lane { gas, company } => evm.put(Job { open: open.clone(), gas, company, after: None }),
            Start::Send => {
                let raw = open.news.borrow().raw.clone();
                if let Some(raw) = raw {
                    self.send_own(evm, open, &raw).await;
                }
            }
            Start::Nothing => {}
        }
    }
}

impl EvmEngine {
    /// Drives on what the ledger holds, as a restart does.
    pub(in crate::engine) fn resume(&self, row: PaymentRow) {
        let claimed = row.state == Settlement::Claimed;
        if let Some((open, true)) = self.payments.enter(row)
            && claimed
        {
            // What its simulation said is not in the ledger: it goes alone, with all the gas that it may use.
            self.put(Job { open, gas: self.greatest_gas(), company: false, after: None });
        }
    }

    /// The most that a settlement may use, whoever pays: what is known of it from its row alone.
    fn greatest_gas(&self) -> u64 {
        self.config.contract_payers.as_ref().map_or(0, |allowed| allowed.max_gas).max(self.config.max_gas)
    }

    /// How a payment goes to the chain that another process has claimed.
    pub(in crate::engine) fn start_of(&self, row: &PaymentRow) -> Start {
        match (row.state, row.kind) {
            (Settlement::Claimed, _) => Start::Lane { gas: self.greatest_gas(), company: false },
            (Settlement::Signed { .. }, PaymentKind::EvmTransaction) => Start::Send,
            _ => Start::Nothing,
        }
    }
}
