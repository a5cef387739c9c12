use super::fixture::{Names, address, grant, hash, key, new_grant, now, shared, usdc, verified};
use h402_core::{
    Address, Amount, AssetId, Claim, Exposure, Fingerprint, Flow, Grant, GrantState, Grants, Network, NewGrant, PaymentKey, Receipt,
    ReceiptKey, ReceiptPurpose, SignedReceipt, Statement, StoredAnswer, UnixMillis,
};
use std::sync::Arc;
use std::time::Duration;

/// Runs every case that needs no restart.
pub async fn grants_contract<G: Grants>(make: impl AsyncFn() -> G) {
    one_of_fifty_claims_is_new(make().await).await;
    every_pair_of_names_conflicts(&make).await;
    a_name_given_twice_is_one_name(make().await).await;
    rows_come_back_as_they_went(make().await).await;
    an_update_needs_the_version_before(make().await).await;
    one_of_twenty_updates_wins(make().await).await;
    unsettled_payments_are_bounded(make().await).await;
    a_known_payment_is_known_at_the_bound(make().await).await;
    exposure_counts(make().await).await;
    what_is_owing_is_listed(make().await).await;
    answers_are_kept(make().await).await;
    answers_are_bounded(make().await).await;
    assert_ne!(make().await.identity(), make().await.identity(), "two stores are two callers");
}

async fn claim<G: Grants>(grants: &G, new: NewGrant) -> Claim {
    grants.claim(new, verified(1)).await.unwrap()
}

/// Claims, and insists on being first.
async fn claim_first<G: Grants>(grants: &G, new: NewGrant) -> Grant {
    let row = new.grant.clone();
    match claim(grants, new).await {
        Claim::New(claimed) => {
            assert_eq!(claimed.grant(), &row, "what is claimed is what was asked for");
            row
        }
        other => panic!("{} is free, and was answered {other:?}", row.key),
    }
}

async fn load<G: Grants>(grants: &G, key: PaymentKey) -> Option<Grant> {
    grants.load(&key).await.unwrap().map(|(grant, _)| grant)
}

/// Runs `calls` at once and collects what they answer.
async fn at_once<G: Grants, T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    grants: &Arc<G>,
    calls: u64,
    call: impl Fn(Arc<G>, u64) -> F,
) -> Vec<T> {
    let tasks: Vec<_> = (0..calls).map(|n| tokio::spawn(call(grants.clone(), n))).collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    answers
}

/// T001: of any number of concurrent claims of one payment one is first, and the others see its row.
async fn one_of_fifty_claims_is_new<G: Grants>(grants: G) {
    let grants = Arc::new(grants);
    let answers = at_once(&grants, 50, |grants, n| async move {
        let mut new = new_grant(key(1), &[key(2)]);
        new.grant.fingerprint = Fingerprint::from_bytes([u8::try_from(n).unwrap(); 32]);
        claim(&*grants, new).await
    })
    .await;
    let stored = load(&*grants, key(1)).await.expect("somebody was first");
    let first: Vec<_> = answers.iter().filter_map(|answer| if let Claim::New(claimed) = answer { Some(claimed) } else { None }).collect();
    assert_eq!(first.len(), 1, "exactly one is first");
    assert_eq!(first[0].grant(), &stored, "the first one's row is the stored one");
    let known = answers.iter().filter(|answer| matches!(answer, Claim::Known(row) if **row == stored)).count();
    assert_eq!(known, 49, "all others are told the row of the first");
}

