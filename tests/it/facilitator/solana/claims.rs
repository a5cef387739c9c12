//! Transactions that payers have sent: their signatures are public, so everything about them is checked.

use super::{PRICE, send, settle, signature, verify};
use crate::facilitator::Reply;
use h402_core::{Asset, Payload, PaymentPayload, Requirements, Resource, SentSolanaTransaction, SolanaClaim, SolanaKey};
use h402_devnet::{
    BlockTime,
    solana::{Hash, MintConfig, Pubkey, Signature, SolanaChain, SolanaConfig},
};
use h402_facilitator::EngineConfig;
use h402_tests::cluster::{ClusterRig, PAYEE, PAYER, SPONSOR, address, key, pubkey, solana};
use solana_instruction::{AccountMeta, Instruction};
use solana_message::{Message, VersionedMessage};
use solana_transaction::versioned::VersionedTransaction;
use std::{sync::Arc, time::Duration};

const URL: &str = "http://127.0.0.1/paid";
const OTHERS: &str = "invalid_exact_solana_payload_signature";
const STATE: &str = "invalid_transaction_state";

async fn on(chain: &SolanaChain, more: Vec<Asset>, configure: fn(&mut EngineConfig)) -> ClusterRig {
    let accepting = move |config: &mut EngineConfig| {
        config.accept_sent = true;
        configure(config);
    };
    let rig = ClusterRig::on(chain, more, Box::new(accepting)).await;
    // Blocks from before the start are too old, and the open one is.
    rig.chain.advance_slots(2);
    rig
}

async fn accepting() -> ClusterRig {
    let chain = SolanaChain::start(SolanaConfig::default()).await.unwrap();
    on(&chain, Vec::new(), |_| ()).await
}

fn claim(key: &SolanaKey, text: &str) -> SolanaClaim {
    SolanaClaim { signer: key.address(), signed_message: key.sign(text.as_bytes()) }
}

fn claimed(rig: &ClusterRig, signature: &Signature, claim: Option<SolanaClaim>) -> PaymentPayload {
    rig.presented(Payload::SolanaSent(SentSolanaTransaction { signature: *signature.as_array(), claim }))
}

/// What the payer makes of a transaction that it has sent.
fn own(rig: &ClusterRig, signature: &Signature) -> PaymentPayload {
    claimed(rig, signature, Some(claim(&key(PAYER), URL)))
}

/// The payer has sent so much of an asset, and it is final.
async fn paid(rig: &ClusterRig, asset: &Arc<Asset>, amount: u128) -> Signature {
    let payment = rig.payment(PAYER, asset, amount, None);
    send(rig, &payment).await;
    rig.chain.finalize();
    assert_eq!(rig.chain.outcome(&signature(&payment)).unwrap().error, None);
    signature(&payment)
}

/// Instructions in a transaction of the payer's that others may have to sign, too; sent, and final.
fn sent(rig: &ClusterRig, instructions: &[Instruction], signers: &[usize]) -> Signature {
    let (blockhash, _): (Hash, u64) = rig.chain.latest_blockhash();
    let message = Message::new_with_blockhash(instructions, Some(&pubkey(address(signers[0]))), &blockhash);
    let message = VersionedMessage::Legacy(message);
    let required = usize::from(message.header().num_required_signatures);
    let sign = |who: &Pubkey| {
        let index = signers.iter().find(|index| pubkey(address(**index)) == *who).unwrap();
        key(*index).sign(&message.serialize()).into()
    };
    let signatures: Vec<Signature> = message.static_account_keys()[..required].iter().map(sign).collect();
    let first = signatures[0];
    rig.chain.send(VersionedTransaction { signatures, message });
    rig.chain.finalize();
    first
}

fn transfer(rig: &ClusterRig, asset: &Asset, from: usize, to: usize, amount: u128) -> Instruction {
    let (owner, amount) = (pubkey(address(from)), u64::try_from(amount).unwrap());
    if asset.token_program.is_none() {
        let accounts = vec![AccountMeta::new(owner, true), AccountMeta::new(pubkey(address(to)), false)];
        return Instruction { program_id: Pubkey::default(), accounts, data: [&[2, 0, 0, 0][..], &amount.to_le_bytes()].concat() };
    }
    let mint = pubkey(asset.id.address.solana().unwrap());
    let place = |index| AccountMeta::new(rig.chain.token_account(pubkey(address(index)), mint).unwrap(), false);
    let accounts = vec![place(from), AccountMeta::new_readonly(mint, false), place(to), AccountMeta::new_readonly(owner, true)];
    let program_id = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA".parse().unwrap();
    Instruction { program_id, accounts, data: [&[12][..], &amount.to_le_bytes(), &[6]].concat() }
}

