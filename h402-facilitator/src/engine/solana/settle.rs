//! Taking on a payment: what is stored of it, complete, before anything is sent.

use super::{
    super::{
        Shared, crash_point,
        open::OpenPayment,
        reserve::Holder,
        settle::{Kept, Prepared, Start},
    },
    SolanaEngine,
};
use crate::window::Share;
use alloy_primitives::{B256, Bytes};
use h402_core::{
    BlockRef, CallerKey, Checked, Clock, Matched, PaymentKey, PaymentKind, PaymentRow, Proof, Settlement, SolanaPolicy, Store,
    TransactionId, Undecided, VerifyError,
    solana::{SolanaTransaction, cosign},
};
use std::sync::Arc;

impl<S: Store, C: Clock> Shared<S, C> {
    /// All that has to be right before a claim.
    pub(in crate::engine) async fn prepare_solana(
        &self,
        solana: &SolanaEngine,
        checked: &Checked,
        caller: Option<CallerKey>,
        share: Share,
    ) -> Result<(Prepared, Start), VerifyError> {
        let payment = checked.matched();
        let (attestation, read) = self.judge_solana(solana, checked, Holder::Settlement, share).await?;
        let (kept, aliases, start) = match payment.proof() {
            Proof::SolanaTransaction { .. } => {
                let (transaction, raw) = solana.complete(payment)?;
                let kept = signed(transaction, raw, Some(read.block_height.saturating_add(SolanaPolicy::BLOCKHASH_LIFE)));
                (kept, vec![PaymentKey::of_transaction(payment.network(), &transaction)], Start::Send)
            }
            Proof::SolanaSent { signature, .. } => {
                let slot = read.facts.sent.as_ref().ok_or(Undecided::Chain)?.slot;
                let state = Settlement::Included { transaction: TransactionId::Solana(*signature), block: block(slot) };
                let kept = Kept { kind: PaymentKind::SolanaSent, nonce: None, raw: None, state, last_block_height: None };
                (kept, attestation.aliases, Start::Nothing)
            }
            Proof::Authorization { .. } | Proof::Permit2 { .. } | Proof::EvmTransaction { .. } | Proof::EvmSent { .. } => {
                return Err(Undecided::WrongChain.into());
            }
        };
        Ok((Prepared { row: self.new_row(payment, attestation.key, caller, kept), aliases }, start))
    }

    /// Sends a claimed payment.
    pub(in crate::engine) async fn begin_solana(&self, solana: &SolanaEngine, open: &Arc<OpenPayment>, start: Start) {
        if start == Start::Send {
            self.send_solana(solana, std::slice::from_ref(open)).await;
        }
    }
}

impl SolanaEngine {
    /// Drives on what the ledger holds: the watcher sends what is not there.
    pub(in crate::engine) fn resume(&self, row: PaymentRow) {
        drop(self.payments.enter(row));
    }

    /// How a payment goes to the cluster that another process has claimed.
    pub(in crate::engine) fn start_of(&self, row: &PaymentRow) -> Start {
        match row.state {
            Settlement::Signed { .. } => Start::Send,
            _ => Start::Nothing,
        }
    }

    /// The bytes that are sent, every time the same, and their first signature: ours where we pay the fee.
    ///
    /// Ed25519 signs the same bytes the same way always, so what a settlement signs that loses its claim is no second
    /// transaction.
    fn complete(&self, payment: &Matched) -> Result<(TransactionId, Bytes), VerifyError> {
        let Proof::SolanaTransaction { transaction, payment, raw } = payment.proof() else { return Err(Undecided::WrongChain.into()) };
        let raw = match &self.config.sponsor {
            Some(key) if payment.is_sponsored() => {
                let raw = cosign(transaction, key)?;
                crash_point("sign.post");
                raw
            }
            _ => raw.clone(),
        };
        let first = SolanaTransaction::decode(&raw)?.signatures.first().copied().ok_or(Undecided::Chain)?;
        Ok((TransactionId::Solana(first), raw))
    }
}

/// What is kept of a transaction that is about to be sent, or was brought to the cluster by others.
pub(super) fn signed(transaction: TransactionId, raw: Bytes, last_block_height: Option<u64>) -> Kept {
    Kept { kind: PaymentKind::SolanaTransaction, nonce: None, raw: Some(raw), state: Settlement::Signed { transaction }, last_block_height }
}

/// A block by its slot. Whether it is still there is asked of the transaction, so its hash is not.
pub(super) fn block(slot: u64) -> BlockRef {
    BlockRef { number: slot, hash: B256::ZERO }
}
