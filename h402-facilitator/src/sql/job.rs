//! What waits to be written, and what of it can share a statement.

use h402_core::{
    Address, AssetId, Change, Grant, LeaseAnswer, LeaseAsk, Network, NewGrant, NewPayment, PaymentKey, PaymentRow, ReconciliationPass,
    StoredAnswer, UnixMillis,
};
use std::collections::HashSet;

/// One thing to write.
#[cfg_attr(test, derive(Debug))]
pub(crate) enum Job {
    Change(Box<Change>),
    Claim(Box<NewGrant>),
    Update(Box<Grant>, Option<StoredAnswer>),
    /// Asks for a lease at a time.
    #[cfg_attr(not(feature = "sqlite"), allow(dead_code, reason = "PostgreSQL goes by the server's clock"))]
    Lease(LeaseAsk, UnixMillis),
    /// Gives a lease back.
    Release(Network, [u8; 16]),
    /// Stores what came of comparing ledger and chain.
    Reconcile(Box<ReconciliationPass>),
    /// Accepts what differs.
    Accept(Network, UnixMillis),
    /// Writes one row, to find out whether that can be done.
    Touch(UnixMillis),
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    /// Nothing of it happened: something was taken or changed meanwhile.
    Conflict,
    /// The payment was claimed before.
    Known(Box<Grant>),
    TooManyUnsettled,
    /// Nothing of it happened: its lease is not the current one.
    Fenced,
    /// Who has the lease.
    Lease(LeaseAnswer),
    /// How many rows it was about.
    Count(u64),
}

/// Which jobs of a batch go into a statement together, as places in the batch.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) payments: Vec<usize>,
    pub(crate) grants: Vec<usize>,
    pub(crate) single: Vec<usize>,
}

impl Plan {
    pub(crate) fn new(jobs: &[Job]) -> Self {
        let mut plan = Self::default();
        let mut keys: HashSet<(bool, PaymentKey)> = HashSet::new();
        let mut payers: HashSet<(Address, AssetId)> = HashSet::new();
        for (at, job) in jobs.iter().enumerate() {
            let group = match job {
                Job::Change(change) => match plain_claim(change) {
                    Some(row) if keys.insert((true, row.key)) => &mut plan.payments,
                    _ => &mut plan.single,
                },
                // The rule of `max_unsettled` counts what was there before a statement, so one row of a payer in each.
                Job::Claim(new) => {
                    let alone = payers.insert((new.grant.payer, new.grant.asset));
                    let first = keys.insert((false, new.grant.key));
                    if alone && first && new.aliases.is_empty() { &mut plan.grants } else { &mut plan.single }
                }
                Job::Update(..) | Job::Lease(..) | Job::Release(..) | Job::Reconcile(_) | Job::Accept(..) | Job::Touch(_) => {
                    &mut plan.single
                }
            };
            group.push(at);
        }
        plan
    }
}

/// The row of a change that is nothing but the claim of a payment without other names.
pub(crate) fn plain_claim(change: &Change) -> Option<&PaymentRow> {
    match change {
        Change { claim: Some(NewPayment { row, aliases }), updates, transactions, sent, fence: None }
            if aliases.is_empty() && updates.is_empty() && transactions.is_empty() && sent.is_empty() =>
        {
            Some(row)
        }
        _ => None,
    }
}
