//! A wallet with one EVM key.

mod permit2;

use super::{Means, SignError, Terms, Wallet};
use alloy_consensus::TxLegacy;
use alloy_primitives::{B256, Bytes, TxKind, U256};
use h402_core::{
    Amount, Authorization, Dialect, EvmAddress, EvmKey, Hints, HintsNeeded, Network, Payload, PaymentPayload, Requirements,
    SignedEvmTransaction, TransactionHints, TransferMethod, Undecided, evm::Erc20Transfer,
};
use std::fmt;

/// Pays with one EVM key: by EIP-3009 authorization, by signed transaction if it is given [`Hints`], and through Permit2 if it is
/// told to.
///
/// A transaction does not expire and costs the payer gas, so it has to be asked for (T119).
///
/// ```
/// use h402_core::EvmKey;
/// use h402_tower::pay::EvmWallet;
///
/// let key = EvmKey::from_hex("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")?;
/// let wallet = EvmWallet::from_key(key);
/// assert_eq!(wallet.address().to_string(), "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266");
/// # Ok::<(), h402_core::BadKey>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct EvmWallet<H = NoHints> {
    key: EvmKey,
    hints: Option<H>,
    transactions: Option<Transactions>,
    permit2: bool,
}

#[derive(Clone, Copy)]
struct Transactions {
    max_gas_cost: Amount,
    preferred: bool,
}

/// The hints of a wallet that asks nobody. There is no such value.
#[derive(Debug, Clone, Copy)]
pub enum NoHints {}

impl Hints for NoHints {
    async fn transaction(&self, _: HintsNeeded) -> Result<TransactionHints, Undecided> {
        match *self {}
    }

    async fn blockhash(&self, _: Network) -> Result<[u8; 32], Undecided> {
        match *self {}
    }
}

impl EvmWallet {
    /// Pays by authorization only.
    pub fn from_key(key: EvmKey) -> Self {
        Self { key, hints: None, transactions: None, permit2: false }
    }

    /// Pays assets without EIP-3009 too, by signed transaction whose gas may cost up to `max_gas_cost` each.
    ///
    /// # Units
    /// `max_gas_cost` in wei of the network's own coin; it comes on top of the [`Cap`](super::Cap).
    pub fn with_transactions<H: Hints>(self, hints: H, max_gas_cost: Amount) -> EvmWallet<H> {
        let transactions = Some(Transactions { max_gas_cost, preferred: false });
        EvmWallet { key: self.key, hints: Some(hints), transactions, permit2: self.permit2 }
    }

    /// Asks a node what it must know, and signs no transactions.
    pub fn with_hints<H: Hints>(self, hints: H) -> EvmWallet<H> {
        EvmWallet { key: self.key, hints: Some(hints), transactions: None, permit2: self.permit2 }
    }
}

impl<H> EvmWallet<H> {
    /// Pays by transaction even where the asset has EIP-3009, for servers behind a facilitator that refuses
    /// authorizations, as the h402 reference facilitator does (docs/wire.md#authorization).
    pub fn with_transactions_preferred(mut self) -> Self {
        if let Some(transactions) = &mut self.transactions {
            transactions.preferred = true;
        }
        self
    }

    /// Pays through Permit2 where that is asked for, in schemes `exact` and `upto`; of `upto` the whole may be charged, so the
    /// whole counts against cap and budget.
    ///
    /// The payer has to have approved Permit2 for its tokens. With hints that is looked at first, and where it is too little a
    /// token with EIP-2612 is approved by another signature, for exactly this payment.
    ///
    /// ```
    /// use h402_core::EvmKey;
    /// use h402_tower::pay::EvmWallet;
    /// let wallet = EvmWallet::from_key(EvmKey::from_bytes(&[1; 32])?).with_permit2();
    /// # drop(wallet);
    /// # Ok::<(), h402_core::BadKey>(())
    /// ```
    pub fn with_permit2(mut self) -> Self {
        self.permit2 = true;
        self
    }

    /// The account that pays.
    #[must_use]
    pub fn address(&self) -> EvmAddress {
        self.key.address()
    }
}