async fn is_refused(rig: &ClusterRig, payment: &PaymentPayload, asset: &Arc<Asset>, word: &str) {
    for reply in [verify(rig, payment, asset, Some("shop")).await, settle(rig, payment, asset, Some("shop")).await] {
        assert_eq!(reply.word(), word, "{reply:?}");
    }
}

async fn is_taken(rig: &ClusterRig, payment: &PaymentPayload, asset: &Arc<Asset>, caller: &str) -> Reply {
    let verified = verify(rig, payment, asset, Some(caller)).await;
    assert!(verified.is_valid(), "{verified:?}");
    let settled = settle(rig, payment, asset, Some(caller)).await;
    assert!(settled.is_settled(), "{settled:?}");
    verified
}

/// Unless it was switched on, a payment that is sent already is refused, whatever it is.
#[tokio::test(flavor = "multi_thread")]
async fn t089_sent_payments_are_refused_unless_switched_on() {
    let rig = ClusterRig::start().await;
    rig.chain.advance_slots(2);
    let payment = own(&rig, &paid(&rig, &rig.usdc, PRICE).await);
    is_refused(&rig, &payment, &rig.usdc, "unsupported_payload_type").await;
    let rig = accepting().await;
    let payment = own(&rig, &paid(&rig, &rig.usdc, PRICE).await);
    is_taken(&rig, &payment, &rig.usdc, "shop").await;
}

/// T087: tokens of another mint, however many, and coins, are no tokens of the one that is asked for.
#[tokio::test(flavor = "multi_thread")]
async fn t087_a_worthless_mint_pays_for_nothing() {
    let rig = accepting().await;
    let mint = rig.chain.create_mint(MintConfig::token()).unwrap();
    rig.chain.mint_to(pubkey(address(PAYER)), mint, u64::MAX / 2).unwrap();
    let worthless = Arc::new(rig.cluster.token(mint, 6));
    for (asset, word) in [(&worthless, "unsupported_asset"), (&rig.sol, "unsupported_asset")] {
        let payment = own(&rig, &paid(&rig, asset, 2 * PRICE).await);
        is_refused(&rig, &payment, &rig.usdc, word).await;
    }
    // Both in one.
    let both = [transfer(&rig, &worthless, PAYER, PAYEE, PRICE), transfer(&rig, &rig.usdc, PAYER, PAYEE, PRICE)];
    let payment = own(&rig, &sent(&rig, &both, &[PAYER]));
    is_refused(&rig, &payment, &rig.usdc, "solana_two_transfers").await;
    for asset in [&rig.usdc, &rig.sol] {
        is_taken(&rig, &own(&rig, &paid(&rig, asset, PRICE).await), asset, "shop").await;
    }
}

/// T088: whoever watches the chain knows the signature; only who paid can sign the resource for it.
#[tokio::test(flavor = "multi_thread")]
async fn t088_only_who_paid_claims_a_transaction() {
    let rig = accepting().await;
    let thief = key(6);
    for asset in [&rig.sol, &rig.usdc] {
        let signature = paid(&rig, asset, PRICE).await;
        let in_the_payers_name = SolanaClaim { signer: address(PAYER), ..claim(&thief, URL) };
        let claims = [
            None,
            Some(claim(&thief, URL)),
            Some(in_the_payers_name),
            Some(claim(&key(PAYER), "http://127.0.0.1/other")),
            Some(claim(&key(PAYEE), URL)),
        ];
        for claim in claims {
            is_refused(&rig, &claimed(&rig, &signature, claim), asset, OTHERS).await;
        }
        is_taken(&rig, &own(&rig, &signature), asset, "shop").await;
        let late = claimed(&rig, &signature, Some(claim(&thief, URL)));
        is_refused(&rig, &late, asset, "duplicate_settlement").await;
    }
    // Where a sponsor paid the fee, the sponsor has not paid.
    let budget = |data: &[u8]| Instruction {
        program_id: "ComputeBudget111111111111111111111111111111".parse().unwrap(),
        accounts: vec![],
        data: data.to_vec(),
    };
    let bounded = [budget(&[2, 0, 0, 1, 0]), transfer(&rig, &rig.usdc, PAYER, PAYEE, PRICE)];
    let signature = sent(&rig, &bounded, &[SPONSOR, PAYER]);
    is_refused(&rig, &claimed(&rig, &signature, Some(claim(&key(SPONSOR), URL))), &rig.usdc, OTHERS).await;
    is_taken(&rig, &own(&rig, &signature), &rig.usdc, "shop").await;
}

