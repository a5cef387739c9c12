//! One cell: what a client pays for, and what it must not.

use super::{
    chains::{Chains, Person},
    middle::{Middle, Mode, Presented},
    parties::{Cannot, Cell},
    program::{Bought, Buyer, Server},
};
use crate::relay::Relay;
use std::sync::Arc;
use tokio::sync::RwLock;

/// What one answer costs, in the token's smallest unit.
const PRICE: u64 = 10_000;

/// A server that is paid.
pub(super) struct Shop {
    pub(super) url: String,
    pub(super) payee: Person,
    /// Its way to its facilitator.
    pub(super) relay: Arc<Relay>,
    /// Held by all who need the facilitator, and alone by whoever takes it away.
    pub(super) quiet: RwLock<()>,
    pub(super) _running: Running,
}

/// What serves it, until it is dropped.
pub(super) enum Running {
    Theirs { _server: Server },
    Ours { _shop: crate::shop::Shop },
}

/// What a cell showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Seen {
    /// The payment was made and the resource delivered; and then this.
    Works(Answers),
    /// Nobody was charged, as was to be expected.
    Cannot(Cannot),
}

/// What the gate answered where it was not paid, or not for the first time. `None` is a broken connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Answers {
    /// A payment of one unit less than the price.
    pub(super) less: Option<u16>,
    /// The good payment again.
    pub(super) again: Option<u16>,
    /// How often the handler ran for the good payment in all.
    pub(super) runs: u64,
    /// A good payment while the facilitator was away.
    pub(super) away: Option<u16>,
    /// The same once it was back.
    pub(super) back: Option<u16>,
}

/// What our gate answers, whoever asks: what it was paid for is given again, and an outage is nobody's fault.
const OURS: Answers = Answers { less: Some(402), again: Some(200), runs: 1, away: Some(503), back: Some(200) };

/// Plays a cell through.
pub(super) async fn run(cell: Cell, shop: Option<&Shop>, buyer: &Buyer, chains: &Chains) -> Result<Seen, String> {
    let Some(shop) = shop else {
        return cell.cannot().map(Seen::Cannot).ok_or_else(|| "the gate does not run".to_owned());
    };
    let middle = Middle::open(&shop.url).await;
    let name = format!("{}-{:?}-{:?}-{:?}", cell.chain.word(), cell.facilitator, cell.gate, cell.client);
    let payer = Person::named(&name);
    chains.fund(cell.chain, &payer).await;
    let play = Play { cell, shop, buyer, chains, middle, payer, path: format!("/{}?cell={name}", cell.chain.word()), name };
    match cell.cannot() {
        Some(why) => play.fails(why).await,
        None => play.works().await,
    }
}

struct Play<'a> {
    cell: Cell,
    shop: &'a Shop,
    buyer: &'a Buyer,
    chains: &'a Chains,
    middle: Middle,
    payer: Person,
    path: String,
    name: String,
}

/// What was there before something was done.
struct Before {
    payer: u64,
    payee: u64,
}

