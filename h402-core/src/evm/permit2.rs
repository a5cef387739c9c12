//! Payments through Permit2 and the canonical x402 proxies: what is signed, and where it goes.

use crate::{EvmAddress, Permit, Permit2Authorization, Scheme, TokenDomain};
use alloy_primitives::{B256, Bytes, U256, address};
use alloy_sol_types::{Eip712Domain, SolCall, SolStruct};

/// Where Permit2 is, on every chain that has it.
pub const PERMIT2: EvmAddress = address!("000000000022D473030F116dDEE9F6B43aC78BA3");
/// The spender of payments by scheme `exact`.
pub const EXACT_PROXY: EvmAddress = address!("402085c248EeA27D92E8b30b2C58ed07f9E20001");
/// The spender of payments by scheme `upto`.
pub const UPTO_PROXY: EvmAddress = address!("4020A4f3b7b90ccA423B9fabCc0CE57C6C240002");

/// The proxy that a payment of this scheme must name as its spender.
#[must_use]
pub const fn permit2_proxy(scheme: Scheme) -> EvmAddress {
    match scheme {
        Scheme::Exact => EXACT_PROXY,
        Scheme::Upto => UPTO_PROXY,
    }
}

/// What is signed for the exact proxy.
mod exact {
    alloy_sol_types::sol! {
        struct TokenPermissions { address token; uint256 amount; }
        struct Witness { address to; uint256 validAfter; }
        struct PermitWitnessTransferFrom { TokenPermissions permitted; address spender; uint256 nonce; uint256 deadline; Witness witness; }
    }
}

/// What is signed for the upto proxy, and EIP-2612.
mod upto {
    alloy_sol_types::sol! {
        struct TokenPermissions { address token; uint256 amount; }
        struct Witness { address to; address facilitator; uint256 validAfter; }
        struct PermitWitnessTransferFrom { TokenPermissions permitted; address spender; uint256 nonce; uint256 deadline; Witness witness; }
        struct Permit { address owner; address spender; uint256 value; uint256 nonce; uint256 deadline; }
    }
}

/// The calls of Permit2 and of the proxies.
#[allow(missing_docs, clippy::too_many_arguments)]
mod interface {
    alloy_sol_types::sol! {
        #[derive(Debug)]
        struct TokenPermissions { address token; uint256 amount; }
        #[derive(Debug)]
        struct PermitTransferFrom { TokenPermissions permitted; uint256 nonce; uint256 deadline; }
        #[derive(Debug)]
        struct ExactWitness { address to; uint256 validAfter; }
        #[derive(Debug)]
        struct UptoWitness { address to; address facilitator; uint256 validAfter; }
        #[derive(Debug)]
        struct EIP2612Permit { uint256 value; uint256 deadline; bytes32 r; bytes32 s; uint8 v; }

        #[derive(Debug)]
        interface Permit2 {
            function nonceBitmap(address owner, uint256 word) external view returns (uint256);
        }

        #[derive(Debug)]
        interface ExactProxy {
            function settle(PermitTransferFrom permit, address owner, ExactWitness witness, bytes signature) external;
            function settleWithPermit(EIP2612Permit permit2612, PermitTransferFrom permit, address owner, ExactWitness witness, bytes signature) external;
        }

        #[derive(Debug)]
        interface UptoProxy {
            function settle(PermitTransferFrom permit, uint256 amount, address owner, UptoWitness witness, bytes signature) external;
            function settleWithPermit(EIP2612Permit permit2612, PermitTransferFrom permit, uint256 amount, address owner, UptoWitness witness, bytes signature) external;
        }
    }
}
pub use interface::{EIP2612Permit, ExactProxy, ExactWitness, Permit2, PermitTransferFrom, TokenPermissions, UptoProxy, UptoWitness};

