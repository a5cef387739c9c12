//! The adapter against nodes that answer as they please. What honest nodes answer, the end-to-end tests show.

use super::{
    account::age_of,
    answer::{WireAccount, base58, base64},
    question::{failure, simulation},
    *,
};
use crate::rpc::{
    RpcConfig,
    tests::fake::{Fake, Reply},
};
use h402_core::{
    Amount, Asset, Offer, SolanaKey, SolanaSimulation, TransactionId,
    solana::{SolanaTerms, SolanaTransaction, sign_payment},
};
use serde_json::{Value, json};
use std::time::Duration;

const GENESIS: &str = "EtWTRABZaYq6iMfeYKouRu166VU2xqa1wcaWoxPkrZBG";

/// A node that answers each call with what `answer` makes of its method and parameters.
async fn node(answer: impl Fn(&str, &Value) -> Result<Value, Value> + Send + Sync + 'static) -> Fake {
    Fake::start(move |body| {
        let one = |call: &Value| match answer(call["method"].as_str().unwrap(), &call["params"]) {
            Ok(result) => json!({ "jsonrpc": "2.0", "id": call["id"], "result": result }),
            Err(error) => json!({ "jsonrpc": "2.0", "id": call["id"], "error": error }),
        };
        let answers = match serde_json::from_slice::<Value>(body).unwrap() {
            Value::Array(calls) => Value::Array(calls.iter().map(one).collect()),
            call => one(&call),
        };
        Reply::Status(200, answers.to_string())
    })
    .await
}

fn chain(nodes: &[&Fake]) -> SolanaChain {
    let endpoints = nodes.iter().map(|node| node.url().parse().unwrap()).collect();
    let rpc = Rpc::new(RpcConfig { timeout: Duration::from_secs(30), ..RpcConfig::new(endpoints) });
    SolanaChain::new(SolanaConfig { genesis: GenesisPrefix::DEVNET, rpc })
}

fn in_context(slot: u64, value: Value) -> Value {
    json!({ "context": { "apiVersion": "4.2.2", "slot": slot }, "value": value })
}

/// A well-meaning node at a slot.
fn honest(slot: u64, method: &str, params: &Value) -> Result<Value, Value> {
    Ok(match method {
        "getGenesisHash" => json!(GENESIS),
        "getBlockHeight" => json!(slot - 100),
        "getBalance" => in_context(slot, json!(5)),
        "isBlockhashValid" => in_context(slot, json!(true)),
        "getLatestBlockhash" => in_context(slot, json!({ "blockhash": GENESIS, "lastValidBlockHeight": slot })),
        "getSignatureStatuses" => {
            let count = params[0].as_array().unwrap().len();
            in_context(slot, Value::Array(vec![json!({ "slot": slot, "err": null, "confirmationStatus": "confirmed" }); count]))
        }
        other => panic!("{other}"),
    })
}

/// T146, T092: a node of another cluster decides nothing, and the next one is asked from then on.
#[tokio::test]
async fn t146_a_node_of_another_cluster_decides_nothing() {
    let other = node(|method, params| match method {
        "getGenesisHash" => Ok(json!("5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d")),
        _ => honest(1_000, method, params),
    })
    .await;
    let good = node(|method, params| honest(1_000, method, params)).await;
    let chain = chain(&[&other, &good]);
    assert_eq!(chain.statuses(&[[1; 64]]).await, Err(Undecided::WrongChain));
    let statuses = chain.statuses(&[[1; 64]]).await.unwrap();
    assert_eq!((statuses.slot, statuses.finalized_height, statuses.statuses.len()), (1_000, 900, 1));
}

/// T147: a node that is far behind what another has shown is left for that one.
#[tokio::test]
async fn t147_a_node_that_lags_is_left_for_one_that_does_not() {
    for (behind, good) in [(NEAR, true), (NEAR + 1, false)] {
        let first = node(|method, params| honest(1_000, method, params)).await;
        let second = node(move |method, params| honest(1_000 - behind, method, params)).await;
        let chain = chain(&[&first, &second]);
        assert!(chain.statuses(&[[1; 64]]).await.is_ok());
        chain.rpc().distrust(chain.inner.ask([]).await.unwrap().1);
        assert_eq!(chain.statuses(&[[1; 64]]).await.is_ok(), good, "{behind} behind");
    }
}

/// T147: what is finalized is always behind the newest block, and no sign of a node that lags.
#[tokio::test]
async fn t147_a_finalized_block_is_no_sign_of_a_node_that_lags() {
    let behind = |method: &str, params: &Value| match method {
        "isBlockhashValid" => Ok(in_context(960, json!(false))),
        _ => honest(1_000, method, params),
    };
    let (first, second) = (node(behind).await, node(behind).await);
    let chain = chain(&[&first, &second]);
    assert!(chain.statuses(&[[1; 64]]).await.is_ok());
    assert_eq!(chain.are_blockhashes_valid(&[[1; 32]]).await, Ok(vec![false]));
}

