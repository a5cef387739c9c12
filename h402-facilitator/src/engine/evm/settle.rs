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
use crate::{evm::EvmChain, window::Share};
use alloy_primitives::B256;
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
        share: Share,
    ) -> Result<(Prepared, Start), VerifyError> {
        let payment = checked.matched();
        let (attestation, facts) = self.judge_evm(evm, checked, Holder::Settlement, share).await?;
        let tried = |most| match facts.simulation {
            Some(Simulation::Succeeds { gas }) => gas,
            Some(Simulation::Reverts { .. }) | None => most,
        };
        let start = match payment.proof() {
            Proof::Authorization { .. } => {
                // A payer with code may do anything when it is paid from: it shares no transaction with others.
                let contract = facts.payer_has_code || payment.is_for_contract();
                Start::Lane { gas: tried(evm.config.max_gas), company: !contract, pinned: contract }
            }
            // Permit2 logs nothing of its nonces: of several in one transaction nobody could tell which was made.
            Proof::Permit2 { .. } => {
                let most = evm.config.permit2.map_or(evm.config.max_gas, |allowed| allowed.max_gas);
                Start::Lane { gas: tried(most), company: false, pinned: false }
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
            Proof::Permit2 { authorization, .. } => Kept {
                kind: PaymentKind::Permit2,
                nonce: Some(authorization.nonce.to_be_bytes()),
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
            Start::Lane { gas, company, pinned } => {
                let job = Job { open: open.clone(), gas, company, after: None };
                if pinned { evm.put_where_tried(job) } else { evm.put(job) }
            }
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
            let row = open.news.borrow().clone();
            self.put_alone(&row, open, None);
        }
    }

    /// Queues a payment of which no more is known than its row: what its simulation said is not in the ledger, so it goes
    /// alone, with all the gas that it may use.
    pub(super) fn put_alone(&self, row: &PaymentRow, open: Arc<OpenPayment>, after: Option<B256>) {
        let (gas, pinned) = self.known_of(row);
        let job = Job { open, gas, company: false, after };
        if pinned { self.put_where_tried(job) } else { self.put(job) }
    }

    /// The most gas that a settlement may use, and whether a contract pays, as far as is known from its row alone.
    fn known_of(&self, row: &PaymentRow) -> (u64, bool) {
        let by_contract = row.raw.as_ref().is_some_and(|call| EvmChain::is_contracts_call(call));
        let allowed = match (row.kind, &self.config.contract_payers) {
            (PaymentKind::Permit2, _) => self.config.permit2.map(|allowed| allowed.max_gas),
            (_, Some(allowed)) if by_contract => Some(allowed.max_gas.max(self.config.max_gas)),
            _ => None,
        };
        (allowed.unwrap_or(self.config.max_gas), by_contract)
    }

    /// How a payment goes to the chain that another process has claimed.
    pub(in crate::engine) fn start_of(&self, row: &PaymentRow) -> Start {
        match (row.state, row.kind) {
            (Settlement::Claimed, _) => {
                let (gas, pinned) = self.known_of(row);
                Start::Lane { gas, company: false, pinned }
            }
            (Settlement::Signed { .. }, PaymentKind::EvmTransaction) => Start::Send,
            _ => Start::Nothing,
        }
    }
}
