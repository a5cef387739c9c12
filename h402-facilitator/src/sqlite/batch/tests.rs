use super::super::schema;
use super::super::tests::{BASE, Directory, claim, claim_with, key, new_grant, payment, raw, signed, update};
use super::*;
use h402_core::{Address, Fence, Grant, GrantState, LeaseAnswer, LeaseAsk, PaymentUpdate, StoredAnswer, TransactionRow};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

async fn connection(directory: &Directory) -> SqliteConnection {
    let path = directory.path("batch.db");
    let mut conn = raw(&path).await;
    schema::migrate(&mut conn, &path).await.unwrap();
    conn
}

fn change(change: Change) -> Job {
    Job::Change(Box::new(change))
}

fn grant_of(n: u64, payer: u8) -> Job {
    let mut new = new_grant(n);
    new.grant.payer = Address::Evm([payer; 20].into());
    Job::Claim(Box::new(new))
}

fn regrant(n: u64, answer: bool) -> Job {
    let answer = answer.then(|| StoredAnswer { status: 200, headers: vec![], body: vec![].into() });
    Job::Update(Box::new(Grant { version: 2, ..new_grant(n).grant }), answer)
}

#[test]
fn what_can_share_a_statement_shares_one() {
    let aliased = || {
        let mut new = new_grant(9);
        new.aliases = vec![key(10)];
        Job::Claim(Box::new(new))
    };
    let sign = || change(Change { transactions: vec![signed(1)], ..Change::default() });
    let fenced = |it: Change| change(Change { fence: Some(Fence { network: BASE, epoch: 1 }), ..it });
    // The places of the payments, of the grants and of what runs alone; and whether all of it is one statement.
    let cases = [
        ("claims", vec![change(claim(1)), change(claim(2))], (vec![0, 1], vec![], vec![]), true),
        ("one key twice", vec![change(claim(1)), change(claim(1))], (vec![0], vec![], vec![1]), false),
        ("a claim with another name", vec![change(claim_with(1, &[2]))], (vec![], vec![], vec![0]), false),
        ("an update", vec![change(update(1, 2))], (vec![], vec![], vec![0]), true),
        ("two updates", vec![change(update(1, 2)), change(update(2, 2))], (vec![], vec![], vec![0, 1]), false),
        ("a signed transaction", vec![sign()], (vec![], vec![], vec![0]), false),
        ("grants of two payers", vec![grant_of(1, 1), grant_of(2, 2)], (vec![], vec![0, 1], vec![]), true),
        ("grants of one payer", vec![grant_of(1, 1), grant_of(2, 1)], (vec![], vec![0], vec![1]), false),
        ("one grant twice", vec![grant_of(1, 1), grant_of(1, 2)], (vec![], vec![0], vec![1]), false),
        ("a grant with another name", vec![aliased()], (vec![], vec![], vec![0]), false),
        ("payment and grant of one key", vec![change(claim(1)), grant_of(1, 1)], (vec![0], vec![1], vec![]), false),
        ("a changed grant", vec![regrant(1, false)], (vec![], vec![], vec![0]), true),
        ("a changed grant and its answer", vec![regrant(1, true)], (vec![], vec![], vec![0]), false),
        ("an update under a lease", vec![fenced(update(1, 2))], (vec![], vec![], vec![0]), false),
        ("a claim under a lease", vec![fenced(claim(1)), change(claim(2))], (vec![1], vec![], vec![0]), false),
        ("a touch", vec![Job::Touch(UnixMillis(1))], (vec![], vec![], vec![0]), true),
        ("a touch among claims", vec![change(claim(1)), Job::Touch(UnixMillis(1)), change(claim(2))], (vec![0, 2], vec![], vec![1]), false),
    ];
    for (name, jobs, (payments, grants, single), one) in cases {
        let plan = Plan::new(&jobs);
        assert_eq!(plan, Plan { payments, grants, single }, "{name}");
        assert_eq!(is_one(&plan, &jobs), one, "{name}");
    }
}

/// Every size, a smaller one after a greater: no row of the last statement is left in the next.
#[tokio::test]
async fn claims_of_every_number_go_into_one_statement() {
    let directory = Directory::new();
    let mut conn = connection(&directory).await;
    let mut next = 0;
    for size in [256, 255, 129, 128, 100, 3, 2, 1, 64, 63, 5, 4, 1, 256] {
        let range = next..next + size;
        next += size;
        for make in [|n| change(claim(n)), |n| grant_of(n, u8::try_from(n % 256).unwrap())] {
            let jobs: Vec<_> = range.clone().map(make).collect();
            assert!(is_one(&Plan::new(&jobs), &jobs), "{size}");
            assert_eq!(write(&mut conn, &jobs).await.unwrap(), vec![Outcome::Done; jobs.len()], "{size}");
            let again = write(&mut conn, &jobs).await.unwrap();
            assert!(again.iter().all(|outcome| matches!(outcome, Outcome::Conflict | Outcome::Known(_))), "{size}: {again:?}");
        }
        for n in range {
            assert_eq!(payments::find(&mut conn, &key(n)).await.unwrap(), Some(payment(n)));
            assert_eq!(grants::find(&mut conn, &key(n)).await.unwrap().map(|grant| grant.key), Some(key(n)));
        }
        assert_eq!(payments::unfinished(&mut conn, BASE, None, 10_000).await.unwrap().len(), usize::try_from(next).unwrap());
    }
}

