//! What we say to a question without asking a chain.

use h402_core::{
    Assets, CheckPolicy, Dialect, Network, Reject, UnixMillis,
    wire::{
        self,
        h402::RequestError,
        x402::{v1, v2},
    },
};

/// `good`, the word of a refusal in the question's own dialect, or `no question`.
pub(crate) fn of(question: &[u8], assets: &Assets, seconds: u64) -> String {
    let dialect = match wire::of_request(question) {
        Ok(dialect) => dialect,
        Err(RequestError::Malformed(_)) => return "no question".to_owned(),
        Err(RequestError::Rejected(reject)) => return word(&reject, Dialect::X402V2, None),
    };
    let request = match dialect {
        Dialect::X402V1 => v1::decode_request(question, assets),
        _ => v2::decode_request(question, assets),
    };
    let request = match request {
        Ok(request) => request,
        Err(RequestError::Malformed(_)) => return "no question".to_owned(),
        Err(RequestError::Rejected(reject)) => return word(&reject, dialect, None),
    };
    let network = request.network();
    // The recorded clients ask for up to a day; how long is accepted is a policy that has its own tests.
    let policy = CheckPolicy { now: UnixMillis(seconds * 1000), min_left: 6, max_left: 2 * 24 * 3600 };
    match request.matched(false).and_then(|matched| matched.check(&policy)) {
        Ok(_) => "good".to_owned(),
        Err(reject) => word(&reject, dialect, Some(network)),
    }
}

fn word(reject: &Reject, dialect: Dialect, network: Option<Network>) -> String {
    reject.word_in(dialect, network).to_owned()
}
