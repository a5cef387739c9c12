//! What a Solana cluster shows of the payments that have become final.

use super::{
    super::{Shared, solana::SolanaEngine},
    Found, Suspects, Tied,
};
use h402_core::{
    Address, Amount, Clock, Movement, Reconciled, ShownTransaction, SolanaAddress, SolanaSentFacts, Store, TransactionId, Undecided,
};

impl<S: Store, C: Clock> Shared<S, C> {
    pub(super) async fn compare_solana(&self, solana: &SolanaEngine, was: Reconciled, suspects: &mut Suspects) -> Result<Found, Undecided> {
        let page = self.new_finals(solana.payments.network(), &was).await?;
        let mut tied = Vec::new();
        for row in &page {
            let Some(id @ TransactionId::Solana(signature)) = row.state.transaction() else { continue };
            let facts = solana.config.chain.transaction(&signature).await?;
            let shown =
                facts.map(|facts| ShownTransaction { id, ours: false, known: true, movements: movements(&facts), payments: Vec::new() });
            tied.push(Tied { shown, rows: vec![row.clone()] });
        }
        let row = page.last().map(|row| (row.updated_at, row.key)).or(was.row);
        Ok(self.judge_pass(tied, was, Reconciled { block: was.block, row }, page.len(), suspects))
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
