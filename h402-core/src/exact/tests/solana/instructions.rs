//! What may be in a transaction beside its one transfer.

use super::fixture::*;
use crate::*;

fn refused(instructions: &[Instruction], with: &str) {
    assert_eq!(word(matched(paid(instructions))), with, "{instructions:?}");
}

/// A good payment with one more instruction, in front and at the end.
fn with(coin: Coin, extra: Instruction) -> [Vec<Instruction>; 2] {
    let (mut first, mut last) = (vec![extra.clone()], coin.good());
    first.extend(coin.good());
    last.push(extra);
    [first, last]
}

#[test]
fn the_shapes_of_both_protocols_are_accepted_in_any_order() {
    for coin in Coin::ALL {
        let mut good = coin.good();
        for _ in 0..good.len() {
            good.rotate_left(1);
            let matched = matched(paid(&good)).unwrap();
            assert_eq!(matched.amount(), Amount::from_atomic(u128::from(PRICE)));
            assert_eq!(matched.payer(), ours(&payer().pubkey()).into());
            assert_eq!(matched.requirements().offer, coin.offer());
            let payment = payment(&matched);
            assert_eq!((payment.unit_limit, payment.unit_price), (Some(100_000), 1));
            assert_eq!((payment.is_sponsored(), payment.creates_destination), (false, coin != Coin::Sol));
            // Two times 5000 lamports and a hundred thousand units at a millionth each.
            assert_eq!(payment.max_fee(), 5_001);
        }
        let mut other = coin.sponsored();
        for _ in 0..other.len() {
            other.rotate_left(1);
            let matched = matched(sponsored(&other)).unwrap();
            let payment = payment(&matched);
            assert_eq!((payment.payer, payment.fee_payer), (ours(&payer().pubkey()), ours(&sponsor().pubkey())));
            assert_eq!((payment.max_fee(), payment.blockhash), (10_001, [5; 32]));
        }
    }
}

/// T071: every instruction of the System program but `Transfer`, made so that its bytes read like one, is refused; and
/// so is a transfer with anything more or less than its twelve bytes and two accounts.
#[test]
fn t071_only_a_transfer_passes_as_a_transfer() {
    const SYSTEM: &str = "11111111111111111111111111111111";
    let from = AccountMeta::new(payer().pubkey(), true);
    let to = AccountMeta::new(payee(), false);
    let pay = |tag: u32, accounts: &[AccountMeta], tail: &[u8]| {
        let data = [tag.to_le_bytes().as_slice(), &PRICE.to_le_bytes(), tail].concat();
        vec![limit(1000), price(1), plain(SYSTEM, accounts, &data)]
    };
    assert_eq!(word(matched(paid(&pay(2, &[from.clone(), to.clone()], &[])))), "accepted");
    for tag in (0..=12).filter(|tag| *tag != 2) {
        let expected = if tag == 4 { "solana_durable_nonce" } else { "solana_instruction" };
        for tail in [&[][..], &[0; 24], &[1; 44]] {
            refused(&pay(tag, &[from.clone(), to.clone()], tail), expected);
        }
    }
    // The recorded bypass of the reference: `Allocate` with a high bit in its tag.
    refused(&pay(0x80, &[from.clone(), to.clone()], &[]), "solana_instruction");
    let stranger = AccountMeta::new(stranger().pubkey(), false);
    for (accounts, tail) in [
        (vec![from.clone(), to.clone()], vec![0]),
        (vec![from.clone()], vec![]),
        (vec![from.clone(), to.clone(), stranger.clone()], vec![]),
        (vec![stranger, to.clone()], vec![]),
    ] {
        refused(&pay(2, &accounts, &tail), "solana_instruction");
    }
    let mut short = pay(2, &[from, to], &[]);
    short[2].data.pop();
    refused(&short, "solana_instruction");
}

