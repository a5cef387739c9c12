//! Transactions of ours that do not get mined: their fee is raised on the same nonce, or the nonce is filled by nothing.
//!
//! Whatever was signed before stays stored and is looked for: any of the rivals for a nonce may be mined, one of them is.

use super::{
    super::Shared,
    EvmEngine,
    lane::KeyLane,
    sign::{Carried, Draft},
};
use crate::evm::{Fees, Head};
use alloy_primitives::Bytes;
use h402_core::{Clock, EvmAddress, PaymentKey, PaymentRow, Store, TransactionId, TransactionRow, Undecided, evm::EvmTransaction};
use std::{sync::Arc, time::Duration};

/// Raises of one nonce.
const MOST_RAISES: usize = 5;
/// How long one that cannot pay the base fee any more is left alone after it was signed.
const UNAFFORDABLE: Duration = Duration::from_secs(3);
/// How long any other that holds up its lane is.
const UNWANTED: Duration = Duration::from_secs(30);
/// Nonces that are worked on at once.
const TOGETHER: usize = 16;
/// Gas of a transaction that does nothing.
const NOTHING: u64 = 21_000;

impl<S: Store, C: Clock> Shared<S, C> {
    /// Signs, stores and sends what pays more, for the nonces of a key that wait for a block and do not get into one.
    ///
    /// `open` are the stored transactions that are not mined, in the order of their nonces; `holes` are nonces before the
    /// last of them that nothing is stored for, and that nothing can be coming for any more.
    pub(super) async fn raise(
        self: &Arc<Self>,
        evm: &Arc<EvmEngine>,
        lane: &KeyLane,
        head: Head,
        open: &[TransactionRow],
        holes: &[u64],
    ) -> Result<(), Undecided> {
        let fees = evm.config.chain.fees().await?;
        let mut drafts: Vec<Draft> = holes.iter().map(|nonce| nothing(lane, *nonce, fees)).collect();
        // The first are the ones that all others wait for.
        for rivals in open.chunk_by(|one, next| one.nonce == next.nonce).take(TOGETHER) {
            let holds_up = rivals.first().map(|row| row.nonce) == open.first().map(|row| row.nonce);
            drafts.extend(self.raised(evm, lane, head, fees, rivals, holds_up));
        }
        drafts.truncate(TOGETHER);
        // Each for itself: one that changed meanwhile keeps no other from being raised.
        for draft in drafts {
            let nonce = draft.nonce;
            let Ok(stored) = self.sign_and_store(evm, lane, vec![draft]).await else { continue };
            for stored in stored {
                tracing::info!(network = %evm.network(), nonce, transaction = %stored.carrier.hash, "fee raised, or a hole filled");
                let (shared, evm) = (self.clone(), evm.clone());
                tokio::spawn(shared.send_carrier(evm, stored));
            }
        }
        Ok(())
    }

