//! The durable store for several processes: ledger and grants in one PostgreSQL database.
//!
//! A few tasks write, each over a connection of its own. What waits while a commit is on its way goes into the next
//! one. A call is answered when its commit is on the server's disk, whatever `synchronous_commit` is by default; a server
//! without `fsync` is refused. Any number of processes may have a database open; leases go by the server's clock.
//!
//! # Connections
//! The address is a URL as libpq takes it, with `sslmode` and `sslrootcert` if the server is not on this machine; without
//! `sslrootcert` certificates are judged by Mozilla's list. Connections keep statements and settings, so a pooler in
//! between must give each client a session of its own.
//!
//! # Trouble
//! A call fails if its connection does, and the next one makes another. A write whose connection was lost may have been
//! made all the same: load before trying again, as the ports say.
//!
//! # Cancel safety
//! Dropping the future of a write that was queued does not undo it: it is written, and nobody is told.

mod answers;
mod change;
mod connect;
mod fault;
mod grants;
mod holds;
mod leases;
mod open;
mod payments;
mod reconciliation;
mod schema;
mod statement;
mod transactions;
mod writer;

pub use open::{OpenError, OpenOptions};

use crate::sql::job::{Job, Outcome};
use crate::sql::{self, columns, distinct};
use alloy_primitives::U256;
use connect::in_time;
use h402_core::{
    Address, Applied, AssetId, Change, Claim, Claimed, EvmAddress, Exposure, Grant, Grants, HoldAnswer, HoldAsk, LanePosition, LeaseAnswer,
    LeaseAsk, Network, NewGrant, PaymentKey, PaymentRow, PaymentTotal, Reconciliation, ReconciliationPass, Store, StoreUnavailable,
    StoredAnswer, TransactionId, TransactionRow, UnixMillis, Verified,
};
use open::Database;
use std::sync::Arc;

/// The ledger of one facilitator or of several, in a PostgreSQL database. Clones share its connections.
///
/// The database is left by [`PostgresStore::close`], or when the last handle to it is gone.
///
/// ```no_run
/// use h402_core::Store;
/// use h402_facilitator::postgres::{OpenOptions, PostgresStore};
/// # async fn doc() -> Result<(), Box<dyn std::error::Error>> {
/// let store = PostgresStore::open("postgres://h402@localhost/h402", OpenOptions::default()).await?;
/// store.ready().await?;
/// store.close().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct PostgresStore(Arc<Database>);

/// The grants of one gate or of several, in a PostgreSQL database. Clones share its connections, and gates that share the
/// database are one caller to a facilitator.
///
/// Answers are kept for [`StoredAnswer::KEPT_SECONDS`] after the change they came with, and only as many bytes of
/// them as [`OpenOptions::with_answer_budget`] says. A grant that owes nothing goes ten minutes after its payment can
/// no longer be presented. Rows that a dead process was working on are free when the time is over for which it took them.
///
/// ```no_run
/// use h402_core::Grants;
/// use h402_facilitator::postgres::{OpenOptions, PostgresGrants};
/// # async fn doc() -> Result<(), Box<dyn std::error::Error>> {
/// let grants = PostgresGrants::open("postgres://h402@localhost/h402", OpenOptions::default()).await?;
/// let other = PostgresGrants::open("postgres://h402@localhost/h402", OpenOptions::default()).await?;
/// assert_eq!(grants.identity(), other.identity());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct PostgresGrants(Arc<Database>);

impl PostgresStore {
    /// Connects to the database at `url`, and makes its tables if it is empty.
    ///
    /// # Errors
    /// [`OpenError`], which names the server and not who asks.
    pub async fn open(url: &str, options: OpenOptions) -> Result<Self, OpenError> {
        Ok(Self(Arc::new(Database::open(url, options).await?)))
    }

    /// The grants in the same database, written over the same connections.
    #[must_use]
    pub fn grants(&self) -> PostgresGrants {
        PostgresGrants(self.0.clone())
    }

    /// Writes what is queued, and disconnects. Calls on any handle fail from now on.
    pub async fn close(&self) {
        self.0.close().await;
    }
}

