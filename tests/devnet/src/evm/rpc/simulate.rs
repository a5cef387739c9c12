//! `eth_call` and `eth_estimateGas`.

use alloy_primitives::{Address, Bytes, TxKind, U256};
use revm::context::{
    TxEnv,
    result::{ExecutionResult, HaltReason},
};
use serde_json::{Value, json};

use super::{
    Place,
    params::{At, Params, quantity, small, text},
    render, word,
};
use crate::{
    RpcError,
    evm::{
        execute::{self, Checks, Surroundings},
        ledger::Ledger,
    },
};

/// What a call of a contract costs more inside, so that a guess leaves room for it.
const STIPEND: u64 = 2_300;

pub(super) fn call(ledger: &Ledger, params: &Params<'_>) -> Result<Value, RpcError> {
    let (at, number) = place(ledger, &params.at(1)?)?;
    let request = Request::read(params, &at)?;
    let result = request.run(ledger, &at, number, request.gas_limit)?;
    execute::output(result).map(|output| json!(output))
}

pub(super) fn estimate_gas(ledger: &Ledger, params: &Params<'_>) -> Result<Value, RpcError> {
    let (at, number) = place(ledger, &params.at(1)?)?;
    let request = Request::read(params, &at)?;
    let mut most = request.gas_limit.max(21_000);
    if request.gas_price > 0 {
        let balance = ledger.view(number).account(&request.from).balance;
        let Some(spendable) = balance.checked_sub(request.value) else {
            return Err(RpcError::server("insufficient funds for transfer"));
        };
        let affordable = spendable / U256::from(request.gas_price);
        most = most.min(affordable.try_into().unwrap_or(u64::MAX));
    }
    let plain = request.to.is_some_and(|to| ledger.view(number).code(&to).is_empty()) && request.data.is_empty();
    if plain && request.run(ledger, &at, number, 21_000).is_ok_and(|result| result.is_success()) {
        return Ok(render::quantity(21_000));
    }
    // With everything it may have, the call must succeed.
    let result = request.run(ledger, &at, number, most)?;
    let gas = *result.gas();
    match result {
        ExecutionResult::Success { .. } => {}
        ExecutionResult::Halt { reason: HaltReason::OutOfGas(_), .. } => return Err(allowance(most)),
        failed => return execute::output(failed).map(|output| json!(output)),
    }
    // Then the least with which it does: a refund or an inner call can need more than what is used in the end.
    let mut fails = gas.tx_gas_used().saturating_sub(1);
    let mut works = most;
    let guess = (gas.total_gas_spent() + STIPEND).saturating_mul(64) / 63;
    let mut attempt = guess.clamp(fails + 1, works);
    while fails + 1 < works {
        // Within one and a half percent is near enough, as for geth.
        if works - fails <= works * 3 / 200 {
            break;
        }
        match request.run(ledger, &at, number, attempt) {
            Ok(result) if result.is_success() => works = attempt,
            _ => fails = attempt,
        }
        attempt = fails + (works - fails) / 2;
    }
    Ok(render::quantity(works))
}

fn allowance(most: u64) -> RpcError {
    RpcError::server(format!("gas required exceeds allowance ({most})"))
}

/// The surroundings and the state that a block parameter asks for.
fn place(ledger: &Ledger, at: &At) -> Result<(Surroundings, u64), RpcError> {
    match ledger.resolve(at)? {
        Place::Block(block) => Ok((ledger.at(block), block.header.number)),
        Place::Pending => Ok((ledger.next(), ledger.height())),
        Place::Missing => Err(RpcError::server("header not found")),
    }
}

/// A transaction without signature.
struct Request {
    from: Address,
    to: Option<Address>,
    data: Bytes,
    value: U256,
    gas_limit: u64,
    gas_price: u128,
    tip: Option<u128>,
}

impl Request {
    fn read(params: &Params<'_>, at: &Surroundings) -> Result<Self, RpcError> {
        let object = params.object(0)?;
        let field = |name: &str| object.get(name).filter(|value| !value.is_null());
        let bad = |name: &str| RpcError::params(format!("invalid argument 0: {name} is malformed"));
        let number = |name: &str| field(name).map(|value| quantity(value).ok_or_else(|| bad(name))).transpose();
        let address = |name: &str| field(name).map(|value| text(value).ok_or_else(|| bad(name))).transpose();
        let fee =
            |name: &str| -> Result<Option<u128>, RpcError> { number(name)?.map(|fee| fee.try_into().map_err(|_| bad(name))).transpose() };
        let data = match field("input").or_else(|| field("data")) {
            Some(data) => text(data).ok_or_else(|| bad("input"))?,
            None => Bytes::new(),
        };
        let gas = field("gas").map(|gas| small(gas).ok_or_else(|| bad("gas"))).transpose()?;
        let cap = fee("maxFeePerGas")?;
        Ok(Self {
            from: address("from")?.unwrap_or_default(),
            to: address("to")?,
            data,
            value: number("value")?.unwrap_or_default(),
            gas_limit: gas.unwrap_or(at.gas_limit).min(at.gas_limit),
            gas_price: fee("gasPrice")?.or(cap).unwrap_or_default(),
            tip: if cap.is_some() { Some(fee("maxPriorityFeePerGas")?.unwrap_or_default()) } else { None },
        })
    }

    fn run(&self, ledger: &Ledger, at: &Surroundings, number: u64, gas_limit: u64) -> Result<ExecutionResult, RpcError> {
        let view = ledger.view(number);
        if view.account(&self.from).balance < self.value {
            let have = view.account(&self.from).balance;
            return Err(RpcError::server(format!(
                "insufficient funds for gas * price + value: address {} have {have} want {}",
                self.from, self.value,
            )));
        }
        let kind = self.to.map_or(TxKind::Create, TxKind::Call);
        let tx = TxEnv {
            tx_type: if self.tip.is_some() { 2 } else { 0 },
            value: self.value,
            gas_price: self.gas_price,
            gas_priority_fee: self.tip,
            ..execute::call(ledger.chain_id, self.from, kind, self.data.clone(), gas_limit)
        };
        match execute::run(view, at, tx, Checks::Call) {
            Ok(run) => Ok(run.result),
            Err(error) => Err(execute::invalid(&error)),
        }
    }
}

/// The share of a block's gas that it used.
#[expect(clippy::float_arithmetic, reason = "the wire format has a float here")]
pub(super) fn used_ratio(used: u64, limit: u64) -> Value {
    let thousandths = word(used) * word(1_000_000) / word(limit.max(1));
    json!(f64::from(u32::try_from(thousandths).unwrap_or(1_000_000)) / 1_000_000.0)
}