/// T173: a payment is found under each of its names, and none of them opens a second door; nor is anything left
/// behind by the attempt.
async fn every_pair_of_names_conflicts<G: Grants>(make: impl AsyncFn() -> G) {
    let own = |n: u64| (key(n), vec![key(n + 1)]);
    let as_key: Names = |n| (shared(), vec![key(n)]);
    let as_alias: Names = |n| (key(n), vec![key(n + 1), shared(), key(n + 2)]);
    let as_only_alias: Names = |n| (key(n), vec![shared()]);
    let shapes: [(&str, Names); 3] = [("key", as_key), ("alias", as_alias), ("only alias", as_only_alias)];
    for (first_name, first) in shapes {
        for (second_name, second) in shapes {
            let case = format!("{first_name}, then {second_name}");
            let grants = make().await;
            let (first_key, first_aliases) = first(100);
            let (second_key, second_aliases) = second(200);
            let stored = claim_first(&grants, new_grant(first_key, &first_aliases)).await;
            match claim(&grants, new_grant(second_key, &second_aliases)).await {
                Claim::Known(row) => assert_eq!(*row, stored, "{case}"),
                other => panic!("{case}: {other:?}"),
            }
            for name in [first_key].into_iter().chain(first_aliases) {
                assert_eq!(load(&grants, name).await.as_ref(), Some(&stored), "{case}: found under {name}");
            }
            for name in [second_key].into_iter().chain(second_aliases).filter(|name| *name != shared()) {
                assert_eq!(load(&grants, name).await, None, "{case}: {name} was left behind");
                claim_first(&grants, new_grant(name, &[])).await;
            }
            // The honest twin: other names, same shape.
            let (honest_key, honest_aliases) = own(300);
            claim_first(&grants, new_grant(honest_key, &honest_aliases)).await;
        }
    }
}

async fn a_name_given_twice_is_one_name<G: Grants>(grants: G) {
    claim_first(&grants, new_grant(key(1), &[key(1), key(2), key(2)])).await;
    assert!(load(&grants, key(2)).await.is_some());
}

fn signed_receipt(n: u64) -> SignedReceipt {
    let statement = Statement {
        purpose: ReceiptPurpose::Settled,
        payment: key(n),
        fingerprint: None,
        transaction: hash(n),
        block: None,
        asset: usdc(),
        amount: Amount::from_atomic(n.into()),
        pay_to: address(6),
        payer: address(5),
        time: UnixMillis(n),
    };
    SignedReceipt::sign(statement, &ReceiptKey::from_seed(&[7; 32])).unwrap()
}

fn every_kind_of_row() -> Vec<Grant> {
    let mut rows = Vec::new();
    for (n, state) in (0u64..).zip(GrantState::ALL) {
        for (m, flow) in [(0, Flow::Capture), (1, Flow::Upfront)] {
            let mut row = grant(key(1000 + 2 * n + m));
            (row.state, row.flow, row.runs) = (state, flow, 3);
            if row.is_charged() {
                row.receipt = Some(Receipt { network: Network::Evm(1), transaction: hash(n), payer: address(5), signed: None });
                row.receipt = row.receipt.map(|receipt| Receipt { signed: (m == 1).then(|| signed_receipt(n)), ..receipt });
            }
            rows.push(row);
        }
    }
    let mut solana = grant(key(2000));
    let network: Network = "solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp".parse().unwrap();
    solana.payer = Address::Solana([8; 32].into());
    solana.asset = AssetId { network, address: Address::Solana([0; 32].into()) };
    solana.amount = Amount::from(alloy_primitives::U256::MAX);
    solana.receipt = Some(Receipt { network, transaction: h402_core::TransactionId::Solana([6; 64]), payer: solana.payer, signed: None });
    rows.push(solana);
    rows
}

async fn rows_come_back_as_they_went<G: Grants>(grants: G) {
    for row in every_kind_of_row() {
        let claimed = claim_first(&grants, NewGrant { grant: row.clone(), aliases: vec![], max_unsettled: 1000 }).await;
        assert_eq!(load(&grants, row.key).await, Some(claimed.clone()), "claimed");
        let changed = Grant { version: 2, updated_at: row.updated_at.plus(Duration::from_millis(1)), ..claimed.idle() };
        assert!(grants.update(&changed, None).await.unwrap());
        assert_eq!(load(&grants, row.key).await, Some(changed), "updated");
    }
    assert_eq!(load(&grants, key(1)).await, None, "nobody claimed it");
}

