//! What a Solana cluster shows: every transaction that our key has signed, and every payment that has become final.

use super::{
    super::{Shared, solana::SolanaEngine},
    Found, Suspects, Tied,
};
use h402_core::{
    Address, Amount, Clock, Movement, Network, PaymentId, PaymentKey, PaymentKind, Reconciled, ShownTransaction, SolanaAddress,
    SolanaSentFacts, Store, TransactionId, Undecided,
};

impl<S: Store, C: Clock> Shared<S, C> {
    pub(super) async fn compare_solana(&self, solana: &SolanaEngine, was: Reconciled, suspects: &mut Suspects) -> Result<Found, Undecided> {
        let (block, mut tied) = match solana.config.sponsor() {
            Some(sponsor) => self.sponsored(solana, sponsor, was.block).await?,
            None => (was.block, Vec::new()),
        };
        let page = self.new_finals(solana.payments.network(), &was).await?;
        let signature = |row: &h402_core::PaymentRow| match row.state.transaction() {
            Some(TransactionId::Solana(signature)) => Some(signature),
            _ => None,
        };
        let (signatures, rows): (Vec<_>, Vec<_>) = page.iter().filter_map(|row| Some((signature(row)?, row.clone()))).unzip();
        let all = solana.config.chain.transactions(&signatures).await?;
        tied.extend(signatures.iter().zip(all).zip(rows).map(|((signature, facts), row)| {
            let id = TransactionId::Solana(*signature);
            let shown =
                facts.map(|facts| ShownTransaction { id, ours: false, known: true, movements: movements(&facts), payments: Vec::new() });
            Tied { shown, rows: vec![row] }
        }));
        let row = page.last().map(|row| (row.updated_at, row.key)).or(was.row);
        Ok(self.judge_pass(tied, was, Reconciled { block, row }, page.len(), suspects))
    }

    /// What the key that pays the fees of others has signed after this slot and the ledger does not know; and the slot up to which
    /// that is all.
    async fn sponsored(
        &self,
        solana: &SolanaEngine,
        sponsor: SolanaAddress,
        after: Option<u64>,
    ) -> Result<(Option<u64>, Vec<Tied>), Undecided> {
        let (chain, network) = (&solana.config.chain, solana.payments.network());
        // Before the first pass nobody knows what the key did.
        let naming = chain.naming(sponsor, after).await?;
        let mut unknown = Vec::new();
        for signature in naming.signatures {
            if !self.has_signed(&PaymentKey::of_transaction(network, &TransactionId::Solana(signature))).await? {
                unknown.push(signature);
            }
        }
        let mut tied = Vec::new();
        for (signature, facts) in unknown.iter().zip(chain.transactions(&unknown).await?) {
            // It was listed just now: a node without it is not to be judged by.
            let facts = facts.ok_or(Undecided::Chain)?;
            let message = &facts.transaction.message;
            // Anybody can name the account, to send something to it for example.
            if !message.signers().contains(&sponsor) {
                continue;
            }
            let Network::Solana(genesis) = network else { continue };
            if self.has_signed(&PaymentId::SolanaMessage { genesis, hash: message.hash() }.key()).await? {
                continue;
            }
            let id = TransactionId::Solana(*signature);
            let shown = ShownTransaction { id, ours: true, known: false, movements: movements(&facts), payments: Vec::new() };
            tied.push(Tied { shown: Some(shown), rows: Vec::new() });
        }
        Ok((after.max(Some(naming.upto)), tied))
    }

    /// Whether the ledger has a payment of this name that was signed here.
    async fn has_signed(&self, name: &PaymentKey) -> Result<bool, Undecided> {
        Ok(self.store.payment(name).await?.is_some_and(|row| row.kind == PaymentKind::SolanaTransaction))
    }
}

/// What each account has more than before.
fn movements(facts: &SolanaSentFacts) -> Vec<Movement> {
    if !facts.success {
        return Vec::new();
    }
    let native = Address::Solana(SolanaAddress::from_bytes([0; 32]));
    let gained = |asset: Address, to: SolanaAddress, before: u64, after: u64| {
        let amount = after.checked_sub(before).filter(|more| *more > 0)?;
        Some(Movement { asset, from: None, to: to.into(), amount: Amount::from_atomic(amount.into()) })
    };
    let tokens = facts.tokens.iter().filter_map(|change| gained(change.mint.into(), change.owner, change.before, change.after));
    tokens.chain(facts.lamports.iter().filter_map(|change| gained(native, change.account, change.before, change.after))).collect()
}
