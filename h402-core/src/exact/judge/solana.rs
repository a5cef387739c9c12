//! What a Solana cluster must say before a payment is accepted.

use super::super::{Attestation, Matched, Proof, solana::paid};
use super::solana_facts::{SolanaFacts, SolanaSentFacts, SolanaSimulation};
use crate::{
    Amount, Network, Offer, PaymentId, Reject, SolanaAddress, SolanaReject, TokenExtension, TransactionId, Undecided, UnixMillis,
    UnixSeconds, VerifyError,
    solana::{MintFacts, SolanaPayment, TokenAccountFacts},
};

/// Extensions of mints that a deployment accepts; none unless configured.
///
/// ```
/// use h402_core::{AllowedExtensions, TokenExtension};
/// assert_eq!(AllowedExtensions::default().refuses(&TokenExtension::Pausable), Some("pausable"));
/// let pausable = AllowedExtensions { pausable: true, ..AllowedExtensions::default() };
/// assert_eq!(pausable.refuses(&TokenExtension::Pausable), None);
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AllowedExtensions {
    /// Takes a share of each transfer: what arrives must still be the price.
    pub transfer_fee: bool,
    /// Calls another program. A transfer that needs accounts for its hook is not accepted in any case.
    pub transfer_hook: bool,
    /// Somebody may move or burn anybody's tokens.
    pub permanent_delegate: bool,
    /// Somebody may stop all transfers.
    pub pausable: bool,
    /// New accounts are frozen.
    pub default_frozen: bool,
    /// Amounts can be hidden; those of payments are not.
    pub confidential: bool,
}

impl AllowedExtensions {
    /// What an extension is called, if a mint must not have it.
    #[must_use]
    pub const fn refuses(&self, extension: &TokenExtension) -> Option<&'static str> {
        let (accepted, name) = match *extension {
            TokenExtension::Harmless => return None,
            TokenExtension::TransferFee { .. } => (self.transfer_fee, "transfer fee"),
            TokenExtension::TransferHook => (self.transfer_hook, "transfer hook"),
            TokenExtension::PermanentDelegate => (self.permanent_delegate, "permanent delegate"),
            TokenExtension::Pausable => (self.pausable, "pausable"),
            TokenExtension::DefaultFrozen => (self.default_frozen, "new accounts are frozen"),
            TokenExtension::Confidential => (self.confidential, "confidential amounts"),
            TokenExtension::NonTransferable => (false, "not transferable"),
            TokenExtension::Unknown(_) => (false, "not known"),
        };
        if accepted { None } else { Some(name) }
    }
}

/// What a facilitator demands beyond the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SolanaPolicy {
    /// The wall clock.
    pub now: UnixMillis,
    /// What other open payments have promised of the payer's balance.
    pub reserved: Amount,
    /// The account that pays fees for others, if one does.
    pub sponsor: Option<SolanaAddress>,
    /// The most lamports it pays for one payment.
    pub max_fee_lamports: u64,
    /// Blocks that a payment must have left.
    pub min_blocks_left: u64,
    /// Extensions of mints that are accepted.
    pub extensions: AllowedExtensions,
    /// A sent transaction of a block made before this is too old.
    pub not_before: UnixSeconds,
}

impl SolanaPolicy {
    /// Fee that is paid for others unless configured otherwise, in lamports: for two signatures, and as much again. It is
    /// paid for payments that fail, too, as their payers can make them (T077).
    pub const MAX_FEE_LAMPORTS: u64 = 20_000;
    /// Blocks that a payment must have left unless configured otherwise: about eight seconds.
    pub const MIN_BLOCKS_LEFT: u64 = 20;
    /// How long after its block a sent transaction can be claimed, in seconds.
    pub const CLAIM_WINDOW: u64 = 3600;
    /// Blocks for which a blockhash is good.
    pub const BLOCKHASH_LIFE: u64 = 150;
    /// Lamports that an account without data must keep to exist.
    pub const RENT_FREE: u64 = 890_880;
}

