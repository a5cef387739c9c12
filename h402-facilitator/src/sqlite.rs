//! The embedded durable store: ledger and grants in one SQLite file, or in one each.
//!
//! One task writes. What waited while the last commit ran goes into the next one, so the price of durability is
//! shared by everybody who waits for it. A call is answered when its commit is on disk (WAL, `synchronous=FULL`).
//! One process at a time has a database open; `<path>.lock` sees to it.
//!
//! # Trouble
//! A full disk fails the calls of that batch, and the next one is tried again. An error after which nobody knows
//! what is on disk, such as a failed fsync, ends all writing until the database is opened again.
//!
//! # Cancel safety
//! Dropping the future of a write that was queued does not undo it: it is written, and nobody is told.

mod answers;
mod batch;
mod fault;
mod grants;
mod leases;
mod lock;
mod open;
mod payments;
mod reader;
mod reconciliation;
mod schema;
mod statement;
mod transactions;
mod writer;

pub use open::{OpenError, OpenOptions};

use crate::sql::job::{Job, Outcome};
use crate::sql::{self, columns, distinct};
use alloy_primitives::U256;
use h402_core::{
    Address, Applied, AssetId, Change, Claim, Claimed, EvmAddress, Exposure, Grant, Grants, HoldAnswer, HoldAsk, LanePosition, LeaseAnswer,
    LeaseAsk, Network, NewGrant, PaymentKey, PaymentRow, PaymentTotal, Reconciliation, ReconciliationPass, Store, StoreUnavailable,
    StoredAnswer, TransactionId, TransactionRow, UnixMillis, Verified,
};
use open::Database;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::oneshot;
use writer::Message;

/// The facilitator's ledger in an SQLite file. Clones share it.
///
/// The database is closed by [`SqliteStore::close`], or when the last handle to it is gone.
///
/// ```
/// use h402_core::{Change, Store};
/// use h402_facilitator::sqlite::{OpenOptions, SqliteStore};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = std::env::temp_dir().join(format!("h402-doc-store-{}", std::process::id()));
/// # std::fs::create_dir_all(&directory)?;
/// let store = SqliteStore::open(directory.join("ledger.db"), OpenOptions::default()).await?;
/// store.ready().await?;
/// store.close().await?;
/// # std::fs::remove_dir_all(&directory)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SqliteStore(Arc<Database>);

/// A gate's grants in an SQLite file. Clones share it, and gates that share it are one caller to a facilitator.
///
/// Answers are kept for [`StoredAnswer::KEPT_SECONDS`] after the change they came with, and only as many bytes of
/// them as [`OpenOptions::with_answer_budget`] says. A grant that owes nothing goes ten minutes after its payment can
/// no longer be presented. Rows that a dead process was working on are free at once.
///
/// ```
/// use h402_core::Grants;
/// use h402_facilitator::sqlite::{OpenOptions, SqlGrants};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = std::env::temp_dir().join(format!("h402-doc-grants-{}", std::process::id()));
/// # std::fs::create_dir_all(&directory)?;
/// let grants = SqlGrants::open(directory.join("grants.db"), OpenOptions::default()).await?;
/// let identity = grants.identity();
/// grants.close().await?;
/// let again = SqlGrants::open(directory.join("grants.db"), OpenOptions::default()).await?;
/// assert_eq!(again.identity(), identity);
/// # again.close().await?;
/// # std::fs::remove_dir_all(&directory)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct SqlGrants(Arc<Database>);

impl SqliteStore {
    /// Opens the database at `path`, or creates it, readable by its owner only.
    ///
    /// # Errors
    /// [`OpenError`], which names the file.
    pub async fn open(path: impl AsRef<Path>, options: OpenOptions) -> Result<Self, OpenError> {
        Ok(Self(Arc::new(Database::open(path.as_ref(), options).await?)))
    }

    /// The grants in the same file, written by the same task.
    #[must_use]
    pub fn grants(&self) -> SqlGrants {
        SqlGrants(self.0.clone())
    }

    /// Writes what is queued, closes the database and lets go of its lock. Calls on any handle fail from now on.
    ///
    /// # Errors
    /// [`StoreUnavailable`] if the file could not be left complete by itself. Nothing is lost by that: what was
    /// answered as written is in the log beside it.
    pub async fn close(&self) -> Result<(), StoreUnavailable> {
        self.0.close().await
    }
}

impl SqlGrants {
    /// Opens the database at `path`, or creates it, readable by its owner only.
    ///
    /// # Errors
    /// [`OpenError`], which names the file.
    pub async fn open(path: impl AsRef<Path>, options: OpenOptions) -> Result<Self, OpenError> {
        Ok(Self(Arc::new(Database::open(path.as_ref(), options).await?)))
    }

    /// Writes what is queued, closes the database and lets go of its lock. Calls on any handle fail from now on.
    ///
    /// # Errors
    /// See [`SqliteStore::close`].
    pub async fn close(&self) -> Result<(), StoreUnavailable> {
        self.0.close().await
    }
}

fn unshared() -> StoreUnavailable {
    StoreUnavailable("whoever has the file open keeps its holds in memory".to_owned())
}

fn closed<T>(_: T) -> StoreUnavailable {
    StoreUnavailable("closed".to_owned())
}

impl Database {
    async fn write(&self, job: Job) -> Result<Outcome, StoreUnavailable> {
        let (reply, outcome) = oneshot::channel();
        self.writer.send(Message::Write(job, reply)).await.map_err(closed)?;
        outcome.await.map_err(closed)?
    }

