use super::*;
use crate::{Asset, AssetId, Assets, GenesisPrefix, Network};
use std::sync::Arc;

const PAYEE: &str = "4pX5LbCK85Sf6iLXMwUodo2f5rvQKAofyhANT6TUwG3f";
const SOLANA: Network = Network::Solana(GenesisPrefix::MAINNET);

fn offer(asset: Arc<Asset>) -> Offer {
    Offer::new(asset, Amount::from_atomic(10_000_000), PAYEE.parse().unwrap()).unwrap()
}

fn assets() -> [Arc<Asset>; 3] {
    let assets = Assets::known();
    let id = AssetId { network: SOLANA, address: Address::Solana([77; 32].into()) };
    let token_2022 = Asset::new(id, 6, "T22").with_token_2022();
    [assets.by_symbol(SOLANA, "SOL").unwrap().clone(), assets.by_symbol(SOLANA, "USDC").unwrap().clone(), Arc::new(token_2022)]
}

fn terms(fee_payer: Option<SolanaAddress>) -> SolanaTerms {
    SolanaTerms { blockhash: [9; 32], fee_payer, creates_account: fee_payer.is_none(), unique: [0; 16] }
}

fn sponsor() -> SolanaKey {
    SolanaKey::from_seed(&[8; 32])
}

/// The transaction of tests/vectors/captures/ref-full-solana-native.json, after its signature.
const RECORDED: &str = "80010002\
    04\
    ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c\
    38bf5d4e693aae5b441f14ac51a9a98b1e902372949938baa7e47bd89c628c56\
    0000000000000000000000000000000000000000000000000000000000000000\
    0306466fe5211732ffecadba72c39be7bc8ce5bbc5f7126b2c439b3a40000000\
    aeebad4a796fcc2e15dc4c6061b45ed9b373f26adfc798ca7d2d8cc58182718e\
    03\
    03000502c2010000\
    030009030100000000000000\
    020200010c020000008096980000000000\
    00";

/// What the reference client made, but for its payer and its simulated unit limit.
#[test]
fn a_native_payment_is_what_the_reference_makes() {
    let key = SolanaKey::from_seed(&[7; 32]);
    let [sol, ..] = assets();
    let mut blockhash = [0; 32];
    bs58::decode("CmpNeggWJ4JaWJeJ8YKN1Zypmk7uvQq3PECGUCAEMbky").onto(&mut blockhash).unwrap();
    let terms = SolanaTerms { blockhash, ..terms(None) };
    let signed = sign_payment(&key, &offer(sol), Amount::from_atomic(10_000_000), &terms).unwrap();
    let ours = hex::encode(key.address().as_bytes());
    let recorded = RECORDED.replace("ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c", &ours);
    let recorded = recorded.replace("c2010000", "e8030000");
    assert_eq!(hex::encode(&signed.transaction[65..]), recorded);
    assert_eq!((signed.transaction[0], signed.signature.unwrap().as_slice()), (1, &signed.transaction[1..65]));
}

/// Programs and data of each instruction, first to last.
fn shape(signed: &SignedSolanaTransaction) -> Vec<(SolanaAddress, Vec<u8>)> {
    let message = SolanaTransaction::decode(&signed.transaction).unwrap().message;
    message.instructions().iter().map(|instruction| (*message.key(instruction.program).unwrap(), instruction.data.to_vec())).collect()
}

#[test]
fn tokens_are_paid_in_the_shape_of_each_protocol() {
    let key = SolanaKey::from_seed(&[7; 32]);
    let [_, usdc, token_2022] = assets();
    for (asset, program) in [(usdc, program::TOKEN), (token_2022, program::TOKEN_2022)] {
        let offer = offer(asset);
        let paid = sign_payment(&key, &offer, Amount::from_atomic(258), &terms(None)).unwrap();
        let budget = [(program::COMPUTE_BUDGET, vec![2, 0xa0, 0x86, 1, 0]), (program::COMPUTE_BUDGET, vec![3, 1, 0, 0, 0, 0, 0, 0, 0])];
        let transfer = (program, vec![12, 2, 1, 0, 0, 0, 0, 0, 0, 6]);
        let creation = (program::ASSOCIATED_TOKEN, vec![1]);
        assert_eq!(shape(&paid), [budget[0].clone(), budget[1].clone(), creation, transfer.clone()]);

        let sponsored = sign_payment(&key, &offer, Amount::from_atomic(258), &terms(Some(sponsor().address()))).unwrap();
        let limit = (program::COMPUTE_BUDGET, vec![2, 0x40, 0x9c, 0, 0]);
        let memo = (program::MEMO, b"00000000000000000000000000000000".to_vec());
        assert_eq!(shape(&sponsored), [limit, budget[1].clone(), transfer, memo]);
        assert_eq!(sponsored.signature, None);
        let transaction = SolanaTransaction::decode(&sponsored.transaction).unwrap();
        assert_eq!(transaction.signatures[0], [0; 64]);
        assert_eq!(transaction.message.signers(), [sponsor().address(), key.address()]);
    }
}