pub(in crate::exact) fn judge(matched: &Matched, facts: &SolanaFacts, policy: &SolanaPolicy) -> Result<Attestation, VerifyError> {
    // What another cluster says about a payment says nothing (T092).
    if matched.network() != Network::Solana(facts.genesis) {
        return Err(Undecided::WrongChain.into());
    }
    let offer = &matched.requirements.offer;
    match &matched.proof {
        Proof::SolanaTransaction { payment, .. } => {
            sponsored(payment, facts, policy)?;
            let left = facts.blockhash_age.map_or(0, |age| SolanaPolicy::BLOCKHASH_LIFE.saturating_sub(age));
            if left < policy.min_blocks_left {
                return Err(Reject::from(SolanaReject::Expires { left, required: policy.min_blocks_left }).into());
            }
            funds(payment, offer, facts, policy)?;
            if !offer.asset.is_native() {
                tokens(payment, offer, facts, policy)?;
            }
            match facts.simulation.as_ref().ok_or(Undecided::Chain)? {
                SolanaSimulation::Succeeds { .. } => {}
                SolanaSimulation::Fails { reason } => return Err(Reject::Reverts(reason.clone()).into()),
            }
            Ok(Attestation { key: matched.key(), aliases: matched.aliases(), payer: matched.payer(), transaction: None })
        }
        Proof::SolanaSent { signature, claimant } => {
            let sent = facts.sent.as_ref().ok_or(Undecided::Unconfirmed)?;
            if sent.transaction.signatures.first() != Some(signature) {
                return Err(Undecided::Chain.into());
            }
            let net = arrived(sent, offer, claimant, policy)?;
            if offer.least() > net {
                return Err(Reject::TransferNotObserved.into());
            }
            let id = PaymentId::SolanaMessage { genesis: facts.genesis, hash: sent.transaction.message.hash() };
            let transaction = Some(TransactionId::Solana(*signature));
            Ok(Attestation { key: id.key(), aliases: matched.aliases(), payer: matched.payer(), transaction })
        }
        Proof::Authorization { .. } | Proof::Permit2 { .. } | Proof::EvmTransaction { .. } | Proof::EvmSent { .. } => {
            Err(Undecided::WrongChain.into())
        }
    }
}

/// A fee is paid for others by the account that does so here, up to a limit, and while it has the lamports.
fn sponsored(payment: &SolanaPayment, facts: &SolanaFacts, policy: &SolanaPolicy) -> Result<(), VerifyError> {
    if !payment.is_sponsored() {
        return Ok(());
    }
    if policy.sponsor != Some(payment.fee_payer) {
        return Err(Reject::from(SolanaReject::FeePayerUnknown).into());
    }
    let (lamports, limit) = (payment.max_fee(), policy.max_fee_lamports);
    if lamports > limit {
        return Err(Reject::from(SolanaReject::Fee { lamports, limit }).into());
    }
    let held = facts.fee_payer_lamports.ok_or(Undecided::Chain)?;
    if held < lamports.saturating_add(SolanaPolicy::RENT_FREE) { Err(Undecided::Gas.into()) } else { Ok(()) }
}

/// The payer's lamports, less what others were promised of them, for the amount and the payer's own fee. What an
/// account costs that is created with the payment, the simulation shows.
fn funds(payment: &SolanaPayment, offer: &Offer, facts: &SolanaFacts, policy: &SolanaPolicy) -> Result<(), Reject> {
    let fee = if payment.is_sponsored() { 0 } else { payment.max_fee() };
    let native = offer.asset.is_native();
    let amount = if native { payment.amount } else { 0 };
    let reserved = if native { policy.reserved } else { Amount::ZERO };
    let held = Amount::from_atomic(u128::from(facts.payer_lamports)).saturating_sub(reserved);
    enough(held, Amount::from_atomic(u128::from(amount).saturating_add(u128::from(fee))))
}

fn enough(held: Amount, required: Amount) -> Result<(), Reject> {
    if held < required { Err(Reject::InsufficientFunds { held, required }) } else { Ok(()) }
}

