//! Offers: what a server accepts for one call.

use crate::{
    Address, Amount, AmountError, Asset, Dialect, EvmAddress, Network, SolanaAddress, SolanaHints, solana::associated_token_account,
};
use std::sync::Arc;

/// How a payment is checked and settled.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// One payment of the stated amount.
    Exact,
    /// One payment of at most the stated amount; how much it is, is said when it is settled.
    Upto,
}

impl Scheme {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Upto => "upto",
        }
    }

    /// Reads the word on the wire.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Exact, Self::Upto].into_iter().find(|scheme| scheme.as_str() == word)
    }
}

/// How a token on an EVM chain is moved in x402 (`extra.assetTransferMethod`).
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TransferMethod {
    /// By the token's own EIP-3009 function, or as h402 has it.
    Eip3009,
    /// Through Permit2 and the canonical proxy of the scheme: any ERC-20 token whose payer has approved Permit2.
    Permit2,
}

impl TransferMethod {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Eip3009 => "eip3009",
            Self::Permit2 => "permit2",
        }
    }

    /// Reads the word on the wire.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        [Self::Eip3009, Self::Permit2].into_iter().find(|method| method.as_str() == word)
    }
}

/// One way to pay: so much of this asset to that address.
///
/// ```
/// use h402_core::{Amount, Assets, Offer};
/// let assets = Assets::known();
/// let usdc = assets.by_symbol("eip155:8453".parse()?, "USDC").unwrap().clone();
/// let offer = Offer::new(usdc, Amount::from_atomic(10_000), "0x70997970C51812dc3A010C7d01b50e0d17dc79C8".parse()?)?;
/// assert_eq!(offer.amount.to_units(offer.asset.decimals), "0.01");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Offer {
    /// How it is checked.
    pub scheme: Scheme,
    /// What is paid with.
    pub asset: Arc<Asset>,
    /// How much, in the asset's smallest unit.
    pub amount: Amount,
    /// Who is paid.
    pub pay_to: Address,
    /// Where a Solana token is paid to: the payee's associated token account. Computed here once, since finding it
    /// costs as much as a signature.
    pub destination: Option<SolanaAddress>,
    /// How x402 moves it on an EVM chain. h402 knows nothing of Permit2: such offers are not made in it.
    pub method: TransferMethod,
    /// Whether one smallest unit less is accepted, for clients that compute the price in floats
    /// (docs/wire.md#amount). Off unless asked for.
    pub one_unit_tolerance: bool,
}

