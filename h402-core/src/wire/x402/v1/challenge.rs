//! The body of a 402.

use crate::{
    Address, Assets,
    wire::{
        SkippedOffer, WireError,
        h402::shorten,
        json,
        x402::{
            LeftOut, Terms, Version, name,
            requirements::{RequirementsIn, RequirementsOut},
        },
    },
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// What a server answers with 402.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Challenge<'a> {
    /// Why, for people or as a word.
    pub error: &'a str,
    /// How to pay, first choice first.
    pub terms: &'a [Terms],
    /// Who tried to pay, if that is known.
    pub payer: Option<Address>,
}

/// A body, and what it does not say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedChallenge {
    /// The JSON body.
    pub body: Vec<u8>,
    /// The terms that are not in it, by their place, and why.
    pub left_out: Vec<(usize, LeftOut)>,
}

/// A 402 as a client reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadChallenge {
    /// Why, if the server said it in words; shortened and without control characters.
    pub error: Option<String>,
    /// What it accepts, in its order; what cannot be used is there too, with the reason.
    pub offers: Vec<ReadOffer>,
}

/// One element of `accepts` as a client reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOffer {
    /// The terms, with the asset from the client's own table.
    pub terms: Result<Terms, SkippedOffer>,
    /// Whether it is the first of its scheme and network. Reference servers check a payment against that one only.
    pub first_of_network: bool,
}

/// Writes the JSON body of a 402. What this version cannot say is left out: one network without a common name would make the
/// whole 402 useless to its clients.
///
/// # Errors
/// None in practice; see [`WireError`].
///
/// ```
/// use h402_core::wire::x402::v1::{Challenge, encode_challenge};
/// let challenge = encode_challenge(&Challenge { error: "X-PAYMENT header is required", terms: &[], payer: None })?;
/// assert_eq!(challenge.body, br#"{"x402Version":1,"error":"X-PAYMENT header is required","accepts":[]}"#);
/// # Ok::<(), h402_core::wire::WireError>(())
/// ```
pub fn encode_challenge(challenge: &Challenge<'_>) -> Result<EncodedChallenge, WireError> {
    let (mut accepts, mut left_out) = (Vec::new(), Vec::new());
    for (at, terms) in challenge.terms.iter().enumerate() {
        if !name::is_common(terms.requirements.offer.network()) {
            left_out.push((at, LeftOut::Network));
            continue;
        }
        match RequirementsOut::new(terms, Version::V1) {
            Ok(wire) => accepts.push(wire),
            Err(why) => left_out.push((at, why)),
        }
    }
    let payer = challenge.payer.map(|payer| payer.to_string());
    let body = json::write(&ChallengeOut { x402_version: 1, error: challenge.error, accepts, payer })?;
    Ok(EncodedChallenge { body, left_out })
}

/// Reads the JSON body of a 402. Assets are looked up in `assets` by network and address.
///
/// # Errors
/// [`WireError`] if it is no 402 of this version. Offers that cannot be used are no error.
pub fn decode_challenge(body: &[u8], assets: &Assets) -> Result<ReadChallenge, WireError> {
    let wire: ChallengeIn<'_> = json::read_bytes(body)?;
    if !json::is(wire.x402_version, 1) {
        return Err(WireError::Version);
    }
    let (mut seen, mut offers) = (Vec::new(), Vec::new());
    for element in wire.accepts.0 {
        let wire = json::read::<RequirementsIn<'_>>(element.get());
        let door = wire.as_ref().ok().and_then(RequirementsIn::door);
        let first_of_network = !seen.contains(&door);
        seen.push(door);
        let terms = match wire {
            Ok(wire) => wire.parse_offer(Version::V1, None, assets),
            Err(_) => Err(SkippedOffer::Malformed("a field is missing, repeated or of the wrong type")),
        };
        offers.push(ReadOffer { terms, first_of_network });
    }
    Ok(ReadChallenge { error: wire.error.and_then(json::string).map(|text| shorten(&text)), offers })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ChallengeOut<'a> {
    x402_version: u8,
    error: &'a str,
    accepts: Vec<RequirementsOut<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payer: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ChallengeIn<'a> {
    #[serde(borrow)]
    x402_version: &'a RawValue,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    accepts: json::List<'a>,
}
