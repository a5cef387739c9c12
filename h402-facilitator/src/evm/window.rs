//! The window at which payments wait for their facts: whoever comes while it is busy shares the next read.

use super::{Inner, plan::Plan, question::Question};
use futures_util::future::join_all;
use h402_core::{EvmFacts, Undecided};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::oneshot;

/// Payments in one HTTP request, if the node takes so many calls.
const PER_REQUEST: usize = 32;
/// Payments that may wait.
const MAX_WAITING: usize = 256;

type Answer = Result<EvmFacts, Undecided>;

#[derive(Default)]
pub(super) struct Window(Mutex<Queue>);

#[derive(Default)]
struct Queue {
    waiting: VecDeque<Waiting>,
    /// Whether somebody reads for those who wait.
    is_read: bool,
}

struct Waiting {
    question: Question,
    answer: oneshot::Sender<Answer>,
}

/// A place in the queue.
pub(super) struct Entered {
    /// Where the answer comes.
    pub(super) facts: oneshot::Receiver<Answer>,
    /// Whether nobody reads yet, so that whoever entered has to start it.
    pub(super) must_read: bool,
}

impl Window {
    /// Queues a question.
    pub(super) fn enter(&self, question: Question) -> Result<Entered, Undecided> {
        let mut queue = self.queue();
        if queue.waiting.len() >= MAX_WAITING {
            queue.waiting.retain(|waiting| !waiting.answer.is_closed());
            if queue.waiting.len() >= MAX_WAITING {
                return Err(Undecided::Busy);
            }
        }
        let (answer, facts) = oneshot::channel();
        queue.waiting.push_back(Waiting { question, answer });
        Ok(Entered { facts, must_read: !std::mem::replace(&mut queue.is_read, true) })
    }

    /// Takes all who wait and have not gone away; when there are none, the reader is done.
    fn take(&self) -> Vec<Waiting> {
        let mut queue = self.queue();
        let mut taken = Vec::from(std::mem::take(&mut queue.waiting));
        taken.retain(|waiting| !waiting.answer.is_closed());
        queue.is_read = !taken.is_empty();
        taken
    }

    /// Returns when this many wait.
    #[cfg(test)]
    pub(super) async fn waits_for(&self, count: usize) {
        while self.queue().waiting.len() < count {
            tokio::task::yield_now().await;
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets the next who enters start over if the reader is stopped in the middle, as at the end of its runtime.
struct Reader<'a>(&'a Window);

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        if std::mem::take(&mut queue.is_read) {
            // Nobody will read for those who wait: without their senders they learn it.
            queue.waiting.clear();
        }
    }
}

/// Reads for those who wait, until nobody does.
pub(super) async fn read_until_empty(chain: Arc<Inner>) {
    let reader = Reader(&chain.window);
    loop {
        let mut taken = chain.window.take();
        if taken.is_empty() {
            // From here on it may be somebody else's turn already.
            std::mem::forget(reader);
            return;
        }
        let mut requests = Vec::new();
        while !taken.is_empty() {
            let rest = taken.split_off(portion(&taken, chain.rpc.max_calls(), chain.multicall3.is_some()));
            requests.push(read_together(&chain, std::mem::replace(&mut taken, rest)));
        }
        join_all(requests).await;
    }
}

/// How many of those who wait fit into one request: one at least.
fn portion(waiting: &[Waiting], max_calls: usize, multicall: bool) -> usize {
    let mut left = max_calls.saturating_sub(Plan::SHARED_CALLS);
    let fitting = waiting.iter().take(PER_REQUEST).take_while(|waiting| {
        let calls = waiting.question.calls(multicall);
        let fits = calls <= left;
        left = left.saturating_sub(calls);
        fits
    });
    fitting.count().max(1).min(waiting.len())
}

async fn read_together(chain: &Inner, taken: Vec<Waiting>) {
    let (questions, answers): (Vec<_>, Vec<_>) = taken.into_iter().map(|waiting| (waiting.question, waiting.answer)).unzip();
    for (answer, facts) in answers.into_iter().zip(chain.read_facts(&questions).await) {
        // Whoever went away meanwhile needs no answer.
        drop(answer.send(facts));
    }
}
