//! Payments that the payer has sent.

use super::fixture::*;
use crate::*;
use std::sync::Arc;

const UNCLAIMED: &str = "invalid_exact_solana_payload_signature";
const UNSEEN: &str = "transfer_not_observed";

fn claim(key: &Keypair, text: &str) -> SolanaClaim {
    SolanaClaim { signer: ours(&key.pubkey()), signed_message: key.sign_message(text.as_bytes()).as_ref().try_into().unwrap() }
}

fn claimed(raw: &[u8], claim: Option<SolanaClaim>) -> PaymentPayload {
    let signature = raw[1..65].try_into().unwrap();
    payload(SOLANA, Payload::SolanaSent(SentSolanaTransaction { signature, claim }))
}

/// What is on chain after `instructions`, and the payment that the payer makes of it.
fn sent(coin: Coin, raw: &[u8]) -> (Checked, SolanaFacts) {
    let checked = checked(match_with(claimed(raw, Some(claim(&payer(), URL))), vec![coin.offer()]));
    let place = if coin == Coin::Sol { payee() } else { coin.account(&payee()) };
    let lamports = vec![NativeChange { account: ours(&payee()), before: 3, after: 3 + if coin == Coin::Sol { PRICE } else { 0 } }];
    let change = TokenChange { account: ours(&place), mint: ours(&coin.mint()), owner: ours(&payee()), before: 0, after: PRICE };
    let facts = SolanaSentFacts {
        transaction: solana::SolanaTransaction::decode(raw).unwrap(),
        success: true,
        finalized: true,
        slot: 300,
        time: Some(UnixSeconds(now() - 60)),
        lamports,
        tokens: if coin == Coin::Sol { vec![] } else { vec![change] },
    };
    (checked, SolanaFacts { sent: Some(facts), blockhash_age: None, simulation: None, ..facts_of(coin) })
}

fn facts_of(coin: Coin) -> SolanaFacts {
    super::fixture::facts(coin)
}

#[track_caller]
fn bent(coin: Coin, expected: &str, bend: impl FnOnce(&mut SolanaSentFacts)) {
    let (payment, mut facts) = sent(coin, &paid(&coin.good()));
    assert_eq!(verdict(&payment, &facts, &policy()), "accepted", "the honest twin");
    bend(facts.sent.as_mut().unwrap());
    assert_eq!(verdict(&payment, &facts, &policy()), expected, "{coin:?}");
}

/// T173 on Solana: once the cluster has told its message, a sent payment has the names of the signed one.
#[test]
fn t173_a_sent_payment_is_the_signed_one() {
    for coin in Coin::ALL {
        let raw = paid(&coin.good());
        let (payment, facts) = sent(coin, &raw);
        let signed = matched(raw.clone()).unwrap();
        let attestation = payment.judge_solana(&facts, &policy()).unwrap();
        assert_eq!((attestation.key, &attestation.aliases), (signed.key(), &signed.aliases()));
        assert_eq!(attestation.payer, signed.payer());
        assert_eq!(attestation.transaction, Some(TransactionId::Solana(raw[1..65].try_into().unwrap())));
        assert_eq!(payment.matched().class(), PaymentClass::Transaction);
    }
}

/// T088: the payer's signature over the resource, and nobody else's.
#[test]
fn t088_only_the_payer_claims_a_sent_transaction() {
    for coin in Coin::ALL {
        let raw = paid(&coin.good());
        let claims = |claim| word(match_with(claimed(&raw, claim), vec![coin.offer()]));
        assert_eq!(claims(Some(claim(&payer(), URL))), "accepted");
        assert_eq!(claims(None), UNCLAIMED);
        assert_eq!(claims(Some(claim(&payer(), "https://api.example/other"))), UNCLAIMED);
        assert_eq!(claims(Some(SolanaClaim { signer: ours(&payer().pubkey()), ..claim(&stranger(), URL) })), UNCLAIMED);
        // A stranger signs for itself, and is not the one who paid.
        let stranger = checked(match_with(claimed(&raw, Some(claim(&stranger(), URL))), vec![coin.offer()]));
        let (_, facts) = sent(coin, &raw);
        assert_eq!(verdict(&stranger, &facts, &policy()), UNCLAIMED);
        // Without a resource there is nothing that ties it to its payer; of two offers it may pay either.
        let nothing = Offers::new(vec![coin.offer()]).unwrap();
        let untied = Matched::new(claimed(&raw, Some(claim(&payer(), ""))), &nothing, &Arc::default(), None);
        assert_eq!(word(untied), "invalid_payment_requirements");
        let two = match_with(claimed(&raw, Some(claim(&payer(), URL))), vec![Coin::Sol.offer(), Coin::Usdc.offer()]);
        assert_eq!(word(two), "ambiguous_offer");
    }
}

