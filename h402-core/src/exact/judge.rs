//! What the chain must say before a payment is accepted.

mod evm;
mod solana;
mod solana_facts;

pub use evm::{EvmFacts, JudgePolicy, Permit2Facts, ReceiptFacts, SentFacts, Simulation, TransferLog};
pub(super) use evm::{enough, judge as judge_evm, simulated};
pub(super) use solana::judge as judge_solana;
pub use solana::{AllowedExtensions, SolanaPolicy};
pub use solana_facts::{NativeChange, SolanaFacts, SolanaSentFacts, SolanaSimulation, TokenChange};
