//! T157, G26: what an older program left in the middle of its work is read, kept and carried on by this one. The files
//! are made by `cargo run -p h402-tests --bin golden`, once for each schema version.

use alloy_primitives::{B256, U256};
use h402_core::{
    Address, Amount, Applied, AssetId, BlockRef, CallerKey, Change, EvmAddress, Grant, GrantState, Grants, LeaseAnswer, LeaseAsk, Network,
    NewPayment, PaymentKey, PaymentKind, PaymentRow, PaymentUpdate, Receipt, Settlement, SettlementAnswer, Store, TransactionId,
    UnixMillis, UnixSeconds,
};
use h402_facilitator::{postgres, sqlite};
use h402_tests::{postgres::database, rig::Folder};
use std::{path::PathBuf, time::Duration};

const BASE: Network = Network::Evm(8453);

fn files(engine: &str) -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden").join(engine);
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn number(n: u64) -> [u8; 32] {
    U256::from(n).to_be_bytes()
}

fn key(n: u64) -> PaymentKey {
    PaymentKey::from_bytes(number(n))
}

fn hash(n: u64) -> TransactionId {
    TransactionId::Evm(number(n).into())
}

fn states() -> Vec<Settlement> {
    let block = |n: u64| BlockRef { number: 1000 + n, hash: B256::repeat_byte(8) };
    vec![
        Settlement::Claimed,
        Settlement::Signed { transaction: hash(2) },
        Settlement::Broadcast { transaction: hash(3) },
        Settlement::Included { transaction: hash(4), block: block(4) },
        Settlement::Final { transaction: hash(5), block: block(5) },
        Settlement::Reorged { transaction: hash(6) },
        Settlement::Reverted { transaction: hash(7), block: block(7) },
        Settlement::Rejected,
        Settlement::Abandoned { transaction: None },
        Settlement::Abandoned { transaction: Some(hash(10)) },
    ]
}

fn payment(n: u64, state: Settlement) -> PaymentRow {
    let refused = || SettlementAnswer::Refused { word: "insufficient_funds".to_owned(), text: "no «funds»".to_owned() };
    PaymentRow {
        key: key(n),
        asset: AssetId { network: BASE, address: Address::Evm([2; 20].into()) },
        payer: Address::Evm([1; 20].into()),
        pay_to: Address::Evm([9; 20].into()),
        amount: Amount::from(U256::from(n)),
        kind: PaymentKind::Authorization,
        nonce: Some(number(100 + n)),
        caller: (n.is_multiple_of(2)).then(|| CallerKey::from_bytes([4; 32])),
        state,
        answer: (n == 8).then(refused),
        expires: Some(UnixSeconds(1_900_000_000)),
        last_block_height: None,
        raw: Some(vec![u8::try_from(n).unwrap(); 40].into()),
        claimed_at: UnixMillis(1_800_000_000_000 + n),
        updated_at: UnixMillis(1_800_000_001_000 + n),
        version: 3,
    }
}

fn grant_states() -> [(u64, GrantState); 7] {
    [
        (21, GrantState::Running),
        (22, GrantState::Released),
        (23, GrantState::Settling),
        (24, GrantState::Served),
        (25, GrantState::Owed),
        (26, GrantState::Credited),
        (27, GrantState::Refused),
    ]
}