/// T071: of the token programs, only `TransferChecked` with its ten bytes and four accounts pays.
#[test]
fn t071_only_a_checked_transfer_passes_as_one_of_tokens() {
    for coin in Coin::TOKENS {
        let transfer = coin.transfer(&payer().pubkey(), &payee(), PRICE);
        let bent = |bend: &dyn Fn(&mut Instruction)| {
            let mut instruction = transfer.clone();
            bend(&mut instruction);
            vec![limit(1000), price(1), instruction]
        };
        assert_eq!(word(matched(paid(&bent(&|_| {})))), "accepted");
        // Transfer 3, Approve 4, Burn 8, CloseAccount 9, ApproveChecked 13, BurnChecked 15, extensions 26 and more.
        for tag in (0..=45).filter(|tag| *tag != 12) {
            refused(&bent(&|instruction| instruction.data[0] = tag), "solana_instruction");
        }
        refused(&bent(&|instruction| instruction.data.push(0)), "solana_instruction");
        refused(&bent(&|instruction| instruction.data.truncate(9)), "solana_instruction");
        refused(&bent(&|instruction| instruction.accounts.truncate(3)), "solana_instruction");
        // A hook's accounts, or those of several signers.
        refused(&bent(&|instruction| instruction.accounts.push(AccountMeta::new_readonly(coin.mint(), false))), "solana_instruction");
        let unsigned = AccountMeta::new_readonly(stranger().pubkey(), false);
        refused(&bent(&|instruction| instruction.accounts[3] = unsigned.clone()), "solana_instruction");
    }
}

/// T077: a fee payer that is anywhere in an instruction, and every instruction that payments do not need.
#[test]
fn t077_the_fee_payer_is_in_no_instruction() {
    let sponsor = sponsor().pubkey();
    let meta = |key: Pubkey| AccountMeta::new(key, false);
    for coin in Coin::ALL {
        assert_eq!(word(matched(sponsored(&coin.sponsored()))), "accepted");
        let cases = [
            ("a transfer of its lamports", Coin::Sol.transfer(&sponsor, &stranger().pubkey(), 1), "solana_two_transfers"),
            (
                "an approval",
                plain(&coin.program().to_string(), &[meta(payee()), meta(payee()), meta(sponsor)], &[4, 1, 0, 0, 0, 0, 0, 0, 0]),
                "solana_instruction",
            ),
            (
                "a closed account",
                plain(&coin.program().to_string(), &[meta(payee()), meta(payee()), meta(sponsor)], &[9]),
                "solana_instruction",
            ),
            ("a created account", Coin::Usdc.create(&sponsor, &payee()), "solana_fee_payer_used"),
            (
                "a memo in its name",
                plain("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr", &[AccountMeta::new_readonly(sponsor, true)], b"x"),
                "solana_fee_payer_used",
            ),
            ("an assertion about it", lighthouse(&[meta(sponsor)], &[5, 0, 0, 0]), "solana_fee_payer_used"),
            ("an unknown program", plain(USDC, &[], &[]), "solana_instruction"),
        ];
        for (what, extra, expected) in cases {
            let mut instructions = coin.sponsored();
            instructions.push(extra);
            assert_eq!(word(matched(sponsored(&instructions))), expected, "{what} beside {coin:?}");
        }
        // Its own tokens, or its lamports, as the payment itself.
        let instructions = [limit(1000), price(1), coin.transfer(&sponsor, &payee(), PRICE)];
        let alone = signed(&instructions, &sponsor, &[]);
        assert_eq!(word(matched(alone)), "invalid_exact_solana_payload_signature", "{coin:?}: nobody signed");
        // Paid to the sponsor: then it is the payee, and in the accounts.
        let offer = Offer::new(coin.asset(), Amount::from_atomic(1), ours(&sponsor).into()).unwrap();
        let to_sponsor = sponsored(&[limit(1000), price(1), coin.transfer(&payer().pubkey(), &sponsor, PRICE)]);
        let expected = if coin == Coin::Sol { "solana_fee_payer_used" } else { "accepted" };
        assert_eq!(word(match_with(presented(to_sponsor), vec![offer.into()])), expected);
    }
    // The fee payer as a program does not even decode.
    let mut message = compiled(&Coin::Sol.sponsored(), &sponsor);
    message.instructions[3].program_id_index = 0;
    assert_eq!(word(matched(encoded(solana_message::VersionedMessage::V0(message), &[&payer()]))), "solana_undecodable");
}

