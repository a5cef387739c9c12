//! The facilitator's server in floods: of connections, of frames, of bodies, of settlements that do not end, of words.

use super::{PRICE, Reply, transfers_to_payee, until};
use futures_util::future::join_all;
use h402_core::{PaymentPayload, wire::h402};
use h402_devnet::evm::{BlockTime, Chain, account};
use h402_facilitator::EngineConfig;
use h402_tests::{
    process::{Process, ProcessOptions},
    rig::{Folder, GAS, PAYER, Rig, RigOptions, Wallets, evm},
};
use std::{collections::BTreeSet, time::Duration};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
    time::timeout,
};

/// How long anything may take that has to happen at all.
const PATIENCE: Duration = Duration::from_secs(60);
/// How an HTTP/2 client begins, with empty SETTINGS.
const H2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";

/// A facilitator in a process of its own, its chain, and who pays there.
struct Server {
    process: Process,
    wallets: Wallets,
    chain: Chain,
    folder: Folder,
}

impl Server {
    async fn start(settings: &str, log: Option<&str>) -> Self {
        let (chain, folder) = (Chain::builder().start().await.unwrap(), Folder::new());
        let options = ProcessOptions { settings: settings.to_owned(), log: log.map(str::to_owned), ..ProcessOptions::default() };
        let process = Process::start(env!("CARGO_BIN_EXE_facilitator-under-test"), &folder, &chain.url(), &options).await;
        process.until_ready().await;
        Self { process, wallets: Wallets::new(&chain), chain, folder }
    }

    fn address(&self) -> &str {
        self.process.url.trim_start_matches("http://")
    }

    async fn connect(&self, first: &[u8]) -> TcpStream {
        let mut stream = TcpStream::connect(self.address()).await.unwrap();
        stream.write_all(first).await.unwrap();
        stream
    }

    /// An honest caller is served in the end, whatever the others do.
    async fn settles(&self) {
        let body = h402::encode_request(&self.wallets.payment(PAYER, PRICE), &self.wallets.requirements(PRICE)).unwrap();
        for path in ["/verify", "/settle"] {
            let answer = timeout(PATIENCE, self.process.post(path, &body, Some("honest"))).await.expect("in time").expect("an answer");
            let reply = Reply::from(answer);
            assert!(if path == "/verify" { reply.is_valid() } else { reply.is_settled() }, "{reply:?}");
        }
    }
}

/// Reads until the other side has closed, and gives what came.
async fn rest(stream: &mut TcpStream) -> Vec<u8> {
    let mut read = Vec::new();
    // That the connection was reset is an end, too.
    drop(timeout(PATIENCE, stream.read_to_end(&mut read)).await.expect("it is closed"));
    read
}

/// T163: three hundred connections that say nothing, or never finish what they say, hold no more than the places there are, and none
/// for long; an honest caller gets its turn.
#[tokio::test(flavor = "multi_thread")]
async fn t163_slow_connections_end_and_honest_callers_are_served() {
    let server = Server::start("[connections]\nmax = 200\nidle_seconds = 1\n", None).await;
    let before = server.process.open_files();
    let slow: [&[u8]; 6] = [
        b"",
        b"P",
        b"PRI * HTTP/2.0\r\n",
        b"POST /settle HTTP/1.1\r\nhost: a\r\ncontent-le",
        H2,
        b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n",
    ];
    let mut connections = Vec::new();
    for number in 0..300 {
        connections.push(server.connect(slow[number % slow.len()]).await);
    }
    // A head that never ends, byte by byte.
    let mut dribbling = server.connect(b"GET /health HTTP/1.1\r\nx: ").await;
    let dribbles = tokio::spawn(async move {
        while dribbling.write_all(b"y").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    });
    let open = server.process.open_files();
    assert!(open <= before + 200 + 50, "{open} files, {before} before");
    server.settles().await;
    join_all(connections.iter_mut().map(rest)).await;
    timeout(PATIENCE, dribbles).await.expect("it is closed").unwrap();
    server.settles().await;
    until("nothing is left of them", async || server.process.open_files() <= before + 20).await;
}

