//! The watcher: one per cluster, looks for everything that is in flight at once, several times a second.

mod overdue;

use super::{
    super::{Shared, drive::Failure, open::OpenPayment, recover},
    SolanaEngine,
    settle::block,
};
use crate::chaos::sabotaged;
use crate::solana::{Commitment, SignatureStatus};
use h402_core::{Clock, PaymentKey, Reject, Settlement, SettlementEvent, Store, TransactionId, Undecided};
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};
use tokio::time::Instant;

/// How often the stored bytes of a transaction that is in no block are sent again.
const RESEND: Duration = Duration::from_secs(2);
/// Slots within which every node remembers a transaction: one that is not there now was dropped with its block.
const REMEMBERED: u64 = 5_000;

/// Looks until the engine stops.
pub(super) async fn run<S: Store, C: Clock>(shared: Arc<Shared<S, C>>, solana: Arc<SolanaEngine>) {
    let mut watcher = Watcher { shared: &shared, solana: &solana, sent: HashMap::new(), looked_back: None, complained: None };
    let mut tick = tokio::time::interval(solana.config.poll);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            () = shared.stopped() => return,
            _ = tick.tick() => {}
        }
        let looked = match watcher.look().await {
            Ok(()) => watcher.turn().await,
            failed => failed,
        };
        if let Err(error) = looked {
            tracing::debug!(network = %solana.network(), %error, "could not look at the cluster");
        }
    }
}

struct Watcher<'a, S, C> {
    shared: &'a Arc<Shared<S, C>>,
    solana: &'a Arc<SolanaEngine>,
    /// When transactions that are in no block were last sent.
    sent: HashMap<PaymentKey, Instant>,
    /// When what has outlived its blocks was last looked at.
    looked_back: Option<Instant>,
    /// When it was last said that the node remembers too little.
    complained: Option<Instant>,
}

/// A payment in flight, and its first signature.
struct InFlight {
    open: Arc<OpenPayment>,
    signature: [u8; 64],
}

