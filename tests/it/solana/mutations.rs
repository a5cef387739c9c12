//! A hundred thousand payments bent by chance. What is accepted without a chain is run on one, and what the chain says
//! was moved is held against the price: the balances are LiteSVM's, and none of our decoding is asked about them.

use super::bend::{Coin, World, at, bend_bytes, signed_blindly};
use h402_core::{
    Address, AllowedExtensions, Amount, Asset, CheckPolicy, Checked, Dialect, Matched, MintFacts, Network, Offer, Offers, Payload,
    PaymentPayload, Proof, Reject, Resource, Scheme, SignedSolanaTransaction, SolanaAddress, SolanaFacts, SolanaPolicy, SolanaSimulation,
    TokenAccountFacts, TokenProgram, UnixMillis, UnixSeconds, VerifyError, asset_id,
    solana::{SolanaPayment, SolanaTransaction, cosign},
};
use h402_devnet::solana::{BlockTime, MintConfig, Pubkey, SolanaChain, SolanaConfig};
use h402_tests::{
    cluster::{self, PAYEE, PAYER, SPONSOR, network, pubkey},
    dice::Dice,
};
use solana_transaction::versioned::VersionedTransaction;
use std::{collections::BTreeMap, sync::Arc};

/// Cases in all, of which each round has a part on a chain of its own.
const CASES: usize = 100_000;
const ROUNDS: usize = 10;
/// In the smallest unit of any coin.
const PRICE: u64 = 10_000;
/// One of so many refused transactions is run all the same, with the sponsor's signature, on a chain of its own.
const SAMPLE: u64 = 8;
/// Below this much of a coin the payer gets more.
const LOW: u64 = 100 * PRICE;
const RICH: u64 = 1_000_000_000_000;

/// Refusals of which there must be many.
const WORDS: [&str; 13] = [
    "invalid_exact_solana_payload_authorization_value",
    "invalid_exact_solana_payload_recipient_mismatch",
    "invalid_exact_solana_payload_signature",
    "solana_compute_budget",
    "solana_durable_nonce",
    "solana_fee_payer_used",
    "solana_instruction",
    "solana_lookup_tables",
    "solana_no_transfer",
    "solana_signer_set",
    "solana_two_transfers",
    "solana_undecodable",
    "unsupported_asset",
];

/// What became of the cases.
#[derive(Debug, Default)]
struct Counts {
    /// By word of the refusal.
    refused: BTreeMap<&'static str, usize>,
    /// Honest payments, by coin and whether they are sponsored: all of them were accepted and landed.
    honest: BTreeMap<(usize, bool), usize>,
    /// Bent payments that were accepted, by coin.
    bent: BTreeMap<usize, usize>,
    /// Accepted payments that landed and paid, that failed on chain, and that could not land at all.
    paid: usize,
    failed: usize,
    lost: usize,
    /// Payments that the facts of the chain make a facilitator accept, too.
    judged: usize,
    /// Refused transactions that were run: all, those that took something from the sponsor, and those that went well and
    /// paid the payee less than the price.
    sampled: usize,
    drains: usize,
    cheats: usize,
}

impl Counts {
    fn add(&mut self, other: Self) {
        other.refused.into_iter().for_each(|(word, count)| *self.refused.entry(word).or_default() += count);
        other.honest.into_iter().for_each(|(kind, count)| *self.honest.entry(kind).or_default() += count);
        other.bent.into_iter().for_each(|(coin, count)| *self.bent.entry(coin).or_default() += count);
        for (sum, more) in [
            (&mut self.paid, other.paid),
            (&mut self.failed, other.failed),
            (&mut self.lost, other.lost),
            (&mut self.judged, other.judged),
            (&mut self.sampled, other.sampled),
            (&mut self.drains, other.drains),
            (&mut self.cheats, other.cheats),
        ] {
            *sum += more;
        }
    }
}

/// What a transaction changed, as the chain has it.
struct Moved {
    succeeded: bool,
    lamports: BTreeMap<Pubkey, i128>,
    /// By owner and mint.
    tokens: BTreeMap<(String, String), i128>,
}

impl Moved {
    fn of(chain: &SolanaChain, transaction: &VersionedTransaction) -> Option<Self> {
        let meta = chain.effects(&transaction.signatures[0])?;
        let balances = meta.pre_balances.iter().zip(&meta.post_balances);
        let lamports = transaction.message.static_account_keys().iter().zip(balances);
        let lamports = lamports.map(|(key, (before, after))| (*key, i128::from(*after) - i128::from(*before))).collect();
        let mut tokens = BTreeMap::new();
        for (balances, sign) in [(meta.pre_token_balances, -1), (meta.post_token_balances, 1)] {
            for balance in balances.unwrap() {
                let amount: i128 = balance.ui_token_amount.amount.parse().unwrap();
                *tokens.entry((balance.owner, balance.mint)).or_default() += sign * amount;
            }
        }
        Some(Self { succeeded: meta.status.is_ok(), lamports, tokens })
    }