/// The mint is the offered one and takes no liberties; both accounts are whose they should be, and can move (T085, T086).
fn tokens(payment: &SolanaPayment, offer: &Offer, facts: &SolanaFacts, policy: &SolanaPolicy) -> Result<(), VerifyError> {
    let mint = facts.mint.as_ref().ok_or(Undecided::Chain)?;
    if Some(mint.program) != offer.asset.token_program || mint.decimals != offer.asset.decimals {
        return Err(Undecided::WrongChain.into());
    }
    let net = net_of_fee(mint, payment.amount, &policy.extensions)?;
    if Amount::from_atomic(u128::from(net)) < offer.least() {
        return Err(Reject::from(SolanaReject::Value { paid: net, required: offer.amount }).into());
    }
    let required = Amount::from_atomic(u128::from(payment.amount));
    let Some(source) = &facts.source else { return Err(Reject::InsufficientFunds { held: Amount::ZERO, required }.into()) };
    usable(source, offer, Some(payment.payer), "the source is not the payer's of this mint, or is frozen")?;
    match &facts.destination {
        Some(destination) => usable(destination, offer, offer.pay_to.solana(), "the payee's is not the payee's, or is frozen")?,
        None if payment.creates_destination => {}
        None => return Err(Reject::from(SolanaReject::TokenAccount("the payee has none, and the payment creates none")).into()),
    }
    enough(Amount::from_atomic(u128::from(source.amount)).saturating_sub(policy.reserved), required)?;
    Ok(())
}

fn usable(account: &TokenAccountFacts, offer: &Offer, owner: Option<SolanaAddress>, why: &'static str) -> Result<(), Reject> {
    let right = Some(account.owner) == owner
        && Some(account.mint) == offer.asset.id.address.solana()
        && Some(account.program) == offer.asset.token_program;
    if right && !account.frozen { Ok(()) } else { Err(SolanaReject::TokenAccount(why).into()) }
}

/// What arrives of an amount, if the mint's extensions are all accepted.
fn net_of_fee(mint: &MintFacts, amount: u64, allowed: &AllowedExtensions) -> Result<u64, Reject> {
    let mut net = amount;
    for extension in &mint.extensions {
        if let Some(why) = allowed.refuses(extension) {
            return Err(SolanaReject::Extension(why).into());
        }
        if let TokenExtension::TransferFee { basis_points, maximum } = *extension {
            let fee = u128::from(amount).saturating_mul(u128::from(basis_points)).div_ceil(10_000);
            net = net.saturating_sub(u64::try_from(fee).unwrap_or(u64::MAX).min(maximum));
        }
    }
    Ok(net)
}

/// What a sent transaction left at the payee: the least of what its one transfer says and of what changed there, since
/// fees, refunds and other programs take their part (T087, T091).
fn arrived(
    sent: &SolanaSentFacts,
    offer: &std::sync::Arc<Offer>,
    claimant: &SolanaAddress,
    policy: &SolanaPolicy,
) -> Result<Amount, VerifyError> {
    // What waiting cannot change comes first: only a transaction that pays the price is waited for.
    let (_, payment) = paid(&sent.transaction.message, vec![offer.clone()])?;
    // Whoever watches the chain knows the signature; only the payer signs the resource (T088).
    if payment.payer != *claimant {
        return Err(Reject::from(SolanaReject::Signature("the resource is not signed by the payer of the transaction")).into());
    }
    if !sent.success {
        return Err(Reject::TransactionState("it failed").into());
    }
    let time = sent.time.ok_or(Undecided::Unconfirmed)?;
    let oldest = policy.now.seconds().0.saturating_sub(SolanaPolicy::CLAIM_WINDOW).max(policy.not_before.0);
    if time.0 < oldest {
        return Err(Reject::TooOld.into());
    }
    if !sent.finalized {
        return Err(Undecided::Unconfirmed.into());
    }
    let change = if offer.asset.is_native() {
        let change = sent.lamports.iter().find(|change| change.account == payment.destination);
        change.map(|change| change.after.saturating_sub(change.before))
    } else {
        let right = |account: SolanaAddress, mint: SolanaAddress, owner: SolanaAddress| {
            account == payment.destination && Some(mint) == offer.asset.id.address.solana() && Some(owner) == offer.pay_to.solana()
        };
        let change = sent.tokens.iter().find(|change| right(change.account, change.mint, change.owner));
        change.map(|change| change.after.saturating_sub(change.before))
    };
    Ok(Amount::from_atomic(u128::from(change.unwrap_or(0).min(payment.amount))))
}