/// G05: what was charged and not delivered is listed, oldest first, page by page, until it is served or given back.
async fn what_is_owing_is_listed<G: Grants>(grants: G) {
    let mut owing = Vec::new();
    for (n, state) in (0u64..).zip(GrantState::ALL.into_iter().cycle().take(32)) {
        let mut row = grant(key(500 + n));
        (row.state, row.receipt) = (state, None);
        // Four claims in each millisecond, the newest written first.
        row.claimed_at = UnixMillis(now().0 - n / 4);
        if row.is_charged() {
            row.receipt = Some(Receipt { network: Network::Evm(1), transaction: hash(n), payer: address(5), signed: None });
        }
        let row = claim_first(&grants, NewGrant { grant: row, aliases: vec![], max_unsettled: 1000 }).await;
        if matches!(state, GrantState::Owed | GrantState::Credited) {
            owing.push(row);
        }
    }
    owing.sort_by_key(|row| (row.claimed_at, row.key));
    assert_eq!(owing.len(), 8);
    assert_eq!(grants.owing(None, 1000).await.unwrap(), owing);
    let mut pages = Vec::new();
    loop {
        let after = pages.last().map(|row: &Grant| (row.claimed_at, row.key));
        let page = grants.owing(after, 3).await.unwrap();
        let last = page.len() < 3;
        pages.extend(page);
        if last {
            break;
        }
    }
    assert_eq!(pages, owing);
    assert_eq!(grants.owing(None, 0).await.unwrap(), []);
    for (row, state) in owing.iter().zip([GrantState::Served, GrantState::Refunded].into_iter().cycle()) {
        assert!(grants.update(&Grant { state, version: 2, ..row.clone() }, None).await.unwrap());
    }
    assert_eq!(grants.owing(None, 1000).await.unwrap(), []);
}

async fn an_update_needs_the_version_before<G: Grants>(grants: G) {
    let row = claim_first(&grants, new_grant(key(1), &[])).await;
    for version in [0, 1, 3, 4] {
        let wrong = Grant { version, state: GrantState::Served, ..row.clone() };
        assert!(!grants.update(&wrong, Some(answer(b"wrong"))).await.unwrap(), "{version}");
        assert_eq!(grants.load(&row.key).await.unwrap(), Some((row.clone(), None)), "{version} changed nothing, and left no answer");
    }
    let right = Grant { version: 2, state: GrantState::Settling, ..row.clone() };
    assert!(grants.update(&right, None).await.unwrap());
    assert!(!grants.update(&right, None).await.unwrap(), "the same once more is too late");
    assert_eq!(load(&grants, row.key).await, Some(right));
    let unknown = Grant { version: 2, ..grant(key(2)) };
    assert!(!grants.update(&unknown, None).await.unwrap(), "nobody claimed it");
}

async fn one_of_twenty_updates_wins<G: Grants>(grants: G) {
    let row = claim_first(&grants, new_grant(key(1), &[])).await;
    let grants = Arc::new(grants);
    let won = at_once(&grants, 20, |grants, n| {
        let changed = Grant { version: 2, runs: u8::try_from(n).unwrap(), ..row.clone() };
        async move { grants.update(&changed, None).await.unwrap().then_some(changed) }
    })
    .await;
    let won: Vec<_> = won.into_iter().flatten().collect();
    assert_eq!(won.len(), 1, "exactly one changes it");
    assert_eq!(load(&*grants, row.key).await, won.first().cloned());
}

/// T166: at most `max_unsettled` rows of one payer and asset, however many claims come at once.
async fn unsettled_payments_are_bounded<G: Grants>(grants: G) {
    let grants = Arc::new(grants);
    let bounded = |n: u64, aliases: &[PaymentKey]| NewGrant { max_unsettled: 16, ..new_grant(key(n), aliases) };
    let answers = at_once(&grants, 60, |grants, n| async move {
        // Some with another name, some without: stores may treat them differently.
        let aliases = if n % 3 == 0 { vec![key(1000 + n)] } else { vec![] };
        claim(&*grants, bounded(n, &aliases)).await
    })
    .await;
    let taken: Vec<_> = answers.iter().filter_map(|answer| if let Claim::New(claimed) = answer { Some(claimed) } else { None }).collect();
    assert_eq!(taken.len(), 16);
    let refused = answers.iter().filter(|answer| matches!(answer, Claim::TooManyUnsettled)).count();
    assert_eq!(refused, 44);
    for n in 0..60 {
        let stored = load(&*grants, key(n)).await.is_some();
        assert_eq!(stored, taken.iter().any(|claimed| claimed.grant().key == key(n)), "{n}");
        assert_eq!(load(&*grants, key(1000 + n)).await.is_some(), stored && n % 3 == 0, "{n}'s other name");
    }
    // Other payers and other assets are not concerned.
    let mut other = bounded(200, &[]);
    other.grant.payer = address(2);
    claim_first(&*grants, other).await;
    let mut other = bounded(201, &[]);
    other.grant.asset.address = address(3);
    claim_first(&*grants, other).await;
    let mut other = bounded(202, &[]);
    other.grant.asset.network = Network::Evm(1);
    claim_first(&*grants, other).await;
    // A row that is no longer running or settling makes room for one more, and only one.
    let running = taken[0].grant().clone();
    let settling = Grant { state: GrantState::Settling, version: 2, ..running };
    assert!(grants.update(&settling, None).await.unwrap());
    assert!(matches!(claim(&*grants, bounded(300, &[])).await, Claim::TooManyUnsettled), "settling counts");
    let served = Grant { state: GrantState::Served, version: 3, ..settling };
    assert!(grants.update(&served, None).await.unwrap());
    claim_first(&*grants, bounded(300, &[])).await;
    assert!(matches!(claim(&*grants, bounded(301, &[])).await, Claim::TooManyUnsettled));
}