/// A batch that fails for a reason that SQLite does not roll back for leaves no transaction open and nothing behind.
#[tokio::test]
async fn a_failed_batch_is_rolled_back() {
    let directory = Directory::new();
    let mut conn = connection(&directory).await;
    let sign = || change(Change { transactions: vec![signed(50)], ..Change::default() });
    let batch = || vec![change(claim(1)), change(claim_with(2, &[3])), sign(), grant_of(1, 1)];
    let break_it = "CREATE TEMP TRIGGER broken BEFORE INSERT ON main.transactions BEGIN SELECT RAISE(FAIL, 'broken'); END";
    command(&mut conn, break_it).await.unwrap();
    assert!(write(&mut conn, &batch()).await.is_err());
    command(&mut conn, "DROP TRIGGER broken").await.unwrap();
    for n in [1, 2, 3] {
        assert!(!payments::is_taken(&mut conn, &key(n)).await.unwrap(), "{n} was left behind");
    }
    assert_eq!(write(&mut conn, &batch()).await.unwrap(), vec![Outcome::Done; 4], "the honest twin");
}

/// The store as a few maps. Written from the ports' documentation, not from the SQL.
#[derive(Default)]
struct Model {
    versions: BTreeMap<PaymentKey, u64>,
    names: BTreeSet<PaymentKey>,
    grants: BTreeMap<PaymentKey, Grant>,
    grant_names: BTreeMap<PaymentKey, PaymentKey>,
    /// Who has the one network's lease, and its epoch; all of them are without end.
    lease: (Option<[u8; 16]>, u64),
}

impl Model {
    fn run(&mut self, job: &Job) -> Outcome {
        let done = match job {
            Job::Change(change) if change.fence.is_some_and(|fence| self.lease.0.is_none() || fence.epoch != self.lease.1) => {
                return Outcome::Fenced;
            }
            Job::Change(change) => self.change(change),
            Job::Claim(new) => return self.claim(new),
            Job::Update(grant, _) => match self.grants.get_mut(&grant.key) {
                Some(stored) if stored.version + 1 == grant.version => {
                    *stored = (**grant).clone();
                    true
                }
                _ => false,
            },
            Job::Lease(ask, _) => return self.lease(ask),
            Job::Release(_, holder) => {
                self.lease.0.take_if(|had| had == holder);
                true
            }
            Job::Reconcile(_) | Job::Touch(_) => true,
            Job::Accept(..) => return Outcome::Count(0),
        };
        if done { Outcome::Done } else { Outcome::Conflict }
    }

    fn change(&mut self, change: &Change) -> bool {
        let (mut versions, mut names) = (self.versions.clone(), self.names.clone());
        if let Some(NewPayment { row, aliases }) = &change.claim {
            versions.insert(row.key, row.version);
            if ![row.key].into_iter().chain(aliases.iter().copied()).all(|name| names.insert(name)) {
                return false;
            }
        }
        for PaymentUpdate { row } in &change.updates {
            match versions.get_mut(&row.key) {
                Some(version) if *version + 1 == row.version => *version += 1,
                _ => return false,
            }
        }
        for TransactionRow { network, id, .. } in &change.transactions {
            if !names.insert(PaymentKey::of_transaction(*network, id)) {
                return false;
            }
        }
        (self.versions, self.names) = (versions, names);
        true
    }

    fn lease(&mut self, ask: &LeaseAsk) -> Outcome {
        let left = ask.ttl;
        Outcome::Lease(match self.lease.0 {
            Some(holder) if holder != ask.holder => LeaseAnswer::Other { left },
            Some(_) => LeaseAnswer::Held { epoch: self.lease.1, left },
            None => {
                self.lease = (Some(ask.holder), self.lease.1 + 1);
                LeaseAnswer::Held { epoch: self.lease.1, left }
            }
        })
    }