/// T163: one client has no more than its connections, and takes none from another.
#[tokio::test(flavor = "multi_thread")]
async fn t163_one_client_has_no_more_than_its_connections() {
    let server = Server::start("[connections]\nmax_per_client = 3\n", None).await;
    let request = b"GET /health HTTP/1.1\r\nhost: a\r\n\r\n";
    let from = async |ip: &str| {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(format!("{ip}:0").parse().unwrap()).unwrap();
        let mut stream = socket.connect(server.address().parse().unwrap()).await.unwrap();
        // A server that has closed already may refuse the bytes.
        drop(stream.write_all(request).await);
        stream
    };
    let is_served = async |stream: &mut TcpStream| {
        let mut byte = [0];
        matches!(timeout(PATIENCE, stream.read(&mut byte)).await.expect("served or closed"), Ok(1))
    };
    // The connections of `until_ready` may have ended a moment ago.
    let mut kept = Vec::new();
    while kept.len() < 3 {
        let mut stream = from("127.0.0.1").await;
        if is_served(&mut stream).await {
            kept.push(stream);
        }
    }
    assert!(!is_served(&mut from("127.0.0.1").await).await, "a fourth is not");
    assert!(is_served(&mut from("127.0.0.2").await).await, "another client is");
    kept.pop();
    until("there is room again", async || is_served(&mut from("127.0.0.1").await).await).await;
}

/// A frame of HTTP/2.
fn frame(kind: u8, flags: u8, stream: u32, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), body].concat()
}

/// Whether the server said that this is too much: GOAWAY with ENHANCE_YOUR_CALM.
fn is_told_to_calm_down(read: &[u8]) -> bool {
    let mut at = read;
    while let [a, b, c, kind, _, _, _, _, _, rest @ ..] = at {
        let length = usize::try_from(u32::from_be_bytes([0, *a, *b, *c])).unwrap();
        if *kind == 7 && rest.get(4..8) == Some(&[0, 0, 0, 11]) {
            return true;
        }
        at = rest.get(length..).unwrap_or_default();
    }
    false
}

/// T164: ten thousand settlements that are begun and reset at once, and heads that never end, on HTTP/2: whoever does that is cut off,
/// memory does not grow with it, and settlements of others go on without a hole in the nonces.
#[tokio::test(flavor = "multi_thread")]
async fn t164_resets_and_endless_heads_are_cut_off() {
    let server = Server::start("", None).await;
    server.settles().await;
    let before = server.process.resident();
    // :method POST, :scheme http, :path /settle
    let head = [&b"\x83\x86\x04\x07"[..], b"/settle"].concat();
    let mut calmed = 0;
    for _ in 0..20 {
        let mut stream = server.connect(H2).await;
        let resets = (0..500u32).flat_map(|number| {
            let id = 2 * number + 1;
            [frame(1, 4, id, &head), frame(3, 0, id, &8u32.to_be_bytes())].concat()
        });
        // It may be cut off before all is written.
        drop(stream.write_all(&resets.collect::<Vec<u8>>()).await);
        drop(stream.shutdown().await);
        calmed += u32::from(is_told_to_calm_down(&rest(&mut stream).await));
    }
    assert!(calmed > 0, "nobody was told to calm down");
    server.settles().await;
    // Twin: a stream that is reset once costs nobody a connection: the next one on it is answered.
    let mut stream = server.connect(H2).await;
    let get = [&b"\x82\x86\x04\x07"[..], b"/health"].concat();
    stream.write_all(&[frame(1, 4, 1, &head), frame(3, 0, 1, &8u32.to_be_bytes()), frame(1, 5, 3, &get)].concat()).await.unwrap();
    let mut read = Vec::new();
    while !read.windows(15).any(|window| window == br#"{"status":"ok"}"#) {
        assert_ne!(timeout(PATIENCE, stream.read_buf(&mut read)).await.expect("an answer").unwrap(), 0, "closed");
    }
    for _ in 0..5 {
        let mut stream = server.connect(H2).await;
        stream.write_all(&frame(1, 0, 1, &head)).await.unwrap();
        // a: b, as often as it fits.
        let more = frame(9, 0, 1, &b"\0\x01a\x01b".repeat(3000));
        let mut written = 0;
        while written < 64 << 20 && timeout(PATIENCE, stream.write_all(&more)).await.expect("it is read or refused").is_ok() {
            written += more.len();
        }
        assert!(written < 64 << 20, "64 MiB of a head were read");
    }
    server.settles().await;
    let after = server.process.resident();
    assert!(after < before + 64 * 1024, "{before} KiB, then {after} KiB");
    assert_eq!((server.chain.nonce(account(GAS).address), server.chain.pending().len()), (3, 0));
    assert_eq!(transfers_to_payee(&server.chain).len(), 3);
}

