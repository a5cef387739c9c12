//! Makes the golden stores: for each schema version a small database as a program of that version would have left it
//! in the middle of its work. `cargo run -p h402-tests --bin golden` makes those that are not there; one that is there
//! is never made again, or it would not be what an older program wrote.

use alloy_primitives::hex;
use h402_core::{Network, PaymentKey, TransactionId};
use h402_tests::postgres;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, sqlite::SqliteConnectOptions};
use std::path::{Path, PathBuf};

/// The migrations of each engine, in order.
fn migrations(engine: &str) -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../h402-facilitator/src/{engine}/schema"));
    (1..).map_while(|version| std::fs::read_to_string(folder.join(format!("{version}.sql"))).ok()).collect()
}

fn golden(engine: &str, version: usize, extension: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("golden/{engine}/{version}.{extension}"))
}

/// How an engine writes bytes and flags.
#[derive(Clone, Copy)]
struct Engine {
    bytes: fn(&[u8]) -> String,
    flag: fn(bool) -> &'static str,
}

const SQLITE: Engine = Engine { bytes: |bytes| format!("x'{}'", hex::encode(bytes)), flag: |flag| if flag { "1" } else { "0" } };
const POSTGRES: Engine =
    Engine { bytes: |bytes| format!("'\\x{}'::bytea", hex::encode(bytes)), flag: |flag| if flag { "true" } else { "false" } };

fn number(n: u8) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes[31] = n;
    bytes
}

impl Engine {
    fn key(self, n: u8) -> String {
        (self.bytes)(&number(n))
    }

    fn insert(self, table: &str, columns: &str, values: &[String]) -> String {
        format!("INSERT INTO {table} ({columns}) VALUES ({});\n", values.join(", "))
    }

    /// A payment under the number of its key, in a state; what is signed for it has its number, too.
    fn payment(self, n: u8, state: &str, open: bool, signed: bool, mined: bool) -> String {
        let columns = "key, network, asset, payer, pay_to, amount, kind, nonce, caller, state, open, tx, block, block_hash, \
                       answer, answer_word, answer_text, expires_at, raw, claimed_at, updated_at, version";
        let maybe = |there: bool, value: String| if there { value } else { "NULL".to_owned() };
        let refused = state == "rejected";
        let values = [
            self.key(n),
            "'eip155:8453'".to_owned(),
            (self.bytes)(&[2; 20]),
            (self.bytes)(&[1; 20]),
            (self.bytes)(&[9; 20]),
            self.key(n),
            "'authorization'".to_owned(),
            self.key(100 + n),
            maybe(n.is_multiple_of(2), (self.bytes)(&[4; 32])),
            format!("'{state}'"),
            (self.flag)(open).to_owned(),
            maybe(signed, self.key(n)),
            maybe(mined, (1000 + u32::from(n)).to_string()),
            maybe(mined, (self.bytes)(&[8; 32])),
            maybe(refused, "'refused'".to_owned()),
            maybe(refused, "'insufficient_funds'".to_owned()),
            maybe(refused, "'no «funds»'".to_owned()),
            "1900000000000".to_owned(),
            (self.bytes)(&[n; 40]),
            format!("1800000000{n:03}"),
            format!("1800000001{n:03}"),
            "3".to_owned(),
        ];
        self.insert("payments", columns, &values)
    }

    fn own_name(self, n: u8) -> String {
        let id = TransactionId::Evm(number(n).into());
        (self.bytes)(PaymentKey::of_transaction(Network::Evm(8453), &id).as_bytes())
    }

    fn payment_key(self, key: String, owner: String) -> String {
        self.insert("payment_keys", "key, owner", &[key, owner])
    }

    fn transaction(self, n: u8, nonce: u8, done: bool) -> String {
        let columns = "network, id, sender, nonce, raw, payments, done, signed_at";
        let text = |text: &str| text.to_owned();
        let [raw, payments] = [(self.bytes)(&[2, n]), self.key(n)];
        let row = [text("'eip155:8453'"), self.key(n), (self.bytes)(&[5; 20]), nonce.to_string(), raw, payments, text((self.flag)(done))];
        self.insert("transactions", columns, &[&row[..], &[format!("1800000000{n:03}")]].concat())
            + &self.payment_key(self.own_name(n), text("NULL"))
    }

    fn grant(self, n: u8, state: &str, exposure: &str, charged: bool) -> String {
        let columns = "key, fingerprint, flow, payer, network, asset, amount, state, exposure, runs, busy_until, receipt_network, \
                       receipt_tx, receipt_payer, claimed_at, updated_at, expires_at, version";
        let maybe = |value: String| if charged { value } else { "NULL".to_owned() };
        let values = [
            self.key(n),
            (self.bytes)(&[7; 32]),
            "'capture'".to_owned(),
            (self.bytes)(&[1; 20]),
            "'eip155:8453'".to_owned(),
            (self.bytes)(&[2; 20]),
            self.key(n),
            format!("'{state}'"),
            exposure.to_owned(),
            "1".to_owned(),
            "0".to_owned(),
            maybe("'eip155:8453'".to_owned()),
            maybe(self.key(n)),
            maybe((self.bytes)(&[1; 20])),
            format!("1800000000{n:03}"),
            format!("1800000001{n:03}"),
            "4102444800000".to_owned(),
            "2".to_owned(),
        ];
        self.insert("grants", columns, &values)
    }