impl<H> fmt::Debug for EvmWallet<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EvmWallet")
            .field("address", &h402_core::Address::from(self.address()))
            .field("transactions", &self.transactions.is_some())
            .field("permit2", &self.permit2)
            .finish()
    }
}

impl<H: Hints> Wallet for EvmWallet<H> {
    fn can_pay(&self, requirements: &Requirements) -> Option<Means> {
        let Network::Evm(_) = requirements.offer.network() else { return None };
        if requirements.offer.method == TransferMethod::Permit2 {
            return self.signs_permit2(requirements).then_some(Means::Permit2);
        }
        match &self.transactions {
            Some(Transactions { preferred: true, .. }) => Some(Means::EvmTransaction),
            _ if requirements.offer.asset.eip3009.is_some() => Some(Means::Authorization),
            Some(_) => Some(Means::EvmTransaction),
            None => None,
        }
    }

    async fn sign(&self, terms: &Terms) -> Result<PaymentPayload, SignError> {
        let payload = match (self.can_pay(&terms.requirements), &self.transactions) {
            (Some(Means::Authorization), _) => self.authorize(terms)?,
            (Some(Means::Permit2), _) => self.transfer(terms).await?,
            (Some(Means::EvmTransaction), Some(transactions)) => self.transact(terms, transactions).await?,
            _ => return Err(SignError::Unsupported),
        };
        let offer = &terms.requirements.offer;
        Ok(PaymentPayload {
            dialect: if offer.method == TransferMethod::Permit2 { Dialect::X402V2 } else { Dialect::H402V1 },
            scheme: offer.scheme,
            network: offer.network(),
            resource: Some(terms.resource.clone()),
            payload,
        })
    }
}

/// From the system each time: there is no state that a copy of this process or of the wallet could share.
pub(super) fn nonce() -> Result<B256, SignError> {
    let mut nonce = B256::ZERO;
    getrandom::fill(nonce.as_mut_slice()).map_err(|_| SignError::Randomness)?;
    Ok(nonce)
}

impl<H: Hints> EvmWallet<H> {
    fn authorize(&self, terms: &Terms) -> Result<Payload, SignError> {
        let offer = &terms.requirements.offer;
        let (Some(domain), Some(to)) = (offer.asset.eip712_domain(), offer.pay_to.evm()) else {
            return Err(SignError::Unsupported);
        };
        let authorization = Authorization {
            from: self.address(),
            to,
            value: terms.amount,
            valid_after: U256::from(terms.valid_after.0),
            valid_before: U256::from(terms.valid_before.0),
            nonce: nonce()?,
        };
        Ok(Payload::Authorization(self.key.sign_authorization(authorization, &domain)?))
    }

    async fn transact(&self, terms: &Terms, transactions: &Transactions) -> Result<Payload, SignError> {
        let offer = &terms.requirements.offer;
        let (network @ Network::Evm(chain), Some(token), Some(payee)) = (offer.network(), offer.asset.id.address.evm(), offer.pay_to.evm())
        else {
            return Err(SignError::Unsupported);
        };
        let (to, value, input) = if offer.asset.is_native() {
            (payee, terms.amount.to_u256(), Bytes::new())
        } else {
            (token, U256::ZERO, Erc20Transfer { to: payee, amount: terms.amount }.encode().into())
        };
        let needed = HintsNeeded { network, from: self.address(), to, value, input: input.clone() };
        let hints = self.hints.as_ref().ok_or(SignError::Unsupported)?.transaction(needed).await?;
        let cost = Amount::from(U256::from(hints.gas).saturating_mul(U256::from(hints.gas_price)));
        if cost > transactions.max_gas_cost {
            return Err(SignError::Gas { cost, limit: transactions.max_gas_cost });
        }
        let signed = self.key.sign_legacy(TxLegacy {
            chain_id: Some(chain),
            nonce: hints.nonce,
            gas_price: hints.gas_price,
            gas_limit: hints.gas,
            to: TxKind::Call(to),
            value,
            input,
        })?;
        let signed_message = self.key.sign_message(&terms.resource)?;
        Ok(Payload::EvmTransaction(SignedEvmTransaction { raw: signed.raw, signed_message }))
    }
}