async fn a_known_payment_is_known_at_the_bound<G: Grants>(grants: G) {
    let one = |n: u64| NewGrant { max_unsettled: 1, ..new_grant(key(n), &[key(n + 100)]) };
    let stored = claim_first(&grants, one(1)).await;
    assert!(matches!(claim(&grants, one(2)).await, Claim::TooManyUnsettled));
    assert!(matches!(claim(&grants, one(1)).await, Claim::Known(row) if *row == stored), "by its key");
    let by_alias = NewGrant { max_unsettled: 1, ..new_grant(key(3), &[key(101)]) };
    assert!(matches!(claim(&grants, by_alias).await, Claim::Known(row) if *row == stored), "by its other name");
    let none = NewGrant { max_unsettled: 0, ..new_grant(key(4), &[]) };
    assert!(matches!(claim(&grants, none).await, Claim::TooManyUnsettled), "a bound of zero lets nobody in");
}

async fn exposure_counts<G: Grants>(grants: G) {
    let mut rows = Vec::new();
    for (n, (flow, state)) in
        (0u64..).zip([Flow::Capture, Flow::Upfront].into_iter().flat_map(|flow| GrantState::ALL.map(|state| (flow, state))))
    {
        let mut row = grant(key(n));
        (row.flow, row.state, row.updated_at) = (flow, state, UnixMillis(now().0 - 1000 * n));
        claim_first(&grants, NewGrant { grant: row.clone(), aliases: vec![], max_unsettled: 1000 }).await;
        rows.push(row);
    }
    let refused = rows.iter().find(|row| row.state == GrantState::Refused && row.flow == Flow::Capture).unwrap();
    let at = refused.updated_at;
    // Running and settling of both flows; the one capture row that was refused.
    let cases = [(at, 1), (UnixMillis(at.0 + 1), 0), (UnixMillis(at.0 - 1), 1), (UnixMillis(0), 1), (UnixMillis(u64::MAX), 0)];
    for (since, failed) in cases {
        let exposure = grants.exposure(&address(1), &usdc(), since).await.unwrap();
        assert_eq!(exposure, Exposure { unsettled: 4, failed }, "since {since:?}");
    }
    let nothing = Exposure::default();
    assert_eq!(grants.exposure(&address(2), &usdc(), UnixMillis(0)).await.unwrap(), nothing, "another payer");
    let elsewhere = AssetId { network: Network::Evm(1), ..usdc() };
    assert_eq!(grants.exposure(&address(1), &elsewhere, UnixMillis(0)).await.unwrap(), nothing, "another asset");
    let released = Grant { state: GrantState::Released, version: 2, ..rows[0].clone() };
    assert!(grants.update(&released, None).await.unwrap());
    assert_eq!(grants.exposure(&address(1), &usdc(), at).await.unwrap(), Exposure { unsettled: 3, failed: 1 }, "after a release");
}

fn answer(body: &[u8]) -> StoredAnswer {
    let headers = vec![("content-type".to_owned(), b"text/plain".to_vec()), ("x-odd".to_owned(), vec![0xff, 0])];
    StoredAnswer { status: 201, headers, body: body.to_vec().into() }
}

