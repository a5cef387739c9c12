//! The grants of one simulated shop: what is on disk, and what is on its way there.

use super::{
    scenario::Fault,
    world::{Life, lock},
};
use h402_core::{
    Address, AssetId, Claim, Claimed, Exposure, Flow, Grant, GrantState, Grants, NewGrant, PaymentKey, StoreUnavailable, StoredAnswer,
    UnixMillis, Verified,
};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};
use tokio::time::sleep;

#[derive(Default)]
pub struct Books {
    identity: [u8; 32],
    pub grants: BTreeMap<PaymentKey, Grant>,
    names: BTreeMap<PaymentKey, PaymentKey>,
    answers: BTreeMap<PaymentKey, StoredAnswer>,
    /// Every fingerprint that a payment was ever stored with.
    pub opened: BTreeMap<PaymentKey, BTreeSet<[u8; 32]>>,
    waiting: VecDeque<Waiting>,
    next: u64,
    done: BTreeMap<u64, Written>,
}

struct Waiting {
    ticket: u64,
    life: u64,
    write: Write,
}

enum Write {
    Claim(Box<NewGrant>),
    Update(Box<Grant>, Option<StoredAnswer>),
}

enum Written {
    New,
    Known(Box<Grant>),
    TooMany,
    Updated(bool),
}

impl Books {
    pub fn new(shop: usize) -> Self {
        Self { identity: [u8::try_from(shop).expect("few shops") + 1; 32], ..Self::default() }
    }

    pub fn crash(&mut self, life: u64, kept: impl FnOnce(u64) -> u64) -> (u64, u64) {
        let mine = self.waiting.iter().filter(|waiting| waiting.life == life).count() as u64;
        let (keeps, mut seen) = (kept(mine), 0);
        for waiting in std::mem::take(&mut self.waiting) {
            if waiting.life != life {
                self.waiting.push_back(waiting);
                continue;
            }
            if seen < keeps {
                self.write(waiting.write);
            }
            seen += 1;
        }
        (keeps, mine)
    }

    fn sync(&mut self, ticket: u64) -> Option<Written> {
        while self.waiting.front().is_some_and(|first| first.ticket <= ticket) {
            let Some(first) = self.waiting.pop_front() else { break };
            let written = self.write(first.write);
            self.done.insert(first.ticket, written);
        }
        self.done.remove(&ticket)
    }

    fn write(&mut self, write: Write) -> Written {
        match write {
            Write::Claim(new) => {
                let names = || [new.grant.key].into_iter().chain(new.aliases.iter().copied());
                if let Some(known) = names().find_map(|name| self.find(&name)) {
                    return Written::Known(Box::new(known.clone()));
                }
                let of_payer = |grant: &&Grant| grant.payer == new.grant.payer && grant.asset == new.grant.asset && is_unsettled(grant);
                if self.grants.values().filter(of_payer).count() >= usize::try_from(new.max_unsettled).expect("small") {
                    return Written::TooMany;
                }
                self.names.extend(new.aliases.iter().map(|alias| (*alias, new.grant.key)));
                self.put(new.grant);
                Written::New
            }
            Write::Update(grant, answer) => {
                if self.grants.get(&grant.key).is_none_or(|stored| stored.version + 1 != grant.version) {
                    return Written::Updated(false);
                }
                if let Some(answer) = answer.filter(|answer| answer.body.len() <= StoredAnswer::MAX_BODY) {
                    self.answers.insert(grant.key, answer);
                }
                self.put(*grant);
                Written::Updated(true)
            }
        }
    }

    fn put(&mut self, grant: Grant) {
        self.opened.entry(grant.key).or_default().insert(*grant.fingerprint.as_bytes());
        self.grants.insert(grant.key, grant);
    }

    pub fn find(&self, name: &PaymentKey) -> Option<&Grant> {
        self.grants.get(name).or_else(|| self.grants.get(self.names.get(name)?))
    }
}

fn is_unsettled(grant: &Grant) -> bool {
    matches!(grant.state, GrantState::Running | GrantState::Settling)
}