#[test]
fn two_payments_of_one_amount_are_two_transactions() {
    let key = SolanaKey::from_seed(&[7; 32]);
    for asset in assets() {
        for fee_payer in [None, Some(sponsor().address())] {
            let offer = offer(asset.clone());
            let pay = |unique| sign_payment(&key, &offer, Amount::from_atomic(5), &SolanaTerms { unique, ..terms(fee_payer) }).unwrap();
            assert_ne!(pay([1; 16]), pay([2; 16]));
            assert_eq!(pay([1; 16]), pay([1; 16]));
        }
    }
}

/// T082: what a payment costs its payer beside the amount is known before it is signed.
#[test]
fn t082_the_cost_of_a_payment_is_bounded_before_it_is_signed() {
    let key = SolanaKey::from_seed(&[7; 32]);
    let [sol, usdc, token_2022] = assets();
    // Asset, sponsored, creates, most lamports. The deposit of 165 bytes is (128 + 165) * 3480 * 2.
    let cases = [
        (&sol, false, false, 5_001),
        (&sol, false, true, 5_001),
        (&sol, true, true, 0),
        (&usdc, false, false, 5_001),
        (&usdc, false, true, 2_044_281),
        (&usdc, true, true, 2_039_280),
        (&usdc, true, false, 0),
        (&token_2022, false, true, 2_505_001),
    ];
    for (asset, sponsored, creates_account, most) in cases {
        let terms = SolanaTerms { creates_account, unique: [0xff; 16], ..terms(sponsored.then(|| sponsor().address())) };
        assert_eq!(terms.most_lamports(&key.address(), &offer(asset.clone())), most, "{asset:?} {sponsored} {creates_account}");
        let signed = sign_payment(&key, &offer(asset.clone()), Amount::from_atomic(1), &terms).unwrap();
        let payment = transfer::find(&SolanaTransaction::decode(&signed.transaction).unwrap().message).unwrap().payment;
        assert_eq!(payment.max_fee(), if sponsored { 10_001 } else { 5_001 });
        assert_eq!(payment.creates_destination, creates_account && !asset.is_native());
    }
    let own = SolanaTerms { fee_payer: Some(key.address()), ..terms(None) };
    assert_eq!(own.most_lamports(&key.address(), &offer(sol)), 5_001, "the payer is no sponsor of its own");
}

#[test]
fn what_cannot_be_paid_is_not_signed() {
    let key = SolanaKey::from_seed(&[7; 32]);
    let [sol, usdc, _] = assets();
    let pay = |offer: &Offer, amount, fee_payer| sign_payment(&key, offer, amount, &terms(fee_payer)).map(drop);
    let one = Amount::from_atomic(1);
    assert_eq!(pay(&offer(sol.clone()), one, Some(key.address())), Ok(()), "the payer pays its own fee");
    assert_eq!(pay(&offer(usdc.clone()), Amount::from_atomic(u128::from(u64::MAX)), None), Ok(()));
    assert_eq!(pay(&offer(usdc), Amount::from_atomic(u128::from(u64::MAX) + 1), None), Err(SolanaSignError::Amount));
    assert_eq!(pay(&offer(sol.clone()), Amount::ZERO, None), Err(SolanaSignError::Amount));
    assert_eq!(pay(&offer(sol.clone()), one, PAYEE.parse().ok()), Err(SolanaSignError::Parties));
    let mine = Offer::new(sol, one, key.address().into()).unwrap();
    assert_eq!(pay(&mine, one, None), Err(SolanaSignError::Parties));
    let evm = Assets::known().by_symbol(Network::Evm(8453), "USDC").unwrap().clone();
    let evm = Offer::new(evm, one, "0x70997970C51812dc3A010C7d01b50e0d17dc79C8".parse().unwrap()).unwrap();
    assert_eq!(pay(&evm, one, None), Err(SolanaSignError::Network));
}

/// T077: the key that pays fees signs sponsored payments of its own account, and nothing else.
#[test]
fn t077_the_fee_payers_key_signs_payments_only() {
    let key = SolanaKey::from_seed(&[7; 32]);
    let [_, usdc, _] = assets();
    let pay = |fee_payer| {
        let signed = sign_payment(&key, &offer(usdc.clone()), Amount::from_atomic(5), &terms(fee_payer)).unwrap();
        SolanaTransaction::decode(&signed.transaction).unwrap()
    };
    let mut sponsored = pay(Some(sponsor().address()));
    let signed = cosign(&sponsored, &sponsor()).unwrap();
    sponsored.signatures[0] = [7; 64];
    assert_eq!(cosign(&sponsored, &sponsor()).unwrap(), signed, "whatever stood there");
    assert_eq!(signed[1..65], sponsor().sign(sponsored.message.bytes()));
    assert_eq!(signed[65..], sponsored.encode()[65..]);
    let unknown: Result<Bytes, Reject> = Err(SolanaReject::FeePayerUnknown.into());
    assert_eq!(cosign(&sponsored, &key), unknown, "another key's");
    assert_eq!(cosign(&pay(None), &key), unknown, "the payer's own");
}
