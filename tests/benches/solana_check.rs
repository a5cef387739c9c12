//! The pure check of a payment on Solana against one bare, strict signature check.

use crate::measure::{alternate, line, ratio};
use ed25519_dalek::{Signature, VerifyingKey};
use h402_core::{
    solana::{SolanaTerms, sign_payment},
    *,
};
use std::{hint::black_box, sync::Arc};

pub(crate) fn run() {
    let key = SolanaKey::from_seed(&[7; 32]);
    let sponsor = SolanaKey::from_seed(&[8; 32]).address();
    let payee: Address = "4pX5LbCK85Sf6iLXMwUodo2f5rvQKAofyhANT6TUwG3f".parse().unwrap();
    let network = Network::Solana(GenesisPrefix::MAINNET);
    let assets = Assets::known();
    let offer = |symbol| {
        let asset = assets.by_symbol(network, symbol).unwrap().clone();
        Arc::new(Offer::new(asset, Amount::from_atomic(10_000), payee).unwrap())
    };
    let offers = Offers::new(vec![offer("USDC"), offer("SOL")]).unwrap();
    let resource = Arc::new(Resource { url: "https://api.example/report".into(), ..Resource::default() });
    let policy = CheckPolicy::facilitator(UnixMillis(1_795_000_000_000));
    let check = |payload: PaymentPayload| Matched::new(payload, &offers, &resource, Some(70)).unwrap().check(&policy).unwrap();

    for (what, symbol, fee_payer) in [("SOL", "SOL", None), ("USDC", "USDC", None), ("USDC, sponsored", "USDC", Some(sponsor))] {
        let terms = SolanaTerms { blockhash: [5; 32], fee_payer, creates_account: true, unique: [6; 16] };
        let signed = sign_payment(&key, &offer(symbol), Amount::from_atomic(10_000), &terms).unwrap();
        let transaction = solana::SolanaTransaction::decode(&signed.transaction).unwrap();
        let message = transaction.message.bytes().clone();
        let signature = Signature::from_bytes(transaction.signatures.last().unwrap());
        let signer = *key.address().as_bytes();
        let payload = Payload::SolanaTransaction(signed);
        let payload =
            PaymentPayload { dialect: Dialect::H402V1, scheme: Scheme::Exact, network, resource: Some(resource.url.clone()), payload };
        let header = wire::h402::encode_payment(&payload).unwrap();

        // The key comes as bytes, so reading it is part of what any check of the signature costs.
        let verify = || {
            let key = VerifyingKey::from_bytes(black_box(&signer)).unwrap();
            key.verify_strict(black_box(&message), black_box(&signature)).unwrap();
        };
        let (floor, checked) = alternate(20, 500, verify, || drop(black_box(check(payload.clone()))));
        let (_, keyed) = alternate(20, 500, verify, || {
            let matched = check(payload.clone());
            black_box((matched.matched().key(), matched.matched().aliases()));
        });
        let (_, decoded) = alternate(20, 500, verify, || {
            drop(black_box(check(wire::h402::decode_payment(black_box(header.as_bytes())).unwrap())));
        });
        line(&format!("bare strict check of a signature, ns ({what})"), format!("{floor:.0}"));
        line(&format!("match and check of a payment, ns ({what})"), format!("{checked:.0}"));
        ratio(&format!("check / bare check ({what})"), checked / floor, "<= 1.3");
        ratio(&format!("the same with its key and other names / bare check ({what})"), keyed / floor, "none");
        ratio(&format!("the same from the header text / bare check ({what})"), decoded / floor, "none");
    }
}