/// Why terms cannot be offered: the operator's mistake, found when the price is built.
#[non_exhaustive]
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OfferError {
    /// The amount is zero or cannot be written so that every client reads it alike.
    #[error("price: {0}")]
    Amount(#[from] AmountError),
    /// Nobody can be paid at this address (T027): zero, the token itself, or of another network.
    #[error("cannot be paid at {pay_to}: {why}")]
    PayTo {
        /// The address in question.
        pay_to: Address,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Two offers share scheme, network, asset and payee, so a payment could mean either.
    #[error("two offers of {symbol} on {network} to {pay_to}")]
    Twice {
        /// Network of both.
        network: Network,
        /// Symbol of both.
        symbol: String,
        /// Payee of both.
        pay_to: Address,
    },
    /// Only ERC-20 tokens can be paid through Permit2.
    #[error("{symbol} is no ERC-20 token: it cannot be paid through Permit2")]
    Permit2 {
        /// Symbol of the asset.
        symbol: String,
    },
    /// No offer at all; a free route has to say so.
    #[error("no offer; a route without a price must say that it is free")]
    Empty,
}

impl Offer {
    /// Offers to take `amount` of `asset` at `pay_to`.
    ///
    /// # Errors
    /// [`OfferError::Amount`] and [`OfferError::PayTo`].
    pub fn new(asset: Arc<Asset>, amount: Amount, pay_to: Address) -> Result<Self, OfferError> {
        amount.to_wire(asset.decimals)?;
        Self::received(asset, amount, pay_to)
    }

    /// Takes the terms of somebody else's offer: as [`Offer::new`], but how clients read its price was their concern.
    pub(crate) fn received(asset: Arc<Asset>, amount: Amount, pay_to: Address) -> Result<Self, OfferError> {
        if amount.is_zero() {
            return Err(AmountError::Zero.into());
        }
        let refuse = |why| Err(OfferError::PayTo { pay_to, why });
        if pay_to.is_zero() {
            return refuse("it is the zero address");
        }
        if pay_to == asset.id.address {
            return refuse("it is the token itself");
        }
        let destination = match (asset.id.network, pay_to, asset.id.address, asset.token_program) {
            (Network::Evm(_), Address::Evm(_), ..) | (Network::Solana(_), Address::Solana(_), _, None) => None,
            (Network::Solana(_), Address::Solana(owner), Address::Solana(mint), Some(program)) => {
                match associated_token_account(&owner, &mint, program) {
                    Some(account) => Some(account),
                    None => return refuse("it can have no token account"),
                }
            }
            _ => return refuse("it is an address of another kind of network"),
        };
        let method = TransferMethod::Eip3009;
        Ok(Self { scheme: Scheme::Exact, asset, amount, pay_to, destination, method, one_unit_tolerance: false })
    }

    /// Takes the payment through Permit2, and in no other way: to take both, offer both. [`Offers::new`] refuses it for what is
    /// no ERC-20 token.
    #[must_use]
    pub fn with_permit2(mut self) -> Self {
        self.method = TransferMethod::Permit2;
        self
    }

    /// Makes the amount the most that is taken (scheme `upto`, through Permit2): the handler says how much it is.
    ///
    /// ```
    /// use h402_core::{Amount, Assets, Offer, Scheme, TransferMethod};
    /// let usdc = Assets::known().by_symbol("eip155:8453".parse()?, "USDC").unwrap().clone();
    /// let offer = Offer::new(usdc, Amount::from_atomic(50_000), "0x70997970C51812dc3A010C7d01b50e0d17dc79C8".parse()?)?.upto();
    /// assert_eq!((offer.scheme, offer.method), (Scheme::Upto, TransferMethod::Permit2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn upto(self) -> Self {
        Self { scheme: Scheme::Upto, ..self.with_permit2() }
    }

    /// Accepts one smallest unit less than the price.
    #[must_use]
    pub fn with_one_unit_tolerance(mut self) -> Self {
        self.one_unit_tolerance = true;
        self
    }

    /// The network the payment is made on.
    #[must_use]
    pub fn network(&self) -> Network {
        self.asset.id.network
    }

    /// The least amount that is accepted.
    #[must_use]
    pub fn least(&self) -> Amount {
        let tolerated = Amount::from_atomic(u128::from(self.one_unit_tolerance));
        self.amount.saturating_sub(tolerated).max(Amount::from_atomic(1))
    }

    /// Whether a dialect has words for it: h402 knows scheme `exact` only, and nothing of Permit2.
    #[must_use]
    pub fn can_be_said_in(&self, dialect: Dialect) -> bool {
        match dialect {
            Dialect::H402V1 => self.scheme == Scheme::Exact && self.method == TransferMethod::Eip3009,
            // Payments by EIP-3009, as x402 has it, and of SPL tokens.
            Dialect::X402V1 => self.scheme == Scheme::Exact && self.method == TransferMethod::Eip3009 && self.is_x402s(),
            Dialect::X402V2 => self.is_x402s(),
        }
    }

    /// Whether x402 has a way to move the asset.
    fn is_x402s(&self) -> bool {
        match (self.network(), self.method) {
            _ if self.asset.is_native() => false,
            (Network::Evm(_), TransferMethod::Eip3009) => self.asset.eip3009.is_some(),
            (Network::Evm(_), TransferMethod::Permit2) | (Network::Solana(_), TransferMethod::Eip3009) => true,
            (Network::Solana(_), TransferMethod::Permit2) => false,
        }
    }

    fn same_door(&self, other: &Self) -> bool {
        self.scheme == other.scheme && self.method == other.method && self.asset.id == other.asset.id && self.pay_to == other.pay_to
    }
}

/// The offers of one 402, in the server's order: never none, never two that a payment could confuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offers(Vec<Arc<Offer>>);

impl Offers {
    /// Collects offers.
    ///
    /// # Errors
    /// [`OfferError::Empty`], [`OfferError::Twice`] and [`OfferError::Permit2`].
    pub fn new(offers: Vec<Arc<Offer>>) -> Result<Self, OfferError> {
        if offers.is_empty() {
            return Err(OfferError::Empty);
        }
        for (at, offer) in offers.iter().enumerate() {
            if offer.method == TransferMethod::Permit2 && !offer.is_x402s() {
                return Err(OfferError::Permit2 { symbol: offer.asset.symbol.clone() });
            }
            if offers.iter().skip(at + 1).any(|other| offer.same_door(other)) {
                let symbol = offer.asset.symbol.clone();
                return Err(OfferError::Twice { network: offer.network(), symbol, pay_to: offer.pay_to });
            }
        }
        Ok(Self(offers))
    }

    /// The offers, first choice first.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Offer>> {
        self.0.iter()
    }
}

