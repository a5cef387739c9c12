//! Says what must never be. It reads chain, ledger and grants as they are on disk, and what it counts itself, and asks
//! nothing of the system under test.

use super::{
    chain::Chain,
    scenario::{Fault, Route},
    token::{CHAIN_ID, Nonce, TOKEN},
    world::{World, lock},
};
use alloy_primitives::{Address, B256, U256};
use h402_core::{GrantState, PaymentId, PaymentKey, Settlement};
use http::{HeaderValue, Response, StatusCode};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// The most that is paid for gas, in wei per gas.
pub const MAX_FEE: u128 = 100_000_000_000;
pub const MAX_GAS: u64 = 150_000;
/// Signatures of one nonce: the first, and five bumps.
const MOST_HASHES: usize = 6;
/// For how many seconds a block counts as seen that a reorg has taken away: whoever has read it asks a slow node a few more
/// questions before acting on it. No evidence of a block is better than this; should both transactions be mined after all, the
/// token moves the money once, which is looked at in every block.
const LATELY: u64 = 30;
/// How long a hole in a wallet's nonces may last while nothing goes wrong.
const LONGEST_HOLE: Duration = Duration::from_secs(30);

#[derive(Default)]
pub struct Oracle {
    pub signed: BTreeMap<usize, Signed>,
    calls: BTreeMap<Nonce, usize>,
    runs: Vec<Run>,
    /// The runs whose answers have left a gate, by call.
    released: BTreeMap<usize, BTreeSet<usize>>,
    /// Calls that were served, and where.
    served: BTreeSet<(usize, usize, Route)>,
    /// Calls that were told that they are not paid, and not presented since.
    refused: BTreeMap<usize, String>,
    /// Requests to settle that a facilitator has not answered yet: the net may have repeated them, or somebody has given them up.
    on_the_way: BTreeMap<Nonce, usize>,
    /// Payments that were refused while such a request was.
    outrun: BTreeSet<Nonce>,
    /// Where the payment of a call was presented.
    pub presented: BTreeMap<usize, BTreeSet<(usize, Route)>>,
    verified: BTreeSet<Nonce>,
    broadcast: BTreeMap<Nonce, Vec<Broadcast>>,
    pub wallets: BTreeSet<Address>,
    hole_since: Option<Duration>,
    calm: bool,
}

/// What a payer has signed for a call.
#[derive(Debug, Clone)]
pub struct Signed {
    pub nonce: Nonce,
    pub value: U256,
    /// As it was sent, once it was.
    pub header: Option<HeaderValue>,
}

#[derive(Debug)]
struct Run {
    call: usize,
    route: Route,
    delivered: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Broadcast {
    wallet: Address,
    nonce: u64,
    hash: B256,
}

impl Oracle {
    pub fn signed(&mut self, call: usize, nonce: Nonce, value: U256) {
        self.calls.insert(nonce, call);
        self.signed.insert(call, Signed { nonce, value, header: None });
    }

    pub fn presented(&mut self, call: usize, shop: usize, route: Route, header: HeaderValue) {
        if let Some(signed) = self.signed.get_mut(&call) {
            signed.header = Some(header);
        }
        self.presented.entry(call).or_default().insert((shop, route));
        self.refused.remove(&call);
    }

    pub fn is_refused(&self, call: usize) -> bool {
        self.refused.contains_key(&call)
    }

    /// Runs of a call's handler so far.
    pub fn runs_of(&self, call: usize) -> usize {
        self.runs.iter().filter(|run| run.call == call).count()
    }

    pub fn verified(&mut self, nonce: Nonce) {
        self.verified.insert(nonce);
    }

    /// A request to settle reaches a facilitator, or ends there.
    pub fn on_the_way(&mut self, nonce: Nonce, begins: bool) {
        let count = self.on_the_way.entry(nonce).or_default();
        *count = if begins { *count + 1 } else { *count - 1 };
    }

