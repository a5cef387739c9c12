//! What the cluster must say about a signed payment.

use super::fixture::*;
use crate::*;

/// Each bent fact, one at a time, of payments in each coin.
#[track_caller]
fn bent(payment: &Checked, coin: Coin, expected: &str, bend: impl FnOnce(&mut SolanaFacts)) {
    let mut facts = facts(coin);
    assert_eq!(verdict(payment, &facts, &policy()), "accepted", "the honest twin");
    bend(&mut facts);
    assert_eq!(verdict(payment, &facts, &policy()), expected, "{coin:?}: {facts:?}");
}

fn own(coin: Coin) -> Checked {
    checked(matched(paid(&coin.good())))
}

fn with_sponsor(coin: Coin) -> Checked {
    checked(matched(sponsored(&coin.sponsored())))
}

#[test]
fn a_good_payment_is_attested_under_its_own_names() {
    for coin in Coin::ALL {
        for payment in [own(coin), with_sponsor(coin)] {
            let matched = payment.matched();
            let attestation = payment.judge_solana(&facts(coin), &policy()).unwrap();
            assert_eq!((attestation.key, &attestation.aliases, attestation.payer), (matched.key(), &matched.aliases(), matched.payer()));
            assert_eq!(attestation.transaction, None);
        }
    }
}

/// T084: a blockhash with fewer than twenty blocks left is refused; one that the cluster does not know has none left.
#[test]
fn t084_a_payment_must_have_blocks_left() {
    const WORD: &str = "invalid_exact_solana_payload_authorization_valid_before";
    for coin in Coin::ALL {
        for payment in [own(coin), with_sponsor(coin)] {
            for (age, expected) in
                [(Some(0), "accepted"), (Some(130), "accepted"), (Some(131), WORD), (Some(150), WORD), (Some(u64::MAX), WORD), (None, WORD)]
            {
                bent(&payment, coin, expected, |facts| facts.blockhash_age = age);
            }
        }
    }
    let strict = SolanaPolicy { min_blocks_left: 148, ..policy() };
    assert_eq!(verdict(&own(Coin::Sol), &facts(Coin::Sol), &strict), WORD);
    assert_eq!(verdict(&own(Coin::Sol), &facts(Coin::Sol), &SolanaPolicy { min_blocks_left: 147, ..policy() }), "accepted");
}

/// T092: what another cluster says decides nothing; nor do facts that are missing.
#[test]
fn t092_facts_of_another_cluster_or_none_decide_nothing() {
    for coin in Coin::ALL {
        bent(&own(coin), coin, "wrong chain", |facts| facts.genesis = GenesisPrefix::DEVNET);
        bent(&own(coin), coin, "chain", |facts| facts.simulation = None);
        bent(&with_sponsor(coin), coin, "chain", |facts| facts.fee_payer_lamports = None);
    }
    for coin in Coin::TOKENS {
        bent(&own(coin), coin, "chain", |facts| facts.mint = None);
        bent(&own(coin), coin, "wrong chain", |facts| facts.mint.as_mut().unwrap().decimals = 9);
        let other = if coin == Coin::T22 { TokenProgram::Token } else { TokenProgram::Token2022 };
        bent(&own(coin), coin, "wrong chain", |facts| facts.mint.as_mut().unwrap().program = other);
    }
}

/// T023, T024 on Solana: the balance less what is promised, and the fee.
#[test]
fn t023_t024_balances_less_promises_must_do_on_solana_too() {
    const WORD: &str = "insufficient_funds";
    for coin in Coin::ALL {
        bent(&own(coin), coin, WORD, |facts| facts.payer_lamports -= 1);
        let one = SolanaPolicy { reserved: Amount::from_atomic(1), ..policy() };
        assert_eq!(verdict(&own(coin), &facts(coin), &one), WORD);
        let mut more = facts(coin);
        if let Some(source) = &mut more.source {
            source.amount += 1
        } else {
            more.payer_lamports += 1
        };
        assert_eq!(verdict(&own(coin), &more, &one), "accepted");
        bent(&own(coin), coin, "transfer_reverts", |facts| {
            facts.simulation = Some(SolanaSimulation::Fails { reason: "custom program error: 0x1".into() });
        });
    }
    for coin in Coin::TOKENS {
        bent(&own(coin), coin, WORD, |facts| facts.source.as_mut().unwrap().amount -= 1);
        bent(&own(coin), coin, WORD, |facts| facts.source = None);
        // Where somebody else pays the fee, the payer needs no lamports at all.
        bent(&with_sponsor(coin), coin, "accepted", |facts| facts.payer_lamports = 0);
    }
}

/// T082: without an account, the payment must create it; and a sponsor does not pay for it.
#[test]
fn t082_an_account_that_is_missing_is_created_by_the_payment() {
    for coin in Coin::TOKENS {
        bent(&own(coin), coin, "accepted", |facts| facts.destination = None);
        bent(&with_sponsor(coin), coin, "solana_token_account", |facts| facts.destination = None);
    }
}