impl PostgresGrants {
    /// Connects to the database at `url`, and makes its tables if it is empty.
    ///
    /// # Errors
    /// [`OpenError`], which names the server and not who asks.
    pub async fn open(url: &str, options: OpenOptions) -> Result<Self, OpenError> {
        Ok(Self(Arc::new(Database::open(url, options).await?)))
    }

    /// Writes what is queued, and disconnects. Calls on any handle fail from now on.
    pub async fn close(&self) {
        self.0.close().await;
    }
}

/// One read, over a connection on loan; over another one if that had ended while it rested.
macro_rules! read {
    ($database:expr, $module:ident::$read:ident ($($argument:expr),*)) => {
        loop {
            let mut lent = $database.readers.lend().await?;
            let read = in_time($module::$read(&mut lent.conn, $($argument),*)).await;
            if let Some(read) = lent.finish(read) {
                break read;
            }
        }
    };
}

impl Store for PostgresStore {
    async fn apply(&self, mut change: Change) -> Result<Applied, StoreUnavailable> {
        if let Some(claim) = &mut change.claim {
            distinct(&claim.row.key, &mut claim.aliases);
        }
        sql::storable(&change)?;
        match self.0.write(Job::Change(Box::new(change))).await? {
            Outcome::Done => Ok(Applied::Applied),
            Outcome::Fenced => Ok(Applied::Fenced),
            Outcome::Conflict | Outcome::Known(_) | Outcome::TooManyUnsettled | Outcome::Lease(_) | Outcome::Count(_) => {
                Ok(Applied::Conflict)
            }
        }
    }

    async fn payment(&self, key: &PaymentKey) -> Result<Option<PaymentRow>, StoreUnavailable> {
        read!(self.0, payments::find(key))
    }

    async fn transaction(&self, network: Network, id: &TransactionId) -> Result<Option<TransactionRow>, StoreUnavailable> {
        read!(self.0, transactions::find(network, id))
    }

    async fn unfinished(&self, network: Network, after: Option<PaymentKey>, limit: u32) -> Result<Vec<PaymentRow>, StoreUnavailable> {
        read!(self.0, payments::unfinished(network, after, limit))
    }

    async fn untouched(&self, network: Network, after: Option<PaymentKey>, limit: u32) -> Result<Vec<PaymentKey>, StoreUnavailable> {
        read!(self.0, payments::untouched(network, after, limit))
    }

    async fn lane(&self, network: Network, sender: &EvmAddress, from: u64, limit: u32) -> Result<LanePosition, StoreUnavailable> {
        read!(self.0, transactions::lane(network, sender, from, limit))
    }

    async fn promised(&self, payer: &Address, asset: AssetId) -> Result<Vec<PaymentRow>, StoreUnavailable> {
        read!(self.0, payments::promised(payer, asset))
    }

    async fn is_taken(&self, key: &PaymentKey) -> Result<bool, StoreUnavailable> {
        read!(self.0, payments::is_taken(key))
    }

    async fn lease(&self, ask: LeaseAsk) -> Result<LeaseAnswer, StoreUnavailable> {
        match self.0.write(Job::Lease(ask, self.0.clock.now())).await? {
            Outcome::Lease(answer) => Ok(answer),
            _ => Err(StoreUnavailable("a lease was neither held nor refused".to_owned())),
        }
    }

    async fn release(&self, network: Network, holder: [u8; 16]) -> Result<(), StoreUnavailable> {
        self.0.write(Job::Release(network, holder)).await.map(|_| ())
    }

    async fn spent(&self, network: Network, sender: &EvmAddress, since: UnixMillis) -> Result<U256, StoreUnavailable> {
        read!(self.0, transactions::spent(network, sender, since))
    }

    async fn failed(&self, network: Network, since: UnixMillis, limit: u32) -> Result<Vec<PaymentRow>, StoreUnavailable> {
        read!(self.0, payments::failed(network, since, limit))
    }

    async fn signed_since(
        &self,
        network: Network,
        since: UnixMillis,
        after: Option<PaymentKey>,
        limit: u32,
    ) -> Result<Vec<PaymentRow>, StoreUnavailable> {
        read!(self.0, payments::signed_since(network, since, after, limit))
    }

