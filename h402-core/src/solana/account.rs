//! Token accounts: where an owner's tokens of a mint are kept.

use super::program::ASSOCIATED_TOKEN;
use crate::{SolanaAddress, TokenProgram};
use ed25519_dalek::VerifyingKey;
use sha2::{Digest, Sha256};

/// The token account that belongs to `owner` and `mint` by its very address. It may not exist yet.
///
/// Costs about as much as checking a signature. `None` if there is no such address, which no owner and mint in
/// practice have.
///
/// ```
/// use h402_core::{TokenProgram, solana::associated_token_account};
/// let usdc = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v".parse()?;
/// let owner = "4pX5LbCK85Sf6iLXMwUodo2f5rvQKAofyhANT6TUwG3f".parse()?;
/// let account = associated_token_account(&owner, &usdc, TokenProgram::Token).map(|account| account.to_string());
/// assert_eq!(account.as_deref(), Some("HECRyYmC4i8bT6Dksf5jnFsaVhg8id9sofmdprkhSDrA"));
/// # Ok::<(), h402_core::BadAddress>(())
/// ```
#[must_use]
pub fn associated_token_account(owner: &SolanaAddress, mint: &SolanaAddress, program: TokenProgram) -> Option<SolanaAddress> {
    let seeds = Sha256::new().chain_update(owner.as_bytes()).chain_update(program.address().as_bytes()).chain_update(mint.as_bytes());
    (0..=u8::MAX).rev().find_map(|bump| {
        let hash = seeds.clone().chain_update([bump]).chain_update(ASSOCIATED_TOKEN.as_bytes()).chain_update(b"ProgramDerivedAddress");
        let address: [u8; 32] = hash.finalize().into();
        // An address that is a point of the curve could be somebody's key, and so is none of a program's.
        VerifyingKey::from_bytes(&address).is_err().then(|| SolanaAddress::from_bytes(address))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        /// As Solana's own crate finds them, whichever bump that takes.
        #[test]
        fn accounts_are_found_where_solana_finds_them(owner: [u8; 32], mint: [u8; 32]) {
            use spl_associated_token_account_interface::address::get_associated_token_address_with_program_id;
            for program in [TokenProgram::Token, TokenProgram::Token2022] {
                let theirs = get_associated_token_address_with_program_id(&owner.into(), &mint.into(), &program.address().as_bytes().to_owned().into());
                let ours = associated_token_account(&owner.into(), &mint.into(), program).unwrap();
                proptest::prop_assert_eq!(*ours.as_bytes(), theirs.to_bytes());
            }
        }
    }

    /// Computed with python3, hashlib and the curve's equation; the second bumps down to 251.
    #[test]
    fn accounts_of_both_programs_are_found() {
        let usdc: SolanaAddress = "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v".parse().unwrap();
        let cases = [
            (
                "4pX5LbCK85Sf6iLXMwUodo2f5rvQKAofyhANT6TUwG3f",
                "HECRyYmC4i8bT6Dksf5jnFsaVhg8id9sofmdprkhSDrA",
                "DUBwk9Giy6vbTziBph1D34nyqVZ7VrzbxyER5Ea5G5sY",
            ),
            (
                "GmaDrppBC7P5ARKV8g3djiwP89vz1jLK23V2GBjuAEGB",
                "7woc3ajaGMMXczFYjxon4aQoHH3j126fMUR9c58eHRsK",
                "7xBDZrwWNm6Zj1i12GTpCVwKrMrJzPaWv5fZ1Hz817RJ",
            ),
        ];
        for (owner, token, token_2022) in cases {
            let owner = owner.parse().unwrap();
            let account = |program| associated_token_account(&owner, &usdc, program).unwrap().to_string();
            assert_eq!((account(TokenProgram::Token), account(TokenProgram::Token2022)), (token.to_owned(), token_2022.to_owned()));
        }
    }
}
