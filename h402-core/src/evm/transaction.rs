use crate::{EvmAddress, Reject};
use alloy_consensus::{Transaction as _, TxEnvelope, transaction::SignerRecoverable};
use alloy_eips::eip2718::Decodable2718;
use alloy_primitives::{B256, Bytes, TxKind, U256};

/// A signed EVM transaction, decoded, its sender recovered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EvmTransaction {
    /// Hash of the bytes as received.
    pub hash: B256,
    /// Who signed it.
    pub sender: EvmAddress,
    /// Chain it is for; absent in transactions older than EIP-155.
    pub chain_id: Option<u64>,
    /// Account nonce.
    pub nonce: u64,
    /// Called account; none creates a contract.
    pub to: Option<EvmAddress>,
    /// Native value in wei.
    pub value: U256,
    /// Call data.
    pub input: Bytes,
    /// Gas limit.
    pub gas_limit: u64,
    /// Greatest price per gas in wei.
    pub max_fee_per_gas: u128,
    /// Greatest tip per gas in wei.
    pub max_priority_fee_per_gas: u128,
}

impl EvmTransaction {
    /// Decodes and recovers; nothing may follow the transaction.
    ///
    /// # Errors
    /// [`Reject::Malformed`] if it does not decode, [`Reject::TransactionKind`] for types other than 0, 1
    /// and 2, [`Reject::Signature`] if nobody can have signed it.
    pub fn decode(raw: &[u8]) -> Result<Self, Reject> {
        let mut rest = raw;
        let envelope = TxEnvelope::decode_2718(&mut rest).map_err(|_| Reject::Malformed("transaction does not decode"))?;
        if !rest.is_empty() {
            return Err(Reject::Malformed("bytes follow the transaction"));
        }
        match envelope {
            TxEnvelope::Legacy(_) | TxEnvelope::Eip2930(_) | TxEnvelope::Eip1559(_) => {}
            _ => return Err(Reject::TransactionKind("only types 0, 1 and 2 are accepted")),
        }
        // No node takes these, or not with the gas that a dry run says: they would wait for ever.
        if envelope.max_priority_fee_per_gas().is_some_and(|tip| tip > envelope.max_fee_per_gas()) {
            return Err(Reject::Malformed("tip is above the fee"));
        }
        if envelope.access_list().is_some_and(|list| !list.is_empty()) {
            return Err(Reject::TransactionKind("access lists are not accepted"));
        }
        // High `s` is refused here, as every chain since Homestead does: the hash has one spelling.
        let sender = envelope.recover_signer().map_err(|_| Reject::Signature("no account can have made it"))?;
        Ok(Self {
            hash: *envelope.tx_hash(),
            sender,
            chain_id: envelope.chain_id(),
            nonce: envelope.nonce(),
            to: match envelope.kind() {
                TxKind::Call(to) => Some(to),
                TxKind::Create => None,
            },
            value: envelope.value(),
            input: envelope.input().clone(),
            gas_limit: envelope.gas_limit(),
            max_fee_per_gas: envelope.max_fee_per_gas(),
            max_priority_fee_per_gas: envelope.max_priority_fee_per_gas().unwrap_or_else(|| envelope.max_fee_per_gas()),
        })
    }

    /// The most wei that the gas of stored bytes can cost. Nothing else is checked, and no sender recovered: for bytes that were
    /// decoded before they were stored, of which there may be very many.
    ///
    /// # Errors
    /// [`Reject::Malformed`] if they do not decode.
    pub fn gas_cost_of(raw: &[u8]) -> Result<U256, Reject> {
        let mut rest = raw;
        let envelope = TxEnvelope::decode_2718(&mut rest).map_err(|_| Reject::Malformed("transaction does not decode"))?;
        Ok(U256::from(envelope.gas_limit()).saturating_mul(U256::from(envelope.max_fee_per_gas())))
    }

    /// The most wei its gas can cost.
    #[must_use]
    pub fn max_gas_cost(&self) -> U256 {
        U256::from(self.gas_limit).saturating_mul(U256::from(self.max_fee_per_gas))
    }
}