/// T148: an answer that makes no sense is none, whatever was asked for.
#[tokio::test]
async fn t148_no_senseless_answer_is_an_answer_to_any_read() {
    let senseless = [
        json!(null),
        json!(-1),
        json!("x"),
        json!({}),
        json!([]),
        json!({ "context": {}, "value": [null] }),
        json!({ "context": { "slot": "1" }, "value": [null] }),
        json!({ "context": { "slot": 1 }, "value": [{ "slot": 1, "confirmationStatus": "rooted" }] }),
        json!({ "context": { "slot": 1 }, "value": [null, null] }),
        json!({ "context": { "slot": 1 }, "value": { "blockhash": "abc", "lastValidBlockHeight": 1 } }),
        json!({ "context": { "slot": 1 }, "value": -5 }),
        json!(1.5),
    ];
    for method in ["getGenesisHash", "getBlockHeight", "getSignatureStatuses", "getBalance", "isBlockhashValid", "getLatestBlockhash"] {
        for junk in &senseless {
            let bad = junk.clone();
            let node = node(move |asked, params| if asked == method { Ok(bad.clone()) } else { honest(1_000, asked, params) }).await;
            let chain = chain(&[&node]);
            let answered = match method {
                "getBalance" => chain.lamports(SolanaAddress::from_bytes([1; 32])).await.map(drop),
                "isBlockhashValid" => chain.are_blockhashes_valid(&[[1; 32]]).await.map(drop),
                "getLatestBlockhash" => chain.inner.read_hint().await,
                _ => chain.statuses(&[[1; 64]]).await.map(drop),
            };
            assert!(answered.is_err(), "{method}: {junk}");
        }
    }
    let node = node(|asked, params| honest(1_000, asked, params)).await;
    let chain = chain(&[&node]);
    assert_eq!(chain.lamports(SolanaAddress::from_bytes([1; 32])).await, Ok(5));
    assert_eq!(chain.are_blockhashes_valid(&[[1; 32]]).await, Ok(vec![true]));
    assert_eq!(chain.inner.read_hint().await, Ok(()));
    assert_eq!(chain.hint().unwrap().last_valid_block_height, 1_000);
}

/// Whoever asks first, or after a quiet hour, is told, too; and one who cannot be told does not wait for long.
#[tokio::test]
async fn the_first_to_ask_for_a_blockhash_gets_one() {
    let node = node(|asked, params| honest(1_000, asked, params)).await;
    let chain = chain(&[&node]);
    assert_eq!(chain.hint(), None, "this one waits for nothing");
    assert_eq!(chain.hint_soon().await.unwrap().last_valid_block_height, 1_000);
    let silent =
        self::node(|asked, params| if asked == "getLatestBlockhash" { Ok(json!(null)) } else { honest(1_000, asked, params) }).await;
    assert_eq!(self::chain(&[&silent]).hint_soon().await, None);
}

#[tokio::test]
async fn statuses_of_many_come_in_one_request_and_in_their_order() {
    let node = node(|method, params| match method {
        "getSignatureStatuses" => {
            let asked = params[0].as_array().unwrap();
            assert!(asked.len() <= 256);
            let status = |signature: &Value| match signature.as_str().unwrap() {
                known if known == base58(&[0; 64]) => {
                    json!({ "slot": 7, "err": { "InstructionError": [2, { "Custom": 1 }] }, "confirmationStatus": "finalized" })
                }
                known if known == base58(&[1; 64]) => json!({ "slot": 8, "err": null, "confirmationStatus": "processed" }),
                _ => Value::Null,
            };
            Ok(in_context(9, Value::Array(asked.iter().map(status).collect())))
        }
        _ => honest(1_000, method, params),
    })
    .await;
    let chain = chain(&[&node]);
    let signatures: Vec<[u8; 64]> = (0..600_u32).map(|number| [u8::try_from(number % 200).unwrap(); 64]).collect();
    let answer = chain.statuses(&signatures).await.unwrap();
    assert_eq!((node.requests(), answer.slot, answer.statuses.len()), (1, 9, 600));
    let failed = answer.statuses[200].as_ref().unwrap();
    assert_eq!((failed.slot, failed.commitment), (7, Some(Commitment::Finalized)));
    assert!(failed.failure.as_ref().unwrap().contains("InstructionError"));
    assert_eq!(answer.statuses[401], Some(SignatureStatus { slot: 8, commitment: None, failure: None }));
    assert_eq!(answer.statuses[599], None);
}

