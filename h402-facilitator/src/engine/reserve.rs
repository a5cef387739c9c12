//! What open payments have promised of their payers' balances, in this process's memory.
//!
//! A verify reserves for a minute; a settlement until its transfer shows in the balance that is read. One
//! process works on one ledger, so memory suffices; after a restart the ledger's open rows are entered again.

use crate::chaos::sabotaged;
use h402_core::{Address, Amount, AssetId, CallerKey, PaymentKey, Reject, UnixMillis};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// How long a settled payment is remembered: longer than any read of an older block can take.
const AFTER_INCLUSION: Duration = Duration::from_secs(120);

#[derive(Debug, Default)]
pub(super) struct Reservations(Mutex<HashMap<(Address, AssetId), HashMap<PaymentKey, Reservation>>>);

#[derive(Debug, Clone)]
struct Reservation {
    amount: Amount,
    until: Until,
    holder: Holder,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Until {
    /// A verify: lapses by itself.
    Time(UnixMillis),
    /// A settlement that is not in a block yet.
    Included,
    /// A settlement in this block: a balance read at it or later shows the transfer.
    Block(u64, UnixMillis),
}

/// Who holds a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holder {
    /// A caller that says who it is.
    Key(CallerKey),
    /// A caller without a key.
    Nobody,
    /// A settlement, whoever asked for it.
    Settlement,
}

/// Under which conditions something is reserved.
#[derive(Debug, Clone, Copy)]
pub(super) struct Terms {
    pub holder: Holder,
    /// Refuse if a caller without a key holds the payment already.
    pub exclusive: bool,
    /// The block at which the payer's balance was read.
    pub block: u64,
    pub now: UnixMillis,
    pub hold: Duration,
    pub max_open: usize,
}

/// What is reserved, and under which name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claimant {
    pub payer: Address,
    pub asset: AssetId,
    pub key: PaymentKey,
    pub amount: Amount,
}

impl Reservations {
    /// Decides and reserves in one step: `judge` gets the sum of the payer's other reservations that a balance
    /// read at `terms.block` does not show, and if it accepts, this payment is reserved: for `terms.hold`, or a settlement
    /// until it is included.
    pub(super) fn decide<T, E: From<Reject>>(
        &self,
        claimant: Claimant,
        terms: Terms,
        judge: impl FnOnce(Amount) -> Result<T, E>,
    ) -> Result<T, E> {
        let Terms { holder, exclusive, block, now, hold, max_open } = terms;
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let open = all.entry((claimant.payer, claimant.asset)).or_default();
        open.retain(|_, reservation| reservation.is_live(now));
        if exclusive && open.get(&claimant.key).is_some_and(|known| known.holder == Holder::Nobody) {
            return Err(Reject::InProgress.into());
        }
        let mut reserved = Amount::ZERO;
        let mut count = 0;
        for (key, reservation) in open.iter() {
            if *key != claimant.key && reservation.counts_at(block) {
                reserved = reserved.checked_add(reservation.amount).unwrap_or(Amount::from(alloy_primitives::U256::MAX));
                count += 1;
            }
        }
        if count >= max_open {
            return Err(Reject::TooManyOpen.into());
        }
        let accepted = judge(if sabotaged("reserve.ignore") { Amount::ZERO } else { reserved })?;
        let until = match holder {
            Holder::Settlement => Until::Included,
            Holder::Key(_) | Holder::Nobody => Until::Time(now.plus(hold)),
        };
        // A settlement's reservation is never shortened by a later verify.
        let settling = open.get(&claimant.key).is_some_and(|known| known.holder == Holder::Settlement);
        if !settling || holder == Holder::Settlement {
            open.insert(claimant.key, Reservation { amount: claimant.amount, until, holder });
        }
        Ok(accepted)
    }

    /// Whether this very payment is held: whoever verified it here found it unspent.
    pub(super) fn holds(&self, claimant: &Claimant, now: UnixMillis) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held = all.get(&(claimant.payer, claimant.asset)).and_then(|open| open.get(&claimant.key));
        held.is_some_and(|reservation| reservation.is_live(now))
    }

    /// Enters a settlement that a restart found in the ledger.
    pub(super) fn settling(&self, claimant: Claimant) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let reservation = Reservation { amount: claimant.amount, until: Until::Included, holder: Holder::Settlement };
        all.entry((claimant.payer, claimant.asset)).or_default().insert(claimant.key, reservation);
    }

    /// The settlement is in a block: balances read there or later show it.
    pub(super) fn included(&self, payer: Address, asset: AssetId, key: &PaymentKey, block: u64, now: UnixMillis) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(reservation) = all.get_mut(&(payer, asset)).and_then(|open| open.get_mut(key)) {
            reservation.until = Until::Block(block, now.plus(AFTER_INCLUSION));
        }
    }

    /// Forgets what has lapsed.
    pub(super) fn sweep(&self, now: UnixMillis) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, open| {
            open.retain(|_, reservation| reservation.is_live(now));
            !open.is_empty()
        });
    }

    /// Nothing will be transferred.
    pub(super) fn release(&self, payer: Address, asset: AssetId, key: &PaymentKey) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = all.get_mut(&(payer, asset)) {
            open.remove(key);
            if open.is_empty() {
                all.remove(&(payer, asset));
            }
        }
    }
}

