//! What clients wait for on a websocket: slots, and what becomes of one transaction.

use std::sync::Arc;

use serde_json::{Value, json};
use solana_commitment_config::CommitmentLevel;
use solana_rpc_client_types::config::RpcSignatureSubscribeConfig;

use super::{
    in_context,
    params::{self, Params},
};
use crate::{
    RpcError,
    serve::{Feed, News},
    solana::chain::Shared,
};

pub(super) fn subscribe(shared: &Arc<Shared>, method: &str, params: &Value) -> Result<Feed, RpcError> {
    let params = Params::new(params)?;
    match method {
        "slotSubscribe" => Ok(slots(shared.clone())),
        "signatureSubscribe" => signature(shared.clone(), &params),
        _ => Err(RpcError::new(-32601, "Method not found")),
    }
}

/// Each new slot; one that is told of late stands for those before it.
fn slots(shared: Arc<Shared>) -> Feed {
    let mut told = shared.lock().tip().slot;
    let next = move || {
        let ledger = shared.lock();
        let slot = ledger.tip().slot;
        if slot == told {
            return News::None;
        }
        let parent = std::mem::replace(&mut told, slot);
        News::Some(json!({ "slot": slot, "parent": parent, "root": ledger.newest(CommitmentLevel::Finalized).slot }))
    };
    Feed { method: "slotNotification", next: Box::new(next) }
}

/// One transaction, once, when it is as settled as was asked for.
fn signature(shared: Arc<Shared>, params: &Params<'_>) -> Result<Feed, RpcError> {
    let signature = params::signature(&params.required::<String>(0)?)?;
    let config = params.or_default::<RpcSignatureSubscribeConfig>(1)?;
    if config.enable_received_notification == Some(true) {
        return Err(RpcError::params("enableReceivedNotification is not served here"));
    }
    let level = config.commitment.map_or(CommitmentLevel::Finalized, |config| config.commitment);
    let next = move || {
        let ledger = shared.lock();
        let newest = ledger.newest(level);
        match ledger.landed.get(&signature).filter(|landed| landed.height <= newest.height) {
            Some(landed) => News::Last(in_context(newest, json!({ "err": landed.meta.status.clone().err() }))),
            None => News::None,
        }
    };
    Ok(Feed { method: "signatureNotification", next: Box::new(next) })
}
