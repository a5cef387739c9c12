//! A chain of the Ethereum kind over revm.
//!
//! ```no_run
//! # async fn example() -> Result<(), h402_devnet::evm::Error> {
//! use h402_devnet::evm::{BlockTime, Chain, TokenKind, account};
//!
//! let chain = Chain::builder().chain_id(84532).block_time(BlockTime::Auto).start().await?;
//! println!("{} has USDC at {}", chain.url(), chain.usdc());
//! let token = chain.deploy(TokenKind::Fee)?;
//! chain.mint(token, account(0).address, alloy_primitives::U256::from(1_000_000))?;
//! # Ok(()) }
//! ```

mod account;
mod block;
mod builder;
mod chain;
mod contracts;
mod edit;
mod execute;
mod ledger;
mod pool;
mod rpc;
mod seal;
mod state;
mod wallets;

pub use crate::{BlockTime, Orphans};
pub use account::{Account, account, accounts};
pub use block::{BlockSummary, Outcome, Transfer};
pub use builder::Builder;
pub use chain::{Chain, Error};
pub use contracts::{MULTICALL3, TokenKind, USDC_BASE_SEPOLIA, multicall3, permit2_contracts};
pub use wallets::{Contract, Trap};