    fn gained(&self, owner: usize, coin: &Coin) -> i128 {
        let owner = pubkey(cluster::address(owner));
        match coin.mint {
            None => self.lamports.get(&owner).copied().unwrap_or(0),
            Some(mint) => self.tokens.get(&(owner.to_string(), mint.to_string())).copied().unwrap_or(0),
        }
    }
}

struct Round {
    world: World,
    /// Where refused transactions are run.
    victim: SolanaChain,
    offers: Offers,
    resource: Arc<Resource>,
    counts: Counts,
}

fn seconds() -> u64 {
    h402_tests::rig::now()
}

async fn chain() -> (SolanaChain, Pubkey) {
    let chain = SolanaChain::start(SolanaConfig::default().slot_time(BlockTime::Manual)).await.unwrap();
    // Of the same address on every chain.
    let mint = chain.create_mint(MintConfig::token_2022()).unwrap();
    for owner in [SPONSOR, PAYEE, PAYER].map(|index| pubkey(cluster::address(index))) {
        chain.mint_to(owner, mint, RICH).unwrap();
    }
    chain.advance_slots(2);
    (chain, mint)
}

impl Round {
    async fn start() -> Self {
        let ((own, mint), (victim, _)) = (chain().await, chain().await);
        let token = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA".parse().unwrap();
        let token_2022 = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb".parse().unwrap();
        let coins = [
            Coin { mint: None, program: token },
            Coin { mint: Some(own.usdc()), program: token },
            Coin { mint: Some(mint), program: token_2022 },
        ];
        let network = network(&own);
        let asset = |coin: &Coin| match coin.mint {
            None => Asset::native(network, "SOL"),
            Some(mint) => {
                let asset = Asset::new(asset_id(network, &mint.to_string()).unwrap(), 6, "TOKEN");
                if coin.program == token_2022 { asset.with_token_2022() } else { asset }
            }
        };
        let payee = Address::Solana(cluster::address(PAYEE));
        let offer = |coin: &Coin| Arc::new(Offer::new(asset(coin).into(), Amount::from_atomic(u128::from(PRICE)), payee).unwrap());
        let offers = Offers::new(coins.iter().map(offer).collect()).unwrap();
        let resource = Arc::new(Resource { url: "http://127.0.0.1/paid".into(), ..Resource::default() });
        Self { world: World::new(own, coins), victim, offers, resource, counts: Counts::default() }
    }

    /// Draws a payment, bends it somewhere or not, and sees what becomes of it.
    fn case(&mut self, dice: &mut Dice) {
        let (coin, sponsored) = (at(dice, 3), dice.roll(2) == 0);
        let kind = dice.roll(20);
        let honest = kind == 0;
        let amount = match dice.roll(12) {
            0 if !honest => PRICE - 1 - dice.roll(PRICE),
            1..6 => PRICE,
            _ => PRICE + dice.roll(PRICE),
        };
        let mut instructions = self.world.honest(dice, coin, sponsored, amount);
        if (2..=12).contains(&kind) {
            (0..=dice.roll(2)).for_each(|_| self.world.bend_instructions(dice, &mut instructions, amount));
        }
        let fee_payer = match dice.roll(60) {
            any @ 0..4 if !honest => usize::try_from(any).unwrap(),
            _ if sponsored => SPONSOR,
            _ => PAYER,
        };
        let Some(mut message) = self.world.compile(dice, &instructions, fee_payer) else { return };
        if (11..=15).contains(&kind) {
            (0..=dice.roll(2)).for_each(|_| self.world.bend_message(dice, &mut message));
        }
        let mut raw = self.world.sign(dice, &message);
        if kind > 15 {
            (0..=dice.roll(3)).for_each(|_| bend_bytes(dice, &mut raw));
            if dice.roll(3) > 0 {
                self.world.sign_again(&mut raw);
            }
        }
        match self.accepted(&raw) {
            Ok(checked) => {
                let paid = self.run(coin, &raw, &checked);
                if honest {
                    assert_eq!(paid, Some(true), "an honest payment fails: {checked:?}");
                    *self.counts.honest.entry((coin, sponsored)).or_default() += 1;
                } else {
                    *self.counts.bent.entry(coin).or_default() += 1;
                }
            }
            Err(reject) => {
                assert!(!honest, "an honest payment is refused: {reject}");
                *self.counts.refused.entry(reject.word()).or_default() += 1;
                if dice.roll(SAMPLE) == 0 {
                    self.run_all_the_same(&raw);
                }
            }
        }
    }

