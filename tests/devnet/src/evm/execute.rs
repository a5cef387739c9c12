//! Runs transactions on a view of the state.

use alloy_consensus::Transaction as _;
use alloy_primitives::{Address, B256, Bytes, TxKind, U256};
use alloy_sol_types::{Panic, Revert, SolError};
use revm::{
    Context, ExecuteEvm, MainBuilder, MainContext,
    context::{
        BlockEnv, TxEnv,
        result::{EVMError, ExecutionResult, HaltReason, InvalidTransaction, ResultAndState},
    },
    context_interface::block::BlobExcessGasAndPrice,
    primitives::hardfork::SpecId,
};

use super::{block::Transaction, state::View};
use crate::RpcError;

/// The rules are those of Prague, which all chains that the payment system knows have.
const RULES: SpecId = SpecId::PRAGUE;

/// Which of a transaction's conditions are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checks {
    /// All, as in a block.
    All,
    /// No nonce and no base fee, as in a call.
    Call,
    /// As in a call, and the caller needs no funds.
    Free,
}

/// The block that a transaction finds itself in.
#[derive(Clone, Copy, Debug)]
pub(super) struct Surroundings {
    pub(super) chain_id: u64,
    pub(super) number: u64,
    pub(super) timestamp: u64,
    pub(super) gas_limit: u64,
    pub(super) base_fee: u64,
    pub(super) beneficiary: Address,
    pub(super) prevrandao: B256,
}

pub(super) fn run(view: View<'_>, at: &Surroundings, tx: TxEnv, checks: Checks) -> Result<ResultAndState, InvalidTransaction> {
    let block = BlockEnv {
        number: U256::from(at.number),
        beneficiary: at.beneficiary,
        timestamp: U256::from(at.timestamp),
        gas_limit: at.gas_limit,
        basefee: at.base_fee,
        difficulty: U256::ZERO,
        prevrandao: Some(at.prevrandao),
        blob_excess_gas_and_price: Some(BlobExcessGasAndPrice { excess_blob_gas: 0, blob_gasprice: 1 }),
        slot_num: 0,
    };
    let relaxed = checks != Checks::All;
    let unpriced = relaxed && tx.gas_price == 0;
    let mut evm = Context::mainnet()
        .with_db(view)
        .with_block(block)
        .modify_cfg_chained(|cfg| {
            cfg.set_spec_and_mainnet_gas_params(RULES);
            cfg.chain_id = at.chain_id;
            cfg.disable_nonce_check = relaxed;
            cfg.disable_eip3607 = relaxed;
            cfg.disable_base_fee = unpriced;
            cfg.disable_balance_check = checks == Checks::Free;
        })
        .build_mainnet();
    evm.transact(tx).map_err(|error| match error {
        EVMError::Transaction(error) => error,
        EVMError::Database(never) => match never {},
        other => InvalidTransaction::Str(other.to_string().into()),
    })
}

/// A signed transaction as the machine takes it.
pub(super) fn signed(tx: &Transaction) -> TxEnv {
    let envelope = &tx.envelope;
    TxEnv {
        tx_type: u8::from(envelope.tx_type()),
        caller: tx.sender,
        gas_limit: envelope.gas_limit(),
        gas_price: envelope.max_fee_per_gas(),
        kind: envelope.kind(),
        value: envelope.value(),
        data: envelope.input().clone(),
        nonce: envelope.nonce(),
        chain_id: envelope.chain_id(),
        access_list: envelope.access_list().cloned().unwrap_or_default(),
        gas_priority_fee: envelope.max_priority_fee_per_gas(),
        ..TxEnv::default()
    }
}

/// A call without signature and price.
pub(super) fn call(chain_id: u64, from: Address, kind: TxKind, data: Bytes, gas_limit: u64) -> TxEnv {
    TxEnv { caller: from, kind, data, gas_limit, chain_id: Some(chain_id), gas_price: 0, ..TxEnv::default() }
}

/// The output of a call, or the error that a node answers.
pub(super) fn output(result: ExecutionResult) -> Result<Bytes, RpcError> {
    match result {
        ExecutionResult::Success { output, .. } => Ok(output.into_data()),
        ExecutionResult::Revert { output, .. } => Err(reverted(&output)),
        ExecutionResult::Halt { reason, .. } => Err(RpcError::server(halted(&reason))),
    }
}

/// The words of geth for the common ways to fail without a revert.
pub(super) fn halted(reason: &HaltReason) -> String {
    match reason {
        HaltReason::OutOfGas(_) => "out of gas".to_owned(),
        HaltReason::OpcodeNotFound | HaltReason::InvalidFEOpcode => "invalid opcode".to_owned(),
        HaltReason::InvalidJump => "invalid jump destination".to_owned(),
        HaltReason::OutOfFunds => "insufficient balance for transfer".to_owned(),
        other => format!("{other:?}"),
    }
}

/// The error that geth answers for a revert.
pub(super) fn reverted(data: &Bytes) -> RpcError {
    let reason = Revert::abi_decode(data).map(|revert| revert.reason).ok();
    let reason = reason.or_else(|| {
        let panic = Panic::abi_decode(data).ok()?;
        Some(panic.kind().map_or_else(|| format!("unknown panic code: {:#x}", panic.code), |kind| kind.as_str().to_owned()))
    });
    let message = reason.map_or_else(|| "execution reverted".to_owned(), |reason| format!("execution reverted: {reason}"));
    RpcError { code: 3, message, data: Some(serde_json::Value::String(data.to_string())) }
}

/// The words of geth for a transaction that cannot be run at all.
pub(super) fn invalid(error: &InvalidTransaction) -> RpcError {
    RpcError::server(match error {
        InvalidTransaction::LackOfFundForMaxFee { fee, balance } => {
            format!("insufficient funds for gas * price + value: have {balance} want {fee}")
        }
        InvalidTransaction::CallGasCostMoreThanGasLimit { initial_gas, gas_limit }
        | InvalidTransaction::GasFloorMoreThanGasLimit { gas_floor: initial_gas, gas_limit } => {
            format!("intrinsic gas too low: have {gas_limit}, want {initial_gas}")
        }
        InvalidTransaction::GasPriceLessThanBasefee => "max fee per gas less than block base fee".to_owned(),
        InvalidTransaction::PriorityFeeGreaterThanMaxFee => "max priority fee per gas higher than max fee per gas".to_owned(),
        other => other.to_string(),
    })
}
