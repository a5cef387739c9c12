//! EVM signatures: EIP-712 authorizations and permits, and EIP-191 messages, checked and made.

mod key;
mod message;
mod permit2;
mod transaction;
mod transfer;

pub use key::{BadKey, EvmKey, SignedTransaction};
pub use message::{eip191_hash, recover_message};
pub use permit2::{
    EIP2612Permit, EXACT_PROXY, ExactProxy, ExactWitness, PERMIT2, Permit2, PermitTransferFrom, TokenPermissions, UPTO_PROXY, UptoProxy,
    UptoWitness, allowance_call, permit_hash, permit_nonce_call, permit2_hash, permit2_nonce_position, permit2_proxy,
};
pub use transaction::EvmTransaction;
pub use transfer::{ContractPayer, Erc20, Erc20Transfer, transfer_with_authorization_hash};

use crate::{EvmAddress, Reject};
use alloy_primitives::{B256, Signature, U256};

/// The order of secp256k1: `r` and `s` of a signature are below it.
const ORDER: U256 = U256::from_limbs([0xbfd2_5e8c_d036_4141, 0xbaae_dce6_af48_a03b, 0xffff_ffff_ffff_fffe, 0xffff_ffff_ffff_ffff]);
/// Half the order of secp256k1: the greatest `s` that tokens accept (EIP-2).
const HALF_ORDER: U256 = U256::from_limbs([0xdfe9_2f46_681b_20a0, 0x5d57_6e73_57a4_501d, 0xffff_ffff_ffff_ffff, 0x7fff_ffff_ffff_ffff]);

/// A signature in the one form tokens accept: 65 bytes, low `s`, `v` 27 or 28 (T028).
///
/// # Errors
/// [`Reject::Signature`] for any length but 64 (EIP-2098) and 65, an impossible `v`, or zero or
/// oversized `r` and `s`.
pub fn parse_signature(bytes: &[u8]) -> Result<Signature, Reject> {
    let signature = match bytes.len() {
        65 => Signature::from_raw(bytes).map_err(|_| Reject::Signature("recovery id is not 0, 1, 27 or 28"))?,
        64 => Signature::from_erc2098(bytes),
        _ => return Err(Reject::Signature("64 or 65 bytes are expected")),
    };
    if signature.r().is_zero() || signature.s().is_zero() {
        return Err(Reject::Signature("r or s is zero"));
    }
    if signature.r() >= ORDER || signature.s() >= ORDER {
        return Err(Reject::Signature("r or s is not below the order of the curve"));
    }
    Ok(if signature.s() > HALF_ORDER { signature.normalized_s() } else { signature })
}

/// The account that signed `hash`.
///
/// # Errors
/// [`Reject::Signature`] if no account could have.
pub fn recover(signature: &Signature, hash: &B256) -> Result<EvmAddress, Reject> {
    signature.recover_address_from_prehash(hash).map_err(|_| Reject::Signature("no account can have made it"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T028: found by fuzzing. What is not below the order has no lower twin, and what was made of it was beyond it, too.
    #[test]
    fn t028_r_and_s_are_below_the_order() {
        let one = U256::from(1);
        let read = |r: U256, s: U256| parse_signature(&[&r.to_be_bytes::<32>()[..], &s.to_be_bytes::<32>(), &[27]].concat());
        assert!(read(ORDER - one, one).is_ok());
        assert_eq!(read(one, ORDER - one).map(|signature| signature.s()), Ok(one), "the lower twin");
        for (r, s) in [(ORDER, one), (one, ORDER), (U256::MAX, one), (one, U256::MAX), (U256::ZERO, one), (one, U256::ZERO)] {
            assert!(matches!(read(r, s), Err(Reject::Signature(_))), "{r} {s}");
        }
        // k256 knows the order, too.
        assert!(k256::ecdsa::Signature::from_scalars((ORDER - one).to_be_bytes::<32>(), one.to_be_bytes::<32>()).is_ok());
        assert!(k256::ecdsa::Signature::from_scalars(ORDER.to_be_bytes::<32>(), one.to_be_bytes::<32>()).is_err());
    }
}