    /// All that is checked without a chain.
    fn accepted(&self, raw: &[u8]) -> Result<Checked, Reject> {
        if let Ok(decoded) = SolanaTransaction::decode(raw) {
            assert_eq!(*decoded.encode(), *raw, "what is decoded is what was there");
        }
        let payload = PaymentPayload {
            dialect: Dialect::H402V1,
            scheme: Scheme::Exact,
            network: network(&self.world.chain),
            resource: None,
            payload: Payload::SolanaTransaction(SignedSolanaTransaction { signature: None, transaction: raw.to_vec().into() }),
        };
        let matched = Matched::new(payload, &self.offers, &self.resource, Some(70))?;
        matched.check(&CheckPolicy::facilitator(UnixMillis(seconds() * 1000)))
    }

    /// Runs what was accepted, and holds what it moved against what was promised. Tells whether it succeeded, if it
    /// landed at all.
    fn run(&mut self, drawn: usize, raw: &[u8], checked: &Checked) -> Option<bool> {
        let Proof::SolanaTransaction { transaction, payment, .. } = checked.matched().proof() else { panic!("another proof") };
        let ours = payment.is_sponsored() && payment.fee_payer == cluster::address(SPONSOR);
        let raw = if ours { cosign(transaction, &cluster::key(SPONSOR)).unwrap().to_vec() } else { raw.to_vec() };
        // Solana's own crates read it, too, and read all of it.
        let sent: VersionedTransaction = bincode::deserialize(&raw).unwrap();
        sent.sanitize().unwrap();
        assert_eq!(bincode::serialize(&sent).unwrap(), raw);
        let offer = &checked.matched().requirements().offer;
        let coins = self.world.coins;
        let paid = coins.iter().find(|coin| {
            coin.mint.map_or(SolanaAddress::from_bytes([0; 32]), |mint| mint.to_bytes().into()) == offer.asset.id.address.solana().unwrap()
        });
        let paid = paid.unwrap();
        let facts = self.facts(payment, paid);
        self.world.chain.send(sent.clone());
        let moved = Moved::of(&self.world.chain, &sent);
        let succeeded = moved.as_ref().map(|moved| moved.succeeded);
        match &moved {
            None => self.counts.lost += 1,
            Some(moved) => {
                let gained = moved.gained(PAYEE, paid);
                if moved.succeeded {
                    self.counts.paid += 1;
                    assert!(gained >= i128::from(PRICE), "{gained} is not the price: {checked:?}");
                    assert!(gained >= i128::from(payment.amount), "{gained} is not what is said: {checked:?}");
                } else {
                    self.counts.failed += 1;
                    assert_eq!(gained, 0, "{checked:?}");
                }
                let cost = -moved.gained(SPONSOR, &coins[0]);
                let bound = if ours { payment.max_fee() } else { 0 };
                assert!(cost <= i128::from(bound), "costs {cost}, not at most {bound}: {checked:?}");
                assert!(coins[1..].iter().all(|coin| moved.gained(SPONSOR, coin) >= 0), "takes the sponsor's tokens: {checked:?}");
                assert!(coins.iter().all(|coin| moved.gained(PAYEE, coin) >= 0), "takes from the payee: {checked:?}");
            }
        }
        // Judged by the facts, of which the dry run's is what has just been seen.
        let simulation = match succeeded {
            Some(true) => SolanaSimulation::Succeeds { units: 1 },
            _ => SolanaSimulation::Fails { reason: "it did".into() },
        };
        match checked.judge_solana(&SolanaFacts { simulation: Some(simulation), ..facts }, &policy()) {
            Ok(attestation) => {
                self.counts.judged += 1;
                assert_eq!(attestation.payer, Address::Solana(payment.payer));
                let cost = -moved.unwrap().gained(SPONSOR, &coins[0]);
                assert!(cost <= i128::from(policy().max_fee_lamports), "{cost} is more than is paid for others: {checked:?}");
            }
            Err(VerifyError::Rejected(_)) => {}
            Err(VerifyError::Undecided(undecided)) => panic!("{undecided}: {checked:?}"),
        }
        self.refill(drawn);
        succeeded
    }

    fn refill(&self, coin: usize) {
        let (chain, payer) = (&self.world.chain, pubkey(cluster::address(PAYER)));
        match self.world.coins[coin].mint {
            None if chain.lamports(payer) < LOW => chain.airdrop(payer, RICH).unwrap(),
            Some(mint) if chain.token_balance(payer, mint) < LOW => drop(chain.mint_to(payer, mint, RICH).unwrap()),
            _ => {}
        }
    }

