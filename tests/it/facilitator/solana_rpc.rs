//! The proxy for Solana clients: what it passes on, to the byte, and what the node never hears of.

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, Uri},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use h402_devnet::{
    fault::{ANY, Fault, Times},
    solana::{Signer as _, SolanaChain, SolanaConfig, account, accounts},
};
use h402_facilitator::{
    rpc::RpcConfig,
    server::{ConnectionLimits, SolanaRpc, SolanaRpcConfig, serve_with},
};
use h402_tests::{
    http::exchange,
    process::{Process, ProcessOptions},
    rig::{Folder, Rig},
};
use http::{Method, Request, Response};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket},
};

/// A facilitator with the proxy in front of these nodes.
struct Proxy {
    url: String,
    _rig: Rig,
}

impl Proxy {
    async fn before(urls: &[String]) -> Self {
        Self::with(urls, |config| config).await
    }

    async fn with(urls: &[String], change: impl FnOnce(SolanaRpcConfig) -> SolanaRpcConfig) -> Self {
        let upstream = RpcConfig::new(urls.iter().map(|url| url.parse().unwrap()).collect());
        // Tests ask faster than people.
        let config = SolanaRpcConfig { per_client: 100_000, overall: 100_000, ..SolanaRpcConfig::new(upstream) };
        let proxy = SolanaRpc::new(change(config));
        let rig = Rig::start().await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(serve_with(listener, rig.engine.clone(), Some(proxy), ConnectionLimits::default(), std::future::pending()));
        Self { url, _rig: rig }
    }

    async fn post(&self, body: impl Into<Bytes>) -> Response<String> {
        let request = Request::post(format!("{}/solana-rpc", self.url)).header("content-type", "application/json; charset=utf-8");
        let answer = exchange(request.header("solana-client", "js/2.1.1").body(body.into().into()).unwrap()).await;
        assert_eq!(header(&answer, "access-control-allow-origin"), "*", "pages read refusals, too: {answer:?}");
        assert_eq!(header(&answer, "content-type"), "application/json");
        answer
    }
}

fn header<'a>(answer: &'a Response<String>, name: &str) -> &'a str {
    answer.headers().get(name).map_or("", |value| value.to_str().unwrap())
}

fn call(method: &str, params: Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": "0", "method": method, "params": params })
}

/// What a client asks on its way to a payment, with a payment that would land.
fn honest(chain: &SolanaChain) -> Vec<Value> {
    let signature = chain.landed().first().map_or("1".repeat(64), ToString::to_string);
    vec![
        call("getAccountInfo", json!([chain.usdc().to_string(), { "encoding": "jsonParsed", "commitment": "confirmed" }])),
        call("getMultipleAccounts", json!([[chain.usdc().to_string()]])),
        call("getLatestBlockhash", json!([{ "commitment": "confirmed" }])),
        call("simulateTransaction", json!([transfer(chain, 1), { "encoding": "base64" }])),
        call("getSignatureStatuses", json!([[signature]])),
        call("getTransaction", json!([signature, { "commitment": "confirmed" }])),
    ]
}

/// A transfer of this many lamports between development accounts, signed, in base64.
fn transfer(chain: &SolanaChain, lamports: u64) -> String {
    let (from, to) = (account(0), account(1));
    let keys = [from.pubkey().to_bytes(), to.pubkey().to_bytes(), [0; 32]].concat();
    let mut message = vec![1, 0, 1, 3];
    message.extend(keys);
    message.extend(chain.latest_blockhash().0.to_bytes());
    message.extend([1, 2, 2, 0, 1, 12, 2, 0, 0, 0]);
    message.extend(lamports.to_le_bytes());
    let mut transaction = vec![1];
    transaction.extend(from.sign_message(&message).as_ref());
    transaction.extend(message);
    BASE64_STANDARD.encode(transaction)
}

