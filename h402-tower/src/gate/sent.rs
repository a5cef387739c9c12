//! Challenges for payments that the payer has sent already: they tie a public transaction to one request (T053).
//!
//! Nothing is stored: a challenge is a nonce, an expiry and a MAC over both and the request's fingerprint. It is
//! part of the `resource` that the payer signs: `https://api.example/item?h402=<nonce>.<expiry>.<mac>`.

use h402_core::{Fingerprint, UnixMillis, UnixSeconds};
use sha2::{Digest, Sha256};
use std::{fmt, fmt::Write as _};

/// How long a challenge can be answered, in seconds: the payer's transaction must be mined meanwhile.
const LIFETIME: u64 = 600;

pub(super) struct SentPayments {
    secret: [u8; 32],
}

impl SentPayments {
    /// Takes the secret; `None` if it is all zeros.
    pub(super) fn new(secret: [u8; 32]) -> Option<Self> {
        (secret != [0; 32]).then_some(Self { secret })
    }

    /// The resource for a request that may be paid by a sent transaction; `None` without randomness.
    pub(super) fn challenge(&self, url: &str, request: &Fingerprint, now: UnixMillis) -> Option<String> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).ok()?;
        let terms = format!("{}.{}", hex(&nonce), now.seconds().plus(LIFETIME).0);
        Some(format!("{url}{}{terms}.{}", separator(url), hex(&self.mac(request, &terms))))
    }

    /// When the challenge in `resource` expires, if we made it for this very request.
    pub(super) fn read(&self, resource: &str, url: &str, request: &Fingerprint) -> Option<UnixSeconds> {
        let challenge = resource.strip_prefix(url)?.strip_prefix(separator(url))?;
        let (terms, mac) = challenge.rsplit_once('.')?;
        let (_, expiry) = terms.split_once('.')?;
        // All of `terms` is under the MAC, so its spelling needs no further check.
        let good = equal(mac.as_bytes(), hex(&self.mac(request, terms)).as_bytes());
        good.then(|| expiry.parse().ok().map(UnixSeconds))?
    }

    fn mac(&self, request: &Fingerprint, terms: &str) -> [u8; 32] {
        hmac_sha256(&self.secret, &[b"h402-sent-1", request.as_bytes(), terms.as_bytes()])
    }
}

impl fmt::Debug for SentPayments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SentPayments(..)")
    }
}

fn separator(url: &str) -> &'static str {
    if url.contains('?') { "&h402=" } else { "?h402=" }
}

/// RFC 2104 with SHA-256, for keys that fit its block of 64 bytes.
fn hmac_sha256(key: &[u8; 32], message: &[&[u8]]) -> [u8; 32] {
    let pad = |byte: u8| {
        let mut block = [byte; 64];
        block.iter_mut().zip(key).for_each(|(pad, key)| *pad ^= key);
        Sha256::new_with_prefix(block)
    };
    let inner = message.iter().fold(pad(0x36), |hash, part| hash.chain_update(part)).finalize();
    pad(0x5c).chain_update(inner).finalize().into()
}

/// Compares in a time that depends on the lengths only.
fn equal(left: &[u8], right: &[u8]) -> bool {
    left.len() == right.len() && left.iter().zip(right).fold(0, |different, (a, b)| different | (a ^ b)) == 0
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        // Writing to a string cannot fail.
        let _infallible = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hmac_agrees_with_an_independent_implementation() {
        // python3: hmac.new(bytes(range(32)), b"what do ya want for nothing?", "sha256").hexdigest()
        let key = std::array::from_fn(|at| u8::try_from(at).unwrap());
        let mac = hmac_sha256(&key, &[b"what do ya want ", b"for nothing?"]);
        assert_eq!(hex(&mac), PYTHON);
    }
    const PYTHON: &str = "099805f4ac310786968565c098db515cc50862b420ae31e20238312344bed36a";

    /// T053: a challenge is good for the request it was made for, in the spelling it was made in, and for no other.
    #[test]
    fn t053_a_challenge_ties_a_sent_payment_to_one_request() {
        let sent = SentPayments::new([7; 32]).unwrap();
        let request = |path| Fingerprint::new("GET", "https://api.example", path, None);
        let now = UnixMillis(1_000_000);
        for (path, mark) in [("/item", "?h402="), ("/item?id=1", "&h402=")] {
            let url = format!("https://api.example{path}");
            let resource = sent.challenge(&url, &request(path), now).unwrap();
            assert!(resource.starts_with(&format!("{url}{mark}")), "{resource}");
            assert_eq!(sent.read(&resource, &url, &request(path)), Some(UnixSeconds(1600)), "{resource}");
            // Another request, another secret, another expiry, another nonce, another spelling.
            assert_eq!(sent.read(&resource, &url, &request("/other")), None);
            assert_eq!(SentPayments::new([8; 32]).unwrap().read(&resource, &url, &request(path)), None);
            assert_eq!(sent.read(&resource.replace(".1600.", ".1601."), &url, &request(path)), None);
            assert_eq!(sent.read(&resource.replace(".1600.", ".01600."), &url, &request(path)), None);
            assert_eq!(sent.read(&format!("{resource}0"), &url, &request(path)), None);
            assert_eq!(sent.read(&resource.to_uppercase(), &url, &request(path)), None);
            assert_eq!(sent.read(&url, &url, &request(path)), None);
        }
        assert!(SentPayments::new([0; 32]).is_none());
    }
}
