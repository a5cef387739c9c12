//! The recordings, as tests/vectors/captures keeps them.

use h402_core::UnixMillis;
use serde::Deserialize;
use serde_json::Value;
use std::{collections::BTreeMap, fs, path::PathBuf};

/// One recorded scenario, and what is to be done with it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Recording {
    pub(super) name: String,
    /// The recorder's own name, if it is another.
    #[serde(rename = "scenario")]
    _scenario: Option<String>,
    #[serde(rename = "note")]
    _note: String,
    #[serde(rename = "clientExit")]
    _client_exit: Option<i32>,
    #[serde(rename = "clientOutput")]
    _client_output: Option<String>,
    /// A recording of another form.
    #[serde(rename = "recording")]
    _recording: Option<Value>,
    #[serde(default)]
    pub(super) exchanges: Vec<Exchange>,
    /// Which of our parts are held against it.
    #[serde(default)]
    pub(super) compare: Vec<Part>,
    #[serde(default)]
    pub(super) gate: GateSetup,
    #[serde(default)]
    pub(super) pay: PaySetup,
    #[serde(default)]
    pub(super) facilitator: FacilitatorSetup,
    /// The differences that are wanted.
    #[serde(default)]
    pub(super) wanted: Vec<Wanted>,
    /// Why it cannot be compared.
    pub(super) not_applicable: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Part {
    /// The recorded requests are sent to our gate.
    Gate,
    /// The recorded 402 is given to our pay layer.
    Pay,
    /// The recorded questions are decoded and checked by our rules.
    Facilitator,
    /// The recorded requests are sent to our facilitator.
    Http,
}

/// A request and its answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Exchange {
    /// When it was over: `2026-11-20T10:23:37.445Z`.
    at: String,
    hop: String,
    pub(super) request: Sent,
    /// None if there was none.
    pub(super) response: Option<Answered>,
    /// Why this exchange is not as recorded.
    #[serde(rename = "byHand")]
    _by_hand: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Sent {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<Body>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Answered {
    pub(super) status: u16,
    #[serde(default)]
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Option<Body>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Body {
    Json(Value),
    Text(String),
}

/// What our gate needs besides the recorded 402.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct GateSetup {
    /// Whether it settles before the handler.
    pub(super) upfront: bool,
    /// The target to ask for instead of the recorded one.
    pub(super) target: Option<String>,
    /// The configured options, where no 402 shows them.
    pub(super) offers: Option<Vec<Value>>,
    /// What the handler answers, where no recorded answer shows it.
    pub(super) handler: Option<Handler>,
    /// The recorded order of work: what the facilitator was asked, and when the handler ran.
    pub(super) order: Option<Vec<String>>,
    /// What the facilitator answers, path by path, where no recorded answer shows it.
    pub(super) answers: BTreeMap<String, Answered>,
    /// Whether nobody listens where the facilitator should.
    pub(super) facilitator_down: bool,
    /// For people.
    #[serde(rename = "comment")]
    _comment: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Handler {
    pub(super) status: u16,
    #[serde(default)]
    pub(super) headers: Vec<(String, String)>,
    /// The body, piece by piece; `{forwarded}` stands for whether the handler saw a payment header.
    pub(super) chunks: Vec<String>,
}

/// What our pay layer needs besides the recorded 402.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct PaySetup {
    /// The most that a call may cost, in the smallest unit of whatever it is paid in.
    pub(super) cap: Option<String>,
    /// What the chain says, where no recorded transaction shows it.
    pub(super) hints: Option<ChainHints>,
    /// For people.
    #[serde(rename = "comment")]
    _comment: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ChainHints {
    pub(super) nonce: u64,
    pub(super) gas_price: String,
    pub(super) gas: u64,
}

/// What our rules need besides the recorded question.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub(super) struct FacilitatorSetup {
    /// The EIP-712 domain of the recorded chain's token.
    pub(super) domain: Option<Domain>,
    /// What the chain says, exchange by exchange; nothing where the chain is not asked.
    pub(super) facts: Vec<Option<ChainFacts>>,
    /// What a Solana cluster says, likewise.
    pub(super) solana_facts: Vec<Option<ClusterFacts>>,
    /// The payload's signed message, repaired, for a second question.
    pub(super) message: Option<String>,
    /// Whether the recorded payer claims its sent payment as ours do, for a second question.
    pub(super) claimed: bool,
    /// What the recorded refusals mean in our words, exchange by exchange; nothing where it accepts.
    pub(super) words: Vec<Option<String>>,
    /// For people.
    #[serde(rename = "comment")]
    _comment: Option<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Domain {
    pub(super) name: String,
    pub(super) version: String,
    /// For people.
    #[serde(rename = "comment")]
    _comment: String,
}

/// What the chain said, or must have said.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ChainFacts {
    /// How this is known.
    #[serde(rename = "comment")]
    _comment: String,
    pub(super) chain_id: u64,
    pub(super) block: u64,
    pub(super) time: u64,
    #[serde(default)]
    pub(super) base_fee: Option<String>,
    pub(super) payer_has_code: bool,
    pub(super) balance: String,
    pub(super) native_balance: Option<String>,
    pub(super) account_nonce: Option<u64>,
    pub(super) authorization_used: Option<bool>,
    pub(super) simulation: Option<SimulationFact>,
    pub(super) sent: Option<SentFact>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum SimulationFact {
    Gas(u64),
    Reverts(String),
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SentFact {
    pub(super) from: String,
    pub(super) to: String,
    pub(super) nonce: u64,
    pub(super) value: String,
    pub(super) input: String,
    pub(super) receipt: ReceiptFact,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReceiptFact {
    pub(super) success: bool,
    pub(super) block: u64,
    pub(super) time: u64,
    pub(super) transfers: Vec<TransferFact>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TransferFact {
    pub(super) token: String,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) amount: String,
}

/// What a Solana cluster said, or must have said.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct ClusterFacts {
    /// How this is known.
    #[serde(rename = "comment")]
    _comment: String,
    pub(super) blockhash_age: Option<u64>,
    pub(super) payer_lamports: u64,
    pub(super) simulated_units: Option<u64>,
    pub(super) sent: Option<LandedFact>,
}

/// A transfer of lamports that has landed.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct LandedFact {
    /// As it was sent, in base64.
    pub(super) transaction: String,
    pub(super) time: u64,
    pub(super) account: String,
    pub(super) before: u64,
    pub(super) after: u64,
}

/// Differences with one reason.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    pub(super) differences: Vec<String>,
    pub(super) reason: String,
}

/// Something of ours that no recording has and that is no difference, since nobody who does not know it is misled.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Addition {
    pub(super) what: String,
    pub(super) reason: String,
}

