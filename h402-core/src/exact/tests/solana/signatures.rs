//! Who signed, and which payment it is.

use super::fixture::*;
use crate::*;
use solana_message::VersionedMessage;

/// T074: each bit of the payer's signature counts; empty, another's and a shifted one are refused.
#[test]
fn t074_only_the_payers_own_signature_pays() {
    const WORD: &str = "invalid_exact_solana_payload_signature";
    for coin in Coin::ALL {
        for (good, slot) in [(paid(&coin.good()), 1), (sponsored(&coin.sponsored()), 65)] {
            assert_eq!(word(matched(good.clone())), "accepted");
            for bit in (0..512).step_by(37).chain([0, 255, 256, 511]) {
                let mut bent = good.clone();
                bent[slot + bit / 8] ^= 1 << (bit % 8);
                assert_eq!(word(matched(bent)), WORD, "bit {bit}");
            }
            let mut empty = good.clone();
            empty[slot..slot + 64].fill(0);
            assert_eq!(word(matched(empty)), WORD);
            // `s` and the order of the curve more is the same point, and another signature: strict checks refuse it.
            let order = hex::decode("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010").unwrap();
            let mut more = good.clone();
            let mut carry = 0u16;
            for (byte, add) in more[slot + 32..slot + 64].iter_mut().zip(order) {
                carry += u16::from(*byte) + u16::from(add);
                *byte = (carry & 0xff) as u8;
                carry >>= 8;
            }
            assert_eq!(word(matched(more)), WORD);
        }
        let other = signed(&coin.good(), &payer().pubkey(), &[]);
        assert_eq!(word(matched(other)), WORD, "nobody signed");
        // A signature over the same payment with another blockhash.
        let mut message = compiled(&coin.good(), &payer().pubkey());
        let signature = payer().sign_message(&VersionedMessage::V0(message.clone()).serialize());
        message.recent_blockhash = [6; 32].into();
        let mut moved = encoded(VersionedMessage::V0(message), &[]);
        moved[1..65].copy_from_slice(signature.as_ref());
        assert_eq!(word(matched(moved)), WORD);
    }
}

/// T074: a key of small order verifies anything where checks are lax.
#[test]
fn t074_a_key_of_small_order_signs_nothing() {
    let weak = Pubkey::new_from_array(core::array::from_fn(|at| u8::from(at == 0)));
    for coin in Coin::ALL {
        let mut raw = signed(&[coin.transfer(&weak, &payee(), PRICE)], &weak, &[]);
        raw[1] = 1;
        assert_eq!(word(matched(raw)), "invalid_exact_solana_payload_signature");
    }
}

/// T081: nobody but the payer signs, and a fee payer before it.
#[test]
fn t081_signers_are_the_payer_and_at_most_a_fee_payer() {
    let extra: Vec<Keypair> = (20..28).map(|seed| Keypair::new_from_array([seed; 32])).collect();
    let (me, other) = (payer(), sponsor());
    let all: Vec<&Keypair> = [&me, &other].into_iter().chain(&extra).collect();
    for coin in Coin::ALL {
        for (more, own, others) in
            [(0, "accepted", "accepted"), (1, "solana_signer_set", "solana_signer_set"), (8, "solana_signer_set", "solana_signer_set")]
        {
            let mut signers = memo(b"x");
            signers.accounts = extra.iter().take(more).map(|key| AccountMeta::new_readonly(key.pubkey(), true)).collect();
            let instructions = [limit(1000), coin.transfer(&payer().pubkey(), &payee(), PRICE), signers];
            assert_eq!(word(matched(signed(&instructions, &payer().pubkey(), &all))), own, "{more} more");
            assert_eq!(word(matched(signed(&instructions, &sponsor().pubkey(), &all))), others, "{more} more");
        }
        // The payer first, and somebody after it who pays nothing.
        let mut named = memo(b"x");
        named.accounts = vec![AccountMeta::new_readonly(extra[0].pubkey(), true)];
        let raw = signed(&[coin.transfer(&payer().pubkey(), &payee(), PRICE), named], &payer().pubkey(), &all);
        assert_eq!(word(matched(raw)), "solana_signer_set");
    }
}

