//! A recent blockhash for payers, kept fresh in the background while somebody asks for it.

use super::{
    Inner, SolanaChain,
    answer::{Answered, Base58, Level},
};
use crate::rpc::Call;
use h402_core::Undecided;
use serde::Deserialize;
use std::{
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

/// A recent blockhash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockhashHint {
    /// The hash.
    pub blockhash: [u8; 32],
    /// The block height until which a transaction with it can land.
    pub last_valid_block_height: u64,
}

/// Older than this it is read again.
const FRESH: Duration = Duration::from_secs(2);
/// Older than this it is no help any more: a payer needs most of its 150 blocks, about a minute.
const GOOD: Duration = Duration::from_secs(15);
/// How long the reading is waited for if none is known.
const PATIENCE: Duration = Duration::from_millis(500);

#[derive(Default)]
pub(super) struct Kept {
    known: Mutex<Option<(BlockhashHint, Instant)>>,
    is_read: AtomicBool,
    /// A reading has ended.
    done: Notify,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Latest {
    blockhash: Base58<32>,
    last_valid_block_height: u64,
}

/// Lets the next who asks read again, also if the reader is stopped in the middle.
struct Reading(Arc<Inner>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.hint.is_read.store(false, Ordering::Release);
        self.0.hint.done.notify_waiters();
    }
}

impl SolanaChain {
    /// A recent blockhash, if one is known. Waits for nothing: whoever asks causes the next to be read in the
    /// background, so that somebody who asks again soon gets a fresh one. Must be called inside a tokio runtime.
    #[must_use]
    pub fn hint(&self) -> Option<BlockhashHint> {
        let known = self.inner.hint.known();
        if known.is_none_or(|(_, read)| read.elapsed() >= FRESH) && !self.inner.hint.is_read.swap(true, Ordering::AcqRel) {
            let reading = Reading(self.inner.clone());
            tokio::spawn(async move {
                if let Err(error) = reading.0.read_hint().await {
                    tracing::debug!(%error, "could not read a recent blockhash");
                }
            });
        }
        known.filter(Kept::is_good).map(|(hint, _)| hint)
    }

    /// As [`SolanaChain::hint`], but if none is known, the one that is read then, within half a second: whoever asks
    /// after a quiet hour needs one, too.
    ///
    /// # Cancel safety
    /// May be dropped at any time.
    pub async fn hint_soon(&self) -> Option<BlockhashHint> {
        let mut done = pin!(self.inner.hint.done.notified());
        // Listening must begin before the reading does, or its end could be missed.
        done.as_mut().enable();
        if let Some(hint) = self.hint() {
            return Some(hint);
        }
        let _read_or_late = timeout(PATIENCE, done).await;
        self.inner.hint.known().filter(Kept::is_good).map(|(hint, _)| hint)
    }
}

impl Kept {
    fn known(&self) -> Option<(BlockhashHint, Instant)> {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_good((_, read): &(BlockhashHint, Instant)) -> bool {
        read.elapsed() < GOOD
    }
}

impl Inner {
    pub(super) async fn read_hint(&self) -> Result<(), Undecided> {
        let asked = Instant::now();
        let (mut answers, answerer) = self.ask([Call::new("getLatestBlockhash", &[Level::CONFIRMED])]).await?;
        let Answered { value: Latest { blockhash, last_valid_block_height }, context } = self.read_answer(answers.pop(), answerer)?;
        self.keeps_up(context.slot, answerer)?;
        let hint = BlockhashHint { blockhash: blockhash.0, last_valid_block_height };
        *self.hint.known.lock().unwrap_or_else(PoisonError::into_inner) = Some((hint, asked));
        Ok(())
    }
}