    async fn finals(
        &self,
        network: Network,
        after: Option<(UnixMillis, PaymentKey)>,
        until: UnixMillis,
        limit: u32,
    ) -> Result<Vec<PaymentRow>, StoreUnavailable> {
        read!(self.0, payments::finals(network, after, until, limit))
    }

    async fn reconciliation(&self, network: Network) -> Result<Reconciliation, StoreUnavailable> {
        read!(self.0, reconciliation::load(network))
    }

    async fn reconcile(&self, pass: ReconciliationPass) -> Result<(), StoreUnavailable> {
        columns::storable(pass.reached.block)?;
        self.0.write(Job::Reconcile(Box::new(pass))).await.map(|_| ())
    }

    async fn accept_differences(&self, network: Network, now: UnixMillis) -> Result<u64, StoreUnavailable> {
        match self.0.write(Job::Accept(network, now)).await? {
            Outcome::Count(accepted) => Ok(accepted),
            _ => Err(StoreUnavailable("differences were neither accepted nor not".to_owned())),
        }
    }

    async fn totals(&self) -> Result<Vec<PaymentTotal>, StoreUnavailable> {
        read!(self.0, reconciliation::totals())
    }

    fn is_shared(&self) -> bool {
        true
    }

    async fn hold(&self, ask: HoldAsk) -> Result<HoldAnswer, StoreUnavailable> {
        read!(self.0, holds::hold(&ask))
    }

    async fn let_go(&self, key: &PaymentKey) -> Result<(), StoreUnavailable> {
        read!(self.0, holds::let_go(key))
    }

    async fn is_held(&self, key: &PaymentKey) -> Result<bool, StoreUnavailable> {
        read!(self.0, holds::is_held(key))
    }

    async fn ready(&self) -> Result<(), StoreUnavailable> {
        self.0.write(Job::Touch(self.0.clock.now())).await.map(|_| ())
    }
}

impl Grants for PostgresGrants {
    fn identity(&self) -> [u8; 32] {
        self.0.identity
    }

    async fn claim(&self, mut grant: NewGrant, verified: Verified) -> Result<Claim, StoreUnavailable> {
        distinct(&grant.grant.key, &mut grant.aliases);
        columns::storable([grant.grant.version])?;
        let row = grant.grant.clone();
        match self.0.write(Job::Claim(Box::new(grant))).await? {
            Outcome::Done => Ok(Claim::New(Claimed::assertion(verified.matched().clone(), row))),
            Outcome::Known(grant) => Ok(Claim::Known(grant)),
            Outcome::TooManyUnsettled => Ok(Claim::TooManyUnsettled),
            Outcome::Conflict | Outcome::Fenced | Outcome::Lease(_) | Outcome::Count(_) => {
                Err(StoreUnavailable("a claim was neither taken nor refused".to_owned()))
            }
        }
    }

    async fn load(&self, key: &PaymentKey) -> Result<Option<(Grant, Option<StoredAnswer>)>, StoreUnavailable> {
        let fresh = UnixMillis(self.0.clock.now().0.saturating_sub(StoredAnswer::KEPT_SECONDS * 1000));
        read!(self.0, grants::find_with_answer(key, fresh))
    }

    async fn update(&self, grant: &Grant, answer: Option<StoredAnswer>) -> Result<bool, StoreUnavailable> {
        columns::storable([grant.version])?;
        let job = Job::Update(Box::new(grant.clone()), answer.filter(sql::answers::is_kept));
        Ok(self.0.write(job).await? == Outcome::Done)
    }

    async fn owing(&self, after: Option<(UnixMillis, PaymentKey)>, limit: u32) -> Result<Vec<Grant>, StoreUnavailable> {
        read!(self.0, grants::owing(after, limit))
    }

    async fn exposure(&self, payer: &Address, asset: &AssetId, failed_since: UnixMillis) -> Result<Exposure, StoreUnavailable> {
        read!(self.0, grants::exposure(payer, asset, failed_since))
    }
}