/// The port, as one life of a gate has it.
#[derive(Clone)]
pub struct SimGrants {
    pub life: Life,
    pub shop: usize,
}

impl SimGrants {
    async fn read<T>(&self, read: impl FnOnce(&Books) -> T) -> Result<T, StoreUnavailable> {
        self.life.step("read").await;
        let world = self.life.world();
        if world.has(Fault::GrantsSlow) {
            world.pause(60).await;
        }
        if world.chance(Fault::GrantsFail, 25) {
            return Err(StoreUnavailable("simulated".to_owned()));
        }
        let found = read(&lock(&world.books[self.shop]));
        self.life.step("read").await;
        Ok(found)
    }

    async fn write(&self, write: Write) -> Result<Written, StoreUnavailable> {
        self.life.step("before a write").await;
        let world = self.life.world();
        if world.chance(Fault::GrantsFail, 25) {
            return Err(StoreUnavailable("simulated".to_owned()));
        }
        let ticket = {
            let mut books = lock(&world.books[self.shop]);
            books.next += 1;
            let ticket = books.next;
            books.waiting.push_back(Waiting { ticket, life: self.life.id, write });
            ticket
        };
        sleep(Duration::from_millis(1)).await;
        if world.has(Fault::GrantsSlow) {
            world.pause(250).await;
        }
        self.life.step("in a write").await;
        let written = lock(&world.books[self.shop]).sync(ticket);
        self.life.step("after a write").await;
        match written {
            Some(_) if world.chance(Fault::GrantsFail, 25) => Err(StoreUnavailable("simulated".to_owned())),
            Some(written) => Ok(written),
            None => Err(StoreUnavailable("lost".to_owned())),
        }
    }
}

impl Grants for SimGrants {
    fn identity(&self) -> [u8; 32] {
        lock(&self.life.world().books[self.shop]).identity
    }

    async fn claim(&self, grant: NewGrant, verified: Verified) -> Result<Claim, StoreUnavailable> {
        let row = grant.grant.clone();
        Ok(match self.write(Write::Claim(Box::new(grant))).await? {
            Written::Known(grant) => Claim::Known(grant),
            Written::TooMany => Claim::TooManyUnsettled,
            Written::New | Written::Updated(_) => Claim::New(Claimed::assertion(verified.matched().clone(), row)),
        })
    }

    async fn load(&self, key: &PaymentKey) -> Result<Option<(Grant, Option<StoredAnswer>)>, StoreUnavailable> {
        self.read(|books| books.find(key).map(|grant| (grant.clone(), books.answers.get(&grant.key).cloned()))).await
    }

    async fn update(&self, grant: &Grant, answer: Option<StoredAnswer>) -> Result<bool, StoreUnavailable> {
        Ok(matches!(self.write(Write::Update(Box::new(grant.clone()), answer)).await?, Written::Updated(true)))
    }

    async fn owing(&self, after: Option<(UnixMillis, PaymentKey)>, limit: u32) -> Result<Vec<Grant>, StoreUnavailable> {
        self.read(|books| {
            let age = |grant: &Grant| (grant.claimed_at, grant.key);
            let owing = |grant: &&Grant| grant.state.is_owing() && after.is_none_or(|after| age(grant) > after);
            let mut page: Vec<Grant> = books.grants.values().filter(owing).cloned().collect();
            page.sort_by_key(age);
            page.truncate(usize::try_from(limit).expect("small"));
            page
        })
        .await
    }

    async fn exposure(&self, payer: &Address, asset: &AssetId, failed_since: UnixMillis) -> Result<Exposure, StoreUnavailable> {
        self.read(|books| {
            let mut exposure = Exposure::default();
            for grant in books.grants.values().filter(|grant| grant.payer == *payer && grant.asset == *asset) {
                exposure.unsettled += u32::from(is_unsettled(grant));
                let failed = grant.state == GrantState::Refused && grant.flow == Flow::Capture && grant.updated_at >= failed_since;
                exposure.failed += u32::from(failed);
            }
            exposure
        })
        .await
    }
}