    /// What a program of schema version 1 left.
    fn first(self) -> String {
        let payments = [
            (1, "claimed", true, false, false),
            (2, "signed", true, true, false),
            (3, "broadcast", true, true, false),
            (4, "included", true, true, true),
            (5, "final", false, true, true),
            (6, "reorged", true, true, false),
            (7, "reverted", false, true, true),
            (8, "rejected", false, false, false),
            (9, "abandoned", false, false, false),
            (10, "abandoned", false, true, false),
        ];
        let grants = [
            (21, "running", "'unsettled'", false),
            (22, "released", "NULL", false),
            (23, "settling", "'unsettled'", false),
            (24, "served", "NULL", true),
            (25, "owed", "NULL", true),
            (26, "credited", "NULL", true),
            (27, "refused", "'failed'", false),
        ];
        let mut sql: String =
            payments.into_iter().map(|(n, state, open, signed, mined)| self.payment(n, state, open, signed, mined)).collect();
        sql += &self.payment_key(self.key(53), self.key(3));
        sql += &(self.transaction(5, 6, true) + &self.transaction(2, 7, false) + &self.transaction(3, 8, false));
        sql.extend(grants.into_iter().map(|(n, state, exposure, charged)| self.grant(n, state, exposure, charged)));
        sql += &self.insert("grant_keys", "key, owner", &[self.key(74), self.key(24)]);
        sql + &self.insert("identity", "id, bytes", &["1".to_owned(), (self.bytes)(&[0x1d; 32])])
    }

    /// What only a later version can leave.
    fn leases_and_costs(self) -> String {
        let holder = (self.bytes)(&[6; 16]);
        self.insert("leases", "network, holder, epoch, until", &["'eip155:8453'".to_owned(), holder, "41".to_owned(), "0".to_owned()])
            + &format!("UPDATE transactions SET cost = {} WHERE id = {};\n", self.key(77), self.key(5))
    }

    fn height(self) -> String {
        format!("UPDATE payments SET last_height = 321 WHERE key = {};\n", self.key(3))
    }
}

async fn sqlite() {
    let migrations = migrations("sqlite");
    for version in 1..=migrations.len() {
        let path = golden("sqlite", version, "db");
        if path.exists() {
            continue;
        }
        // Small pages for small files.
        let options = SqliteConnectOptions::new().filename(&path).create_if_missing(true).pragma("page_size", "512");
        let mut conn = options.connect().await.unwrap();
        for (number, migration) in (1..=version).zip(&migrations) {
            let rows = match number {
                1 => SQLITE.first(),
                2 => SQLITE.height(),
                3 => SQLITE.leases_and_costs(),
                _ => String::new(),
            };
            sqlx::raw_sql(AssertSqlSafe(format!("{migration}\n{rows}"))).execute(&mut conn).await.unwrap();
        }
        let mark =
            format!("PRAGMA application_id = {}; PRAGMA user_version = {version}; PRAGMA journal_mode = DELETE; VACUUM", 0x6834_3032);
        sqlx::raw_sql(AssertSqlSafe(mark)).execute(&mut conn).await.unwrap();
        conn.close().await.unwrap();
        println!("{}", path.display());
    }
}

async fn postgres() {
    let migrations = migrations("postgres");
    for version in 1..=migrations.len() {
        let path = golden("postgres", version, "sql");
        if path.exists() {
            continue;
        }
        let Some(database) = postgres::database().await else { return };
        let mut conn = database.connect().await;
        let schema: String = migrations.iter().take(version).map(String::as_str).collect();
        let own: String = (1..=10)
            .chain(21..=27)
            .map(|n| {
                if n < 20 {
                    POSTGRES.payment_key(POSTGRES.key(n), POSTGRES.key(n))
                } else {
                    POSTGRES.insert("grant_keys", "key, owner", &[POSTGRES.key(n), POSTGRES.key(n)])
                }
            })
            .collect();
        let rows = [POSTGRES.first(), own, POSTGRES.height(), POSTGRES.leases_and_costs()].concat();
        let mark = format!("INSERT INTO h402_schema (id, version) VALUES (1, {version})");
        sqlx::raw_sql(AssertSqlSafe(format!("{schema}\n{rows}{mark}"))).execute(&mut conn).await.unwrap();
        std::fs::write(&path, database.dump()).unwrap();
        println!("{}", path.display());
    }
}

#[tokio::main]
async fn main() {
    sqlite().await;
    postgres().await;
}
