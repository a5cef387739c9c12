//! Every decoder of bytes that strangers send, and what must hold whatever the bytes are.
//!
//! A [`Target`] takes bytes and panics if something does not hold. libFuzzer looks for such bytes (`cargo xtask fuzz`); what it
//! has found of interest is kept in `corpus/`, and replayed through the same functions by the tests. docs/fuzz.md has the table.

mod answer;
mod challenge;
mod evm;
mod json_rpc;
mod node;
mod pay;
mod payment;
mod receipt;
mod request;
mod server;
mod solana;
mod text;

/// One or several decoders, and what is known of what they read.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, and that of its corpus.
    pub name: &'static str,
    /// The most bytes that are of interest: somewhat more than the decoder takes, or as much as can be tried often.
    pub longest: usize,
    run: fn(&[u8]),
}

impl Target {
    /// All targets.
    pub const ALL: [Self; 14] = [
        Self { name: "payment_header", longest: 4096, run: payment::headers },
        Self { name: "challenge", longest: 4096, run: challenge::all },
        Self { name: "facilitator_request", longest: 4096, run: request::all },
        Self { name: "facilitator_answer", longest: 2048, run: answer::all },
        Self { name: "signed_receipt", longest: 1100, run: receipt::all },
        Self { name: "text", longest: 160, run: text::all },
        Self { name: "evm_transaction", longest: 1024, run: evm::all },
        Self { name: "solana_transaction", longest: 1300, run: solana::transactions },
        Self { name: "solana_account", longest: 600, run: solana::accounts },
        Self { name: "evm_node", longest: 4096, run: node::evm },
        Self { name: "solana_node", longest: 4096, run: node::solana },
        Self { name: "json_rpc", longest: 2048, run: json_rpc::all },
        Self { name: "paying_client", longest: 4096, run: pay::all },
        Self { name: "facilitator_http", longest: 4096, run: server::all },
    ];

    /// The target of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        Self::ALL.iter().find(|target| target.name == name)
    }

    /// Tries one input.
    ///
    /// # Panics
    /// If something does not hold: a finding.
    pub fn run(&self, bytes: &[u8]) {
        if bytes.len() <= self.longest {
            (self.run)(bytes);
        }
    }
}

/// The value of a header that carries this text. Inputs are the text: few random bytes are base64.
fn header(text: &[u8]) -> Vec<u8> {
    use base64::{Engine, prelude::BASE64_STANDARD};
    BASE64_STANDARD.encode(text).into_bytes()
}

/// Reads JSON as most programs do: of a key that is there twice, the last.
fn as_others_read(text: &str) -> serde_json::Value {
    serde_json::from_str(text).expect("what was read is JSON")
}

/// Waits for what only sleeps and computes; sleeping takes no time.
fn wait<T>(future: impl Future<Output = T>) -> T {
    thread_local!(static RUNTIME: tokio::runtime::Runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime"));
    RUNTIME.with(|runtime| runtime.block_on(future))
}
