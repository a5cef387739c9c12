//! What nodes of chains answer: none of it may be taken for more than it says.
//!
//! An input is a letter, which names what is asked, and then the answers, one in each line: a result as it stands, or after `!`
//! an error. What a line does not answer is `null`. With `=` for a letter's sequel the rest is the body of each answer, whole.

use crate::wait;
use alloy_primitives::{B256, U256};
use bytes::Bytes;
use h402_core::{
    Amount, Assets, Authorization, CheckPolicy, Checked, Dialect, EvmAddress, EvmKey, GenesisPrefix, JudgePolicy, Matched, Network, Offer,
    Offers, Payload, PaymentPayload, Resource, Scheme, SolanaKey, SolanaPolicy, UnixMillis, UnixSeconds,
    solana::{SolanaTerms, sign_payment},
};
use h402_facilitator::{
    evm::{EvmChain, EvmConfig, Permit2Transfer},
    rpc::{Answering, Endpoint, Node, Rpc, RpcConfig},
    solana::{SolanaChain, SolanaConfig},
};
use serde_json::value::RawValue;
use std::sync::{Arc, Mutex, OnceLock};

const NOW: UnixMillis = UnixMillis(1_795_170_338_000);
const CHAIN: u64 = 8453;
/// The genesis hash of the cluster that real money lives on.
const GENESIS: &str = "\"5eykt4UsFv8P8NJdTREpY1vzqKqZKvdpKuc147dw2N9d\"";

/// Answers what the input says.
struct Said {
    whole: Option<Bytes>,
    lines: Mutex<Vec<String>>,
}

impl Said {
    fn new(input: &[u8]) -> Self {
        let whole = input.strip_prefix(b"=").map(Bytes::copy_from_slice);
        let text = String::from_utf8_lossy(input);
        let lines = text.lines().map(str::to_owned).rev().collect();
        Self { whole, lines: Mutex::new(lines) }
    }

    fn one(&self, id: &RawValue, method: &str) -> String {
        let said = match method {
            // Another chain decides nothing; that is asked elsewhere.
            "eth_chainId" => "\"0x2105\"".to_owned(),
            "getGenesisHash" => GENESIS.to_owned(),
            _ => self.lines.lock().expect("nobody panicked").pop().unwrap_or_else(|| "null".to_owned()),
        };
        match said.strip_prefix('!') {
            Some(error) => format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#),
            None => format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{said}}}"#),
        }
    }
}

#[derive(serde::Deserialize)]
struct Asked<'a> {
    #[serde(borrow)]
    id: &'a RawValue,
    method: &'a str,
}

impl Node for Said {
    fn answer<'a>(&'a self, _: &'a Endpoint, request: Bytes) -> Answering<'a> {
        let answer = if let Some(whole) = &self.whole {
            whole.clone()
        } else if request.starts_with(b"[") {
            let calls: Vec<Asked<'_>> = serde_json::from_slice(&request).expect("our own request");
            let answers: Vec<String> = calls.iter().map(|call| self.one(call.id, call.method)).collect();
            format!("[{}]", answers.join(",")).into()
        } else {
            let call: Asked<'_> = serde_json::from_slice(&request).expect("our own request");
            self.one(call.id, call.method).into()
        };
        Box::pin(std::future::ready(Ok(answer)))
    }
}

/// A client whose ids begin anew, so that an input means the same each time.
fn rpc(input: &[u8]) -> Rpc {
    Rpc::over(RpcConfig::new(vec!["http://node.invalid".parse().expect("an endpoint")]), Arc::new(Said::new(input)))
}

fn checked(network: Network, pay: impl FnOnce(&Offer) -> Payload) -> Checked {
    let asset = Assets::known().by_symbol(network, "USDC").expect("an asset of the table").clone();
    let payee =
        if network == Network::Evm(CHAIN) { EvmAddress::repeat_byte(9).into() } else { SolanaKey::from_seed(&[9; 32]).address().into() };
    let offer = Offer::new(asset, Amount::from_atomic(10_000), payee).expect("an offer");
    let (dialect, scheme) = (Dialect::H402V1, Scheme::Exact);
    let payload = PaymentPayload { dialect, scheme, network, resource: None, payload: pay(&offer) };
    let offers = Offers::new(vec![Arc::new(offer)]).expect("offers");
    let matched = Matched::new(payload, &offers, &Arc::new(Resource::default()), None).expect("a good payment");
    matched.check(&CheckPolicy::facilitator(NOW)).expect("a payment of now")
}

