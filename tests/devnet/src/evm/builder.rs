//! Settings of a chain, and its genesis.

use std::sync::{Arc, RwLock};

use alloy_primitives::{Address, U256};
use alloy_sol_types::SolCall;
use tokio::sync::watch;

use super::{
    account::accounts,
    chain::{Chain, Error, Shared},
    contracts::{self, MULTICALL3, Token, TokenKind},
    edit::Edit,
    ledger::Ledger,
    rpc::Rpc,
};
use crate::{BlockTime, blocks, fault::Faults, serve::Running};

/// The settings of a chain that is to be started.
#[derive(Clone, Debug)]
pub struct Builder {
    chain_id: u64,
    block_time: BlockTime,
    port: u16,
    gas_limit: u64,
    base_fee: u64,
    finality: u64,
    token: Option<TokenKind>,
    token_address: Option<Address>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            chain_id: 84532,
            block_time: BlockTime::Auto,
            port: 0,
            gas_limit: 30_000_000,
            base_fee: 1_000_000_000,
            finality: 64,
            token: None,
            token_address: None,
        }
    }
}

impl Builder {
    /// Sets the chain id; 84532 by default.
    #[must_use]
    pub fn chain_id(mut self, chain_id: u64) -> Self {
        self.chain_id = chain_id;
        self
    }

    /// Sets when blocks are made; on demand by default.
    #[must_use]
    pub fn block_time(mut self, block_time: BlockTime) -> Self {
        self.block_time = block_time;
        self
    }

    /// Sets the port on 127.0.0.1; a free one by default.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Sets the gas limit of each block; 30 million by default.
    #[must_use]
    pub fn gas_limit(mut self, gas_limit: u64) -> Self {
        self.gas_limit = gas_limit;
        self
    }

    /// Sets the base fee of the genesis block in wei; 1 gwei by default.
    #[must_use]
    pub fn base_fee(mut self, base_fee: u64) -> Self {
        self.base_fee = base_fee;
        self
    }

    /// Sets how many blocks the tags `safe` and `finalized` are behind the newest; 64 by default.
    #[must_use]
    pub fn finality(mut self, blocks: u64) -> Self {
        self.finality = blocks;
        self
    }

    /// Sets the token that is there from genesis; one that behaves as USDC by default.
    #[must_use]
    pub fn token(mut self, token: TokenKind) -> Self {
        self.token = Some(token);
        self
    }

    /// Sets where that token is; on Base and Base Sepolia by default where USDC is.
    #[must_use]
    pub fn token_address(mut self, address: Address) -> Self {
        self.token_address = Some(address);
        self
    }

    /// Makes the genesis state and serves the chain from a thread of its own.
    pub async fn start(self) -> Result<Chain, Error> {
        let (usual_address, usual_name) = contracts::genesis_token(self.chain_id);
        let usdc = self.token_address.unwrap_or(usual_address);
        let token = self.token.clone().unwrap_or_else(|| TokenKind::usdc(usual_name));
        let mut ledger = Ledger::new(self.chain_id, self.gas_limit, self.base_fee, self.finality, self.block_time);
        fill_genesis(&mut ledger, usdc, &token)?;
        let shared = Arc::new(Shared { ledger: RwLock::new(ledger), mode: watch::Sender::new(self.block_time) });
        let faults = Faults::default();
        let miner = shared.clone();
        let blocks = blocks::make(shared.mode.subscribe(), move || {
            miner.write().mine();
        });
        let running = Running::start(self.port, Arc::new(Rpc(shared.clone())), faults.clone(), blocks).await?;
        Ok(Chain::new(shared, faults, running, usdc, token))
    }
}

fn fill_genesis(ledger: &mut Ledger, usdc: Address, token: &TokenKind) -> Result<(), Error> {
    for account in accounts() {
        ledger.edit(Edit::Balance(account.address, U256::from(10_000) * U256::from(10).pow(U256::from(18))))?;
    }
    ledger.edit(Edit::Code(MULTICALL3, contracts::multicall3()?))?;
    for (address, code) in contracts::permit2_contracts()? {
        ledger.edit(Edit::Code(address, code))?;
    }
    ledger.edit(Edit::Place(token.init_code()?, usdc))?;
    for account in &accounts()[..9] {
        let mint = Token::mintCall { to: account.address, amount: U256::from(1_000_000_000_000_u64) };
        ledger.edit(Edit::Call(usdc, mint.abi_encode().into()))?;
    }
    Ok(())
}