/// The bytes as `gzip -0` would pack them.
fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut crc = u32::MAX;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    let length = u16::try_from(bytes.len()).unwrap();
    let head = b"\x1f\x8b\x08\0\0\0\0\0\0\xff\x01";
    [&head[..], &length.to_le_bytes(), &(!length).to_le_bytes(), bytes, &(!crc).to_le_bytes(), &u32::from(length).to_le_bytes()].concat()
}

/// T165: bodies that are small to send and much to read, each refused, as a bad request or as bad requirements; the same body with the
/// bomb where nobody looks is accepted.
#[tokio::test(flavor = "multi_thread")]
async fn t165_bombs_are_refused_and_the_body_without_them_is_not() {
    let rig = Rig::start().await;
    let good = h402::encode_request(&rig.payment(PAYER, PRICE), &rig.requirements(PRICE)).unwrap();
    let text = String::from_utf8(good.clone()).unwrap();
    let amount = format!("\"amountRequired\":{PRICE},");
    let with_amount = |digits: &str| text.replace(&amount, &format!("\"amountRequired\":{digits},")).into_bytes();
    assert!(text.contains(&amount) && text.contains("http://127.0.0.1/paid"), "{text}");
    let with = |bomb: String| text.replacen('{', &format!("{{\"bomb\":{bomb},"), 1).into_bytes();
    let deep = |open: &str, close: &str, depth: usize| format!("{}0{}", open.repeat(depth), close.repeat(depth));
    let bombs: [(&str, Vec<u8>, u16); 11] = [
        ("too long", [&good[..], &vec![b' '; 1 << 20]].concat(), 413),
        ("packed", gzip(&good), 400),
        ("arrays", with_amount(&deep("[", "]", 30_000)), 200),
        ("objects", with_amount(&deep("{\"a\":", "}", 9_000)), 200),
        ("arrays that do not end", vec![b'['; 60_000], 400),
        ("half a surrogate", text.replace("/paid", "/\\ud800").into_bytes(), 200),
        ("overlong unicode", [text.as_bytes(), b"\xc0\xaf"].concat(), 400),
        ("an exponent", with_amount("1e999999999"), 200),
        ("many digits", with_amount(&format!("\"{}\"", "9".repeat(50_000))), 200),
        ("digits without quotes", with_amount(&"9".repeat(50_000)), 200),
        ("digits of another script", with_amount("\"\u{661}\u{660}\u{660}\u{660}\u{660}\""), 200),
    ];
    for (name, body, status) in bombs {
        for path in ["/verify", "/settle"] {
            let request = http::Request::post(format!("{}{path}", rig.url))
                .header("content-encoding", if name == "packed" { "gzip" } else { "identity" });
            let reply = Reply::from(h402_tests::http::send(request.body(body.clone().into()).unwrap()).await);
            let word = if status == 200 { "invalid_payment_requirements" } else { "invalid_request" };
            assert_eq!((reply.status, reply.word().as_str()), (status, word), "{name}: {reply:?}");
        }
    }
    assert_eq!(super::sends(&rig), 0);
    assert!(
        Reply::from(rig.post_body("/settle", with(deep("[", "]", 30_000)), Some("shop")).await).is_settled(),
        "what nobody reads is skipped, however deep"
    );
}

