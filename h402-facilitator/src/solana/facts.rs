//! The facts of payments, those of many in one HTTP request.

use super::{
    Answer, Inner, SolanaChain, account,
    answer::{Answered, InBase64, Level, WireAccount, read},
    genesis_call,
    question::{Kind, Question, is_valid, simulation},
    sent,
};
use crate::{
    rpc::{Answerer, Call, Reach},
    window::{self, Reads, Share, Window},
};
use h402_core::{Checked, SolanaAddress, SolanaFacts, SolanaSimulation, Undecided};

/// What a cluster says about a payment, and when it said so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SolanaRead {
    /// The facts.
    pub facts: SolanaFacts,
    /// The slot that the accounts were read at.
    pub slot: u64,
    /// The confirmed block height.
    pub block_height: u64,
}

impl SolanaChain {
    /// What the cluster says about a payment now, confirmed.
    ///
    /// Shared: all payments that arrive while a read is under way go out together as one HTTP request of up to
    /// 16, as soon as that read is done.
    ///
    /// # Errors
    /// [`Undecided::WrongChain`] if the node is of another cluster, [`Undecided::Busy`] if 1024 payments wait
    /// already, otherwise whatever kept the answer away. A bad answer for one payment is not one for the others.
    ///
    /// # Cancel safety
    /// A payment whose future is dropped before its turn is not asked for.
    pub async fn facts(&self, payment: &Checked) -> Result<SolanaRead, Undecided> {
        self.facts_for(payment, Share::Anybody).await
    }

    /// The same, at a place of its own if it is promised.
    pub(crate) async fn facts_for(&self, payment: &Checked, share: Share) -> Result<SolanaRead, Undecided> {
        window::read(&self.inner, Question::of(payment, self.inner.genesis)?, share).await
    }
}

/// Payments in one HTTP request: with five accounts each they stay below the hundred that nodes take in a call.
const PER_REQUEST: usize = 16;
/// Calls in a request that are not about one payment: genesis hash, block height and accounts.
const SHARED_CALLS: usize = 3;

impl Reads for Inner {
    type Question = Question;
    type Facts = SolanaRead;

    fn window(&self) -> &Window<Question, SolanaRead> {
        &self.window
    }

    fn portion<'a>(&self, waiting: impl Iterator<Item = &'a Question>) -> usize {
        let mut left = self.rpc.max_calls().saturating_sub(SHARED_CALLS);
        let fitting = waiting.take(PER_REQUEST).take_while(|question| {
            let calls = question.calls().len();
            let fits = calls <= left;
            left = left.saturating_sub(calls);
            fits
        });
        fitting.count()
    }

    async fn read(&self, questions: &[Question]) -> Vec<Result<SolanaRead, Undecided>> {
        match self.read_all(questions).await {
            Ok(read) => read,
            Err(undecided) => questions.iter().map(|_| Err(undecided.clone())).collect(),
        }
    }
}

/// The accounts of a request, each once.
struct Accounts {
    addresses: Vec<SolanaAddress>,
    read: Vec<Option<WireAccount>>,
}

impl Accounts {
    fn get(&self, address: &SolanaAddress) -> Option<&WireAccount> {
        let at = self.addresses.iter().position(|known| known == address)?;
        self.read.get(at)?.as_ref()
    }
}

impl Inner {
    async fn read_all(&self, questions: &[Question]) -> Result<Vec<Result<SolanaRead, Undecided>>, Undecided> {
        let recent = account::recent_blockhashes().ok_or(Undecided::Chain)?;
        let mut addresses = vec![recent];
        for address in questions.iter().flat_map(Question::accounts) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        let named: Vec<String> = addresses.iter().map(ToString::to_string).collect();
        let mut calls = vec![
            genesis_call(),
            Call::new("getBlockHeight", &[Level::CONFIRMED]),
            Call::new("getMultipleAccounts", &(&named, InBase64::CONFIRMED)),
        ];
        let own: Vec<Vec<Call>> = questions.iter().map(Question::calls).collect();
        let lengths: Vec<usize> = own.iter().map(Vec::len).collect();
        calls.extend(own.into_iter().flatten());
        let (answers, answerer) = self.rpc.ask(&calls, Reach::UntilAnswered).await?;
        let mut answers = answers.into_iter();
        if self.genesis_of(answers.next(), answerer)? != self.genesis {
            self.rpc.distrust(answerer);
            return Err(Undecided::WrongChain);
        }
        let block_height: u64 = self.read_answer(answers.next(), answerer)?;
        let accounts: Answered<Vec<Option<WireAccount>>> = self.read_answer(answers.next(), answerer)?;
        let slot = accounts.context.slot;
        self.keeps_up(slot, answerer)?;
        if accounts.value.len() != addresses.len() {
            self.rpc.distrust(answerer);
            return Err(Undecided::Chain);
        }
        let accounts = Accounts { addresses, read: accounts.value };
        let Some(recent) = accounts.get(&recent) else { return Err(Undecided::Chain) };
        let mut reads = Vec::with_capacity(questions.len());
        for (question, length) in questions.iter().zip(lengths) {
            let own: Vec<Answer> = answers.by_ref().take(length).collect();
            let facts = self.facts_of(question, &accounts, recent, &own, answerer);
            reads.push(facts.map(|facts| SolanaRead { facts, slot, block_height }));
        }
        Ok(reads)
    }

    fn facts_of(
        &self,
        question: &Question,
        accounts: &Accounts,
        recent: &WireAccount,
        own: &[Answer],
        answerer: Answerer,
    ) -> Result<SolanaFacts, Undecided> {
        let lamports = |who: &SolanaAddress| accounts.get(who).map_or(0, |account| account.lamports);
        let token_account = |who: Option<SolanaAddress>| account::token_account(accounts.get(&who?)?);
        let (mint, destination) = question.token.unzip();
        let mut facts = SolanaFacts {
            genesis: self.genesis,
            blockhash_age: None,
            payer_lamports: lamports(&question.payer),
            fee_payer_lamports: question.fee_payer.as_ref().map(lamports),
            source: token_account(question.source()),
            destination: token_account(destination),
            mint: mint.and_then(|mint| account::mint(accounts.get(&mint)?)),
            simulation: None,
            sent: None,
        };
        match &question.kind {
            Kind::Signed { blockhash, .. } => {
                facts.blockhash_age = account::age_of(blockhash, recent);
                let [simulated, valid] = own else { return Err(Undecided::Chain) };
                // A hash of the newest blocks, which are not confirmed here yet, is no expired one.
                if facts.blockhash_age.is_none() && is_valid(valid)? {
                    return Err(Undecided::Chain);
                }
                facts.simulation = Some(self.simulation(simulated, answerer)?);
            }
            Kind::Sent { signature } => facts.sent = sent::facts(signature, own)?,
        }
        Ok(facts)
    }

    fn simulation(&self, answer: &Answer, answerer: Answerer) -> Result<SolanaSimulation, Undecided> {
        let simulated = simulation(answer);
        if simulated.is_err() {
            self.rpc.distrust(answerer);
        }
        simulated
    }
}

/// Whether an answer is that of a node which has never heard of what it was asked for.
pub(super) fn is_null(answer: &serde_json::value::RawValue) -> bool {
    read::<()>(answer).is_some()
}