/// T078: keys that tables hold are refused, used or not.
#[test]
fn t078_lookup_tables_are_refused() {
    use solana_message::v0::MessageAddressTableLookup;
    for coin in Coin::ALL {
        let mut message = compiled(&coin.good(), &payer().pubkey());
        let plain = solana_message::VersionedMessage::V0(message.clone());
        assert_eq!(word(matched(encoded(plain, &[&payer()]))), "accepted");
        let table = MessageAddressTableLookup { account_key: key(USDC), writable_indexes: vec![1], readonly_indexes: vec![] };
        message.address_table_lookups = vec![table];
        let unused = solana_message::VersionedMessage::V0(message.clone());
        assert_eq!(word(matched(encoded(unused, &[&payer()]))), "solana_lookup_tables");
        // The payee only in a table.
        let last = message.instructions.len() - 1;
        let loaded = u8::try_from(message.account_keys.len()).unwrap();
        message.instructions[last].accounts[1] = loaded;
        let used = solana_message::VersionedMessage::V0(message);
        assert_eq!(word(matched(encoded(used, &[&payer()]))), "solana_lookup_tables");
    }
}

/// T080: limit and price of units at most once each, and bounded; no other setting.
#[test]
fn t080_the_compute_budget_is_set_once_and_bounded() {
    const WORD: &str = "solana_compute_budget";
    let pay = |budgets: &[Instruction]| {
        let mut instructions = budgets.to_vec();
        instructions.push(Coin::Sol.transfer(&payer().pubkey(), &payee(), PRICE));
        instructions
    };
    let sponsored_word = |budgets: &[Instruction]| word(matched(sponsored(&pay(budgets))));
    for (budgets, own, others) in [
        (vec![limit(1_400_000), price(5_000_000)], "accepted", WORD),
        (vec![limit(400_000), price(5_000_000)], "accepted", "accepted"),
        (vec![limit(400_001), price(1)], "accepted", WORD),
        (vec![limit(1_400_001), price(1)], WORD, WORD),
        (vec![limit(1000), price(5_000_001)], WORD, WORD),
        (vec![limit(1000), price(u64::MAX)], WORD, WORD),
        (vec![limit(1000)], "accepted", "accepted"),
        (vec![price(1)], "accepted", WORD),
        (vec![], "accepted", WORD),
        (vec![limit(1000), limit(1000), price(1)], WORD, WORD),
        (vec![limit(1000), price(1), price(1)], WORD, WORD),
        // RequestHeapFrame, SetLoadedAccountsDataSizeLimit, the deprecated first one, and longer spellings.
        (vec![limit(1000), budget(&[1, 0, 0, 4, 0])], WORD, WORD),
        (vec![limit(1000), budget(&[4, 0, 0, 1, 0])], WORD, WORD),
        (vec![limit(1000), budget(&[0, 0, 0, 0, 0, 0, 0, 0, 0])], WORD, WORD),
        (vec![budget(&[2, 1, 0, 0, 0, 0])], WORD, WORD),
        (vec![budget(&[3, 1, 0, 0, 0])], WORD, WORD),
        (vec![budget(&[])], WORD, WORD),
    ] {
        assert_eq!((word(matched(paid(&pay(&budgets)))), sponsored_word(&budgets)), (own, others), "{budgets:?}");
    }
    let mut with_account = pay(&[limit(1000), price(1)]);
    with_account[0].accounts.push(AccountMeta::new_readonly(payee(), false));
    refused(&with_account, "solana_instruction");
    // The most that the fee can be: a price without a limit is for all units there can be.
    for (budgets, fee) in [
        (vec![limit(1_400_000), price(5_000_000)], 7_005_000),
        (vec![price(1_000_000)], 1_405_000),
        (vec![limit(3), price(400_000)], 5_002),
        (vec![], 5_000),
    ] {
        assert_eq!(payment(&matched(paid(&pay(&budgets))).unwrap()).max_fee(), fee, "{budgets:?}");
    }
}

