//! Comparing the configuration with the cluster, before anything is taken.

use super::{
    SolanaChain, account,
    answer::{Answered, InBase64, WireAccount},
};
use crate::{StartError, rpc::Call};
use h402_core::{AllowedExtensions, Asset, SolanaAddress, TokenProgram, Undecided};
use std::sync::Arc;

/// Accounts that nodes take in one call.
const PER_CALL: usize = 100;

impl SolanaChain {
    /// Compares the configuration with the cluster: its genesis hash, and of each token of this network its program, its
    /// decimals and its extensions. One HTTP request for up to 100 tokens.
    ///
    /// # Errors
    /// [`StartError::Mismatch`] with the first difference; [`StartError::Unreachable`] if the node did not answer
    /// for everything.
    pub async fn check(&self, assets: &[Arc<Asset>], allowed: &AllowedExtensions) -> Result<(), StartError> {
        let tokens: Vec<(&Asset, SolanaAddress, TokenProgram)> = assets
            .iter()
            .filter(|asset| asset.id.network == self.network())
            .filter_map(|asset| Some((&**asset, asset.id.address.solana()?, asset.token_program?)))
            .collect();
        let calls = tokens.chunks(PER_CALL).map(|chunk| {
            let mints: Vec<String> = chunk.iter().map(|(_, mint, _)| mint.to_string()).collect();
            Call::new("getMultipleAccounts", &(mints, InBase64::CONFIRMED))
        });
        let (answers, answerer) = match self.inner.ask(calls).await {
            Ok(answered) => answered,
            Err(Undecided::WrongChain) => {
                return Err(mismatch(format!("the node is not of the cluster with genesis hash {}…", self.inner.genesis.as_str())));
            }
            Err(_) => return Err(StartError::Unreachable),
        };
        for (chunk, answer) in tokens.chunks(PER_CALL).zip(answers) {
            let accounts: Result<Answered<Vec<Option<WireAccount>>>, _> = self.inner.read_answer(Some(answer), answerer);
            let accounts = accounts.map_err(|_| StartError::Unreachable)?.value;
            if accounts.len() != chunk.len() {
                return Err(StartError::Unreachable);
            }
            for ((asset, mint, program), found) in chunk.iter().zip(accounts) {
                compare(asset, mint, *program, found.as_ref(), allowed)?;
            }
        }
        Ok(())
    }
}

fn compare(
    asset: &Asset,
    address: &SolanaAddress,
    program: TokenProgram,
    found: Option<&WireAccount>,
    allowed: &AllowedExtensions,
) -> Result<(), StartError> {
    let symbol = &asset.symbol;
    let Some(mint) = found.and_then(account::mint) else {
        return Err(mismatch(format!("no mint at {address}, where {symbol} should be")));
    };
    if mint.program != program {
        return Err(mismatch(format!("{symbol} at {address} is of the other token program")));
    }
    if mint.decimals != asset.decimals {
        return Err(mismatch(format!("{symbol} at {address} has {} decimals, not {}", mint.decimals, asset.decimals)));
    }
    for extension in &mint.extensions {
        if let Some(name) = allowed.refuses(extension) {
            return Err(mismatch(format!("{symbol} at {address} has an extension that is not allowed: {name}")));
        }
    }
    Ok(())
}

fn mismatch(what: String) -> StartError {
    StartError::Mismatch { what }
}
