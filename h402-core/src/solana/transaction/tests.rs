//! T079: no bytes make decoding panic, and what decodes says what Solana's own crates say.

use super::*;
use crate::SolanaAddress;
use proptest::{collection::vec, prelude::*};
use solana_message::{VersionedMessage, v0};
use solana_transaction::versioned::VersionedTransaction;

/// The transaction of tests/vectors/captures/ref-full-solana-native.json.
const RECORDED: &str = "015bcea166d36c4d9ff221e5029ee1bf7e862c643001bb8ba03fcfa4dff95bb901020de46446869a152a00d20e22c7835025b6\
    25d7d0df421ef9e8de91fe07cd048001000204ea4a6c63e29c520abef5507b132ec5f9954776aebebe7b92421eea691446d22c38bf5d4e693aae5b441f\
    14ac51a9a98b1e902372949938baa7e47bd89c628c5600000000000000000000000000000000000000000000000000000000000000000306466fe52117\
    32ffecadba72c39be7bc8ce5bbc5f7126b2c439b3a40000000aeebad4a796fcc2e15dc4c6061b45ed9b373f26adfc798ca7d2d8cc58182718e03030005\
    02c2010000030009030100000000000000020200010c02000000809698000000000000";

fn recorded() -> Vec<u8> {
    hex::decode(RECORDED).unwrap()
}

fn why(raw: &[u8]) -> &'static str {
    match SolanaTransaction::decode(raw) {
        Ok(_) => "decodes",
        Err(Reject::Solana(SolanaReject::Undecodable(why))) => why,
        Err(other) => panic!("{other:?}"),
    }
}

#[test]
fn a_recorded_transaction_is_read_and_written() {
    let transaction = SolanaTransaction::decode(&recorded()).unwrap();
    assert_eq!(transaction.encode(), recorded());
    let message = &transaction.message;
    let payer: SolanaAddress = "GmaDrppBC7P5ARKV8g3djiwP89vz1jLK23V2GBjuAEGB".parse().unwrap();
    assert_eq!((message.version(), message.signers(), message.fee_payer()), (MessageVersion::V0, [payer].as_slice(), payer));
    assert_eq!(bs58::encode(message.blockhash()).into_string(), "CmpNeggWJ4JaWJeJ8YKN1Zypmk7uvQq3PECGUCAEMbky");
    let keys: Vec<_> = message.keys().iter().map(ToString::to_string).collect();
    let others =
        ["4pX5LbCK85Sf6iLXMwUodo2f5rvQKAofyhANT6TUwG3f", "11111111111111111111111111111111", "ComputeBudget111111111111111111111111111111"];
    assert_eq!(keys[1..], others);
    let transfer = &message.instructions()[2];
    assert_eq!(
        (transfer.program, transfer.accounts.to_vec(), hex::encode(&transfer.data)),
        (2, vec![0, 1], "020000008096980000000000".into())
    );
    let writable: Vec<bool> = (0..4).map(|index| message.is_writable(index)).collect();
    assert_eq!((writable, message.is_signer(0), message.is_signer(1)), (vec![true, true, false, false], true, false));
    // python3: hashlib.sha256 of the bytes after the signature.
    assert_eq!(hex::encode(message.hash()), "0a0b177a431351f452df380947d77838fd2eaa79749b42996fafaf197c32db30");
}