#[tokio::test]
async fn transactions_are_sent_many_at_once_and_answers_prove_nothing() {
    let node = node(|method, params| {
        assert_eq!(method, "sendTransaction");
        assert_eq!(params[1], json!({ "encoding": "base64", "skipPreflight": true, "maxRetries": 0 }));
        match params[0].as_str().unwrap() {
            first if first == base64(&[0]) => {
                Err(json!({ "code": -32002, "message": "Transaction simulation failed: Blockhash not found" }))
            }
            second if second == base64(&[1]) => Ok(json!(base58(&[77; 64]))),
            third if third == base64(&[2]) => Ok(json!("nonsense")),
            _ => Ok(json!(base58(&[9; 64]))),
        }
    })
    .await;
    let chain = chain(&[&node]);
    let transactions: Vec<_> = (0..150_u8).map(|number| (TransactionId::Solana([9; 64]), vec![number].into())).collect();
    let sent = chain.send(&transactions).await;
    assert_eq!((node.requests(), sent.len()), (2, 150), "a node takes a hundred calls in a request");
    assert_eq!(sent[0], SolanaSending::Refused("Transaction simulation failed: Blockhash not found".into()));
    assert_eq!((&sent[1], &sent[2]), (&SolanaSending::Unknown, &SolanaSending::Unknown), "another transaction, and none");
    assert!(sent[3..].iter().all(|sending| *sending == SolanaSending::Accepted));
}

#[test]
fn only_what_the_transaction_itself_does_wrong_is_the_payers_fault() {
    let raw = |value: Value| serde_json::value::to_raw_value(&value).unwrap();
    let simulated = |err: Value| simulation(&Ok(raw(in_context(1, json!({ "err": err, "unitsConsumed": 450 })))));
    assert_eq!(simulated(Value::Null), Ok(SolanaSimulation::Succeeds { units: 450 }));
    for (err, word) in [
        (json!({ "InstructionError": [2, { "Custom": 1 }] }), "InstructionError"),
        (json!("BlockhashNotFound"), "BlockhashNotFound"),
        (json!("AlreadyProcessed"), "AlreadyProcessed"),
        (json!("AccountNotFound"), "AccountNotFound"),
    ] {
        assert!(matches!(simulated(err), Ok(SolanaSimulation::Fails { reason }) if reason.contains(word)), "{word}");
    }
    for passing in ["AccountInUse", "ClusterMaintenance", "WouldExceedMaxBlockCostLimit", "ProgramCacheHitMaxLimit"] {
        assert_eq!(simulated(json!(passing)), Err(Undecided::Chain), "{passing}");
        assert_eq!(failure(&raw(json!(passing))), None);
    }
    let error = |code: i64| simulation(&Err(RpcError { code, message: "no".into(), data: None }));
    assert!(matches!(error(-32602), Ok(SolanaSimulation::Fails { .. })), "the bytes are no transaction to the node");
    for code in [-32005, -32603, -32016, 429, 0] {
        assert_eq!(error(code), Err(Undecided::Chain), "{code}");
    }
}

#[test]
fn a_blockhash_is_as_old_as_its_place_in_the_list() {
    let account = |count: u64, hashes: &[u8]| {
        let mut data = count.to_le_bytes().to_vec();
        for hash in hashes {
            data.extend([*hash; 32]);
            data.extend(5_000_u64.to_le_bytes());
        }
        let json = json!({ "lamports": 1, "owner": base58(&[0; 32]), "data": [base64(&data), "base64"] });
        serde_json::from_value::<WireAccount>(json).unwrap()
    };
    let list = account(3, &[7, 8, 9]);
    assert_eq!([7, 8, 9, 6].map(|hash| age_of(&[hash; 32], &list)), [Some(0), Some(1), Some(2), None]);
    assert_eq!(age_of(&[9; 32], &account(2, &[7, 8, 9])), None, "what lies behind the list is no part of it");
    assert_eq!(age_of(&[9; 32], &account(u64::MAX, &[9])), Some(0));
    assert_eq!(age_of(&[9; 32], &account(0, &[])), None);
}

