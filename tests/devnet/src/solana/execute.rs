//! Runs transactions.

use litesvm::types::{FailedTransactionMetadata, TransactionMetadata};
use solana_hash::Hash;
use solana_message::{AddressLoader, VersionedMessage, v0::LoadedAddresses};
use solana_pubkey::Pubkey;
use solana_transaction::versioned::VersionedTransaction;
use solana_transaction_error::TransactionError;
use solana_transaction_status::{TransactionStatusMeta, map_inner_instructions};

use super::{ledger::Ledger, pool::Delivery, tokens};
use crate::BlockTime;

/// What simulating a transaction gives.
pub(super) struct Simulated {
    pub(super) keys: Vec<Pubkey>,
    pub(super) loaded: LoadedAddresses,
    /// `Err` with the logs of a failure, which are empty if nothing was executed.
    pub(super) result: Result<litesvm::types::SimulatedTransactionInfo, FailedTransactionMetadata>,
}

impl Ledger {
    /// Takes a transaction that was sent; nobody hears what becomes of it.
    pub(super) fn submit(&mut self, transaction: VersionedTransaction) {
        match self.pool.take(transaction.signatures[0]) {
            Delivery::Drop => {}
            Delivery::Hold => self.pool.held.push(transaction),
            Delivery::Land => self.land_now(transaction),
        }
    }

    /// Lets a transaction land if it can, and makes it confirmed if blocks are made on demand.
    pub(super) fn land_now(&mut self, transaction: VersionedTransaction) {
        let landed = self.land(transaction).is_ok();
        if landed && self.block_time == BlockTime::Auto {
            self.advance(self.confirmed_after);
        }
    }

    /// Executes a transaction in the open block. On an error it has not landed: a block holds what failed, but not what cannot even start.
    pub(super) fn land(&mut self, transaction: VersionedTransaction) -> Result<(), TransactionError> {
        // A leader drops what is not signed.
        let message = transaction.verify_and_hash_message()?;
        let (height, time) = (self.tip().height, self.tip().time);
        self.check(&transaction.message, &message, height)?;
        let (keys, loaded) = self.keys(&transaction.message, height)?;
        self.keep_state();
        let lamports = |svm: &litesvm::LiteSVM| keys.iter().map(|key| svm.get_balance(key).unwrap_or(0)).collect::<Vec<_>>();
        let pre_balances = lamports(&self.svm);
        let pre_token_balances = tokens::balances(&keys, time, |key| tokens::read(&self.svm, key));
        let result = self.svm.send_transaction(transaction.clone());
        let post_balances = lamports(&self.svm);
        let (status, meta) = match result {
            Ok(meta) => (Ok(()), meta),
            // Only what is put into a block pays its fee.
            Err(failed) if pre_balances == post_balances => return Err(failed.err),
            Err(failed) => (Err(failed.err), failed.meta),
        };
        let TransactionMetadata { logs, inner_instructions, compute_units_consumed, return_data, fee, .. } = meta;
        let meta = TransactionStatusMeta {
            status,
            fee,
            pre_balances,
            post_balances,
            inner_instructions: Some(map_inner_instructions(inner_instructions).collect()),
            log_messages: Some(logs),
            pre_token_balances: Some(pre_token_balances),
            post_token_balances: Some(tokens::balances(&keys, time, |key| tokens::read(&self.svm, key))),
            rewards: Some(Vec::new()),
            loaded_addresses: loaded,
            return_data: (!return_data.data.is_empty()).then_some(return_data),
            compute_units_consumed: Some(compute_units_consumed),
            cost_units: None,
        };
        self.record(transaction, message, meta);
        Ok(())
    }

    /// Runs a transaction on the state of a block and keeps nothing; signatures are not looked at.
    pub(super) fn simulate(&self, transaction: &VersionedTransaction, height: u64) -> Simulated {
        let message = &transaction.message;
        let nothing = |err| Err(FailedTransactionMetadata { err, meta: TransactionMetadata::default() });
        let (keys, loaded) = match self.keys(message, height) {
            Ok(found) => found,
            Err(err) => {
                let keys = message.static_account_keys().to_vec();
                return Simulated { keys, loaded: LoadedAddresses::default(), result: nothing(err) };
            }
        };
        let result = match self.check(message, &message.hash(), height) {
            Ok(()) => self.state(height).simulate_transaction(transaction.clone()),
            Err(err) => nothing(err),
        };
        Simulated { keys, loaded, result }
    }

    /// Whether a message may still land at a block of this height.
    fn check(&self, message: &VersionedMessage, hash: &Hash, height: u64) -> Result<(), TransactionError> {
        if self.last_valid(message.recent_blockhash(), height).is_none() {
            return Err(TransactionError::BlockhashNotFound);
        }
        if self.landed_at(hash, height).is_some() {
            return Err(TransactionError::AlreadyProcessed);
        }
        Ok(())
    }

    /// All accounts of a message in its own order, and those of them that come from lookup tables.
    fn keys(&self, message: &VersionedMessage, height: u64) -> Result<(Vec<Pubkey>, LoadedAddresses), TransactionError> {
        let mut keys = message.static_account_keys().to_vec();
        let loaded = match message.address_table_lookups() {
            Some(lookups) if !lookups.is_empty() => self.state(height).accounts_db().load_addresses(lookups)?,
            _ => LoadedAddresses::default(),
        };
        keys.extend(loaded.writable.iter().chain(&loaded.readonly));
        Ok((keys, loaded))
    }
}