/// T082: an account is created for the payee, of the offered mint, at the payer's cost; once, and idempotently.
#[test]
fn t082_only_the_payer_pays_for_the_payees_account() {
    let (me, other) = (payer().pubkey(), stranger().pubkey());
    for coin in Coin::TOKENS {
        let pay = |creations: &[Instruction]| {
            let mut instructions = vec![limit(1000), price(1)];
            instructions.extend_from_slice(creations);
            instructions.push(coin.transfer(&me, &payee(), PRICE));
            instructions
        };
        let good = coin.create(&me, &payee());
        let bent = |bend: &dyn Fn(&mut Instruction)| {
            let mut creation = good.clone();
            bend(&mut creation);
            creation
        };
        assert_eq!(word(matched(paid(&pay(std::slice::from_ref(&good))))), "accepted");
        let twin = if coin == Coin::Usdc { Coin::T22 } else { Coin::Usdc };
        for (what, creation) in [
            ("for somebody else", coin.create(&me, &other)),
            ("of another mint", twin.create(&me, &payee())),
            ("at the cost of one who does not sign", bent(&|creation| creation.accounts[0] = AccountMeta::new(other, false))),
            ("not idempotent", bent(&|creation| creation.data = vec![0])),
            ("without data", bent(&|creation| creation.data = vec![])),
            ("recovering nested ones", bent(&|creation| creation.data = vec![2])),
            ("with an account more", bent(&|creation| creation.accounts.push(AccountMeta::new_readonly(me, true)))),
            ("with another account", bent(&|creation| creation.accounts[1].pubkey = twin.account(&payee()))),
            ("of the other program", bent(&|creation| creation.accounts[5].pubkey = twin.program())),
            ("of no program", bent(&|creation| creation.accounts[5].pubkey = key(USDC))),
            ("without the System program", bent(&|creation| creation.accounts[4].pubkey = key(USDC))),
        ] {
            assert_eq!(word(matched(paid(&pay(&[creation])))), "solana_instruction", "{what}");
        }
        assert_eq!(word(matched(paid(&pay(&[good.clone(), good.clone()])))), "solana_instruction", "twice");
        let funded = signed(&pay(&[coin.create(&other, &payee())]), &me, &[&payer(), &stranger()]);
        assert_eq!(word(matched(funded)), "solana_signer_set", "at a stranger's cost");
        // Where a sponsor pays the fee, the account is still the payer's to pay for.
        let mut instructions = coin.sponsored();
        instructions.insert(2, coin.create(&me, &payee()));
        assert_eq!(word(matched(sponsored(&instructions))), "accepted");
        instructions[2] = coin.create(&sponsor().pubkey(), &payee());
        assert_eq!(word(matched(sponsored(&instructions))), "solana_fee_payer_used");
    }
}

/// T083: a transaction with a durable nonce never expires; it is refused wherever the nonce is advanced.
#[test]
fn t083_durable_nonces_are_refused() {
    let advance = solana_system_interface::instruction::advance_nonce_account(&key(USDC), &payer().pubkey());
    for coin in Coin::ALL {
        assert_eq!(word(matched(paid(&coin.good()))), "accepted");
        for instructions in with(coin, advance.clone()) {
            refused(&instructions, "solana_durable_nonce");
        }
    }
}