async fn answers_are_kept<G: Grants>(grants: G) {
    let row = claim_first(&grants, new_grant(key(1), &[key(2)])).await;
    assert_eq!(grants.load(&row.key).await.unwrap(), Some((row.clone(), None)));
    let served = Grant { version: 2, state: GrantState::Served, updated_at: now(), ..row };
    assert!(grants.update(&served, Some(answer(b"first"))).await.unwrap());
    for name in [key(1), key(2)] {
        assert_eq!(grants.load(&name).await.unwrap(), Some((served.clone(), Some(answer(b"first")))), "{name}");
    }
    let quiet = Grant { version: 3, ..served };
    assert!(grants.update(&quiet, None).await.unwrap());
    assert_eq!(grants.load(&key(1)).await.unwrap(), Some((quiet.clone(), Some(answer(b"first")))), "a change without an answer leaves it");
    let again = Grant { version: 4, ..quiet };
    assert!(grants.update(&again, Some(answer(b""))).await.unwrap());
    assert_eq!(grants.load(&key(1)).await.unwrap(), Some((again, Some(answer(b"")))), "a new answer replaces it");
}

/// No store trusts its caller with the length: a longer body than [`StoredAnswer::MAX_BODY`] is not kept, nor are longer
/// headers.
async fn answers_are_bounded<G: Grants>(grants: G) {
    let most = StoredAnswer::MAX_BODY;
    let cases = [(10, most, 8, true), (11, most + 1, 8, false), (12, 1, most / 2, true), (13, 1, most + 1, false)];
    for (n, length, header, kept) in cases {
        let row = claim_first(&grants, new_grant(key(n), &[])).await;
        let served = Grant { version: 2, state: GrantState::Served, ..row };
        let long = StoredAnswer { headers: vec![("x-long".to_owned(), vec![b'a'; header])], ..answer(&vec![7; length]) };
        assert!(grants.update(&served, Some(long.clone())).await.unwrap(), "the row changes in any case");
        let (stored, answer) = grants.load(&key(n)).await.unwrap().unwrap();
        assert_eq!((stored, answer.is_some()), (served, kept), "{length} bytes, {header} in a header");
        assert!(answer.is_none_or(|answer| answer == long), "{length} bytes, {header} in a header");
    }
}

/// For stores that go by the machine's clock: an answer is gone [`StoredAnswer::KEPT_SECONDS`] after its row changed.
pub async fn grants_answers_expire<G: Grants>(make: impl AsyncFn() -> G) {
    let grants = make().await;
    for (n, seconds_ago, kept) in [(1, 0, true), (2, 500, true), (3, 601, false), (4, 100_000, false)] {
        let row = claim_first(&grants, new_grant(key(n), &[])).await;
        let updated_at = UnixMillis(now().0 - 1000 * seconds_ago);
        let served = Grant { version: 2, state: GrantState::Served, updated_at, ..row };
        assert!(grants.update(&served, Some(answer(b"a"))).await.unwrap());
        assert_eq!(grants.load(&key(n)).await.unwrap(), Some((served, kept.then(|| answer(b"a")))), "{seconds_ago} s ago");
    }
}

/// What was answered as done is there after `leave` has taken the store away and `open` has opened it again. A store that
/// only one process has open knows that the work on a row has ended with that process.
pub async fn grants_survive<G: Grants>(open: impl AsyncFn() -> G, leave: impl AsyncFn(G), one_process: bool) {
    let grants = open().await;
    let identity = grants.identity();
    let mut rows = Vec::new();
    for row in every_kind_of_row() {
        let alias = PaymentKey::of_transaction(Network::Evm(7), &h402_core::TransactionId::Evm((*row.key.as_bytes()).into()));
        let claimed = claim_first(&grants, NewGrant { grant: row, aliases: vec![alias], max_unsettled: 1000 }).await;
        let busy = Grant { version: 2, busy_until: now().plus(Duration::from_secs(60)), updated_at: now(), ..claimed };
        assert!(grants.update(&busy, Some(answer(b"kept"))).await.unwrap());
        rows.push((alias, busy));
    }
    leave(grants).await;
    let grants = open().await;
    assert_eq!(grants.identity(), identity, "the same store");
    for (alias, row) in rows {
        let free = if one_process { row.idle() } else { row };
        assert_eq!(grants.load(&free.key).await.unwrap(), Some((free.clone(), Some(answer(b"kept")))));
        assert_eq!(grants.load(&alias).await.unwrap().map(|(row, _)| row), Some(free.clone()));
        assert!(matches!(claim(&grants, new_grant(alias, &[])).await, Claim::Known(row) if *row == free), "T142: still taken");
        let next = Grant { version: 3, ..free };
        assert!(grants.update(&next, None).await.unwrap(), "the version counts on");
    }
    leave(grants).await;
}
