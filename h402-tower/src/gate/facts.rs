//! What the facilitator can do, and what it knows for payers: asked in the background, old answers kept while it does
//! not answer.

use super::layer::Shared;
use h402_core::{EvmAddress, Facilitator, Grants, Network, SolanaHints, Supported, SupportedKind, Undecided, UnixMillis};
use std::{
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::Notify, time::timeout};

/// How long an answer is good.
const FRESH: Duration = Duration::from_secs(300);
/// How long it is good where a 402 tells payers on Solana what is in it.
const HINTS_FRESH: Duration = Duration::from_secs(4);
/// How long payers are told a blockhash. It is of use for about a minute after the facilitator has read it, and the
/// payment must still be verified, served and settled.
const BLOCKHASH_TOLD: Duration = Duration::from_secs(20);
/// How soon to ask again after a failure.
const RETRY: Duration = Duration::from_secs(5);
/// How long one question may take.
const GIVE_UP: Duration = Duration::from_secs(10);
/// How long the first paid request waits for the first answer.
const PATIENCE: Duration = Duration::from_secs(2);
/// Open payments per payer and asset at a facilitator that reserves balances.
const RESERVED: u32 = 16;
/// And at one that does not, where every open payment could be the payer's last coin.
const UNRESERVED: u32 = 1;

#[derive(Debug, Default)]
pub(super) struct Facts {
    state: Mutex<State>,
    answered: Notify,
}

#[derive(Debug, Default)]
struct State {
    reserves: Option<bool>,
    /// What payers on Solana are told, network by network.
    hints: Vec<(Network, SolanaHints)>,
    /// Who settles scheme `upto`, network by network.
    facilitators: Vec<(Network, EvmAddress)>,
    /// When that was learnt.
    learnt_at: UnixMillis,
    /// Whether a 402 has told them since.
    told: bool,
    asking: bool,
    next_ask: UnixMillis,
    /// When to ask again if a 402 has told the hints.
    next_hints: UnixMillis,
}

impl Facts {
    /// Whether it is time to ask; if so, the caller does.
    fn is_due(&self, now: UnixMillis) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let due = !state.asking && (now >= state.next_ask || state.told && now >= state.next_hints);
        state.asking |= due;
        due
    }

    /// What a payer on this network is told. A blockhash that is too old is left out; who pays the fee is not, since that
    /// does not age.
    pub(super) fn hints(&self, network: Network, now: UnixMillis) -> Option<SolanaHints> {
        if !matches!(network, Network::Solana(_)) {
            return None;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.told = true;
        let (_, hints) = state.hints.iter().find(|(known, _)| *known == network)?;
        if now.since(state.learnt_at) > BLOCKHASH_TOLD {
            return Some(SolanaHints { blockhash: None, last_valid_block_height: None, ..*hints });
        }
        Some(*hints)
    }

    /// Who settles scheme `upto` on this network; none as long as that is not known.
    pub(super) fn facilitator(&self, network: Network) -> Option<EvmAddress> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.facilitators.iter().find(|(known, _)| *known == network).map(|(_, facilitator)| *facilitator)
    }

    fn learn(&self, answer: Result<Supported, Undecided>, now: UnixMillis) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.asking = false;
        (state.next_ask, state.next_hints) = (now.plus(RETRY), now.plus(RETRY));
        match answer {
            Ok(supported) => {
                state.reserves = Some(supported.reserves);
                state.hints = by_network(&supported.kinds);
                state.facilitators = supported.kinds.iter().filter_map(|kind| Some((kind.network, kind.facilitator?))).collect();
                (state.learnt_at, state.told) = (now, false);
                (state.next_ask, state.next_hints) = (now.plus(FRESH), now.plus(HINTS_FRESH));
            }
            Err(error) => tracing::warn!(%error, "facilitator does not say what it supports"),
        }
        drop(state);
        self.answered.notify_waiters();
    }

    /// Whether balances are reserved; not known yet is no.
    async fn reserves(&self) -> bool {
        let mut answered = pin!(self.answered.notified());
        // Listening must begin before looking, or an answer in between would be missed.
        answered.as_mut().enable();
        let (known, asking) = self.look();
        if known.is_none() && asking {
            let _known_or_late = timeout(PATIENCE, answered).await;
        }
        self.look().0.unwrap_or_default()
    }

    /// Whether it has said that it reserves balances: who does keeps books, and gives one caller one answer.
    pub(super) fn is_known_to_reserve(&self) -> bool {
        self.look().0.unwrap_or_default()
    }

    fn look(&self) -> (Option<bool>, bool) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        (state.reserves, state.asking)
    }
}

/// The hints of each network: of those that several dialects give, the one with a blockhash.
fn by_network(kinds: &[SupportedKind]) -> Vec<(Network, SolanaHints)> {
    let mut hints: Vec<_> = kinds.iter().filter_map(|kind| Some((kind.network, kind.solana?))).collect();
    hints.sort_by_key(|(_, hints)| hints.blockhash.is_none());
    hints
}

impl<F: Facilitator, G: Grants> Shared<F, G> {
    /// Asks again if it is time, without keeping anybody waiting.
    pub(super) fn refresh_facts(self: &Arc<Self>) {
        if !self.facts.is_due(self.now()) {
            return;
        }
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let gate = self.clone();
            // A failure is logged, and asked about again.
            runtime.spawn(async move { gate.ask_facts().await.ok() });
        } else {
            self.facts.learn(Err(Undecided::Busy), self.now());
        }
    }

    /// Asks now.
    pub(super) async fn ask_facts(&self) -> Result<(), Undecided> {
        let answer = timeout(GIVE_UP, self.facilitator.supported()).await.unwrap_or(Err(Undecided::Deadline));
        let outcome = answer.as_ref().map_err(Clone::clone).map(|_| ());
        self.facts.learn(answer, self.now());
        outcome
    }

    /// How many payments of one payer in one asset may be unsettled at once.
    pub(super) async fn max_unsettled(&self) -> u32 {
        if let Some(configured) = self.limits.max_unsettled {
            return configured;
        }
        if self.facts.reserves().await { RESERVED } else { UNRESERVED }
    }
}
