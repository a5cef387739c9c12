//! Paying through Permit2.

use super::{EvmWallet, SignError, Terms, nonce};
use alloy_primitives::U256;
use h402_core::{
    Hints, Network, Payload, Permit, Permit2Authorization, Permit2Needed, Permit2Witness, Requirements, Scheme, SignedPermit, evm,
};

impl<H> EvmWallet<H> {
    /// Whether it could pay this through Permit2. Scheme `upto` names who settles it.
    pub(super) fn signs_permit2(&self, requirements: &Requirements) -> bool {
        let offer = &requirements.offer;
        let erc20 = !offer.asset.is_native() && offer.asset.id.address.evm().is_some();
        self.permit2 && erc20 && (offer.scheme != Scheme::Upto || requirements.facilitator.is_some())
    }
}

impl<H: Hints> EvmWallet<H> {
    pub(super) async fn transfer(&self, terms: &Terms) -> Result<Payload, SignError> {
        let Requirements { offer, facilitator, .. } = &terms.requirements;
        let (Network::Evm(chain), Some(token), Some(to)) = (offer.network(), offer.asset.id.address.evm(), offer.pay_to.evm()) else {
            return Err(SignError::Unsupported);
        };
        let authorization = Permit2Authorization {
            from: self.address(),
            token,
            amount: terms.amount,
            spender: evm::permit2_proxy(offer.scheme),
            nonce: nonce()?.into(),
            deadline: U256::from(terms.valid_before.0),
            witness: Permit2Witness {
                to,
                valid_after: U256::from(terms.valid_after.0),
                // Of scheme `exact` the type that is signed has no such field.
                facilitator: facilitator.filter(|_| offer.scheme == Scheme::Upto),
            },
        };
        let permit = self.approval(terms, chain, &authorization).await?;
        let mut signed = self.key.sign_permit2(authorization, chain)?;
        signed.permit = permit;
        Ok(Payload::Permit2(signed))
    }

    /// The approval that this payment needs besides, if it does. Who cannot ask has approved before.
    async fn approval(&self, terms: &Terms, chain: u64, payment: &Permit2Authorization) -> Result<Option<SignedPermit>, SignError> {
        let Some(hints) = &self.hints else { return Ok(None) };
        let offer = &terms.requirements.offer;
        let needed = Permit2Needed { network: offer.network(), owner: payment.from, token: payment.token };
        let known = hints.permit2(needed).await?;
        if known.allowance >= payment.amount {
            return Ok(None);
        }
        let (Some(domain), Some(nonce)) = (&offer.asset.permit2612, known.permit_nonce) else {
            return Err(SignError::Approval { approved: known.allowance, required: payment.amount });
        };
        // Not a unit more than this payment: what is left of an approval is left to whatever Permit2 is asked for next.
        let permit = Permit {
            owner: payment.from,
            token: payment.token,
            spender: evm::PERMIT2,
            value: payment.amount,
            nonce,
            deadline: payment.deadline,
        };
        Ok(Some(self.key.sign_permit(permit, domain, chain)?))
    }
}