/// T079: each byte that can lead astray, bent by hand, beside the recorded transaction that decodes.
#[test]
fn t079_what_is_malformed_is_refused_by_its_name() {
    let bent = |at: usize, byte: u8| {
        let mut raw = recorded();
        raw[at] = byte;
        raw
    };
    let with = |at: usize, bytes: &[u8]| {
        let mut raw = recorded();
        raw.splice(at..=at, bytes.iter().copied());
        raw
    };
    const EARLY: &str = "it ends too early";
    const HEADER: &str = "header does not fit the keys";
    const SIGNATURES: &str = "there are more or fewer signatures than are required";
    const INDEX: &str = "a program is the fee payer or no key of the message";
    // 65 version, 66 signers, 67 and 68 read-only, 69 keys, 70 first key, 198 blockhash, 230 instructions, 231 the first program.
    let cases = [
        (recorded(), "decodes"),
        (Vec::new(), EARLY),
        ([vec![0], recorded()[65..].to_vec()].concat(), SIGNATURES),
        (bent(65, 0x81), "message version is not known"),
        (bent(65, 0xff), "message version is not known"),
        (bent(66, 0), HEADER),
        (bent(66, 2), SIGNATURES),
        (bent(66, 5), HEADER),
        (bent(66, 255), HEADER),
        (bent(67, 1), HEADER),
        (bent(67, 255), HEADER),
        (bent(68, 3), "decodes"),
        (bent(68, 4), HEADER),
        (bent(69, 0), HEADER),
        (bent(69, 0x7f), EARLY),
        (with(69, &[0x84, 0]), "a length is not canonical"),
        (with(69, &[0x84, 0x80, 0]), "a length is not canonical"),
        (with(69, &[0x84, 0x80, 0x80, 0]), "a length is not canonical"),
        (with(69, &[0xff, 0xff, 4]), "a length is not canonical"),
        (with(69, &[0xff, 0xff, 3]), EARLY),
        (bent(231, 0), INDEX),
        (bent(231, 4), INDEX),
        (bent(231, 250), INDEX),
        ([recorded(), vec![0]].concat(), "bytes follow the message"),
        (vec![0; 1233], "longer than 1232 bytes"),
        (vec![0xff; 1232], "a length is not canonical"),
    ];
    for (raw, expected) in cases {
        assert_eq!(why(&raw), expected, "{}", hex::encode(&raw));
    }
    let length = recorded().len();
    // An account that is no key; the last byte but 13 is the second account of the transfer.
    assert_eq!(recorded()[length - 15], 1);
    assert_eq!(why(&bent(length - 15, 4)), "an account is no key of the message");
    // The payee twice.
    let mut twice = recorded();
    twice.copy_within(102..134, 134);
    assert_eq!(why(&twice), "a key is there twice");
    // Every truncation.
    for end in 0..length {
        assert_ne!(why(&recorded()[..end]), "decodes");
    }
    // A table: of no key, of one that an account may name, of more than an index can.
    let tables = |writable: &[u8], account: u8| {
        let mut raw = bent(length - 15, account);
        raw.pop();
        raw.push(1);
        raw.extend_from_slice(&[7; 32]);
        write_length(&mut raw, writable.len());
        raw.extend_from_slice(writable);
        raw.push(0);
        raw
    };
    assert_eq!(why(&tables(&[], 1)), "a lookup table adds no key");
    assert_eq!(why(&tables(&[9], 4)), "decodes");
    assert_eq!(why(&tables(&[9], 5)), "an account is no key of the message");
    assert_eq!(why(&tables(&[0; 252], 1)), "decodes");
    assert_eq!(why(&tables(&[0; 253], 1)), "more keys than an index can name");
}

#[test]
fn lengths_are_written_as_they_are_read() {
    for length in [0, 1, 0x7f, 0x80, 0x3fff, 0x4000, 0xffff] {
        let mut bytes = Vec::new();
        write_length(&mut bytes, length);
        let bytes = Bytes::from(bytes);
        let mut reader = Reader { bytes: &bytes, at: 0 };
        assert_eq!((reader.length(), reader.at), (Ok(length), bytes.len()));
    }
}

/// Ours and theirs of the same bytes; theirs may be `None` for what Solana refuses.
fn theirs(raw: &[u8]) -> Option<VersionedTransaction> {
    let theirs: VersionedTransaction = bincode::deserialize(raw).ok()?;
    (theirs.sanitize().is_ok() && bincode::serialize(&theirs).unwrap() == raw).then_some(theirs)
}