    fn claim(&mut self, new: &NewGrant) -> Outcome {
        let all = || [new.grant.key].into_iter().chain(new.aliases.iter().copied());
        for name in all() {
            if let Some(grant) = self.grant_names.get(&name).and_then(|owner| self.grants.get(owner)) {
                return Outcome::Known(Box::new(grant.clone()));
            }
        }
        let open = |grant: &&Grant| grant.payer == new.grant.payer && matches!(grant.state, GrantState::Running | GrantState::Settling);
        if self.grants.values().filter(open).count() >= usize::try_from(new.max_unsettled).unwrap() {
            return Outcome::TooManyUnsettled;
        }
        self.grant_names.extend(all().map(|name| (name, new.grant.key)));
        self.grants.insert(new.grant.key, new.grant.clone());
        Outcome::Done
    }
}

/// Names are few, so that jobs get into each other's way.
fn job() -> impl Strategy<Value = Job> {
    let name = 0u64..12;
    let aliases = || proptest::collection::btree_set(0u64..12, 0..3);
    let transaction = |n: u64| signed(n % 4);
    prop_oneof![
        3 => name.clone().prop_map(|n| change(claim(n))),
        // A transaction's own name may be asked for as another name of a payment.
        3 => (name.clone(), aliases(), proptest::option::of(0u64..4)).prop_map(move |(n, aliases, theirs)| {
            let aliases: Vec<_> = aliases.into_iter().filter(|alias| *alias != n).collect();
            let mut claim = claim_with(n, &aliases);
            let theirs = theirs.map(|n| PaymentKey::of_transaction(transaction(n).network, &transaction(n).id));
            claim.claim.as_mut().unwrap().aliases.extend(theirs);
            change(claim)
        }),
        3 => (name.clone(), 2u64..5, proptest::option::of(name.clone())).prop_map(|(n, version, also)| {
            let mut updates = update(n, version).updates;
            updates.extend(also.map(|n| PaymentUpdate { row: PaymentRow { version: 2, ..payment(n) } }));
            change(Change { updates, ..Change::default() })
        }),
        2 => (name.clone(), 2u64..4, 1u64..3).prop_map(|(n, version, epoch)| {
            change(Change { fence: Some(Fence { network: BASE, epoch }), ..update(n, version) })
        }),
        2 => (0u8..2).prop_map(|holder| {
            Job::Lease(LeaseAsk { network: BASE, holder: [holder; 16], ttl: Duration::from_secs(60) }, UnixMillis(1000))
        }),
        1 => (0u8..2).prop_map(|holder| Job::Release(BASE, [holder; 16])),
        2 => (proptest::option::of(name.clone()), 2u64..4, 0u64..4).prop_map(move |(n, version, signs)| {
            let updates = n.map(|n| update(n, version).updates).unwrap_or_default();
            change(Change { updates, transactions: vec![transaction(signs)], ..Change::default() })
        }),
        6 => (name.clone(), aliases(), 1u8..4, 1u32..4).prop_map(|(n, aliases, payer, max_unsettled)| {
            let mut new = new_grant(n);
            new.aliases = aliases.into_iter().filter(|alias| *alias != n).map(key).collect();
            (new.grant.payer, new.max_unsettled) = (Address::Evm([payer; 20].into()), max_unsettled);
            Job::Claim(Box::new(new))
        }),
        4 => (name, 2u64..5, 0usize..7, any::<bool>()).prop_map(|(n, version, state, answer)| {
            let grant = Grant { version, state: GrantState::ALL[state], ..new_grant(n).grant };
            let answer = answer.then(|| StoredAnswer { status: 200, headers: vec![], body: vec![1].into() });
            Job::Update(Box::new(grant), answer)
        }),
        1 => any::<u32>().prop_map(|at| Job::Touch(UnixMillis(at.into()))),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// Batches of anything do what the maps do, job by job in the order of the plan; and leave what the maps hold.
    #[test]
    fn batches_do_what_the_ports_say(batches in proptest::collection::vec(proptest::collection::vec(job(), 1..12), 1..8)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let directory = Directory::new();
            let (mut conn, mut model) = (connection(&directory).await, Model::default());
            for jobs in &batches {
                let outcomes = write(&mut conn, jobs).await.unwrap();
                let Plan { payments, grants, single } = Plan::new(jobs);
                for at in payments.into_iter().chain(grants).chain(single) {
                    prop_assert_eq!(&outcomes[at], &model.run(&jobs[at]), "job {}", at);
                }
            }
            for n in 0..12 {
                let stored = payments::find(&mut conn, &key(n)).await.unwrap();
                prop_assert_eq!(payments::is_taken(&mut conn, &key(n)).await.unwrap(), model.names.contains(&key(n)));
                if let Some(version) = model.versions.get(&key(n)) {
                    prop_assert_eq!(stored.map(|row| (row.key, row.version)), Some((key(n), *version)));
                }
                let granted = grants::find(&mut conn, &key(n)).await.unwrap();
                let owner = model.grant_names.get(&key(n));
                prop_assert_eq!(granted.as_ref(), owner.and_then(|owner| model.grants.get(owner)));
            }
            Ok(())
        })?;
    }
}
