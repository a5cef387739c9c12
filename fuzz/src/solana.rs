//! Transactions of Solana, and what token programs keep in accounts.

use h402_core::{
    Amount, Assets, Dialect, GenesisPrefix, Matched, Network, Offer, Offers, Payload, PaymentPayload, Proof, Resource, Scheme,
    SignedSolanaTransaction, SolanaKey, TokenProgram,
    solana::{self, MintFacts, SolanaTransaction, TokenAccountFacts},
};
use solana_transaction::versioned::VersionedTransaction;
use std::sync::{Arc, OnceLock};

/// What is asked for: a hundredth of a dollar in USDC, or some lamports.
fn offers() -> &'static Offers {
    static OFFERS: OnceLock<Offers> = OnceLock::new();
    OFFERS.get_or_init(|| {
        let payee = SolanaKey::from_seed(&[9; 32]).address().into();
        let offer = |symbol: &str| {
            let asset = Assets::known().by_symbol(Network::Solana(GenesisPrefix::MAINNET), symbol).expect("an asset of the table").clone();
            Arc::new(Offer::new(asset, Amount::from_atomic(10_000), payee).expect("an offer"))
        };
        Offers::new(vec![offer("USDC"), offer("SOL")]).expect("offers")
    })
}

pub(crate) fn transactions(bytes: &[u8]) {
    let Ok(transaction) = SolanaTransaction::decode(bytes) else { return };
    assert_eq!(&transaction.encode()[..], bytes, "two texts of one transaction");
    as_others_read(&transaction, bytes);
    let signer = SolanaKey::from_seed(&[8; 32]);
    if let Ok(signed) = solana::cosign(&transaction, &signer) {
        assert_eq!(transaction.message.fee_payer(), signer.address(), "signed what it does not pay for");
        let again = SolanaTransaction::decode(&signed).expect("what was signed can be read");
        assert_eq!(again.message, transaction.message);
        assert_eq!(again.signatures[1..], transaction.signatures[1..]);
    }
    let payload = PaymentPayload {
        dialect: Dialect::H402V1,
        scheme: Scheme::Exact,
        network: Network::Solana(GenesisPrefix::MAINNET),
        resource: None,
        payload: Payload::SolanaTransaction(SignedSolanaTransaction { signature: None, transaction: bytes.to_vec().into() }),
    };
    let resource = Arc::new(Resource::default());
    if let Ok(matched) = Matched::new(payload, offers(), &resource, None) {
        let Proof::SolanaTransaction { payment, .. } = matched.proof() else { panic!("another proof than was presented") };
        assert!(matched.amount() >= matched.requirements().offer.amount, "less than is asked for");
        assert!(transaction.message.signers().contains(&payment.payer));
        assert_eq!(transaction.message.lookups(), 0);
    }
}

/// Solana's own reader must see the same transaction.
fn as_others_read(ours: &SolanaTransaction, bytes: &[u8]) {
    let theirs: VersionedTransaction = bincode::deserialize(bytes).expect("Solana cannot read what we can");
    theirs.sanitize().expect("Solana takes no such transaction");
    let signatures: Vec<[u8; 64]> = theirs.signatures.iter().map(|signature| (*signature).into()).collect();
    assert_eq!(signatures, ours.signatures);
    let message = &theirs.message;
    let keys: Vec<[u8; 32]> = message.static_account_keys().iter().map(|key| key.to_bytes()).collect();
    assert_eq!(keys, ours.message.keys().iter().map(|key| *key.as_bytes()).collect::<Vec<_>>());
    assert_eq!(&message.recent_blockhash().to_bytes(), ours.message.blockhash());
    assert_eq!(message.serialize(), ours.message.bytes().as_ref());
    for (index, _) in (0_u8..).zip(ours.message.keys()) {
        assert_eq!(message.is_signer(index.into()), ours.message.is_signer(index));
    }
    let instructions: Vec<_> = message.instructions().iter().map(|one| (one.program_id_index, &one.accounts[..], &one.data[..])).collect();
    assert_eq!(
        instructions,
        ours.message.instructions().iter().map(|one| (one.program, &one.accounts[..], &one.data[..])).collect::<Vec<_>>()
    );
}

pub(crate) fn accounts(bytes: &[u8]) {
    let (old, new) = (TokenProgram::Token, TokenProgram::Token2022);
    if let Some(account) = TokenAccountFacts::decode(old, bytes) {
        assert_eq!(bytes.len(), 165);
        assert_eq!(account.mint.as_bytes(), &bytes[..32]);
        assert_eq!(account.owner.as_bytes(), &bytes[32..64]);
        assert_eq!(account.amount.to_le_bytes(), bytes[64..72]);
        // The newer program keeps the same in the same place.
        assert_eq!(TokenAccountFacts::decode(new, bytes), Some(TokenAccountFacts { program: new, ..account }));
    }
    if let Some(account) = TokenAccountFacts::decode(new, bytes) {
        assert!(bytes.len() == 165 || bytes.len() > 165 && bytes.len() != 355);
        assert_eq!(account.amount.to_le_bytes(), bytes[64..72]);
        assert_eq!(MintFacts::decode(new, bytes), None, "an account that is a mint");
    }
    if let Some(mint) = MintFacts::decode(old, bytes) {
        assert!(bytes.len() == 82 && mint.extensions.is_empty());
        assert_eq!(mint.decimals, bytes[44]);
    }
    if let Some(mint) = MintFacts::decode(new, bytes) {
        assert_eq!((mint.decimals, bytes[45]), (bytes[44], 1));
        assert!(mint.extensions.len() <= bytes.len() / 4, "extensions out of nothing");
    }
}