/// A good payment in USDC on Base.
fn authorization() -> &'static Checked {
    static PAYMENT: OnceLock<Checked> = OnceLock::new();
    PAYMENT.get_or_init(|| {
        let key = EvmKey::from_bytes(&[7; 32]).expect("a key");
        checked(Network::Evm(CHAIN), |offer| {
            let terms = Authorization {
                from: key.address(),
                to: offer.pay_to.evm().expect("an EVM address"),
                value: offer.amount,
                valid_after: U256::ZERO,
                valid_before: U256::from(NOW.0 / 1000 + 300),
                nonce: B256::repeat_byte(5),
            };
            let domain = offer.asset.eip712_domain().expect("it takes authorizations");
            Payload::Authorization(key.sign_authorization(terms, &domain).expect("a signature"))
        })
    })
}

/// A good payment in USDC on Solana.
fn transaction() -> &'static Checked {
    static PAYMENT: OnceLock<Checked> = OnceLock::new();
    PAYMENT.get_or_init(|| {
        checked(Network::Solana(GenesisPrefix::MAINNET), |offer| {
            let terms = SolanaTerms { blockhash: [5; 32], fee_payer: None, creates_account: false, unique: [6; 16] };
            Payload::SolanaTransaction(sign_payment(&SolanaKey::from_seed(&[7; 32]), offer, offer.amount, &terms).expect("a payment"))
        })
    })
}

pub(crate) fn evm(bytes: &[u8]) {
    let Some((letter, said)) = bytes.split_first() else { return };
    let config = EvmConfig {
        chain_id: CHAIN,
        multicall3: (letter % 2 == 0).then(|| EvmAddress::repeat_byte(0xca)),
        simulate_from: EvmAddress::repeat_byte(8),
        rpc: rpc(said),
    };
    let chain = EvmChain::new(config);
    wait(ask_evm(&chain, letter.to_ascii_lowercase()));
    assert!(!format!("{chain:?}").is_empty());
}

async fn ask_evm(chain: &EvmChain, what: u8) {
    let (token, from, nonce) = (EvmAddress::repeat_byte(1), EvmAddress::repeat_byte(2), B256::repeat_byte(3));
    match what {
        b'a' | b'b' => {
            if let Ok(facts) = chain.facts(authorization()).await {
                judged(&facts);
            }
        }
        b'c' => {
            let ids = [B256::repeat_byte(4), B256::repeat_byte(5)];
            if let Ok(receipts) = chain.receipts(&ids).await {
                assert_eq!(receipts.len(), ids.len());
            }
        }
        b'd' => {
            if let Ok(head) = chain.head().await
                && let Ok(trace) = chain.authorization(token, from, nonce, head.block(), UnixSeconds(0)).await
                && let Some(log) = trace.log
            {
                assert!(log.receipt.authorizations.contains(&(token, from, nonce)), "another authorization's receipt");
            }
        }
        b'e' => {
            if let Ok(own) = chain.sent_by(&[from], 0, 2).await {
                assert!((1..=2).contains(&own.upto), "nothing was read, or more than was asked for");
                assert!(own.transactions.iter().all(|transaction| transaction.from == from), "somebody else's transaction");
            }
        }
        b'f' => {
            if let Ok(code) = chain.code(&[token, from]).await {
                assert_eq!(code.len(), 2);
            }
        }
        b'g' => {
            let wanted = Permit2Transfer { token, from, to: from, amount: Amount::from_atomic(1), nonce: U256::from(1) };
            if let Ok(head) = chain.head().await {
                let _ = chain.permit2_transfer(&wanted, head.block(), UnixSeconds(0)).await;
            }
        }
        b'h' | b'i' => {
            let call = (token, Bytes::from_static(&[1, 2, 3, 4]).into());
            if let Some(batch) = chain.batch_call(&[call.clone(), call]) {
                let _ = chain.dry_batch(from, &batch, 2, 1_000_000).await;
            }
        }
        b'j' => {
            if let Ok(fees) = chain.fees().await {
                assert!(fees.max_priority_fee_per_gas <= fees.max_fee_per_gas, "a tip above the fee");
            }
            let _ = chain.l1_fee(200).await;
        }
        b'k' => {
            let _ = (chain.head().await, chain.block_hash(7).await);
        }
        b'l' => {
            let _ = (chain.account_nonce(from).await, chain.account_nonce_at(from, 7).await, chain.native_balance(from).await);
        }
        b'm' | b'n' => {
            let _ = chain.check(&[authorization().matched().requirements().offer.asset.clone()]).await;
        }
        b'o' => {
            let _ = chain.send(&Bytes::from_static(&[1, 2, 3]).into()).await;
        }
        _ => {
            let _ = chain.chain_id().await;
        }
    }
}

