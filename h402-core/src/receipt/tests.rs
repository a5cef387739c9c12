use super::*;
use crate::Network;
use proptest::prelude::*;
use serde::Deserialize;

const VECTORS: &str = include_str!("../../../tests/vectors/receipts/receipts.json");

#[derive(Deserialize)]
struct Vector {
    name: String,
    seed: String,
    issuer: String,
    expect: Expect,
    receipt: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Expect {
    purpose: String,
    payment: String,
    request: Option<String>,
    network: String,
    transaction: String,
    block: Option<Block>,
    asset: String,
    pay_to: String,
    payer: String,
    amount: String,
    time: u64,
}

#[derive(Deserialize)]
struct Block {
    number: u64,
    hash: String,
}

impl Expect {
    fn statement(&self) -> Statement {
        let bytes32 = |text: &String| -> [u8; 32] { hex::decode(text).unwrap().try_into().unwrap() };
        Statement {
            purpose: ReceiptPurpose::from_word(self.purpose.as_bytes()).unwrap(),
            payment: PaymentKey::from_bytes(bytes32(&self.payment)),
            fingerprint: self.request.as_ref().map(|request| Fingerprint::from_bytes(bytes32(request))),
            transaction: self.transaction.parse().unwrap(),
            block: self.block.as_ref().map(|block| BlockRef { number: block.number, hash: block.hash.parse().unwrap() }),
            asset: AssetId { network: self.network.parse().unwrap(), address: self.asset.parse().unwrap() },
            amount: Amount::from_atomic_text(&self.amount).unwrap(),
            pay_to: self.pay_to.parse().unwrap(),
            payer: self.payer.parse().unwrap(),
            time: UnixMillis(self.time),
        }
    }
}

fn vectors() -> Vec<Vector> {
    let vectors: Vec<Vector> = serde_json::from_str(VECTORS).unwrap();
    assert_eq!(vectors.len(), 3);
    vectors
}

/// Others' bytes are read, and ours are theirs, letter for letter.
#[test]
fn receipts_of_another_program_are_ours() {
    for vector in vectors() {
        let want = vector.expect.statement();
        let receipt: SignedReceipt = vector.receipt.parse().unwrap();
        let issuer: ReceiptIssuer = vector.issuer.parse().unwrap();
        assert_eq!(receipt.issuer(), issuer, "{}", vector.name);
        assert_eq!(receipt.verify(&[issuer]), Ok(&want), "{}", vector.name);
        let key = ReceiptKey::from_hex(&vector.seed).unwrap();
        assert_eq!(SignedReceipt::sign(want, &key).unwrap().to_string(), vector.receipt, "{}", vector.name);
    }
}

/// A wallet's library, which knows nothing of receipts, signs and verifies the same.
#[test]
fn a_solana_keypair_signs_what_a_receipt_key_signs() {
    use solana_signer::Signer as _;
    for vector in vectors() {
        let seed: [u8; 32] = hex::decode(&vector.seed).unwrap().try_into().unwrap();
        let bytes = encoding::from_base64url(&vector.receipt).unwrap();
        let (signed, signature) = bytes.split_last_chunk::<64>().unwrap();
        let wallet = solana_keypair::Keypair::new_from_array(seed);
        assert_eq!(wallet.sign_message(signed).as_ref(), signature);
        assert!(wallet.sign_message(signed).verify(&hex::decode(&vector.issuer).unwrap(), signed));
    }
}

/// T125, G31: who is not trusted proves nothing, though the signature is its own; and the trusted one does.
#[test]
fn t125_only_a_trusted_issuer_proves() {
    let vectors = vectors();
    let receipt: SignedReceipt = vectors[0].receipt.parse().unwrap();
    let (own, other): (ReceiptIssuer, ReceiptIssuer) = (vectors[0].issuer.parse().unwrap(), vectors[1].issuer.parse().unwrap());
    assert!(receipt.verify(&[other, own]).is_ok());
    assert_eq!(receipt.verify(&[other]), Err(BadReceipt::Issuer(own)));
    assert_eq!(receipt.verify(&[]), Err(BadReceipt::Issuer(own)));
    // A key of small order, under which many signatures of many texts would be good: the identity point, R the same, S zero.
    let weak: [u8; 32] = core::array::from_fn(|at| u8::from(at == 0));
    assert!(hex::encode(weak).parse::<ReceiptIssuer>().is_err());
    let mut signature = [0; 64];
    signature[0] = 1;
    let anybody = ReceiptIssuer::from_bytes(weak);
    let forged = SignedReceipt(Arc::new(Signed { statement: receipt.unverified().clone(), issuer: anybody, signature }));
    assert_eq!(forged.verify(&[anybody]), Err(BadReceipt::Signature));
}

#[test]
fn one_receipt_has_one_text() {
    for vector in vectors() {
        let text = vector.receipt;
        let receipt: SignedReceipt = text.parse().unwrap();
        assert_eq!(receipt.to_string(), text);
        let bytes = encoding::from_base64url(&text).unwrap();
        let standard = text.replace('-', "+").replace('_', "/");
        for other in [format!("{text}="), format!("{text}A"), format!(" {text}"), format!("{text}\n"), String::new()] {
            assert!(other.parse::<SignedReceipt>().is_err(), "{other:?}");
        }
        if standard != text {
            assert_eq!(standard.parse::<SignedReceipt>(), Err(BadReceipt::Base64));
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert!(encoding::to_base64url(&longer).parse::<SignedReceipt>().is_err());
        for length in 0..bytes.len() {
            assert!(encoding::to_base64url(&bytes[..length]).parse::<SignedReceipt>().is_err(), "{length} bytes");
        }
    }
    assert_eq!("A".repeat(SignedReceipt::MAX_TEXT + 1).parse::<SignedReceipt>(), Err(BadReceipt::TooLong));
}

/// A statement that could not be read again is not signed.
#[test]
fn kinds_of_networks_are_not_mixed() {
    let vectors = vectors();
    let (evm, solana) = (vectors[0].expect.statement(), vectors[2].expect.statement());
    let key = ReceiptKey::from_seed(&[1; 32]);
    let bent = [
        ("transaction", Statement { transaction: solana.transaction, ..evm.clone() }),
        ("asset", Statement { asset: AssetId { network: evm.asset.network, ..solana.asset }, ..evm.clone() }),
        ("payee", Statement { pay_to: solana.pay_to, ..evm.clone() }),
        ("payer", Statement { payer: evm.payer, ..solana.clone() }),
    ];
    for (name, statement) in bent {
        assert_eq!(SignedReceipt::sign(statement, &key), Err(BadReceipt::Field(name)));
    }
    for statement in [evm, solana] {
        assert!(SignedReceipt::sign(statement, &key).is_ok());
    }
}

/// G31: no letter of a receipt and no byte of it can be another. 3 receipts, each of their some 380 bytes in 8 ways and each of
/// their some 510 letters in 4: more than 10 000 mutants, none accepted.
#[test]
fn t125_no_byte_of_a_receipt_can_be_another() {
    let mut mutants = 0;
    for vector in vectors() {
        let issuer: ReceiptIssuer = vector.issuer.parse().unwrap();
        let accepted = |text: &str| text.parse::<SignedReceipt>().is_ok_and(|receipt| receipt.verify(&[issuer]).is_ok());
        assert!(accepted(&vector.receipt), "the honest twin");
        let bytes = encoding::from_base64url(&vector.receipt).unwrap();
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut mutant = bytes.clone();
                mutant[at] ^= 1 << bit;
                assert!(!accepted(&encoding::to_base64url(&mutant)), "byte {at}, bit {bit}");
                mutants += 1;
            }
        }
        for at in 0..vector.receipt.len() {
            for letter in ["A", "_", "b", "."] {
                let mut mutant = vector.receipt.clone();
                mutant.replace_range(at..=at, letter);
                if mutant != vector.receipt {
                    assert!(!accepted(&mutant), "letter {at} as {letter}");
                    mutants += 1;
                }
            }
        }
    }
    assert!(mutants > 10_000, "{mutants}");
}

