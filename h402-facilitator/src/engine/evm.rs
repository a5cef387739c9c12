//! Settling on EVM chains: a lane of nonces for the facilitator's own key, and a watcher that looks block by block.

pub(super) mod gas;
pub(super) mod landed;
pub(super) mod lane;
pub(super) mod signer;
pub(super) mod watch;
