//! `eth_feeHistory`.

use alloy_consensus::Transaction as _;
use serde_json::{Value, json};

use super::{
    params::{Params, small},
    render,
    simulate::used_ratio,
};
use crate::{
    RpcError,
    evm::{block::Block, ledger::Ledger},
};

/// The tip that the chain suggests, in wei.
pub(super) const TIP: u64 = 1_000_000;

pub(super) fn fee_history(ledger: &Ledger, params: &Params<'_>) -> Result<Value, RpcError> {
    let count = params
        .get(0)
        .and_then(|count| small(count).or_else(|| count.as_u64()))
        .ok_or_else(|| RpcError::params("invalid argument 0: not a count of blocks"))?;
    let newest = ledger.number(&params.at(1)?)?;
    let percentiles = match params.get(2) {
        None => None,
        Some(Value::Array(list)) => Some(percents(list)?),
        Some(_) => return Err(RpcError::params("invalid argument 2: not a list of percentiles")),
    };
    let count = count.min(1024).min(newest + 1);
    let oldest = newest + 1 - count;
    let blocks = if count == 0 { &[] } else { ledger.range(oldest, newest) };
    let mut base_fees: Vec<u64> = blocks.iter().filter_map(|block| block.header.base_fee_per_gas).collect();
    if !blocks.is_empty() {
        let next = ledger.range(newest + 1, newest + 1).first();
        base_fees.push(next.map_or_else(|| ledger.next().base_fee, |next| next.header.base_fee_per_gas.unwrap_or_default()));
    }
    let used: Value = blocks.iter().map(|block| used_ratio(block.header.gas_used, block.header.gas_limit)).collect();
    let mut history = json!({
        "oldestBlock": render::quantity(oldest),
        "baseFeePerGas": base_fees.into_iter().map(render::quantity).collect::<Value>(),
        "gasUsedRatio": used,
    });
    if let Some(percentiles) = percentiles {
        history["reward"] = blocks.iter().map(|block| rewards(block, &percentiles)).collect();
    }
    Ok(history)
}

/// Percentiles in hundredths of a percent.
fn percents(list: &[Value]) -> Result<Vec<u64>, RpcError> {
    list.iter()
        .map(|value| {
            let percent = value.as_f64().filter(|percent| (0.0..=100.0).contains(percent));
            #[expect(clippy::float_arithmetic, reason = "the wire format has floats here")]
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 10,000")]
            let hundredths = percent.map(|percent| (percent * 100.0) as u64);
            hundredths.ok_or_else(|| RpcError::params("invalid reward percentile"))
        })
        .collect()
}

/// The tips at the percentiles of a block's gas.
fn rewards(block: &Block, percentiles: &[u64]) -> Value {
    let base_fee = block.header.base_fee_per_gas.unwrap_or_default();
    let mut tips: Vec<(u128, u64)> = block
        .transactions
        .iter()
        .zip(&block.receipts)
        .map(|(tx, receipt)| (tx.envelope.effective_tip_per_gas(base_fee).unwrap_or_default(), receipt.gas_used))
        .collect();
    tips.sort_unstable();
    percentiles
        .iter()
        .map(|hundredths| {
            let threshold = block.header.gas_used.saturating_mul(*hundredths) / 10_000;
            let mut sum = 0;
            let tip = tips.iter().find(|(_, gas)| {
                sum += gas;
                sum >= threshold
            });
            let tip = tip.or(tips.last()).map_or(0, |(tip, _)| *tip);
            json!(format!("{tip:#x}"))
        })
        .collect()
}