/// T136: of a request that holds anything but what is on the list the node hears nothing, whatever else is in it.
#[tokio::test(flavor = "multi_thread")]
async fn t136_only_methods_on_the_list_reach_the_node() {
    let chain = SolanaChain::start(SolanaConfig::default()).await.unwrap();
    let proxy = Proxy::before(&[chain.url()]).await;
    let refused = [
        call("sendTransaction", json!([transfer(&chain, 5), { "encoding": "base64" }])),
        call("requestAirdrop", json!([account(3).pubkey().to_string(), 1])),
        call("getProgramAccounts", json!(["TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"])),
        call("getBlock", json!([1])),
        call("getHealth", json!([])),
        call("eth_sendRawTransaction", json!(["0x00"])),
        call("getaccountinfo", json!([account(3).pubkey().to_string()])),
    ];
    for honest in honest(&chain) {
        chain.faults().reset_counts();
        let answer = proxy.post(honest.to_string()).await;
        let method = honest["method"].as_str().unwrap();
        assert_eq!((answer.status().as_u16(), chain.faults().calls(method)), (200, 1), "{answer:?}");
        let parsed: Value = serde_json::from_str(answer.body()).unwrap();
        assert!(parsed.get("result").is_some() && parsed["id"] == "0", "{answer:?}");

        chain.faults().reset_counts();
        for refused in &refused {
            for (body, id) in [
                (refused.to_string(), json!("0")),
                (json!([honest, refused]).to_string(), Value::Null),
                (json!([refused, honest]).to_string(), Value::Null),
            ] {
                let answer = proxy.post(body.clone()).await;
                assert_eq!(answer.status(), 403, "{body}");
                let parsed: Value = serde_json::from_str(answer.body()).unwrap();
                assert_eq!((&parsed["id"], &parsed["error"]["code"]), (&id, &json!(-32601)), "{body}");
            }
            // Two readers of one text: the list sees one method, the node the other.
            let (good, bad) = (honest.to_string(), refused["method"].to_string());
            let key = format!("{},", json!({ "method": refused["method"] }).to_string().trim_matches(['{', '}']));
            for body in [
                good.replacen('{', &format!("{{{key}"), 1),
                format!("{},{}}}", &good[..good.len() - 1], key.trim_end_matches(',')),
                good.replacen('{', &format!("{{{}", key.replace("method", r"\u006dethod")), 1),
                good.replacen('{', &format!("{{{}", key.replace("method", "Method")), 1),
                good.replace(&honest["method"].to_string(), &format!("[{bad}]")),
                format!("{good}{refused}"),
                format!("{good}\n{refused}"),
                format!("[[{refused}]]"),
            ] {
                assert_eq!(proxy.post(body.clone()).await.status(), 400, "{body}");
            }
        }
        assert_eq!((chain.faults().requests(), chain.faults().calls(ANY)), (0, 0));
    }
    for method in ["GET", "PUT", "DELETE", "PATCH"] {
        let request = Request::builder().method(method).uri(format!("{}/solana-rpc", proxy.url));
        let answer = exchange(request.body(refused[0].to_string().into()).unwrap()).await;
        assert_eq!(answer.status(), 405, "{method}");
    }
    assert_eq!((chain.sent(), chain.faults().requests()), (Vec::new(), 0));
}

/// T136: `sendTransaction` is passed on where the configuration says so, and only there.
#[tokio::test(flavor = "multi_thread")]
async fn t136_sending_has_to_be_configured() {
    let chain = SolanaChain::start(SolanaConfig::default()).await.unwrap();
    let send = || call("sendTransaction", json!([transfer(&chain, 5), { "encoding": "base64", "preflightCommitment": "confirmed" }]));
    let off = Proxy::before(&[chain.url()]).await;
    assert_eq!(off.post(send().to_string()).await.status(), 403);
    assert_eq!((chain.sent(), chain.faults().requests()), (Vec::new(), 0));
    let on = Proxy::with(&[chain.url()], |config| SolanaRpcConfig { allow_send: true, ..config }).await;
    let answer = on.post(send().to_string()).await;
    assert_eq!((answer.status().as_u16(), chain.landed().len()), (200, 1), "{answer:?}");
    assert_eq!(on.post(call("requestAirdrop", json!([])).to_string()).await.status(), 403);
    // And then everything about it can be read through the proxy that does not send.
    for honest in honest(&chain) {
        let direct = exchange(Request::post(chain.url()).body(honest.to_string().into()).unwrap()).await;
        assert_eq!(off.post(honest.to_string()).await.body(), direct.body());
    }
}

/// What a node sees, and what it answers.
#[derive(Clone, Default)]
struct Node {
    seen: Arc<Mutex<Vec<(Uri, HeaderMap, Bytes)>>>,
    answer: &'static str,
}

