//! What the chain must say before a payment is accepted.

mod evm;
mod solana;

pub(super) use evm::judge as judge_evm;
pub use evm::{EvmFacts, JudgePolicy, ReceiptFacts, SentFacts, Simulation, TransferLog};
pub use solana::{
    AllowedExtensions, MintFacts, NativeChange, SolanaFacts, SolanaPolicy, SolanaSentFacts, SolanaSimulation, TokenAccountFacts,
    TokenChange, TokenExtension,
};