/// The ledger of every version: `version` is the first one whose program knows heights, leases and costs.
async fn carried_on<S: Store, G: Grants>(store: &S, grants: &G, version: u32, name: &str) {
    assert_eq!(grants.identity(), [0x1d; 32], "{name}: the same caller");
    for (n, state) in (1..).zip(states()) {
        let height = (n == 3 && version >= 2).then_some(321);
        let row = PaymentRow { last_block_height: height, ..payment(n, state) };
        assert_eq!(store.payment(&key(n)).await.unwrap(), Some(row.clone()), "{name}");
        let again = NewPayment { row: PaymentRow { version: 1, ..row.clone() }, aliases: vec![] };
        let again = Change { claim: Some(again), ..Change::default() };
        assert_eq!(store.apply(again).await.unwrap(), Applied::Conflict, "{name}: {n} is taken for ever");
    }
    let broadcast = payment(3, states()[2]).key;
    assert_eq!(store.payment(&key(53)).await.unwrap().map(|row| row.key), Some(broadcast), "{name}: by its other name");
    let open: Vec<_> = store.unfinished(BASE, None, 100).await.unwrap().into_iter().map(|row| row.key).collect();
    assert_eq!(open, [1, 2, 3, 4, 6].map(key), "{name}: what is to be driven on");

    let sender = EvmAddress::repeat_byte(5);
    let lane = store.lane(BASE, &sender, 0, u32::MAX).await.unwrap();
    let nonces: Vec<_> = lane.open.iter().map(|row| (row.nonce, row.id, row.payments.clone(), row.done)).collect();
    assert_eq!(nonces, [(7, hash(2), vec![key(2)], false), (8, hash(3), vec![key(3)], false)], "{name}");
    assert_eq!(lane.greatest, Some(8), "{name}");
    for n in [2, 3, 5] {
        assert_eq!(store.is_taken(&PaymentKey::of_transaction(BASE, &hash(n))).await, Ok(true), "{name}: T173");
        assert_eq!(store.payment(&PaymentKey::of_transaction(BASE, &hash(n))).await, Ok(None), "{name}: nobody's payment");
    }
    let (spent, epoch) = if version >= 3 { (77, 42) } else { (0, 1) };
    assert_eq!(store.spent(BASE, &sender, UnixMillis(0)).await, Ok(U256::from(spent)), "{name}");
    let held = store.lease(LeaseAsk { network: BASE, holder: [7; 16], ttl: Duration::from_secs(60) }).await.unwrap();
    assert!(matches!(held, LeaseAnswer::Held { epoch: held, .. } if held == epoch), "{name}: {held:?}");

    let settled = PaymentRow { version: 4, state: Settlement::Rejected, ..payment(1, Settlement::Claimed) };
    let update = Change { updates: vec![PaymentUpdate { row: settled.clone() }], ..Change::default() };
    assert_eq!(store.apply(update.clone()).await, Ok(Applied::Applied), "{name}: driven on");
    assert_eq!(store.apply(update).await, Ok(Applied::Conflict), "{name}: once");
    assert_eq!(store.payment(&key(1)).await, Ok(Some(settled)), "{name}");

    for (n, state) in grant_states() {
        let (stored, answer) = grants.load(&key(n)).await.unwrap().unwrap();
        let receipt =
            stored.is_charged().then(|| Receipt { network: BASE, transaction: hash(n), payer: Address::Evm([1; 20].into()), signed: None });
        assert_eq!((stored.state, &stored.receipt, stored.amount), (state, &receipt, Amount::from(U256::from(n))), "{name}: {n}");
        assert_eq!((stored.version, stored.expires_at, answer), (2, UnixMillis(4_102_444_800_000), None), "{name}: {n}");
        let next = Grant { version: 3, ..stored };
        assert!(grants.update(&next, None).await.unwrap(), "{name}: {n} goes on");
    }
    assert_eq!(grants.load(&key(74)).await.unwrap().map(|(grant, _)| grant.key), Some(key(24)), "{name}: by its other name");
    let exposure = grants.exposure(&Address::Evm([1; 20].into()), &payment(1, Settlement::Claimed).asset, UnixMillis(0)).await.unwrap();
    assert_eq!((exposure.unsettled, exposure.failed), (2, 1), "{name}");
    let owing: Vec<_> = grants.owing(None, 10).await.unwrap().into_iter().map(|grant| grant.key).collect();
    assert_eq!(owing, [25, 26].map(key), "{name}: what is owed is never forgotten");
}

#[tokio::test(flavor = "multi_thread")]
async fn t157_sqlite_files_of_every_version_are_carried_on() {
    let folder = Folder::new();
    let files = files("sqlite");
    let schemas = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../h402-facilitator/src/sqlite/schema");
    assert_eq!(files.len(), std::fs::read_dir(schemas).unwrap().count(), "cargo run -p h402-tests --bin golden");
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let version = name.strip_suffix(".db").unwrap().parse().unwrap();
        let path = folder.path().join(name);
        // Twice: once as it was left, once as this program leaves it.
        for round in 1..=2 {
            std::fs::copy(&file, &path).unwrap();
            let store = sqlite::SqliteStore::open(&path, sqlite::OpenOptions::default()).await.unwrap();
            if round == 2 {
                store.close().await.unwrap();
            }
            let store = if round == 2 { sqlite::SqliteStore::open(&path, sqlite::OpenOptions::default()).await.unwrap() } else { store };
            carried_on(&store, &store.grants(), version, name).await;
            store.close().await.unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn t157_postgresql_dumps_of_every_version_are_carried_on() {
    if database().await.is_none() {
        return;
    }
    let files = files("postgres");
    let schemas = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../h402-facilitator/src/postgres/schema");
    assert_eq!(files.len(), std::fs::read_dir(schemas).unwrap().count(), "cargo run -p h402-tests --bin golden");
    for file in files {
        let here = database().await.unwrap();
        let dump = std::fs::read_to_string(&file).unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(dump)).execute(&mut here.connect().await).await.unwrap();
        let store = postgres::PostgresStore::open(here.url(), postgres::OpenOptions::default()).await.unwrap();
        // What was never another engine's version has had everything from its first.
        carried_on(&store, &store.grants(), u32::MAX, file.to_str().unwrap()).await;
    }
}
