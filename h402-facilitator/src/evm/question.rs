//! What has to be asked about one payment, and how its answers are read.

use super::{
    EvmChain,
    abi::{DryCall, Multicall3},
    permit2,
    quantity::{Data, Fixed, Quantity, read},
    receipts::WireReceipt,
    revert,
};
use crate::rpc::RpcError;
use alloy_primitives::{B256, U256, hex};
use alloy_sol_types::SolCall;
use h402_core::{
    Checked, EvmAddress, Matched, Network, PayerSignature, Proof, SentFacts, Simulation, Undecided,
    evm::{self, Erc20, PERMIT2},
};
use serde::Deserialize;
use serde_json::value::RawValue;

/// All that is asked about one payment.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) payer: EvmAddress,
    /// The token; none for the native coin.
    pub(super) token: Option<EvmAddress>,
    pub(super) kind: Kind,
}

/// What is asked beyond balance and code.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// Whether the nonce is used, and how the settlement would fare.
    Authorization { nonce: B256, settlement: Option<DryCall> },
    /// Whether the nonce is used, what Permit2 may move, and how the settlement would fare.
    Permit2 { nonce: U256, settlement: DryCall },
    /// Account nonce and native balance, and how the transaction would fare.
    Transaction { dry: DryCall },
    /// The transaction itself.
    Sent { hash: B256 },
}

impl Question {
    /// What to ask about `payment` on the chain of `chain_id`, where `simulate_from` settles.
    pub(super) fn of(payment: &Checked, chain_id: u64, simulate_from: EvmAddress) -> Result<Self, Undecided> {
        let matched = payment.matched();
        let asset = &matched.requirements().offer.asset;
        let (Some(payer), Some(address)) = (matched.payer().evm(), asset.id.address.evm()) else { return Err(Undecided::WrongChain) };
        if matched.network() != Network::Evm(chain_id) {
            return Err(Undecided::WrongChain);
        }
        let kind = match matched.proof() {
            // What a contract does is tried apart, with its gas limited and at the price of a real block (T039, T162).
            Proof::Authorization { authorization, signature: PayerSignature::Contract(_) } => {
                Kind::Authorization { nonce: authorization.nonce, settlement: None }
            }
            Proof::Authorization { authorization, .. } => {
                Kind::Authorization { nonce: authorization.nonce, settlement: Some(settlement(matched, simulate_from)?) }
            }
            Proof::Permit2 { authorization, .. } => {
                // The upto proxy obeys nobody but the account that the payer has named.
                let from = authorization.witness.facilitator.unwrap_or(simulate_from);
                Kind::Permit2 { nonce: authorization.nonce, settlement: settlement(matched, from)? }
            }
            Proof::EvmTransaction { transaction, .. } => Kind::Transaction {
                dry: DryCall {
                    from: Some(transaction.sender.to_string()),
                    to: transaction.to.map(|to| to.to_string()),
                    value: Some(format!("{:#x}", transaction.value)),
                    data: hex::encode_prefixed(&transaction.input),
                    ..DryCall::default()
                },
            },
            Proof::EvmSent { hash, .. } => Kind::Sent { hash: *hash },
            Proof::SolanaTransaction { .. } | Proof::SolanaSent { .. } => return Err(Undecided::WrongChain),
        };
        Ok(Self { payer, token: (!asset.is_native()).then_some(address), kind })
    }

    /// How many calls it has at most: code, what its kind needs, and its words or the Multicall3 call for them.
    pub(super) fn calls(&self, multicall: bool) -> usize {
        let of_kind = match self.kind {
            Kind::Authorization { .. } | Kind::Permit2 { .. } => 1,
            Kind::Transaction { .. } | Kind::Sent { .. } => 2,
        };
        1 + of_kind + if multicall { 1 } else { self.words().len() }
    }

    /// The words to read from contracts, the balance first.
    pub(super) fn words(&self) -> Vec<Word> {
        let mut words = vec![match self.token {
            Some(token) => Word::Token(token, Erc20::balanceOfCall { account: self.payer }.abi_encode()),
            None => Word::Native(self.payer),
        }];
        match (&self.kind, self.token) {
            (Kind::Authorization { nonce, .. }, Some(token)) => {
                words.push(Word::Token(token, Erc20::authorizationStateCall { authorizer: self.payer, nonce: *nonce }.abi_encode()));
            }
            (Kind::Permit2 { nonce, .. }, Some(token)) => {
                words.push(Word::Token(PERMIT2, permit2::nonce_call(self.payer, *nonce)));
                words.push(Word::Token(token, evm::allowance_call(self.payer).into()));
            }
            (Kind::Transaction { .. }, _) => words.push(Word::Native(self.payer)),
            (Kind::Authorization { .. } | Kind::Permit2 { .. } | Kind::Sent { .. }, _) => {}
        }
        words
    }
}

