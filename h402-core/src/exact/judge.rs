//! What the chain must say before a payment is accepted.

mod evm;
mod solana;
mod solana_facts;

pub(super) use evm::judge as judge_evm;
pub use evm::{EvmFacts, JudgePolicy, ReceiptFacts, SentFacts, Simulation, TransferLog};
pub(super) use solana::judge as judge_solana;
pub use solana::{AllowedExtensions, SolanaPolicy};
pub use solana_facts::{NativeChange, SolanaFacts, SolanaSentFacts, SolanaSimulation, TokenChange};
