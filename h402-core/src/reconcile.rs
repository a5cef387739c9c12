//! Ledger against chain: what a transaction shows, what the ledger says of it, and how the two differ (T159).

use crate::{Address, Amount, Network, PaymentKey, PaymentKind, PaymentRow, TransactionId, UnixMillis, identity};

/// A transaction as its chain shows it, final.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShownTransaction {
    /// Which.
    pub id: TransactionId,
    /// Whether a key of ours has signed it.
    pub ours: bool,
    /// Whether the ledger has it among what keys of ours signed.
    pub known: bool,
    /// What moved in it.
    pub movements: Vec<Movement>,
    /// The payments whose authorizations it has used.
    pub payments: Vec<PaymentKey>,
}

/// An amount that went from one account to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Movement {
    /// Of what; zero for the native coin.
    pub asset: Address,
    /// From whom; none where the chain shows only what the payee has more.
    pub from: Option<Address>,
    /// To whom.
    pub to: Address,
    /// How much, in the smallest unit.
    pub amount: Amount,
}

/// Something that ledger and chain do not say alike.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// How they differ.
    pub kind: DifferenceKind,
    /// The transaction.
    pub transaction: TransactionId,
    /// The payment, if it is one.
    pub payment: Option<PaymentKey>,
    /// Of what, if an amount is concerned.
    pub asset: Option<Address>,
    /// To whom: as the ledger says, or of what the ledger does not know as the chain says.
    pub pay_to: Option<Address>,
    /// How much, likewise.
    pub amount: Option<Amount>,
    /// When it was found.
    pub found_at: UnixMillis,
}

/// How ledger and chain differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DifferenceKind {
    /// A key of ours did something on chain that the ledger does not know.
    Unexplained,
    /// The ledger says settled, and the chain does not show the payment.
    Missing,
    /// The chain shows the payment otherwise than the ledger: another amount, another payee.
    Altered,
    /// The ledger says failed, and its payer was told so; the chain shows the payment, final.
    Refused,
}

impl DifferenceKind {
    /// All kinds, for tests and stores.
    pub const ALL: [Self; 4] = [Self::Unexplained, Self::Missing, Self::Altered, Self::Refused];

    /// The word under which stores keep it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unexplained => "unexplained",
            Self::Missing => "missing",
            Self::Altered => "altered",
            Self::Refused => "refused",
        }
    }

    /// Reads the word.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

impl Difference {
    /// Under which it is stored: the same difference found twice is one.
    #[must_use]
    pub fn id(&self, network: Network) -> [u8; 32] {
        let transaction: &[u8] = match &self.transaction {
            TransactionId::Evm(hash) => hash.as_slice(),
            TransactionId::Solana(signature) => signature,
        };
        let amount = self.amount.map(|amount| amount.to_be_bytes());
        identity::hash(
            "h402-difference-1",
            &[
                self.kind.as_str().as_bytes(),
                network.to_string().as_bytes(),
                transaction,
                self.payment.as_ref().map_or(&[], |payment| payment.as_bytes().as_slice()),
                self.asset.as_ref().map_or(&[], Address::as_bytes),
                self.pay_to.as_ref().map_or(&[], Address::as_bytes),
                amount.as_ref().map_or(&[], <[u8; 32]>::as_slice),
            ],
        )
    }
}

/// Compares one transaction with all rows that the ledger ties to it. Every movement explains one row at most, so equal sets
/// have equal sums; `None` stands for a transaction that the chain does not have.
///
/// Rows that are not decided yet explain what is seen of them, and are not missed: whoever drives them looks for them. Those
/// that have failed are not missed either, and what is seen of them is told.
#[must_use]
pub fn differences(shown: Option<&ShownTransaction>, rows: &[PaymentRow], now: UnixMillis) -> Vec<Difference> {
    let mut left: Vec<Movement> = shown.map(|shown| shown.movements.clone()).unwrap_or_default();
    let mut found = Vec::new();
    let mut altered = Vec::new();
    for row in rows {
        let explains = |movement: &&Movement| {
            movement.asset == row.asset.address && movement.to == row.pay_to && movement.from.is_none_or(|from| from == row.payer)
        };
        // Permit2 logs no nonces: a transaction of ours carries one such payment, and one of others was read when it was taken.
        let used = row.nonce.is_none() || row.kind == PaymentKind::Permit2 || shown.is_some_and(|shown| shown.payments.contains(&row.key));
        // Who signs a whole transaction may pay more than was asked for.
        let pays = |movement: &&Movement| movement.amount == row.amount || (row.nonce.is_none() && movement.amount > row.amount);
        let place = left.iter().position(|movement| used && explains(&movement) && pays(&movement));
        match place {
            Some(place) => {
                left.swap_remove(place);
                if let (Some(shown), true) = (shown, row.state.is_decided() && !row.state.is_settled()) {
                    found.push(of_row(DifferenceKind::Refused, shown.id, row, now));
                }
            }
            None if row.state.is_settled() => altered.push((row, used)),
            None => {}
        }
    }
    // What is left may be a row's own payment with other terms. It is found once, as that row's.
    for (row, used) in altered {
        let payers = |movement: &Movement| movement.asset == row.asset.address && movement.from.is_none_or(|from| from == row.payer);
        let place = left.iter().position(|movement| used && payers(movement));
        let kind = if place.is_some() { DifferenceKind::Altered } else { DifferenceKind::Missing };
        if let Some(place) = place {
            left.swap_remove(place);
        }
        let Some(transaction) = row.state.transaction() else { continue };
        found.push(of_row(kind, transaction, row, now));
    }
    let Some(shown) = shown.filter(|shown| shown.ours) else { return found };
    let bare = Difference {
        kind: DifferenceKind::Unexplained,
        transaction: shown.id,
        payment: None,
        asset: None,
        pay_to: None,
        amount: None,
        found_at: now,
    };
    let unknown = shown.payments.iter().filter(|payment| !rows.iter().any(|row| row.key == **payment));
    found.extend(unknown.map(|payment| Difference { payment: Some(*payment), ..bare.clone() }));
    let moved = |movement: Movement| Difference {
        asset: Some(movement.asset),
        pay_to: Some(movement.to),
        amount: Some(movement.amount),
        ..bare.clone()
    };
    found.extend(left.into_iter().map(moved));
    if !shown.known && found.is_empty() {
        found.push(bare);
    }
    found
}

fn of_row(kind: DifferenceKind, transaction: TransactionId, row: &PaymentRow, now: UnixMillis) -> Difference {
    let (payment, asset, pay_to, amount) = (Some(row.key), Some(row.asset.address), Some(row.pay_to), Some(row.amount));
    Difference { kind, transaction, payment, asset, pay_to, amount, found_at: now }
}

#[cfg(test)]
mod tests;
