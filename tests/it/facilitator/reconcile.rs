//! Ledger and chain compared as an operator does it: with the program's own commands, beside a running server or in its stead.

use super::{PRICE, Reply, until};
use alloy_primitives::B256;
use h402_core::wire::h402;
use h402_devnet::evm::{Chain, account};
use h402_tests::{
    postgres,
    process::{Place, Process, ProcessOptions, Ran, gas_key, run},
    rig::{Folder, GAS, PAYER, Wallets},
};
use sqlx::{Connection as _, SqliteConnection};

const PROGRAM: &str = env!("CARGO_BIN_EXE_facilitator-under-test");
/// Blocks after which nothing is looked at any more.
const FINAL: usize = 14;

/// A chain, and a ledger that is compared with it.
struct Books {
    wallets: Wallets,
    node: String,
    folder: Folder,
    options: ProcessOptions,
}

impl Books {
    async fn open(every_seconds: u64, stop_above: u64, database: Option<&str>) -> Self {
        let wallets = Wallets::new(&Chain::builder().start().await.unwrap());
        let options = ProcessOptions {
            settings: format!("[reconcile]\nevery_seconds = {every_seconds}\nstop_above = {stop_above}"),
            log: Some("warn".into()),
            database: database.map(str::to_owned),
            ..ProcessOptions::default()
        };
        Self { node: wallets.chain.url(), wallets, folder: Folder::new(), options }
    }

    async fn serve(&self) -> Process {
        Process::start(PROGRAM, &self.folder, &self.node, &self.options).await
    }

    /// Runs `h402-facilitator reconcile` with these arguments.
    async fn reconcile(&self, arguments: &[&str]) -> Ran {
        let key = gas_key();
        let arguments: Vec<&str> = ["reconcile"].iter().chain(arguments).copied().collect();
        run(PROGRAM, &self.folder, &Place::evm(&self.node, &key), &self.options, &arguments).await
    }

    fn request(&self) -> Vec<u8> {
        h402::encode_request(&self.wallets.payment(PAYER, PRICE), &self.wallets.requirements(PRICE)).unwrap()
    }

    /// Something that the facilitator's key does without its ledger.
    async fn moonlight(&self) -> B256 {
        self.wallets.send(GAS, self.wallets.native_transfer(GAS, account(PAYER).address, 7)).await
    }

    async fn bury(&self) {
        for _ in 0..FINAL {
            self.wallets.chain.mine().await;
        }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Changes the ledger behind the program's back.
    async fn tamper(&self, sql: &'static str) {
        let file = self.folder.path().join("ledger.sqlite");
        let mut ledger = SqliteConnection::connect(&format!("sqlite://{}", file.display())).await.unwrap();
        sqlx::query("PRAGMA foreign_keys = off").execute(&mut ledger).await.unwrap();
        assert_eq!(sqlx::query(sql).execute(&mut ledger).await.unwrap().rows_affected(), 1, "{sql}");
        ledger.close().await.unwrap();
    }
}

async fn get(process: &Process, path: &str) -> Reply {
    process.get(path).await.expect("an answer").into()
}

async fn post(process: &Process, path: &str, body: &[u8], caller: &str) -> Reply {
    process.post(path, body, Some(caller)).await.expect("an answer").into()
}

/// A number of the counters.
async fn metric(process: &Process, name: &str) -> u64 {
    let text = get(process, "/metrics").await.text;
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name}{{network=\"eip155:84532\"}} ")));
    line.unwrap_or_else(|| panic!("no {name}: {text}")).parse().unwrap()
}

/// Settles payments and waits until they are final.
async fn trade(books: &Books, process: &Process, count: usize) {
    for _ in 0..count {
        let request = books.request();
        let settled = post(process, "/settle", &request, "shop").await;
        assert!(settled.is_settled(), "{settled:?}");
        books.bury().await;
        let path = format!("/payments/{}", settled.transaction().unwrap());
        until("it is final", async || get(process, &path).await.json()["state"] == "final").await;
    }
}

/// The number of passes that an operator can see: when the last one was.
async fn compared_at(process: &Process) -> u64 {
    get(process, "/reconciliation").await.json()["networks"][0]["at"].as_u64().unwrap_or_default()
}

/// Waits until everything that is final now was compared.
async fn compared(process: &Process) {
    for _ in 0..4 {
        let last = compared_at(process).await;
        until("it compares", async || compared_at(process).await > last).await;
    }
}

