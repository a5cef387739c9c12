use super::*;
use TokenProgram::{Token, Token2022};
use proptest::{collection::vec, prelude::*};
use solana_program_pack::Pack;
use spl_token_interface::state::{Account, AccountState, Mint};

fn account(state: AccountState) -> Vec<u8> {
    let account = Account { mint: [1; 32].into(), owner: [2; 32].into(), amount: 77, state, ..Account::default() };
    let mut data = vec![0; Account::LEN];
    account.pack_into_slice(&mut data);
    data
}

fn mint(decimals: u8, is_initialized: bool) -> Vec<u8> {
    let mut data = vec![0; Mint::LEN];
    Mint { decimals, is_initialized, ..Mint::default() }.pack_into_slice(&mut data);
    data
}

/// A mint with extensions: padded to the length of an account, marked as a mint, then type, length and value of each.
fn extended(extensions: &[(u16, &[u8])]) -> Vec<u8> {
    let mut data = mint(6, true);
    data.resize(ACCOUNT_LENGTH, 0);
    data.push(1);
    for (kind, value) in extensions {
        data.extend_from_slice(&kind.to_le_bytes());
        data.extend_from_slice(&u16::try_from(value.len()).unwrap().to_le_bytes());
        data.extend_from_slice(value);
    }
    data
}

fn read(extensions: &[(u16, &[u8])]) -> Vec<TokenExtension> {
    MintFacts::decode(Token2022, &extended(extensions)).unwrap().extensions
}

#[test]
fn accounts_are_read_as_the_token_program_packs_them() {
    for program in [Token, Token2022] {
        let expected = TokenAccountFacts { program, mint: [1; 32].into(), owner: [2; 32].into(), amount: 77, frozen: false };
        assert_eq!(TokenAccountFacts::decode(program, &account(AccountState::Initialized)), Some(expected));
        let frozen = TokenAccountFacts { frozen: true, ..expected };
        assert_eq!(TokenAccountFacts::decode(program, &account(AccountState::Frozen)), Some(frozen));
        assert_eq!(TokenAccountFacts::decode(program, &account(AccountState::Uninitialized)), None);
        // Marked as an account, with an immutable owner; marked as a mint; a list of signers.
        let longer = |mark: u8, length: usize| {
            let mut data = account(AccountState::Initialized);
            data.extend_from_slice(&[mark, 7, 0, 0, 0]);
            data.resize(length, 0);
            TokenAccountFacts::decode(program, &data)
        };
        assert_eq!(longer(2, 170), Some(expected).filter(|_| program == Token2022));
        assert_eq!((longer(1, 170), longer(2, 355)), (None, None));
        assert_eq!(TokenAccountFacts::decode(program, &account(AccountState::Initialized)[..164]), None);
        assert_eq!(TokenAccountFacts::decode(program, &mint(6, true)), None);
    }
}

#[test]
fn mints_are_read_as_the_token_program_packs_them() {
    for program in [Token, Token2022] {
        let expected = MintFacts { program, decimals: 9, extensions: vec![] };
        assert_eq!(MintFacts::decode(program, &mint(9, true)), Some(expected));
        assert_eq!(MintFacts::decode(program, &mint(9, false)), None);
        assert_eq!(MintFacts::decode(program, &mint(9, true)[..81]), None);
        assert_eq!(MintFacts::decode(program, &account(AccountState::Initialized)), None);
    }
    assert_eq!(MintFacts::decode(Token, &extended(&[])), None, "only Token-2022 has extensions");
    assert_eq!(read(&[]), []);
}

/// T085: types as Token-2022 numbers them.
#[test]
fn t085_extensions_are_known_by_their_numbers() {
    use TokenExtension as E;
    let key = [3; 32];
    for (kind, value, expected) in [
        (3, &key[..], E::Harmless),
        (4, &key, E::Confidential),
        (6, &[2], E::DefaultFrozen),
        (6, &[1], E::Harmless),
        (9, &[], E::NonTransferable),
        (10, &key, E::Harmless),
        (12, &key, E::PermanentDelegate),
        (12, &[0; 32], E::Harmless),
        (14, &[0; 64], E::TransferHook),
        (16, &key, E::Confidential),
        (18, &key, E::Harmless),
        (19, &key, E::Harmless),
        (24, &key, E::Confidential),
        (25, &key, E::Harmless),
        (26, &key, E::Pausable),
        (28, &key, E::Unknown(28)),
        (999, &key, E::Unknown(999)),
    ] {
        assert_eq!(read(&[(18, &[1; 64]), (kind, value)]), [E::Harmless, expected], "{kind}");
    }
    // Padding after the last one, and one that is cut off.
    assert_eq!(read(&[(9, &[]), (0, &[]), (12, &key)]), [E::NonTransferable]);
    let mut cut = extended(&[(12, &key)]);
    cut.pop();
    assert_eq!(MintFacts::decode(Token2022, &cut), None);
}

/// T085: of the two fees that may count, the dearer parts do.
#[test]
fn t085_the_dearer_fee_counts() {
    let fee = |older: (u64, u16), newer: (u64, u16)| {
        let mut value = vec![0; 72];
        for (maximum, basis_points) in [older, newer] {
            value.extend_from_slice(&5_u64.to_le_bytes());
            value.extend_from_slice(&maximum.to_le_bytes());
            value.extend_from_slice(&basis_points.to_le_bytes());
        }
        read(&[(1, &value)])
    };
    let of = |basis_points, maximum| vec![TokenExtension::TransferFee { basis_points, maximum }];
    assert_eq!(fee((1_000, 50), (9, 100)), of(100, 1_000));
    assert_eq!(fee((1, 7), (2, 3)), of(7, 2));
    assert_eq!(MintFacts::decode(Token2022, &extended(&[(1, &[0; 107])])), None);
}

proptest! {
    #[test]
    fn no_bytes_panic(data in vec(any::<u8>(), 0..400), tail in vec(any::<u8>(), 0..200)) {
        let marked = [account(AccountState::Initialized), vec![1], tail].concat();
        for data in [data, marked] {
            for program in [Token, Token2022] {
                let both = (TokenAccountFacts::decode(program, &data).is_some(), MintFacts::decode(program, &data).is_some());
                prop_assert_ne!(both, (true, true));
            }
        }
    }
}
