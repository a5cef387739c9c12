//! Solana: transactions decoded and built, accounts derived, keys.

mod account;
mod hints;
mod key;
mod message;
mod payment;
pub mod program;
mod reject;
mod transaction;

pub use account::associated_token_account;
pub use hints::SolanaHints;
pub use key::{BadSolanaKey, SolanaKey};
pub use message::{MessageVersion, SolanaInstruction, SolanaMessage};
pub use payment::SolanaPayment;
pub use reject::SolanaReject;
pub use transaction::SolanaTransaction;