/// The EIP-712 hash that the payer of a Permit2 transfer signs, on the chain of this id.
///
/// ```
/// use alloy_primitives::U256;
/// use h402_core::{Amount, EvmAddress, EvmKey, Permit2Authorization, Permit2Witness, evm};
/// let key = EvmKey::from_hex("0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")?;
/// let authorization = Permit2Authorization {
///     from: key.address(),
///     token: EvmAddress::repeat_byte(1),
///     amount: Amount::from_atomic(10_000),
///     spender: evm::EXACT_PROXY,
///     nonce: U256::from(7),
///     deadline: U256::from(1_795_000_300_u64),
///     witness: Permit2Witness { to: EvmAddress::repeat_byte(2), valid_after: U256::ZERO, facilitator: None },
/// };
/// let signed = key.sign_permit2(authorization.clone(), 8453)?;
/// let signature = evm::parse_signature(&signed.signature)?;
/// assert_eq!(evm::recover(&signature, &evm::permit2_hash(&authorization, 8453))?, key.address());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn permit2_hash(authorization: &Permit2Authorization, chain_id: u64) -> B256 {
    let domain = Eip712Domain::new(Some("Permit2".into()), None, Some(U256::from(chain_id)), Some(PERMIT2), None);
    let Permit2Authorization { token, amount, spender, nonce, deadline, witness, .. } = authorization.clone();
    let (amount, valid_after, to) = (amount.to_u256(), witness.valid_after, witness.to);
    match witness.facilitator {
        None => exact::PermitWitnessTransferFrom {
            permitted: exact::TokenPermissions { token, amount },
            spender,
            nonce,
            deadline,
            witness: exact::Witness { to, validAfter: valid_after },
        }
        .eip712_signing_hash(&domain),
        Some(facilitator) => upto::PermitWitnessTransferFrom {
            permitted: upto::TokenPermissions { token, amount },
            spender,
            nonce,
            deadline,
            witness: upto::Witness { to, facilitator, validAfter: valid_after },
        }
        .eip712_signing_hash(&domain),
    }
}

/// The EIP-712 hash of an EIP-2612 `permit`, under the domain of its token on the chain of this id.
#[must_use]
pub fn permit_hash(permit: &Permit, domain: &TokenDomain, chain_id: u64) -> B256 {
    let (name, version) = (domain.name.clone().into(), domain.version.clone().into());
    let domain = Eip712Domain::new(Some(name), Some(version), Some(U256::from(chain_id)), Some(permit.token), None);
    upto::Permit {
        owner: permit.owner,
        spender: permit.spender,
        value: permit.value.to_u256(),
        nonce: permit.nonce,
        deadline: permit.deadline,
    }
    .eip712_signing_hash(&domain)
}

/// The call of a token that tells how much Permit2 may move for an owner.
#[must_use]
pub fn allowance_call(owner: EvmAddress) -> Bytes {
    super::Erc20::allowanceCall { owner, spender: PERMIT2 }.abi_encode().into()
}

/// The call of a token that tells an owner's next EIP-2612 nonce.
#[must_use]
pub fn permit_nonce_call(owner: EvmAddress) -> Bytes {
    super::Erc20::noncesCall { owner }.abi_encode().into()
}

/// Where Permit2 keeps whether a nonce is used: the word of its bitmap, and the bit in it.
#[must_use]
pub fn permit2_nonce_position(nonce: U256) -> (U256, U256) {
    (nonce >> 8, U256::from(1) << (nonce & U256::from(0xff)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Type hashes as the field publishes them, and as `keccak256` of the type strings gives them.
    #[test]
    fn types_are_those_of_the_proxies() {
        let hashes = [
            (exact::PermitWitnessTransferFrom::eip712_encode_type(), "0xebc156cd23678a74c94df13d772ef5478420637f0c94bd10d509e1dc98f521c7"),
            (upto::PermitWitnessTransferFrom::eip712_encode_type(), "0x51dff6974ad4388c499e7fcfe838d2bd767162553a144098ce20ea661d70c2ee"),
        ];
        for (text, want) in hashes {
            assert_eq!(alloy_primitives::keccak256(text.as_bytes()).to_string(), want, "{text}");
        }
        let permit = "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)";
        assert_eq!(upto::Permit::eip712_encode_type(), permit);
    }

    /// By hand: 256 nonces share a word.
    #[test]
    fn a_nonce_is_one_bit_of_one_word() {
        let cases = [(0_u64, 0_u64, 0_u32), (1, 0, 1), (255, 0, 255), (256, 1, 0), (515, 2, 3)];
        for (nonce, word, bit) in cases {
            let mut mask = U256::ZERO;
            mask.set_bit(usize::try_from(bit).unwrap(), true);
            assert_eq!(permit2_nonce_position(U256::from(nonce)), (U256::from(word), mask), "{nonce}");
        }
        let (word, _) = permit2_nonce_position(U256::MAX);
        assert_eq!(word, U256::MAX >> 8);
    }
}