impl<S: Store, C: Clock> Watcher<'_, S, C> {
    /// One HTTP request for everything in flight; more only for what has to be sent again, and for what is overdue.
    async fn look(&mut self) -> Result<(), Undecided> {
        let now = self.shared.clock.now();
        self.shared.reservations.sweep(now);
        self.solana.seen.sweep(now);
        let in_flight = self.in_flight();
        if in_flight.iter().all(|payment| payment.open.news.borrow().state.is_decided()) {
            self.solana.progress.idle();
        }
        if in_flight.is_empty() {
            self.sent.clear();
            return Ok(());
        }
        let signatures: Vec<[u8; 64]> = in_flight.iter().map(|payment| payment.signature).collect();
        let answer = self.solana.config.chain.statuses(&signatures).await?;
        if in_flight.iter().any(|payment| !payment.open.news.borrow().state.is_decided()) {
            self.solana.progress.waits_at(answer.slot);
        }
        let mut unseen = Vec::new();
        let mut vanished = Vec::new();
        for (payment, status) in in_flight.into_iter().zip(answer.statuses) {
            let state = payment.open.news.borrow().state;
            match (status, state) {
                (None, Settlement::Included { .. }) if sabotaged("reorg.ignore") => {}
                (Some(status), _) => self.seen(&payment, status).await,
                (None, Settlement::Included { .. } | Settlement::Reverted { .. }) => vanished.push(payment),
                (None, _) => unseen.push(payment),
            }
        }
        let waiting: HashSet<PaymentKey> = unseen.iter().map(|payment| payment.open.news.borrow().key).collect();
        self.sent.retain(|key, _| waiting.contains(key));
        // What cannot land any more is not sent again, but looked for once more.
        let is_overdue = |payment: &InFlight| {
            let last = payment.open.news.borrow().last_block_height;
            last.is_some_and(|last| answer.finalized_height > last) || sabotaged("expiry.unproven")
        };
        let (overdue, alive): (Vec<_>, Vec<_>) = unseen.into_iter().partition(is_overdue);
        self.send_again(alive);
        if !(overdue.is_empty() && vanished.is_empty()) && self.looked_back.is_none_or(|at| at.elapsed() >= self.pause()) {
            self.looked_back = Some(Instant::now());
            self.look_back(overdue, vanished).await?;
        }
        Ok(())
    }

    /// Where more is open than there is room for, others come in the place of those that were looked at.
    async fn turn(&self) -> Result<(), Undecided> {
        self.solana.payments.put_aside();
        recover::enter_some(self.shared, &self.solana.payments, |row| self.solana.resume(row)).await?;
        Ok(())
    }

    fn in_flight(&self) -> Vec<InFlight> {
        let with_signature = |open: Arc<OpenPayment>| {
            let transaction = open.news.borrow().state.transaction();
            match transaction {
                Some(TransactionId::Solana(signature)) => Some(InFlight { open, signature }),
                _ => None,
            }
        };
        self.solana.payments.each().into_iter().filter_map(with_signature).collect()
    }

    /// What is overdue takes requests of its own, so they are rare.
    fn pause(&self) -> Duration {
        self.solana.config.poll.saturating_mul(2)
    }

    /// A transaction is in a block.
    async fn seen(&self, payment: &InFlight, status: SignatureStatus) {
        let row = payment.open.news.borrow().clone();
        if status.commitment < Some(self.solana.accepted_at(row.asset.address, row.amount)) && !sabotaged("depth.ignore") {
            return;
        }
        let (transaction, block) = (TransactionId::Solana(payment.signature), block(status.slot));
        let mut events = Vec::new();
        let failure = status.failure.filter(|_| !sabotaged("receipt.status"));
        let was_failed = matches!(row.state, Settlement::Reverted { .. });
        let first = !row.state.is_settled() && !was_failed && self.solana.pays_for(&row);
        let wasted = failure.is_some() && first;
        if row.state.is_decided() && was_failed != failure.is_some() {
            // Its block was dropped, and in the one that took its place it fares otherwise.
            events.push((SettlementEvent::Vanished, None));
        }
        match failure {
            None if row.state.is_settled() => {}
            None => events.push((SettlementEvent::Paid { transaction, block }, None)),
            Some(_) if was_failed => {}
            Some(reason) => {
                let reject = Reject::Reverts(reason);
                let failure = Failure { word: reject.word(), text: reject.to_string() };
                events.push((SettlementEvent::Failed { transaction, block }, Some(failure)));
            }
        }
        if status.commitment == Some(Commitment::Finalized) {
            events.push((SettlementEvent::Deep, None));
        }
        for (event, failure) in events {
            if let Err(error) = self.shared.advance(&self.solana.payments, &payment.open, event, failure).await {
                tracing::warn!(payment.id = %row.key, %error, "what the cluster shows of a payment is not settled yet");
                return;
            }
        }
        if first {
            self.solana.note_fee(self.shared.clock.now());
        }
        if wasted {
            self.solana.wasted.note(row.payer, self.shared.clock.now());
        }
    }

    /// Sends the stored bytes of what is in no block again, all in one request where the node takes so many.
    fn send_again(&mut self, waiting: Vec<InFlight>) {
        let now = Instant::now();
        let mut due = Vec::new();
        for payment in waiting {
            let row = payment.open.news.borrow().clone();
            // A payment just claimed is being sent; one that is older was sent by an earlier run, or never.
            let last = self.sent.get(&row.key).copied();
            let age = self.shared.clock.now().since(row.claimed_at);
            let is_due = last.map_or(age >= RESEND, |last| now.duration_since(last) >= RESEND);
            if is_due || last.is_none() {
                self.sent.insert(row.key, now);
            }
            if is_due {
                due.push(payment.open);
            }
        }
        if !due.is_empty() {
            tracing::debug!(network = %self.solana.network(), payments = due.len(), "sending again");
            let (shared, solana) = (self.shared.clone(), self.solana.clone());
            // In a task: what waits for a slow node must not keep the watcher from what has arrived.
            tokio::spawn(async move { shared.send_solana(&solana, &due).await });
        }
    }
}