/// T168: no blocks, and four hundred settlements at once: as many as there are places wait, the others are told to come again, and
/// who only wants to know gets an answer. When there are blocks again all of them are settled, once each.
#[tokio::test(flavor = "multi_thread")]
async fn t168_settlements_that_wait_hold_up_nobody_else() {
    const PLACES: usize = 100;
    let engine = Box::new(|config: &mut EngineConfig| {
        config.max_concurrent = PLACES;
        config.max_open_per_payer = 1000;
        (config.reads_per_payer, config.reads_overall) = (100_000, 100_000);
        config.answer_within = Duration::from_secs(300);
        evm(config).max_block_age = Duration::from_secs(600);
    });
    let rig = Rig::with(RigOptions { block_time: BlockTime::Manual, engine, ..RigOptions::default() }).await;
    let payments: Vec<(String, PaymentPayload)> = (0..400).map(|n| (format!("shop-{n}"), rig.payment(PAYER + n % 5, PRICE))).collect();
    let answered = std::sync::Mutex::new(Vec::new());
    let all = join_all(payments.iter().map(async |(caller, payment)| {
        let reply = super::settle(&rig, payment, Some(caller)).await;
        answered.lock().unwrap().push(reply.status);
        reply
    }));
    let busy = || answered.lock().unwrap().iter().filter(|status| **status == 503).count();
    let others = async {
        until("the others are told to come again", async || busy() == 400 - PLACES).await;
        assert_eq!(answered.lock().unwrap().len(), 400 - PLACES, "the rest waits");
        for payer in PAYER..PAYER + 5 {
            assert!(super::verify(&rig, &rig.payment(payer, PRICE), Some("curious")).await.is_valid());
        }
        assert_eq!(rig.get("/health").await.0, 200);
        until("all that wait are settled", async || {
            rig.chain.mine().await;
            answered.lock().unwrap().len() == 400
        })
        .await;
    };
    let (replies, ()) = tokio::join!(all, others);
    rig.chain.set_block_time(BlockTime::Auto);
    assert_eq!(replies.iter().filter(|reply| reply.status == 200 && reply.is_settled()).count(), PLACES);
    for ((caller, payment), reply) in payments.iter().zip(&replies) {
        let settled = super::settle_until_ended(&rig, payment, Some(caller)).await;
        assert!(settled.is_settled(), "{settled:?}");
        assert!(reply.status == 503 && reply.word() == "busy" || *reply == settled, "{reply:?}, then {settled:?}");
    }
    assert_eq!(super::transfers(&rig), 400);
}

/// T170: whatever strangers write, into paths, networks, words and headers, becomes neither a counter nor a line of the log. What an
/// honest caller does becomes both.
#[tokio::test(flavor = "multi_thread")]
async fn t170_what_strangers_write_is_neither_counted_nor_logged() {
    let server = Server::start("", Some("info")).await;
    server.settles().await;
    let metrics = async || server.process.get("/metrics").await.expect("an answer").1;
    let names = |text: &str| text.lines().filter_map(|line| Some(line.rsplit_once(' ')?.0.to_owned())).collect::<BTreeSet<String>>();
    let log = || std::fs::read_to_string(server.folder.path().join("log")).unwrap();
    let (series, lines) = (names(&metrics().await), log().lines().count());
    assert!(log().contains("claimed"), "{}", log());
    assert!(series.iter().any(|name| name.contains("state=\"final\"")), "{series:?}");
    let good = h402::encode_request(&server.wallets.payment(PAYER, PRICE), &server.wallets.requirements(PRICE)).unwrap();
    let good = String::from_utf8(good).unwrap();
    for number in 0..500 {
        let evil = format!("evil{number}");
        let bodies = [
            good.replace("\"84532\"", &format!("\"9{number}\"")),
            good.replace("\"evm\"", &format!("\"{evil}\"")),
            good.replace("\"exact\"", &format!("\"{evil}\"")),
            good.replacen('{', &format!("{{\"{evil}\":\"\\n{evil}\","), 1).replace("payload", &evil),
        ];
        let path = ["/verify", "/settle"][number % 2];
        let (status, text) = server.process.post(path, bodies[number % 4].as_bytes(), Some(&evil)).await.expect("an answer");
        assert!([200, 400].contains(&status) && !text.contains("true"), "{text}");
        assert_eq!(server.process.get(&format!("/{evil}")).await.expect("an answer").0, 404);
    }
    let after = metrics().await;
    assert_eq!(names(&after), series);
    assert!(!after.contains("evil") && !log().contains("evil"), "{after}\n{}", log());
    // Blocks may be worth a line now and then, strangers none.
    assert!(log().lines().count() < lines + 20, "{}", log());
    server.settles().await;
    assert!(after.contains("h402_payments_received_total{network=\"eip155:84532\"} 1"), "{after}");
    assert!(metrics().await.contains("h402_payments_received_total{network=\"eip155:84532\"} 2"));
}