fn agrees(ours: &SolanaTransaction, theirs: &VersionedTransaction) -> bool {
    let message = &ours.message;
    let keys = theirs.message.static_account_keys().iter().map(|key| SolanaAddress::from_bytes(key.to_bytes()));
    let instructions = theirs.message.instructions();
    message.keys().iter().copied().eq(keys)
        && *message.blockhash() == theirs.message.recent_blockhash().to_bytes()
        && message.bytes().as_ref() == theirs.message.serialize()
        && message.lookups() == theirs.message.address_table_lookups().map_or(0, <[_]>::len)
        && message.instructions().len() == instructions.len()
        && message
            .instructions()
            .iter()
            .zip(instructions)
            .all(|(ours, theirs)| ours.program == theirs.program_id_index && ours.accounts == theirs.accounts && ours.data == theirs.data)
        && (0..=u8::MAX).filter(|index| message.key(*index).is_some()).all(|index| {
            let at = usize::from(index);
            let requested = theirs.message.header();
            message.is_signer(index) == theirs.message.is_signer(at)
                && message.signers().len() == usize::from(requested.num_required_signatures)
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    /// T079: any bytes at all.
    #[test]
    fn t079_no_bytes_panic(raw in vec(any::<u8>(), 0..1300)) {
        if let Ok(transaction) = SolanaTransaction::decode(&raw) {
            prop_assert_eq!(transaction.encode(), raw);
        }
    }

    /// T079: a good transaction with bytes changed, put in and taken out: what decodes here decodes there, to the same.
    #[test]
    fn t079_mutations_never_panic_and_mean_what_they_mean_to_solana(
        edits in vec((0_usize..300, any::<u8>(), 0_u8..4), 1..4),
    ) {
        let mut raw = recorded();
        for (at, byte, kind) in edits {
            let at = at % raw.len();
            match kind {
                0 => raw[at] = byte,
                1 => raw.insert(at, byte),
                2 => drop(raw.remove(at)),
                _ => raw[at] ^= 1 << (byte % 8),
            }
        }
        if let Ok(ours) = SolanaTransaction::decode(&raw) {
            prop_assert_eq!(ours.encode(), raw.clone());
            let theirs = theirs(&raw);
            prop_assert!(theirs.is_some_and(|theirs| agrees(&ours, &theirs)), "only we take {}", hex::encode(&raw));
        }
    }

    /// Messages of both versions as Solana's own crates write them.
    #[test]
    fn messages_of_others_are_read(
        keys in vec(any::<[u8; 32]>(), 2..12),
        instructions in vec((1_u8..12, vec(0_u8..12, 0..6), vec(any::<u8>(), 0..40)), 0..5),
        header in (1_u8..4, 0_u8..3, 0_u8..8),
        legacy in any::<bool>(),
    ) {
        let mut unique = keys;
        unique.sort_unstable();
        unique.dedup();
        let count = u8::try_from(unique.len()).unwrap();
        let instructions: Vec<_> = instructions.into_iter().map(|(program, accounts, data)| solana_message::compiled_instruction::CompiledInstruction {
            program_id_index: program % count,
            accounts: accounts.into_iter().map(|index| index % count).collect(),
            data,
        }).collect();
        let header = solana_message::MessageHeader {
            num_required_signatures: header.0, num_readonly_signed_accounts: header.1, num_readonly_unsigned_accounts: header.2,
        };
        let account_keys = unique.into_iter().map(Into::into).collect();
        let recent_blockhash = [3; 32].into();
        let message = if legacy {
            VersionedMessage::Legacy(solana_message::Message { header, account_keys, recent_blockhash, instructions })
        } else {
            VersionedMessage::V0(v0::Message { header, account_keys, recent_blockhash, instructions, address_table_lookups: vec![] })
        };
        let signatures = vec![Default::default(); usize::from(header.num_required_signatures)];
        let transaction = VersionedTransaction { signatures, message };
        let sane = transaction.sanitize().is_ok();
        let raw = bincode::serialize(&transaction).unwrap();
        match SolanaTransaction::decode(&raw) {
            Ok(ours) => prop_assert!(sane && agrees(&ours, &transaction) && ours.encode() == raw),
            Err(_) => prop_assert!(!sane || raw.len() > SolanaTransaction::MAX_LENGTH, "{}", hex::encode(&raw)),
        }
    }
}