/// Who has too little, or has used it already, has not paid, whatever else a node says.
fn judged(facts: &h402_core::EvmFacts) {
    let policy = JudgePolicy {
        times: CheckPolicy::facilitator(NOW),
        reserved: Amount::ZERO,
        max_gas: JudgePolicy::MAX_GAS,
        depth: 1,
        not_before: UnixSeconds(0),
    };
    if let Ok(attestation) = authorization().judge(facts, &policy) {
        assert!(facts.balance >= Amount::from_atomic(10_000), "paid out of nothing");
        assert_eq!((facts.chain_id, facts.authorization_used), (CHAIN, Some(false)));
        assert_eq!(attestation.payer, authorization().matched().payer());
    }
}

pub(crate) fn solana(bytes: &[u8]) {
    let Some((letter, said)) = bytes.split_first() else { return };
    let chain = SolanaChain::new(SolanaConfig { genesis: GenesisPrefix::MAINNET, rpc: rpc(said) });
    wait(ask_solana(&chain, letter.to_ascii_lowercase()));
}

async fn ask_solana(chain: &SolanaChain, what: u8) {
    let (one, two) = ([4; 64], [5; 64]);
    match what {
        b'a' => {
            if let Ok(read) = chain.facts(transaction()).await {
                judged_solana(&read.facts);
            }
        }
        b'b' => {
            if let Ok(statuses) = chain.statuses(&[one, two]).await {
                assert_eq!(statuses.statuses.len(), 2);
            }
        }
        b'c' => {
            if let Ok(statuses) = chain.statuses_of_any_age(&[one, two]).await {
                assert_eq!(statuses.statuses.len(), 2);
            }
        }
        b'd' => {
            if let Ok(valid) = chain.are_blockhashes_valid(&[[4; 32], [5; 32]]).await {
                assert_eq!(valid.len(), 2);
            }
        }
        b'e' => {
            if let Ok(transactions) = chain.transactions(&[one, two]).await {
                assert_eq!(transactions.len(), 2);
            }
        }
        b'f' => {
            if let Ok(naming) = chain.naming([7; 32].into(), Some(5)).await {
                assert!(naming.signatures.len() <= 1 << 16);
            }
        }
        b'g' => {
            let _ = (chain.lamports([7; 32].into()).await, chain.time_of(9).await);
        }
        b'h' => {
            let assets = [transaction().matched().requirements().offer.asset.clone()];
            let _ = chain.check(&assets, &Default::default()).await;
        }
        b'i' => {
            let raw = Bytes::from_static(&[1, 2, 3]).into();
            let sent = chain.send(&[(h402_core::TransactionId::Solana(one), raw)]).await;
            assert_eq!(sent.len(), 1);
        }
        _ => {
            let _ = chain.answers().await;
        }
    }
}

fn judged_solana(facts: &h402_core::SolanaFacts) {
    let policy = SolanaPolicy {
        now: NOW,
        reserved: Amount::ZERO,
        sponsor: None,
        max_fee_lamports: SolanaPolicy::MAX_FEE_LAMPORTS,
        min_blocks_left: SolanaPolicy::MIN_BLOCKS_LEFT,
        extensions: Default::default(),
        not_before: UnixSeconds(0),
    };
    if transaction().judge_solana(facts, &policy).is_ok() {
        let source = facts.source.expect("paid out of no account");
        assert!(source.amount >= 10_000 && !source.frozen, "paid out of nothing");
        assert!(facts.destination.is_some_and(|account| !account.frozen) && facts.mint.is_some());
        assert!(facts.blockhash_age.is_some(), "an expired payment");
    }
}