impl Play<'_> {
    async fn works(&self) -> Result<Seen, String> {
        let quiet = self.shop.quiet.read().await;
        let good = self.paid().await?;
        let less = self.less().await?;
        let again = self.again(&good).await?;
        let runs = self.served().await?;
        drop(quiet);
        let (away, back) = self.away().await?;
        let answers = Answers { less, again, runs, away, back };
        if self.cell.gate.is_ours() && answers != OURS {
            return Err(format!("our gate is to answer {OURS:?}, not {answers:?}"));
        }
        Ok(Seen::Works(answers))
    }

    /// Nothing may be charged by what cannot work.
    async fn fails(&self, why: Cannot) -> Result<Seen, String> {
        let quiet = self.shop.quiet.read().await;
        let before = self.before().await;
        let bought = self.buy().await?;
        drop(quiet);
        if bought.status == Some(200) {
            return Err(format!("works, although {}", why.reason()));
        }
        self.charged(&before, 0, "what cannot work").await?;
        Ok(Seen::Cannot(why))
    }

    /// A good payment.
    async fn paid(&self) -> Result<Presented, String> {
        let before = self.before().await;
        let bought = self.buy().await?;
        if bought.status != Some(200) {
            let said: Vec<String> = self.middle.presented().into_iter().map(|one| format!("{:?} {}", one.status, one.said)).collect();
            return Err(format!("no answer was bought, {bought}; the gate said {said:?}"));
        }
        let transaction = bought.transaction().ok_or_else(|| format!("no receipt, {bought}"))?;
        if !self.chains.succeeded(self.cell.chain, transaction).await {
            return Err(format!("the receipt's transaction is not on the chain: {transaction}"));
        }
        self.charged(&before, PRICE, "a good payment").await?;
        self.delivered(1).await?;
        self.one_presented()
    }

    /// One unit less than the price.
    async fn less(&self) -> Result<Option<u16>, String> {
        let before = self.before().await;
        self.middle.set(Mode::Less(1));
        let bought = self.buy().await;
        self.middle.set(Mode::Pass);
        let (bought, presented) = (bought?, self.one_presented()?);
        if bought.status == Some(200) || presented.status == Some(200) {
            return Err("one unit less than the price was enough".to_owned());
        }
        self.charged(&before, 0, "too little").await?;
        self.delivered(1).await?;
        Ok(presented.status)
    }

    /// What was paid is presented again.
    async fn again(&self, good: &Presented) -> Result<Option<u16>, String> {
        let before = self.before().await;
        let status = self.middle.again(good, &self.path).await;
        self.charged(&before, 0, "the same payment again").await?;
        Ok(status)
    }

    /// The facilitator is away when the payment comes, and back when it comes again.
    async fn away(&self) -> Result<(Option<u16>, Option<u16>), String> {
        let alone = self.shop.quiet.write().await;
        let (before, runs) = (self.before().await, self.served().await?);
        self.middle.set(Mode::Away(self.shop.relay.clone()));
        let bought = self.buy().await;
        self.middle.set(Mode::Pass);
        let (bought, presented) = (bought?, self.middle.presented());
        let first = presented.first().ok_or_else(|| format!("nothing was presented, {bought}"))?;
        if first.status == Some(200) {
            return Err("delivered without a facilitator".to_owned());
        }
        let back = match presented.get(1..).and_then(<[_]>::last) {
            // The client came back with it by itself.
            Some(last) => last.status,
            None => {
                self.charged(&before, 0, "a payment without a facilitator").await?;
                self.delivered(runs).await?;
                self.middle.again(first, &self.path).await
            }
        };
        drop(alone);
        let due = if back == Some(200) { PRICE } else { 0 };
        self.charged(&before, due, "the payment that the facilitator missed").await?;
        Ok((first.status, back))
    }

    async fn buy(&self) -> Result<Bought, String> {
        let chain = self.cell.chain;
        self.buyer.buy(&self.middle.url(&self.path), chain, &self.payer.key(chain)).await
    }

    fn one_presented(&self) -> Result<Presented, String> {
        let mut presented = self.middle.presented();
        match (presented.pop(), presented.len()) {
            (Some(one), 0) => Ok(one),
            (last, more) => Err(format!("presented {} payments", more + usize::from(last.is_some()))),
        }
    }

    async fn before(&self) -> Before {
        let chain = self.cell.chain;
        Before { payer: self.chains.balance(chain, &self.payer).await, payee: self.chains.balance(chain, &self.shop.payee).await }
    }

    /// Whether so much went from payer to payee, and nothing else.
    async fn charged(&self, before: &Before, due: u64, what: &str) -> Result<(), String> {
        let after = self.before().await;
        if (after.payer + due, after.payee) == (before.payer, before.payee + due) {
            return Ok(());
        }
        let (left, came) = (i128::from(before.payer) - i128::from(after.payer), i128::from(after.payee) - i128::from(before.payee));
        Err(format!("{what}: {left} left the payer and {came} came to the payee, {due} was due"))
    }

    /// How often the handler ran for this cell.
    async fn served(&self) -> Result<u64, String> {
        let request = http::Request::get(format!("{}/served?cell={}", self.shop.url, self.name));
        let (_, body) = crate::http::try_send(request.body(Default::default()).unwrap()).await.ok_or("the gate is gone")?;
        body.trim().parse().map_err(|_| format!("/served says {body:?}"))
    }

    async fn delivered(&self, times: u64) -> Result<(), String> {
        let runs = self.served().await?;
        if runs == times { Ok(()) } else { Err(format!("the handler ran {runs} times instead of {times}")) }
    }
}
