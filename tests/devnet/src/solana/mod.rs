//! A chain of the Solana kind: LiteSVM with the real token programs.
//!
//! LiteSVM runs transactions; slots, the window of live blockhashes, commitment, forks and what a node remembers are made here.
//!
//! ```no_run
//! # async fn example() -> Result<(), h402_devnet::solana::Error> {
//! use h402_devnet::solana::{MintConfig, Signer, SolanaChain, SolanaConfig, account};
//!
//! let chain = SolanaChain::start(SolanaConfig::default()).await?;
//! println!("{} has USDC at {}", chain.url(), chain.usdc());
//! let mint = chain.create_mint(MintConfig::token_2022().transfer_fee(100, 5_000))?;
//! chain.mint_to(account(0).pubkey(), mint, 1_000_000)?;
//! # Ok(()) }
//! ```

mod account;
mod chain;
mod config;
mod edit;
mod execute;
mod ledger;
mod mint;
mod pool;
mod rpc;
mod sysvars;
mod tokens;

pub use account::{account, accounts};
pub use chain::{Error, SolanaChain};
pub use config::SolanaConfig;
pub use ledger::Outcome;
pub use mint::{MintConfig, Program};
pub use pool::Delivery;
pub use {
    crate::{BlockTime, Orphans},
    solana_account::Account,
    solana_hash::Hash,
    solana_keypair::Keypair,
    solana_pubkey::Pubkey,
    solana_signature::Signature,
    solana_signer::Signer,
};
