//! What every store must do. Run these on yours: they panic with the name of what is broken.
//!
//! `make` gives a new, empty store each time. Run them on a runtime of several threads.

mod ended;
mod fixture;
mod grants;
mod holds;
mod lease;
mod reconciled;
mod store;

pub use grants::{grants_answers_expire, grants_contract, grants_survive};
pub use store::{a_claim, store_contract, store_survives};