fn addresses(evm: bool) -> impl Strategy<Value = [Address; 3]> {
    any::<[[u8; 32]; 3]>().prop_map(move |bytes| {
        bytes.map(|bytes| if evm { Address::Evm(bytes.first_chunk::<20>().unwrap().into()) } else { Address::Solana(bytes.into()) })
    })
}

fn statements() -> impl Strategy<Value = Statement> {
    let block = proptest::option::of((any::<u64>(), any::<[u8; 32]>()).prop_map(|(number, hash)| BlockRef { number, hash: hash.into() }));
    let rest = (any::<[u8; 32]>(), proptest::option::of(any::<[u8; 32]>()), any::<[u8; 32]>(), any::<u64>(), any::<bool>(), block);
    (any::<bool>(), 1..=u64::MAX, any::<[u8; 64]>()).prop_flat_map(move |(evm, chain, tx)| {
        let network = if evm { Network::Evm(chain) } else { Network::Solana(crate::GenesisPrefix::DEVNET) };
        let transaction = if evm { TransactionId::Evm(tx.first_chunk::<32>().unwrap().into()) } else { TransactionId::Solana(tx) };
        (addresses(evm), rest.clone()).prop_map(move |([asset, pay_to, payer], (payment, request, amount, time, credit, block))| {
            Statement {
                purpose: if credit { ReceiptPurpose::Credit } else { ReceiptPurpose::Settled },
                payment: PaymentKey::from_bytes(payment),
                fingerprint: request.map(Fingerprint::from_bytes),
                transaction,
                block,
                asset: AssetId { network, address: asset },
                amount: Amount::from_be_bytes(amount),
                pay_to,
                payer,
                time: UnixMillis(time),
            }
        })
    })
}

proptest! {
    /// What is signed is read again, says the same, and no other statement has its text.
    #[test]
    fn what_is_signed_is_read_again(statement in statements(), other in statements(), seed: [u8; 32]) {
        let key = ReceiptKey::from_seed(&seed);
        let receipt = SignedReceipt::sign(statement.clone(), &key).unwrap();
        let text = receipt.to_string();
        prop_assert!(text.len() <= SignedReceipt::MAX_TEXT);
        let read: SignedReceipt = text.parse().unwrap();
        prop_assert_eq!(&read, &receipt);
        prop_assert_eq!(read.verify(&[key.issuer()]), Ok(&statement));
        let others = SignedReceipt::sign(other.clone(), &key).unwrap().to_string();
        prop_assert_eq!(others == text, other == statement);
    }

    /// The parser is total: whatever it is given, it answers.
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..700), text in ".{0,200}") {
        let _either = text.parse::<SignedReceipt>();
        let any = encoding::to_base64url(&bytes);
        if let Ok(receipt) = any.parse::<SignedReceipt>() {
            prop_assert_eq!(receipt.to_string(), any);
        }
    }
}
