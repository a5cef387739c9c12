//! What code stands behind a token.

use super::{
    EvmChain,
    quantity::{Data, Fixed, number, read},
};
use crate::rpc::Call;
use alloy_primitives::{B256, b256, keccak256};
use h402_core::{EvmAddress, Undecided};

/// Where proxies keep the address of their implementation: EIP-1967, and ZeppelinOS before it, as USDC's do.
const SLOTS: [B256; 2] = [
    b256!("360894a13ba1a3210667c828492db98dca3e2076cc3735a920a3ca505d382bbc"),
    b256!("7050c9e0f4ca769c69bd3a8ef740bc37934f8e2c036e5a723fd8ee048ed3f8c3"),
];

/// The code that an operator has looked at. What stands there otherwise is another contract.
///
/// ```
/// use h402_facilitator::evm::{CodePin, FoundCode};
/// let pin = CodePin { code: [1; 32].into(), implementation: None };
/// assert!(pin.fits(&FoundCode { code: [1; 32].into(), implementation: None }));
/// assert!(!pin.fits(&FoundCode { code: [2; 32].into(), implementation: None }));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CodePin {
    /// Keccak-256 of the code at the token's address.
    pub code: B256,
    /// Keccak-256 of the code of its implementation, for a proxy that may not be given another one.
    pub implementation: Option<B256>,
}

/// The code that was found at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FoundCode {
    /// Keccak-256 of it.
    pub code: B256,
    /// Keccak-256 of the code of its implementation, if it is a proxy of EIP-1967 or of ZeppelinOS.
    pub implementation: Option<B256>,
}

impl CodePin {
    /// Whether this is the pinned code. An implementation that is not pinned may be any.
    #[must_use]
    pub fn fits(&self, found: &FoundCode) -> bool {
        self.code == found.code && (self.implementation.is_none() || self.implementation == found.implementation)
    }
}

impl EvmChain {
    /// Whether an account had code at a block. Nodes know that of their last hundred blocks, at least.
    ///
    /// # Errors
    /// [`Undecided`].
    pub async fn has_code_at(&self, who: EvmAddress, height: u64) -> Result<bool, Undecided> {
        let call = Call::new("eth_getCode", &[who.to_string(), number(height)]);
        Ok(!self.inner.read_one::<Data>(call).await?.0.is_empty())
    }

    /// What code stands at these addresses now, in their order. One HTTP request, and one more if there are proxies.
    ///
    /// # Errors
    /// [`Undecided`] if the node does not answer for all of them.
    pub async fn code(&self, addresses: &[EvmAddress]) -> Result<Vec<FoundCode>, Undecided> {
        let mut calls = Vec::new();
        for address in addresses.iter().map(ToString::to_string) {
            calls.push(code_call(&address));
            calls.extend(SLOTS.map(|slot| Call::new("eth_getStorageAt", &[address.as_str(), &slot.to_string(), "latest"])));
        }
        let mut answers = self.inner.ask(calls).await?.into_iter();
        let mut next = || answers.next().ok_or(Undecided::Chain)?.map_err(|_| Undecided::Chain);
        let mut found = Vec::with_capacity(addresses.len());
        for _ in addresses {
            let code = keccak256(read::<Data>(&next()?)?.0);
            let mut implementation = None;
            for _ in SLOTS {
                let word = read::<Fixed<B256>>(&next()?)?.0;
                implementation = implementation.or((!word.is_zero()).then(|| EvmAddress::from_word(word)));
            }
            found.push((code, implementation));
        }
        let behind: Vec<_> = found.iter().filter_map(|(_, implementation)| implementation.map(|at| code_call(&at.to_string()))).collect();
        let mut answers = if behind.is_empty() { Vec::new() } else { self.inner.ask(behind).await? }.into_iter();
        let with_implementation = |(code, implementation): (B256, Option<EvmAddress>)| {
            let implementation = match implementation {
                None => None,
                Some(_) => {
                    let answer = answers.next().ok_or(Undecided::Chain)?.map_err(|_| Undecided::Chain)?;
                    Some(keccak256(read::<Data>(&answer)?.0))
                }
            };
            Ok(FoundCode { code, implementation })
        };
        found.into_iter().map(with_implementation).collect()
    }
}

pub(super) fn code_call(address: &str) -> Call {
    Call::new("eth_getCode", &[address, "latest"])
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloy_primitives::U256;

    /// As the two specifications make them.
    #[test]
    fn slots_are_hashes_of_their_names() {
        let eip1967 = U256::from_be_bytes(keccak256("eip1967.proxy.implementation").0) - U256::from(1);
        assert_eq!(SLOTS, [B256::from(eip1967), keccak256("org.zeppelinos.proxy.implementation")]);
    }
}
