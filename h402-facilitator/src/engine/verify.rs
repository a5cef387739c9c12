//! `verify`: is this payment good, and what does it promise of its payer's balance?

use super::{
    Callers, Engine, HOLD, Shared,
    network::NetworkEngine,
    reserve::{Claimant, Holder, Terms},
};
use crate::{chaos::sabotaged, window::Share};
use h402_core::{
    Amount, Attestation, CallerKey, Checked, Clock, Matched, PaymentClass, PaymentKind, PaymentRow, Reject, Store, Undecided, Verified,
    VerifyError,
};

impl<S: Store, C: Clock> Engine<S, C> {
    /// Verifies a payment: nothing is stored, and the payer's balance stays reserved for a minute.
    ///
    /// # Errors
    /// [`VerifyError::Rejected`] is the payer's fault, [`VerifyError::Undecided`] ours.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub async fn verify(&self, payment: Matched, caller: Option<CallerKey>) -> Result<Verified, VerifyError> {
        let shared = &self.shared;
        let _permit = shared.admit(&shared.verifies)?;
        let network = shared.serves(&payment)?;
        let key = payment.key();
        if let Some(row) = shared.store.payment(&key).await.map_err(Undecided::from)? {
            return Err(known(&row).into());
        }
        shared.takes(network, &payment)?;
        let checked = payment.check(&shared.policy())?;
        match shared.vouch(network, &checked, caller).await {
            Ok(attestation) => Ok(Verified::attested(checked, attestation)),
            // Perhaps the chain refuses because it was settled here meanwhile; then the ledger has the answer.
            Err(error) => match shared.store.payment(&key).await.map_err(Undecided::from)? {
                Some(row) => Err(known(&row).into()),
                None => Err(error),
            },
        }
    }
}

/// A payment that the ledger has is not good for anything new, whoever asks. A gate that remembers it settles again, and is told
/// what it was told; to one that has forgotten it a yes would open the door a second time (T013, T152).
fn known(row: &PaymentRow) -> Reject {
    match row.state {
        state if state.is_settled() => Reject::DuplicateSettlement { transaction: state.transaction() },
        state if !state.is_decided() => Reject::InProgress,
        _ => Reject::AlreadyUsed,
    }
}

/// Whether what is presented is what was claimed: a nonce can be signed twice, for other terms, and the hash of a
/// transaction can be presented by anybody (T054).
pub(super) fn is_same(row: &PaymentRow, payment: &Matched) -> bool {
    let offer = &payment.requirements().offer;
    if sabotaged("known.terms") {
        return true;
    }
    row.payer == payment.payer() && row.asset == offer.asset.id && row.pay_to == offer.pay_to && row.amount >= offer.least()
}

impl<S: Store, C: Clock> Shared<S, C> {
    /// The network of a payment, if it is served here with this asset and can be asked now.
    pub(super) fn serves(&self, payment: &Matched) -> Result<&NetworkEngine, VerifyError> {
        let network = self.network(payment.network())?;
        let offered = &payment.requirements().offer.asset;
        let known = self.assets.get(&offered.id).ok_or(Reject::Asset)?;
        if known.decimals != offered.decimals || known.eip3009 != offered.eip3009 {
            return Err(Reject::Requirements("the asset's facts are not the ones known here").into());
        }
        network.recovered()?;
        Ok(network)
    }

    /// Whether this kind of proof, this payee, this asset and this amount are taken. Asked of new payments only: what was taken before a
    /// change of configuration still gets its answer.
    pub(super) fn takes(&self, network: &NetworkEngine, payment: &Matched) -> Result<(), VerifyError> {
        if is_sent(payment) && !self.accept_sent {
            return Err(Reject::PayloadType("payments that are already sent are not accepted here").into());
        }
        self.agrees(network.network())?;
        network.takes(&payment.requirements().offer, payment.amount())
    }

    /// Asks the chain, judges, and reserves for a minute.
    async fn vouch(&self, network: &NetworkEngine, checked: &Checked, caller: Option<CallerKey>) -> Result<Attestation, VerifyError> {
        self.untaken(checked).await?;
        self.may_ask(checked.matched(), Share::Anybody)?;
        let holder = caller.map_or(Holder::Nobody, Holder::Key);
        match network {
            #[cfg(feature = "evm")]
            NetworkEngine::Evm(evm) => Ok(self.judge_evm(evm, checked, holder, Share::Anybody).await?.0),
            #[cfg(feature = "solana")]
            NetworkEngine::Solana(solana) => Ok(self.judge_solana(solana, checked, holder, Share::Anybody).await?.0),
        }
    }

    /// Under which conditions something is reserved by `holder`, if the payer's balance was read at `block`.
    pub(super) fn terms(&self, holder: Holder, block: u64) -> Terms {
        Terms {
            holder,
            exclusive: holder == Holder::Nobody && self.callers == Callers::Guarded,
            block,
            now: self.clock.now(),
            hold: HOLD,
            max_open: self.max_open_per_payer,
        }
    }

    /// No other name of the payment belongs to another payment or to a transaction of ours (T173).
    pub(super) async fn untaken(&self, checked: &Checked) -> Result<(), VerifyError> {
        for alias in checked.matched().aliases() {
            if !sabotaged("verify.alias") && self.store.is_taken(&alias).await.map_err(Undecided::from)? {
                return Err(Reject::AlreadyUsed.into());
            }
        }
        Ok(())
    }
}

pub(super) fn claimant(payment: &Matched) -> Claimant {
    let offer = &payment.requirements().offer;
    // A payer's own transaction may also move the native coin for its gas; only the asset paid with is promised here.
    // Where the money has moved already, nothing is promised of the balance.
    let amount = if is_sent(payment) { Amount::ZERO } else { payment.amount() };
    Claimant { payer: payment.payer(), asset: offer.asset.id, key: payment.key(), amount }
}

/// Whether the payer has sent it already.
pub(super) fn is_sent(payment: &Matched) -> bool {
    payment.class() == PaymentClass::Transaction
}

/// Whether a payment of this kind had been sent by its payer when it was claimed.
pub(super) fn is_sent_kind(kind: PaymentKind) -> bool {
    match kind {
        PaymentKind::EvmSent | PaymentKind::SolanaSent => true,
        PaymentKind::Authorization | PaymentKind::Permit2 | PaymentKind::EvmTransaction | PaymentKind::SolanaTransaction => false,
    }
}
