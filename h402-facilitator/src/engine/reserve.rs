//! What open payments have promised of their payers' balances, in this process's memory.
//!
//! A verify reserves for a minute; a settlement until its transfer shows in the balance that is read. One
//! process works on one ledger, so memory suffices; what a payer's open payments promise is read from the ledger when the
//! payer is met, and kept up from then on.

use super::verify::is_sent_kind;
use crate::chaos::sabotaged;
use h402_core::{Address, Amount, AssetId, CallerKey, PaymentKey, PaymentRow, Reject, Settlement, UnixMillis};
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// How long a settled payment is remembered: longer than any read of an older block can take.
const AFTER_INCLUSION: Duration = Duration::from_secs(120);

#[derive(Debug, Default)]
pub(super) struct Reservations(Mutex<HashMap<(Address, AssetId), Promises>>);

/// What a payer has promised in one asset.
#[derive(Debug, Default)]
struct Promises {
    by_payment: HashMap<PaymentKey, Reservation>,
    /// Whether what the ledger has of it is in here.
    known: bool,
    /// Counts what became of its settlements before it was known: what was read of the ledger meanwhile may be older.
    missed: u64,
    /// How many are about to decide by it: as long it stays.
    awaited: u32,
}

/// Somebody who is about to decide by what a payer has promised.
pub(super) struct Awaited<'a> {
    reservations: &'a Reservations,
    of: (Address, AssetId),
}

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
        let mut all = self.all();
        let open = &mut all.entry((claimant.payer, claimant.asset)).or_default().by_payment;
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

    /// Keeps what is known of a payer until the answer is dropped, which comes before it decides.
    pub(super) fn await_for(&self, payer: Address, asset: AssetId) -> Awaited<'_> {
        let mut all = self.all();
        let promises = all.entry((payer, asset)).or_default();
        promises.awaited = promises.awaited.saturating_add(1);
        Awaited { reservations: self, of: (payer, asset) }
    }

    /// Whether this very payment is held: whoever verified it here found it unspent.
    pub(super) fn holds(&self, claimant: &Claimant, now: UnixMillis) -> bool {
        let all = self.all();
        let held = all.get(&(claimant.payer, claimant.asset)).and_then(|open| open.by_payment.get(&claimant.key));
        held.is_some_and(|reservation| reservation.is_live(now))
    }

    /// The settlement's block is gone: its money is promised again.
    pub(super) fn settling(&self, claimant: Claimant) {
        let reservation = Reservation { amount: claimant.amount, until: Until::Included, holder: Holder::Settlement };
        self.change(claimant.payer, claimant.asset, |open| open.insert(claimant.key, reservation));
    }

    /// The settlement is in a block: balances read there or later show it.
    pub(super) fn included(&self, payer: Address, asset: AssetId, key: &PaymentKey, block: u64, now: UnixMillis) {
        self.change(payer, asset, |open| {
            if let Some(reservation) = open.get_mut(key) {
                reservation.until = Until::Block(block, now.plus(AFTER_INCLUSION));
            }
        });
    }

    /// Nothing will be transferred.
    pub(super) fn release(&self, payer: Address, asset: AssetId, key: &PaymentKey) {
        self.change(payer, asset, |open| open.remove(key));
    }

    /// Forgets what has lapsed.
    pub(super) fn sweep(&self, now: UnixMillis) {
        self.all().retain(|_, promises| {
            promises.by_payment.retain(|_, reservation| reservation.is_live(now));
            !promises.is_idle()
        });
    }

    /// Follows what the ledger has stored of a payer's settlement. Of a payer that is not known nothing is noted: it is read
    /// when it is met.
    fn change<T>(&self, payer: Address, asset: AssetId, change: impl FnOnce(&mut HashMap<PaymentKey, Reservation>) -> T) {
        let mut all = self.all();
        let Some(promises) = all.get_mut(&(payer, asset)) else { return };
        if !promises.known {
            promises.missed = promises.missed.saturating_add(1);
        }
        change(&mut promises.by_payment);
        if promises.is_idle() {
            all.remove(&(payer, asset));
        }
    }

    fn all(&self) -> MutexGuard<'_, HashMap<(Address, AssetId), Promises>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Promises {
    fn is_idle(&self) -> bool {
        self.by_payment.is_empty() && self.awaited == 0
    }
}

