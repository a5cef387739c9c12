//! The recorded questions to a facilitator, decoded and checked by our rules with the recorded time and chain facts.

use super::{
    difference::Found,
    recording::{Answered, ChainFacts, ClusterFacts, Exchange, FacilitatorSetup, Recording, SentFact, SimulationFact},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use h402_core::{
    Address, AllowedExtensions, Amount, Asset, Assets, CheckPolicy, EvmAddress, EvmFacts, GenesisPrefix, JudgePolicy, NativeChange,
    Network, ReceiptFacts, SentFacts, Simulation, SolanaFacts, SolanaKey, SolanaPolicy, SolanaSentFacts, SolanaSimulation, TransactionId,
    TransferLog, UnixMillis, UnixSeconds, Verified, VerifyError, asset_id,
    solana::SolanaTransaction,
    wire::h402::{self, RequestError, SettleAnswer, VerifyAnswer},
};
use serde_json::Value;
use std::fmt;

/// The token of the recorded chain.
const TOKEN: &str = "0xfde4C96c8593536E31F229EA8f37b2ADa2699bb2";

/// What a facilitator says of a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Accepted,
    Refused,
    /// Neither.
    Failed,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Failed => "failed",
        })
    }
}

/// Our answer to a question.
struct Ours {
    verdict: Verdict,
    /// The finer word of a refusal.
    word: &'static str,
    status: u16,
    body: Value,
}

/// Compares the verdicts, and how they are said.
pub(super) fn compare(recording: &Recording, found: &mut Found) {
    for (index, exchange) in recording.questions().enumerate() {
        let recorded = exchange.response.as_ref().unwrap();
        let path = exchange.request.path.trim_start_matches('/');
        let body = exchange.request.json().unwrap().clone();
        let at = format!("facilitator: {path} {}", index + 1);
        let word = recording.facilitator.words.get(index).and_then(Option::as_deref);
        if let Some(message) = &recording.facilitator.message {
            let ours = judge(&repaired(&body, message), exchange, &recording.facilitator, index);
            verdicts(&format!("{at} with a good message"), (verdict(recorded), word), &ours, found);
        }
        if recording.facilitator.claimed {
            let ours = judge(&claimed(&body), exchange, &recording.facilitator, index);
            verdicts(&format!("{at} with a claim"), (verdict(recorded), word), &ours, found);
        }
        let ours = judge(&body, exchange, &recording.facilitator, index);
        answers(&at, recorded, word, &ours, found);
    }
}

/// Whether the verdicts agree; for refusals the reasons are compared as well.
fn verdicts(at: &str, recorded: (Verdict, Option<&str>), ours: &Ours, found: &mut Found) -> bool {
    let (verdict, word) = recorded;
    if verdict != ours.verdict {
        let why = if ours.word.is_empty() { String::new() } else { format!(" ({})", ours.word) };
        found.differs(format!("{at}: {verdict}, ours {}{why}", ours.verdict));
        return false;
    }
    let word = word.unwrap_or_default();
    if word != ours.word {
        found.differs(format!("{at}: means {word}, ours {}", ours.word));
    }
    true
}

fn answers(at: &str, recorded: &Answered, word: Option<&str>, ours: &Ours, found: &mut Found) {
    if !verdicts(at, (verdict(recorded), word), ours, found) {
        return;
    }
    if recorded.status != ours.status {
        found.differs(format!("{at}: status {}, ours {}", recorded.status, ours.status));
    }
    let theirs = recorded.json().unwrap();
    if !(at.contains("settle") && ours.verdict == Verdict::Accepted) {
        found.json(at, "", theirs, &ours.body);
    }
}

fn verdict(recorded: &Answered) -> Verdict {
    let said = recorded.json().and_then(|body| body.get("isValid").or_else(|| body.get("success"))).and_then(Value::as_bool);
    match (recorded.status, said) {
        (200, Some(true)) => Verdict::Accepted,
        (500.., _) => Verdict::Failed,
        _ => Verdict::Refused,
    }
}

/// The same question with another signed message in its payload.
fn repaired(question: &Value, message: &str) -> Value {
    let mut payment = super::difference::unpacked(question["payload"].as_str().unwrap());
    payment["payload"]["signedMessage"] = message.into();
    let mut question = question.clone();
    question["payload"] = STANDARD.encode(payment.to_string()).into();
    question
}

/// The built-in assets; the recorded token is not USDT, though it is where USDT is.
fn assets(setup: &FacilitatorSetup) -> Assets {
    match &setup.domain {
        Some(domain) => {
            let id = asset_id(Network::Evm(8453), TOKEN).unwrap();
            Assets::known().with(Asset::new(id, 6, "USDT").with_eip3009(&domain.name, &domain.version))
        }
        None => Assets::known(),
    }
}