    pub fn calm(&mut self) {
        self.calm = true;
        self.hole_since = None;
    }
}

/// The key under which both stores keep a payment.
pub fn key(nonce: Nonce) -> PaymentKey {
    PaymentId::Eip3009 { chain: CHAIN_ID, token: TOKEN, from: nonce.0, nonce: nonce.1 }.key()
}

/// A handler begins to run: I8, and I2 for the request that it serves. Returns the run's number.
pub fn begin_run(world: &World, call: usize, route: Route, shop: usize) -> usize {
    let mut oracle = lock(&world.oracle);
    let run = oracle.runs.len();
    oracle.runs.push(Run { call, route, delivered: false });
    world.tell(format_args!("run {run} of call {call} begins at shop {shop}{}", route.path()));
    let Some(signed) = oracle.signed.get(&call) else {
        return violate(world, "I8", format_args!("a handler runs for call {call}, for which nothing was signed"), run);
    };
    let state = lock(&world.books[shop]).find(&key(signed.nonce)).map(|grant| (grant.state, grant.flow));
    let paid = lock(&world.chain).ever_paid.contains_key(&signed.nonce);
    match state {
        Some((GrantState::Running, h402_core::Flow::Capture)) if oracle.verified.contains(&signed.nonce) => {}
        Some((GrantState::Owed | GrantState::Served, _)) if paid => {}
        state => {
            return violate(world, "I8", format_args!("a handler runs for call {call} whose grant is {state:?}, on chain: {paid}"), run);
        }
    }
    if oracle.runs.iter().any(|other| other.call == call && other.route != route) {
        return violate(world, "I2", format_args!("the payment of call {call} has opened two requests"), run);
    }
    run
}

fn violate(world: &World, invariant: &'static str, what: std::fmt::Arguments<'_>, run: usize) -> usize {
    world.violate(invariant, what);
    run
}

/// A handler has delivered: I1, as strictly as the faults of the seed allow.
pub fn end_run(world: &World, run: usize) {
    let mut oracle = lock(&world.oracle);
    oracle.runs[run].delivered = true;
    let call = oracle.runs[run].call;
    let delivered = oracle.runs.iter().filter(|run| run.call == call && run.delivered).count();
    // Whoever dies between the end of a handler and its record cannot know that it ran.
    let forgivable = [
        Fault::GateCrash,
        Fault::GateKill,
        Fault::ClientCrash,
        Fault::Disconnect,
        Fault::GrantsFail,
        Fault::GrantsSlow,
        Fault::HandlerSlow,
        Fault::LongAnswers,
        Fault::Thieves,
    ];
    if delivered > 1 && !forgivable.iter().any(|fault| world.scenario.faults.has(*fault)) {
        world.violate("I1", format_args!("call {call} was delivered by {delivered} runs"));
    }
}

/// An answer leaves a gate: I1, I6 and I9.
pub fn left(world: &World, call: usize, shop: usize, route: Route, answer: &Response<bytes::Bytes>) {
    let status = answer.status();
    let run = std::str::from_utf8(answer.body()).ok().and_then(|text| text.strip_prefix("run ")?.split(' ').next()?.parse::<usize>().ok());
    let said = String::from_utf8_lossy(&answer.body()[..answer.body().len().min(60)]).into_owned();
    world.tell(format_args!("call {call} is answered {status} by shop {shop}{}: {said}", route.path()));
    let mut oracle = lock(&world.oracle);
    let own = world.scenario.calls[call].shop == shop && world.scenario.calls[call].route == route;
    let before = oracle.released.get(&call).cloned().unwrap_or_default();
    if status.is_success() {
        let Some(run) = run else { return world.violate("I8", format_args!("call {call} was served without a handler")) };
        if oracle.runs[run].call != call || oracle.runs[run].route != route {
            world.violate("I2", format_args!("call {call} got the answer of another request, of run {run}"));
        }
        oracle.released.entry(call).or_default().insert(run);
        oracle.served.insert((call, shop, route));
        if before.iter().any(|known| *known != run) {
            world.violate("I1", format_args!("call {call} was served twice, by runs {before:?} and {run}"));
        }
    } else if oracle.served.contains(&(call, shop, route)) && !matches!(status, StatusCode::CONFLICT | StatusCode::SERVICE_UNAVAILABLE) {
        world.violate("I9", format_args!("call {call} was served, and is now told {status}"));
    }
    // A header that somebody else presents elsewhere may be used up there.
    let stolen = oracle.presented.get(&call).is_some_and(|places| places.len() > 1);
    if status == StatusCode::PAYMENT_REQUIRED && own && !stolen {
        oracle.refused.insert(call, format!("{status}"));
    }
}

/// The facilitator refuses to settle for good.
pub fn settle_refused(world: &World, nonce: Nonce, why: &str) {
    let mut oracle = lock(&world.oracle);
    if let Some(call) = oracle.calls.get(&nonce).copied() {
        world.tell(format_args!("settlement of call {call} is refused: {why}"));
        if oracle.on_the_way.get(&nonce).is_some_and(|count| *count > 0) {
            oracle.outrun.insert(nonce);
        }
        let presented = oracle.presented.get(&call).map_or(0, BTreeSet::len);
        if presented < 2 {
            oracle.refused.insert(call, why.to_owned());
        }
    }
}

/// A transaction reaches the node: I3, and that what is sent is stored.
pub fn sent(world: &World, raw: &[u8], refused: Option<&str>) {
    let Some(tx) = lock(&world.chain).decode(raw) else { return world.violate("I3", format_args!("what is sent is no transaction")) };
    world.tell(format_args!("{} nonce {} is sent: {}", tx.hash, tx.nonce, refused.unwrap_or("taken")));
    let mut oracle = lock(&world.oracle);
    if !oracle.wallets.contains(&tx.sender) {
        return;
    }
    if !lock(&world.ledger).has_transaction(tx.hash) {
        world.violate("I4", format_args!("{} is sent and not in the ledger", tx.hash));
    }
    let members = tx.authorizations();
    let most_gas = (MAX_GAS + MAX_GAS / 3) * (members.len().max(1) as u64) + 100_000;
    if tx.max_fee > MAX_FEE || tx.gas_limit > most_gas {
        world.violate("I7", format_args!("{} may cost {} gas at {}", tx.hash, tx.gas_limit, tx.max_fee));
    }
    let now = Broadcast { wallet: tx.sender, nonce: tx.nonce, hash: tx.hash };
    let chain = lock(&world.chain);
    let lately = world.now().seconds().0.saturating_sub(LATELY);
    for member in members {
        let known = oracle.broadcast.entry(member).or_default();
        if known.contains(&now) {
            continue;
        }
        // Another nonce only once it is certain that the one before has carried nothing: it is used up.
        let open = known.iter().find(|other| (other.wallet, other.nonce) != (now.wallet, now.nonce) && !is_used(&chain, other, lately));
        if let Some(open) = open {
            world.violate("I3", format_args!("{member:?} is sent as {now:?} while {open:?} may still be mined"));
        }
        known.push(now);
        if known.iter().filter(|other| other.nonce == now.nonce).count() > MOST_HASHES {
            world.violate("I3", format_args!("{member:?} was signed too often: {known:?}"));
        }
    }
}

/// Whether a nonce is used up, or was until lately.
fn is_used(chain: &Chain, broadcast: &Broadcast, lately: u64) -> bool {
    let was_used = chain.taken_back.get(&(broadcast.wallet, broadcast.nonce)).is_some_and(|at| *at >= lately);
    // One that a lagging node still shows unused is used all the same.
    was_used || chain.blocks.iter().any(|block| block.state.nonces.get(&broadcast.wallet).is_some_and(|next| *next > broadcast.nonce))
}

/// After every write of the ledger: I5.
pub fn after_write(world: &World) {
    let chain = lock(&world.chain);
    for row in lock(&world.ledger).payments.values() {
        let Settlement::Final { .. } = row.state else { continue };
        let nonce = nonce_of(row);
        let paid = chain.blocks.iter().any(|block| block.state.spent.contains(&nonce)) && chain.ever_paid.contains_key(&nonce);
        if !paid {
            world.violate("I5", format_args!("{nonce:?} is final and not on chain"));
        }
    }
}

fn nonce_of(row: &h402_core::PaymentRow) -> Nonce {
    (row.payer.evm().unwrap_or_default(), B256::from(row.nonce.unwrap_or_default()))
}

/// After every block: whatever can be seen from outside.
pub fn after_block(world: &World) {
    let chain = lock(&world.chain);
    let ledger = lock(&world.ledger);
    let paid = chain.paid();
    let mut oracle = lock(&world.oracle);
    let mut seen = BTreeSet::new();
    for paid in &paid {
        if !seen.insert(paid.nonce) {
            world.violate("I3", format_args!("{:?} is mined twice", paid.nonce));
        }
        if oracle.wallets.contains(&paid.sender) {
            let row = ledger.find(&key(paid.nonce));
            if row.is_none_or(|row| !ledger.has_transaction(paid.carrier) || row.amount.to_u256() > paid.value) {
                world.violate("I4", format_args!("{paid:?} has no row, or one of more"));
            }
        }
        let Some(call) = oracle.calls.get(&paid.nonce).copied() else { continue };
        let sent = oracle.broadcast.get(&paid.nonce);
        if sent.is_some_and(|sent| sent.iter().any(|sent| chain.taken_back.contains_key(&(sent.wallet, sent.nonce)))) {
            // The block that showed it failing was as deep as the operator asks for, and a reorg has taken it away all the same.
            // Its payer sees the charge and comes back with it, and must be served then: I11 looks at that in the end.
            oracle.refused.remove(&call);
        }
        if oracle.outrun.contains(&paid.nonce) {
            // Nothing is stored of a refusal before the claim, so another copy of the same request was taken on after it. Its
            // payer comes back with the charge, too.
            oracle.refused.remove(&call);
        }
        if let Some(why) = oracle.refused.get(&call) {
            world.violate("I6", format_args!("{paid:?} is mined after its payer was told: {why}"));
        }
    }
    for books in &world.books {
        if let Some((payment, requests)) = lock(books).opened.iter().find(|(_, requests)| requests.len() > 1) {
            world.violate("I2", format_args!("{payment} was granted for {} requests", requests.len()));
        }
    }
    let wallets: Vec<Address> = oracle.wallets.iter().copied().collect();
    let hole = wallets.into_iter().find_map(|wallet| hole(&chain, wallet));
    match (hole, oracle.hole_since) {
        (None, _) => oracle.hole_since = None,
        (Some(_), None) => oracle.hole_since = Some(world.elapsed()),
        (Some(nonce), Some(since)) if oracle.calm && world.elapsed() - since > LONGEST_HOLE => {
            world.violate("I10", format_args!("nonce {nonce} is missing since {since:?}"));
        }
        (Some(_), Some(_)) => {}
    }
}

/// A nonce that later ones wait for.
fn hole(chain: &Chain, wallet: Address) -> Option<u64> {
    let next = chain.head().state.nonces.get(&wallet).copied().unwrap_or_default();
    let waits = chain.pool.keys().any(|(sender, nonce)| *sender == wallet && *nonce > next);
    (waits && !chain.pool.contains_key(&(wallet, next))).then_some(next)
}

/// What is not over yet: payments that are open, and wallets whose signed nonces are not all mined.
pub fn unfinished(world: &World) -> Vec<String> {
    let mut unfinished = unmined(world);
    let ledger = lock(&world.ledger);
    let open = ledger.payments.values().filter(|row| row.state.is_open());
    unfinished.extend(open.map(|row| format!("{} {:?}", row.key, row.state)));
    unfinished
}

/// Wallets whose signed nonces are not all mined.
fn unmined(world: &World) -> Vec<String> {
    let (chain, ledger, oracle) = (lock(&world.chain), lock(&world.ledger), lock(&world.oracle));
    let mut open = Vec::new();
    for wallet in &oracle.wallets {
        let mined = chain.head().state.nonces.get(wallet).copied().unwrap_or_default();
        let signed = ledger.transactions.iter().filter(|row| row.sender == *wallet).map(|row| row.nonce + 1).max().unwrap_or_default();
        if mined != signed {
            open.push(format!("{wallet}: {signed} nonces are signed, {mined} mined"));
        }
    }
    open
}

/// At the end, when nothing is left to do: I6, I10, I11 and I12.
pub fn at_the_end(world: &World) {
    for wallet in unmined(world) {
        world.violate("I10", format_args!("{wallet}"));
    }
    let chain = lock(&world.chain);
    let ledger = lock(&world.ledger);
    let oracle = lock(&world.oracle);
    let paid: BTreeMap<Nonce, U256> = chain.paid().into_iter().map(|paid| (paid.nonce, paid.value)).collect();
    for row in ledger.payments.values() {
        let on_chain = paid.get(&nonce_of(row)).is_some_and(|value| *value >= row.amount.to_u256());
        if row.state.is_open() || row.state.is_settled() != on_chain {
            world.violate("I12", format_args!("{} ends as {:?}; on chain: {on_chain}", row.key, row.state));
        }
    }
    // What a reorg took away and its payer then made impossible is the debt that accept_depth allows for.
    let debt = |nonce: &Nonce| chain.reorged_out.contains_key(nonce) && !paid.contains_key(nonce);
    let mut charged: BTreeMap<Nonce, U256> = BTreeMap::new();
    for (call, signed) in &oracle.signed {
        for (shop, books) in world.books.iter().enumerate() {
            let Some(grant) = lock(books).find(&key(signed.nonce)).cloned() else { continue };
            let is_charged = matches!(grant.state, GrantState::Served | GrantState::Owed | GrantState::Credited);
            if is_charged && !debt(&signed.nonce) && charged.insert(signed.nonce, grant.amount.to_u256()).is_some() {
                world.violate("I11", format_args!("call {call} is charged at two shops, the last of them {shop}"));
            }
            // A refusal that could not be recorded is told again by the facilitator, should anybody ask.
            if matches!(grant.state, GrantState::Settling) && !oracle.refused.contains_key(call) {
                world.violate("I12", format_args!("call {call} is still {:?} at shop {shop}", grant.state));
            }
        }
    }
    if charged != paid {
        world.violate("I11", format_args!("charged {charged:?}, on chain {paid:?}"));
    }
}
