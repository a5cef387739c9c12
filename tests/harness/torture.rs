//! `kill -9` under load, over and over: a facilitator and a shop in processes of their own, payers who present the same
//! payment until its outcome is known, and at the end of every round a comparison of all that can be compared.

mod audit;

use crate::{
    dice::Dice,
    market::{Kind, Market},
    process::{Place, Process, ProcessOptions},
    raw::{Ask, Line, Reply},
    relay::Relay,
    rig::Folder,
    shop::{
        header, is_wait,
        process::{Counter, ShopProcess, ShopSetup, buy},
    },
};
use h402_core::PaymentPayload;
use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

/// Kills in one round, which has a chain, a ledger and payers of its own.
const ROUND: u64 = 50;
/// Payers at work at once.
const WORKERS: usize = 16;
/// Accounts that they pay from.
const PAYERS: usize = 6;
/// How long a payment may go without an outcome while processes die, and after the last one did.
const PATIENCE: Duration = Duration::from_secs(120);

/// The two programs that are killed.
pub struct Programs<'a> {
    /// `facilitator-under-test`.
    pub facilitator: &'a str,
    /// `shop-under-test`.
    pub shop: &'a str,
}

/// What became of it all.
#[derive(Debug, Default)]
pub struct Tally {
    /// Processes that were killed.
    pub kills: u64,
    /// Payments that were made.
    pub payments: usize,
    /// Of them, not charged and said to be so.
    pub unpaid: usize,
    /// Of them, charged and credited after three processes died over them.
    pub credits: usize,
    /// Charged and not served, served and not charged, or left open for ever.
    pub lost: usize,
    /// Charged or served twice.
    pub double: usize,
    /// Told one thing and then another, or something that the chain denies.
    pub contradicted: usize,
    /// What was found, in words.
    pub findings: Vec<String>,
}

impl Tally {
    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.lost + self.double + self.contradicted == 0
    }

    fn add(&mut self, other: Self) {
        self.kills += other.kills;
        self.payments += other.payments;
        self.unpaid += other.unpaid;
        self.credits += other.credits;
        self.lost += other.lost;
        self.double += other.double;
        self.contradicted += other.contradicted;
        self.findings.extend(other.findings);
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, payments, unpaid, credits, lost, double, contradicted, .. } = self;
        write!(f, "{kills} kills, {payments} payments, {unpaid} not charged, {credits} credits: ")?;
        write!(f, "{lost} lost, {double} double, {contradicted} contradicted")
    }
}

/// Kills so often, in rounds that take a chain of each kind in turn.
pub async fn run(programs: &Programs<'_>, kills: u64, dice: &mut Dice, mut after_round: impl FnMut(&Tally)) -> Tally {
    let mut tally = Tally::default();
    for number in 0.. {
        let left = kills.saturating_sub(tally.kills);
        if left == 0 {
            break;
        }
        let kind = if number % 2 == 0 { Kind::Authorization } else { Kind::SolanaSigned };
        let market = Market::of(kind).await;
        tally.add(round(programs, market, left.min(ROUND).min(kills.div_ceil(2)), dice).await);
        after_round(&tally);
    }
    tally
}

/// What payers and processes share.
struct Street {
    market: Market,
    counter: Counter,
    /// Where the shop listens now.
    shop: Mutex<SocketAddr>,
    /// Whether payers begin nothing new.
    closing: AtomicBool,
}

impl Street {
    /// Asks the shop once; `None` if it is away or ends before it has answered.
    async fn ask(&self, ask: &Ask) -> Option<Reply> {
        let shop = *self.shop.lock().unwrap();
        Line::try_open(shop).await?.ask(ask).await.filter(|reply| reply.whole)
    }