/// T090, T092: an account that was created had nothing before; keys from lookup tables follow the message's own.
#[test]
fn t090_t092_balances_are_those_of_the_right_accounts() {
    let sol = Asset::native(Network::Solana(GenesisPrefix::DEVNET), "SOL");
    let payee = SolanaAddress::from_bytes([3; 32]);
    let offer = Offer::new(sol.into(), Amount::from_atomic(1_000), payee.into()).unwrap();
    let key = SolanaKey::from_seed(&[7; 32]);
    let terms = SolanaTerms { blockhash: [9; 32], fee_payer: None, creates_account: false, unique: [0; 16] };
    let raw = sign_payment(&key, &offer, offer.amount, &terms).unwrap().transaction;
    let transaction = SolanaTransaction::decode(&raw).unwrap();
    let keys = transaction.message.keys().len();
    let tokens = |index: usize, amount: &str| json!({ "accountIndex": index, "mint": base58(&[5; 32]), "owner": base58(&[6; 32]), "uiTokenAmount": { "amount": amount } });
    let answer = |balances: usize, err: Value| {
        json!({
            "slot": 70, "blockTime": 1_700_000_000, "version": 0, "transaction": [base64(&raw), "base64"],
            "meta": {
                "err": err, "preBalances": vec![10; balances], "postBalances": vec![20; balances],
                "preTokenBalances": [tokens(0, "8")], "postTokenBalances": [tokens(0, "3"), tokens(keys + 1, "5")],
                "loadedAddresses": { "writable": [base58(&[41; 32])], "readonly": [base58(&[42; 32])] },
            },
        })
    };
    let raw_value = |value: Value| serde_json::value::to_raw_value(&value).unwrap();
    let status = |slot: u64| raw_value(in_context(90, json!([{ "slot": slot, "confirmationStatus": "finalized" }])));
    let read = |answer: Value, slot: u64| sent::facts(&transaction.signatures[0], &[Ok(raw_value(answer)), Ok(status(slot))]);
    let facts = read(answer(keys + 2, Value::Null), 70).unwrap().unwrap();
    assert!(facts.success && facts.finalized);
    assert_eq!((facts.slot, facts.lamports.len()), (70, keys + 2));
    assert_eq!(facts.lamports[keys].account, SolanaAddress::from_bytes([41; 32]));
    assert_eq!((facts.tokens[0].before, facts.tokens[0].after), (8, 3));
    assert_eq!((facts.tokens[1].account, facts.tokens[1].before, facts.tokens[1].after), (SolanaAddress::from_bytes([42; 32]), 0, 5));
    assert!(!read(answer(keys + 2, json!("AccountInUse")), 70).unwrap().unwrap().success);
    assert!(!read(answer(keys + 2, Value::Null), 71).unwrap().unwrap().finalized, "the status is of another block");
    assert_eq!(read(Value::Null, 70), Ok(None), "the cluster does not know it");
    assert_eq!(read(answer(keys, Value::Null), 70), Err(Undecided::Chain), "balances of fewer accounts");
    let other = sent::facts(&[1; 64], &[Ok(raw_value(answer(keys + 2, Value::Null))), Ok(status(70))]);
    assert_eq!(other, Err(Undecided::Chain), "another transaction");
}

/// What nodes list of an account is read page by page, down to where the last look ended; a node that does not know where the page
/// before has ended would list nothing, and is not believed.
#[tokio::test]
async fn an_accounts_transactions_are_read_page_by_page() {
    let signature = |n: u64| {
        let mut bytes = [7; 64];
        bytes[..8].copy_from_slice(&n.to_be_bytes());
        bytes
    };
    // Two transactions in a slot, the newest in slot 5000.
    let listing = move |knows: bool| {
        move |method: &str, params: &Value| match method {
            "getSlot" => Ok(json!(5_010)),
            "getSignaturesForAddress" => {
                assert_eq!(params[1]["commitment"], "finalized");
                let first = match params[1]["before"].as_str() {
                    None => 0,
                    Some(_) if !knows => return Ok(json!([])),
                    Some(last) => (0..).find(|n| base58(&signature(*n)) == last).unwrap() + 1,
                };
                let page = (first..first + 1000).map(|n| json!({ "signature": base58(&signature(n)), "slot": 5_000 - n / 2, "err": null }));
                Ok(Value::Array(page.collect()))
            }
            "getSignatureStatuses" if !knows => Ok(in_context(1_000, json!([null]))),
            _ => honest(1_000, method, params),
        }
    };
    let good = node(listing(true)).await;
    let who = SolanaAddress::from_bytes([1; 32]);
    let naming = chain(&[&good]).naming(who, Some(3_900)).await.unwrap();
    assert_eq!(naming.upto, 4_978);
    assert_eq!(naming.signatures, (0..2_200).map(signature).collect::<Vec<_>>());
    assert_eq!(chain(&[&good]).naming(who, None).await, Ok(Naming { upto: 4_978, signatures: Vec::new() }));
    let forgetful = node(listing(false)).await;
    assert_eq!(chain(&[&forgetful]).naming(who, Some(3_900)).await, Err(Undecided::Chain));
    assert_eq!(chain(&[&forgetful]).naming(who, Some(4_700)).await.unwrap().signatures.len(), 600, "one page is enough");
}