/// T073: with a sponsor, the first slot is anybody's to fill: it names no payment.
#[test]
fn t073_whatever_is_in_the_fee_payers_slot_it_is_one_payment() {
    for coin in Coin::ALL {
        let good = matched(sponsored(&coin.sponsored())).unwrap();
        assert!(good.aliases().is_empty());
        for fill in 0..100 {
            let mut raw = sponsored(&coin.sponsored());
            raw[1..65].fill(fill);
            let other = matched(raw).unwrap();
            assert_eq!((other.key(), other.aliases()), (good.key(), vec![]));
        }
        // The payer's own first signature is checked, and so another name.
        let raw = paid(&coin.good());
        let name = TransactionId::Solana(raw[1..65].try_into().unwrap());
        let own = matched(raw).unwrap();
        assert_eq!(own.aliases(), [PaymentKey::of_transaction(SOLANA, &name)]);
        assert_ne!(own.key(), good.key());
    }
}

/// T134: what is replayable about a payment is in no debug output of it.
#[test]
fn t134_debug_output_of_a_payment_holds_nothing_to_replay() {
    for coin in Coin::ALL {
        for raw in [paid(&coin.good()), sponsored(&coin.sponsored())] {
            let matched = matched(raw.clone()).unwrap();
            let shown = format!("{matched:?}").to_lowercase();
            assert!(shown.contains("amount: 10000"), "{shown}");
            let signature = &raw[raw.len() - 1 - 64..];
            let last = if raw[0] == 1 { &raw[1..65] } else { &raw[65..129] };
            for secret in [signature, last] {
                assert!(!shown.contains(&hex::encode(secret)) && !shown.contains(&format!("{secret:?}")), "{shown}");
                assert!(!shown.contains(&bs58::encode(secret).into_string().to_lowercase()), "{shown}");
            }
        }
    }
}

/// The key is made of cluster and message: SHA-256 of length-prefixed fields, as `PaymentId` says.
#[test]
fn a_payment_is_its_message_on_its_cluster() {
    let raw = paid(&Coin::Usdc.good());
    let hash = solana_message::VersionedMessage::V0(compiled(&Coin::Usdc.good(), &payer().pubkey())).serialize();
    let hash: [u8; 32] = <sha2::Sha256 as sha2::Digest>::digest(&hash).into();
    let id = PaymentId::SolanaMessage { genesis: GenesisPrefix::MAINNET, hash };
    let matched = matched(raw).unwrap();
    assert_eq!((matched.id(), matched.key()), (Some(id.clone()), id.key()));
    assert_eq!((matched.class(), matched.expires()), (PaymentClass::Payload, None));
}

/// Legacy messages, which wallets and scripts still make, pay as well.
#[test]
fn legacy_messages_are_accepted() {
    for coin in Coin::ALL {
        let message = solana_message::Message::new_with_blockhash(&coin.good(), Some(&payer().pubkey()), &[5; 32].into());
        assert_eq!(word(matched(encoded(VersionedMessage::Legacy(message), &[&payer()]))), "accepted");
    }
}

/// The reference client says `mainnet` whatever the offer said; a cluster of one's own is no mistake of the payer's.
#[test]
fn mainnet_may_mean_the_offered_cluster_and_nothing_else_may() {
    let local: Network = "solana:9zeg9zeg9zeg9zeg9zeg9zeg9zeg9zeg".parse().unwrap();
    let devnet = Network::Solana(GenesisPrefix::DEVNET);
    let offer = |network| {
        let asset = Asset::native(network, "SOL").into();
        std::sync::Arc::new(Offer::new(asset, Amount::from_atomic(u128::from(PRICE)), PAYEE.parse().unwrap()).unwrap())
    };
    let pay = |network, offers: Vec<_>| {
        let payload = PaymentPayload { network, ..presented(paid(&Coin::Sol.good())) };
        match_with(payload, offers).map(|matched| matched.network())
    };
    assert_eq!(pay(SOLANA, vec![offer(local)]), Ok(local));
    assert_eq!(pay(SOLANA, vec![offer(local), offer(SOLANA)]), Ok(SOLANA));
    assert_eq!(pay(SOLANA, vec![offer(local), offer(devnet)]), Err(Reject::Ambiguous));
    assert_eq!(pay(devnet, vec![offer(local)]), Err(Reject::Network(devnet)));
    assert_eq!(pay(local, vec![offer(SOLANA)]), Err(Reject::Network(local)));
    assert_eq!(pay(devnet, vec![offer(SOLANA), offer(devnet)]), Ok(devnet));
}

/// T013: a payment is remembered for longer than any cluster has stood still, and not for ever.
#[test]
fn t013_a_payment_of_minutes_is_remembered_for_days() {
    let now = UnixMillis(1_700_000_000_000);
    for coin in Coin::ALL {
        let payment = matched(sponsored(&coin.sponsored())).unwrap();
        assert_eq!((payment.expires(), payment.lapses(now)), (None, Some(UnixMillis(1_700_259_200_000))));
    }
}