    /// Asks with the same payment until the answer does not tell to wait; `None` if that takes too long.
    async fn until_decided(&self, ask: &Ask) -> Option<Reply> {
        let decided = async {
            loop {
                match self.ask(ask).await {
                    Some(reply) if !is_wait(&reply) => return reply,
                    _ => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        };
        tokio::time::timeout(PATIENCE, decided).await.ok()
    }
}

/// A payment, and what it is known by.
struct Purchase {
    payment: PaymentPayload,
    key: String,
    ask: Ask,
}

impl Purchase {
    /// A fresh one, settled before or after the handler in turn; on Solana, with a fee that is the payer's or ours.
    async fn new(market: &Market, worker: usize, number: usize) -> Self {
        let kind = match market {
            Market::Evm { .. } => Kind::Authorization,
            Market::Solana { .. } if number.is_multiple_of(3) => Kind::SolanaSponsored,
            Market::Solana { .. } => Kind::SolanaSigned,
        };
        let payment = market.payment(kind, worker % PAYERS, "").await;
        let upfront = (worker + number).is_multiple_of(2);
        Self { key: market.key(&payment), ask: buy(upfront, &header(&payment)), payment }
    }
}

/// A payment and every final answer that was given for it.
struct Bought {
    purchase: Purchase,
    told: Vec<Reply>,
}

async fn round(programs: &Programs<'_>, market: Market, kills: u64, dice: &mut Dice) -> Tally {
    let (ledger, grants) = (Folder::new(), Folder::new());
    let mut facilitator = Some(start_facilitator(programs, &market, &ledger).await);
    let relay = Relay::open(facilitator.as_ref().map(|process| address(&process.url))).await;
    let url = relay.url();
    let street = Street { market, counter: Counter::open().await, shop: Mutex::new(relay.address), closing: AtomicBool::new(false) };
    let street = Arc::new(street);
    let setup = ShopSetup {
        facilitator: &url,
        asset: street.market.asset(),
        pay_to: street.market.payee(),
        grants: grants.path().join("grants.sqlite"),
        chaos: None,
    };
    let open_shop = async || {
        let shop = ShopProcess::start(programs.shop, &street.counter, &setup).await;
        *street.shop.lock().unwrap() = shop.address;
        shop
    };
    let mut shop = Some(open_shop().await);
    let payers: Vec<_> = (0..WORKERS).map(|worker| tokio::spawn(keep_buying(street.clone(), worker, dice.split()))).collect();
    let mut killed = 0;
    while killed < kills {
        // Mostly so soon that a start is under way; now and then late enough for everything to be done.
        let pause = if dice.roll(8) == 0 { 400 + dice.roll(800) } else { dice.roll(250) };
        tokio::time::sleep(Duration::from_millis(pause)).await;
        let victims = dice.roll(5);
        if victims != 1
            && victims != 2
            && let Some(process) = facilitator.take()
        {
            relay.lead_to(None);
            process.killed().await;
            killed += 1;
        }
        if victims > 1
            && killed < kills
            && let Some(process) = shop.take()
        {
            process.killed().await;
            killed += 1;
        }
        if facilitator.is_none() {
            let process = start_facilitator(programs, &street.market, &ledger).await;
            relay.lead_to(Some(address(&process.url)));
            facilitator = Some(process);
        }
        if shop.is_none() {
            shop = Some(open_shop().await);
        }
    }
    street.closing.store(true, Ordering::SeqCst);
    let mut bought = Vec::new();
    for payer in payers {
        bought.extend(payer.await.unwrap());
    }
    let facilitator = facilitator.expect("it was started again");
    facilitator.until_ready().await;
    let mut tally = audit::audit(&street, &facilitator, &bought).await;
    tally.kills = killed;
    tally
}

async fn start_facilitator(programs: &Programs<'_>, market: &Market, ledger: &Folder) -> Process {
    let (network, rpc, key) = market.place();
    let place = Place { network: &network, assets: r#"["USDC"]"#, rpc: &rpc, key: &key };
    Process::start_on(programs.facilitator, ledger, &place, &ProcessOptions::default()).await
}

/// Where a URL leads.
fn address(url: &str) -> SocketAddr {
    url.trim_start_matches("http://").parse().unwrap()
}

/// Buys one thing after the other, and now and then asks for one once more.
async fn keep_buying(street: Arc<Street>, worker: usize, mut dice: Dice) -> Vec<Bought> {
    let mut bought = Vec::new();
    while !street.closing.load(Ordering::SeqCst) {
        let purchase = Purchase::new(&street.market, worker, bought.len()).await;
        let mut told = Vec::new();
        let times = if dice.roll(4) == 0 { 2 } else { 1 };
        for _ in 0..times {
            told.extend(street.until_decided(&purchase.ask).await);
        }
        bought.push(Bought { purchase, told });
    }
    bought
}
