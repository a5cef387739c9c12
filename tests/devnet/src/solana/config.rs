//! Settings of a chain, and its genesis.

use std::sync::{Arc, Mutex};

use solana_hash::Hash;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use tokio::sync::watch;

use super::{
    account::accounts,
    chain::{Error, Shared, SolanaChain},
    edit::Edit,
    ledger::Ledger,
    mint::MintConfig,
    rpc::Rpc,
};
use crate::{BlockTime, blocks, fault::Faults, serve::Running};

/// The genesis hash of Solana's devnet.
const DEVNET: Hash = Hash::new_from_array(Pubkey::from_str_const("EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG").to_bytes());
/// Where USDC is on Solana's devnet.
const DEVNET_USDC: Pubkey = Pubkey::from_str_const("4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU");

/// The settings of a chain that is to be started.
#[derive(Clone, Debug)]
pub struct SolanaConfig {
    genesis: Hash,
    slot_time: BlockTime,
    port: u16,
    confirmed_after: u64,
    finalized_after: u64,
    usdc: Pubkey,
}

impl Default for SolanaConfig {
    fn default() -> Self {
        Self { genesis: DEVNET, slot_time: BlockTime::Auto, port: 0, confirmed_after: 1, finalized_after: 32, usdc: DEVNET_USDC }
    }
}

impl SolanaConfig {
    /// Sets the genesis hash; that of Solana's devnet by default.
    #[must_use]
    pub fn genesis_hash(mut self, genesis: Hash) -> Self {
        self.genesis = genesis;
        self
    }

    /// Sets when slots pass, each with a block; by default only when a transaction lands, and then until it is confirmed.
    ///
    /// A hash lives for 150 blocks, whatever time they take.
    #[must_use]
    pub fn slot_time(mut self, slot_time: BlockTime) -> Self {
        self.slot_time = slot_time;
        self
    }

    /// Sets the port on 127.0.0.1; a free one by default.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Sets how many blocks behind the newest one is confirmed; 1 by default.
    #[must_use]
    pub fn confirmed_after(mut self, blocks: u64) -> Self {
        self.confirmed_after = blocks;
        self
    }

    /// Sets how many blocks behind the newest one is finalized; 32 by default.
    #[must_use]
    pub fn finalized_after(mut self, blocks: u64) -> Self {
        self.finalized_after = blocks;
        self
    }

    /// Sets where the token is that is there from genesis; where USDC is on Solana's devnet by default.
    #[must_use]
    pub fn usdc_address(mut self, mint: Pubkey) -> Self {
        self.usdc = mint;
        self
    }

    pub(super) async fn start(self) -> Result<SolanaChain, Error> {
        let mut ledger = Ledger::new(self.genesis, self.slot_time, self.confirmed_after, self.finalized_after);
        fill_genesis(&mut ledger, self.usdc)?;
        let shared = Arc::new(Shared { ledger: Mutex::new(ledger), mode: watch::Sender::new(self.slot_time) });
        let faults = Faults::default();
        let clock = shared.clone();
        let blocks = blocks::make(shared.mode.subscribe(), move || clock.lock().advance(1));
        let running = Running::start(self.port, Arc::new(Rpc::new(shared.clone())), faults.clone(), blocks).await?;
        Ok(SolanaChain::new(shared, faults, running, self.genesis, self.usdc))
    }
}

fn fill_genesis(ledger: &mut Ledger, usdc: Pubkey) -> Result<(), Error> {
    ledger.create_mint(usdc, &MintConfig::token())?;
    let accounts = accounts();
    for account in &accounts {
        ledger.edit(Edit::Lamports(account.pubkey(), 10_000 * 1_000_000_000))?;
    }
    for account in &accounts[..accounts.len() - 1] {
        ledger.mint_to(account.pubkey(), usdc, 1_000_000 * 1_000_000)?;
    }
    Ok(())
}