impl Reservation {
    fn is_live(&self, now: UnixMillis) -> bool {
        match self.until {
            Until::Time(end) | Until::Block(_, end) => now < end,
            Until::Included => true,
        }
    }

    fn counts_at(&self, block: u64) -> bool {
        match self.until {
            Until::Time(_) | Until::Included => true,
            Until::Block(included, _) => block < included,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use h402_core::Network;

    const NOW: UnixMillis = UnixMillis(1_000_000);

    fn claimant(key: u8, amount: u128) -> Claimant {
        let payer = Address::Evm(Default::default());
        Claimant {
            payer,
            asset: AssetId { network: Network::Evm(1), address: payer },
            key: PaymentKey::from_bytes([key; 32]),
            amount: Amount::from_atomic(amount),
        }
    }

    fn terms(holder: Holder, block: u64, now: UnixMillis) -> Terms {
        Terms { holder, exclusive: false, block, now, hold: Duration::from_secs(60), max_open: 3 }
    }

    fn reserved(reservations: &Reservations, of: Claimant, holder: Holder, block: u64, now: UnixMillis) -> Result<Amount, Reject> {
        reservations.decide(of, terms(holder, block, now), Ok)
    }

    /// T024: each open payment counts against the next, and its own repetition does not.
    #[test]
    fn t024_open_payments_add_up() {
        let reservations = Reservations::default();
        assert_eq!(reserved(&reservations, claimant(1, 10), Holder::Nobody, 1, NOW), Ok(Amount::ZERO));
        assert_eq!(reserved(&reservations, claimant(1, 10), Holder::Settlement, 1, NOW), Ok(Amount::ZERO));
        assert_eq!(reserved(&reservations, claimant(2, 5), Holder::Nobody, 1, NOW), Ok(Amount::from_atomic(10)));
        assert_eq!(reserved(&reservations, claimant(3, 1), Holder::Nobody, 1, NOW), Ok(Amount::from_atomic(15)));
        assert_eq!(reserved(&reservations, claimant(4, 1), Holder::Nobody, 1, NOW), Err(Reject::TooManyOpen));
    }

    #[test]
    fn a_verify_lapses_and_a_settlement_does_not() {
        let reservations = Reservations::default();
        let later = NOW.plus(Duration::from_secs(61));
        assert!(reserved(&reservations, claimant(1, 10), Holder::Nobody, 1, NOW).is_ok());
        assert!(reserved(&reservations, claimant(2, 7), Holder::Settlement, 1, NOW).is_ok());
        assert_eq!(reserved(&reservations, claimant(3, 1), Holder::Nobody, 1, later), Ok(Amount::from_atomic(7)));
    }

    #[test]
    fn an_included_settlement_counts_only_for_older_reads() {
        let reservations = Reservations::default();
        let of = claimant(1, 10);
        assert!(reserved(&reservations, of, Holder::Settlement, 5, NOW).is_ok());
        reservations.included(of.payer, of.asset, &of.key, 7, NOW);
        assert_eq!(reserved(&reservations, claimant(2, 1), Holder::Nobody, 6, NOW), Ok(Amount::from_atomic(10)));
        assert_eq!(reserved(&reservations, claimant(3, 1), Holder::Nobody, 7, NOW), Ok(Amount::from_atomic(1)));
    }

    #[test]
    fn callers_without_a_key_exclude_each_other() {
        let reservations = Reservations::default();
        let exclusive = |holder, now| {
            let terms = Terms { exclusive: holder == Holder::Nobody, ..terms(holder, 1, now) };
            reservations.decide(claimant(1, 10), terms, |_| Ok::<(), Reject>(()))
        };
        assert_eq!(exclusive(Holder::Nobody, NOW), Ok(()));
        assert_eq!(exclusive(Holder::Nobody, NOW), Err(Reject::InProgress));
        assert_eq!(exclusive(Holder::Key(CallerKey::from_bytes([1; 32])), NOW), Ok(()), "a keyed caller is not excluded");
        let later = NOW.plus(Duration::from_secs(61));
        assert_eq!(exclusive(Holder::Nobody, later), Ok(()), "a hold lapses");
    }

    #[test]
    fn a_refused_payment_reserves_nothing() {
        let reservations = Reservations::default();
        let refused: Result<(), Reject> =
            reservations.decide(claimant(1, 10), terms(Holder::Nobody, 1, NOW), |_| Err(Reject::AuthorizationUsed));
        assert_eq!(refused, Err(Reject::AuthorizationUsed));
        assert_eq!(reserved(&reservations, claimant(2, 1), Holder::Nobody, 1, NOW), Ok(Amount::ZERO));
    }
}