impl Node {
    async fn start(answer: &'static str) -> (Self, String) {
        let node = Self { answer, ..Self::default() };
        let see = async |State(node): State<Self>, uri: Uri, headers: HeaderMap, body: Bytes| {
            node.seen.lock().unwrap().push((uri, headers, body));
            node.answer
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/key/canary-key", listener.local_addr().unwrap());
        let app = Router::new().fallback(see).with_state(node.clone());
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        (node, url)
    }

    fn seen(&self) -> Vec<(Uri, HeaderMap, Bytes)> {
        self.seen.lock().unwrap().clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_pass_as_they_are_and_nothing_else_does() {
    let answer = "{\"id\" :\"0\", \"result\":{\"value\":{\"lamports\":18446744073709551615,\"uiAmount\":1.10,\"x\":\"\\u0041\"}},\"jsonrpc\":\"2.0\"}\n";
    let (node, url) = Node::start(answer).await;
    let proxy = Proxy::before(&[url]).await;
    let body =
        "\r\n{ \"params\":[ 18446744073709551615,0.10,1e3,\"\\u0041\" ],\"method\":\"getAccountInfo\",\"jsonrpc\":\"2.0\",\"id\":\"0\"}\t";
    for path in ["/solana-rpc", "//solana-rpc", "/api/solana-rpc"] {
        let request = Request::post(format!("{}{path}", proxy.url));
        let request = request.header("x-payment", "canary").header("authorization", "canary").header("cookie", "canary");
        let passed = exchange(request.body(body.into()).unwrap()).await;
        assert_eq!((passed.status().as_u16(), passed.body().as_str()), (200, answer), "{path}");
    }
    let seen = node.seen();
    assert_eq!(seen.len(), 3);
    for (uri, headers, bytes) in seen {
        assert_eq!((uri.path(), bytes), ("/key/canary-key", Bytes::from(body)));
        assert!(!format!("{headers:?}").contains("canary"), "{headers:?}");
        assert_eq!(headers.get("content-type").unwrap(), "application/json");
    }
}

/// The preflight is answered as the recorded facilitator answers it.
#[tokio::test(flavor = "multi_thread")]
async fn pages_of_any_origin_may_ask() {
    let (node, url) = Node::start("").await;
    let proxy = Proxy::before(&[url]).await;
    let ask = async |url: &str| {
        let request = Request::builder().method(Method::OPTIONS).uri(format!("{url}/solana-rpc"));
        let request = request.header("origin", "https://app.example").header("access-control-request-method", "POST");
        exchange(request.header("access-control-request-headers", "content-type,solana-client").body(Bytes::new().into()).unwrap()).await
    };
    let answer = ask(&proxy.url).await;
    assert_eq!((answer.status().as_u16(), answer.body().as_str()), (200, ""));
    for (name, value) in [
        ("access-control-allow-origin", "*"),
        ("access-control-allow-methods", "POST, OPTIONS"),
        ("access-control-allow-headers", "Content-Type, Solana-Client"),
        ("content-length", "0"),
    ] {
        assert_eq!(header(&answer, name), value, "{name}");
    }
    assert_eq!(node.seen().len(), 0);
    let without = Rig::start().await;
    assert_eq!(ask(&without.url).await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn long_bodies_and_long_batches_are_refused() {
    let (node, url) = Node::start(r#"{"id":1,"result":1}"#).await;
    let proxy = Proxy::with(&[url], |config| SolanaRpcConfig { max_batch: 3, ..config }).await;
    let one = call("getLatestBlockhash", json!([])).to_string();
    let batch = |count: usize| format!("[{}]", vec![one.as_str(); count].join(","));
    let padded = |length: usize| one.clone() + &" ".repeat(length - one.len());
    for (body, status) in [(batch(3), 200), (batch(4), 400), (batch(0), 400), (padded(64 << 10), 200), (padded((64 << 10) + 1), 413)] {
        let before = node.seen().len();
        assert_eq!(proxy.post(body.clone()).await.status().as_u16(), status, "{} bytes", body.len());
        assert_eq!(node.seen().len() - before, usize::from(status == 200), "{} bytes", body.len());
    }
}

/// T136: nobody takes more than a share, however the calls are spread over requests and batches.
#[tokio::test(flavor = "multi_thread")]
async fn t136_calls_are_limited_for_each_client_and_for_all() {
    let (node, url) = Node::start(r#"{"id":1,"result":1}"#).await;
    let one = call("getLatestBlockhash", json!([])).to_string();
    // Two seconds' worth at first: four calls for a client, six for all. More come slower than this test asks.
    let slow = |config| SolanaRpcConfig { per_client: 2, overall: 3, max_batch: 3, ..config };
    let proxy = Proxy::with(&[url], slow).await;
    let address = proxy.url.trim_start_matches("http://").parse().unwrap();
    let from = async |client: &str, body: &str| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(format!("{client}:0").parse().unwrap()).unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        let length = body.len();
        let head = format!(
            "POST /solana-rpc HTTP/1.1\r\nhost: x\r\nx-forwarded-for: 192.0.2.1\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all((head + body).as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer.split(' ').nth(1).unwrap().parse::<u16>().unwrap()
    };
    let start = std::time::Instant::now();
    let mut passed = Vec::new();
    for client in ["127.0.0.1", "127.0.0.2", "127.0.0.3"] {
        let mut count = 0;
        for _ in 0..8 {
            match from(client, &one).await {
                200 => count += 1,
                status => assert_eq!(status, 429),
            }
        }
        passed.push(count);
    }
    let seconds = usize::try_from(start.elapsed().as_secs()).unwrap() + 1;
    assert_eq!(node.seen().len(), passed.iter().sum::<usize>());
    assert!(passed[0] >= 4 && passed[0] <= 4 + 2 * seconds, "{passed:?}");
    assert!(passed.iter().sum::<usize>() <= 6 + 3 * seconds, "{passed:?} in {seconds} s");
    assert!(passed[1] >= 2, "one client leaves something for the next: {passed:?}");
}

/// T134: what is down is gone round, and a refusal tells nothing about where the nodes are.
#[tokio::test(flavor = "multi_thread")]
async fn the_next_node_is_asked_and_without_any_the_answer_is_to_come_again() {
    let chains = [(); 2].map(|()| SolanaChain::start(SolanaConfig::default()));
    let [first, second] = chains;
    let (first, second) = (first.await.unwrap(), second.await.unwrap());
    let secret = |chain: &SolanaChain| format!("{}/?api-key=canary-key", chain.url());
    let proxy = Proxy::before(&[secret(&first), secret(&second)]).await;
    let body = call("getLatestBlockhash", json!([])).to_string();
    first.faults().add(ANY, Fault::Status(429), Times::Once);
    assert_eq!(proxy.post(body.clone()).await.status(), 200);
    assert_eq!((first.faults().requests(), second.faults().requests()), (1, 1));
    first.pause().await;
    second.faults().add(ANY, Fault::Html, Times::Always);
    let answer = proxy.post(body.clone()).await;
    assert_eq!((answer.status().as_u16(), header(&answer, "retry-after")), (503, "1"));
    assert!(!format!("{answer:?}").contains("canary") && !answer.body().contains("127.0.0.1"), "{answer:?}");
    second.faults().clear();
    first.resume().await;
    assert_eq!(proxy.post(body).await.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_program_takes_the_proxy_from_its_configuration() {
    let rig = Rig::start().await;
    let chain = SolanaChain::start(SolanaConfig::default()).await.unwrap();
    let folder = Folder::new();
    let settings = format!("[solana_rpc]\nrpc = [{:?}]\nmax_batch = 2\n", chain.url());
    let options = ProcessOptions { settings, ..ProcessOptions::default() };
    let process = Process::start(env!("CARGO_BIN_EXE_facilitator-under-test"), &folder, &rig.wallets.chain.url(), &options).await;
    let ask =
        async |body: Value| exchange(Request::post(format!("{}/solana-rpc", process.url)).body(body.to_string().into()).unwrap()).await;
    let one = call("getMultipleAccounts", json!([accounts().iter().map(|key| key.pubkey().to_string()).collect::<Vec<_>>()]));
    assert_eq!(ask(one.clone()).await.status(), 200);
    assert_eq!(ask(json!([one, one, one])).await.status(), 400);
    assert_eq!(ask(call("sendTransaction", json!([]))).await.status(), 403);
    assert_eq!(chain.faults().calls(ANY), 1);
}
