use super::{GateConfigError, Price};
use h402_core::{Address, Amount, AmountError, Assets, Network, Offer, Peg};

/// Who is paid on one network.
///
/// ```
/// use h402_core::Network;
/// use h402_tower::gate::Payee;
/// let me = Payee::new(Network::Evm(8453), "0x70997970C51812dc3A010C7d01b50e0d17dc79C8".parse()?);
/// assert_eq!(me.network, Network::Evm(8453));
/// # Ok::<(), h402_core::BadAddress>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Payee {
    /// On which network.
    pub network: Network,
    /// At which address.
    pub address: Address,
}

impl Payee {
    /// Is paid at `address` on `network`.
    #[must_use]
    pub fn new(network: Network, address: Address) -> Self {
        Self { network, address }
    }
}

/// A price in dollars that has no payees yet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "a price needs payees"]
pub struct UsdPrice {
    dollars: String,
}

impl UsdPrice {
    pub(super) fn new(dollars: &str) -> Self {
        Self { dollars: dollars.to_owned() }
    }

    /// Offers every dollar-pegged asset of the payees' networks, exactly or not at all.
    ///
    /// Assets that take gasless authorizations come first on each network: some clients only ever pay the first.
    ///
    /// # Errors
    /// [`GateConfigError::NoPeggedAsset`] for a network without one; [`GateConfigError::Offer`] if an amount is no
    /// number, has more digits than an asset, or cannot be written so that every client reads it alike.
    pub fn to(self, payees: &[Payee], assets: &Assets) -> Result<Price, GateConfigError> {
        let mut offers = Vec::new();
        for payee in payees {
            let mut pegged: Vec<_> =
                assets.iter().filter(|asset| asset.id.network == payee.network && asset.peg == Some(Peg::Usd)).cloned().collect();
            if pegged.is_empty() {
                return Err(GateConfigError::NoPeggedAsset { network: payee.network });
            }
            pegged.sort_by_key(|asset| asset.eip3009.is_none());
            for asset in pegged {
                let amount = self.amount(asset.decimals)?;
                offers.push(Offer::new(asset, amount, payee.address)?);
            }
        }
        Price::offers(offers)
    }

    fn amount(&self, decimals: u8) -> Result<Amount, GateConfigError> {
        Amount::from_units(&self.dollars, decimals).map_err(|error: AmountError| GateConfigError::Offer(error.into()))
    }
}