    async fn close(&self) -> Result<(), StoreUnavailable> {
        let (reply, done) = oneshot::channel();
        match self.writer.send(Message::Close(reply)).await {
            Ok(()) => done.await.map_err(closed)?,
            // Somebody else has closed it.
            Err(_) => Ok(()),
        }
    }
}

impl Store for SqliteStore {
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
        let mut lent = self.0.readers.lend().await?;
        read(payments::find(lent.connection()?, key).await)
    }

    async fn transaction(&self, network: Network, id: &TransactionId) -> Result<Option<TransactionRow>, StoreUnavailable> {
        let mut lent = self.0.readers.lend().await?;
        read(transactions::find(lent.connection()?, network, id).await)
    }

    async fn unfinished(&self, network: Network, after: Option<PaymentKey>, limit: u32) -> Result<Vec<PaymentRow>, StoreUnavailable> {
        let mut lent = self.0.readers.lend().await?;
        read(payments::unfinished(lent.connection()?, network, after, limit).await)
    }

    async fn untouched(&self, network: Network, after: Option<PaymentKey>, limit: u32) -> Result<Vec<PaymentKey>, StoreUnavailable> {
        let mut lent = self.0.readers.lend().await?;
        read(payments::untouched(lent.connection()?, network, after, limit).await)
    }

    async fn lane(&self, network: Network, sender: &EvmAddress, from: u64, limit: u32) -> Result<LanePosition, StoreUnavailable> {
        let mut lent = self.0.readers.lend().await?;
        read(transactions::lane(lent.connection()?, network, sender, from, limit).await)
    }

    async fn promised(&self, payer: &Address, asset: AssetId) -> Result<Vec<PaymentRow>, StoreUnavailable> {
        let mut lent = self.0.readers.lend().await?;
        read(payments::promised(lent.connection()?, payer, asset).await)
    }

    async fn is_taken(&self, key: &PaymentKey) -> Result<bool, StoreUnavailable> {
        let mut lent = self.0.readers.lend().await?;
        read(payments::is_taken(lent.connection()?, key).await)
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
        let mut lent = self.0.readers.lend().await?;
        read(transactions::spent(lent.connection()?, network, sender, since).await)
    }

    async fn failed(&self, network: Network, since: UnixMillis, limit: u32) -> Result<Vec<PaymentRow>, StoreUnavailable> {
        let mut lent = self.0.readers.lend().await?;
        read(payments::failed(lent.connection()?, network, since, limit).await)
    }

    async fn signed_since(
        &self,
        network: Network,
        since: UnixMillis,
        after: Option<PaymentKey>,
        limit: u32,
    ) -> Result<Vec<PaymentRow>, StoreUnavailable> {
        let mut lent = self.0.readers.lend().await?;
        read(payments::signed_since(lent.connection()?, network, since, after, limit).await)
    }

    async fn finals(
        &self,
        network: Network,
        after: Option<(UnixMillis, PaymentKey)>,
        until: UnixMillis,
        limit: u32,
    ) -> Result<Vec<PaymentRow>, StoreUnavailable> {
        let mut lent = self.0.readers.lend().await?;
        read(payments::finals(lent.connection()?, network, after, until, limit).await)
    }

    async fn reconciliation(&self, network: Network) -> Result<Reconciliation, StoreUnavailable> {
        let mut lent = self.0.readers.lend().await?;
        read(reconciliation::load(lent.connection()?, network).await)
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
        let mut lent = self.0.readers.lend().await?;
        read(reconciliation::totals(lent.connection()?).await)
    }

    fn is_shared(&self) -> bool {
        // One process has the file open.
        false
    }

    async fn hold(&self, _: HoldAsk) -> Result<HoldAnswer, StoreUnavailable> {
        Err(unshared())
    }

    async fn let_go(&self, _: &PaymentKey) -> Result<(), StoreUnavailable> {
        Err(unshared())
    }

    async fn is_held(&self, _: &PaymentKey) -> Result<bool, StoreUnavailable> {
        Err(unshared())
    }

    async fn ready(&self) -> Result<(), StoreUnavailable> {
        self.0.write(Job::Touch(self.0.clock.now())).await.map(|_| ())
    }
}

impl Grants for SqlGrants {
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
        let mut lent = self.0.readers.lend().await?;
        read(grants::find_with_answer(lent.connection()?, key, fresh).await)
    }

    async fn update(&self, grant: &Grant, answer: Option<StoredAnswer>) -> Result<bool, StoreUnavailable> {
        columns::storable([grant.version])?;
        let job = Job::Update(Box::new(grant.clone()), answer.filter(sql::answers::is_kept));
        Ok(self.0.write(job).await? == Outcome::Done)
    }

    async fn owing(&self, after: Option<(UnixMillis, PaymentKey)>, limit: u32) -> Result<Vec<Grant>, StoreUnavailable> {
        let mut lent = self.0.readers.lend().await?;
        read(grants::owing(lent.connection()?, after, limit).await)
    }

    async fn exposure(&self, payer: &Address, asset: &AssetId, failed_since: UnixMillis) -> Result<Exposure, StoreUnavailable> {
        let mut lent = self.0.readers.lend().await?;
        read(grants::exposure(lent.connection()?, payer, asset, failed_since).await)
    }
}

fn read<T>(result: sqlx::Result<T>) -> Result<T, StoreUnavailable> {
    result.map_err(|error| fault::unavailable(&error))
}

#[cfg(test)]
mod tests;