/// T086: where it goes, of what, how much, and that it is one transfer.
#[test]
fn t086_exactly_one_transfer_pays_the_price_into_the_payees_account() {
    let (me, other) = (payer().pubkey(), stranger().pubkey());
    for coin in Coin::TOKENS {
        let twin = if coin == Coin::Usdc { Coin::T22 } else { Coin::Usdc };
        let (source, destination) = (coin.account(&me), coin.account(&payee()));
        for (what, instruction, expected) in [
            ("the price", coin.move_tokens(&source, &destination, &me, PRICE, 6), "accepted"),
            ("more", coin.move_tokens(&source, &destination, &me, u64::MAX, 6), "accepted"),
            ("another account of the payer's", coin.move_tokens(&key(USDC), &destination, &me, PRICE, 6), "accepted"),
            ("one less", coin.move_tokens(&source, &destination, &me, PRICE - 1, 6), "invalid_exact_solana_payload_authorization_value"),
            ("nothing", coin.move_tokens(&source, &destination, &me, 0, 6), "invalid_exact_solana_payload_authorization_value"),
            ("other decimals", coin.move_tokens(&source, &destination, &me, PRICE, 9), "solana_instruction"),
            ("to a stranger", coin.transfer(&me, &other, PRICE), "invalid_exact_solana_payload_recipient_mismatch"),
            ("to the payee itself", coin.move_tokens(&source, &payee(), &me, PRICE, 6), "invalid_exact_solana_payload_recipient_mismatch"),
            (
                "to the account of the other mint",
                coin.move_tokens(&source, &twin.account(&payee()), &me, PRICE, 6),
                "invalid_exact_solana_payload_recipient_mismatch",
            ),
            ("from the destination", coin.move_tokens(&destination, &destination, &me, PRICE, 6), "solana_instruction"),
        ] {
            assert_eq!(word(matched(paid(&[limit(1000), price(1), instruction]))), expected, "{what}");
        }
        // A mint nobody offers, and an offered mint through the other token program.
        let mut unknown = coin.transfer(&me, &payee(), PRICE);
        unknown.accounts[1].pubkey = key("11111111111111111111111111111112");
        refused(&[unknown], "unsupported_asset");
        let mut through = coin.transfer(&me, &payee(), PRICE);
        through.program_id = twin.program();
        refused(&[through], "unsupported_asset");
        // The payee pays itself.
        let mine = Offer::new(coin.asset(), Amount::from_atomic(1), ours(&me).into()).unwrap();
        let to_me = paid(&[coin.move_tokens(&key(USDC), &coin.account(&me), &me, PRICE, 6)]);
        assert_eq!(word(match_with(presented(to_me), vec![mine.into()])), "solana_instruction");
    }
    for coin in Coin::ALL {
        for second in Coin::ALL {
            let mut instructions = coin.good();
            instructions.push(second.transfer(&me, &other, 1));
            refused(&instructions, "solana_two_transfers");
        }
        let mut without = coin.good();
        without.pop();
        refused(&without, "solana_no_transfer");
        // One unit less is taken where the offer says so, and two less are not.
        let tolerant = (*coin.offer()).clone().with_one_unit_tolerance();
        for (less, expected) in [(1, "accepted"), (2, "invalid_exact_solana_payload_authorization_value")] {
            let pay = paid(&[coin.transfer(&me, &payee(), PRICE - less)]);
            assert_eq!(word(match_with(presented(pay), vec![tolerant.clone().into()])), expected);
        }
    }
    refused(&[Coin::Sol.transfer(&me, &other, PRICE)], "invalid_exact_solana_payload_recipient_mismatch");
    refused(&[], "solana_no_transfer");
}

/// What wallets add: memos and assertions about accounts; and what looks like these.
#[test]
fn memos_and_assertions_are_all_that_may_be_added() {
    const MEMO_V1: &str = "Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo";
    const MEMO: &str = "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr";
    let me = AccountMeta::new_readonly(payer().pubkey(), true);
    let mut extras = vec![
        ("a memo", memo("für dich".as_bytes()), true),
        ("an old memo", plain(MEMO_V1, &[], b"text"), true),
        ("a memo in the payer's name", plain(MEMO, &[me], b"text"), true),
        ("the longest memo", memo(&[b'x'; 256]), true),
        ("a longer memo", memo(&[b'x'; 257]), false),
        ("a memo that is no text", memo(&[0xff]), false),
        ("a memo in another's name", plain(MEMO, &[AccountMeta::new_readonly(payee(), false)], b"text"), false),
        ("an assertion without a level", lighthouse(&[], &[5]), false),
        ("an assertion that says nothing", lighthouse(&[], &[]), false),
    ];
    let account = AccountMeta::new(payer().pubkey(), true);
    for kind in 0..=20 {
        let reads = matches!(kind, 2 | 3 | 5..=10);
        extras.push(("an assertion of each kind", lighthouse(std::slice::from_ref(&account), &[kind, 4, 0, 0]), reads));
    }
    for level in 0..=7 {
        // 3 and 6 log through a call of another program.
        let logs = matches!(level, 0 | 1 | 2 | 4 | 5);
        extras.push(("an assertion of each level", lighthouse(std::slice::from_ref(&account), &[5, level, 0, 0]), logs));
    }
    for coin in Coin::ALL {
        for (what, extra, accepted) in &extras {
            for instructions in with(coin, extra.clone()) {
                let expected = if *accepted { "accepted" } else { "solana_instruction" };
                assert_eq!(word(matched(paid(&instructions))), expected, "{what}: {extra:?}");
            }
        }
    }
}