/// The settlement of a payment as `from` would send it.
fn settlement(payment: &Matched, from: EvmAddress) -> Result<DryCall, Undecided> {
    let (to, data) = EvmChain::settlement_call(payment).ok_or(Undecided::WrongChain)?;
    let (from, to) = (Some(from.to_string()), Some(to.to_string()));
    Ok(DryCall { from, to, data: hex::encode_prefixed(&data), ..DryCall::default() })
}

/// One word of the chain's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    /// What a token or Permit2 returns.
    Token(EvmAddress, Vec<u8>),
    /// An account's native balance.
    Native(EvmAddress),
}

impl Word {
    /// The same read through Multicall3 at `multicall3`; its failure must not be that of the others.
    pub(super) fn inner_call(&self, multicall3: EvmAddress) -> Multicall3::Call3 {
        let (target, data) = match self {
            Self::Token(token, data) => (*token, data.clone()),
            Self::Native(who) => (multicall3, Multicall3::getEthBalanceCall { addr: *who }.abi_encode()),
        };
        Multicall3::Call3 { target, allowFailure: true, callData: data.into() }
    }
}

/// Reads the answer of `eth_estimateGas`. Only what the transfer itself does wrong is the payer's fault.
pub(super) fn simulation(answer: &Result<Box<RawValue>, RpcError>, payers_own: bool) -> Result<Simulation, Undecided> {
    match answer {
        Ok(gas) => Ok(Simulation::Succeeds { gas: read::<Quantity<u64>>(gas)?.0 }),
        Err(error) if revert::is_revert(error) => Ok(Simulation::Reverts { reason: revert::reason(error) }),
        Err(error) if payers_own && revert::is_out_of_funds(error) => {
            Ok(Simulation::Reverts { reason: "sender cannot pay for value and gas".to_owned() })
        }
        Err(_) => Err(Undecided::Chain),
    }
}

/// Whether there is code at an address.
pub(super) fn has_code(answer: &RawValue) -> Result<bool, Undecided> {
    Ok(!read::<Data>(answer)?.0.is_empty())
}

/// A transaction as a node writes it.
#[derive(Debug, Deserialize)]
pub(super) struct WireTransaction {
    hash: Fixed<B256>,
    from: Fixed<EvmAddress>,
    #[serde(default)]
    to: Option<Fixed<EvmAddress>>,
    nonce: Quantity<u64>,
    value: Quantity<U256>,
    input: Data,
}

impl WireTransaction {
    pub(super) fn is(&self, hash: &B256) -> bool {
        self.hash.0 == *hash
    }

    pub(super) fn to(&self) -> Option<EvmAddress> {
        self.to.as_ref().map(|to| to.0)
    }

    pub(super) fn input(&self) -> &[u8] {
        &self.input.0
    }
}

/// A sent transaction and its receipt, whose block's time is not known yet.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) transaction: WireTransaction,
    pub(super) receipt: Option<WireReceipt>,
}

impl Found {
    /// Reads the answers to the questions for a transaction and its receipt.
    pub(super) fn of(hash: &B256, transaction: &RawValue, receipt: &RawValue) -> Result<Option<Self>, Undecided> {
        let transaction: Option<WireTransaction> = read(transaction)?;
        let receipt = WireReceipt::of(hash, receipt)?;
        match transaction {
            None if receipt.is_some() => Err(Undecided::Chain),
            None => Ok(None),
            Some(transaction) if transaction.hash.0 != *hash => Err(Undecided::Chain),
            Some(transaction) => Ok(Some(Self { transaction, receipt })),
        }
    }

    pub(super) fn facts(self, receipt: Option<h402_core::ReceiptFacts>) -> SentFacts {
        let WireTransaction { from, to, nonce, value, input, .. } = self.transaction;
        SentFacts { from: from.0, to: to.map(|to| to.0), nonce: nonce.0, value: value.0, input: input.0, receipt }
    }
}