/// T089, T173: one transaction opens one door, for ever: for other callers, other resources, as a signed payment, before and
/// after, and after restarts.
#[tokio::test(flavor = "multi_thread")]
async fn t089_t173_a_transaction_is_used_once_for_ever() {
    let chain = SolanaChain::start(SolanaConfig::default()).await.unwrap();
    let mut rig = on(&chain, Vec::new(), |_| ()).await;
    let (sol, usdc) = (rig.sol.clone(), rig.usdc.clone());
    for asset in [&sol, &usdc] {
        for sponsor in [None, Some(SPONSOR)] {
            // Settled as a signed payment, then presented as a sent one.
            let payment = rig.payment(PAYER, asset, PRICE, sponsor);
            let settled = settle(&rig, &payment, asset, Some("shop")).await;
            let landed: Signature = settled.json()["transaction"].as_str().unwrap().parse().unwrap();
            rig.chain.finalize();
            assert_eq!(verify(&rig, &own(&rig, &landed), asset, Some("other")).await.word(), "duplicate_settlement");
            let again = settle(&rig, &own(&rig, &landed), asset, Some("other")).await;
            assert_eq!(again.word(), "duplicate_settlement", "{sponsor:?}: {again:?}");
        }
        // Sent, then presented as a signed payment.
        let payment = rig.payment(PAYER, asset, PRICE, None);
        send(&rig, &payment).await;
        rig.chain.finalize();
        let own = own(&rig, &signature(&payment));
        is_taken(&rig, &own, asset, "shop").await;
        let elsewhere = Requirements {
            resource: Arc::new(Resource { url: "http://127.0.0.1/other".into(), ..Resource::default() }),
            ..rig.requirements(asset, PRICE)
        };
        let named =
            PaymentPayload { resource: None, ..claimed(&rig, &signature(&payment), Some(claim(&key(PAYER), "http://127.0.0.1/other"))) };
        for _ in 0..2 {
            for caller in [Some("other"), None] {
                assert_eq!(settle(&rig, &own, asset, caller).await.word(), "duplicate_settlement");
                assert_eq!(settle(&rig, &payment, asset, caller).await.word(), "duplicate_settlement");
                let moved = Reply::from(rig.post("/settle", &named, &elsewhere, caller).await);
                assert_eq!(moved.word(), "duplicate_settlement", "{moved:?}");
            }
            assert!(settle(&rig, &own, asset, Some("shop")).await.is_settled(), "its own answer, again");
            rig.restart().await;
        }
    }
}

/// T090: the first payment a payee ever gets, into an account that the payment creates.
#[tokio::test(flavor = "multi_thread")]
async fn t090_a_payment_into_a_new_account_is_seen() {
    let chain = SolanaChain::start(SolanaConfig::default()).await.unwrap();
    let mints = [MintConfig::token(), MintConfig::token_2022()].map(|config| chain.create_mint(config).unwrap());
    let cluster = h402_tests::cluster::Cluster::new(&chain);
    let assets = [cluster.token(mints[0], 6), cluster.token(mints[1], 6).with_token_2022()];
    let rig = on(&chain, assets.to_vec(), |_| ()).await;
    for (asset, mint) in assets.map(Arc::new).iter().zip(mints) {
        rig.chain.mint_to(pubkey(address(PAYER)), mint, 10 * u64::try_from(PRICE).unwrap()).unwrap();
        let place = rig.chain.token_account(pubkey(address(PAYEE)), mint).unwrap();
        assert!(rig.chain.account(place).is_none());
        // One less is no payment, though the account is new.
        let first = paid(&rig, asset, PRICE).await;
        let less = paid(&rig, asset, PRICE - 1).await;
        is_refused(&rig, &own(&rig, &less), asset, "invalid_exact_solana_payload_authorization_value").await;
        is_taken(&rig, &own(&rig, &first), asset, "shop").await;
    }
}