impl Awaited<'_> {
    /// None if the payer is known. Else its open payments are to be read from the ledger after this, and given to
    /// [`Awaited::learn`] together with what is answered here.
    pub(super) fn unknown(&self) -> Option<u64> {
        let all = self.reservations.all();
        let promises = all.get(&self.of);
        if promises.is_some_and(|promises| promises.known) { None } else { Some(promises.map_or(0, |promises| promises.missed)) }
    }

    /// Enters what the ledger has of the payer, unless one of its settlements has changed since it was asked for: then it is
    /// still unknown.
    pub(super) fn learn(&self, missed: u64, rows: &[PaymentRow], now: UnixMillis) {
        let mut all = self.reservations.all();
        let promises = all.entry(self.of).or_default();
        if promises.known || promises.missed != missed {
            return;
        }
        promises.known = true;
        for row in rows {
            let until = match row.state {
                Settlement::Included { block, .. } => Until::Block(block.number, now.plus(AFTER_INCLUSION)),
                state if !state.is_decided() && !is_sent_kind(row.kind) => Until::Included,
                _ => continue,
            };
            promises.by_payment.insert(row.key, Reservation { amount: row.amount, until, holder: Holder::Settlement });
        }
    }
}

impl Drop for Awaited<'_> {
    fn drop(&mut self) {
        let mut all = self.reservations.all();
        let Some(promises) = all.get_mut(&self.of) else { return };
        promises.awaited = promises.awaited.saturating_sub(1);
        if promises.is_idle() {
            all.remove(&self.of);
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

    fn row(key: u8, amount: u128, state: Settlement) -> PaymentRow {
        let Claimant { payer, asset, key, amount } = claimant(key, amount);
        PaymentRow {
            key,
            asset,
            payer,
            pay_to: payer,
            amount,
            kind: h402_core::PaymentKind::Authorization,
            nonce: None,
            caller: None,
            state,
            answer: None,
            expires: None,
            last_block_height: None,
            raw: None,
            claimed_at: NOW,
            updated_at: NOW,
            version: 1,
        }
    }

    /// What the ledger has of a payer counts from when the payer is met; once known it is not read again, and forgotten when
    /// nothing is left of it.
    #[test]
    fn what_the_ledger_has_of_a_payer_counts() {
        let reservations = Reservations::default();
        let of = claimant(9, 1);
        let transaction = h402_core::TransactionId::Evm(Default::default());
        let block = h402_core::BlockRef { number: 7, hash: Default::default() };
        let rows = [
            row(1, 10, Settlement::Claimed),
            row(2, 20, Settlement::Included { transaction, block }),
            row(3, 40, Settlement::Reverted { transaction, block }),
            PaymentRow { kind: h402_core::PaymentKind::EvmSent, ..row(4, 80, Settlement::Broadcast { transaction }) },
        ];
        let kept = reservations.await_for(of.payer, of.asset);
        kept.learn(kept.unknown().unwrap(), &rows, NOW);
        assert_eq!(kept.unknown(), None);
        assert_eq!(reserved(&reservations, of, Holder::Nobody, 6, NOW), Ok(Amount::from_atomic(30)));
        assert_eq!(reserved(&reservations, of, Holder::Nobody, 7, NOW), Ok(Amount::from_atomic(10)), "the balance shows it");
        drop(kept);
        reservations.release(of.payer, of.asset, &claimant(1, 10).key);
        reservations.sweep(NOW.plus(Duration::from_secs(200)));
        assert!(reservations.0.lock().unwrap().is_empty());
    }

    /// A settlement that ends between the reading of the ledger and its entering is not entered as open: the ledger is read again.
    #[test]
    fn what_was_read_before_a_change_is_not_believed() {
        let reservations = Reservations::default();
        let (of, ended) = (claimant(9, 1), claimant(1, 10));
        let kept = reservations.await_for(of.payer, of.asset);
        let missed = kept.unknown().unwrap();
        let old = [row(1, 10, Settlement::Claimed)];
        reservations.release(ended.payer, ended.asset, &ended.key);
        kept.learn(missed, &old, NOW);
        let missed = kept.unknown().expect("still unknown");
        kept.learn(missed, &[], NOW);
        assert_eq!(reserved(&reservations, of, Holder::Nobody, 1, NOW), Ok(Amount::ZERO));
        // The honest twin: nothing changed meanwhile.
        let reservations = Reservations::default();
        let kept = reservations.await_for(of.payer, of.asset);
        kept.learn(kept.unknown().unwrap(), &old, NOW);
        assert_eq!(reserved(&reservations, of, Holder::Nobody, 1, NOW), Ok(Amount::from_atomic(10)));
    }
}
