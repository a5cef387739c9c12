//! Solana: transactions decoded and built, accounts derived, keys.

mod account;
mod hints;
mod instruction;
mod key;
mod message;
mod payment;
pub mod program;
mod reject;
mod sign;
mod token;
mod transaction;
mod transfer;

pub use account::associated_token_account;
pub use hints::SolanaHints;
pub use key::{BadSolanaKey, SolanaKey};
pub use message::{MessageVersion, SolanaInstruction, SolanaMessage};
pub use payment::SolanaPayment;
pub use reject::SolanaReject;
pub use sign::{SolanaSignError, SolanaTerms, cosign, sign_payment};
pub use token::{MintFacts, TokenAccountFacts, TokenExtension};
pub use transaction::SolanaTransaction;
pub(crate) use transfer::{Found, find as find_transfer};