/// What is sold: the part of payment requirements that does not say how to pay.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resource {
    /// Absolute URL under the configured origin. Payers sign it in some payload types.
    pub url: String,
    /// For people.
    pub description: Option<String>,
    /// Media type of the answer.
    pub mime_type: Option<String>,
}

/// Payment requirements: one offer for one resource, with the time a payment must stay valid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirements {
    /// How to pay.
    pub offer: Arc<Offer>,
    /// For what.
    pub resource: Arc<Resource>,
    /// Seconds a payment should stay valid from now (h402 `estimatedProcessingTime`).
    pub lifetime_seconds: Option<u64>,
    /// What a payer on Solana may want to know to build a transaction without asking; decides nothing.
    pub solana: Option<SolanaHints>,
    /// Who settles payments of scheme `upto`: the payer names it in what is signed (x402 `facilitatorAddress`).
    pub facilitator: Option<EvmAddress>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Assets;

    fn usdc() -> Arc<Asset> {
        Assets::known().by_symbol(Network::Evm(8453), "USDC").unwrap().clone()
    }

    /// T027: payees that can only lose money are refused when the offer is built.
    #[test]
    fn t027_payees_that_cannot_be_paid_are_refused() {
        let bad = [
            "0x0000000000000000000000000000000000000000",
            "0x833589fCD6eDb6E08f4c7C32D4f71b54bdA02913",
            "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v",
        ];
        for payee in bad {
            let offer = Offer::new(usdc(), Amount::from_atomic(1), payee.parse().unwrap());
            assert!(matches!(offer, Err(OfferError::PayTo { .. })), "{payee}");
        }
        let payee = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8".parse().unwrap();
        assert!(Offer::new(usdc(), Amount::from_atomic(1), payee).is_ok());
        assert_eq!(Offer::new(usdc(), Amount::ZERO, payee), Err(OfferError::Amount(AmountError::Zero)));
    }

    #[test]
    fn offers_are_never_empty_and_never_alike() {
        let payee = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8".parse().unwrap();
        let offer = |amount| Arc::new(Offer::new(usdc(), Amount::from_atomic(amount), payee).unwrap());
        assert_eq!(Offers::new(vec![]), Err(OfferError::Empty));
        assert!(matches!(Offers::new(vec![offer(1), offer(2)]), Err(OfferError::Twice { .. })));
        assert!(Offers::new(vec![offer(1)]).is_ok());
    }
}