/// As the routes of our server: what cannot be read is the caller's fault, everything else is a verdict.
fn judge(question: &Value, exchange: &Exchange, setup: &FacilitatorSetup, index: usize) -> Ours {
    let settles = exchange.request.path == "/settle";
    let refuse = |error: VerifyError, matched: Option<(Network, Address)>| {
        let (network, payer) = matched.unzip();
        let body = match &error {
            VerifyError::Rejected(reject) if settles => h402::encode_settle(&SettleAnswer::failed(&reject.clone().into(), network, payer)),
            error => h402::encode_verify(&VerifyAnswer::failed(error, payer)),
        };
        let body = serde_json::from_slice(&body.unwrap()).unwrap();
        match error {
            VerifyError::Rejected(reject) => Ours { verdict: Verdict::Refused, word: reject.word(), status: 200, body },
            VerifyError::Undecided(why) => Ours { verdict: Verdict::Failed, word: why.word(), status: 503, body },
        }
    };
    let request = match h402::decode_request(question.to_string().as_bytes(), &assets(setup)) {
        Ok(request) => request,
        Err(RequestError::Rejected(reject)) => return refuse(reject.into(), None),
        Err(RequestError::Malformed(why)) => {
            let body = serde_json::from_slice(&h402::encode_error("invalid_request", why)).unwrap();
            return Ours { verdict: Verdict::Refused, word: "invalid_request", status: 400, body };
        }
    };
    let matched = match request.matched() {
        Ok(matched) => matched,
        Err(reject) => return refuse(reject.into(), None),
    };
    let known = Some((matched.network(), matched.payer()));
    let times = CheckPolicy::facilitator(exchange.at());
    let checked = match matched.check(&times) {
        Ok(checked) => checked,
        Err(reject) => return refuse(reject.into(), known),
    };
    let needed = "the chain decides here, so facts are needed";
    let judged = match checked.matched().network() {
        Network::Solana(genesis) => {
            let facts = setup.solana_facts.get(index).and_then(Option::as_ref).expect(needed);
            checked.judge_solana(&cluster(genesis, facts), &solana_policy(times.now))
        }
        _ => {
            let facts = chain(setup.facts.get(index).and_then(Option::as_ref).expect(needed));
            let not_before = UnixMillis(0).seconds();
            checked.judge(&facts, &JudgePolicy { times, reserved: Amount::ZERO, max_gas: JudgePolicy::MAX_GAS, depth: 1, not_before })
        }
    };
    match judged {
        Ok(attestation) => {
            let answer = VerifyAnswer::verified(&Verified::attested(checked, attestation));
            let body = serde_json::from_slice(&h402::encode_verify(&answer).unwrap()).unwrap();
            Ours { verdict: Verdict::Accepted, word: "", status: 200, body }
        }
        Err(error) => refuse(error, known),
    }
}

fn solana_policy(now: UnixMillis) -> SolanaPolicy {
    SolanaPolicy {
        now,
        reserved: Amount::ZERO,
        sponsor: None,
        max_fee_lamports: SolanaPolicy::MAX_FEE_LAMPORTS,
        min_blocks_left: SolanaPolicy::MIN_BLOCKS_LEFT,
        extensions: AllowedExtensions::default(),
        not_before: UnixMillis(0).seconds(),
    }
}

fn cluster(genesis: GenesisPrefix, facts: &ClusterFacts) -> SolanaFacts {
    SolanaFacts {
        genesis,
        blockhash_age: facts.blockhash_age,
        payer_lamports: facts.payer_lamports,
        fee_payer_lamports: None,
        source: None,
        destination: None,
        mint: None,
        simulation: facts.simulated_units.map(|units| SolanaSimulation::Succeeds { units }),
        sent: facts.sent.as_ref().map(|sent| SolanaSentFacts {
            transaction: SolanaTransaction::decode(&STANDARD.decode(&sent.transaction).unwrap()).unwrap(),
            success: true,
            finalized: true,
            slot: 999,
            time: Some(UnixSeconds(sent.time)),
            lamports: vec![NativeChange { account: sent.account.parse().unwrap(), before: sent.before, after: sent.after }],
            tokens: Vec::new(),
        }),
    }
}

/// The same question with the recorded payer's signature over the resource, as ours ask for it.
fn claimed(question: &Value) -> Value {
    let mut payment = super::difference::unpacked(question["payload"].as_str().unwrap());
    let key = SolanaKey::from_seed(&super::pay::SOLANA_SEED);
    let resource = question["paymentRequirements"]["resource"].as_str().unwrap();
    payment["payload"]["signer"] = key.address().to_string().into();
    payment["payload"]["signedMessage"] = TransactionId::Solana(key.sign(resource.as_bytes())).to_string().into();
    let mut question = question.clone();
    question["payload"] = STANDARD.encode(payment.to_string()).into();
    question
}

fn chain(facts: &ChainFacts) -> EvmFacts {
    EvmFacts {
        chain_id: facts.chain_id,
        block: facts.block,
        time: UnixSeconds(facts.time),
        base_fee: facts.base_fee.as_deref().map_or(0, |fee| fee.parse().unwrap()),
        payer_has_code: facts.payer_has_code,
        balance: Amount::from_atomic_text(&facts.balance).unwrap(),
        native_balance: facts.native_balance.as_deref().map(|wei| wei.parse().unwrap()),
        account_nonce: facts.account_nonce,
        authorization_used: facts.authorization_used,
        permit2: None,
        simulation: facts.simulation.as_ref().map(|simulation| match simulation {
            SimulationFact::Gas(gas) => Simulation::Succeeds { gas: *gas },
            SimulationFact::Reverts(reason) => Simulation::Reverts { reason: reason.clone() },
        }),
        sent: facts.sent.as_ref().map(sent),
    }
}

fn sent(fact: &SentFact) -> SentFacts {
    let transfers = fact.receipt.transfers.iter().map(|log| TransferLog {
        token: account(&log.token),
        from: account(&log.from),
        to: account(&log.to),
        amount: Amount::from_atomic_text(&log.amount).unwrap(),
    });
    SentFacts {
        from: account(&fact.from),
        to: Some(account(&fact.to)),
        nonce: fact.nonce,
        value: fact.value.parse().unwrap(),
        input: fact.input.parse().unwrap(),
        receipt: Some(ReceiptFacts {
            success: fact.receipt.success,
            block: fact.receipt.block,
            block_hash: Default::default(),
            time: UnixSeconds(fact.receipt.time),
            transfers: transfers.collect(),
            authorizations: Vec::new(),
            cost: None,
        }),
    }
}

fn account(text: &str) -> EvmAddress {
    text.parse().unwrap()
}