/// T089: a claim is for the resource that was signed; claimed twice for that one, it is one payment with one key, whatever
/// else was claimed of it before the cluster was asked.
#[test]
fn t089_a_claim_is_for_one_resource_and_has_one_key() {
    for coin in Coin::ALL {
        let raw = paid(&coin.good());
        let offers = Offers::new(vec![coin.offer()]).unwrap();
        let at = |url: &str, signed: &str| {
            let resource = Arc::new(Resource { url: url.to_owned(), ..Resource::default() });
            let payment = PaymentPayload { resource: None, ..claimed(&raw, Some(claim(&payer(), signed))) };
            Matched::new(payment, &offers, &resource, None)
        };
        let other = "https://api.example/other";
        assert_eq!(word(at(other, other)), "accepted");
        assert_eq!(word(at(other, URL)), UNCLAIMED);
        assert_eq!(word(at(URL, other)), UNCLAIMED);
        // Signed anew for another resource it still is the one payment, before the cluster is asked and after.
        let [here, there] = [at(URL, URL), at(other, other)].map(Result::unwrap);
        assert_eq!((here.key(), here.aliases()), (there.key(), there.aliases()));
        let (_, facts) = sent(coin, &raw);
        let judged = |matched: Matched| {
            let checked = matched.check(&CheckPolicy::facilitator(NOW)).unwrap();
            checked.judge_solana(&facts, &policy()).unwrap()
        };
        assert_eq!(judged(here), judged(there));
    }
}

/// T087: a worthless mint, a mixture of mints, and another's account with the right mint.
#[test]
fn t087_only_the_offered_mint_in_the_payees_account_counts() {
    for coin in Coin::TOKENS {
        bent(coin, UNSEEN, |sent| sent.tokens[0].mint = [1; 32].into());
        bent(coin, UNSEEN, |sent| sent.tokens[0].owner = [1; 32].into());
        bent(coin, UNSEEN, |sent| sent.tokens[0].account = [1; 32].into());
        bent(coin, UNSEEN, |sent| sent.tokens.clear());
        bent(coin, "accepted", |sent| {
            let worthless = TokenChange { mint: [1; 32].into(), account: [2; 32].into(), ..sent.tokens[0] };
            sent.tokens.insert(0, worthless);
        });
        // The transfer itself in another mint, whatever the balances say.
        let mut instruction = coin.transfer(&payer().pubkey(), &payee(), PRICE);
        instruction.accounts[1].pubkey = key("11111111111111111111111111111112");
        let (payment, facts) = sent(coin, &paid(&[instruction]));
        assert_eq!(verdict(&payment, &facts, &policy()), "unsupported_asset");
    }
}

/// T090: the first payment a payee ever gets, into an account that was not there before.
#[test]
fn t090_an_account_created_with_the_payment_had_nothing_before() {
    for coin in Coin::TOKENS {
        bent(coin, "accepted", |sent| sent.tokens[0].before = 0);
        bent(coin, "accepted", |sent| (sent.tokens[0].before, sent.tokens[0].after) = (500, 500 + PRICE));
        bent(coin, UNSEEN, |sent| sent.tokens[0].before = 1);
    }
}

/// T091: what changed counts, not only what was moved; and what was moved, not only what changed.
#[test]
fn t091_the_lesser_of_what_moved_and_what_arrived_counts() {
    bent(Coin::Sol, UNSEEN, |sent| sent.lamports[0].after -= 1);
    bent(Coin::Sol, UNSEEN, |sent| sent.lamports[0].account = [1; 32].into());
    bent(Coin::Usdc, UNSEEN, |sent| sent.tokens[0].after -= 1);
    for coin in Coin::ALL {
        // An unrelated refund of thousands beside a transfer of less than the price.
        let little = paid(&[coin.transfer(&payer().pubkey(), &payee(), PRICE - 1)]);
        let (payment, mut facts) = sent(coin, &little);
        let landed = facts.sent.as_mut().unwrap();
        landed.lamports[0].after += 1_000_000;
        landed.tokens.iter_mut().for_each(|change| change.after += 1_000_000);
        assert_eq!(verdict(&payment, &facts, &policy()), "invalid_exact_solana_payload_authorization_value");
        // What pays and takes from the payee at once is no plain payment.
        let both = [coin.transfer(&payer().pubkey(), &payee(), PRICE), coin.transfer(&payee(), &payer().pubkey(), PRICE)];
        let (payment, facts) = sent(coin, &signed(&both, &payer().pubkey(), &[&payer()]));
        assert_eq!(verdict(&payment, &facts, &policy()), "solana_two_transfers");
    }
}

/// T092: the right cluster, a transaction that succeeded, finality, and age.
#[test]
fn t092_sent_transactions_are_final_successful_and_recent() {
    for coin in Coin::ALL {
        bent(coin, "invalid_transaction_state", |sent| sent.success = false);
        bent(coin, "unconfirmed", |sent| sent.finalized = false);
        bent(coin, "unconfirmed", |sent| sent.time = None);
        bent(coin, "payment_expired_for_claim", |sent| sent.time = Some(UnixSeconds(now() - 3601)));
        bent(coin, "accepted", |sent| sent.time = Some(UnixSeconds(now() - 3600)));
        // An answer about another transaction is no answer.
        bent(coin, "chain", |sent| sent.transaction.signatures[0] = [1; 64]);
        let (payment, facts) = sent(coin, &paid(&coin.good()));
        let late = SolanaPolicy { not_before: UnixSeconds(now() - 59), ..policy() };
        assert_eq!(verdict(&payment, &facts, &late), "payment_expired_for_claim", "before this service started");
        let elsewhere = SolanaFacts { genesis: GenesisPrefix::DEVNET, ..facts.clone() };
        assert_eq!(verdict(&payment, &elsewhere, &policy()), "wrong chain");
        let unknown = SolanaFacts { sent: None, ..facts };
        assert_eq!(verdict(&payment, &unknown, &policy()), "unconfirmed");
    }
}
