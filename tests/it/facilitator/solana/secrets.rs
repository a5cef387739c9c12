//! Keys, URLs with keys in them and what payers signed stay inside.

use super::{PRICE, bytes};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use h402_core::wire::h402;
use h402_devnet::{
    RpcError,
    fault::{Fault, Times},
    solana::{SolanaChain, SolanaConfig, account},
};
use h402_tests::{
    cluster::{Cluster, PAYER, SPONSOR, network},
    process::{Place, Process, ProcessOptions},
    rig::Folder,
};

const PROGRAM: &str = env!("CARGO_BIN_EXE_facilitator-under-test");

/// T114: with everything logged, and a node that repeats what it was asked and where, neither an answer nor the log has the
/// sponsor's key, a part of the URL, or a payment that was not sent yet.
#[tokio::test(flavor = "multi_thread")]
async fn t114_secrets_of_a_cluster_are_neither_answered_nor_logged() {
    let chain = SolanaChain::start(SolanaConfig::default()).await.unwrap();
    let (cluster, folder) = (Cluster::new(&chain), Folder::new());
    let url = chain.url().replace("http://", "http://canaryuser:canarypassword@") + "/?key=canaryquery";
    let key = account(SPONSOR).to_base58_string();
    let place = Place { network: &network(&chain).to_string(), assets: r#"["SOL", "USDC"]"#, rpc: &url, key: &key };
    let options = ProcessOptions { log: Some("trace".into()), ..ProcessOptions::default() };
    let process = Process::start_on(PROGRAM, &folder, &place, &options).await;
    process.until_ready().await;

    let mut told = String::new();
    let mut secrets = vec!["canary".to_owned(), key, format!("{:?}", account(SPONSOR).to_bytes())];
    let telling = |code: i64| Fault::Error(RpcError::new(code, format!("cannot do {url}, canaryquery canarypassword")));
    let cases = [
        ("", None),
        ("sendTransaction", Some(telling(-32002))),
        ("simulateTransaction", Some(telling(-32602))),
        ("simulateTransaction", Some(telling(-32603))),
        ("getMultipleAccounts", Some(telling(-32000))),
        ("getSignatureStatuses", Some(telling(-32000))),
    ];
    for (method, fault) in cases {
        if let Some(fault) = fault {
            chain.faults().add(method, fault, Times::Once);
        }
        let payment = cluster.payment(PAYER, &cluster.usdc, PRICE, Some(SPONSOR));
        secrets.extend([h402::encode_payment(&payment).unwrap(), STANDARD.encode(&bytes(&payment).transaction)]);
        let request = h402::encode_request(&payment, &cluster.requirements(&cluster.usdc, PRICE)).unwrap();
        for path in ["/verify", "/settle"] {
            let (status, body) = process.post(path, &request, Some("shop")).await.expect("an answer");
            told += &format!("{method} {path}: {status} {body}\n");
        }
    }
    for path in ["/ready", "/supported"] {
        told += &process.get(path).await.unwrap().1;
    }
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(log.contains("settlement") && log.contains("refused the transaction"), "{log}");
    assert!(told.contains("transfer_reverts") && told.contains("503"), "{told}");
    for secret in secrets {
        assert!(!log.contains(&secret), "the log has {secret}");
        assert!(!told.contains(&secret), "an answer has {secret}: {told}");
    }
}