impl Recording {
    /// The exchanges of a client with a server.
    pub(super) fn visits(&self) -> impl Iterator<Item = &Exchange> {
        self.exchanges.iter().filter(|exchange| exchange.hop.starts_with("client->"))
    }

    /// The questions to a facilitator.
    pub(super) fn questions(&self) -> impl Iterator<Item = &Exchange> {
        // Clients and facilitators read the cluster through the same server; whether pages may is a question to it.
        let is_read = |exchange: &Exchange| exchange.request.path == "/solana-rpc" && exchange.request.method == "POST";
        self.exchanges.iter().filter(move |exchange| exchange.hop.contains("middleware->") && !is_read(exchange))
    }

    /// What the cluster answered to a method of its RPC.
    pub(super) fn cluster(&self, method: &str) -> Option<&Value> {
        let asked = self.exchanges.iter().find(|exchange| exchange.request.json().is_some_and(|json| json["method"] == method))?;
        Some(&asked.response.as_ref()?.json()?["result"]["value"])
    }
}

impl Exchange {
    /// When it was over.
    pub(super) fn at(&self) -> UnixMillis {
        // All recordings are of one day.
        let time = self.at.strip_prefix("2026-11-20T").and_then(|rest| rest.strip_suffix('Z')).expect("a time of the recorded day");
        let (clock, millis) = time.split_once('.').unwrap();
        let seconds = clock.split(':').fold(0, |sum, part| sum * 60 + part.parse::<u64>().unwrap());
        const MIDNIGHT: u64 = 1_795_132_800;
        UnixMillis((MIDNIGHT + seconds) * 1000 + millis.parse::<u64>().unwrap())
    }
}

impl Sent {
    /// The value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The JSON that was sent.
    pub(super) fn json(&self) -> Option<&Value> {
        json(self.body.as_ref())
    }
}

impl Answered {
    /// The value of a header.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        header(&self.headers, name)
    }

    /// The JSON that was answered.
    pub(super) fn json(&self) -> Option<&Value> {
        json(self.body.as_ref())
    }
}

impl Body {
    /// The bytes.
    pub(super) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Json(json) => json.to_string().into_bytes(),
            Self::Text(text) => text.clone().into_bytes(),
        }
    }
}

fn header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

fn json(body: Option<&Body>) -> Option<&Value> {
    match body? {
        Body::Json(json) => Some(json),
        Body::Text(_) => None,
    }
}

/// The one file beside the recordings and their README.
const ADDITIONS: &str = "additions.json";

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("vectors/captures")
}

/// Every recording, by name.
pub(super) fn recordings() -> Vec<Recording> {
    let mut recordings = Vec::new();
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") || path.ends_with(ADDITIONS) {
            continue;
        }
        let stem = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let recording: Recording =
            serde_json::from_slice(&fs::read(&path).unwrap()).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        assert_eq!(recording.name, stem);
        recordings.push(recording);
    }
    recordings.sort_by(|one, other| one.name.cmp(&other.name));
    recordings
}

/// What we say more than the recorded programs.
pub(super) fn additions() -> Vec<Addition> {
    serde_json::from_slice(&fs::read(folder().join(ADDITIONS)).unwrap()).unwrap()
}
