//! A store that can fail.

use super::*;

/// A memory store that yields before and after each call, and can be made to fail.
#[derive(Clone)]
pub(in crate::gate) struct TestGrants {
    pub(in crate::gate) memory: MemoryGrants,
    failing: Arc<AtomicU32>,
    load_failing: Arc<AtomicU32>,
    skip: Arc<AtomicU32>,
}

impl TestGrants {
    pub(super) fn new(clock: StoppedClock) -> Self {
        let memory = MemoryGrants::with_clock(clock).unwrap();
        Self { memory, failing: Arc::default(), load_failing: Arc::default(), skip: Arc::default() }
    }

    /// After `after` more writes, the next `times` writes fail.
    pub(in crate::gate) fn fail_writes(&self, after: u32, times: u32) {
        self.skip.store(after, SeqCst);
        self.failing.store(times, SeqCst);
    }

    pub(in crate::gate) fn fail_loads(&self, times: u32) {
        self.load_failing.store(times, SeqCst);
    }

    async fn write(&self) -> Result<(), StoreUnavailable> {
        tokio::task::yield_now().await;
        if self.skip.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
            return Ok(());
        }
        match self.failing.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)) {
            Ok(_) => Err(StoreUnavailable("scripted".to_owned())),
            Err(_) => Ok(()),
        }
    }

    pub(in crate::gate) async fn row(&self, key: &PaymentKey) -> Option<Grant> {
        self.memory.load(key).await.unwrap().map(|(grant, _)| grant)
    }

    pub(in crate::gate) async fn state(&self, key: &PaymentKey) -> Option<GrantState> {
        self.row(key).await.map(|grant| grant.state)
    }
}

impl Grants for TestGrants {
    fn identity(&self) -> [u8; 32] {
        self.memory.identity()
    }

    async fn claim(&self, grant: NewGrant, verified: Verified) -> Result<Claim, StoreUnavailable> {
        self.write().await?;
        let claim = self.memory.claim(grant, verified).await;
        tokio::task::yield_now().await;
        claim
    }

    async fn load(&self, key: &PaymentKey) -> Result<Option<(Grant, Option<StoredAnswer>)>, StoreUnavailable> {
        tokio::task::yield_now().await;
        if self.load_failing.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok() {
            return Err(StoreUnavailable("scripted".to_owned()));
        }
        self.memory.load(key).await
    }

    async fn update(&self, grant: &Grant, answer: Option<StoredAnswer>) -> Result<bool, StoreUnavailable> {
        self.write().await?;
        let done = self.memory.update(grant, answer).await;
        tokio::task::yield_now().await;
        done
    }

    async fn owing(&self, after: Option<(UnixMillis, PaymentKey)>, limit: u32) -> Result<Vec<Grant>, StoreUnavailable> {
        self.memory.owing(after, limit).await
    }

    async fn exposure(&self, payer: &Address, asset: &h402_core::AssetId, since: UnixMillis) -> Result<Exposure, StoreUnavailable> {
        self.memory.exposure(payer, asset, since).await
    }
}