    /// What a facilitator reads before it decides.
    fn facts(&self, payment: &SolanaPayment, coin: &Coin) -> SolanaFacts {
        let account = |address: SolanaAddress| self.world.chain.account(pubkey(address));
        let token = |address| {
            let account = account(address)?;
            TokenAccountFacts::decode(TokenProgram::at(&account.owner.to_bytes().into())?, &account.data)
        };
        let lamports = |address| self.world.chain.lamports(pubkey(address));
        let mint = coin.mint.and_then(|mint| {
            let account = account(mint.to_bytes().into())?;
            MintFacts::decode(TokenProgram::at(&account.owner.to_bytes().into())?, &account.data)
        });
        let Network::Solana(genesis) = network(&self.world.chain) else { panic!("not Solana") };
        let known = payment.blockhash == self.world.chain.latest_blockhash().0.to_bytes();
        SolanaFacts {
            genesis,
            blockhash_age: known.then_some(0),
            payer_lamports: lamports(payment.payer),
            fee_payer_lamports: payment.is_sponsored().then(|| lamports(payment.fee_payer)),
            source: coin.mint.and_then(|_| token(payment.source)),
            destination: coin.mint.and_then(|_| token(payment.destination)),
            mint,
            simulation: None,
            sent: None,
        }
    }

    /// What would have become of a refused transaction that a careless sponsor signs.
    fn run_all_the_same(&mut self, raw: &[u8]) {
        let Ok(mut transaction) = bincode::deserialize::<VersionedTransaction>(raw) else { return };
        if transaction.sanitize().is_err() {
            return;
        }
        signed_blindly(&mut transaction);
        self.victim.send(transaction.clone());
        let Some(moved) = Moved::of(&self.victim, &transaction) else { return };
        let coins = &self.world.coins;
        let fee = i128::from(policy().max_fee_lamports);
        let drains = moved.gained(SPONSOR, &coins[0]) < -fee || coins[1..].iter().any(|coin| moved.gained(SPONSOR, coin) < 0);
        let pays = coins.iter().any(|coin| moved.gained(PAYEE, coin) >= i128::from(PRICE));
        self.counts.sampled += 1;
        self.counts.drains += usize::from(drains);
        self.counts.cheats += usize::from(moved.succeeded && !pays);
    }
}

fn policy() -> SolanaPolicy {
    SolanaPolicy {
        now: UnixMillis(seconds() * 1000),
        reserved: Amount::ZERO,
        sponsor: Some(cluster::address(SPONSOR)),
        max_fee_lamports: SolanaPolicy::MAX_FEE_LAMPORTS,
        min_blocks_left: SolanaPolicy::MIN_BLOCKS_LEFT,
        extensions: AllowedExtensions::default(),
        not_before: UnixSeconds(0),
    }
}

/// Half of the rounds, on a thread of their own: they keep it busy.
fn half(dice: &mut Dice) -> Counts {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut counts = Counts::default();
    for _ in 0..ROUNDS / 2 {
        let mut round = runtime.block_on(Round::start());
        (0..CASES / ROUNDS).for_each(|_| round.case(dice));
        counts.add(round.counts);
    }
    counts
}

/// T071, T074, T077, T079, T080, T081, T082, T086: whatever is done to a payment, and signed again by its payer, it is
/// refused, or it moves the price to the payee and takes no more of its sponsor than the fee that was agreed to. Many of
/// the refused ones would have taken it.
#[test]
fn t077_t079_t086_bent_payments_pay_the_price_or_are_refused() {
    let mut dice = Dice::seeded();
    let halves = [dice.split(), dice.split()].map(|mut dice| std::thread::spawn(move || half(&mut dice)));
    let mut counts = Counts::default();
    for half in halves {
        counts.add(half.join().unwrap());
    }
    println!("{counts:?}");
    // Nothing above says anything if nothing of each kind was drawn.
    let honest = (0..3).flat_map(|coin| [false, true].map(|sponsored| (coin, sponsored)));
    assert!(honest.clone().all(|kind| counts.honest.get(&kind).is_some_and(|count| *count > 500)), "{counts:?}");
    assert!((0..3).all(|coin| counts.bent.get(&coin).is_some_and(|count| *count > 5_000)), "{counts:?}");
    for word in WORDS {
        assert!(counts.refused.get(word).is_some_and(|count| *count > 100), "{word}: {counts:?}");
    }
    assert!(counts.refused.values().sum::<usize>() > CASES / 2, "{counts:?}");
    // Most that is accepted lands, and a facilitator takes most of what would land.
    assert!(counts.paid > 10 * counts.lost && counts.paid > 10 * counts.failed, "{counts:?}");
    assert!(10 * counts.judged > 9 * counts.paid, "{counts:?}");
    // And what is refused would do harm.
    assert!(counts.sampled > 500 && counts.drains > 20 && counts.cheats > 50, "{counts:?}");
}
