//! Whether a transaction shows a payment: the payment's own events must be in its receipt, and each pays once.

use super::{super::Shared, EvmEngine};
use crate::chaos::sabotaged;
use alloy_primitives::B256;
use h402_core::{Amount, Clock, EvmAddress, Network, PaymentId, PaymentKind, PaymentRow, ReceiptFacts, Store, Undecided};

impl<S: Store, C: Clock> Shared<S, C> {
    /// Whether a receipt shows a payment. Its status alone proves nothing (T061), and a `Transfer` is counted for one
    /// payment only: of two authorizations over equal amounts, a token that moved one has paid one.
    ///
    /// # Errors
    /// [`Undecided::Store`] if it is not known which of several payments in the transaction are ours.
    pub(super) async fn shows(&self, evm: &EvmEngine, row: &PaymentRow, receipt: &ReceiptFacts) -> Result<bool, Undecided> {
        let (Some(token), Some(from), Some(to)) = (row.asset.address.evm(), row.payer.evm(), row.pay_to.evm()) else {
            return Ok(false);
        };
        if sabotaged("receipt.status") {
            return Ok(receipt.success);
        }
        if !receipt.success {
            return Ok(false);
        }
        let nonce = match (row.kind, row.nonce) {
            (PaymentKind::Authorization, Some(nonce)) => B256::from(nonce),
            // Ours carry one such payment each, and whose of others it is was read in its call. More than one `Transfer` it cannot be.
            (PaymentKind::Permit2, _) => return Ok(receipt.shows_transfer(token, from, to, row.amount)),
            (PaymentKind::Authorization, None) | (PaymentKind::SolanaTransaction | PaymentKind::SolanaSent, _) => return Ok(false),
            // Value and recipient of a native transfer were checked in the signed bytes.
            (PaymentKind::EvmTransaction | PaymentKind::EvmSent, _) if row.asset.address.is_zero() => return Ok(true),
            (PaymentKind::EvmTransaction | PaymentKind::EvmSent, _) => return Ok(receipt.shows_transfer(token, from, to, row.amount)),
        };
        if !receipt.authorizations.contains(&(token, from, nonce)) {
            return Ok(false);
        }
        let moved: Vec<Amount> =
            receipt.transfers.iter().filter(|log| (log.token, log.from, log.to) == (token, from, to)).map(|log| log.amount).collect();
        let used = receipt.authorizations.iter().filter(|(of, by, _)| (*of, *by) == (token, from));
        let mut due = Vec::new();
        for (_, _, nonce) in used {
            let amount = if Some(nonce.0) == row.nonce { Some(row.amount) } else { self.due(evm, row, token, from, *nonce).await? };
            due.extend(amount.map(|amount| (*nonce, amount)));
        }
        Ok(paid(moved, due).contains(&nonce))
    }

    /// What another authorization of the same payer owes the same payee, if it is a payment of ours.
    async fn due(
        &self,
        evm: &EvmEngine,
        row: &PaymentRow,
        token: EvmAddress,
        from: EvmAddress,
        nonce: B256,
    ) -> Result<Option<Amount>, Undecided> {
        let Network::Evm(chain) = evm.network() else { return Err(Undecided::WrongChain) };
        let key = PaymentId::Eip3009 { chain, token, from, nonce }.key();
        let other = match evm.payments.find(&key) {
            Some(open) => Some(open.news.borrow().clone()),
            None => self.store.payment(&key).await?,
        };
        Ok(other.filter(|other| other.pay_to == row.pay_to).map(|other| other.amount))
    }
}

/// Which authorizations are paid by these transfers, each transfer used for one of them. The greatest come first, and take
/// the least that is enough; of equal ones the first in the receipt.
fn paid(mut moved: Vec<Amount>, mut due: Vec<(B256, Amount)>) -> Vec<B256> {
    moved.sort_unstable();
    due.sort_by(|(_, one), (_, other)| other.cmp(one));
    let mut paid = Vec::with_capacity(due.len());
    for (nonce, amount) in due {
        if let Some(enough) = moved.iter().position(|moved| *moved >= amount) {
            if !sabotaged("transfer.twice") {
                moved.remove(enough);
            }
            paid.push(nonce);
        }
    }
    paid
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A transfer pays one authorization, and the first of equals has it, whoever asks.
    #[test]
    fn a_transfer_log_is_counted_once() {
        let nonce = B256::repeat_byte;
        let amounts = |amounts: &[u128]| amounts.iter().map(|amount| Amount::from_atomic(*amount)).collect::<Vec<_>>();
        let due = |due: &[(u8, u128)]| due.iter().map(|(byte, amount)| (nonce(*byte), Amount::from_atomic(*amount))).collect::<Vec<_>>();
        type Case = (&'static [u128], &'static [(u8, u128)], &'static [u8]);
        let cases: [Case; 7] = [
            (&[5, 5], &[(1, 5), (2, 5)], &[1, 2]),
            (&[5], &[(2, 5), (1, 5)], &[2]),
            (&[5], &[(1, 3), (2, 5)], &[2]),
            (&[5, 3], &[(1, 3), (2, 5)], &[2, 1]),
            (&[3, 5], &[(1, 4)], &[1]),
            (&[4], &[(1, 5)], &[]),
            (&[], &[(1, 1)], &[]),
        ];
        for (moved, owed, want) in cases {
            let want: Vec<B256> = want.iter().map(|byte| nonce(*byte)).collect();
            assert_eq!(paid(amounts(moved), due(owed)), want, "{moved:?} for {owed:?}");
        }
    }
}
