//! The window at which payments wait for their facts: whoever comes while it is busy shares the next read.

use futures_util::future::join_all;
use h402_core::Undecided;
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::oneshot;

/// Payments that may wait, of each share: as many as are settled at once by default, since one block may end all of them, and
/// all their callers come again.
pub(crate) const MAX_WAITING: usize = 1024;

/// Whose questions those are. However many strangers ask, what is promised has places of its own, and comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Share {
    /// Anybody's.
    Anybody,
    /// A payment that was verified here a moment ago and is to be settled: a handler may have run for it.
    Promised,
}

/// What reads the facts of several payments in one HTTP request.
pub(crate) trait Reads: Send + Sync + 'static {
    /// All that is asked about one payment.
    type Question: Send + Sync + 'static;
    /// What is answered.
    type Facts: Send + 'static;

    /// Where payments wait.
    fn window(&self) -> &Window<Self::Question, Self::Facts>;

    /// How many of those that wait fit into one request, the first ones.
    fn portion<'a>(&self, waiting: impl Iterator<Item = &'a Self::Question>) -> usize;

    /// Asks all questions in one HTTP request.
    fn read(&self, questions: &[Self::Question]) -> impl Future<Output = Vec<Result<Self::Facts, Undecided>>> + Send;
}

/// The facts of one payment, read together with those of others that arrive while a read is under way.
pub(crate) async fn read<R: Reads>(reader: &Arc<R>, question: R::Question, share: Share) -> Result<R::Facts, Undecided> {
    let entered = reader.window().enter(question, share)?;
    if entered.must_read {
        tokio::spawn(read_until_empty(reader.clone()));
    }
    entered.facts.await.unwrap_or(Err(Undecided::ShuttingDown))
}

pub(crate) struct Window<Q, F>(Mutex<Queue<Q, F>>);

impl<Q, F> Default for Window<Q, F> {
    fn default() -> Self {
        Self(Mutex::new(Queue { waiting: VecDeque::new(), is_read: false }))
    }
}

struct Queue<Q, F> {
    waiting: VecDeque<Waiting<Q, F>>,
    /// Whether somebody reads for those who wait.
    is_read: bool,
}

impl<Q, F> Queue<Q, F> {
    fn of(&self, share: Share) -> usize {
        self.waiting.iter().filter(|waiting| waiting.share == share).count()
    }
}

struct Waiting<Q, F> {
    question: Q,
    share: Share,
    answer: oneshot::Sender<Result<F, Undecided>>,
}

/// A place in the queue.
struct Entered<F> {
    /// Where the answer comes.
    facts: oneshot::Receiver<Result<F, Undecided>>,
    /// Whether nobody reads yet, so that whoever entered has to start it.
    must_read: bool,
}

impl<Q, F> Window<Q, F> {
    /// Queues a question.
    fn enter(&self, question: Q, share: Share) -> Result<Entered<F>, Undecided> {
        let mut queue = self.queue();
        if queue.of(share) >= MAX_WAITING {
            queue.waiting.retain(|waiting| !waiting.answer.is_closed());
            if queue.of(share) >= MAX_WAITING {
                return Err(Undecided::Busy);
            }
        }
        let (answer, facts) = oneshot::channel();
        queue.waiting.push_back(Waiting { question, share, answer });
        Ok(Entered { facts, must_read: !std::mem::replace(&mut queue.is_read, true) })
    }

    /// Takes all who wait and have not gone away; when there are none, the reader is done.
    fn take(&self) -> Vec<Waiting<Q, F>> {
        let mut queue = self.queue();
        let mut taken = Vec::from(std::mem::take(&mut queue.waiting));
        taken.retain(|waiting| !waiting.answer.is_closed());
        // In their order otherwise.
        taken.sort_by_key(|waiting| waiting.share == Share::Anybody);
        queue.is_read = !taken.is_empty();
        taken
    }

    /// Returns when this many wait.
    #[cfg(test)]
    pub(crate) async fn waits_for(&self, count: usize) {
        while self.queue().waiting.len() < count {
            tokio::task::yield_now().await;
        }
    }

    fn queue(&self) -> MutexGuard<'_, Queue<Q, F>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets the next who enters start over if the reader is stopped in the middle, as at the end of its runtime.
struct Reader<'a, Q, F>(&'a Window<Q, F>);

impl<Q, F> Drop for Reader<'_, Q, F> {
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        if std::mem::take(&mut queue.is_read) {
            // Nobody will read for those who wait: without their senders they learn it.
            queue.waiting.clear();
        }
    }
}

/// Reads for those who wait, until nobody does.
async fn read_until_empty<R: Reads>(chain: Arc<R>) {
    let reader = Reader(chain.window());
    loop {
        let mut taken = chain.window().take();
        if taken.is_empty() {
            // From here on it may be somebody else's turn already.
            std::mem::forget(reader);
            return;
        }
        let mut requests = Vec::new();
        while !taken.is_empty() {
            let portion = chain.portion(taken.iter().map(|waiting| &waiting.question)).clamp(1, taken.len());
            let rest = taken.split_off(portion);
            requests.push(read_together(&*chain, std::mem::replace(&mut taken, rest)));
        }
        join_all(requests).await;
    }
}

async fn read_together<R: Reads>(chain: &R, taken: Vec<Waiting<R::Question, R::Facts>>) {
    let (questions, answers): (Vec<_>, Vec<_>) = taken.into_iter().map(|waiting| (waiting.question, waiting.answer)).unzip();
    for (answer, facts) in answers.into_iter().zip(chain.read(&questions).await) {
        // Whoever went away meanwhile needs no answer.
        drop(answer.send(facts));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T160: strangers fill their own places only, and what is promised goes first.
    #[test]
    fn t160_what_is_promised_waits_behind_no_stranger() {
        let window = Window::<usize, ()>::default();
        let mut waiting: Vec<_> = (0..MAX_WAITING).map(|one| window.enter(one, Share::Anybody).unwrap()).collect();
        assert!(matches!(window.enter(0, Share::Anybody), Err(Undecided::Busy)));
        waiting.extend((0..MAX_WAITING).map(|one| window.enter(1000 + one, Share::Promised).unwrap()));
        assert!(matches!(window.enter(0, Share::Promised), Err(Undecided::Busy)));
        let taken: Vec<usize> = window.take().into_iter().map(|waiting| waiting.question).collect();
        let promised = 1000..1000 + MAX_WAITING;
        assert_eq!(taken, promised.chain(0..MAX_WAITING).collect::<Vec<_>>(), "each in the order they came");
    }
}