/// T080: the fee of a sponsored payment is bounded, and paid by the sponsor of this facilitator only.
#[test]
fn t080_a_sponsor_pays_so_much_and_no_more() {
    for coin in Coin::ALL {
        let payment = with_sponsor(coin);
        let judged = |policy: &SolanaPolicy| verdict(&payment, &facts(coin), policy);
        assert_eq!(judged(&policy()), "accepted");
        assert_eq!(judged(&SolanaPolicy { max_fee_lamports: 10_000, ..policy() }), "solana_fee_exceeds_limit");
        assert_eq!(judged(&SolanaPolicy { sponsor: None, ..policy() }), "solana_fee_payer_unknown");
        assert_eq!(judged(&SolanaPolicy { sponsor: Some(ours(&stranger().pubkey())), ..policy() }), "solana_fee_payer_unknown");
        // Our lack of lamports is no fault of the payer's.
        bent(&payment, coin, "gas", |facts| facts.fee_payer_lamports = Some(890_880 + 10_000));
        // The payer's own fee is the payer's own affair.
        assert_eq!(verdict(&own(coin), &facts(coin), &SolanaPolicy { sponsor: None, max_fee_lamports: 0, ..policy() }), "accepted");
    }
}

/// T085: each extension that takes liberties is refused, and accepted where a deployment says so; what arrives counts.
#[test]
fn t085_extensions_of_mints_are_accepted_by_configuration_only() {
    let none = AllowedExtensions::default();
    let fee = |basis_points, maximum| TokenExtension::TransferFee { basis_points, maximum };
    const WORD: &str = "solana_token_extension";
    const VALUE: &str = "invalid_exact_solana_payload_authorization_value";
    for (extension, allowed, configured) in [
        (TokenExtension::TransferHook, AllowedExtensions { transfer_hook: true, ..none }, "accepted"),
        (TokenExtension::PermanentDelegate, AllowedExtensions { permanent_delegate: true, ..none }, "accepted"),
        (TokenExtension::Pausable, AllowedExtensions { pausable: true, ..none }, "accepted"),
        (TokenExtension::DefaultFrozen, AllowedExtensions { default_frozen: true, ..none }, "accepted"),
        (TokenExtension::Confidential, AllowedExtensions { confidential: true, ..none }, "accepted"),
        (fee(0, u64::MAX), AllowedExtensions { transfer_fee: true, ..none }, "accepted"),
        (fee(1, u64::MAX), AllowedExtensions { transfer_fee: true, ..none }, VALUE),
        (fee(10_000, 0), AllowedExtensions { transfer_fee: true, ..none }, "accepted"),
        (TokenExtension::NonTransferable, every(), WORD),
        (TokenExtension::Unknown(28), every(), WORD),
    ] {
        let mut facts = facts(Coin::T22);
        facts.mint.as_mut().unwrap().extensions = vec![TokenExtension::Harmless, extension];
        assert_eq!(verdict(&own(Coin::T22), &facts, &policy()), WORD, "{extension:?}");
        assert_eq!(verdict(&own(Coin::T22), &facts, &SolanaPolicy { extensions: allowed, ..policy() }), configured, "{extension:?}");
    }
    bent(&own(Coin::T22), Coin::T22, "accepted", |facts| facts.mint.as_mut().unwrap().extensions = vec![TokenExtension::Harmless]);
    // With a share of one in a hundred, 10 102 leave 10 000 and 10 101 leave 9 999: 102 are kept of both.
    for (amount, expected) in [(10_102, "accepted"), (10_101, VALUE)] {
        let instructions = [limit(1000), price(1), Coin::T22.transfer(&payer().pubkey(), &payee(), amount)];
        let mut facts = facts(Coin::T22);
        facts.source.as_mut().unwrap().amount = amount;
        facts.mint.as_mut().unwrap().extensions = vec![fee(100, u64::MAX)];
        let policy = SolanaPolicy { extensions: every(), ..policy() };
        assert_eq!(verdict(&checked(matched(paid(&instructions))), &facts, &policy), expected);
    }
}

fn every() -> AllowedExtensions {
    AllowedExtensions {
        transfer_fee: true,
        transfer_hook: true,
        permanent_delegate: true,
        pausable: true,
        default_frozen: true,
        confidential: true,
    }
}

/// T086: both accounts are of the offered mint and program, whose they should be, and not frozen.
#[test]
fn t086_accounts_are_whose_they_should_be() {
    type Bend = fn(&mut TokenAccountFacts);
    let bends: [(&str, Bend); 4] = [
        ("another's", |account| account.owner = [1; 32].into()),
        ("of another mint", |account| account.mint = [1; 32].into()),
        ("frozen", |account| account.frozen = true),
        ("of the other program", |account| {
            account.program = if account.program == TokenProgram::Token { TokenProgram::Token2022 } else { TokenProgram::Token };
        }),
    ];
    for coin in Coin::TOKENS {
        for (_, bend) in bends {
            bent(&own(coin), coin, "solana_token_account", |facts| bend(facts.source.as_mut().unwrap()));
            bent(&own(coin), coin, "solana_token_account", |facts| bend(facts.destination.as_mut().unwrap()));
        }
    }
}

/// Each chain's facts judge its own payments only.
#[test]
fn payments_of_one_kind_of_chain_are_not_judged_by_the_other() {
    let evm = super::super::fixture::check(super::super::fixture::good()).unwrap();
    assert_eq!(evm.judge_solana(&facts(Coin::Sol), &policy()), Err(Undecided::WrongChain.into()));
    let evm_facts = super::super::fixture::facts();
    assert_eq!(own(Coin::Sol).judge(&evm_facts, &super::super::fixture::policy()), Err(Undecided::WrongChain.into()));
}
