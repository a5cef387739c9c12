//! Whom this facilitator settles to.

use h402_core::Address;

/// The payees that are settled to on one network; everybody, unless they are listed.
///
/// ```
/// use h402_facilitator::Payees;
/// let (shop, other, usdc, eurc) = ([1; 20].into(), [2; 20].into(), [3; 20].into(), [4; 20].into());
/// let [shop, other, usdc, eurc] = [shop, other, usdc, eurc].map(h402_core::Address::Evm);
/// let payees = Payees { any_asset: Some(vec![shop]), by_asset: vec![(eurc, vec![other])] };
/// assert!(payees.allow(usdc, shop) && !payees.allow(usdc, other));
/// assert!(payees.allow(eurc, other) && !payees.allow(eurc, shop), "a list of its own takes the place of the other");
/// assert!(Payees::default().allow(usdc, other));
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Payees {
    /// For assets without a list of their own; none for everybody.
    pub any_asset: Option<Vec<Address>>,
    /// By asset address.
    pub by_asset: Vec<(Address, Vec<Address>)>,
}

impl Payees {
    /// Whether this payee may be paid with this asset here.
    #[must_use]
    pub fn allow(&self, asset: Address, payee: Address) -> bool {
        let own = self.by_asset.iter().find(|(address, _)| *address == asset).map(|(_, payees)| payees);
        own.or(self.any_asset.as_ref()).is_none_or(|payees| payees.contains(&payee))
    }
}