/// T159, G12: what a key does beside the ledger raises the alarm, and above the limit nothing new is taken on, until an operator
/// has looked and accepted it: beside the running server where the ledger is shared, in its stead where it is a file.
async fn too_many_differences_stop_new_payments(database: Option<&str>) {
    let books = Books::open(1, 1, database).await;
    let mut server = books.serve().await;
    server.until_ready().await;
    let begun = books.request();
    assert!(post(&server, "/settle", &begun, "shop").await.is_settled());
    trade(&books, &server, 1).await;
    compared(&server).await;
    // The honest twin: what went through the ledger differs in nothing.
    assert_eq!(metric(&server, "h402_ledger_differences").await, 0);
    assert!(metric(&server, "h402_ledger_compared_timestamp_seconds").await > 0);
    if database.is_some() {
        let agree = books.reconcile(&[]).await;
        assert_eq!((agree.code, agree.complained.as_str()), (0, ""), "{agree:?}");
    } else {
        let busy = books.reconcile(&[]).await;
        assert_eq!((busy.code, busy.said.as_str()), (2, ""), "{busy:?}");
        assert!(busy.complained.contains("/reconciliation"), "it says whom to ask instead: {busy:?}");
    }

    // One is told, and is not above the limit.
    let first = books.moonlight().await;
    books.bury().await;
    until("it is told", async || metric(&server, "h402_ledger_differences").await == 1).await;
    assert_eq!(get(&server, "/ready").await.status, 200);
    trade(&books, &server, 1).await;

    // Two are too many.
    let second = books.moonlight().await;
    books.bury().await;
    until("it stops", async || get(&server, "/ready").await.status == 503).await;
    assert_eq!(metric(&server, "h402_ledger_differences").await, 2);
    let told = get(&server, "/reconciliation").await.json()["networks"][0]["differences"].clone();
    for (index, hash) in [first, second].iter().enumerate() {
        assert_eq!((told[index]["kind"].as_str(), told[index]["transaction"].as_str()), (Some("unexplained"), Some(&*hash.to_string())));
        assert!(books.log().contains(&hash.to_string()), "the alarm names it: {}", books.log());
    }
    let refused = books.request();
    for path in ["/verify", "/settle"] {
        let reply = post(&server, path, &refused, "shop").await;
        assert_eq!((reply.status, reply.word().as_str()), (503, "dependency_unavailable"), "{path}");
    }
    assert!(post(&server, "/settle", &begun, "shop").await.is_settled(), "who has paid gets its answer");

    // An operator looks, finds it twice the same, and accepts it.
    if database.is_none() {
        assert!(server.terminate().await.success());
    }
    for _ in 0..2 {
        let differ = books.reconcile(&[]).await;
        assert_eq!(differ.code, 1, "{differ:?}");
        assert!(differ.said.contains(": 2 difference(s)"), "{differ:?}");
        assert!([first, second].iter().all(|hash| differ.said.contains(&format!("unexplained  {hash}"))), "{differ:?}");
    }
    let accepted = books.reconcile(&["--accept"]).await;
    assert_eq!(accepted.code, 0, "{accepted:?}");
    assert!(accepted.said.contains("accepted 2"), "{accepted:?}");
    let again = books.reconcile(&["--from-block", "0"]).await;
    assert_eq!(again.code, 0, "what was accepted is not found again: {again:?}");
    if database.is_none() {
        server = books.serve().await;
    }
    server.until_ready().await;
    assert_eq!(metric(&server, "h402_ledger_differences").await, 0);
    let settled = post(&server, "/settle", &refused, "shop").await;
    assert!(settled.is_settled(), "{settled:?}");
    assert!(server.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn t159_too_many_differences_stop_new_payments_until_they_are_accepted() {
    too_many_differences_stop_new_payments(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn t159_beside_a_running_server_differences_are_accepted_in_postgresql() {
    let Some(database) = postgres::database().await else { return };
    too_many_differences_stop_new_payments(Some(database.url())).await;
}

/// T159: with the server down, the command finds a row that the chain does not know, one that the chain knows otherwise, and all
/// that a lost ledger has forgotten; it tells apart that they agree, that they differ, and that it could not find out.
#[tokio::test(flavor = "multi_thread")]
async fn t159_the_command_compares_in_the_servers_stead() {
    let cases: [(&str, Option<&'static str>); 3] = [
        ("", None),
        ("missing", Some("UPDATE payments SET tx = randomblob(32) WHERE rowid = (SELECT min(rowid) FROM payments)")),
        ("altered", Some("UPDATE payments SET amount = randomblob(32) WHERE rowid = (SELECT min(rowid) FROM payments)")),
    ];
    futures_util::future::join_all(cases.map(async |(kind, sql)| {
        let books = Books::open(3600, 0, None).await;
        let mut server = books.serve().await;
        server.until_ready().await;
        trade(&books, &server, 2).await;
        assert!(server.terminate().await.success());
        let Some(sql) = sql else {
            let agree = books.reconcile(&["--from-block", "0"]).await;
            assert_eq!(agree.code, 0, "{agree:?}");
            assert!(agree.said.contains("eip155:84532: 0 difference(s) up to block "), "{agree:?}");
            let gone = Books { folder: Folder::new(), options: books.options.clone(), ..books };
            assert_eq!(gone.reconcile(&[]).await.code, 0, "of what was before its first look a new ledger knows nothing");
            let lost = gone.reconcile(&["--from-block", "0"]).await;
            assert_eq!((lost.code, lost.said.matches("unexplained").count()), (1, 4), "payment and transfer of each: {lost:?}");
            let elsewhere = Books { node: "http://127.0.0.1:9".into(), ..gone };
            let unknown = elsewhere.reconcile(&[]).await;
            assert_eq!(unknown.code, 2, "{unknown:?}");
            assert!(unknown.complained.contains("could not compare ledger and chain"), "{unknown:?}");
            return;
        };
        books.tamper(sql).await;
        // Of what is final, another process may just be storing more.
        let mut differ = books.reconcile(&[]).await;
        for _ in 0..60 {
            if differ.code == 1 {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            differ = books.reconcile(&[]).await;
        }
        assert_eq!(differ.code, 1, "{kind}: {differ:?}");
        assert!(differ.said.contains(kind), "{kind}: {differ:?}");
    }))
    .await;
}
