//! What an EVM chain shows: every transaction of our keys, and every payment that has become final.

use super::{
    super::{Shared, evm::EvmEngine},
    Found, Suspects, Tied,
};
use crate::evm::OwnTransactions;
use alloy_primitives::{Address as EvmAddress, B256};
use h402_core::{
    Address, Amount, Clock, Movement, Network, PaymentId, PaymentKey, PaymentKind, PaymentRow, ReceiptFacts, Reconciled, ShownTransaction,
    Store, TransactionId, Undecided,
};
use std::collections::BTreeMap;

/// Blocks looked at in one pass.
const BLOCKS: u64 = 256;

impl<S: Store, C: Clock> Shared<S, C> {
    pub(super) async fn compare_evm(&self, evm: &EvmEngine, was: Reconciled, suspects: &mut Suspects) -> Result<Found, Undecided> {
        let network = evm.payments.network();
        let head = evm.config.chain.head().await?.number;
        let last = head.saturating_add(1).saturating_sub(evm.config.final_depth);
        // Before the first pass nobody knows what keys of ours did.
        let after = was.block.unwrap_or(last);
        let upto = last.min(after.saturating_add(BLOCKS)).max(after);
        let senders: Vec<EvmAddress> = evm.config.signers.iter().map(super::super::Signer::address).collect();
        let OwnTransactions { transactions: own, upto } = evm.config.chain.sent_by(&senders, after, upto).await?;
        let page = self.new_finals(network, &was).await?;
        let mut rows: BTreeMap<B256, Vec<PaymentRow>> = BTreeMap::new();
        for row in &page {
            if let Some(TransactionId::Evm(hash)) = row.state.transaction() {
                rows.entry(hash).or_default().push(row.clone());
            }
        }
        let mut hashes: Vec<B256> = own.iter().map(|own| own.hash).chain(rows.keys().copied()).collect();
        hashes.sort_unstable();
        hashes.dedup();
        let receipts: BTreeMap<B256, Option<ReceiptFacts>> =
            hashes.iter().copied().zip(evm.config.chain.receipts(&hashes).await?).collect();
        let mut tied = Vec::new();
        for hash in hashes {
            let sent = own.iter().find(|own| own.hash == hash);
            let mut rows = rows.remove(&hash).unwrap_or_default();
            let Some(receipt) = receipts.get(&hash).and_then(Option::as_ref) else {
                // A block that holds it was read just now: a node without its receipt is not to be judged by.
                if sent.is_some() {
                    return Err(Undecided::Chain);
                }
                tied.push(Tied { shown: None, rows });
                continue;
            };
            let id = TransactionId::Evm(hash);
            let stored = if sent.is_some() { self.store.transaction(network, &id).await? } else { None };
            let known = stored.is_some();
            let mut payments = Vec::new();
            for used in receipt.authorizations.iter().filter(|_| receipt.success) {
                let Some(key) = key_of(network, used) else { continue };
                if !rows.iter().any(|row| row.key == key) {
                    // Whatever the ledger says of it now: what is looked at here may be older.
                    rows.extend(if sent.is_some() { self.store.payment(&key).await? } else { None });
                }
                // Any contract can log what it likes; only an asset's own log uses its authorization.
                if rows.iter().any(|row| row.key == key) || self.is_accepted(network, used.0) {
                    payments.push(key);
                }
            }
            // Permit2 logs no nonces: what we signed says which of its payments it carries.
            for key in stored.iter().flat_map(|stored| &stored.payments).filter(|key| !payments.contains(key)) {
                if !rows.iter().any(|row| row.key == *key) {
                    let row = self.store.payment(key).await?.filter(|row| row.kind == PaymentKind::Permit2);
                    rows.extend(row.filter(|row| !row.state.is_settled() || row.state.transaction() == Some(id)));
                }
            }
            let mut movements = self.movements(network, receipt, &rows);
            movements.extend(sent.filter(|sent| receipt.success && !sent.value.is_zero()).and_then(|sent| {
                let (asset, to) = (Address::Evm(EvmAddress::ZERO), Address::Evm(sent.to?));
                Some(Movement { asset, from: Some(sent.from.into()), to, amount: Amount::from(sent.value) })
            }));
            // A payer's coins stand in no log: value and recipient were checked in the signed bytes, and the status is all there is.
            movements.extend(rows.iter().filter(|row| receipt.success && row.asset.address.is_zero()).map(|row| Movement {
                asset: row.asset.address,
                from: Some(row.payer),
                to: row.pay_to,
                amount: row.amount,
            }));
            tied.push(Tied { shown: Some(ShownTransaction { id, ours: sent.is_some(), known, movements, payments }), rows });
        }
        let row = page.last().map(|row| (row.updated_at, row.key)).or(was.row);
        let mut found = self.judge_pass(tied, was, Reconciled { block: Some(upto), row }, page.len(), suspects);
        found.more |= upto < last;
        Ok(found)
    }

    /// Transfers of the assets that are accepted here, and of those that were when these rows were; what else moves is nobody's
    /// payment.
    fn movements(&self, network: Network, receipt: &ReceiptFacts, rows: &[PaymentRow]) -> Vec<Movement> {
        let was_accepted = |token: EvmAddress| rows.iter().any(|row| row.asset.address == token.into());
        let counts = |token: EvmAddress| self.is_accepted(network, token) || was_accepted(token);
        let transfers = receipt.transfers.iter().filter(|log| receipt.success && counts(log.token));
        transfers
            .map(|log| Movement { asset: log.token.into(), from: Some(log.from.into()), to: log.to.into(), amount: log.amount })
            .collect()
    }

    fn is_accepted(&self, network: Network, token: EvmAddress) -> bool {
        self.assets.get(&h402_core::AssetId { network, address: token.into() }).is_some()
    }
}

fn key_of(network: Network, (token, from, nonce): &(EvmAddress, EvmAddress, B256)) -> Option<PaymentKey> {
    let Network::Evm(chain) = network else { return None };
    Some(PaymentId::Eip3009 { chain, token: *token, from: *from, nonce: *nonce }.key())
}