    /// What is to take the place of the last that was signed for a nonce; none while that may be mined soon, or if the
    /// operator's limits forbid more.
    fn raised(&self, evm: &EvmEngine, lane: &KeyLane, head: Head, fees: Fees, rivals: &[TransactionRow], holds_up: bool) -> Option<Draft> {
        let now = self.clock.now();
        let last = rivals.iter().max_by_key(|row| row.signed_at)?;
        let age = now.since(last.signed_at);
        if age < UNAFFORDABLE {
            return None;
        }
        let old = EvmTransaction::decode(&last.raw).ok()?;
        let unaffordable = head.base_fee.is_some_and(|base_fee| old.max_fee_per_gas < base_fee);
        // Where nothing at all is mined more money helps nobody.
        let unwanted = holds_up && age >= UNWANTED && evm.progress.ensure(UNWANTED).is_ok();
        if !(unaffordable || unwanted) {
            return None;
        }
        let network = evm.network();
        if rivals.len() > MOST_RAISES {
            tracing::error!(%network, nonce = last.nonce, "a transaction is not mined, and its fee was raised often enough");
            return None;
        }
        // What is known of fees may be older than the head.
        let room = head.base_fee.unwrap_or_default().saturating_mul(2).saturating_add(fees.max_priority_fee_per_gas);
        let more = Fees {
            max_fee_per_gas: fees.max_fee_per_gas.max(room).max(an_eighth_more(old.max_fee_per_gas)),
            max_priority_fee_per_gas: fees.max_priority_fee_per_gas.max(an_eighth_more(old.max_priority_fee_per_gas)),
            legacy: fees.legacy,
            block_gas: None,
        };
        let cap = evm.config.max_fee_per_gas;
        if an_eighth_more(old.max_fee_per_gas) > cap || an_eighth_more(old.max_priority_fee_per_gas) > cap {
            // Less of a raise no node takes.
            tracing::error!(%network, nonce = last.nonce, cap, "a transaction is not mined, and its fee is at the limit");
            return None;
        }
        let is_rival = |id: TransactionId| rivals.iter().any(|row| row.id == id);
        let mut moved_on = false;
        let mut carried = Vec::with_capacity(last.payments.len());
        for key in &last.payments {
            let open = evm.payments.find(key).filter(|open| self.can_land(&open.news.borrow()));
            let goes_on = open.as_ref().and_then(|open| open.news.borrow().state.transaction()).is_some_and(|id| !is_rival(id));
            moved_on |= goes_on;
            carried.push(open.filter(|_| !goes_on).map_or(Carried::Over(*key), Carried::Open));
        }
        if moved_on {
            // What was signed with another nonce since is not signed with this one again.
            carried.retain(|carried| matches!(carried, Carried::Open(_)));
        }
        if !carried.iter().any(|carried| matches!(carried, Carried::Open(_))) {
            // Nothing that it carries can be settled by it any more: the nonce is all that is wanted.
            return Some(nothing(lane, last.nonce, more));
        }
        let (to, input) = if moved_on { evm.call_of(&carried)? } else { (old.to?, old.input) };
        Some(Draft { nonce: last.nonce, to, input, gas_limit: old.gas_limit, fees: more, payments: carried })
    }

    /// Whether a transaction that is sent now may still settle a payment.
    fn can_land(&self, row: &PaymentRow) -> bool {
        !row.state.is_decided() && row.expires.is_none_or(|expires| self.clock.now().seconds() < expires)
    }

    /// Payments whose nonce somebody else has used, with the same key: they are signed once more, on a nonce of their own. Not
    /// those for which something else is in a block, as `is_in_none` says: the watcher sees what that has brought.
    pub(super) fn sign_anew(&self, evm: &EvmEngine, taken: &[TransactionRow], is_in_none: impl Fn(&PaymentKey) -> bool) {
        for row in taken {
            let TransactionId::Evm(hash) = row.id else { continue };
            for open in row.payments.iter().filter(|key| is_in_none(key)).filter_map(|key| evm.payments.find(key)) {
                let payment = open.news.borrow().clone();
                if payment.state.transaction() == Some(row.id) && self.can_land(&payment) {
                    tracing::error!(network = %evm.network(), nonce = row.nonce, "a nonce was used by a stranger to the ledger");
                    evm.put_alone(&payment, open, Some(hash));
                }
            }
        }
    }
}

impl EvmEngine {
    /// The call that settles these; none if one of them is over.
    fn call_of(&self, carried: &[Carried]) -> Option<(EvmAddress, Bytes)> {
        let call = |carried: &Carried| {
            let Carried::Open(open) = carried else { return None };
            let row = open.news.borrow();
            let input = row.raw.clone()?;
            Some((self.config.chain.settles_at(row.asset.address.evm()?, &input)?, input))
        };
        let calls: Vec<(EvmAddress, Bytes)> = carried.iter().map(call).collect::<Option<_>>()?;
        match calls.as_slice() {
            [one] => Some(one.clone()),
            several => self.config.chain.batch_call(several),
        }
    }
}

/// A transfer of nothing to the key itself.
fn nothing(lane: &KeyLane, nonce: u64, fees: Fees) -> Draft {
    Draft { nonce, to: lane.address(), input: Bytes::new(), gas_limit: NOTHING, fees, payments: Vec::new() }
}

/// The least raise that every node takes, rounded up.
const fn an_eighth_more(fee: u128) -> u128 {
    fee.saturating_add(fee.div_ceil(8))
}
