//! The JSON-RPC methods.

mod behind;
mod fees;
mod logs;
mod params;
mod render;
mod simulate;
mod submit;

use std::sync::Arc;

use alloy_primitives::{B256, U256, hex};
use serde_json::{Value, json};

use self::params::{At, Params};
use super::{block::Block, chain::Shared, ledger::Ledger};
use crate::{RpcError, serve::Methods};

/// The methods of the chain.
pub(super) struct Rpc(pub(super) Arc<Shared>);

impl Methods for Rpc {
    fn call(&self, method: &str, params: &Value) -> Result<Value, RpcError> {
        let params = Params::new(params)?;
        if method == "eth_sendRawTransaction" {
            return submit::send_raw_transaction(&self.0, &params);
        }
        let ledger = self.0.read();
        let ledger = &*ledger;
        match method {
            "eth_chainId" => Ok(render::quantity(ledger.chain_id)),
            "net_version" => Ok(json!(ledger.chain_id.to_string())),
            "net_listening" => Ok(json!(true)),
            "eth_syncing" => Ok(json!(false)),
            "eth_accounts" => Ok(json!([])),
            "web3_clientVersion" => Ok(json!(concat!("h402-devnet/v", env!("CARGO_PKG_VERSION")))),
            "eth_blockNumber" => Ok(render::quantity(ledger.height())),
            "eth_getBlockByNumber" => {
                let full = params.flag(1)?;
                Ok(match ledger.resolve(&params.at(0)?)? {
                    Place::Block(block) => render::block(block, full),
                    Place::Pending => render::pending_block(ledger),
                    Place::Missing => Value::Null,
                })
            }
            "eth_getBlockByHash" => {
                let full = params.flag(1)?;
                Ok(ledger.block_by_hash(&params.hash(0)?).map_or(Value::Null, |block| render::block(block, full)))
            }
            "eth_getBlockReceipts" => Ok(match ledger.resolve(&params.at(0)?)? {
                Place::Block(block) => (0..block.receipts.len()).map(|index| render::receipt(block, index)).collect(),
                Place::Pending | Place::Missing => Value::Null,
            }),
            "eth_getBlockTransactionCountByNumber" => Ok(match ledger.resolve(&params.at(0)?)? {
                Place::Block(block) => render::quantity(block.transactions.len() as u64),
                Place::Pending | Place::Missing => Value::Null,
            }),
            "eth_getBalance" => {
                let who = params.address(0)?;
                Ok(render::big_quantity(ledger.view(ledger.number(&params.at(1)?)?).account(&who).balance))
            }
            "eth_getCode" => {
                let who = params.address(0)?;
                let code = ledger.view(ledger.number(&params.at(1)?)?).code(&who);
                Ok(json!(hex::encode_prefixed(code.original_byte_slice())))
            }
            "eth_getStorageAt" => {
                let (who, index) = (params.address(0)?, params.word(1)?);
                let value = ledger.view(ledger.number(&params.at(2)?)?).slot(who, index);
                Ok(json!(B256::from(value)))
            }
            "eth_getTransactionCount" => {
                let (who, at) = (params.address(0)?, params.at(1)?);
                let nonce = ledger.view(ledger.number(&at)?).account(&who).nonce;
                Ok(render::quantity(if at == At::Pending { ledger.pool.next_nonce(who, nonce) } else { nonce }))
            }
            "eth_getTransactionByHash" => {
                let hash = params.hash(0)?;
                if let Some((block, index)) = ledger.find(&hash) {
                    return Ok(render::transaction(&block.transactions[index], Some((block, index))));
                }
                Ok(ledger.pool.get(&hash).map_or(Value::Null, |tx| render::transaction(tx, None)))
            }
            "eth_getTransactionReceipt" => Ok(match ledger.find(&params.hash(0)?) {
                Some((block, index)) => render::receipt(block, index),
                None => Value::Null,
            }),
            "eth_getLogs" => logs::get_logs(ledger, &params),
            "eth_gasPrice" => Ok(render::quantity(ledger.next().base_fee.saturating_add(fees::TIP))),
            "eth_maxPriorityFeePerGas" => Ok(render::quantity(fees::TIP)),
            "eth_feeHistory" => fees::fee_history(ledger, &params),
            "eth_call" => simulate::call(ledger, &params),
            "eth_estimateGas" => simulate::estimate_gas(ledger, &params),
            _ => Err(RpcError::new(-32601, format!("the method {method} does not exist/is not available"))),
        }
    }

    fn call_behind(&self, blocks: u64, method: &str, params: &Value) -> Result<Value, RpcError> {
        let newest = self.0.read().height().saturating_sub(blocks);
        match behind::asked(method, params, newest) {
            Some(params) => Ok(behind::seen(self.call(method, &params)?, newest)),
            None => behind::missing(method),
        }
    }
}

/// What a block parameter leads to.
enum Place<'a> {
    Block(&'a Block),
    Pending,
    Missing,
}

impl Ledger {
    fn resolve(&self, at: &At) -> Result<Place<'_>, RpcError> {
        let number = match at {
            At::Pending => return Ok(Place::Pending),
            At::Latest => self.height(),
            At::Earliest => 0,
            At::Final => self.height().saturating_sub(self.finality),
            At::Number(number) => *number,
            At::Hash(hash) => return Ok(self.block_by_hash(hash).map_or(Place::Missing, Place::Block)),
        };
        let block = usize::try_from(number).ok().and_then(|number| self.blocks.get(number));
        Ok(block.map_or(Place::Missing, Place::Block))
    }

    /// The number of the block whose state a parameter asks for.
    fn number(&self, at: &At) -> Result<u64, RpcError> {
        match self.resolve(at)? {
            Place::Block(block) => Ok(block.header.number),
            Place::Pending => Ok(self.height()),
            Place::Missing => Err(RpcError::server("header not found")),
        }
    }

    fn find(&self, hash: &B256) -> Option<(&Block, usize)> {
        let (number, index) = *self.mined.get(hash)?;
        Some((self.blocks.get(number)?, index))
    }
}

/// A number as a word.
fn word(number: u64) -> U256 {
    U256::from(number)
}
