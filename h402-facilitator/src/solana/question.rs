//! What has to be asked about one payment, and how its answers are read.

use super::{
    Answer,
    answer::{Answered, InBase64, Level, base58, base64, read},
    sent,
};
use crate::rpc::{Call, RpcError, printable};
use h402_core::{Checked, GenesisPrefix, Network, Proof, SolanaAddress, SolanaSimulation, Undecided};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// All that is asked about one payment.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) payer: SolanaAddress,
    /// Who pays the fee, if that is not the payer.
    pub(super) fee_payer: Option<SolanaAddress>,
    /// The mint and the payee's token account; none for SOL.
    pub(super) token: Option<(SolanaAddress, SolanaAddress)>,
    pub(super) kind: Kind,
}

/// What is asked beyond accounts.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    /// How the transaction would fare.
    Signed { source: SolanaAddress, blockhash: [u8; 32], dry: Dry },
    /// The transaction itself.
    Sent { signature: [u8; 64] },
}

/// A transaction as it is tried out, in base64. Never shown: its signatures are replayable.
#[derive(Clone)]
pub(super) struct Dry(String);

impl std::fmt::Debug for Dry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Dry(..)")
    }
}

impl Question {
    /// What to ask about `payment` on the cluster of this genesis hash.
    pub(super) fn of(payment: &Checked, genesis: GenesisPrefix) -> Result<Self, Undecided> {
        let matched = payment.matched();
        let offer = &matched.requirements().offer;
        let (Some(payer), Some(asset)) = (matched.payer().solana(), offer.asset.id.address.solana()) else {
            return Err(Undecided::WrongChain);
        };
        if matched.network() != Network::Solana(genesis) {
            return Err(Undecided::WrongChain);
        }
        let token = offer.destination.map(|destination| (asset, destination));
        let (fee_payer, kind) = match matched.proof() {
            Proof::SolanaTransaction { payment, raw, .. } => (
                payment.is_sponsored().then_some(payment.fee_payer),
                Kind::Signed { source: payment.source, blockhash: payment.blockhash, dry: Dry(base64(raw)) },
            ),
            Proof::SolanaSent { signature, .. } => (None, Kind::Sent { signature: *signature }),
            Proof::Authorization { .. } | Proof::Permit2 { .. } | Proof::EvmTransaction { .. } | Proof::EvmSent { .. } => {
                return Err(Undecided::WrongChain);
            }
        };
        Ok(Self { payer, fee_payer, token, kind })
    }

    /// The token account that is debited, where that is known.
    pub(super) fn source(&self) -> Option<SolanaAddress> {
        match (&self.kind, self.token) {
            (Kind::Signed { source, .. }, Some(_)) => Some(*source),
            _ => None,
        }
    }

    /// The accounts it needs to see.
    pub(super) fn accounts(&self) -> impl Iterator<Item = SolanaAddress> {
        let (mint, destination) = self.token.unzip();
        [Some(self.payer), self.fee_payer, self.source(), destination, mint].into_iter().flatten()
    }

    /// Its own calls.
    pub(super) fn calls(&self) -> Vec<Call> {
        match &self.kind {
            Kind::Signed { dry, blockhash, .. } => vec![
                Call::new("simulateTransaction", &(&dry.0, Simulate::AS_IT_IS)),
                Call::new("isBlockhashValid", &(base58(blockhash), Level::PROCESSED)),
            ],
            Kind::Sent { signature } => sent::calls(&base58(signature)).into(),
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Simulate {
    #[serde(flatten)]
    format: InBase64,
    sig_verify: bool,
    replace_recent_blockhash: bool,
}

impl Simulate {
    /// Signatures were checked here, and where we pay the fee, ours is not there yet. On the newest block that the node
    /// has: a transaction that is in one already is on its way for somebody else, though nothing confirmed shows it (T050).
    const AS_IT_IS: Self = Self { format: InBase64::PROCESSED, sig_verify: false, replace_recent_blockhash: false };
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Simulated {
    err: Option<Box<RawValue>>,
    units_consumed: Option<u64>,
}

/// Failures that say something about the cluster's load and nothing about the payment.
const PASSING: [&str; 9] = [
    "AccountInUse",
    "ClusterMaintenance",
    "CommitCancelled",
    "ProgramCacheHitMaxLimit",
    "WouldExceedAccountDataBlockLimit",
    "WouldExceedAccountDataTotalLimit",
    "WouldExceedMaxAccountCostLimit",
    "WouldExceedMaxBlockCostLimit",
    "WouldExceedMaxVoteCostLimit",
];

/// Longest reason that is kept.
const MAX_REASON: usize = 160;

/// What a node says of a transaction that failed, shortened; none if the failure passes by itself.
pub(super) fn failure(err: &RawValue) -> Option<String> {
    let text = printable(err.get().trim_matches('"'), MAX_REASON);
    (!PASSING.contains(&text.as_str())).then_some(text)
}

/// Reads the answer of `isBlockhashValid`.
pub(super) fn is_valid(answer: &Answer) -> Result<bool, Undecided> {
    let answer: Answered<bool> = answer.as_deref().ok().and_then(read).ok_or(Undecided::Chain)?;
    Ok(answer.value)
}

/// Reads the answer of `simulateTransaction`.
pub(super) fn simulation(answer: &Answer) -> Result<SolanaSimulation, Undecided> {
    match answer {
        Ok(answer) => {
            let simulated: Answered<Simulated> = read(answer).ok_or(Undecided::Chain)?;
            match simulated.value.err {
                None => Ok(SolanaSimulation::Succeeds { units: simulated.value.units_consumed.unwrap_or_default() }),
                Some(err) => failure(&err).map(|reason| SolanaSimulation::Fails { reason }).ok_or(Undecided::Chain),
            }
        }
        // Invalid parameters: the node does not take these bytes for a transaction.
        Err(RpcError { code: -32602, message, .. }) => Ok(SolanaSimulation::Fails { reason: printable(message, MAX_REASON) }),
        Err(_) => Err(Undecided::Chain),
    }
}