/// T091: what takes from the payee as well, and what a mint keeps of it, is not what arrives.
#[tokio::test(flavor = "multi_thread")]
async fn t091_what_arrives_counts() {
    let rig = accepting().await;
    for asset in [&rig.sol, &rig.usdc] {
        let both = [transfer(&rig, asset, PAYER, PAYEE, PRICE), transfer(&rig, asset, PAYEE, PAYER, 1)];
        is_refused(&rig, &own(&rig, &sent(&rig, &both, &[PAYER, PAYEE])), asset, "solana_two_transfers").await;
        // Others paying the payee at the same time pay nothing for the payer.
        let little = [transfer(&rig, asset, PAYER, PAYEE, 1), transfer(&rig, asset, 5, PAYEE, PRICE)];
        is_refused(&rig, &own(&rig, &sent(&rig, &little, &[PAYER, 5])), asset, "solana_two_transfers").await;
        let alone = [transfer(&rig, asset, PAYER, PAYEE, PRICE)];
        is_taken(&rig, &own(&rig, &sent(&rig, &alone, &[PAYER])), asset, "shop").await;
    }
    // A mint that keeps a hundredth, where such mints are allowed: the price must arrive.
    let chain = SolanaChain::start(SolanaConfig::default()).await.unwrap();
    let mint = chain.create_mint(MintConfig::token_2022().transfer_fee(100, u64::MAX)).unwrap();
    let asset = h402_tests::cluster::Cluster::new(&chain).token(mint, 6).with_token_2022();
    let rig = on(&chain, vec![asset.clone()], |config| solana(config).extensions.transfer_fee = true).await;
    let asset = Arc::new(asset);
    rig.chain.mint_to(pubkey(address(PAYER)), mint, 10 * u64::try_from(PRICE).unwrap()).unwrap();
    is_refused(&rig, &own(&rig, &paid(&rig, &asset, PRICE).await), &asset, "transfer_not_observed").await;
    is_taken(&rig, &own(&rig, &paid(&rig, &asset, PRICE * 100 / 99 + 1).await), &asset, "shop").await;
}

/// T092: of this cluster, successful, final, and of today.
#[tokio::test(flavor = "multi_thread")]
async fn t092_only_what_is_final_and_good_on_this_cluster_counts() {
    let rig = accepting().await;
    // Another cluster: its signatures are unknown here, whatever they paid there.
    let other = SolanaChain::start(SolanaConfig::default().genesis_hash(Hash::new_from_array([7; 32]))).await.unwrap();
    let elsewhere = on(&other, Vec::new(), |_| ()).await;
    let there = paid(&elsewhere, &elsewhere.usdc, PRICE).await;
    is_taken(&elsewhere, &own(&elsewhere, &there), &elsewhere.usdc, "shop").await;
    let reply = verify(&rig, &own(&rig, &there), &rig.usdc, Some("shop")).await;
    assert_eq!((reply.status, reply.word().as_str()), (503, "payment_unconfirmed"), "it may come yet: {reply:?}");
    // Failed in its block.
    let mint = pubkey(rig.usdc.id.address.solana().unwrap());
    let too_much = u128::from(rig.chain.token_balance(pubkey(address(PAYER)), mint)) + 1;
    let failed = rig.payment(PAYER, &rig.usdc, too_much, None);
    send(&rig, &failed).await;
    rig.chain.finalize();
    assert!(rig.chain.outcome(&signature(&failed)).unwrap().error.is_some());
    is_refused(&rig, &own(&rig, &signature(&failed)), &rig.usdc, STATE).await;
    // Confirmed, and not final yet.
    let payment = rig.payment(PAYER, &rig.usdc, PRICE, None);
    send(&rig, &payment).await;
    let claim = own(&rig, &signature(&payment));
    for reply in [verify(&rig, &claim, &rig.usdc, Some("shop")).await, settle(&rig, &claim, &rig.usdc, Some("shop")).await] {
        assert_eq!((reply.status, reply.word().as_str()), (503, "payment_unconfirmed"), "{reply:?}");
    }
    rig.chain.finalize();
    is_taken(&rig, &claim, &rig.usdc, "shop").await;
    // Older than an hour.
    let late = own(&rig, &paid(&rig, &rig.usdc, PRICE).await);
    rig.clock.advance(Duration::from_secs(3_700));
    is_refused(&rig, &late, &rig.usdc, "payment_expired_for_claim").await;
    // Not even confirmed.
    let chain = SolanaChain::start(SolanaConfig::default().slot_time(BlockTime::Manual)).await.unwrap();
    let rig = on(&chain, Vec::new(), |_| ()).await;
    let payment = rig.payment(PAYER, &rig.sol, PRICE, None);
    send(&rig, &payment).await;
    let reply = verify(&rig, &own(&rig, &signature(&payment)), &rig.sol, Some("shop")).await;
    assert_eq!((reply.status, reply.word().as_str()), (503, "payment_unconfirmed"), "{reply:?}");
}
